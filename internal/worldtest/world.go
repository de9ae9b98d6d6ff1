package worldtest

import (
	"reflect"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
)

// World is a database with a handle that has the plugin, and a plain one beside it.
type World struct {
	*dbtest.Database
	// T is the test that opened the world.
	T testing.TB
	// Plain does not have the plugin, DB has it, and Early is DB as it was before the plugin was in
	// use.
	Plain, DB, Early *gorm.DB
	Plugin           *preload.Plugin
	Clock            *dbtest.Clock
	// Kept are the queries whose answers Warm gets into memory.
	Kept []Named

	// before holds the answers of Kept as they were when Warm got them.
	before map[string]Answer
}

// HoldOut is for how long the tests have a table held out after a write whose end was not seen.
const HoldOut = time.Second

// Opener opens a world; see Open.
type Opener func(t testing.TB, d *dbtest.Database, plain *gorm.DB, config *gorm.Config, options ...preload.Option) *World

// Open opens a handle on a database and puts a plugin into use on it. The plugin goes by a clock of
// its own and does nothing in the background. A config of nil is an empty one.
func Open(t testing.TB, d *dbtest.Database, plain *gorm.DB, config *gorm.Config, options ...preload.Option) *World {
	t.Helper()
	if config == nil {
		config = &gorm.Config{}
	}
	w := &World{Database: d, T: t, Plain: plain, DB: d.Open(t, config), Clock: dbtest.NewClock(), before: map[string]Answer{}}
	w.Early = w.DB.Session(&gorm.Session{})
	w.Plugin = preload.New(append([]preload.Option{preload.WithoutWorker(), preload.WithClock(w.Clock), preload.WithLogger(Quiet())}, options...)...)
	Must(t, w.DB.Use(w.Plugin))
	t.Cleanup(func() { _ = w.Plugin.Close() })
	return w
}

// Queries returns how many queries reached the database by way of DB while do ran.
func (w *World) Queries(do func()) int64 {
	before := w.Probe.Queries()
	do()
	return w.Probe.Queries() - before
}

// AsPlain checks that a query answers as plain GORM does: not yet in memory, in memory, and in
// memory after its earlier results were changed. With reason "" the second and third answer must
// not reach the database; otherwise each must be counted as bypassed for that reason; with
// AnyReason neither is looked at.
func (w *World) AsPlain(t *testing.T, name, reason string, query Query) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Helper()
		Must(t, w.Plugin.Invalidate())
		plain := query.Try(w.Plain)
		for _, turn := range []string{"cold", "warm", "warm after the results were changed"} {
			reasons := w.Plugin.Stats().BypassReasons
			var got Answer
			n := w.Queries(func() { got = query.Try(w.DB) })
			if diff := plain.Differs(got); diff != "" {
				t.Fatalf("%s: %s", turn, diff)
			}
			now := w.Plugin.Stats().BypassReasons
			switch {
			case reason == AnyReason:
			case reason == "":
				if turn != "cold" && n != 0 {
					t.Errorf("%s: %d queries reached the database: %q; bypassed: %v", turn, n, Tail(w.Probe.Log(), n), Since(reasons, now))
				}
			case now[preload.Reason(reason)] == reasons[preload.Reason(reason)]:
				t.Errorf("%s: not counted as bypassed for %q but for %v", turn, reason, Since(reasons, now))
			}
			Scramble(reflect.ValueOf(got.Dest), 0)
		}
	})
}

// AnyReason is what AsPlain takes where it does not matter whether an answer is kept.
const AnyReason = "any"

// Tail returns the last n statements of the log of a Probe.
func Tail(log []string, n int64) []string { return log[max(0, len(log)-int(n)):] }

// Since returns by how much each of the counters rose that did.
func Since[R comparable](before, after map[R]int64) map[R]int64 {
	out := map[R]int64{}
	for reason, n := range after {
		if n != before[reason] {
			out[reason] = n - before[reason]
		}
	}
	return out
}

// Gate stops the queries that match at the database until the gate is opened.
func (w *World) Gate(match func(dbtest.Call) bool) *Gate {
	g := &Gate{Arrived: make(chan struct{}, 1_000), open: make(chan struct{})}
	w.Probe.Before(func(c dbtest.Call) error {
		if c.Op == "query" && match(c) {
			g.Arrived <- struct{}{}
			<-g.open
		}
		return nil
	})
	return g
}
