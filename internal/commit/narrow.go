package commit

import (
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/footprint"
	"gorm.io/gorm"
)

// Returned is called when a statement has run without an error, before its token is done. Where
// it was a create statement, what it changed is known from then on by the keys of the rows that it
// returned: nothing was killed for it yet. In a transaction it is held; outside of any, what it
// could have touched is held back.
func (l *Log) Returned(stmt *gorm.Statement, tok *Token, rows int64) {
	if tok == nil || len(tok.changes) == 0 || tok.changed.Load() {
		return
	}
	within := tok.held
	if t := tok.Within.Load(); t != nil {
		within = &t.held
	}
	// On a pool that is observed nobody knows where a statement ran of which no connection told.
	alone := within == nil && tok.later != nil && (tok.known || tok.ran.Load())
	if within == nil && !alone {
		return
	}
	failopen.Guard(l.Report, "reading returned keys", func() {
		narrow, ok := l.Footprints.Returned(stmt, tok.changes, rows)
		switch {
		case !ok:
		case alone:
			tok.later.narrow = narrow
		default:
			within.narrow(tok.changes, narrow)
		}
	})
}

// hindsight is what is known of a write once it has run.
type hindsight struct {
	narrow []coherence.Change // nil where it is no more than was known before
}

// of returns what is to be killed for a write that was announced as wide as this. What may go on
// may still do anything.
func (h *hindsight) of(wide []footprint.Write, hold Hold) []footprint.Write {
	if h.narrow == nil || hold.For > 0 {
		return wide
	}
	return []footprint.Write{{Changes: h.narrow, Version: wide[0].Version}}
}

// narrow replaces changes that are held, if they still are one by one, by those that are known of
// them now.
func (h *held) narrow(wide, narrow []coherence.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.segments {
		writes := h.segments[i].writes
		for j := range writes {
			if changes := writes[j].Changes; len(changes) > 0 && &changes[0] == &wide[0] {
				writes[j].Changes = narrow
				h.serial++
			}
		}
	}
}
