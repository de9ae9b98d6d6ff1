package strict

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// hand is a member whose steps wait until a test lets each of them happen.
type hand struct {
	*Member
	now    time.Time
	steps  []func(context.Context) func()
	memory notes
}

// notes is a memory that notes what it was told.
type notes struct {
	told    []string
	blocked []string
}

func (n *notes) Serve(time.Time, time.Duration) { n.told = append(n.told, "serve") }
func (n *notes) Stop()                          { n.told = append(n.told, "stop") }
func (n *notes) Reset(string)                   { n.told = append(n.told, "reset") }
func (n *notes) Begin(batch []byte) func(End) {
	n.blocked = append(n.blocked, string(batch))
	return func(End) {
		for i, b := range n.blocked {
			if b == string(batch) {
				n.blocked = append(n.blocked[:i:i], n.blocked[i+1:]...)
				return
			}
		}
	}
}

// quiet is a database without open transactions, and in which none ends.
type quiet struct{ over bool }

func (q *quiet) Over(context.Context, string) (bool, error)   { return q.over, nil }
func (q *quiet) Mark(context.Context) (string, error)         { return "1", nil }
func (q *quiet) Passed(context.Context, string) (bool, error) { return true, nil }

func (h *hand) Now() time.Time                                  { return h.now }
func (h *hand) Broker(step func(context.Context) (then func())) { h.steps = append(h.steps, step) }
func (h *hand) Database(step func(context.Context) (then func())) {
	h.steps = append(h.steps, step)
}

func newHand(t *testing.T, c Config, name string, broker Broker, db Database) *hand {
	t.Helper()
	h := &hand{now: time.Unix(1000, 0)}
	m, err := New(c, name, h, broker, db, &h.memory, h)
	if err != nil {
		t.Fatal(err)
	}
	h.Member = m
	m.Start()
	return h
}

// step has the broker, or the database, do the oldest step that waits, and returns its answer.
func (h *hand) step() (then func()) {
	step := h.steps[0]
	h.steps = h.steps[1:]
	return step(context.Background())
}

// all does all that waits, until nothing does.
func (h *hand) all() {
	for len(h.steps) > 0 {
		h.step()()
	}
}

func (h *hand) pass(d time.Duration) {
	h.now = h.now.Add(d)
	h.Tick()
}

const lease = time.Second

// serving returns members that serve, in a run that is ready.
func serving(t *testing.T, c Config, broker *LocalBroker, db Database, names ...string) (hands []*hand) {
	t.Helper()
	for _, name := range names {
		h := newHand(t, c, name, broker, db)
		for range 4 {
			h.all()
			h.pass(h.Repeat)
		}
		if last := h.memory.told[len(h.memory.told)-1]; last != "serve" {
			t.Fatalf("%s was told %q: want to serve at last", name, h.memory.told)
		}
		hands = append(hands, h)
	}
	broker.state.ready = true
	for _, h := range hands {
		h.ready = true
	}
	return hands
}

// TestARepeatedAnnouncementCountsAnew: a renewal that is answered late does not end what was
// announced again in a new run, after the renewal was asked for. The notice of the old run must
// have come after the member joined the new one; the simulation seldom comes this way.
func TestARepeatedAnnouncementCountsAnew(t *testing.T) {
	t.Parallel()
	for _, flawed := range []bool{false, true} {
		broker := &LocalBroker{}
		hands := serving(t, Config{Lease: lease}, broker, &quiet{}, "writer", "reader")
		writer, reader := hands[0], hands[1]
		reader.flaws.keepsStamp = flawed

		granted := false
		w := writer.Announce([]byte("row"), "7", func(err error) { granted = err == nil })
		writer.all()
		broker.server++ // it loses what it knows, with the announcement on its way

		reader.pass(lease / 4)
		renewal := reader.step()
		renewal()               // the seat was given up: it asks for another one
		joined := reader.step() // in the new run, where nothing is pending
		reader.now = reader.now.Add(time.Millisecond)
		reader.Announced(w.a) // of the old run
		joined()
		reader.all()

		reader.pass(lease / 4)
		late := reader.step() // the broker answers that nothing is pending
		reader.now = reader.now.Add(time.Millisecond)

		writer.pass(lease / 4)
		writer.all()
		if len(broker.state.pending) != 1 || writer.seat.Run != reader.seat.Run {
			t.Fatalf("pending are %v: want the write, in the new run", broker.state.pending)
		}
		reader.Announced(w.a)
		late()
		if blocked := len(reader.memory.blocked); blocked != 1 && !flawed || blocked != 0 && flawed {
			t.Errorf("flawed %v: %d writes block the reader, with the write pending", flawed, blocked)
		}
		if granted {
			t.Error("granted without an acknowledgement")
		}
	}
}

