package preload

import (
	"database/sql"
	"errors"
	"reflect"
	"strings"
	"time"

	"github.com/gorm-preload/preload/internal/mode"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
)

// Queries that are given as SQL, and those of no model, are known by their text alone. What is kept
// of them is what the database gave, which GORM, or the application, reads each time into whatever
// it has.

// agree takes over the terms that a call gives.
func (k *keys) agree(q *read, given *mode.Terms) error {
	tables, wrongTables := k.models.TablesOf("Tables", given.Tables)
	tags, wrongTags := tagsOf("Tags", given.Tags)
	q.terms, q.tags = &template.Terms{TTL: given.TTL, Tables: tables}, tags
	return errors.Join(errors.Join(given.Errs...), wrongTables, wrongTags)
}

// ungoverned reports whether it shows before a query is built that no answer of it is kept: it has
// no terms, and the models of its table, if it is one table by its name, are not opted in.
func (k *keys) ungoverned(stmt *gorm.Statement) bool {
	plain := stmt.TableExpr == nil || len(stmt.TableExpr.Vars) == 0 && !strings.Contains(stmt.TableExpr.SQL, " ")
	return plain && mode.TermsOf(stmt) == nil && !k.models.Governs(stmt.Table)
}

// recognizeText is recognize for a query that is known by its text.
func (k *keys) recognizeText(db *gorm.DB, q *read) Reason {
	stmt := db.Statement
	refused, raw := ReasonNoModel, q.raw
	if raw {
		refused = ReasonRaw
	}
	switch {
	case q.prepare != nil,
		raw && !k.config.raw && mode.TermsOf(stmt) == nil,
		!raw && (shape.Unusual(stmt) || k.ungoverned(stmt)):
		return refused
	}
	var found shape.Clauses
	if reason := k.admit(db, q, &found); reason != "" {
		return reason
	}
	if !raw {
		if callbacks.BuildQuerySQL(db); db.Error != nil {
			return ReasonError
		}
	}
	if stmt.SQL.Len() > shape.MaxLength {
		return ReasonLong
	}
	o := k.optionsOf(stmt, q)
	o.Text, o.First = true, q.row || !q.rows && readsFirst(stmt)
	f := shape.New()
	defer f.Free()
	switch {
	case !f.Rendered(stmt, o):
		return ReasonArgs
	case f.Args.Moving && q.terms == nil:
		return ReasonVolatile
	}
	t := k.templates.Find(f.Shape)
	if t == nil {
		t = k.templates.Add(k.templates.Make(string(f.Shape), stmt, o, k.models.Fallback(), q.terms))
	}
	return k.locate(db, q, t, &found, f, o)
}

// readsFirst reports whether GORM reads no more than the first row into a destination.
func readsFirst(stmt *gorm.Statement) bool {
	switch stmt.Dest.(type) {
	case map[string]any, *map[string]any:
		return true
	case *time.Time, *sql.NullInt32, *sql.NullInt64, *sql.NullFloat64, *sql.NullBool, *sql.NullString, *sql.NullTime:
		return false
	}
	return stmt.ReflectValue.Kind() == reflect.Struct
}
