//go:build unix

package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/worldtest"
)

// noting is a member that notes what it is told.
type noting struct {
	preload.Member
	told []string
}

func (n *noting) note(what string)  { n.told = append(n.told, what) }
func (n *noting) ID() string        { return "own" }
func (n *noting) Namespace() string { return "postgres/test" }
func (n *noting) Stop()             { n.note("stop") }
func (n *noting) Reset(string)      { n.note("reset") }
func (n *noting) Serve(asked time.Time, d time.Duration) {
	n.note(fmt.Sprintf("serve %v %v", time.Since(asked), d))
}
func (n *noting) Begin(batch []byte) func(preload.End) {
	n.note("begin " + string(batch))
	return func(preload.End) { n.note("end " + string(batch)) }
}

// follow returns a follower that nobody tells anything, but the test.
func follow() (*follower, *noting) {
	m := &noting{}
	f := New("", Through(newMemory()), WithBound(time.Second), WithLogger(worldtest.Quiet()))
	f.m = m
	f.ctx = context.Background()
	return newFollower(f), m
}

// nowhere is a place of no server.
var nowhere = place{"none", "told", "asked"}

// asks has a follower note a question, as when it asks.
func (f *follower) asks(number uint64, joins bool) {
	f.number = number
	f.asked[number] = query{time.Now(), joins}
}

// TestWhatIsToldIsTakenInOrNothingIsServed: whatever comes by the relay, an answer to a question
// serves where all entries up to it are known, and nowhere else.
func TestWhatIsToldIsTakenInOrNothingIsServed(t *testing.T) {
	t.Parallel()
	begin := func(reign string, number, write uint64) []byte {
		return (&entry{kind: kindBegin, from: reign, number: number, write: write, batch: []byte(fmt.Sprint("w", write))}).bytes()
	}
	open := func(reign string, number, n uint64) []byte {
		return (&entry{kind: kindOpen, from: reign, number: number, open: []write{{n, []byte(fmt.Sprint("w", n))}}}).bytes()
	}
	end := func(reign string, number, write uint64) []byte {
		return (&entry{kind: kindEnd, from: reign, number: number, write: write}).bytes()
	}
	settled := func(reign string, number, first uint64, asks ...ask) []byte {
		return (&entry{kind: kindSettled, from: reign, number: number, first: first, asks: asks}).bytes()
	}
	own, other := ask{"own", 1}, ask{"other", 1}
	gone := (&entry{kind: kindGone, from: "a", number: 3}).bytes()
	joined := [][]byte{settled("a", 1, 1, own)}
	const serve, lost = "serve 10ms 1s", "stop reset"
	for _, c := range []struct {
		name    string
		entries [][]byte
		want    string // of what is told after serve, where entries begin with joined
	}{
		{"nobody is answered", [][]byte{begin("a", 1, 1), settled("a", 2, 1, other)}, "begin w1"},
		{"an answer without what is open", [][]byte{begin("a", 4, 1), settled("a", 5, 0, own)}, "begin w1"},
		{"an answer with a part of what is open", [][]byte{open("a", 4, 2), settled("a", 5, 3, own)}, "begin w2"},
		{"an answer with what is open", [][]byte{open("a", 4, 1), open("a", 5, 2), settled("a", 6, 4, own)}, "begin w1, begin w2, " + serve},
		{"what is open is known already", [][]byte{begin("a", 3, 2), open("a", 4, 2), settled("a", 5, 4, own)}, "begin w2, " + serve},
		{"the end of what is not known", [][]byte{end("a", 3, 1), settled("a", 4, 4, own)}, serve},
		{"a write", append(joined, begin("a", 2, 1), end("a", 3, 1)), "begin w1, end w1"},
		{"added again", append(joined, begin("a", 2, 1), joined[0], begin("a", 2, 1), end("a", 3, 1)), "begin w1, end w1"},
		{"an entry is missing", append(joined, begin("a", 3, 2)), lost + ", begin w2"},
		{"the end of what was open is missing", append(joined, begin("a", 2, 1), begin("a", 4, 2)), "begin w1, " + lost + ", end w1, begin w2"},
		{"an answer after one that is missing", append(joined, settled("a", 3, 0, own)), lost},
		{"another entry of the same number", append(joined, begin("a", 2, 1), begin("a", 2, 2)), "begin w1, " + lost + ", end w1"},
		{"another reign", append(joined, begin("a", 2, 1), begin("b", 3, 2)), "begin w1, " + lost + ", end w1, begin w2"},
		{"another reign, and the same again", append(joined, begin("b", 1, 2), begin("a", 2, 3)), lost + ", begin w2, " + lost + ", end w2, begin w3"},
		{"an answer of another reign", append(joined, settled("b", 2, 0, own)), lost},
		{"nonsense", append(joined, []byte("nonsense"), begin("a", 2, 1)), lost + ", begin w1"},
		{"cut off", append(joined, begin("a", 2, 1)[:9], settled("a", 3, 0, own)), lost},
		{"empty", append(joined, []byte{}), lost},
		{"a question", append(joined, (&entry{kind: kindAsk, from: "a", number: 2}).bytes()), lost},
		{"gone", append(joined, begin("a", 2, 1), gone), "begin w1, " + lost + ", end w1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, m := follow()
				f.asks(1, true)
				time.Sleep(10 * time.Millisecond)
				entries := c.entries
				if string(entries[0]) == string(joined[0]) {
					f.take(entries[0])
					if !slices.Equal(m.told, []string{serve}) {
						t.Fatalf("joined: %q", m.told)
					}
					m.told, entries = nil, entries[1:]
					f.asks(1, false)
					time.Sleep(10 * time.Millisecond)
				}
				for _, e := range entries {
					f.take(e)
				}
				if got := strings.ReplaceAll(strings.Join(m.told, ", "), "stop, reset", lost); got != c.want {
					t.Errorf("told %q, want %q", got, c.want)
				}
			})
		})
	}
}

