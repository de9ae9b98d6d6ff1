package recognition

import (
	"database/sql"
	"errors"
	"reflect"
	"strings"
	"time"

	"github.com/gorm-preload/preload/internal/mode"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
)

// Queries that are given as SQL, and those of no model, are known by their text alone. What is kept
// of them is what the database gave, which GORM, or the application, reads each time into whatever
// it has.

// agree takes over the terms that a call gives.
func (k *Keys) agree(q *Query, given *mode.Terms) error {
	tables, wrongTables := k.Models.TablesOf("Tables", given.Tables)
	tags, wrongTags := mode.TablesOfTags("Tags", given.Tags)
	q.terms, q.Tags = &template.Terms{TTL: given.TTL, Tables: tables}, tags
	return errors.Join(errors.Join(given.Errs...), wrongTables, wrongTags)
}

// ungoverned reports whether it shows before a query is built that no answer of it is kept: it has
// no terms, and the models of its table, if it is one table by its name, are not opted in.
func (k *Keys) ungoverned(stmt *gorm.Statement) bool {
	plain := stmt.TableExpr == nil || len(stmt.TableExpr.Vars) == 0 && !strings.Contains(stmt.TableExpr.SQL, " ")
	return plain && mode.TermsOf(stmt) == nil && !k.Models.Governs(stmt.Table)
}

// recognizeText is Recognize for a query that is known by its text.
func (k *Keys) recognizeText(db *gorm.DB, q *Query) seen.Reason {
	stmt := db.Statement
	refused, raw := seen.ReasonNoModel, q.Raw
	if raw {
		refused = seen.ReasonRaw
	}
	switch {
	case q.prepare != nil,
		raw && !k.Config.Raw && mode.TermsOf(stmt) == nil,
		!raw && (shape.Unusual(stmt) || k.ungoverned(stmt)):
		return refused
	}
	var found shape.Clauses
	if reason := k.admit(db, q, &found); reason != "" {
		return reason
	}
	if !raw {
		if callbacks.BuildQuerySQL(db); db.Error != nil {
			return seen.ReasonError
		}
	}
	if stmt.SQL.Len() > shape.MaxLength {
		return seen.ReasonLong
	}
	o := k.optionsOf(stmt, q)
	o.Text, o.First = true, q.Row || !q.Rows && readsFirst(stmt)
	f := shape.New()
	defer f.Free()
	switch {
	case !f.Rendered(stmt, o):
		return seen.ReasonArgs
	case f.Args.Moving && q.terms == nil:
		return seen.ReasonVolatile
	}
	t := k.Templates.Find(f.Shape)
	if t == nil {
		t = k.Templates.Add(k.Templates.Make(string(f.Shape), stmt, o, k.Models.Fallback(), q.terms))
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
