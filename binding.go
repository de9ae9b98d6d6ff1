package preload

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Arg stands in the function of Prepare where a value goes that each call gives: preload.Arg(0)
// where the first goes, preload.Arg(1) the second. It can be wherever GORM takes a bind value, as
// in tx.Where("id = ?", preload.Arg(0)) or tx.Where(map[string]any{"name": preload.Arg(1)}), in
// conditions of associations, joins and subqueries too. A place that takes something else (Limit,
// Offset, a column's name, Raw) cannot hold one.
type Arg int

// String returns the expression that makes the Arg.
func (a Arg) String() string { return fmt.Sprintf("preload.Arg(%d)", int(a)) }

// GormValue implements gorm.Valuer. It is asked only where no value took the place of the Arg,
// which is an error.
func (a Arg) GormValue(_ context.Context, db *gorm.DB) clause.Expr {
	_ = db.AddError(fmt.Errorf("preload: %v is where Prepare puts no value, or outside of Prepare", a))
	// GORM drops the errors of subqueries: this one the database tells.
	return clause.Expr{SQL: unbound + strconv.Itoa(int(a))}
}

// placeOfArg tells an Arg from a value.
func placeOfArg(value any) (int, bool) {
	a, ok := value.(Arg)
	return int(a), ok
}

// unbound begins the name of a column that there is not, in the place of an Arg that got no value.
const unbound = "preload_arg_without_value_"

// binding puts values in the places of Args. What it changes it copies before: the parts of a
// statement may be shared.
type binding struct {
	values []any
	met    map[Arg]bool // those that were met; nil to keep none
}

// statement binds all that a statement holds.
func (b *binding) statement(stmt *gorm.Statement) {
	for name, c := range stmt.Clauses {
		if bound, ok := b.expression(c.Expression); ok {
			c.Expression = bound
			stmt.Clauses[name] = c
		}
	}
	if stmt.TableExpr != nil {
		if bound, ok := b.expression(*stmt.TableExpr); ok {
			expr := bound.(clause.Expr)
			stmt.TableExpr = &expr
		}
	}
	for i := range stmt.Joins {
		join := &stmt.Joins[i]
		if bound, ok := b.list(join.Conds); ok {
			join.Conds = bound
		}
		if bound, ok := b.expression(join.Expression); ok {
			join.Expression = bound
		}
		if join.On != nil {
			if bound, ok := b.expression(*join.On); ok {
				on := bound.(clause.Where)
				join.On = &on
			}
		}
	}
	for name, conds := range stmt.Preloads {
		if bound, ok := b.list(conds); ok {
			stmt.Preloads[name] = bound
		}
	}
}

// value returns what takes the place of a bind value; false if it can stay.
func (b *binding) value(value any) (any, bool) {
	switch v := value.(type) {
	case Arg:
		if b.met != nil {
			b.met[v] = true
		}
		if v < 0 || int(v) >= len(b.values) {
			return v, false
		}
		return b.values[v], true
	case sql.NamedArg:
		bound, ok := b.value(v.Value)
		v.Value = bound
		return v, ok
	case []any:
		return b.list(v)
	case map[string]any:
		return b.named(v)
	case *gorm.DB:
		return b.subquery(v)
	case clause.Expression:
		return b.expression(v)
	}
	return value, false
}

func (b *binding) list(values []any) ([]any, bool) {
	changed := false
	for i, value := range values {
		if bound, ok := b.value(value); ok {
			if !changed {
				values, changed = slices.Clone(values), true
			}
			values[i] = bound
		}
	}
	return values, changed
}

func (b *binding) named(values map[string]any) (map[string]any, bool) {
	changed := false
	for name, value := range values {
		if bound, ok := b.value(value); ok {
			if !changed {
				values, changed = maps.Clone(values), true
			}
			values[name] = bound
		}
	}
	return values, changed
}

// subquery binds a statement in a statement.
func (b *binding) subquery(db *gorm.DB) (*gorm.DB, bool) {
	tx := db.Session(&gorm.Session{Initialized: true}) // statement changes it
	inside := binding{values: b.values, met: map[Arg]bool{}}
	if inside.statement(tx.Statement); len(inside.met) == 0 {
		return db, false
	}
	if b.met != nil {
		maps.Copy(b.met, inside.met)
	}
	return tx, true
}

