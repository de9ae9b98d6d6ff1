//go:build unix

package postgres

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/worldtest"
)

// followIn returns a follower that asks by way of a relay, and is told nothing but by the test.
func followIn(t *testing.T, relay Relay) (*follower, *journal) {
	f, _ := follow()
	log := &journal{}
	f.reporter, f.relay = failopen.Complaints(slog.New(slog.NewTextHandler(log, nil))), relay
	f.place.Store(&nowhere)
	ctx, cancel := context.WithCancel(t.Context())
	go f.ask(ctx, &nowhere)
	t.Cleanup(func() { cancel(); synctest.Wait() })
	synctest.Wait()
	return f, log
}

// TestTwoWhoTellKeepNobodyBusy: what one of them tells has all forgotten that the other one told.
// It is said, and questions are as few as before.
func TestTwoWhoTellKeepNobodyBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		relay := newMemory()
		f, log := followIn(t, relay)
		for n := range uint64(1000) {
			f.take((&entry{kind: kindBegin, from: string('a' + rune(n%2)), number: n + 1, write: n}).bytes())
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		relay.mu.Lock()
		defer relay.mu.Unlock()
		if n := len(relay.lane(nowhere.asking).entries); n > 20 {
			t.Errorf("%d questions within the bound", n)
		}
		if !strings.Contains(log.String(), "again and again") {
			t.Errorf("the log says %q", log.String())
		}
	})
}

// TestBoundsThatDiffer: who has the shorter one does not take the place of a leader for vacant
// before that has answered, and says what is wrong.
func TestBoundsThatDiffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, log := followIn(t, newMemory())
		f.take((&entry{kind: kindSettled, from: "a", number: 1, bound: 10 * time.Second, asks: []ask{{"own", 1}}}).bytes())
		began := time.Now()
		f.awaitVacancy(t.Context())
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("the place is taken for vacant after %v", waited)
		}
		if !strings.Contains(log.String(), "WithBound(10s)") {
			t.Errorf("the log says %q", log.String())
		}
	})
}

// hanging is a relay that hangs from a moment on, until a test says that it is over.
type hanging struct {
	*memory
	hangs atomic.Bool
	over  chan struct{}
}

func (h *hanging) Add(ctx context.Context, stream string, entries [][]byte) error {
	if h.hangs.Load() {
		<-h.over
	}
	return h.memory.Add(ctx, stream, entries)
}

func (h *hanging) Read(ctx context.Context, stream, after string, wait time.Duration) ([][]byte, string, error) {
	if h.hangs.Load() {
		<-h.over
	}
	return h.memory.Read(ctx, stream, after, wait)
}

// TestARelayThatHangs holds up nobody who ends.
func TestARelayThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, _ := follow()
		h := &hanging{memory: newMemory(), over: make(chan struct{})}
		h.hangs.Store(true)
		defer close(h.over)
		f.relay = h
		l := leaderOf(f)
		l.Begin(nil)
		ends := func(what string, longest time.Duration, do func(context.Context)) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			time.AfterFunc(10*time.Second, cancel)
			began := time.Now().Add(10 * time.Second)
			do(ctx)
			if took := time.Since(began); took > longest {
				t.Errorf("%s ends after %v", what, took)
			}
		}
		ends("reading", grace, func(ctx context.Context) { f.follow(ctx, &nowhere) })
		ends("telling", grace, func(ctx context.Context) { _ = l.send(ctx) })
		ends("the last word", 2*time.Second, func(ctx context.Context) { <-ctx.Done(); l.Stop() })
	})
}

// panicking is a member that panics whatever it is told.
type panicking struct{ *noting }

func (panicking) Begin([]byte) func(preload.End) { panic("begin") }
func (p panicking) Stop()                        { p.noting.Stop(); panic("stop") }
func (p panicking) Reset(why string)             { p.noting.Reset(why); panic("reset") }

// TestAPluginThatPanics has all forgotten, and the next entries are taken in.
func TestAPluginThatPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, m := follow()
		f.m = panicking{m}
		ctx, cancel := context.WithCancel(t.Context())
		followed := make(chan struct{})
		go func() { defer close(followed); f.follow(ctx, &nowhere) }()
		synctest.Wait()
		for n := range uint64(2) {
			worldtest.Must(t, f.relay.Add(ctx, nowhere.telling, [][]byte{(&entry{kind: kindBegin, from: "a", number: n + 1}).bytes()}))
			synctest.Wait()
		}
		cancel()
		<-followed
		if want := []string{"stop", "reset", "stop", "reset"}; !slices.Equal(m.told, want) {
			t.Errorf("told %q, want %q", m.told, want)
		}
	})
}

// TestPositionOfARelayThatIsAway is an error at once, and where the relay hangs, after a while.
func TestPositionOfARelayThatIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		relay := &hanging{memory: newMemory(), over: make(chan struct{})}
		f, _ := followIn(t, relay)
		if _, err := f.position(t.Context()); err != nil {
			t.Fatal(err)
		}
		relay.reach(false)
		for _, within := range []time.Duration{time.Second, 0} { // it is not known at first that it is away
			began := time.Now()
			if position, err := f.position(t.Context()); err == nil || time.Since(began) > within {
				t.Errorf("%q, %v after %v", position, err, time.Since(began))
			}
		}
		time.Sleep(time.Second)
		relay.reach(true)
		time.Sleep(time.Second)
		if _, err := f.position(t.Context()); err != nil {
			t.Error(err)
		}
		relay.hangs.Store(true)
		began := time.Now()
		if _, err := f.position(t.Context()); err == nil || time.Since(began) > patience {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		close(relay.over)
	})
}
