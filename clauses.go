package preload

import (
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
)

// complete completes the clauses of a query as GORM does, but renders none. What the destination holds, if it may hold
// anything, becomes a condition. It reports whether the query is of all columns of its table.
func complete(db *gorm.DB, holds bool) (whole bool) {
	stmt := db.Statement
	if !holds && ofItself(stmt) {
		selected, ok := stmt.Clauses["SELECT"]
		if ok && selected.Expression == nil {
			return completeByGORM(db)
		}
		for _, c := range stmt.Schema.QueryClauses {
			stmt.AddClause(c)
		}
		if stmt.SQL.Len() > 0 {
			return false
		}
		stmt.Clauses["FROM"] = fromItself
		if ok {
			return false
		}
		if stmt.Distinct {
			stmt.Clauses["SELECT"] = selectDistinct
		} else {
			stmt.Clauses["SELECT"] = selectAll
		}
		return true
	}
	return completeByGORM(db)
}

// completeByGORM lets GORM complete them, in the one function in which it does.
func completeByGORM(db *gorm.DB) (whole bool) {
	stmt := db.Statement
	build := stmt.BuildClauses
	defer func() { stmt.BuildClauses = build }()
	stmt.BuildClauses = build[:0]
	callbacks.BuildQuerySQL(db)
	return false
}

// ofItself reports whether a query is of the statement's own table only, and of all columns if it has no SELECT clause: then GORM
// completes its clauses in one way whatever they are.
func ofItself(stmt *gorm.Statement) bool {
	if len(stmt.Selects) > 0 || len(stmt.Omits) > 0 || len(stmt.Joins) > 0 || stmt.QueryFields || stmt.SQL.Len() > 0 {
		return false
	}
	if _, ok := stmt.Clauses["FROM"]; ok {
		return false
	}
	switch rv := stmt.ReflectValue; rv.Kind() {
	case reflect.Struct:
		return rv.Type() == stmt.Schema.ModelType
	case reflect.Slice:
		return rv.Type().Elem() == stmt.Schema.ModelType
	}
	return true
}

// What GORM adds to the clauses of a query of all columns. All statements share them, as nothing in them can change.
var (
	fromItself     = clause.Clause{Name: "FROM", Expression: itself{}}
	selectAll      = clause.Clause{Name: "SELECT", Expression: clause.Select{}}
	selectDistinct = clause.Clause{Name: "SELECT", Expression: clause.Select{Distinct: true}}
)

// itself is a FROM clause of the statement's own table, and renders as the empty clause.From. It is not one, because GORM
// makes a new clause of each clause.From after the query, to take the joins out that the query put in. This one has none.
type itself struct{}

func (itself) Build(builder clause.Builder) { clause.From{}.Build(builder) }

// usualSQL is for how many bytes of SQL there is room at first, as in GORM.
const usualSQL = 100

// render writes the SQL of a statement whose clauses are complete.
func render(db *gorm.DB) {
	if stmt := db.Statement; stmt.SQL.Len() == 0 && db.Error == nil {
		stmt.SQL.Grow(usualSQL)
		stmt.Build(stmt.BuildClauses...)
	}
}
