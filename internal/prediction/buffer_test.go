package prediction

import (
	"sync"
	"testing"
)

func TestBufferKeepsOrderAndLosesWhatHasNoRoom(t *testing.T) {
	t.Parallel()
	b := NewBuffer[int](1)
	for round := range 3 {
		for i := range stripeLength + 10 {
			b.Put(0, i)
		}
		next := 0
		n := b.Take(func(i *int) {
			if *i != next {
				t.Fatalf("got %d, want %d", *i, next)
			}
			next++
		})
		if lost := b.Lost(); n != stripeLength || lost != int64(10*(round+1)) {
			t.Fatalf("took %d and lost %d", n, lost)
		}
	}
	if n := b.Take(func(*int) {}); n != 0 {
		t.Errorf("took %d of nothing", n)
	}
}

func TestBufferTellsTheReader(t *testing.T) {
	t.Parallel()
	b := NewBuffer[int](4)
	for i := range 1_000 {
		if i%2 == 0 {
			b.Put(uint64(i), i) // before it waits
		}
		wait := b.Wait()
		if i%2 == 1 {
			go b.Put(uint64(i), i)
		}
		<-wait
		for b.Take(func(*int) {}) == 0 {
			<-b.Wait()
		}
	}
}

// TestBufferUnderLoad has writers that run into each other and a reader that does not keep up: nothing comes twice, nothing that
// was not lost is missing, and what one writer puts comes in order.
func TestBufferUnderLoad(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 20_000
	b := NewBuffer[[2]int](3)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				b.Put(uint64(w), [2]int{w, i})
			}
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	var last [writers]int
	taken := 0
	take := func() int {
		return b.Take(func(item *[2]int) {
			w, i := item[0], item[1]+1
			if i <= last[w] {
				t.Errorf("writer %d: %d after %d", w, i, last[w])
			}
			last[w] = i
			taken++
		})
	}
	for running := true; running; {
		select {
		case <-b.Wait():
		case <-done:
			running = false
		}
		take()
	}
	for take() > 0 {
	}
	if lost := int(b.Lost()); taken+lost != writers*each || taken == 0 {
		t.Errorf("took %d and lost %d of %d", taken, lost, writers*each)
	}
}

func BenchmarkBufferPut(b *testing.B) {
	buffer := NewBuffer[[3]uintptr](8)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			case <-buffer.Wait():
				buffer.Take(func(*[3]uintptr) {})
			}
		}
	}()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		buffer.Put(uint64(i)>>8, [3]uintptr{})
	}
	close(stop)
	<-ended
}
