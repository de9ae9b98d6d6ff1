package redis

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorm-preload/preload"
	goredis "github.com/redis/go-redis/v9"
)

// listening is a member that notes what it is told.
type listening struct {
	id string

	mu   sync.Mutex
	told []string
}

func (l *listening) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, what)
}

// until waits until a member has noted something.
func (l *listening) until(t *testing.T, what string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		told := slices.Clone(l.told)
		l.mu.Unlock()
		if slices.Contains(told, what) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s was never told, but %q", what, told)
		}
	}
}

func (l *listening) ID() string                      { return l.id }
func (l *listening) Namespace() string               { return "none" }
func (l *listening) Serve(time.Time, time.Duration)  { l.note("serve") }
func (l *listening) Stop()                           {}
func (l *listening) Rows([]preload.RowChange) []byte { return nil }
func (l *listening) Reset(string)                    { l.note("reset") }
func (l *listening) Merge(batches [][]byte) []byte   { return joined(batches) }
func (l *listening) Arbiter() preload.Arbiter        { return nil }
func (l *listening) Begin(batch []byte) func(preload.End) {
	l.note("begin " + string(batch))
	return func(end preload.End) { l.note(fmt.Sprint("end ", string(batch), " ", end)) }
}

// TestAWriteThatIsUnderWayIsNotGivenUpWhenAllIsForgotten: its end is told later, and until then it
// is blocked; what nobody knows the end of would be held out for long.
func TestAWriteThatIsUnderWayIsNotGivenUpWhenAllIsForgotten(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s server) {
		if s = s.alone(t); s.empty == nil {
			t.Skip("it is others' too")
		}
		client := s.client(t)
		n := name(t, client)
		open := func(id string) (*BoundedFeed, *listening) {
			// So long that no beat is missed on a busy machine.
			f, m := Bounded(client, WithName(n), WithBound(2*time.Second)), &listening{id: id}
			if err := f.Open(context.Background(), m); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Close() })
			m.until(t, "serve")
			return f, m
		}
		writer, _ := open("writer")
		reader, m := open("reader")
		finish, err := writer.Announce(t.Context(), []byte("a"), "")
		if err != nil {
			t.Fatal(err)
		}
		m.until(t, "begin a")
		s.empty()
		m.until(t, "reset")
		finish(preload.EndVisible)
		m.until(t, fmt.Sprint("end a ", preload.EndVisible))
		// Who waits for a position of after the fault comes by it.
		at, err := writer.Position(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := reader.Await(ctx, at); err != nil {
			t.Error(err)
		}
		for _, text := range []string{"", "x", "strict", "writer ? 1-1 server", at[:len(at)/4]} {
			if err := reader.Await(ctx, text); err == nil || ctx.Err() != nil {
				t.Errorf("%q is waited for: %v", text, err)
			}
		}
	})
}

// TestABeatTellsWhatHasEnded whose end was lost: what nobody knows the end of would be held out for
// long.
func TestABeatTellsWhatHasEnded(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s server) {
		client := s.client(t)
		f, m := Bounded(client, WithName(name(t, client)), WithBound(2*time.Second)), &listening{id: "reader"}
		if err := f.Open(context.Background(), m); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		m.until(t, "serve")
		tell := func(number int, kind string, more ...any) {
			values := append([]any{fieldKind, kind, fieldProcess, "writer", fieldNumber, number}, more...)
			if err := client.XAdd(t.Context(), &goredis.XAddArgs{Stream: f.key, Values: values}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		tell(1, kindBeat, fieldOpen, 1)
		tell(2, kindBegin, fieldBatch, "a")
		tell(3, kindBegin, fieldBatch, "b")
		m.until(t, "begin b")
		tell(5, kindBeat, fieldOpen, 3) // the fourth, the end of a, is lost
		m.until(t, "reset")
		m.until(t, fmt.Sprint("end a ", preload.EndVisible))
		tell(6, kindEnd, fieldOf, 3, fieldEnd, int(preload.EndUndone))
		m.until(t, fmt.Sprint("end b ", preload.EndVisible))
	})
}

// TestWhatIsOpen: what nobody knows the end of counts as that for a while.
func TestWhatIsOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := opened{}
		a, b := &write{id: 1}, &write{id: 2, end: preload.EndUnknown}
		o.note(&item{of: a})
		o.note(&item{of: b})
		for _, step := range []struct {
			do    func()
			first uint64
		}{
			{func() {}, 1},
			{func() { o.note(&item{of: a, ended: true}) }, 2},
			{func() { o.note(&item{of: b, ended: true}) }, 2},
			{func() { time.Sleep(unknownFor / 2) }, 2},
			{func() { time.Sleep(unknownFor) }, 9},
		} {
			if step.do(); o.first(9) != step.first {
				t.Errorf("the first is %d, want %d", o.first(9), step.first)
			}
		}
	})
}

