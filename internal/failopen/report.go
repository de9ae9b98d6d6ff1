package failopen

import (
	"context"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"
)

const (
	// reportEvery is how much time passes between two lines of one event and shape.
	reportEvery = time.Minute
	// maxReported bounds the events and shapes that are told apart; what is beyond shares one line
	// an event.
	maxReported = 1_000
)

// Reporter is the only way of the plugin's parts to the application's logger. Of one event and
// shape it writes at most a line a minute; the next line says in "suppressed" how many were left
// out. What it is given must hold no bind value and no key, but in a Told. It is safe for
// concurrent use.
type Reporter struct {
	logger *slog.Logger
	now    func() time.Time
	// Noticed is called with each event, also with those of which no line is written; nil for
	// none. It is set before the first report.
	Noticed func(level slog.Level, event, shape string)
	// Values has what a Told may hold of the application's values written. It is set before the
	// first report.
	Values bool

	mu    sync.Mutex
	lines map[reported]*line
}

// Report is the method of a reporter.
type Report func(level slog.Level, event, shape string, attrs ...any)

// reported is what lines are counted by: an event is its message.
type reported struct{ event, shape string }

type line struct {
	since      time.Time
	suppressed int64
}

// NewReporter returns a reporter that has written nothing yet.
func NewReporter(logger *slog.Logger, now func() time.Time) *Reporter {
	return &Reporter{logger: slog.New(handler{logger.Handler()}), now: now, lines: map[reported]*line{}}
}

// Report writes a line about an event, unless one of the same event and shape was written less than
// a minute ago. shape is the label of a key, a table, a part of the plugin, or "" where an event
// has none; it is written as the attribute "shape".
func (r *Reporter) Report(level slog.Level, event, shape string, attrs ...any) {
	if r.Noticed != nil {
		r.Noticed(level, event, shape)
	}
	suppressed, ok := r.admit(event, shape)
	if !ok {
		return
	}
	if shape != "" {
		attrs = append([]any{"shape", shape}, attrs...)
	}
	if suppressed > 0 {
		attrs = append(attrs, "suppressed", suppressed)
	}
	if r.Values {
		attrs = whole(attrs)
	}
	r.logger.Log(context.Background(), level, event, attrs...)
}

// admit reports whether a line is to be written, and how many were not since the last one that was.
func (r *Reporter) admit(event, shape string) (suppressed int64, ok bool) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	key := reported{event, shape}
	l := r.lines[key]
	if l == nil && len(r.lines) >= maxReported {
		maps.DeleteFunc(r.lines, func(_ reported, l *line) bool { return now.Sub(l.since) >= reportEvery })
		if len(r.lines) >= maxReported {
			key.shape = ""
			l = r.lines[key]
		}
	}
	if l == nil {
		l = &line{}
		key.shape = strings.Clone(key.shape)
		r.lines[key] = l
	} else if passed := now.Sub(l.since); 0 <= passed && passed < reportEvery {
		l.suppressed++
		return 0, false
	}
	suppressed, l.suppressed, l.since = l.suppressed, 0, now
	return suppressed, true
}

// maxClipped bounds what is logged of a text that came from outside.
const maxClipped = 200

// Clipped returns a text from outside as it may be logged.
func Clipped(text string) string {
	if len(text) > maxClipped {
		text = text[:maxClipped] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}

// Guard runs a part of the plugin; a panic in it is logged and costs no more than that the part did
// not finish: then it reports false.
func Guard(report Report, part string, do func()) (ok bool) {
	defer func() {
		if fault := recover(); fault != nil {
			LogFault(report, part, fault)
			ok = false
		}
	}()
	do()
	return true
}

// LogFault logs what was recovered from. part names a part of the plugin, and no value.
func LogFault(report Report, part string, fault any) {
	report(slog.LevelError, "preload: a fault in the plugin; the database answers instead", part, FaultAttrs(fault)...)
}
