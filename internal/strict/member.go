package strict

import (
	"context"
	"errors"
	"math"
	"strconv"
	"sync/atomic"
	"time"
)

// Member is one process in the protocol. All its methods are called by one goroutine at a time, and
// so is what its Scheduler runs for it; they never wait. Teller runs one in real time.
type Member struct {
	Config
	Counters

	process  string
	clock    Clock
	broker   Broker
	database Database
	memory   Memory
	out      Scheduler
	flaws    flaws

	standing
	pending map[string]*pending // of others
	own
	others map[Seat]*sighting

	now  time.Time // of this Tick
	next time.Time // when the next one is due
}

// Counters tell what happened.
type Counters struct {
	Joined    atomic.Int64 // seats
	Fenced    atomic.Int64 // others that were given up
	Again     atomic.Int64 // writes that were announced again, after their end
	TakenOver atomic.Int64 // writes of others that were ended for them
	CutOff    atomic.Int64 // callers that were told before all others were
}

// standing is how a member stands with the broker.
type standing struct {
	closed bool
	seat   Seat // zero while it has none
	left   Seat // the last one that it had, on which it serves nothing any more
	run    string
	seen   time.Time // when the run was seen first
	ready  bool      // nobody serves on a lease of an earlier run

	asked   time.Time // when the last proof was asked for
	renewed time.Time // when the last one was
	joining int64     // attempts
	tried   time.Time // the last one
	backoff time.Duration

	settled bool // the transactions are over that were open when it joined
	marked  bool
	mark    string
	polled  time.Time
}

// flaws are parts of the protocol that tests leave out, to see that they are needed.
type flaws struct {
	dropsNewer   bool // a renewal ends announcements that came after it was asked for
	keepsStamp   bool // an announcement that is repeated keeps the time at which it came first
	waitsEarly   bool // a lease is waited for from when its counter was asked for
	takesUnknown bool // an unknown end counts as one that is visible
}

// New returns a member that is not started. The process is a name that no other process has, and
// that this one has not had before.
func New(c Config, process string, clock Clock, broker Broker, database Database, memory Memory, out Scheduler) (*Member, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	if process == "" || clock == nil || broker == nil || database == nil || memory == nil || out == nil {
		return nil, errors.New("strict: a member needs a name, a clock, a broker, a database, a memory and a scheduler")
	}
	return &Member{
		Config: c, process: process, clock: clock, broker: broker, database: database, memory: memory, out: out,
		pending: map[string]*pending{}, own: own{writes: map[string]*Write{}}, others: map[Seat]*sighting{},
	}, nil
}

// Start joins. Nothing is served until then.
func (m *Member) Start() {
	m.memory.Stop()
	m.now = m.clock.Now()
	m.ticked = m.now
	m.join()
}

// Close leaves. It answers all who wait for the member: a write that others were not told of in
// time goes on, or is refused, as Config.Fail says. What was announced is ended by others.
func (m *Member) Close() {
	if m.closed {
		return
	}
	m.closed = true
	m.memory.Stop()
	if seat := m.seat; seat != (Seat{}) {
		m.leave(seat)
	}
	m.seat = Seat{}
	for _, w := range m.order {
		var refused error
		if m.Fail {
			refused = errLeft
		}
		w.tell(refused)
		w.release()
	}
}

func (m *Member) leave(seat Seat) {
	m.out.Broker(func(ctx context.Context) func() {
		_ = m.broker.Leave(ctx, seat)
		return func() {}
	})
}

// Tick does what is due, and returns when it is to be called again. It may be called at any time,
// and is called after each event.
func (m *Member) Tick() (next time.Time) {
	now := m.clock.Now()
	// Time in which the process did not run is no time in which others did not answer.
	m.active += min(now.Sub(m.ticked), m.Repeat)
	m.now, m.ticked, m.next = now, now, now.Add(m.Lease)
	if m.closed {
		return m.next
	}
	switch {
	case m.seat == Seat{}:
		if m.every(&m.tried, m.backoff) {
			m.join()
		}
	default:
		if m.every(&m.renewed, m.Lease/renewals) {
			m.renew()
		}
		if !m.settled && m.every(&m.polled, m.Repeat/polls) {
			m.settle()
		}
	}
	m.tickWrites()
	return m.next
}

