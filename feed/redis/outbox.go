package redis

import (
	"sync"

	"github.com/gorm-preload/preload"
)

// How many announcements may wait to be sent, and how many bytes of them. From then on they become
// one, of all that their tables have, or of everything.
const (
	maxWaiting      = 1024
	maxWaitingBytes = 1 << 20
)

// outbox has what is to be told to others, in order.
type outbox struct {
	merge func([][]byte) []byte
	wake  chan struct{}

	mu     sync.Mutex // a leaf
	items  []*item
	begins int // that wait, and their bytes
	bytes  int
	flood  *write // what announcements become for which there is no room, while it waits
	closed bool
}

// write is an announcement: of one write, or of all that there was no room for one by one.
type write struct {
	batch []byte
	all   bool // it is of everything
	open  int  // writes that have not ended
	end   preload.End
	id    uint64 // the number of its first entry, once that was given
	flood *write // which it became a part of
}

// item is one entry: that a write begins, or that it ended. Or it is none, and marks what was to be
// told before it.
type item struct {
	of    *write
	ended bool
	mark  *mark
}

func newOutbox(merge func([][]byte) []byte) *outbox {
	return &outbox{merge: merge, wake: make(chan struct{}, 1)}
}

// begin has a write told, and returns what says that it has ended.
func (o *outbox) begin(batch []byte) (finish func(preload.End)) {
	w := &write{batch: batch, open: 1, all: len(batch) == 0}
	o.mu.Lock()
	switch {
	case o.closed:
	case o.flood != nil:
		o.join(w)
	case o.begins >= maxWaiting || o.bytes+len(batch) > maxWaitingBytes:
		o.overflow()
		o.join(w)
	default:
		o.items = append(o.items, &item{of: w})
		o.begins++
		o.bytes += len(batch)
	}
	o.mu.Unlock()
	o.rouse()
	return func(end preload.End) { o.finish(w, end) }
}

func (o *outbox) finish(w *write, end preload.End) {
	o.mu.Lock()
	if w.flood != nil {
		w = w.flood
	}
	if w.open--; end == preload.EndUnknown {
		w.end = end
	}
	if w.open == 0 && !o.closed {
		o.items = append(o.items, &item{of: w, ended: true})
	}
	o.mu.Unlock()
	o.rouse()
}

// mark marks what is to be told by now: that each write begins that has been announced, and that
// each has ended that has ended, where the one and the other are told apart.
// Marks that follow each other are one.
func (o *outbox) mark() *mark {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.items); n > 0 && o.items[n-1].mark != nil {
		return o.items[n-1].mark
	}
	m := &mark{done: make(chan struct{})}
	if !o.closed {
		o.items = append(o.items, &item{mark: m})
	}
	o.rouse()
	return m
}

// overflow has all announcements that wait become one, which takes their place. It is locked.
func (o *outbox) overflow() {
	f := &write{batch: nil}
	o.flood = f
	var rest, marks []*item
	var batches [][]byte
	for _, it := range o.items {
		switch {
		case it.mark != nil:
			marks = append(marks, it)
		case it.of.id != 0 || it.of.flood != nil:
			rest = append(rest, it) // the end of what was sent
		case it.ended:
		default:
			f.all = f.all || it.of.all
			batches = append(batches, it.of.batch)
			it.of.flood = f
			f.open += it.of.open
			if it.of.end == preload.EndUnknown {
				f.end = it.of.end
			}
		}
	}
	f.open++ // so that it does not end before it is taken
	o.items = append(append(rest, &item{of: f}), marks...)
	o.begins, o.bytes = 1, 0
	if !f.all {
		f.batch = o.merge(batches)
		f.all = len(f.batch) == 0
	}
}

// join makes a write a part of the flood. It is locked.
func (o *outbox) join(w *write) {
	f := o.flood
	w.flood = f
	f.open++
	if f.all = f.all || w.all; !f.all {
		f.batch = o.merge([][]byte{f.batch, w.batch})
		f.all = len(f.batch) == 0
	}
	if f.all {
		f.batch = nil
	}
}

// take returns what is to be sent next, at most so many. What a flood is of does not change any
// more once it is taken.
func (o *outbox) take(most int, number func(*item)) (items []*item) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(most, len(o.items))
	items = o.items[:n:n]
	o.items = o.items[n:]
	for _, it := range items {
		number(it)
		if it.ended || it.mark != nil {
			continue
		}
		o.begins--
		if it.of != o.flood {
			o.bytes -= len(it.of.batch)
			continue
		}
		o.flood = nil
		if it.of.open--; it.of.open == 0 {
			o.items = append(o.items, &item{of: it.of, ended: true})
		}
	}
	if o.begins == 0 {
		o.bytes = 0
	}
	return items
}

// waits reports whether there is something to be sent.
func (o *outbox) waits() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.items) > 0
}

func (o *outbox) rouse() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// close has nothing told from then on, and reports whether all was taken.
func (o *outbox) close() (empty bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	return len(o.items) == 0
}
