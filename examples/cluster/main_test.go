package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload/examples/internal/command"
)

func TestMain(m *testing.M) {
	if begun, err := beProcess(); begun {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func runProgram(t *testing.T, after func(*outcome), args ...string) (status int, stdout, stderr string) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	program := func(ctx context.Context, args []string, stdout, stderr io.Writer) error {
		s, err := parse(args, stderr)
		if err != nil {
			return err
		}
		s.after = after
		return run(ctx, s, stdout, stderr)
	}
	var out, errs strings.Builder
	status = command.Run(t.Context(), "cluster", program, args, &out, &errs)
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v (%v)", left, err)
	}
	return status, out.String(), errs.String()
}

// TestProcessesAreCompared: and none of the reads with the strict feed is stale.
func TestProcessesAreCompared(t *testing.T) {
	places := map[string][]string{"sqlite": nil}
	if dsn := os.Getenv("PRELOAD_TEST_POSTGRES"); dsn != "" {
		places["postgres"] = []string{"-dsn", dsn}
	}
	for name, args := range places {
		status, stdout, stderr := runProgram(t, nil, append(args, "-seconds", "3", "-processes", "3")...)
		if status != command.OK {
			t.Fatalf("%s: status %d: %s%s", name, status, stdout, stderr)
		}
		for _, want := range []string{
			`3 processes`, `without a feed +bounded feed +strict feed`, `stale reads +[1-9]\d* +\d+ +0\n`, `a change is seen after \(99 of 100\) +\S+ +\S+ +\S+\n`,
		} {
			if !regexp.MustCompile(want).MatchString(stdout) {
				t.Errorf("%s: no %s in\n%s%s", name, want, stdout, stderr)
			}
		}
	}
}

// TestAStaleReadIsAFailure: of the strict feed, and of no other.
func TestAStaleReadIsAFailure(t *testing.T) {
	for kind, want := range map[string]int{bounded: command.OK, strict: command.Failed} {
		status, stdout, stderr := runProgram(t, func(o *outcome) {
			if o.kind == kind {
				o.stale++
			}
		}, "-seconds", "1", "-processes", "2")
		if status != want {
			t.Errorf("%s: status %d, want %d: %s%s", kind, status, want, stdout, stderr)
		}
	}
}

func TestJudge(t *testing.T) {
	writes := []event{{1, 1, 10, 20}, {2, 1, 30, 40}, {1, 2, 50, 60}}
	o := judge(strict, writes, []notes{{Hits: 1, Misses: 2, Events: []event{
		{1, 0, 19, 25}, // began before the write had returned
		{1, 1, 21, 26},
		{1, 0, 22, 27}, // stale
		{2, 1, 35, 39}, // seen before it had returned
		{1, 2, 70, 80},
		{1, 1, 71, 90}, // stale
	}}})
	if o.stale != 2 || o.reads != 6 || fmt.Sprint(o.delays) != "[6ns 0s 20ns]" || quantile(o.writes, 0.5) != 10*time.Nanosecond {
		t.Errorf("%+v", o)
	}
}

func TestWrongFlagsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-seconds", "0"}, {"-processes", "1"}, {"-dsn", "mysql://"}, {"-redis", "127.0.0.1:1"}, {"x"}} {
		if status, _, stderr := runProgram(t, nil, args...); status != command.Refused {
			t.Errorf("%v: status %d, %s", args, status, stderr)
		}
	}
}
