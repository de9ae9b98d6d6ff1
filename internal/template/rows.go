package template

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unsafe"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/replay"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
)

// The answers of a template of rows are recordings of what their queries gave: the application
// reads the rows itself, into whatever it wants.

// FillRecording gives the entry of a load the recording of its query, so that those who wait have
// it. It reports whether that may be kept.
func (f *Load) FillRecording(r *replay.Recording) bool {
	set, limits := f.template.set, f.template.Limits()
	ttl := limits.TTL
	if r.Len() == 0 {
		ttl = limits.Negative
	}
	ttl -= set.Cache.Now().Sub(f.asked) // the application may have taken its time to read
	keep := ttl > 0 && !f.Entry.Guard.Dead()
	if keep {
		if rows, keys, ok := f.reading.KeysOfRows(r.Columns(), int64(r.Len()), func(row, column int) any { return r.Value(row, column) }); ok {
			set.Index.Fill(&f.Entry.Guard, rows, keys, int64(r.Len()) < f.limit)
			f.found += footprint.Count(keys)
		}
	}
	set.Cache.Weigh(&f.Flight, r.Bytes(), f.found)
	set.Cache.Fill(&f.Flight, cache.Content{Value: unsafe.Pointer(&r), Rows: int64(r.Len()), Weighs: r.Bytes(), Found: f.found, TTL: max(ttl, 0)})
	return keep && f.Unkept == ""
}

// ArrivedRecording stores the recording of a query that was run in the background.
func (f *Load) ArrivedRecording(r *replay.Recording) (stored bool) {
	cache := f.template.set.Cache
	if f.FillRecording(r) {
		f.Ahead()
		stored = cache.Keep(&f.Flight)
	}
	if !stored {
		cache.Outdate(&f.Flight)
	}
	return stored
}

// RecordsRows reports whether the answers of the template are recordings.
func (t *Template) RecordsRows() bool { return t.rows }

// RowsOf returns the recording that an entry of the template holds, not to be changed.
func (t *Template) RowsOf(e *cache.Entry) *replay.Recording {
	return *(**replay.Recording)(e.Value)
}

// play reads the rows of an entry into the destination of a statement, as GORM's own callback does.
func (t *Template) play(db *gorm.DB, e *cache.Entry) error {
	rows, err := replay.Head(db.Statement.Context, t.RowsOf(e))
	if err != nil {
		return err
	}
	callbacks.BuildQuerySQL(db) // which leaves the SQL as it is, and adds the clauses of the model
	scan(rows, db)
	if db.Statement.Result != nil {
		db.Statement.Result.RowsAffected = db.RowsAffected
	}
	return nil
}

// PlayRow gives a statement the first row of an entry, as GORM's own callback leaves it.
func (t *Template) PlayRow(db *gorm.DB, e *cache.Entry) {
	e.Fetch()
	db.Statement.Dest, db.RowsAffected = replay.Row(db.Statement.Context, t.RowsOf(e)), -1
}

// Play gives a statement the rows of an entry, as GORM's own callback leaves them; false where
// there are none any more.
func (t *Template) Play(db *gorm.DB, e *cache.Entry) bool {
	e.Fetch()
	rows, err := replay.Head(db.Statement.Context, t.RowsOf(e))
	if err != nil {
		return false
	}
	db.Statement.Settings.Delete("rows")
	db.Statement.Dest, db.RowsAffected = rows, -1
	return true
}

// OneRow reports whether the query of a statement should have one row at most, or may have no more:
// of one that is told by its SQL that is looked for.
func (t *Template) OneRow(stmt *gorm.Statement) bool {
	if t.Text {
		return true
	}
	if limit, ok := stmt.Clauses["LIMIT"].Expression.(clause.Limit); ok && limit.Limit != nil && *limit.Limit == 1 {
		return true
	}
	if t.query == nil {
		return false
	}
	return t.query.Aggregate && !t.query.Grouped || t.ReadingOf(t.set.Catalog.Version()).Pins(stmt.Schema.PrimaryFieldDBNames) && len(stmt.Schema.PrimaryFieldDBNames) > 0
}

// OfRows reports whether the application reads the rows of the answers itself.
func (t *Template) OfRows() bool { return t.rows }

// Determined reports whether the database has but one answer to the query, whatever the order of
// its rows and when it is asked, as far as is known: a LIMIT without an order, or with one that
// leaves rows equal, may cut off these rows or those.
func (t *Template) Determined() bool {
	if t.Moves.Load() {
		return false
	}
	q, all := t.query, t.destKind() == reflect.Slice
	if t.rows {
		all = !t.First
	}
	switch {
	case q == nil:
		return all && !undetermined.MatchString(t.SQL)
	case q.Aggregate && !q.Grouped:
		return !ordered.MatchString(t.SQL)
	case ordered.MatchString(t.SQL):
		return false
	case all && !q.Limited && !q.Offset:
		return true
	}
	key := t.primaryKey()
	if len(key) == 0 || q.Grouped || q.Distinct {
		return false
	}
	if t.ReadingOf(t.set.Catalog.Version()).Pins(key) {
		return true
	}
	return q.Ordered && !q.Computed && len(q.Aliases) == 0 && !slices.ContainsFunc(key, func(column string) bool {
		return !slices.ContainsFunc(q.Order, func(name sqltext.Name) bool { return name.Text == column })
	})
}

var (
	// ordered are functions that depend on the order of rows.
	ordered      = regexp.MustCompile(`(?i)\b(group_concat|string_agg|array_agg|json\w*_\w*agg\w*|json_group_\w+|xmlagg|listagg|over)\b`)
	undetermined = regexp.MustCompile(`(?i)\b(limit|offset|fetch|top|distinct\s+on)\b|` + ordered.String())
)

// primaryKey returns the columns of the primary key of the template's model, none where it has no
// model.
func (t *Template) primaryKey() []string {
	if t.Proto.Schema == nil {
		return nil
	}
	return t.Proto.Schema.PrimaryFieldDBNames
}

// InvalidatedBy says in words which writes invalidate an answer of the template.
func (t *Template) InvalidatedBy() string {
	r := t.ReadingOf(t.set.Catalog.Version())
	var parts []string
	if table := r.About.Table; table != "" {
		var what string
		switch key := t.primaryKey(); {
		case len(key) > 0 && r.Pins(key):
			what = "writes of " + table + " that may touch the row of the same " + strings.Join(key, ", ")
		case len(r.About.Pinned)+len(r.About.Fixed) > 0:
			pinned := slices.Clone(r.About.Pinned)
			for _, pin := range r.About.Fixed {
				pinned = append(pinned, pin.Column)
			}
			slices.Sort(pinned)
			what = "writes of " + table + " that may touch rows of the same " + strings.Join(pinned, ", ")
		case t.query != nil && t.query.Limited && !t.query.Ordered:
			what = "writes of " + table + " that may touch any row: LIMIT without ORDER BY"
		default:
			what = "writes of " + table + " that may touch rows that it reads"
		}
		if columns := r.About.Columns; !columns.All && len(columns.Names) > 0 && len(columns.Names) <= 8 {
			what += "; of updates only those of " + strings.Join(slices.Sorted(slices.Values(columns.Names)), ", ")
		}
		parts = append(parts, what)
	}
	for _, table := range r.Loose {
		parts = append(parts, "any write of "+table)
	}
	if len(parts) == 0 {
		return "any write"
	}
	return strings.Join(parts, "; ")
}