// TestAnAnswerServesFromWhenItWasAsked, and not from when the question arrived, or the answer came.
func TestAnAnswerServesFromWhenItWasAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, m := follow()
		ctx, cancel := context.WithCancel(t.Context())
		go f.ask(ctx, &nowhere)
		synctest.Wait()
		l := leaderOf(f)
		go func() { _ = l.hear(ctx) }()
		time.Sleep(300 * time.Millisecond) // a question is heard that was asked 50 ms ago
		asked := time.Now()
		time.Sleep(70 * time.Millisecond)
		l.Serve(asked, 0)
		l.take()
		for _, b := range l.sending {
			f.take(b)
		}
		if want := "serve 120ms 1s"; len(m.told) != 1 || m.told[0] != want {
			t.Errorf("told %q, want %q", m.told, want)
		}
		cancel()
		synctest.Wait()
	})
}

// TestALeaderAnswersWhatItHasHeardBefore it asked the server, and nothing else.
func TestALeaderAnswersWhatItHasHeardBefore(t *testing.T) {
	t.Parallel()
	f, _ := follow()
	l := leaderOf(f)
	now := time.Now()
	for i, a := range []ask{{"one", 3}, {"other", 7}, {"one", 2}, {"one", 4}} {
		l.asked = append(l.asked, heard{a, false, now.Add(time.Duration(i) * time.Second)})
	}
	for _, c := range []struct {
		at   time.Duration
		want []ask
	}{
		{-1, nil}, {2 * time.Second, []ask{{"one", 3}, {"other", 7}}}, {2 * time.Second, nil}, {3 * time.Second, []ask{{"one", 4}}}, {time.Hour, nil},
	} {
		l.Serve(now.Add(c.at), 0)
		var got []ask
		for l.take() {
			e, err := entryFrom(l.sending[0])
			worldtest.Must(t, err)
			got, l.sending = append(got, e.asks...), nil
		}
		slices.SortFunc(got, func(a, b ask) int { return strings.Compare(a.process, b.process) })
		if !slices.Equal(got, c.want) {
			t.Errorf("asked at %v it answers %v, want %v", c.at, got, c.want)
		}
	}
}

