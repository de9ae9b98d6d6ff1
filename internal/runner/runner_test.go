package runner

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// testPool is a pool with these statistics, whose connections are those of a pool in which nothing
// can be asked.
type testPool struct {
	stats *sql.DBStats
	*sql.DB
}

func (p testPool) Stats() sql.DBStats { return *p.stats }

// testRunner returns a runner on a pool with these statistics.
func testRunner(stats *sql.DBStats, with ...func(*Config)) *Runner {
	c := Config{
		Concurrency: 2, Timeout: time.Second, Brief: BriefTime, Grace: time.Second,
		Pool: func() Pool { return testPool{stats, nil} }, Alike: func() bool { return true }, Quiet: func() bool { return true },
		Suits:  func(context.Context, *sql.Conn) error { return nil },
		Report: func(slog.Level, string, string, ...any) {},
		Again:  func(string) {},
	}
	for _, change := range with {
		change(&c)
	}
	return New(c)
}

// testJob is a job that waits for a value to return.
func testJob(key string, ends <-chan error, done func(Ending)) Job {
	return Job{
		Keys: []string{key}, Label: "label of " + key,
		Begin:   func(context.Context) func() error { return func() error { return <-ends } },
		Dropped: func() {}, Done: done,
	}
}

// testRoom is the room of a pool without a limit.
var testRoom sql.DBStats

func TestStopReturnsWhateverTheTimeout(t *testing.T) {
	t.Parallel()
	stuck := make(chan error)
	defer close(stuck)
	for range 500 {
		r := testRunner(&testRoom, func(c *Config) { c.Timeout, c.Grace = time.Microsecond, time.Hour })
		if !r.Run(testJob("hangs", stuck, func(Ending) {})) {
			t.Fatal("it did not begin")
		}
		ended := make(chan error)
		go func() { ended <- r.Stop() }()
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(err.Error(), "label of hangs") {
				t.Fatalf("Stop: %v, want an error that names what hangs by its label", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("Stop hangs")
		}
	}
}

// TestAKeyIsLoadedOnceAtATime also has one that was outdated meanwhile loaded once more.
func TestAKeyIsLoadedOnceAtATime(t *testing.T) {
	t.Parallel()
	again := make(chan string, 4)
	r := testRunner(&testRoom, func(c *Config) { c.Again = func(key string) { again <- key } })
	ends, endings := make(chan error), make(chan Ending, 4)
	job := testJob("a", ends, func(e Ending) { endings <- e })
	afresh := job
	afresh.Afresh = true
	both := job
	both.Keys = []string{"b", "a"}
	switch {
	case !r.Run(job):
		t.Fatal("the first did not begin")
	case r.Run(job), r.Run(both), r.Run(afresh):
		t.Fatal("a second one of the same key began")
	case r.Runs("b") || !r.Runs("a") || r.Active() != 1:
		t.Fatal("b is being loaded, or a is not, or more than one runs")
	}
	failed := errors.New("failed")
	ends <- failed
	if e := <-endings; e.Err != failed || e.Brief {
		t.Errorf("it ended with %+v", e)
	}
	if key := <-again; key != "a" || len(again) > 0 {
		t.Errorf("%q and %d more are loaded once more, want a", key, len(again))
	}
	r.Wait(0)
	if err := r.Stop(); err != nil || r.Run(job) {
		t.Errorf("Stop: %v, or a job was begun after it", err)
	}
}

func TestRoom(t *testing.T) {
	t.Parallel()
	alone := func(c *Config) { c.Alike = func() bool { return false } }
	passing := func(c *Config) { c.Quiet = func() bool { return false } }
	for _, test := range []struct {
		name  string
		stats sql.DBStats
		with  []func(*Config)
		want  Room
	}{
		{"no limit", sql.DBStats{}, nil, roomNow},
		{"no limit, many in use", sql.DBStats{OpenConnections: 50, InUse: 50}, nil, roomNow},
		{"other connections will not do", sql.DBStats{}, []func(*Config){alone}, roomLater},
		{"neither they nor the application's will", sql.DBStats{}, []func(*Config){alone, passing}, NoRoom},
		{"one connection", sql.DBStats{MaxOpenConnections: 1, OpenConnections: 1, Idle: 1}, nil, roomLater},
		{"a full pool", sql.DBStats{MaxOpenConnections: 4, OpenConnections: 4, InUse: 4}, nil, NoRoom},
		{"one connection, and it will not do", sql.DBStats{MaxOpenConnections: 1, OpenConnections: 1, Idle: 1}, []func(*Config){passing}, NoRoom},
		{"some to spare", sql.DBStats{MaxOpenConnections: 4, OpenConnections: 4, InUse: 1, Idle: 3}, nil, roomNow},
		{"the application had to wait", sql.DBStats{MaxOpenConnections: 40, WaitCount: 1}, nil, NoRoom},
		{"no pool", sql.DBStats{}, []func(*Config){func(c *Config) { c.Pool = func() Pool { return nil } }, alone, passing}, roomNow},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := testRunner(&test.stats, test.with...)
			if got := r.Room(); got != test.want {
				t.Errorf("room %d, want %d", got, test.want)
			}
			r.Pause()
			if got := r.Room(); got != NoRoom {
				t.Errorf("room %d in a pause, want none", got)
			}
			r.Resume()
			if got := r.Room(); got != test.want {
				t.Errorf("room %d after the pause, want %d", got, test.want)
			}
		})
	}
}

