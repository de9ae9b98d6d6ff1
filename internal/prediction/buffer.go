package prediction

import "sync/atomic"

// Buffer takes items from any number of goroutines to one, and never makes them wait: what finds
// no room is lost. It consists of stripes, each a bounded queue after Vyukov's, whose writers try
// a few times only. Where the reader does not keep up, some stripes are lost, so that of the
// others it misses nothing.
type Buffer[T any] struct {
	stripes []stripe[T]
	lost    atomic.Int64
	some    atomic.Bool   // something was put since the reader took last
	hurry   atomic.Bool   // and it is urgent, or there is much
	idle    atomic.Bool   // the reader waits
	wake    chan struct{} // tells it that there is something
}

const (
	// stripeLength is the number of items that a stripe holds; a power of two.
	stripeLength = 512
	// stripeFull is how many of them wake the reader. What may be left out finds no room behind so
	// many.
	stripeFull = stripeLength / 4
	// tries is how often a writer tries who runs into others.
	tries = 8
)

type stripe[T any] struct {
	_    [64]byte // the writers of one stripe do not slow down those of the next
	tail atomic.Uint64
	_    [56]byte
	head atomic.Uint64 // written by the reader alone
	ring [stripeLength]slot[T]
}

// slot holds an item. Its turn is the number of the item that it is free for, or one more while it
// holds it.
type slot[T any] struct {
	turn atomic.Uint64
	item T
}

// Urgency says what becomes of an item.
type Urgency uint8

const (
	// Spare: it is left out where there is little room, and can wait for others.
	Spare Urgency = iota
	// Due: it can wait for others.
	Due
	// Urgent: it cannot.
	Urgent
)

// NewBuffer returns a buffer with so many stripes. Items of one stripe stay in order.
func NewBuffer[T any](stripes int) *Buffer[T] {
	b := &Buffer[T]{stripes: make([]stripe[T], max(1, stripes)), wake: make(chan struct{}, 1)}
	for i := range b.stripes {
		for j := range b.stripes[i].ring {
			b.stripes[i].ring[j].turn.Store(uint64(j))
		}
	}
	return b
}

// Put puts an item into the stripe that hash chooses. It takes no lock and allocates nothing.
func (b *Buffer[T]) Put(hash uint64, item T, urgency Urgency) {
	s := &b.stripes[hash%uint64(len(b.stripes))]
	for range tries {
		turn := s.tail.Load()
		if urgency == Spare && turn-s.head.Load() >= stripeFull {
			return
		}
		at := &s.ring[turn%stripeLength]
		if have := at.turn.Load(); have != turn {
			if have < turn {
				break // the item before it was not taken yet
			}
			continue
		}
		if !s.tail.CompareAndSwap(turn, turn+1) {
			continue
		}
		at.item = item
		at.turn.Store(turn + 1)
		if urgency == Urgent || turn%stripeFull == stripeFull-1 {
			b.call(&b.hurry)
		}
		b.call(&b.some)
		return
	}
	b.lost.Add(1)
}

// Take calls do with items that are there, those of the first stripes first, and returns how many
// there were, at most so many. Only one goroutine may take at a time.
func (b *Buffer[T]) Take(most int, do func(*T)) (n int) {
	b.some.Store(false)
	b.hurry.Store(false)
	for i := range b.stripes {
		s := &b.stripes[i]
		head := s.head.Load()
		for n < most {
			at := &s.ring[head%stripeLength]
			if at.turn.Load() != head+1 {
				break
			}
			item := at.item
			var none T
			at.item = none
			at.turn.Store(head + stripeLength)
			head++
			s.head.Store(head)
			n++
			do(&item)
		}
	}
	if n == most {
		b.some.Store(true) // so it seems
	}
	return n
}

// call notes that there is something, and wakes the reader if it waits and did not know.
func (b *Buffer[T]) call(something *atomic.Bool) {
	if something.Load() || something.Swap(true) {
		return
	}
	if b.idle.Load() && b.idle.CompareAndSwap(true, false) {
		b.tell()
	}
}

// Wait returns a channel that gets something when there is something to take, and then once more
// when there is something urgent, or much. some says that there is something.
func (b *Buffer[T]) Wait() (wake <-chan struct{}, some bool) {
	b.idle.Store(true)
	// Who called before that did not wake anybody.
	if b.hurry.Load() && b.idle.CompareAndSwap(true, false) {
		b.tell()
	}
	return b.wake, b.some.Load()
}

// Hurries reports whether something is urgent, or there is much.
func (b *Buffer[T]) Hurries() bool { return b.hurry.Load() }

// Hurry says that what is there is not to wait for more.
func (b *Buffer[T]) Hurry() {
	if b.some.Load() {
		b.hurry.Store(true)
	}
}

// Busy says that the reader does not wait any more.
func (b *Buffer[T]) Busy() { b.idle.Store(false) }

func (b *Buffer[T]) tell() {
	select {
	case b.wake <- struct{}{}:
	default: // it was told, and has not looked yet
	}
}

// Lost returns how many items were lost, since Forget if it was called.
func (b *Buffer[T]) Lost() int64 { return b.lost.Load() }

// Forget makes Lost count from 0 again.
func (b *Buffer[T]) Forget() { b.lost.Store(0) }
