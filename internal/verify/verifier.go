package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/loading"
	"github.com/gorm-preload/preload/internal/own"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// MismatchEvent is what the log says of an answer in memory that was not that of the database.
const MismatchEvent = "preload: memory held another answer than the database, so that it is dropped; who writes past the plugin?"

// WithdrawnEvent is what the log says of a model that is not served any more.
const WithdrawnEvent = "preload: answers of a model were wrong so often that it is not served any more, until SetMode"

// Mismatch is an answer in memory that was not that of the database.
type Mismatch struct {
	Table, Label string
	Age          time.Duration // since the answer was loaded
	Columns      []string      // as Compare returns them
	// Writes are the kinds of writes of the tables that the answer reads of which there was one
	// since the answer was loaded, the last one first.
	Writes []seen.Written
}

// Verifier judges answers that were in memory, and does what follows from that.
type Verifier struct {
	Cache     *cache.Cache
	Templates *template.Set
	Now       func() time.Time
	Report    failopen.Report
	Writes    *seen.Writes
	// Told is told of each answer that was wrong.
	Told func(context.Context, Mismatch)
	// DisableAfter is after how many wrong answers of a table it is withdrawn; 0 for never.
	DisableAfter int
}

// Compared compares an answer that was in memory with the one that the database gave. A write that
// the plugin has seen until now, and that could have changed the answer, has killed the entry: then
// the two may differ. One that the plugin sees later is not visible in the database yet.
func (v *Verifier) Compared(ctx context.Context, t *template.Template, e *cache.Entry, c loading.Check) {
	verdict, columns := seen.Skipped, []string(nil)
	switch {
	case c.Err != nil && !errors.Is(c.Err, gorm.ErrRecordNotFound):
		verdict = seen.Failed
	case !c.General:
	case t.RecordsRows():
		verdict, columns = CompareRows(t, e, c.Recording)
	case c.Answer != nil && template.Succeeded(c.Answer):
		verdict, columns = Compare(t, e, c.Answer)
	}
	v.judge(ctx, Mismatch{Table: t.Table, Label: template.Label(t.Prefix), Columns: columns}, e, verdict)
}

// ComparedOwn compares own data that was in memory with what its loader gave.
func (v *Verifier) ComparedOwn(ctx context.Context, e *cache.Entry, label string, c *own.Check) {
	verdict, columns := seen.Failed, []string(nil)
	if c.Loaded {
		verdict, columns = CompareValues(own.ValueOf(e), c.Value)
	}
	v.judge(ctx, Mismatch{Table: own.Table, Label: label, Columns: columns}, e, verdict)
}

// judge counts what came of a comparison, unless a write has killed the entry meanwhile, or holds
// it back.
func (v *Verifier) judge(ctx context.Context, m Mismatch, e *cache.Entry, verdict seen.Verdict) {
	if !v.Cache.Index.Serves(&e.Guard) {
		verdict = seen.Skipped
	}
	if e.Tally.Seen.Compared(verdict); verdict == seen.Mismatch {
		v.mismatch(ctx, m, e)
	}
}

// mismatch drops an answer that was wrong, tells of it, and withdraws its table where too many of
// them were.
func (v *Verifier) mismatch(ctx context.Context, m Mismatch, e *cache.Entry) {
	now := v.Now()
	m.Age = e.Age(now)
	m.Writes = v.Writes.Since(now.Add(-m.Age), e.Guard.Tables()...)
	v.Cache.Refute(e)
	v.Report(slog.LevelError, MismatchEvent, m.Label, "table", m.Table, "age", m.Age, "key", template.Told(e.Key), "columns", strings.Join(m.Columns, ", "),
		"writes_seen_since", m.writes(now))
	v.Told(ctx, m)
	if v.DisableAfter <= 0 || m.Table == own.Table {
		return
	}
	n := v.mismatches(m.Table)
	if n >= int64(v.DisableAfter) && v.Templates.Withdraw(m.Table) {
		v.Report(slog.LevelError, WithdrawnEvent, m.Label, "table", m.Table, "mismatches", n)
	}
}

// maxWrites bounds the kinds of writes that a line of the log names.
const maxWrites = 8

// writes returns in words which writes there were since the answer was loaded, and how long ago.
func (m *Mismatch) writes(now time.Time) string {
	if len(m.Writes) == 0 {
		return "none"
	}
	texts := make([]string, 0, maxWrites+1)
	for i, one := range m.Writes {
		if i == maxWrites {
			texts = append(texts, fmt.Sprintf("and %d other kinds", len(m.Writes)-maxWrites))
			break
		}
		text := one.Kind + " of " + failopen.Clipped(cmp.Or(one.Table, "anything"))
		if len(one.Columns) > 0 {
			text += " (" + failopen.Clipped(strings.Join(one.Columns, ", ")) + ")"
		}
		if one.Elsewhere {
			text += " by another process"
		}
		texts = append(texts, fmt.Sprintf("%s %v ago", text, now.Sub(one.Last)))
	}
	return strings.Join(texts, "; ")
}

// mismatches returns how many answers of a table were wrong.
func (v *Verifier) mismatches(table string) (n int64) {
	v.Cache.Counts.EachTally(func(of string, tally *cache.Tally) {
		if of == table || tally.Table == table {
			var f seen.Figures
			tally.Seen.Into(&f)
			n += f.Verdicts[seen.Mismatch]
		}
	})
	return n
}
