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
	// maxReported bounds the events and shapes that are told apart, and maxComplained those of a
	// feed; what is beyond shares one line an event.
	maxReported   = 1_000
	maxComplained = 32
)

// Reporter is the only way of the plugin's parts to the application's logger. Of one event and
// shape it writes at most a line a minute; the next line says in "suppressed" how many were left
// out. What it is given must hold no bind value and no key, but in a Told. It is safe for
// concurrent use.
type Reporter struct {
	logger *slog.Logger
	now    func() time.Time
	most   int
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
	return &Reporter{logger: slog.New(handler{logger.Handler()}), now: now, most: maxReported, lines: map[reported]*line{}}
}

// Complaints returns a reporter for what is wrong with a feed.
func Complaints(logger *slog.Logger) *Reporter {
	r := NewReporter(logger, time.Now)
	r.most = maxComplained
	return r
}

// Report writes a line about an event, unless one of the same event and shape was written less than
// a minute ago. shape is the label of a key, a table, a part of the plugin, or "" where an event
// has none; it is written as the attribute "shape".
func (r *Reporter) Report(level slog.Level, event, shape string, attrs ...any) {
	if r.Noticed != nil {
		r.Noticed(level, event, shape)
	}
	if suppressed, ok := r.admit(event, shape); ok {
		if shape != "" {
			attrs = append([]any{"shape", shape}, attrs...)
		}
		r.write(level, event, suppressed, attrs)
	}
}

// Wrong warns of an event and why it is, nil for an event that says so itself. Each reason has
// lines of its own.
func (r *Reporter) Wrong(event string, why error, attrs ...any) {
	reason := ""
	if why != nil {
		reason, attrs = why.Error(), append(attrs, "err", why)
	}
	if suppressed, ok := r.admit(event, reason); ok {
		r.write(slog.LevelWarn, event, suppressed, attrs)
	}
}

func (r *Reporter) write(level slog.Level, event string, suppressed int64, attrs []any) {
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
	if l == nil && len(r.lines) >= r.most {
		maps.DeleteFunc(r.lines, func(_ reported, l *line) bool { return now.Sub(l.since) >= reportEvery })
		if len(r.lines) >= r.most {
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

// LogFault logs what was recovered from. part names a part of the plugin, and no value or shape:
// faults are counted by it. attrs say more.
func LogFault(report Report, part string, fault any, attrs ...any) {
	report(slog.LevelError, "preload: a fault in the plugin; the database answers instead", part, append(attrs, FaultAttrs(fault)...)...)
}
