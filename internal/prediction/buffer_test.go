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
			b.Put(0, i, Due)
		}
		next := 0
		n := b.Take(2*stripeLength, func(i *int) {
			if *i != next {
				t.Fatalf("got %d, want %d", *i, next)
			}
			next++
		})
		if lost := b.Lost(); n != stripeLength || lost != int64(10*(round+1)) {
			t.Fatalf("took %d and lost %d", n, lost)
		}
	}
	if n := b.Take(stripeLength, func(*int) {}); n != 0 {
		t.Errorf("took %d of nothing", n)
	}
}

// TestBufferServesSomeWhereItCannotServeAll has more put than is taken.
func TestBufferServesSomeWhereItCannotServeAll(t *testing.T) {
	t.Parallel()
	b := NewBuffer[[2]int](4)
	var taken [4]int
	const rounds, each = 500, 3
	for round := range rounds {
		for i := range each {
			for stripe := range 4 {
				b.Put(uint64(stripe), [2]int{stripe, each*round + i}, Due)
			}
		}
		if n := b.Take(2*each, func(item *[2]int) { taken[item[0]]++ }); n != 2*each {
			t.Fatalf("took %d, want %d", n, 2*each)
		}
	}
	if taken[0] != rounds*each || taken[1] != rounds*each || b.Lost() != 2*(rounds*each-stripeLength) {
		t.Errorf("took %d and lost %d, want all of two stripes", taken, b.Lost())
	}
}

func TestBufferTellsTheReader(t *testing.T) {
	t.Parallel()
	b := NewBuffer[int](4)
	for i := range 1_000 {
		if i%2 == 0 {
			b.Put(uint64(i), i, Urgent) // before it waits
		}
		wait, _ := b.Wait()
		if i%2 == 1 {
			go b.Put(uint64(i), i, Urgent)
		}
		<-wait
		for b.Take(stripeLength, func(*int) {}) == 0 {
			wait, _ := b.Wait()
			<-wait
		}
	}
}

// TestBufferUnderLoad has writers that run into each other and a reader that does not keep up:
// nothing comes twice, nothing that was not lost is missing, and what one writer puts comes in
// order.
func TestBufferUnderLoad(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 20_000
	b := NewBuffer[[2]int](3)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				b.Put(uint64(w), [2]int{w, i}, Due)
			}
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	var last [writers]int
	taken := 0
	take := func() int {
		return b.Take(2*stripeLength, func(item *[2]int) {
			w, i := item[0], item[1]+1
			if i <= last[w] {
				t.Errorf("writer %d: %d after %d", w, i, last[w])
			}
			last[w] = i
			taken++
		})
	}
	for running := true; running; {
		wake, _ := b.Wait()
		select {
		case <-wake:
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

// TestBufferWakesForWhatIsUrgent and for much, and once for what can wait.
func TestBufferWakesForWhatIsUrgent(t *testing.T) {
	t.Parallel()
	b := NewBuffer[int](2)
	woken := func(what string, want, hurries bool) {
		t.Helper()
		wake, _ := b.Wait()
		got := false
		select {
		case <-wake:
			got = true
		default:
		}
		if got != want || b.Hurries() != hurries {
			t.Errorf("%s: woken %v, hurries %v", what, got, b.Hurries())
		}
	}
	b.Wait()
	b.Put(0, 1, Spare)
	woken("what can wait", true, false)
	b.Put(0, 1, Due)
	woken("more of it", false, false)
	b.Put(1, 1, Urgent)
	woken("what is urgent", true, true)
	b.Busy()
	if n := b.Take(10, func(*int) {}); n != 3 {
		t.Fatalf("took %d, want 3", n)
	}
	woken("nothing", false, false)
	for range stripeFull {
		b.Put(0, 1, Spare)
	}
	woken("much", true, true)
	for range stripeLength {
		b.Put(0, 1, Spare)
	}
	if n := b.Take(stripeLength, func(*int) {}); n != stripeFull || b.Lost() != 0 {
		t.Errorf("took %d of what may be left out, want %d; %d are lost", n, stripeFull, b.Lost())
	}
}

func BenchmarkBufferPut(b *testing.B) {
	buffer := NewBuffer[[3]uintptr](8)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			wake, _ := buffer.Wait()
			select {
			case <-stop:
				return
			case <-wake:
				buffer.Take(100, func(*[3]uintptr) {})
			}
		}
	}()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		buffer.Put(uint64(i)>>8, [3]uintptr{}, Urgent)
	}
	close(stop)
	<-ended
}
