package commit

import (
	"log/slog"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/sqltext"
)

// settings knows of statements that left something behind on their connection.
type settings struct {
	differ atomic.Bool  // what a read finds, or a write does, may depend on the connection
	tuned  atomic.Int64 // settings of another kind
}

// leaves notes what a statement leaves behind on its connection.
func (l *Log) leaves(meaning sqltext.Statement) {
	if meaning.Within&sqltext.IsolatesOthers != 0 {
		l.isolation.moved.Store(true)
	}
	switch meaning.Effect {
	case sqltext.Differs:
		l.SetDiffer()
	case sqltext.Tunes:
		l.settings.tuned.Add(1)
	}
}

// SetDiffer notes that connections are not alike.
func (l *Log) SetDiffer() {
	if !l.settings.differ.Swap(true) {
		l.Catalog.Unsettle()
		l.Report(slog.LevelInfo, "preload: a statement set something on its connection that others may depend on (SET, PRAGMA, ATTACH, "+
			"a temporary table): loads in the background have no connections of their own from now on", "")
	}
}

// Differ reports whether what a read finds, or a write does, may depend on the connection that it
// runs on, by what was seen of the application's statements.
func (l *Log) Differ() bool { return l.settings.differ.Load() }

// Tuned returns how many settings were seen that reads do not depend on.
func (l *Log) Tuned() int64 { return l.settings.tuned.Load() }

// RawOpen reports whether a transaction is open that was begun as a statement: whoever takes a
// connection of the pool may take the one on which it is.
func (l *Log) RawOpen() bool { return l.raw.open() }
