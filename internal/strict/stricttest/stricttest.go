// Package stricttest has the tests that every strict.Broker passes: what each step does as one
// atomic step, and which notices it gives.
package stricttest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/strict"
)

// Bed is a broker, as a test needs it.
type Bed struct {
	Broker strict.Broker
	// Subscribe has a process told, from when it returns.
	Subscribe func(process string, to strict.Listener)
	// Restart has the server of the broker start anew, with the state that it had. Empty takes the
	// state away while the server runs. Either may be nil.
	Restart, Empty func()
}

// wait is how long a notice may take.
const wait = 10 * time.Second

// Run runs the tests. Each has a broker to itself, that knows nothing.
func Run(t *testing.T, open func(t *testing.T) Bed) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Bed)
	}{
		{"Join", join},
		{"Renew", renew},
		{"Announce", announce},
		{"Acknowledge", acknowledge},
		{"Finish", finish},
		{"Fence", fence},
		{"Ready", ready},
		{"Leave", leave},
		{"AnotherRun", anotherRun},
		{"AtOnce", atOnce},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// notices are those of one process.
type notices struct {
	mu   sync.Mutex
	told []string
}

func (n *notices) tell(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, fmt.Sprintf(format, args...))
}

func (n *notices) Announced(a strict.Announcement) {
	n.tell("announced %s of %s in %s: %q", a.ID, a.Process, a.Tx, a.Batch)
}
func (n *notices) Finished(write string, end strict.End) { n.tell("finished %s: %d", write, end) }
func (n *notices) Acknowledged(a strict.Acknowledgement) {
	n.tell("acknowledged %s by %v", a.Write, a.Seat)
}
func (n *notices) Gone(seat strict.Seat) { n.tell("gone %v", seat) }

// await waits for a notice, and forgets it.
func (n *notices) await(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(wait); ; time.Sleep(time.Millisecond) {
		n.mu.Lock()
		i := slices.Index(n.told, want)
		if i >= 0 {
			n.told = slices.Delete(n.told, i, i+1)
		}
		told := strings.Join(n.told, "\n")
		n.mu.Unlock()
		if i >= 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not told %q, but\n%s", want, told)
		}
	}
}

func (b Bed) listen(process string) *notices {
	n := &notices{}
	b.Subscribe(process, n)
	return n
}

func (b Bed) join(t *testing.T, process string, left ...strict.Seat) (strict.Seat, strict.State) {
	t.Helper()
	seat, state, err := b.Broker.Join(t.Context(), process, append(left, strict.Seat{})[0])
	if err != nil {
		t.Fatal(err)
	}
	if seat.Process != process || seat.Run != state.Run || seat.Run == "" {
		t.Fatalf("%s got the seat %v in the run %q", process, seat, state.Run)
	}
	return seat, state
}

func (b Bed) renew(t *testing.T, seat strict.Seat) strict.State {
	t.Helper()
	state, err := b.Broker.Renew(t.Context(), seat)
	if err != nil {
		t.Fatalf("renew %v: %v", seat, err)
	}
	return state
}

// standing returns where a seat stands.
func standing(t *testing.T, state strict.State, seat strict.Seat) strict.Standing {
	t.Helper()
	i := slices.IndexFunc(state.Members, func(s strict.Standing) bool { return s.Seat == seat })
	if i < 0 {
		t.Fatalf("members are %v: want %v among them", state.Members, seat)
	}
	return state.Members[i]
}

