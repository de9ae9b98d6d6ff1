package commit

import (
	"time"

	"github.com/gorm-preload/preload/internal/footprint"
)

// Hold is how long the tables of a write stay out of the cache after it returned, and why. The zero
// value is not at all.
type Hold struct {
	For time.Duration
	Why Why
}

// Why says what keeps tables out of the cache, in the words of the statistics.
type Why string

// What keeps tables out of the cache.
const (
	Unanswered     Why = "not answered"    // the connection or the context ended before the server answered
	RawRows        Why = "raw rows"        // a raw write whose rows the application reads
	OtherPool      Why = "other pool"      // a connection or a pool that is not the plugin's
	RawTransaction Why = "raw transaction" // a transaction that was begun or ended by a statement
	Callback       Why = "other callback"  // the application replaced the plugin's callback
	OtherProcess   Why = "other process"   // another process does not know what became of a write
)

// longer returns the longer one of two.
func longer(a, b Hold) Hold {
	if b.For > a.For {
		return b
	}
	return a
}

// keepOut tells of the tables that a write keeps out which is over.
func (l *Log) keepOut(w footprint.Write, hold Hold) {
	if hold.For <= 0 {
		return
	}
	if everywhere(w) {
		// What a name is may change until then, and nobody would say so.
		for until := l.Now().Add(hold.For).UnixNano(); ; {
			before := l.unsettled.Load()
			if before >= until || l.unsettled.CompareAndSwap(before, until) {
				break
			}
		}
		l.Catalog.Unsettle()
	}
	if l.HeldOut == nil {
		return
	}
	var tables []string
	for _, c := range w.Changes {
		tables = append(tables, c.Table)
	}
	l.HeldOut(tables, hold)
}
