package eviction

import (
	"sync"
	"sync/atomic"
)

// Node is one element of Queues. It is embedded in, or kept beside, what it stands for.
type Node[T any] struct {
	prev, next *Node[T] // nil when in no queue; these, weight and mark are guarded by the lock of Queues
	weight     int64

	Owner T // whatever the caller wants back as a victim; not touched here

	mark mark
	uses atomic.Uint32 // up to maxUses; last, so that what a use looks at besides can lie beside it
}

// maxUses is how many uses of a node count: it is passed over as often at the end of the main
// queue.
const maxUses = 3

// Use notes that the node was used. It takes no lock. Of two uses at the same time one may be lost,
// which does not matter.
func (n *Node[T]) Use() {
	// The check keeps readers of one hot node from passing its cache line around.
	if uses := n.uses.Load(); uses < maxUses {
		n.uses.Store(uses + 1)
	}
}

// Weight returns the weight that the node was added with. It is called by those who know that the
// node was added, and not while it is added again.
func (n *Node[T]) Weight() int64 { return n.weight }

// Queues holds nodes up to a number and a weight. It is safe for concurrent use.
type Queues[T any] struct {
	maxNodes  int
	maxWeight int64

	mu                   sync.Mutex
	nursery, small, main queue[T]
	ghost                ghost
	nodes                int
	weight               int64 // of the nodes
	// room is how many nodes fit, as far as is known: how many there were when one was last pushed
	// out, or, if that is more, the most that there were since.
	room int
}

// New returns empty queues that keep at most maxNodes nodes of at most maxWeight in all.
func New[T any](maxNodes int, maxWeight int64) *Queues[T] {
	q := &Queues[T]{maxNodes: maxNodes, maxWeight: maxWeight}
	q.nursery.init(inNursery)
	q.small.init(inSmall)
	q.main.init(inMain)
	return q
}

// nurseryRoom is how many nodes may be in the nursery, of so many in all.
func nurseryRoom(room int) int { return max(1, room/100) }

// youngRoom is how many nodes may be in the nursery and the small queue together before one of
// theirs is to leave: 15 in 100. Fewer than 64 are too few to be used again in time, so it is that
// many if that is not nearly all.
func youngRoom(room int) int {
	n := int64(room)
	return int(max(1, 15*n/100, min(64, 90*n/100)))
}

// Add puts a node in, whose key has this hash, and returns those that have to leave for it. A node
// that alone is heavier than all may be is not put in; false says so.
//
// before is the node that the new one replaces, nil if there is none. If it is still in, the new
// one gets its place and its uses: what is renewed, but not used, leaves when it would have left
// anyway. So a new node that is heavier than the one before it may be among those that leave.
func (q *Queues[T]) Add(n *Node[T], hash uint64, weight int64, before *Node[T]) (victims []*Node[T], ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if weight > q.maxWeight || n.next != nil {
		return nil, n.next != nil
	}
	n.weight, n.mark = weight, markOf(hash)
	if before != nil && before.next != nil {
		q.replace(before, n)
		victims = q.makeRoom(0, 0)
	} else {
		known := q.ghost.remove(n.mark.fingerprint())
		victims = q.makeRoom(1, weight)
		q.insert(n, known)
	}
	return victims, true
}

// Remove takes a node out. It reports whether the node was in.
func (q *Queues[T]) Remove(n *Node[T]) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n.next == nil {
		return false
	}
	if n.mark.place() == inMain {
		q.ghost.add(n.mark.fingerprint(), q.room)
	}
	q.drop(n)
	return true
}

// Forget forgets what has left.
func (q *Queues[T]) Forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ghost, q.room = ghost{}, q.nodes
}

// Size returns how many nodes there are, and their weight with that of what is remembered of those
// that left.
func (q *Queues[T]) Size() (nodes int, weight int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.nodes, q.weight + q.ghost.bytes()
}

// Each calls do with every node's owner, outside the lock.
func (q *Queues[T]) Each(do func(owner T)) {
	q.mu.Lock()
	owners := make([]T, 0, q.nodes)
	for _, in := range []*queue[T]{&q.nursery, &q.small, &q.main} {
		for n := in.root.next; n != &in.root; n = n.next {
			owners = append(owners, n.Owner)
		}
	}
	q.mu.Unlock()
	for _, owner := range owners {
		do(owner)
	}
}

// insert puts a node to the end of the main queue if its key is known, or of the nursery.
func (q *Queues[T]) insert(n *Node[T], known bool) {
	q.nodes++
	q.weight += n.weight
	n.uses.Store(0)
	if known {
		q.main.push(n)
		return
	}
	q.nursery.push(n)
	for q.nursery.length > nurseryRoom(q.room) {
		n := q.nursery.pop()
		n.uses.Store(0)
		q.small.push(n)
	}
}

// replace puts a node in the place of another one.
func (q *Queues[T]) replace(before, n *Node[T]) {
	q.weight += n.weight - before.weight
	n.uses.Store(before.uses.Load())
	n.mark = n.mark.in(before.mark.place())
	n.prev, n.next = before.prev, before.next
	n.prev.next, n.next.prev = n, n
	before.prev, before.next = nil, nil
}

// makeRoom pushes nodes out until there is room for so many more, of so much weight.
func (q *Queues[T]) makeRoom(nodes int, weight int64) (victims []*Node[T]) {
	for q.nodes+nodes > q.maxNodes || q.weight+weight+q.ghost.bytes() > q.maxWeight {
		if q.nodes == 0 {
			q.ghost = ghost{}
			break
		}
		q.ghost.fit(q.nodes, q.maxNodes)
		v := q.victim()
		q.drop(v)
		victims = append(victims, v)
	}
	if nodes += q.nodes; nodes > q.room || len(victims) > 0 {
		q.room = nodes
		q.ghost.keep(nodes)
	}
	return victims
}

// victim returns the node that is to leave.
func (q *Queues[T]) victim() *Node[T] {
	// Readers may use nodes as fast as they are passed over.
	for passed := 0; ; passed++ {
		if q.nursery.length+q.small.length >= youngRoom(q.room) || q.main.length == 0 {
			n := q.nursery.first()
			if q.small.length > 0 {
				if n = q.small.first(); n.uses.Load() > 0 {
					q.small.pop()
					n.uses.Store(0)
					q.main.push(n)
					continue
				}
			}
			q.ghost.add(n.mark.fingerprint(), q.room)
			return n
		}
		n := q.main.first()
		uses := n.uses.Load()
		if uses == 0 || passed > (maxUses+1)*q.nodes {
			return n
		}
		q.main.pop()
		n.uses.Store(uses - 1)
		q.main.push(n)
	}
}

// drop takes a node out of its queue.
func (q *Queues[T]) drop(n *Node[T]) {
	switch n.mark.place() {
	case inNursery:
		q.nursery.remove(n)
	case inSmall:
		q.small.remove(n)
	case inMain:
		q.main.remove(n)
	}
	q.nodes--
	q.weight -= n.weight
}
