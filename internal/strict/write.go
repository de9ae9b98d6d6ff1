package strict

import (
	"context"
	"errors"
	"slices"
	"time"
)

// own are the writes of a member itself.
type own struct {
	writes map[string]*Write
	order  []*Write // the same, as they were announced
	named  int64

	// Time by which callers lose patience: it counts only while the process runs.
	active   time.Duration
	answered time.Duration // when the broker answered last
	ticked   time.Time
}

// phase is how far a write has come.
type phase uint8

const (
	announcing phase = iota // until the broker says who the members are
	waiting                 // for the members
	announced               // all have taken it in, and its end is not known
	asking                  // the database, what became of it
	finishing               // until the broker has noted that it has ended
	over
)

// Write is a write of a member's own process. Its changes are blocked in the memory of this process
// by its caller, from before Announce until done is called.
type Write struct {
	m       *Member
	a       Announcement
	phase   phase
	granted func(error) // nil once it was called
	done    func()      // nil once it was called, and before Finish
	end     End
	ended   bool // Finish was called
	cut     bool // the caller was told before all others were

	run     string // in which it was announced last
	sent    time.Time
	failed  int    // steps of it, one after the other, since the broker was last out of reach
	members []Seat // that have not taken it in, or may not have
	taken   []Seat // that have
	polled  time.Time
	began   time.Duration // of the wait of its caller
	unblock func(End)     // its changes in the memory of this process, once its caller has gone
}

// Announce begins a write. granted is called once no other process serves what the batch touches,
// or with an error if the write must not be committed; then it is over, and Finish may be left out.
func (m *Member) Announce(batch []byte, tx string, granted func(error)) *Write {
	w := &Write{m: m, a: Announcement{ID: m.name(), Process: m.process, Tx: tx, Batch: batch}, granted: granted, began: m.active}
	if m.closed {
		w.phase = over
		w.tell(ErrClosed)
		return w
	}
	m.add(w)
	w.announce()
	return w
}

func (m *Member) add(w *Write) {
	m.writes[w.a.ID] = w
	m.order = append(m.order, w)
}

// writing returns the writes. What is called for one may end others.
func (m *Member) writing() []*Write { return slices.Clone(m.order) }

func (w *Write) tell(err error) {
	if granted := w.granted; granted != nil {
		w.granted = nil
		granted(err)
	}
}

// release tells the caller of Finish that it need not wait.
func (w *Write) release() {
	if done := w.done; done != nil {
		w.done = nil
		done()
	}
}

// announce makes the write pending with the broker, and asks who has to take it in.
func (w *Write) announce() {
	m := w.m
	if m.seat == (Seat{}) {
		return // once it has joined
	}
	asked := m.clock.Now()
	w.run, w.sent = m.run, asked
	run, a := m.run, w.a
	m.out.Broker(func(ctx context.Context) func() {
		s, err := m.broker.Announce(ctx, run, a)
		return func() { w.listed(run, asked, s, err) }
	})
}

// listed takes in who the members were when the write was pending already: whoever joined later was
// told of it when it joined.
func (w *Write) listed(run string, asked time.Time, s State, err error) {
	m := w.m
	if errors.Is(err, ErrGone) {
		m.ended(run)
		return
	}
	if err != nil || m.closed {
		w.failed++
		return
	}
	m.heard()
	w.failed = 0
	if run != m.run || run != w.run || w.phase > waiting {
		return
	}
	m.ready = m.ready || s.Ready
	m.observe(s.Members, asked)
	w.phase = waiting
	w.members = w.members[:0]
	for _, member := range s.Members {
		if member.Process != m.process && !w.takenBy(member.Seat) {
			w.members = append(w.members, member.Seat)
		}
	}
	w.check()
}

// Acknowledged takes in that a member serves nothing of what a write changes.
func (m *Member) Acknowledged(a Acknowledgement) {
	w := m.writes[a.Write]
	if w == nil || w.phase > waiting || w.takenBy(a.Seat) {
		return
	}
	w.taken = append(w.taken, a.Seat)
	for _, seat := range slices.Clone(w.members) {
		if w.takenBy(seat) {
			w.without(seat)
		}
	}
}

// takenBy reports whether the process of a seat has taken the write in, on any seat of the run: the
// write is pending in the run until it has ended, and so whatever seat the process takes later, it
// is told of the write.
func (w *Write) takenBy(seat Seat) bool {
	return slices.ContainsFunc(w.taken, func(s Seat) bool { return s.Run == seat.Run && s.Process == seat.Process })
}

// without waits for a seat no longer.
func (w *Write) without(seat Seat) {
	if i := slices.Index(w.members, seat); i >= 0 {
		w.members = slices.Delete(w.members, i, i+1)
		w.check()
	}
}

// check goes on once all have taken the write in. In a run that is new, members of an earlier one
// may still serve, of which nobody knows: their leases have to end first.
func (w *Write) check() {
	m := w.m
	if w.phase != waiting || len(w.members) > 0 || w.run != m.run {
		return
	}
	if !m.ready {
		if m.clock.Now().Before(m.seen.Add(m.outlives())) {
			return
		}
		m.ready = true
		run := m.run
		m.out.Broker(func(ctx context.Context) func() {
			_ = m.broker.Ready(ctx, run)
			return func() {}
		})
	}
	w.phase = announced
	w.tell(nil)
	if w.ended {
		w.conclude()
	}
}

