package hotness

// minHeap orders patterns by the weight at which they were placed. Since
// weights only grow, what the root was placed at is a lower bound of them all.
// Only the root is ever looked at or replaced, so no pattern knows its index.
type minHeap []placed

// placed is a pattern and the weight at which it was placed.
type placed struct {
	*Pattern
	at float64
}

// coldest returns the pattern of the lowest weight, at the root. The heap must
// not be empty.
func (h minHeap) coldest() *Pattern {
	// As long as weights stand still each pattern is repaired at most once, so
	// the bound changes nothing. Without it, accesses to all the patterns at
	// once could keep this going for as long as they last.
	for range len(h) {
		root := h[0].Pattern
		weight := root.ownWeight()
		if weight == h[0].at {
			break
		}
		h[0].at = weight
		h.down()
		// Still the root: it was the coldest when its weight was read. Looking
		// again could go on forever if it is accessed all the time.
		if h[0].Pattern == root {
			break
		}
	}
	return h[0].Pattern
}

func (h *minHeap) push(p *Pattern) {
	*h = append(*h, placed{p, p.ownWeight()})
	s := *h
	for i := len(s) - 1; i > 0; {
		parent := (i - 1) / 2
		if s[parent].at <= s[i].at {
			return
		}
		s[parent], s[i] = s[i], s[parent]
		i = parent
	}
}

// replaceRoot puts p in place of the root.
func (h minHeap) replaceRoot(p *Pattern) {
	h[0] = placed{p, p.ownWeight()}
	h.down()
}

// down moves the root to where its placed weight belongs.
func (h minHeap) down() {
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if right := child + 1; right < len(h) && h[right].at < h[child].at {
			child = right
		}
		if h[i].at <= h[child].at {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}
