package eviction

import (
	"errors"
	"fmt"
)

// Check looks at the whole and returns an error for each thing that does not agree. It is for
// tests.
func (q *Queues[T]) Check() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("eviction: "+format, args...)) }
	nodes, weight := 0, int64(0)
	for i, in := range []*queue[T]{&q.nursery, &q.small, &q.main} {
		length := 0
		for n := in.root.next; n != &in.root && length <= q.nodes; n = n.next {
			length++
			weight += n.weight
			switch {
			case n.next.prev != n || n.prev.next != n:
				wrong("queue %d is broken after %d nodes", i, length)
			case n.mark.place() != place(i):
				wrong("a node of queue %d says that it is in %d", i, n.mark.place())
			case n.uses.Load() > maxUses:
				wrong("a node of queue %d has %d uses", i, n.uses.Load())
			}
		}
		if length != in.length {
			wrong("queue %d has %d nodes and tells of %d", i, length, in.length)
		}
		nodes += length
	}
	if nodes != q.nodes || weight != q.weight {
		wrong("%d nodes of weight %d are there, and told are %d of %d", nodes, weight, q.nodes, q.weight)
	}
	if q.nodes > q.room || q.room > q.maxNodes || q.weight+q.ghost.bytes() > q.maxWeight {
		wrong("%d nodes of weight %d with a ghost of %d: %d fit, %d of %d may be there",
			q.nodes, q.weight, q.ghost.bytes(), q.room, q.maxNodes, q.maxWeight)
	}
	if err := q.ghost.check(); err != nil {
		errs = append(errs, err)
	}
	if q.ghost.count > q.room {
		wrong("%d nodes are remembered that left, and %d fit", q.ghost.count, q.room)
	}
	return errors.Join(errs...)
}

// check looks at the slots and the chains.
func (g *ghost) check() error {
	inSlots, inChains := 0, 0
	for _, s := range g.slots {
		if s.key != 0 {
			inSlots++
		}
	}
	for i := range g.chains {
		for at := g.chains[i]; at != 0 && inChains <= len(g.slots); at = g.slots[at-1].older {
			inChains++
			if key := g.slots[at-1].key; key == 0 || g.chain(key) != &g.chains[i] {
				return fmt.Errorf("eviction: slot %d of the ghost, with %#x, is in chain %d", at-1, key, i)
			}
		}
	}
	if inSlots != inChains || g.count > len(g.slots) {
		return fmt.Errorf("eviction: %d slots of the ghost are used, %d are in chains; %d of %d are remembered", inSlots, inChains, g.count, len(g.slots))
	}
	return nil
}
