package verify

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// MismatchEvent is what the log says of an answer in memory that was not that of the database.
const MismatchEvent = "preload: memory held another answer than the database, so that it is dropped; who writes past the plugin?"

// Mismatch is an answer in memory that was not that of the database.
type Mismatch struct {
	Table, Label string
	Age          time.Duration // since the answer was loaded
	Columns      []string      // as Compare returns them
}

// Verifier judges answers that were in memory, and does what follows from that.
type Verifier struct {
	Cache     *cache.Cache
	Templates *template.Set
	Now       func() time.Time
	Report    failopen.Report
	// Told is told of each answer that was wrong.
	Told func(context.Context, Mismatch)
	// DisableAfter is after how many wrong answers of a table it is withdrawn; 0 for never.
	DisableAfter int
}

// Compared compares an answer that was in memory with the one that the database gave. A write that
// the plugin has seen until now, and that could have changed the answer, has killed the entry: then
// the two may differ. One that the plugin sees later is not visible in the database yet. general
// says that the database answered as it would have answered anybody.
func (v *Verifier) Compared(ctx context.Context, t *template.Template, e *cache.Entry, general bool, answer *gorm.DB, err error) {
	verdict, columns := seen.Skipped, []string(nil)
	switch {
	case err != nil && !errors.Is(err, gorm.ErrRecordNotFound):
		verdict = seen.Failed
	case general && answer != nil && template.Succeeded(answer):
		verdict, columns = Compare(t, e, answer)
	}
	if e.Guard.Dead() {
		verdict = seen.Skipped
	}
	t.Tally.Seen.Compared(verdict)
	if verdict == seen.Mismatch {
		v.mismatch(ctx, t, e, columns)
	}
}

// mismatch drops an answer that was wrong, tells of it, and withdraws its table where too many of
// them were.
func (v *Verifier) mismatch(ctx context.Context, t *template.Template, e *cache.Entry, columns []string) {
	v.Cache.Refute(e)
	m := Mismatch{Table: t.Table, Label: template.Label(t.Prefix), Age: e.Age(v.Now()), Columns: columns}
	v.Report(slog.LevelError, MismatchEvent, m.Label, "table", m.Table, "age", m.Age, "columns", strings.Join(columns, ", "))
	v.Told(ctx, m)
	if v.DisableAfter <= 0 {
		return
	}
	n := v.mismatches(m.Table)
	if n >= int64(v.DisableAfter) && v.Templates.Withdraw(m.Table) {
		v.Report(slog.LevelError, "preload: answers of a model were wrong so often that it is not served any more, until SetMode", m.Label, "table", m.Table, "mismatches", n)
	}
}

// mismatches returns how many answers of a table were wrong.
func (v *Verifier) mismatches(table string) (n int64) {
	v.Cache.Counts.EachTally(func(of string, tally *cache.Tally) {
		if of == table {
			var f seen.Figures
			tally.Seen.Into(&f)
			n += f.Verdicts[seen.Mismatch]
		}
	})
	return n
}