// TestAnswersOfAnotherRunDoNotCount: who the members were in a run that has ended says nothing of
// who they are in the next one.
func TestAnswersOfAnotherRunDoNotCount(t *testing.T) {
	t.Parallel()
	broker := &LocalBroker{}
	writer := serving(t, Config{Lease: lease}, broker, &quiet{}, "writer")[0]
	granted := false
	writer.Announce([]byte("row"), "7", func(err error) { granted = err == nil })
	late := writer.step() // nobody else is there
	broker.server++
	serving(t, Config{Lease: lease}, broker, &quiet{}, "reader")
	writer.pass(lease / 4)
	writer.step()() // the renewal
	writer.step()() // the announcement again, in the run that has ended
	writer.step()() // joins
	again := writer.step()
	late()
	if writer.seat == (Seat{}) || !writer.ready || granted {
		t.Fatalf("the seat is %v, ready %v, and granted %v: want a seat, ready, and nothing granted", writer.seat, writer.ready, granted)
	}
	again()
	writer.all()
	late()
	if granted {
		t.Error("granted without an acknowledgement of the reader")
	}
}

// TestStoppedTimeIsNoPatience: a process that was stopped for long asks again before it takes
// itself for cut off.
func TestStoppedTimeIsNoPatience(t *testing.T) {
	t.Parallel()
	broker := &LocalBroker{}
	hands := serving(t, Config{Lease: lease}, broker, &quiet{}, "writer", "reader")
	writer, reader := hands[0], hands[1]
	told := errors.New("not told")
	w := writer.Announce([]byte("row"), "7", func(err error) { told = err })
	writer.all()
	writer.pass(time.Minute) // in which it was stopped
	if told == nil || writer.CutOff.Load() != 0 {
		t.Fatalf("granted (%v) without an acknowledgement, with %d cut off", told, writer.CutOff.Load())
	}
	writer.Acknowledged(Acknowledgement{w.a.ID, reader.seat})
	if told != nil {
		t.Errorf("acknowledged, and granted is %v", told)
	}
	// Without an answer it is cut off after a lease in which it ran.
	told = errors.New("not told")
	writer.Announce([]byte("row"), "8", func(err error) { told = err })
	for range 2 * repeats {
		writer.pass(writer.Repeat)
	}
	if told != nil || writer.CutOff.Load() != 1 {
		t.Errorf("nobody answered for two leases: told %v, %d cut off", told, writer.CutOff.Load())
	}
}

// TestWhatIsOwedIsBounded: writes that were committed without others knowing become one that
// changes everything.
func TestWhatIsOwedIsBounded(t *testing.T) {
	t.Parallel()
	broker := &LocalBroker{}
	h := serving(t, Config{Lease: lease}, broker, &quiet{}, "writer")[0]
	returned := 0
	for i := range maxOwed + 100 {
		w := h.Announce(fmt.Appendf(nil, "row %d", i), "7", func(error) {})
		h.steps = nil // nothing arrives
		w.cut, w.granted = true, nil
		w.Finish(EndVisible, func() { returned++ })
	}
	if returned != maxOwed+100 || len(h.writes) > maxOwed+1 || len(h.memory.blocked) != len(h.writes) {
		t.Errorf("%d returned, %d writes, %d block: want %d, and %d at most", returned, len(h.writes), len(h.memory.blocked), maxOwed+100, maxOwed+1)
	}
	for range 10 {
		h.pass(h.Repeat)
		h.all()
	}
	if len(h.writes) != 0 || len(h.memory.blocked) != 0 || len(broker.state.pending) != 0 {
		t.Errorf("%d writes, %d block, %d are pending, after the broker answered", len(h.writes), len(h.memory.blocked), len(broker.state.pending))
	}
}