// leaderOf returns a leader that tells what a test says.
func leaderOf(f *follower) *leader {
	s := newSession(f.Feed, nil)
	return newLeader(s, &nowhere)
}

// TestALeaderThatTellsMoreThanItCan begins anew, with what is open.
func TestALeaderThatTellsMoreThanItCan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, m := follow()
		l := leaderOf(f)
		take := func() {
			for l.take() {
				for _, b := range l.sending {
					f.take(b)
				}
				l.sending = nil
			}
		}
		join := func(number uint64) {
			l.asked = append(l.asked, heard{ask{"own", number}, true, time.Now()})
			f.asks(number, true)
			l.Serve(time.Now(), 0)
		}
		l.Begin([]byte("open"))
		join(1)
		take()
		if want := []string{"begin open", "serve 0s 1s"}; !slices.Equal(m.told, want) {
			t.Fatalf("told %q, want %q", m.told, want)
		}
		m.told = nil
		for range maxQueue / 2 {
			l.Begin(nil)(preload.EndVisible)
		}
		l.Begin([]byte("last"))
		join(2)
		take()
		if want := []string{"stop", "reset", "end open", "begin last", "begin open", "serve 0s 1s"}; !slices.Equal(m.told, want) {
			t.Errorf("told %q, want %q", m.told, want)
		}
		// So it does where it tells what is open.
		for range maxQueue - 1 {
			l.tell(entry{kind: kindEnd})
		}
		m.told = nil
		join(3)
		take()
		if slices.Contains(m.told, "serve 0s 1s") {
			t.Errorf("served without all that is open: %q", m.told)
		}
		join(4)
		take()
		if !slices.Contains(m.told, "serve 0s 1s") {
			t.Errorf("not served with all that is open: %q", m.told)
		}
	})
}

// TestManyOpen: however many writes are open, those who join are told of them in few entries, and
// served.
func TestManyOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, m := follow()
		l := leaderOf(f)
		const writes = 2*maxQueue + 1
		for range writes {
			l.Begin([]byte("open"))
			l.take()
			l.sending = nil
		}
		for i := range uint64(3) {
			l.asked = append(l.asked, heard{ask{"own", i + 1}, true, time.Now()})
			f.asks(i+1, true)
			l.Serve(time.Now(), 0)
			told := 0
			for l.take() {
				for _, b := range l.sending {
					f.take(b)
					told++
				}
				l.sending = nil
			}
			if told > writes/mostOpen+2 {
				t.Errorf("%d entries", told)
			}
		}
		begun := 0
		for _, told := range m.told {
			if told == "begin open" {
				begun++
			}
		}
		if n := len(m.told) - begun; begun != writes || n != 3 {
			t.Errorf("%d writes have begun, want %d; it is served %d times, want 3", begun, writes, n)
		}
	})
}

// FuzzEntries: what is written is read, and nothing that is not panics.
func FuzzEntries(f *testing.F) {
	f.Add((&entry{kind: kindBegin, from: "a", number: 1, write: 2, batch: []byte("b")}).bytes())
	f.Add((&entry{kind: kindSettled, from: "a", number: 1 << 40, first: 3, asks: []ask{{"b", 7}, {"c", 9}}, end: preload.EndUnknown}).bytes())
	f.Add((&entry{kind: kindOpen, from: "a", number: 1, open: []write{{7, []byte("b")}, {8, nil}}}).bytes())
	f.Add([]byte{entryVersion, byte(kindAsk), 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := entryFrom(b)
		if err != nil {
			return
		}
		again, err := entryFrom(e.bytes())
		if err != nil || fmt.Sprint(again) != fmt.Sprint(e) {
			t.Errorf("%v is read as %v, %v", e, again, err)
		}
	})
}