// every reports whether so much time has passed since last, which is now then.
func (m *Member) every(last *time.Time, d time.Duration) bool {
	due := m.due(last.Add(d))
	if due {
		*last = m.now
		m.due(m.now.Add(d))
	}
	return due
}

// due reports whether a time has come, and sees to it that it is looked at then.
func (m *Member) due(at time.Time) bool {
	if !m.now.Before(at) {
		return true
	}
	if at.Before(m.next) {
		m.next = at
	}
	return false
}

// join asks for a seat. Only the answer to the last attempt counts. What else is given to this
// process, because a request was repeated or came twice, is given back at once, or after the next
// renewal where the answer was lost.
func (m *Member) join() {
	m.joining++
	attempt, asked, left := m.joining, m.clock.Now(), m.left
	m.tried, m.backoff = asked, min(max(m.Repeat, 2*m.backoff), m.Lease)
	m.out.Broker(func(ctx context.Context) func() {
		seat, s, err := m.broker.Join(ctx, m.process, left)
		return func() { m.joined(attempt, asked, seat, s, err) }
	})
}

func (m *Member) joined(attempt int64, asked time.Time, seat Seat, s State, err error) {
	if err != nil || m.closed {
		return
	}
	if attempt != m.joining || m.seat != (Seat{}) {
		if seat != m.seat {
			m.leave(seat)
		}
		return
	}
	m.heard()
	m.Joined.Add(1)
	now := m.clock.Now()
	m.seat, m.asked, m.renewed, m.backoff = seat, asked, asked, 0
	if m.run != s.Run {
		m.run, m.seen, m.ready = s.Run, now, false
		m.restartWrites()
	}
	m.ready = m.ready || s.Ready
	m.settled, m.marked, m.polled = false, false, time.Time{}
	m.observe(s.Members, asked)
	m.take(s.Pending, asked)
}

// settle waits until all transactions are over that were open when the member joined. One of them
// may have been announced in an earlier run, of which this one knows nothing: what is read while it
// is open can be outdated by its commit without another announcement.
func (m *Member) settle() {
	seat, marked, mark := m.seat, m.marked, m.mark
	m.out.Database(func(ctx context.Context) func() {
		if !marked {
			mark, err := m.database.Mark(ctx)
			return func() {
				if err == nil && m.seat == seat && !m.marked {
					m.marked, m.mark, m.polled = true, mark, time.Time{}
				}
			}
		}
		passed, err := m.database.Passed(ctx, mark)
		return func() {
			if err == nil && passed && m.seat == seat {
				m.settled = true
				m.serve()
			}
		}
	})
}

func (m *Member) serve() {
	if m.settled && !m.closed {
		m.memory.Serve(m.asked, m.serves())
	}
}

// renew asks for another lease, which counts from now: what the broker does after it has seen the
// renewal is not done without this member, or not before the lease has ended.
func (m *Member) renew() {
	seat, asked := m.seat, m.clock.Now()
	m.out.Broker(func(ctx context.Context) func() {
		s, err := m.broker.Renew(ctx, seat)
		return func() { m.renewal(seat, asked, s, err) }
	})
}

func (m *Member) renewal(seat Seat, asked time.Time, s State, err error) {
	if m.seat != seat || m.closed {
		return
	}
	if errors.Is(err, ErrGone) {
		m.heard()
		m.lose("the seat was given up")
		return
	}
	if err != nil {
		return
	}
	m.heard()
	m.ready = m.ready || s.Ready
	m.take(s.Pending, asked)
	m.observe(s.Members, asked)
	m.fenceIdle(s.Members)
	m.takeOver(s)
	for _, other := range s.Members {
		if other.Process == m.process && other.Seat != m.seat {
			m.leave(other.Seat)
		}
	}
	if asked.After(m.asked) {
		m.asked = asked
	}
	m.serve()
}

