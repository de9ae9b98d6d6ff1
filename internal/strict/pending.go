package strict

import (
	"context"
	"errors"
	"time"
)

// pending is a write of another process that was announced and has not ended.
type pending struct {
	got   time.Time // when the announcement came last
	end   func(End)
	asked time.Time // when the database was last asked whether it is over
}

// Announced takes in that another process is about to make changes visible. An announcement that
// comes again counts from now: it may be of another run, of which an answer knows nothing that was
// asked for before.
func (m *Member) Announced(a Announcement) {
	if a.Process == m.process || m.closed {
		return
	}
	m.begin(a)
	m.acknowledge(a)
}

func (m *Member) begin(a Announcement) {
	p := m.pending[a.ID]
	if p == nil {
		p = &pending{got: m.clock.Now(), end: m.memory.Begin(a.Batch)}
		m.pending[a.ID] = p
	} else if !m.flaws.keepsStamp {
		p.got = m.clock.Now()
	}
}

// Finished takes in that a write of another process has ended.
func (m *Member) Finished(write string, end End) {
	if p := m.pending[write]; p != nil {
		delete(m.pending, write)
		p.end(end)
	}
}

func (m *Member) acknowledge(a Announcement) {
	if m.seat == (Seat{}) {
		return
	}
	ack := Acknowledgement{a.ID, m.seat}
	m.out.Broker(func(ctx context.Context) func() {
		err := m.broker.Acknowledge(ctx, a.Process, ack)
		return func() {
			if errors.Is(err, ErrDenied) {
				m.Denied()
			}
		}
	})
}

// take takes in what was pending when the broker was asked, and so repairs what notices failed to
// tell: what is not known begins, what is not pending any more has ended. It has not if its
// announcement came after the broker was asked.
func (m *Member) take(list []Announcement, asked time.Time) {
	listed := make(map[string]bool, len(list))
	for _, a := range list {
		listed[a.ID] = true
		switch {
		case a.Process != m.process:
			if m.pending[a.ID] == nil {
				m.begin(a)
			}
			m.acknowledge(a)
		case m.writes[a.ID] == nil:
			m.finishFor(a.ID) // a late copy of what this process announced, and has ended
		}
	}
	for id, p := range m.pending {
		if !listed[id] && (p.got.Before(asked) || m.flaws.dropsNewer) {
			m.Finished(id, EndVisible)
		}
	}
}

// takeOver ends the writes of processes that have gone, once the database says that their
// transactions are over.
func (m *Member) takeOver(s State) {
	for _, a := range s.Pending {
		p := m.pending[a.ID]
		if p == nil || present(s.Members, a.Process) || !m.every(&p.asked, m.Repeat) {
			continue
		}
		m.out.Database(func(ctx context.Context) func() {
			over, err := m.database.Over(ctx, a.Tx)
			return func() {
				if err == nil && over && m.pending[a.ID] == p && !m.closed {
					m.TakenOver.Add(1)
					m.finishFor(a.ID)
				}
			}
		})
	}
}

func (m *Member) finishFor(write string) {
	run := m.run
	m.out.Broker(func(ctx context.Context) func() {
		_ = m.broker.Finish(ctx, run, write, EndVisible)
		return func() {}
	})
}

func present(members []Standing, process string) bool {
	for i := range members {
		if members[i].Process == process {
			return true
		}
	}
	return false
}
