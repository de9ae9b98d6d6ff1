package failopen

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestALineAnEventAndShapeAMinute(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := NewReporter(slog.New(slog.NewTextHandler(&out, nil)), func() time.Time { return now })
	lines := func() string {
		defer out.Reset()
		return out.String()
	}
	for range 10 {
		r.Report(slog.LevelWarn, "failed", "users")
	}
	if got := lines(); strings.Count(got, "\n") != 1 {
		t.Errorf("ten times within a minute: %q, want one line", got)
	}
	r.Report(slog.LevelWarn, "failed", "orders")
	r.Report(slog.LevelWarn, "ended", "users")
	if got := lines(); strings.Count(got, "\n") != 2 {
		t.Errorf("another shape and another event: %q, want two lines", got)
	}
	now = now.Add(reportEvery)
	r.Report(slog.LevelWarn, "failed", "users", "n", 1)
	if got := lines(); !strings.Contains(got, "suppressed=9") || !strings.Contains(got, "shape=users") {
		t.Errorf("a minute later: %q, want suppressed=9 of shape=users", got)
	}
	now = now.Add(-time.Hour)
	r.Report(slog.LevelWarn, "failed", "users")
	if got := lines(); got == "" {
		t.Error("a clock that was set back silences an event")
	}
	for i := range 2 * maxReported {
		r.Report(slog.LevelWarn, "failed", strings.Repeat("s", i))
	}
	if n := len(r.lines); n > maxReported+1 {
		t.Errorf("%d shapes are told apart, want at most %d", n, maxReported)
	}
}

func TestEachReasonHasLinesOfItsOwn(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := Complaints(slog.New(slog.NewTextHandler(&out, nil)))
	for range 10 {
		r.Wrong("nothing is told", errors.New("refused"), "feed", "a")
		r.Wrong("nothing is told", errors.New("a standby"), "feed", "a")
		r.Wrong("nothing is told", nil, "feed", "a")
	}
	got := out.String()
	if strings.Count(got, "\n") != 3 || !strings.Contains(got, "feed=a err=refused") || !strings.Contains(got, `err="a standby"`) {
		t.Errorf("%q, want a line for each reason", got)
	}
	out.Reset()
	for n := range 10 * maxComplained {
		r.Wrong("nothing is told", fmt.Errorf("from port %d", n))
	}
	if n := strings.Count(out.String(), "\n"); n > maxComplained+1 {
		t.Errorf("%d lines, want at most %d", n, maxComplained+1)
	}
}

// TestDebugAsksForNothingWhereNobodyWantsIt: looking allocates nothing.
func TestDebugAsksForNothingWhereNobodyWantsIt(t *testing.T) {
	var d Debug
	d.Begin(slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelInfo})), time.Now)
	if n := testing.AllocsPerRun(100, func() {
		if d.Look() || d.On() {
			t.Error("there are lines at Debug")
		}
	}); n != 0 {
		t.Errorf("looking allocates %v times", n)
	}
}
