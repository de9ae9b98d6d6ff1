package hotness

// minHeap orders patterns by the weight at which they were placed. Since
// weights only grow, what the root was placed at is a lower bound of them all.
// Only the root is ever looked at or replaced, so no pattern knows its index.
type minHeap []*Pattern

// coldest returns the pattern of the lowest weight, at the root. The heap must
// not be empty.
func (h minHeap) coldest() *Pattern {
	// As long as weights stand still each pattern is repaired at most once, so
	// the bound changes nothing. Without it, accesses to all the patterns at
	// once could keep this going for as long as they last.
	for range len(h) {
		root := h[0]
		weight := root.ownWeight()
		if weight == root.placed {
			break
		}
		root.placed = weight
		h.down()
		// Still the root: it was the coldest when its weight was read. Looking
		// again could go on forever if it is accessed all the time.
		if h[0] == root {
			break
		}
	}
	return h[0]
}

func (h *minHeap) push(p *Pattern) {
	p.placed = p.ownWeight()
	*h = append(*h, p)
	s := *h
	for i := len(s) - 1; i > 0; {
		parent := (i - 1) / 2
		if s[parent].placed <= s[i].placed {
			return
		}
		s[parent], s[i] = s[i], s[parent]
		i = parent
	}
}

// replaceRoot puts p in place of the root.
func (h minHeap) replaceRoot(p *Pattern) {
	p.placed = p.ownWeight()
	h[0] = p
	h.down()
}

// down moves the root to where its placed weight belongs.
func (h minHeap) down() {
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if right := child + 1; right < len(h) && h[right].placed < h[child].placed {
			child = right
		}
		if h[i].placed <= h[child].placed {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}