// refusing is a broker that answers, and refuses to take some steps.
type refusing struct {
	*LocalBroker
	announces, finishes bool // are refused
	refused             int
}

var errNo = errors.New("no")

func (b *refusing) Announce(ctx context.Context, run string, a Announcement) (State, error) {
	if b.announces {
		b.refused++
		return State{}, errNo
	}
	return b.LocalBroker.Announce(ctx, run, a)
}

func (b *refusing) Finish(ctx context.Context, run, write string, end End) error {
	if b.finishes {
		b.refused++
		return errNo
	}
	return b.LocalBroker.Finish(ctx, run, write, end)
}

// TestWhatIsRefusedIsBounded: writes that cannot be announced, or not finished, stay few, and are
// tried seldom; when nothing is refused any more, none is left.
func TestWhatIsRefusedIsBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		broker refusing
		end    End
	}{
		{"announced", refusing{announces: true}, EndVisible},
		{"finished", refusing{finishes: true}, EndVisible},
		{"undone", refusing{finishes: true}, EndUndone},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			broker := &c.broker
			local := &LocalBroker{}
			broker.LocalBroker = local
			h := serving(t, Config{Lease: lease}, local, &quiet{}, "writer")[0]
			h.Member.broker = broker
			for i := range 4 * maxOwed {
				w := h.Announce(fmt.Appendf(nil, "row %d", i), "7", func(error) {})
				h.all()
				w.cut = true // its caller had no patience
				w.tell(nil)
				w.Finish(c.end, func() {})
				h.all()
				if w.done != nil {
					w.leave()
				}
			}
			if len(h.writes) > maxOwed+1 || len(h.memory.blocked) > maxOwed+1 {
				t.Errorf("%d writes, %d block: want %d at most", len(h.writes), len(h.memory.blocked), maxOwed+1)
			}
			writes, refused := len(h.writes), 0
			const leases = 40
			for i := range leases * repeats {
				if i == leases*repeats/2 {
					refused = broker.refused
				}
				h.pass(h.Repeat)
				h.all()
			}
			// The first one is sent again by renewals where it is pending, and is not counted here.
			if n, most := broker.refused-refused, (writes+len(local.state.pending))*leases; c.broker.announces && n > writes*(leases/2/longest+1) || n > most*renewals {
				t.Errorf("%d steps were refused in %d leases, of %d writes", n, leases/2, writes)
			}
			broker.announces, broker.finishes = false, false
			for range 2 * longest * repeats {
				h.pass(h.Repeat)
				h.all()
			}
			if len(h.writes) != 0 || len(h.memory.blocked) != 0 || len(local.state.pending) != 0 {
				t.Errorf("%d writes, %d block, %d are pending, when nothing is refused", len(h.writes), len(h.memory.blocked), len(local.state.pending))
			}
		})
	}
}

// TestAnUnknownEndIsAskedFor: the caller does not wait, and nothing is ended before the database
// says so.
func TestAnUnknownEndIsAskedFor(t *testing.T) {
	t.Parallel()
	broker, db := &LocalBroker{}, &quiet{}
	h := serving(t, Config{Lease: lease}, broker, db, "writer")[0]
	w := h.Announce([]byte("row"), "7", func(error) {})
	h.all()
	returned := false
	w.Finish(EndUnknown, func() { returned = true })
	for range 100 {
		h.pass(h.Repeat)
		h.all()
	}
	if !returned || len(h.memory.blocked) != 1 || len(broker.state.pending) != 1 {
		t.Fatalf("returned %v, %d block, %d are pending: want true, 1, 1", returned, len(h.memory.blocked), len(broker.state.pending))
	}
	db.over = true
	for range 3 {
		h.pass(h.Repeat)
		h.all()
	}
	if len(h.memory.blocked) != 0 || len(broker.state.pending) != 0 || len(h.writes) != 0 {
		t.Errorf("%d block, %d are pending, after the transaction was over", len(h.memory.blocked), len(broker.state.pending))
	}
}

