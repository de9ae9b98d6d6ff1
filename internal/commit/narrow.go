package commit

import (
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/failopen"
	"gorm.io/gorm"
)

// Returned is called when a statement has run without an error, before its token is done. Where
// it was a create statement in a transaction, what it changed is held from then on by the keys of
// the rows that it returned: nothing was killed for it yet. Outside of any it was announced before
// these were known.
func (l *Log) Returned(stmt *gorm.Statement, tok *Token, rows int64) {
	if tok == nil || len(tok.changes) == 0 || tok.changed.Load() {
		return
	}
	within := tok.held
	if t := tok.Within.Load(); t != nil {
		within = &t.held
	}
	if within == nil {
		return
	}
	failopen.Guard(l.Report, "reading returned keys", func() {
		if narrow, ok := l.Footprints.Returned(stmt, tok.changes, rows); ok {
			within.narrow(tok.changes, narrow)
		}
	})
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
