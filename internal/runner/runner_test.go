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

// testing returns a runner on a pool with these statistics.
func testRunner(stats *sql.DBStats, with ...func(*Config)) *Runner {
	c := Config{
		Concurrency: 2, Timeout: time.Second, Brief: BriefTime, Grace: time.Second,
		Pool:   func() (sql.DBStats, bool) { return *stats, true },
		Direct: func() bool { return false }, Separate: func() bool { return false },
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

var testRoom = sql.DBStats{Idle: spareConns}

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
	outdated := job
	outdated.Outdated = true
	both := job
	both.Keys = []string{"b", "a"}
	switch {
	case !r.Run(job):
		t.Fatal("the first did not begin")
	case r.Run(job), r.Run(both), r.Run(outdated):
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
	for _, test := range []struct {
		name   string
		stats  sql.DBStats
		others int
		direct bool
		want   Room
	}{
		{name: "spare connections", stats: testRoom, want: roomNow},
		{name: "one idle connection", stats: sql.DBStats{OpenConnections: 1, Idle: 1}, want: roomLater},
		{name: "one idle connection, and transactions pass by", stats: sql.DBStats{OpenConnections: 1, Idle: 1}, direct: true, want: NoRoom},
		{name: "two in use", stats: sql.DBStats{OpenConnections: 2, InUse: 2}, want: roomNow},
		{name: "one in use, and the caller's", stats: sql.DBStats{OpenConnections: 2, InUse: 1}, others: 1, want: roomNow},
		{name: "a full pool", stats: sql.DBStats{MaxOpenConnections: 4, OpenConnections: 4, InUse: 4}, want: NoRoom},
		{name: "a busy pool", stats: sql.DBStats{MaxOpenConnections: 4, OpenConnections: 4, InUse: 3, Idle: 1}, want: NoRoom},
		{name: "all are open", stats: sql.DBStats{MaxOpenConnections: 4, OpenConnections: 4, InUse: 1, Idle: 3}, want: roomNow},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := testRunner(&test.stats, func(c *Config) { c.Direct = func() bool { return test.direct } })
			if got := r.Room(test.others); got != test.want {
				t.Errorf("room %d, want %d", got, test.want)
			}
			r.Pause()
			if got := r.Room(test.others); got != NoRoom || !r.Resume() || r.Resume() {
				t.Errorf("room %d in a pause, want none; or the pause did not end once", got)
			}
		})
	}
}

// TestAPlaceIsGivenBack begins jobs that have nothing to do, that panic, and that end, in one slot.
func TestAPlaceIsGivenBack(t *testing.T) {
	t.Parallel()
	var reported []string
	stats := sql.DBStats{OpenConnections: 1, Idle: 1} // the gate is shut for each
	r := testRunner(&stats, func(c *Config) {
		c.Concurrency = 1
		c.Report = func(_ slog.Level, event, _ string, _ ...any) { reported = append(reported, event) }
	})
	var dones atomic.Int64
	job := func(begin func(context.Context) func() error) Job {
		return Job{Keys: []string{"key"}, Begin: begin, Done: func(Ending) { dones.Add(1) }}
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

// TestWhatUsuallyTakesLongIsNotRunBehindTheGate: statements of the application would wait for it.
func TestWhatUsuallyTakesLongIsNotRunBehindTheGate(t *testing.T) {
	t.Parallel()
	one := sql.DBStats{OpenConnections: 1, Idle: 1} // the gate is shut for each
	for _, test := range []struct {
		name  string
		stats sql.DBStats
		usual time.Duration
		own   bool
		began bool
	}{
		{"not known", one, 0, false, true},
		{"quick", one, BriefTime / 8, false, true},
		{"slow", one, BriefTime, false, false},
		{"slow, of own data", one, BriefTime, true, true},
		{"slow, with spare connections", testRoom, BriefTime, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := testRunner(&test.stats)
			ends := make(chan error)
			close(ends)
			job := testJob("key", ends, func(Ending) {})
			job.Usual, job.Own = test.usual, test.own
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
