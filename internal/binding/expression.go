package binding

import (
	"database/sql/driver"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// expression returns what takes the place of an expression; false if it can stay.
func (b *Binding) expression(expression clause.Expression) (clause.Expression, bool) {
	switch e := expression.(type) {
	case clause.Expr:
		return with(&e, &e.Vars, b.list)
	case clause.NamedExpr:
		return with(&e, &e.Vars, b.list)
	case clause.Eq:
		return b.equality(e)
	case clause.Neq:
		return with(&e, &e.Value, b.value)
	case clause.Gt:
		return with(&e, &e.Value, b.value)
	case clause.Gte:
		return with(&e, &e.Value, b.value)
	case clause.Lt:
		return with(&e, &e.Value, b.value)
	case clause.Lte:
		return with(&e, &e.Value, b.value)
	case clause.Like:
		return with(&e, &e.Value, b.value)
	case clause.IN:
		return b.in(e)
	case clause.AndConditions:
		return with(&e, &e.Exprs, b.expressions)
	case clause.OrConditions:
		return with(&e, &e.Exprs, b.expressions)
	case clause.NotConditions:
		return with(&e, &e.Exprs, b.expressions)
	case clause.Where:
		return with(&e, &e.Exprs, b.expressions)
	case clause.CommaExpression:
		return with(&e, &e.Exprs, b.expressions)
	case clause.GroupBy:
		return with(&e, &e.Having, b.expressions)
	case clause.OrderBy:
		return with(&e, &e.Expression, b.expression)
	case clause.Select:
		return with(&e, &e.Expression, b.expression)
	case clause.Join:
		if bound, ok := with(&e, &e.Expression, b.expression); ok {
			return bound, true
		}
		return with(&e, &e.ON.Exprs, b.expressions)
	case clause.From:
		return with(&e, &e.Joins, b.joins)
	}
	return expression, false
}

// with binds the one part of an expression that holds values. e is a copy of the expression, and
// part is in it.
func with[E clause.Expression, P any](e *E, part *P, bind func(P) (P, bool)) (clause.Expression, bool) {
	bound, ok := bind(*part)
	*part = bound
	return *e, ok
}

// equality binds a comparison. What GORM makes of a map of conditions is a list where the value is
// one.
func (b *Binding) equality(e clause.Eq) (clause.Expression, bool) {
	_, isArg := b.Place(e.Value)
	var ok bool
	e.Value, ok = b.value(e.Value)
	if ok && isArg && ofMap(e.Column) {
		if values, isList := listOf(e.Value); isList {
			return clause.IN{Column: e.Column, Values: values}, true
		}
	}
	return e, ok
}

// in binds a list. What GORM makes of a primary key is a list of as many as there are in the value.
func (b *Binding) in(e clause.IN) (clause.Expression, bool) {
	var ok bool
	e.Values, ok = b.list(e.Values)
	if ok && len(e.Values) == 1 && e.Column == clause.PrimaryColumn {
		if values, isList := listOf(e.Values[0]); isList {
			e.Values = values
		}
	}
	return e, ok
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

func (b *Binding) expressions(exprs []clause.Expression) ([]clause.Expression, bool) {
	return each(exprs, b.expression)
}

func (b *Binding) joins(joins []clause.Join) ([]clause.Join, bool) {
	return each(joins, func(join clause.Join) (clause.Join, bool) {
		bound, ok := b.expression(join)
		return bound.(clause.Join), ok
	})
}

// each binds the elements of a list, which it copies before it changes one.
func each[E any](list []E, bind func(E) (E, bool)) ([]E, bool) {
	changed := false
	for i, element := range list {
		if bound, ok := bind(element); ok {
			if !changed {
				list, changed = slices.Clone(list), true
			}
			list[i] = bound
		}
	}
	return list, changed
}
