// Package recency bounds what a cache holds, by number and by weight, and picks what leaves: the
// CLOCK approximation of least recently used (Corbató, "A Paging Experiment with the Multics
// System", 1968).
//
// A use is one store to an atomic of the node, without a lock, and only if it is not already
// marked. Adding may push others out; a hand goes round the ring, passes over each node that was
// used since it came by last, and takes the first that was not.
package recency

import (
	"sync"
	"sync/atomic"
)

// Node is one element of a Ring. It is embedded in, or kept beside, what it stands for.
type Node[T any] struct {
	prev, next *Node[T] // nil when not in a ring; guarded by the ring's lock
	weight     int64

	Owner T // whatever the caller wants back as a victim; not touched here

	used atomic.Bool // last, so that what a use looks at besides can lie beside it
}

// Use marks the node as used. It takes no lock.
func (n *Node[T]) Use() {
	// The check keeps readers of one hot node from passing its cache line around.
	if !n.used.Load() {
		n.used.Store(true)
	}
}

// Ring holds nodes up to a number and a weight. It is safe for concurrent use.
type Ring[T any] struct {
	maxNodes  int
	maxWeight int64

	mu     sync.Mutex
	hand   *Node[T] // the next candidate; nil when empty
	nodes  int
	weight int64
}

// New returns an empty ring that keeps at most maxNodes nodes of at most maxWeight in all.
func New[T any](maxNodes int, maxWeight int64) *Ring[T] {
	return &Ring[T]{maxNodes: maxNodes, maxWeight: maxWeight}
}

// Add puts a node in and returns those that have to leave for it. A node that alone is heavier than
// the ring may be is not put in; false says so.
func (r *Ring[T]) Add(n *Node[T], weight int64) (victims []*Node[T], ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if weight > r.maxWeight || n.next != nil {
		return nil, n.next != nil
	}
	for r.nodes >= r.maxNodes || r.weight+weight > r.maxWeight {
		victim := r.coldest()
		r.remove(victim)
		victims = append(victims, victim)
	}
	n.weight = weight
	if r.hand == nil {
		n.prev, n.next = n, n
		r.hand = n
	} else {
		// Behind the hand: it is looked at last.
		n.prev, n.next = r.hand.prev, r.hand
		n.prev.next, n.next.prev = n, n
	}
	r.nodes++
	r.weight += weight
	return victims, true
}

// Remove takes a node out. It reports whether the node was in.
func (r *Ring[T]) Remove(n *Node[T]) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n.next == nil {
		return false
	}
	r.remove(n)
	return true
}

// Size returns how many nodes there are, and their weight.
func (r *Ring[T]) Size() (nodes int, weight int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nodes, r.weight
}

// Each calls do with every node's owner, outside the lock.
func (r *Ring[T]) Each(do func(owner T)) {
	r.mu.Lock()
	owners := make([]T, 0, r.nodes)
	for n, i := r.hand, 0; i < r.nodes; n, i = n.next, i+1 {
		owners = append(owners, n.Owner)
	}
	r.mu.Unlock()
	for _, owner := range owners {
		do(owner)
	}
}

func (r *Ring[T]) coldest() *Node[T] {
	// Two rounds at most: readers may mark nodes again as fast as the hand clears them.
	for i := 0; i < 2*r.nodes && r.hand.used.Load(); i++ {
		r.hand.used.Store(false)
		r.hand = r.hand.next
	}
	return r.hand
}

func (r *Ring[T]) remove(n *Node[T]) {
	if r.hand == n {
		r.hand = n.next
	}
	if r.hand == n {
		r.hand = nil
	}
	n.prev.next, n.next.prev = n.next, n.prev
	n.prev, n.next = nil, nil
	r.nodes--
	r.weight -= n.weight
}