func wants(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// write is one with bytes that are no text.
var write = strict.Announcement{ID: "a/1", Process: "a", Tx: "741", Batch: []byte("\x00row \xff'\"\n 1")}

func (b Bed) announce(t *testing.T, run string, a strict.Announcement) strict.State {
	t.Helper()
	state, err := b.Broker.Announce(t.Context(), run, a)
	if err != nil {
		t.Fatalf("announce %v: %v", a, err)
	}
	return state
}

func same(a, b strict.Announcement) bool {
	return a.ID == b.ID && a.Process == b.Process && a.Tx == b.Tx && string(a.Batch) == string(b.Batch)
}

func join(t *testing.T, b Bed) {
	told := b.listen("b")
	first, state := b.join(t, "a")
	if len(state.Pending) != 0 || state.Ready {
		t.Errorf("a run begins with %+v: want nothing pending, and not ready", state)
	}
	standing(t, state, first)
	b.announce(t, state.Run, write)
	other, state := b.join(t, "b")
	if len(state.Pending) != 1 || !same(state.Pending[0], write) {
		t.Errorf("pending are %v: want %v", state.Pending, write)
	}
	standing(t, state, other)
	// The same process again: another seat, and only the one is gone that it has left.
	kept, state := b.join(t, "a")
	standing(t, state, first)
	second, state := b.join(t, "a", first)
	if second == first || second == other || second == kept {
		t.Errorf("the seats are %v, %v, %v, %v: want four", first, other, kept, second)
	}
	if len(state.Members) != 3 {
		t.Errorf("members are %v: want three", state.Members)
	}
	b.renew(t, kept)
	b.join(t, "a", first) // once more, when it is gone already
	told.await(t, fmt.Sprintf("gone %v", first))
	_, err := b.Broker.Renew(t.Context(), first)
	wants(t, "renewal of the first seat", err, strict.ErrGone)
	b.renew(t, second)
}

func renew(t *testing.T, b Bed) {
	seat, state := b.join(t, "a")
	before := standing(t, state, seat).Counter
	b.announce(t, state.Run, write)
	state = b.renew(t, seat)
	if now := standing(t, state, seat).Counter; now <= before {
		t.Errorf("the counter went from %d to %d: want more", before, now)
	}
	if len(state.Pending) != 1 || !same(state.Pending[0], write) {
		t.Errorf("pending are %v: want %v", state.Pending, write)
	}
	for _, gone := range []strict.Seat{{Run: seat.Run, Process: "b", Number: 1}, {Run: seat.Run, Process: "a", Number: seat.Number + 1}, {Run: "another", Process: "a", Number: seat.Number}} {
		_, err := b.Broker.Renew(t.Context(), gone)
		wants(t, fmt.Sprintf("renewal of %v", gone), err, strict.ErrGone)
	}
}

func announce(t *testing.T, b Bed) {
	told := b.listen("b")
	a, _ := b.join(t, "a")
	other, state := b.join(t, "b")
	for range 2 { // again: it is told again, and pending once
		state = b.announce(t, state.Run, write)
		standing(t, state, a)
		standing(t, state, other)
		told.await(t, fmt.Sprintf("announced a/1 of a in 741: %q", write.Batch))
	}
	if pending := b.renew(t, a).Pending; len(pending) != 1 {
		t.Errorf("pending are %v: want one", pending)
	}
	_, err := b.Broker.Announce(t.Context(), "another", strict.Announcement{ID: "a/2", Process: "a"})
	wants(t, "announced in another run", err, strict.ErrGone)
	if pending := b.renew(t, a).Pending; len(pending) != 1 {
		t.Errorf("pending are %v: want one", pending)
	}
	empty := strict.Announcement{ID: "a/3", Process: "a"} // everything, without a transaction
	b.announce(t, state.Run, empty)
	told.await(t, `announced a/3 of a in : ""`)
	if pending := b.renew(t, a).Pending; !slices.ContainsFunc(pending, func(p strict.Announcement) bool { return same(p, empty) }) {
		t.Errorf("pending are %v: want %v among them", pending, empty)
	}
}

func acknowledge(t *testing.T, b Bed) {
	told := b.listen("a")
	seat, _ := b.join(t, "b")
	if err := b.Broker.Acknowledge(t.Context(), "a", strict.Acknowledgement{Write: "a/1", Seat: seat}); err != nil {
		t.Fatal(err)
	}
	told.await(t, fmt.Sprintf("acknowledged a/1 by %v", seat))
}

func finish(t *testing.T, b Bed) {
	told := b.listen("b")
	a, state := b.join(t, "a")
	b.announce(t, state.Run, write)
	err := b.Broker.Finish(t.Context(), "another", write.ID, strict.EndVisible)
	wants(t, "finished in another run", err, strict.ErrGone)
	if pending := b.renew(t, a).Pending; len(pending) != 1 {
		t.Errorf("pending are %v: want one", pending)
	}
	for range 2 { // the second time it is pending no longer
		if err := b.Broker.Finish(t.Context(), state.Run, write.ID, strict.EndUndone); err != nil {
			t.Fatal(err)
		}
		told.await(t, fmt.Sprintf("finished a/1: %d", strict.EndUndone))
	}
	if pending := b.renew(t, a).Pending; len(pending) != 0 {
		t.Errorf("pending are %v: want none", pending)
	}
}

func fence(t *testing.T, b Bed) {
	told := b.listen("b")
	seat, state := b.join(t, "a")
	seen := standing(t, state, seat)
	now := standing(t, b.renew(t, seat), seat)
	gone, counter, err := b.Broker.Fence(t.Context(), seen)
	if err != nil || gone || counter != now.Counter {
		t.Errorf("after a renewal: gone %v, counter %d, %v: want false, %d", gone, counter, err, now.Counter)
	}
	now = standing(t, b.renew(t, seat), seat)
	for range 2 {
		if gone, _, err = b.Broker.Fence(t.Context(), now); err != nil || !gone {
			t.Errorf("without one: gone %v, %v: want true", gone, err)
		}
	}
	told.await(t, fmt.Sprintf("gone %v", seat))
	_, err = b.Broker.Renew(t.Context(), seat)
	wants(t, "renewal of who was given up", err, strict.ErrGone)
	// The process is back: its old seat stays away, and the new one is not given up with it.
	again, _ := b.join(t, "a")
	if gone, _, err = b.Broker.Fence(t.Context(), now); err != nil || !gone {
		t.Errorf("the old seat: gone %v, %v: want true", gone, err)
	}
	b.renew(t, again)
	_, _, err = b.Broker.Fence(t.Context(), strict.Standing{Seat: strict.Seat{Run: "another", Process: "a", Number: again.Number}})
	wants(t, "given up in another run", err, strict.ErrGone)
}

func ready(t *testing.T, b Bed) {
	seat, state := b.join(t, "a")
	wants(t, "ready in another run", b.Broker.Ready(t.Context(), "another"), strict.ErrGone)
	if b.renew(t, seat).Ready {
		t.Error("ready at once")
	}
	if err := b.Broker.Ready(t.Context(), state.Run); err != nil {
		t.Fatal(err)
	}
	if !b.renew(t, seat).Ready || !b.announce(t, state.Run, write).Ready {
		t.Error("not ready")
	}
	if _, state := b.join(t, "b"); !state.Ready {
		t.Error("not ready for who joins")
	}
}

func leave(t *testing.T, b Bed) {
	told := b.listen("b")
	seat, state := b.join(t, "a")
	other, _ := b.join(t, "b")
	b.announce(t, state.Run, write)
	for range 2 {
		if err := b.Broker.Leave(t.Context(), seat); err != nil {
			t.Fatal(err)
		}
	}
	told.await(t, fmt.Sprintf("gone %v", seat))
	state = b.renew(t, other)
	if len(state.Members) != 1 || len(state.Pending) != 1 {
		t.Errorf("members are %v, pending are %v: want one each", state.Members, state.Pending)
	}
	again, _ := b.join(t, "a")
	if err := b.Broker.Leave(t.Context(), seat); err != nil { // late
		t.Fatal(err)
	}
	b.renew(t, again)
}

func anotherRun(t *testing.T, b Bed) {
	for _, lost := range []struct {
		how string
		do  func()
	}{{"restarted", b.Restart}, {"emptied", b.Empty}, {"emptied again", b.Empty}} {
		if lost.do == nil {
			continue
		}
		t.Run(lost.how, func(t *testing.T) {
			seat, old := b.join(t, "a")
			b.announce(t, old.Run, write)
			if err := b.Broker.Ready(t.Context(), old.Run); err != nil {
				t.Fatal(err)
			}
			lost.do()
			check := func(when string) {
				t.Helper()
				_, err := b.Broker.Renew(t.Context(), seat)
				wants(t, "renewed "+when, err, strict.ErrGone)
				_, err = b.Broker.Announce(t.Context(), old.Run, write)
				wants(t, "announced "+when, err, strict.ErrGone)
				wants(t, "finished "+when, b.Broker.Finish(t.Context(), old.Run, write.ID, strict.EndVisible), strict.ErrGone)
				_, _, err = b.Broker.Fence(t.Context(), strict.Standing{Seat: seat})
				wants(t, "given up "+when, err, strict.ErrGone)
				wants(t, "ready "+when, b.Broker.Ready(t.Context(), old.Run), strict.ErrGone)
			}
			check("before anybody joined")
			other, state := b.join(t, "b")
			if state.Run == old.Run || len(state.Pending) != 0 || len(state.Members) != 1 || state.Ready {
				t.Errorf("after %+v there is %+v: want another run, with nothing of it", old, state)
			}
			check("after somebody joined")
			if state := b.renew(t, other); len(state.Pending) != 0 || len(state.Members) != 1 {
				t.Errorf("there is %+v: want one member, and nothing pending", state)
			}
		})
	}
}

// atOnce has many do the same at a time: no two seats are equal, and nothing is lost. Of a process
// that joins and one that announces, one knows of the other: else neither would wait.
func atOnce(t *testing.T, b Bed) {
	const processes, writes = 8, 20
	b.join(t, "first")
	var (
		mu      sync.Mutex
		seats   = map[strict.Seat]map[string]bool{} // and which writes were pending for whom
		waited  = map[string]map[strict.Seat]bool{} // for whom a write waits
		workers sync.WaitGroup
	)
	for n := range processes {
		workers.Go(func() {
			name := fmt.Sprintf("process %d", n)
			for i := range writes {
				write := fmt.Sprintf("%s/%d", name, i)
				seat, joined, err := b.Broker.Join(t.Context(), name, strict.Seat{})
				var announced strict.State
				if err == nil {
					announced, err = b.Broker.Announce(t.Context(), joined.Run, strict.Announcement{ID: write, Process: name, Batch: []byte("x")})
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if seats[seat] != nil {
					t.Errorf("the seat %v was given twice", seat)
				}
				seats[seat], waited[write] = map[string]bool{}, map[strict.Seat]bool{}
				for _, a := range joined.Pending {
					seats[seat][a.ID] = true
				}
				for _, m := range announced.Members {
					waited[write][m.Seat] = true
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	unknown := 0
	for seat, pending := range seats {
		for write, members := range waited {
			if !pending[write] && !members[seat] {
				unknown++
			}
		}
	}
	if unknown > 0 {
		t.Errorf("%d times neither knew of the other", unknown)
	}
	if _, state := b.join(t, "last"); len(state.Members) != processes*writes+2 || len(state.Pending) != processes*writes {
		t.Errorf("%d members, %d pending: want %d, %d", len(state.Members), len(state.Pending), processes*writes+2, processes*writes)
	}
}