// TestAPlaceIsGivenBack begins jobs that have nothing to do, that panic, and that end, in one slot.
func TestAPlaceIsGivenBack(t *testing.T) {
	t.Parallel()
	var reported []string
	stats := sql.DBStats{MaxOpenConnections: 1, OpenConnections: 1, Idle: 1} // the gate is shut for each
	r := testRunner(&stats, func(c *Config) {
		c.Concurrency = 1
		c.Report = func(_ slog.Level, event, _ string, _ ...any) { reported = append(reported, event) }
	})
	var dones atomic.Int64
	job := func(begin func(context.Context) func() error) Job {
		return Job{Keys: []string{"key"}, Slow: time.Millisecond, Begin: begin, Done: func(Ending) { dones.Add(1) }}
	}
	for range 3 {
		for name, test := range map[string]struct {
			job   Job
			began bool
		}{
			"nothing to do":    {job(func(context.Context) func() error { return nil }), false},
			"a panic at first": {job(func(context.Context) func() error { panic("first") }), false},
			"a panic":          {job(func(context.Context) func() error { return func() error { panic("then") } }), true},
			"an end":           {job(func(context.Context) func() error { return func() error { return nil } }), true},
		} {
			if r.Run(test.job) != test.began {
				t.Errorf("%s: began %t, want %t", name, !test.began, test.began)
			}
			r.Wait(0)
			r.Gate.Enter(t.Context()) // it is open
			r.Gate.Leave()
		}
		place, ok := r.Acquire()
		if !ok {
			t.Fatal("no place")
		}
		place.Release()
	}
	if dones.Load() != 6 || !slices.ContainsFunc(reported, func(event string) bool { return strings.Contains(event, "panicked") }) {
		t.Errorf("%d jobs were done, want 6; reported %q", dones.Load(), reported)
	}
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
}

// TestWhatMayTakeLongIsNotRunBehindTheGate: statements of the application would wait for it.
func TestWhatMayTakeLongIsNotRunBehindTheGate(t *testing.T) {
	t.Parallel()
	one := sql.DBStats{MaxOpenConnections: 1, OpenConnections: 1, Idle: 1} // the gate is shut for each
	for _, test := range []struct {
		name  string
		stats sql.DBStats
		slow  time.Duration
		own   bool
		began bool
	}{
		{"not known", one, 0, false, false},
		{"quick", one, Brisk, false, true},
		{"slow", one, Brisk + 1, false, false},
		{"slow, of own data", one, time.Second, true, true},
		{"slow, on a connection of its own", testRoom, time.Second, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := testRunner(&test.stats)
			ends := make(chan error)
			close(ends)
			job := testJob("key", ends, func(Ending) {})
			job.Slow, job.Own = test.slow, test.own
			if began := r.Run(job); began != test.began {
				t.Errorf("Run: %t, want %t", began, test.began)
			}
			r.Wait(0)
			place, ok := r.Acquire()
			if !ok {
				t.Fatal("no place")
			}
			if began := place.Start(job); began != test.began {
				t.Errorf("Start: %t, want %t", began, test.began)
			}
			r.Wait(0)
		})
	}
}