// TestConfig: bad settings are one clear error.
func TestConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config Config
		name   string
		want   string // of the error
	}{
		{Config{}, "a", ""},
		{Config{Lease: time.Second, Margin: 0.1, Repeat: time.Second}, "a", ""},
		{Config{Lease: -1}, "a", "Lease"},
		{Config{Lease: time.Second, Repeat: 2 * time.Second}, "a", "Repeat"},
		{Config{Repeat: -1}, "a", "Repeat"},
		{Config{Margin: 0.5}, "a", "Margin"},
		{Config{Margin: -0.1}, "a", "Margin"},
		{Config{}, "", "name"},
	} {
		h := &hand{}
		_, err := New(c.config, c.name, h, &LocalBroker{}, &quiet{}, &h.memory, h)
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%+v: %v, want an error of %q", c.config, err, c.want)
		}
	}
}

// deaf is a broker that lets nobody acknowledge.
type deaf struct{ *LocalBroker }

func (deaf) Acknowledge(context.Context, string, Acknowledgement) error {
	return fmt.Errorf("of a test: %w", ErrDenied)
}

// TestAMemberThatMayNotHearOrTellHoldsUpNoWrite: it leaves, serves nothing, and comes back once it
// was not refused anything for a lease.
func TestAMemberThatMayNotHearOrTellHoldsUpNoWrite(t *testing.T) {
	t.Parallel()
	for name, denied := range map[string]func(broker *LocalBroker, reader *hand, write func()){
		"hear": func(broker *LocalBroker, reader *hand, write func()) {
			broker.Unsubscribe("reader")
			reader.Denied()
			write()
		},
		"hear, which it is told while the write waits": func(broker *LocalBroker, reader *hand, write func()) {
			broker.Unsubscribe("reader")
			write()
			reader.Denied()
		},
		"tell": func(broker *LocalBroker, reader *hand, write func()) {
			reader.broker = deaf{broker}
			write()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := &LocalBroker{}
			hands := serving(t, Config{Lease: lease}, broker, &quiet{}, "writer", "reader")
			writer, reader := hands[0], hands[1]
			broker.Subscribe("writer", writer)
			broker.Subscribe("reader", reader)
			granted := 0
			denied(broker, reader, func() {
				writer.Announce([]byte("a"), "", func(err error) {
					if granted++; err != nil {
						t.Error(err)
					}
				})
				writer.all()
			})
			reader.all()
			writer.all()
			if granted != 1 {
				t.Fatal("the write waits for a member that may not hear or tell")
			}
			if at := len(reader.memory.told) - 1; at < 0 || reader.memory.told[at] != "reset" || broker.state.held(reader.seat) >= 0 {
				t.Fatalf("the reader was told %q: want to serve nothing, and to forget all", reader.memory.told)
			}
			reader.Denied() // again, as long as it is so
			for range repeats - 1 {
				reader.pass(reader.Repeat)
				reader.all()
			}
			if reader.seat != (Seat{}) || len(broker.state.members) != 1 {
				t.Fatalf("it has a seat again within a lease: %v", broker.state.members)
			}
			reader.broker = broker
			for range repeats {
				reader.pass(reader.Repeat)
				reader.all()
			}
			if last := reader.memory.told[len(reader.memory.told)-1]; last != "serve" {
				t.Errorf("it was told %q: want to serve once it is refused nothing", reader.memory.told)
			}
		})
	}
}

// TestASeatThatComesTooLateIsGivenBack: of an attempt that counts no more.
func TestASeatThatComesTooLateIsGivenBack(t *testing.T) {
	t.Parallel()
	broker := &LocalBroker{}
	h := newHand(t, Config{Lease: lease}, "process", broker, &quiet{})
	late := h.step() // which has given it a seat
	h.Denied()
	late()
	h.all()
	if h.seat != (Seat{}) || len(broker.state.members) != 0 {
		t.Errorf("the process sits at %v, the broker knows of %v: want none", h.seat, broker.state.members)
	}
}