// lose gives up the seat, and what is in memory: there may be changes of which this process was not
// told.
func (m *Member) lose(reason string) {
	m.rise(reason)
	m.join()
}

// rise does what lose does, and asks for no other seat.
func (m *Member) rise(reason string) {
	m.memory.Stop()
	m.memory.Reset(reason)
	m.left, m.seat, m.settled = m.seat, Seat{}, false
}

// Denied takes in that the broker does not let this process hear what others write, or tell them
// that it has. A member like that would have each write wait for it. It leaves, and asks for
// another seat a lease after this was said last.
func (m *Member) Denied() {
	if m.closed {
		return
	}
	if seat := m.seat; seat != (Seat{}) {
		m.leave(seat)
		m.rise("the broker does not let the process hear, or tell, what is written")
	}
	m.joining++ // an attempt that is under way counts no more
	m.tried, m.backoff = m.clock.Now(), m.Lease
}

// ended notes that a run has ended.
func (m *Member) ended(run string) {
	if m.seat.Run == run && m.seat != (Seat{}) && !m.closed {
		m.lose("the broker lost what it knew")
	}
}

// heard notes that the broker answered. What failed while it was out of reach is tried again at
// once.
func (m *Member) heard() {
	if m.active-m.answered > m.Lease/2 {
		for _, w := range m.order {
			w.failed = 0
		}
	}
	m.answered = m.active
}

// sighting is how often a seat had been renewed when it was seen.
type sighting struct {
	counter int64
	since   time.Time // it had this counter at this time, or before
	fenced  time.Time // when it was last tried
}

// observe takes in which members there are. asked is when the broker was asked.
func (m *Member) observe(members []Standing, asked time.Time) {
	since := m.clock.Now()
	if m.flaws.waitsEarly {
		since = asked
	}
	for _, s := range members {
		if s.Process != m.process {
			m.sight(s, since)
		}
	}
	for seat := range m.others {
		if !seated(members, seat) {
			delete(m.others, seat)
		}
	}
}

func (m *Member) sight(s Standing, since time.Time) {
	o := m.others[s.Seat]
	if o == nil {
		o = &sighting{counter: math.MinInt64}
		m.others[s.Seat] = o
	}
	if s.Counter > o.counter {
		o.counter, o.since = s.Counter, since
	}
}

func seated(members []Standing, seat Seat) bool {
	for i := range members {
		if members[i].Seat == seat {
			return true
		}
	}
	return false
}

// fence gives up a member whose lease has ended: its counter has not moved for longer than that.
func (m *Member) fence(seat Seat, leases int) {
	o := m.others[seat]
	if o == nil || !m.due(o.since.Add(time.Duration(leases)*m.outlives())) || !m.every(&o.fenced, m.Repeat) {
		return
	}
	s := Standing{seat, o.counter}
	m.out.Broker(func(ctx context.Context) func() {
		gone, counter, err := m.broker.Fence(ctx, s)
		return func() {
			switch {
			case errors.Is(err, ErrGone):
				m.ended(seat.Run)
			case err != nil:
			case gone:
				m.heard()
				m.Fenced.Add(1)
				m.Gone(seat)
			default:
				m.heard()
				m.sight(Standing{seat, counter}, m.clock.Now())
			}
		}
	})
}

// fenceIdle gives up members that have not been seen for long, so that somebody ends their writes.
func (m *Member) fenceIdle(members []Standing) {
	for _, s := range members {
		if s.Process != m.process {
			m.fence(s.Seat, idleLeases)
		}
	}
}

// Gone takes in that a seat was taken away: nobody serves on it any more.
func (m *Member) Gone(seat Seat) {
	if seat == m.seat && seat != (Seat{}) && !m.closed {
		m.lose("the seat was taken away")
		return
	}
	delete(m.others, seat)
	for _, w := range m.writing() {
		w.without(seat)
	}
}

func (m *Member) name() string {
	m.named++
	return m.process + "/" + strconv.FormatInt(m.named, 36)
}
