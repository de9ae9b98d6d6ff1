package strict

import (
	"context"
	"fmt"
)

// place is where a message goes.
type place int8

const (
	toBroker place = iota
	toDatabase
	toProcess
)

type message struct {
	at   int64
	to   place
	p    *proc
	life int // of the process; another one does not get it
	do   func()
}

func (w *world) delay() int64 {
	switch {
	case w.quiet || !w.fails(200):
		return int64(w.r.IntN(3))
	case w.r.IntN(4) > 0:
		return int64(w.r.IntN(20))
	}
	return int64(w.r.IntN(90))
}

// post sends a message. What an application sends to the database is not faulty: where a connection
// fails, so does its transaction.
func (w *world) post(to place, p *proc, faulty bool, do func()) {
	faulty = faulty && !w.quiet
	switch {
	case faulty && p.cut > w.now:
		w.counts[countCut]++
		return
	case faulty && w.fails(30):
		w.counts[countLost]++
		return
	case faulty && w.fails(20):
		w.counts[countDoubled]++
		w.messages = append(w.messages, message{w.now + 3*w.delay(), to, p, p.life, do})
	}
	w.messages = append(w.messages, message{w.now + w.delay(), to, p, p.life, do})
}

// outside is the Scheduler of a process.
type outside struct{ p *proc }

func (o outside) Broker(step func(context.Context) func()) { o.do(toBroker, step) }

func (o outside) Database(step func(context.Context) func()) { o.do(toDatabase, step) }

func (o outside) do(to place, step func(context.Context) func()) {
	p, life := o.p, o.p.life
	p.w.post(to, p, true, func() {
		then := step(context.Background())
		if p.life == life {
			p.w.post(toProcess, p, true, then)
		}
	})
}

// ear hears what a broker tells a process.
type ear struct {
	p    *proc
	life int
	from *LocalBroker
}

func (e ear) post(do func(*Member)) {
	if e.p.life == e.life && e.p.reaches() == e.from {
		m := e.p.member
		e.p.w.post(toProcess, e.p, true, func() { do(m) })
	}
}

func (e ear) Announced(a Announcement)       { e.post(func(m *Member) { m.Announced(a) }) }
func (e ear) Finished(write string, end End) { e.post(func(m *Member) { m.Finished(write, end) }) }
func (e ear) Acknowledged(a Acknowledgement) { e.post(func(m *Member) { m.Acknowledged(a) }) }
func (e ear) Gone(s Seat)                    { e.post(func(m *Member) { m.Gone(s) }) }

// reaches returns the broker that a process talks to.
func (p *proc) reaches() *LocalBroker {
	if p.w.left != nil && p.side > p.w.now {
		return p.w.left
	}
	return p.w.broker
}

// line is the broker as a process reaches it.
type line struct {
	Broker
	p *proc
}

func (l line) Join(ctx context.Context, process string, left Seat) (Seat, State, error) {
	defer l.look()
	return l.Broker.Join(ctx, process, left)
}

func (l line) Fence(ctx context.Context, s Standing) (bool, int64, error) {
	defer l.look()
	return l.Broker.Fence(ctx, s)
}

func (l line) Leave(ctx context.Context, seat Seat) error {
	defer l.look()
	return l.Broker.Leave(ctx, seat)
}

// look looks whether a seat was taken away from somebody who may serve.
func (l line) look() {
	for _, q := range l.p.w.procs {
		b := q.reaches()
		if q.up && q.memory.alive() && b.in(q.member.seat.Run) && b.state.held(q.member.seat) < 0 {
			l.p.w.violated("given up", "p%d took the seat of p%d away, which serves", l.p.n, q.n)
		}
	}
}

// switchboard chooses the broker at each step.
type switchboard struct{ p *proc }

func (s switchboard) at() Broker {
	b := Broker(s.p.reaches())
	w := s.p.w
	if w.v.lag > 0 && b == Broker(w.left) && w.now > w.isolated+w.v.lag {
		return dead{b} // it has no replica, and refuses to write
	}
	if w.v.broker != nil {
		b = w.v.broker(w, b)
	}
	return line{b, s.p}
}

func (s switchboard) Join(ctx context.Context, p string, left Seat) (Seat, State, error) {
	seat, state, err := s.at().Join(ctx, p, left)
	if s.p.w.tracing {
		s.p.w.logf("broker: %s joins: seat %v, %v", p, seat, err)
	}
	return seat, state, err
}
func (s switchboard) Renew(ctx context.Context, seat Seat) (State, error) {
	state, err := s.at().Renew(ctx, seat)
	if s.p.w.tracing {
		s.p.w.logf("broker: renews %v: %v", seat, err)
	}
	return state, err
}
func (s switchboard) Announce(ctx context.Context, run string, a Announcement) (State, error) {
	state, err := s.at().Announce(ctx, run, a)
	if s.p.w.tracing {
		s.p.w.logf("broker: %s announces in %s: %d members, %v", a.ID, run, len(state.Members), err)
	}
	return state, err
}
func (s switchboard) Acknowledge(ctx context.Context, p string, a Acknowledgement) error {
	return s.at().Acknowledge(ctx, p, a)
}
func (s switchboard) Finish(ctx context.Context, run, write string, end End) error {
	err := s.at().Finish(ctx, run, write, end)
	if s.p.w.tracing {
		s.p.w.logf("broker: p%d finishes %s in %s: %v", s.p.n, write, run, err)
	}
	return err
}
func (s switchboard) Fence(ctx context.Context, st Standing) (bool, int64, error) {
	gone, counter, err := s.at().Fence(ctx, st)
	if s.p.w.tracing {
		s.p.w.logf("broker: p%d fences %v: %v, %v", s.p.n, st, gone, err)
	}
	return gone, counter, err
}
func (s switchboard) Ready(ctx context.Context, run string) error { return s.at().Ready(ctx, run) }
func (s switchboard) Leave(ctx context.Context, seat Seat) error  { return s.at().Leave(ctx, seat) }

// dead is a broker that refuses all that writes, which are all steps.
type dead struct{ Broker }

var errDead = fmt.Errorf("not enough replicas")

func (dead) Join(context.Context, string, Seat) (Seat, State, error)       { return Seat{}, State{}, errDead }
func (dead) Renew(context.Context, Seat) (State, error)                    { return State{}, errDead }
func (dead) Announce(context.Context, string, Announcement) (State, error) { return State{}, errDead }
func (dead) Finish(context.Context, string, string, End) error             { return errDead }
func (dead) Fence(context.Context, Standing) (bool, int64, error)          { return false, 0, errDead }
func (dead) Ready(context.Context, string) error                           { return errDead }
func (dead) Leave(context.Context, Seat) error                             { return errDead }

// deliver takes any message that is due.
func (w *world) deliver() bool {
	due, at := 0, -1
	for i := range w.messages {
		m := &w.messages[i]
		if m.at > w.now || m.to == toProcess && (!m.p.up || m.p.stopped > w.now) && m.life == m.p.life {
			continue
		}
		if due++; w.r.IntN(due) == 0 {
			at = i
		}
	}
	if at < 0 {
		return false
	}
	m := w.messages[at]
	last := len(w.messages) - 1
	w.messages[at] = w.messages[last]
	w.messages[last] = message{}
	w.messages = w.messages[:last]
	if m.to != toProcess || m.life == m.p.life {
		m.do()
	}
	return true
}