// TestWhatIsOpenAndWasNotReadHoldsEverythingOut: until a beat says that it has ended, or its process
// is not heard of any more.
func TestWhatIsOpenAndWasNotReadHoldsEverythingOut(t *testing.T) {
	t.Parallel()
	type entry struct {
		number int
		kind   string
		value  int // of a beat, what is open first; of an end, what ends
	}
	visible, unknown := fmt.Sprint("end  ", preload.EndVisible), fmt.Sprint("end  ", preload.EndUnknown)
	for _, c := range []struct {
		name    string
		entries []entry
		quiet   bool // then its process is not heard of any more
		want    []string
	}{
		{"nothing is open", []entry{{7, kindBeat, 7}}, true, nil},
		{"it was read", []entry{{7, kindBegin, 0}, {8, kindBeat, 7}, {9, kindEnd, 7}, {10, kindBeat, 10}}, false, []string{"begin x", fmt.Sprint("end x ", preload.EndVisible)}},
		{"its writer died", []entry{{7, kindBeat, 3}}, true, []string{"begin ", unknown}},
		{"it ends", []entry{{7, kindBeat, 3}, {8, kindBeat, 3}, {9, kindEnd, 3}, {10, kindBeat, 10}}, true, []string{"begin ", "reset", visible}},
		{"another one is open yet", []entry{{7, kindBeat, 3}, {8, kindEnd, 3}, {9, kindBeat, 5}}, false, []string{"begin ", "reset"}},
		{"it was lost", []entry{{1, kindBeat, 1}, {3, kindBeat, 2}}, false, []string{"reset", "begin "}},
		{"its process was given up", []entry{{1, kindBegin, 0}, {0, "", 0}, {2, kindBeat, 1}}, false, []string{"begin x", fmt.Sprint("end x ", preload.EndUnknown), "begin "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := &listening{id: "reader"}
			r := &reader{BoundedFeed: &BoundedFeed{m: m}, senders: map[string]*sender{}}
			for i, e := range c.entries {
				if e.kind == "" {
					r.senders["writer"].giveUp()
					continue
				}
				field := map[string]string{kindBeat: fieldOpen, kindBegin: "none", kindEnd: fieldOf}[e.kind]
				r.take(goredis.XMessage{ID: fmt.Sprint(i, "-1"), Values: map[string]any{
					fieldKind: e.kind, fieldProcess: "writer", fieldNumber: fmt.Sprint(e.number), field: fmt.Sprint(e.value), fieldBatch: "x",
				}})
			}
			if c.quiet {
				r.senders["writer"].giveUp()
			}
			if !slices.Equal(m.told, c.want) {
				t.Errorf("told %q, want %q", m.told, c.want)
			}
		})
	}
}

// TestAProcessThatJoinsLateHearsOfWhatIsOpen: however long ago that was announced.
func TestAProcessThatJoinsLateHearsOfWhatIsOpen(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s server) {
		client := s.client(t)
		n := name(t, client)
		f, m := Bounded(client, WithName(n), WithBound(2*time.Second)), &listening{id: "reader"}
		now, err := client.Time(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		key := "{" + n + "/" + m.Namespace() + "}:changes"
		tell := func(ago time.Duration, number int, kind string, more ...any) {
			t.Helper()
			values := append([]any{fieldKind, kind, fieldProcess, "writer", fieldNumber, number}, more...)
			id := fmt.Sprint(now.Add(-ago).UnixMilli(), "-1")
			if err := client.XAdd(t.Context(), &goredis.XAddArgs{Stream: key, ID: id, Values: values}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		tell(time.Hour, 1, kindBegin, fieldBatch, "a")
		tell(unknownFor, 2, kindBeat, fieldOpen, 1) // and its process dies
		if err := f.Open(context.Background(), m); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		m.until(t, "serve")
		m.until(t, fmt.Sprint("end  ", preload.EndUnknown))
		m.mu.Lock()
		defer m.mu.Unlock()
		if begin := slices.Index(m.told, "begin "); begin < 0 || begin > slices.Index(m.told, "serve") {
			t.Errorf("told %q, want everything to be held out before it serves", m.told)
		}
	})
}