// Finish says what became of a write. done is called once no process serves what was there before,
// or the caller need not wait for that: of a write that never happens, of one of which nobody knows
// what became, and of one that the others could not be told of in time.
func (w *Write) Finish(end End, done func()) {
	m := w.m
	if w.ended || w.phase == over || m.closed {
		done()
		return
	}
	w.ended, w.end, w.done, w.began, w.granted = true, end, done, m.active, nil
	if end == EndUnknown && m.flaws.takesUnknown {
		w.end = EndVisible
	}
	if w.end != EndVisible || w.cut {
		w.leave()
	}
	if w.phase == announced || w.end == EndUndone {
		w.conclude()
	}
}

// leave lets the caller go before the write is over. What it changes stays blocked here, too.
func (w *Write) leave() {
	if w.end != EndUndone && w.unblock == nil {
		w.unblock = w.m.memory.Begin(w.a.Batch)
	}
	w.release()
	w.m.limit()
}

// conclude goes on with a write whose end was told. Nobody ends a transaction whose end is not
// known but the database.
func (w *Write) conclude() {
	if w.end == EndUnknown {
		w.phase = asking
		return
	}
	w.phase = finishing
	w.finish()
}

// finish has the broker note that the write has ended. If the broker lost meanwhile what it knew,
// members may have joined that were not told of the write: it is announced again.
func (w *Write) finish() {
	m := w.m
	w.sent = m.clock.Now()
	run, id, end := w.run, w.a.ID, w.end
	if run == "" {
		w.forget() // nobody knows of it
		return
	}
	m.out.Broker(func(ctx context.Context) func() {
		err := m.broker.Finish(ctx, run, id, end)
		return func() {
			switch {
			case m.closed || w.phase != finishing || w.run != run:
			case err == nil:
				m.heard()
				w.forget()
			case errors.Is(err, ErrGone):
				m.heard()
				m.ended(run)
				if end == EndUndone {
					w.forget()
					return
				}
				m.Again.Add(1)
				w.restart()
			default:
				w.failed++
			}
		}
	})
}

func (w *Write) ask() {
	m := w.m
	tx := w.a.Tx
	m.out.Database(func(ctx context.Context) func() {
		ended, err := m.database.Over(ctx, tx)
		return func() {
			if err == nil && ended && w.phase == asking && !m.closed {
				w.end = EndVisible
				w.conclude()
			}
		}
	})
}

func (w *Write) restart() {
	w.phase, w.run, w.members, w.taken = announcing, "", nil, nil
	w.announce()
}

// restartWrites announces in a new run what was not announced to all in the one before.
func (m *Member) restartWrites() {
	for _, w := range m.writing() {
		if w.phase <= waiting {
			w.restart()
		}
	}
}

// forget ends a write here.
func (w *Write) forget() {
	w.phase = over
	delete(w.m.writes, w.a.ID)
	if i := slices.Index(w.m.order, w); i >= 0 {
		w.m.order = slices.Delete(w.m.order, i, i+1)
	}
	if w.unblock != nil {
		w.unblock(w.end)
	}
	w.release()
}

// pause is after how long a step is repeated: the more often it failed, the longer, where nobody
// waits for it. A broker that answers may refuse it for good.
func (w *Write) pause() time.Duration {
	if w.granted != nil || w.done != nil {
		return w.m.Repeat
	}
	return min(w.m.Repeat<<min(w.failed, 10), longest*w.m.Lease)
}

func (m *Member) tickWrites() {
	for _, w := range m.writing() {
		switch w.phase {
		case announcing, waiting:
			if m.seat != (Seat{}) && m.every(&w.sent, w.pause()) {
				w.announce()
			}
			for _, seat := range slices.Clone(w.members) {
				m.fence(seat, 1)
			}
			if !m.ready {
				m.due(m.seen.Add(m.outlives()))
			}
			w.check()
		case asking:
			if m.every(&w.polled, m.Repeat) {
				w.ask()
			}
		case finishing:
			if m.every(&w.sent, w.pause()) {
				w.finish()
			}
		}
		w.patience()
	}
}

// patience lets a caller go that waits in vain: the broker does not answer, or a member neither
// takes the write in nor is silent.
func (w *Write) patience() {
	m := w.m
	if w.phase == over || w.granted == nil && w.done == nil {
		return
	}
	if m.active-max(w.began, m.answered) < m.Lease && m.active-w.began < longest*m.Lease {
		m.due(m.now.Add(m.Repeat))
		return
	}
	m.CutOff.Add(1)
	switch {
	case w.granted == nil:
		w.leave()
	case m.Fail:
		w.end, w.ended = EndUndone, true
		w.tell(ErrCutOff)
		w.conclude()
	default:
		w.cut = true
		w.tell(nil)
	}
}

// owed reports whether the caller was let go, and others may not have been told.
func (w *Write) owed() bool {
	return w.ended && w.end != EndUndone && w.done == nil && w.phase <= waiting
}

// Owes reports whether there is a write whose caller was let go, and that others may not have been
// told of.
func (m *Member) Owes() bool { return slices.ContainsFunc(m.order, (*Write).owed) }

// limit keeps the writes few that go on without a caller: from a number on, those that are to be
// announced or finished still become one that changes everything. While that is not announced to
// all, further ones become a part of it. What is left of them with the broker goes with a renewal.
func (m *Member) limit() {
	var owed []*Write
	var all *Write
	for _, w := range m.order {
		switch {
		case !w.ended || w.done != nil:
		case w.phase == finishing, w.phase <= waiting && w.end == EndVisible && len(w.a.Batch) > 0:
			owed = append(owed, w)
		case w.phase <= waiting && w.end == EndVisible:
			all = w
		}
	}
	if len(owed) <= maxOwed {
		return
	}
	if all == nil {
		all = &Write{m: m, a: Announcement{ID: m.name(), Process: m.process}, ended: true, cut: true, began: m.active}
		all.unblock = m.memory.Begin(nil)
		m.add(all)
		all.announce()
	}
	for _, w := range owed {
		w.forget()
	}
}
