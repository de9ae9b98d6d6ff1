package prediction

import "sync/atomic"

// Buffer takes items from any number of goroutines to one, and never makes them wait: what finds no
// room, or comes in another's way, is lost. It consists of stripes, each a bounded queue after
// Vyukov's, whose writers do not try again. Where the reader does not keep up, some stripes are
// lost, so that of the others it misses nothing.
type Buffer[T any] struct {
	stripes []stripe[T]
	lost    atomic.Int64
	idle    atomic.Bool   // the reader waits
	wake    chan struct{} // tells it that there is something
}

// stripeLength is the number of items that a stripe holds; a power of two.
const stripeLength = 128

type stripe[T any] struct {
	_    [64]byte // the writers of one stripe do not slow down those of the next
	tail atomic.Uint64
	_    [56]byte
	head uint64 // the reader's
	ring [stripeLength]slot[T]
}

// slot holds an item. Its turn is the number of the item that it is free for, or one more while it
// holds it.
type slot[T any] struct {
	turn atomic.Uint64
	item T
}

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
func (b *Buffer[T]) Put(hash uint64, item T) {
	s := &b.stripes[hash%uint64(len(b.stripes))]
	turn := s.tail.Load()
	at := &s.ring[turn%stripeLength]
	if at.turn.Load() != turn || !s.tail.CompareAndSwap(turn, turn+1) {
		b.lost.Add(1)
		return
	}
	at.item = item
	at.turn.Store(turn + 1)
	if b.idle.Load() && b.idle.CompareAndSwap(true, false) {
		b.tell()
	}
}

// Take calls do with items that are there, those of the first stripes first, and returns how many
// there were, at most so many. Only one goroutine may take at a time.
func (b *Buffer[T]) Take(most int, do func(*T)) (n int) {
	for i := range b.stripes {
		s := &b.stripes[i]
		for n < most {
			at := &s.ring[s.head%stripeLength]
			if at.turn.Load() != s.head+1 {
				break
			}
			item := at.item
			var none T
			at.item = none
			at.turn.Store(s.head + stripeLength)
			s.head++
			n++
			do(&item)
		}
	}
	return n
}

// Wait returns a channel that gets something when there is something to take.
func (b *Buffer[T]) Wait() <-chan struct{} {
	b.idle.Store(true)
	// What was put before that was not told.
	for i := range b.stripes {
		s := &b.stripes[i]
		if s.ring[s.head%stripeLength].turn.Load() == s.head+1 && b.idle.CompareAndSwap(true, false) {
			b.tell()
			break
		}
	}
	return b.wake
}

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
