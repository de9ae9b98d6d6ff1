package strict

import (
	"context"
	"slices"
	"strconv"
	"sync"
)

// LocalBroker is a broker in memory: for tests, and the description of what each step of another
// broker has to do. It is safe for concurrent use. Its lock is a leaf: listeners are called without
// it, one after the other.
type LocalBroker struct {
	mu        sync.Mutex
	server    int // each start of a server is another one
	runs      int // that were begun; no state that is read back takes it back
	state     *brokerState
	listeners []subscription
}

// brokerState is what a broker knows, and loses when it starts anew. It says by which server it was
// written: one that reads back what another one wrote must not take it for its own.
type brokerState struct {
	server  int
	run     string
	ready   bool
	seats   int64
	members []Standing
	pending []Announcement
}

type subscription struct {
	process string
	to      Listener
}

// Subscribe has a process told, from before it joins.
func (b *LocalBroker) Subscribe(process string, to Listener) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listeners = append(slices.Clone(b.listeners), subscription{process, to})
}

// Unsubscribe ends it.
func (b *LocalBroker) Unsubscribe(process string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listeners = slices.DeleteFunc(slices.Clone(b.listeners), func(s subscription) bool { return s.process == process })
}

// step is the atomic part of a step; what it returns is told to all listeners.
func (b *LocalBroker) step(do func() []func(Listener)) {
	b.mu.Lock()
	notices, listeners := do(), b.listeners
	b.mu.Unlock()
	for _, notice := range notices {
		for _, l := range listeners {
			notice(l.to)
		}
	}
}

// in reports whether a run goes on.
func (b *LocalBroker) in(run string) bool {
	return b.state != nil && b.state.server == b.server && b.state.run == run
}

func (s *brokerState) told(pending bool) State {
	told := State{Run: s.run, Ready: s.ready, Members: slices.Clone(s.members)}
	if pending {
		told.Pending = slices.Clone(s.pending)
	}
	return told
}

// held returns where a seat stands, -1 if nobody has it.
func (s *brokerState) held(seat Seat) int {
	return slices.IndexFunc(s.members, func(m Standing) bool { return m.Seat == seat })
}

func (s *brokerState) remove(at int) []func(Listener) {
	seat := s.members[at].Seat
	s.members = slices.Delete(s.members, at, at+1)
	return []func(Listener){func(l Listener) { l.Gone(seat) }}
}

// Join begins a run where the state is missing, or was written by another server. The number of the
// seat has not been given before in this run.
func (b *LocalBroker) Join(_ context.Context, process string, left Seat) (seat Seat, told State, err error) {
	b.step(func() (notices []func(Listener)) {
		if b.state == nil || b.state.server != b.server {
			b.runs++
			b.state = &brokerState{server: b.server, run: strconv.Itoa(b.server) + "." + strconv.Itoa(b.runs)}
		}
		s := b.state
		if at := s.held(left); at >= 0 {
			notices = s.remove(at)
		}
		s.seats++
		seat = Seat{s.run, process, s.seats}
		s.members = append(s.members, Standing{Seat: seat})
		told = s.told(true)
		return notices
	})
	return seat, told, nil
}

// Renew moves the counter.
func (b *LocalBroker) Renew(_ context.Context, seat Seat) (told State, err error) {
	b.step(func() []func(Listener) {
		if !b.in(seat.Run) {
			err = ErrGone
			return nil
		}
		at := b.state.held(seat)
		if at < 0 {
			err = ErrGone
			return nil
		}
		b.state.members[at].Counter++
		told = b.state.told(true)
		return nil
	})
	return told, err
}

// Announce makes a write pending and tells all of it, in any case.
func (b *LocalBroker) Announce(_ context.Context, run string, a Announcement) (told State, err error) {
	b.step(func() []func(Listener) {
		if !b.in(run) {
			err = ErrGone
			return nil
		}
		if !slices.ContainsFunc(b.state.pending, func(p Announcement) bool { return p.ID == a.ID }) {
			b.state.pending = append(b.state.pending, a)
		}
		told = b.state.told(false)
		return []func(Listener){func(l Listener) { l.Announced(a) }}
	})
	return told, err
}

// Acknowledge tells the process only. It does not matter whether the run is the same.
func (b *LocalBroker) Acknowledge(_ context.Context, process string, a Acknowledgement) error {
	b.mu.Lock()
	listeners := b.listeners
	b.mu.Unlock()
	for _, l := range listeners {
		if l.process == process {
			l.to.Acknowledged(a)
		}
	}
	return nil
}

// Finish tells all, whether the write was pending or not.
func (b *LocalBroker) Finish(_ context.Context, run, write string, end End) (err error) {
	b.step(func() []func(Listener) {
		if !b.in(run) {
			err = ErrGone
			return nil
		}
		b.state.pending = slices.DeleteFunc(b.state.pending, func(p Announcement) bool { return p.ID == write })
		return []func(Listener){func(l Listener) { l.Finished(write, end) }}
	})
	return err
}

// Fence compares and removes in one step.
func (b *LocalBroker) Fence(_ context.Context, s Standing) (gone bool, counter int64, err error) {
	b.step(func() []func(Listener) {
		if !b.in(s.Run) {
			err = ErrGone
			return nil
		}
		at := b.state.held(s.Seat)
		if at < 0 {
			gone = true
			return nil
		}
		if counter = b.state.members[at].Counter; counter != s.Counter {
			return nil
		}
		gone = true
		return b.state.remove(at)
	})
	return gone, counter, err
}

// Ready notes it for those who join later, too.
func (b *LocalBroker) Ready(_ context.Context, run string) (err error) {
	b.step(func() []func(Listener) {
		if !b.in(run) {
			err = ErrGone
			return nil
		}
		b.state.ready = true
		return nil
	})
	return err
}

// Leave removes a seat, whatever its counter.
func (b *LocalBroker) Leave(_ context.Context, seat Seat) error {
	b.step(func() []func(Listener) {
		if b.in(seat.Run) {
			if at := b.state.held(seat); at >= 0 {
				return b.state.remove(at)
			}
		}
		return nil
	})
	return nil
}