// ofMap reports whether a column is one as GORM makes it of a map of conditions.
func ofMap(column any) bool {
	c, ok := column.(clause.Column)
	return ok && (c.Table == clause.CurrentTable || c.Table == "" && strings.Contains(c.Name, "."))
}

// listOf returns the values of a list that GORM, where it finds one in a map of conditions or among
// primary keys, takes apart.
func listOf(value any) ([]any, bool) {
	switch value.(type) {
	case driver.Valuer, gorm.Valuer:
		return nil, false
	}
	rv := reflect.Indirect(reflect.ValueOf(value))
	if rv.Kind() != reflect.Slice && rv.Kind() != reflect.Array {
		return nil, false
	}
	values := make([]any, rv.Len())
	for i := range values {
		values[i] = rv.Index(i).Interface()
	}
	return values, true
}

func (b *binding) expressions(exprs []clause.Expression) ([]clause.Expression, bool) {
	changed := false
	for i, expr := range exprs {
		if bound, ok := b.expression(expr); ok {
			if !changed {
				exprs, changed = slices.Clone(exprs), true
			}
			exprs[i] = bound
		}
	}
	return exprs, changed
}

// expression returns what takes the place of an expression; false if it can stay.
func (b *binding) expression(expression clause.Expression) (clause.Expression, bool) {
	var ok bool
	switch e := expression.(type) {
	case clause.Expr:
		e.Vars, ok = b.list(e.Vars)
		return e, ok
	case clause.NamedExpr:
		e.Vars, ok = b.list(e.Vars)
		return e, ok
	case clause.Eq:
		_, isArg := e.Value.(Arg)
		e.Value, ok = b.value(e.Value)
		if ok && isArg && ofMap(e.Column) {
			if values, isList := listOf(e.Value); isList {
				return clause.IN{Column: e.Column, Values: values}, true
			}
		}
		return e, ok
	case clause.Neq:
		e.Value, ok = b.value(e.Value)
		return e, ok
	case clause.Gt:
		e.Value, ok = b.value(e.Value)
		return e, ok
	case clause.Gte:
		e.Value, ok = b.value(e.Value)
		return e, ok
	case clause.Lt:
		e.Value, ok = b.value(e.Value)
		return e, ok
	case clause.Lte:
		e.Value, ok = b.value(e.Value)
		return e, ok
	case clause.Like:
		e.Value, ok = b.value(e.Value)
		return e, ok
	case clause.IN:
		e.Values, ok = b.list(e.Values)
		if ok && len(e.Values) == 1 && e.Column == clause.PrimaryColumn {
			if values, isList := listOf(e.Values[0]); isList {
				e.Values = values
			}
		}
		return e, ok
	case clause.AndConditions:
		e.Exprs, ok = b.expressions(e.Exprs)
		return e, ok
	case clause.OrConditions:
		e.Exprs, ok = b.expressions(e.Exprs)
		return e, ok
	case clause.NotConditions:
		e.Exprs, ok = b.expressions(e.Exprs)
		return e, ok
	case clause.Where:
		e.Exprs, ok = b.expressions(e.Exprs)
		return e, ok
	case clause.CommaExpression:
		e.Exprs, ok = b.expressions(e.Exprs)
		return e, ok
	case clause.GroupBy:
		e.Having, ok = b.expressions(e.Having)
		return e, ok
	case clause.OrderBy:
		e.Expression, ok = b.expression(e.Expression)
		return e, ok
	case clause.Select:
		e.Expression, ok = b.expression(e.Expression)
		return e, ok
	case clause.Join:
		if e.Expression, ok = b.expression(e.Expression); ok {
			return e, true
		}
		e.ON.Exprs, ok = b.expressions(e.ON.Exprs)
		return e, ok
	case clause.From:
		for i, join := range e.Joins {
			if bound, changed := b.expression(join); changed {
				if !ok {
					e.Joins, ok = slices.Clone(e.Joins), true
				}
				e.Joins[i] = bound.(clause.Join)
			}
		}
		return e, ok
	}
	return expression, false
}
