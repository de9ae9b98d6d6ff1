package failopen

import (
	"bytes"
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
