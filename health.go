package preload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/runner"
	"github.com/gorm-preload/preload/internal/verify"
)

// Errors that methods return, wrapped with what the user needs: to be compared with errors.Is.
var (
	// ErrClosed says that the plugin is closed.
	ErrClosed = errors.New("the plugin is closed: make another one with New")
	// ErrNotInitialized says that the plugin is not in use yet.
	ErrNotInitialized = errors.New("the plugin is not in use yet: call db.Use with it first")
	// ErrInTransaction says that a *gorm.DB is a transaction where none is wanted.
	ErrInTransaction = errors.New("the *gorm.DB is a transaction")

	// ErrFaulting says that a part of the plugin, or what is plugged in, failed within the last
	// minute. Reads are answered all the same.
	ErrFaulting = errors.New("there are faults")
	// ErrLoadsFailing says that the last loads in the background failed.
	ErrLoadsFailing = errors.New("loads in the background fail")
	// ErrStalled says that loads in the background hang, so that none is begun any more.
	ErrStalled = errors.New("loads in the background hang")
	// ErrCutOff says that a feed did not say in time what other processes have written, so that
	// nothing is served from memory.
	ErrCutOff = errors.New("a feed is cut off")
)

const (
	// faultyFor is for how long a fault counts.
	faultyFor = time.Minute
	// failingLoads is how many loads fail one after the other before that is told.
	failingLoads = 3
)

// Health returns nil where the plugin works as it should, and else an error that says what does
// not: errors.Is finds ErrClosed, ErrNotInitialized, ErrFaulting, ErrLoadsFailing, ErrStalled and
// ErrCutOff in it. None of them has a read answered wrongly: what is not served from memory comes
// from the database. A mode other than ModeOn is no fault.
func (p *Plugin) Health() error {
	switch {
	case p.idle():
		return errNoPlugin
	case p.closed.Load():
		return fmt.Errorf("preload: %w", ErrClosed)
	case !p.ready.Load():
		return errNotInitialized
	}
	var errs []error
	if part, n := p.config.faults.Since(p.config.now().Add(-faultyFor)); n > 0 {
		errs = append(errs, fmt.Errorf("preload: %w: %d by now, the last in %s: see the log", ErrFaulting, n, part))
	}
	if shape, n := p.worker.Told.Loads.Failing(); n >= failingLoads {
		errs = append(errs, fmt.Errorf("preload: %w: the last %d did, the last one of %s: see the log", ErrLoadsFailing, n, shape))
	}
	if n := p.worker.Abandoned(); n >= runner.MaxAbandoned {
		errs = append(errs, fmt.Errorf("preload: %w: %d did not return although their context ended", ErrStalled, n))
	}
	if !p.cache.Open() {
		errs = append(errs, fmt.Errorf("preload: %w: reads go to the database meanwhile", ErrCutOff))
	}
	return errors.Join(errs...)
}

// greet says in the log that the plugin is in use, and how.
func (p *Plugin) greet() {
	c := p.settings()
	p.config.report(slog.LevelInfo, "preload: started", "", "version", c.Version, "database", c.Database, "mode", p.mode().String(), "worker", c.Worker,
		"ttl", c.TTL, "max_entries", p.config.maxEntries, "max_bytes", p.config.maxBytes, "max_rows", c.MaxRows, "feeds", strings.Join(p.config.feedNames(), ", "))
}

// farewell says in the log what the plugin did.
func (p *Plugin) farewell() {
	s := p.Stats()
	p.config.report(slog.LevelInfo, "preload: closed", "", "hits", s.Hits, "misses", s.Misses, "bypassed", s.Bypassed, "invalidated", s.Invalidated,
		"loads", s.PreloadCount, "loads_read", s.PreloadHits, "faults", total(s.Faults), "mismatches", s.Verify.Mismatches, "entries", s.Entries, "bytes", s.Bytes)
}

// total adds up what is counted by something.
func total(counts map[string]int64) (all int64) {
	for _, n := range counts {
		all += n
	}
	return all
}

// noticed sees what is reported, whether a line is written for it or not. part is what the line has
// as its shape: of what is a fault the part of the plugin.
func (c *config) noticed(level slog.Level, event, part string) {
	switch {
	case level < slog.LevelError, event == verify.MismatchEvent, event == verify.WithdrawnEvent:
		return // that others write past the plugin is no fault of it
	case event == runner.PanickedEvent:
		part = "a loader" // in place of the key's label
	case part == "":
		part = event
	}
	c.faults.Add(part, c.clock.Now())
	if part != observerPart {
		c.tell(context.Background(), Event{Kind: EventFault, Part: part})
	}
}

// fault logs what was recovered from. part names a part of the plugin, and no value.
func (c *config) fault(part string, fault any, attrs ...any) {
	failopen.LogFault(c.report, part, fault, attrs...)
}
