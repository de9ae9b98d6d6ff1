package eviction

// queue is nodes in the order in which they came. Its zero value is not ready.
type queue[T any] struct {
	root   Node[T] // before the first, and after the last
	length int
	name   place
}

func (q *queue[T]) init(name place) {
	q.root.prev, q.root.next = &q.root, &q.root
	q.name = name
}

// push puts a node to the end.
func (q *queue[T]) push(n *Node[T]) {
	n.mark = n.mark.in(q.name)
	n.prev, n.next = q.root.prev, &q.root
	n.prev.next, n.next.prev = n, n
	q.length++
}

// first returns the node that came first, of those that are there.
func (q *queue[T]) first() *Node[T] { return q.root.next }

// pop takes the first node out.
func (q *queue[T]) pop() *Node[T] {
	n := q.first()
	q.remove(n)
	return n
}

// remove takes a node out.
func (q *queue[T]) remove(n *Node[T]) {
	n.prev.next, n.next.prev = n.next, n.prev
	n.prev, n.next = nil, nil
	q.length--
}

// mark has the fingerprint of the key of a node, and in its lower two bits the queue that the node
// is in, or was in last.
type mark uint32

// place is one of the queues.
type place uint32

const (
	inNursery place = iota
	inSmall
	inMain

	places = 1<<2 - 1
)

func markOf(hash uint64) mark { return mark(fingerprintOf(hash)) }

func (m mark) fingerprint() fingerprint { return fingerprint(m &^ places) }
func (m mark) place() place             { return place(m & places) }
func (m mark) in(p place) mark          { return m&^places | mark(p) }
