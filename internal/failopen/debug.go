package failopen

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// Debug has lines written at Debug, of one event and shape at most one a minute, apart from what a
// Reporter of the other levels has: they do not take its place. Begin is called first.
type Debug struct {
	reporter *Reporter
	on       atomic.Bool
}

// Begin sets where the lines go.
func (d *Debug) Begin(logger *slog.Logger, now func() time.Time) {
	d.reporter = NewReporter(logger, now)
	d.Look()
}

// Look asks the logger whether it wants such lines, and remembers that for On.
func (d *Debug) Look() bool {
	on := d.reporter.logger.Enabled(context.Background(), slog.LevelDebug)
	if d.on.Load() != on {
		d.on.Store(on)
	}
	return on
}

// On reports what the logger said when it was asked last.
func (d *Debug) On() bool { return d.on.Load() }

// Write writes a line as Reporter.Report does.
func (d *Debug) Write(event, shape string, attrs ...any) {
	d.reporter.Report(slog.LevelDebug, event, shape, attrs...)
}
