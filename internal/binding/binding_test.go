package binding

import (
	"database/sql"
	"database/sql/driver"
	"reflect"
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// place keeps the place of a value.
type place int

func isPlace(value any) (int, bool) {
	p, ok := value.(place)
	return int(p), ok
}

// bound returns a binding of two values.
func bound() *Binding {
	return &Binding{Place: isPlace, Values: []any{"first", 2}, Met: map[int]bool{}}
}

// forms are expressions of every type that holds values, with a value in each place where one may
// be.
var forms = map[string]func(v any) clause.Expression{
	"Expr":      func(v any) clause.Expression { return clause.Expr{SQL: "a = ? AND b = ?", Vars: []any{"x", v}} },
	"NamedExpr": func(v any) clause.Expression { return clause.NamedExpr{SQL: "@a", Vars: []any{sql.Named("a", v)}} },
	"of a map": func(v any) clause.Expression {
		return clause.NamedExpr{SQL: "@a", Vars: []any{map[string]any{"a": v, "b": 0}}}
	},
	"Eq":   func(v any) clause.Expression { return clause.Eq{Column: "a", Value: v} },
	"Neq":  func(v any) clause.Expression { return clause.Neq{Column: "a", Value: v} },
	"Gt":   func(v any) clause.Expression { return clause.Gt{Column: "a", Value: v} },
	"Gte":  func(v any) clause.Expression { return clause.Gte{Column: "a", Value: v} },
	"Lt":   func(v any) clause.Expression { return clause.Lt{Column: "a", Value: v} },
	"Lte":  func(v any) clause.Expression { return clause.Lte{Column: "a", Value: v} },
	"Like": func(v any) clause.Expression { return clause.Like{Column: "a", Value: v} },
	"IN":   func(v any) clause.Expression { return clause.IN{Column: "a", Values: []any{"x", v}} },
	"AndConditions": func(v any) clause.Expression {
		return clause.AndConditions{Exprs: []clause.Expression{clause.Eq{Value: 0}, clause.Eq{Value: v}}}
	},
	"OrConditions": func(v any) clause.Expression {
		return clause.OrConditions{Exprs: []clause.Expression{clause.Eq{Value: v}}}
	},
	"NotConditions": func(v any) clause.Expression {
		return clause.NotConditions{Exprs: []clause.Expression{clause.Eq{Value: v}}}
	},
	"Where": func(v any) clause.Expression { return clause.Where{Exprs: []clause.Expression{clause.Eq{Value: v}}} },
	"CommaExpression": func(v any) clause.Expression {
		return clause.CommaExpression{Exprs: []clause.Expression{clause.Expr{Vars: []any{v}}}}
	},
	"GroupBy": func(v any) clause.Expression {
		return clause.GroupBy{Columns: []clause.Column{{Name: "a"}}, Having: []clause.Expression{clause.Eq{Value: v}}}
	},
	"OrderBy": func(v any) clause.Expression { return clause.OrderBy{Expression: clause.Expr{Vars: []any{v}}} },
	"Select":  func(v any) clause.Expression { return clause.Select{Expression: clause.Expr{Vars: []any{v}}} },
	"Join": func(v any) clause.Expression {
		return clause.Join{ON: clause.Where{Exprs: []clause.Expression{clause.Eq{Value: v}}}}
	},
	"a Join of text": func(v any) clause.Expression { return clause.Join{Expression: clause.Expr{Vars: []any{v}}} },
	"From": func(v any) clause.Expression {
		return clause.From{Joins: []clause.Join{{}, {Expression: clause.Expr{Vars: []any{v}}}}}
	},
	"a list in a list": func(v any) clause.Expression { return clause.Expr{Vars: []any{[]any{1, v}}} },
	"in an expression": func(v any) clause.Expression { return clause.Eq{Value: clause.Expr{Vars: []any{v}}} },
}

func TestAValueTakesThePlaceOfAnArgInACopy(t *testing.T) {
	t.Parallel()
	for name, form := range forms {
		b, open := bound(), form(place(1))
		got, ok := b.expression(open)
		if want := form(2); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, %t, want %#v", name, got, ok, want)
		}
		if !reflect.DeepEqual(open, form(place(1))) {
			t.Errorf("%s: what may be shared was changed to %#v", name, open)
		}
		if !reflect.DeepEqual(b.Met, map[int]bool{1: true}) {
			t.Errorf("%s: met %v", name, b.Met)
		}
	}
}

func TestWhatHoldsNoArgThatHasAValueStays(t *testing.T) {
	t.Parallel()
	for name, form := range forms {
		for _, v := range []any{7, "text", nil, place(2), place(-1)} {
			if got, ok := bound().expression(form(v)); ok || !reflect.DeepEqual(got, form(v)) {
				t.Errorf("%s of %#v: got %#v, %t", name, v, got, ok)
			}
		}
	}
	if got, ok := bound().expression(clause.Limit{}); ok || !reflect.DeepEqual(got, clause.Limit{}) {
		t.Errorf("a limit: got %#v, %t", got, ok)
	}
	if got, ok := bound().expression(nil); ok || got != nil {
		t.Errorf("nothing: got %#v, %t", got, ok)
	}
}

// whole is a list that is one bind value.
type whole []int

func (whole) Value() (driver.Value, error) { return "whole", nil }

// GORM takes a list apart where it finds one in a map of conditions or among primary keys; an Arg
// that stands there gets a list as one value.
func TestAListIsTakenApartWhereGORMWouldTakeItApart(t *testing.T) {
	t.Parallel()
	of := clause.Column{Table: clause.CurrentTable, Name: "a"}
	for name, test := range map[string]struct {
		value      any
		open, want clause.Expression
	}{
		"a map of conditions":     {[]int{1, 2}, clause.Eq{Column: of, Value: place(0)}, clause.IN{Column: of, Values: []any{1, 2}}},
		"one value in a map":      {1, clause.Eq{Column: of, Value: place(0)}, clause.Eq{Column: of, Value: 1}},
		"a Valuer in a map":       {whole{1, 2}, clause.Eq{Column: of, Value: place(0)}, clause.Eq{Column: of, Value: whole{1, 2}}},
		"a comparison":            {[]int{1, 2}, clause.Eq{Column: "a", Value: place(0)}, clause.Eq{Column: "a", Value: []int{1, 2}}},
		"primary keys":            {[2]int{1, 2}, clause.IN{Column: clause.PrimaryColumn, Values: []any{place(0)}}, clause.IN{Column: clause.PrimaryColumn, Values: []any{1, 2}}},
		"a list of other columns": {[]int{1}, clause.IN{Column: "a", Values: []any{place(0)}}, clause.IN{Column: "a", Values: []any{[]int{1}}}},
		"two in the list":         {[]int{1}, clause.IN{Column: clause.PrimaryColumn, Values: []any{place(0), 3}}, clause.IN{Column: clause.PrimaryColumn, Values: []any{[]int{1}, 3}}},
	} {
		b := &Binding{Place: isPlace, Values: []any{test.value}}
		if got, ok := b.expression(test.open); !ok || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %#v, %t, want %#v", name, got, ok, test.want)
		}
	}
}

func TestAllPartsOfAStatementAreBound(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t).Plain(t).Session(&gorm.Session{DryRun: true})
	inside := func(v any) *gorm.DB { return db.Table("inside").Select("id").Where("a = ?", v) }
	build := func(v ...any) *gorm.DB {
		return db.Table("(?) AS t", inside(v[0])).Where("b = ?", v[1]).Joins("JOIN u ON u.c = ?", v[2]).
			Where("d IN (?)", inside(v[3])).Preload("E", "e = ?", v[4]).Order(clause.OrderBy{Expression: clause.Expr{SQL: "f = ?", Vars: []any{v[5]}}})
	}
	values := []any{"a", "b", "c", "d", "e", "f"}
	places := make([]any, len(values))
	for i := range places {
		places[i] = place(i)
	}
	tx, want := build(places...), build(values...)
	b := &Binding{Place: isPlace, Values: values, Met: map[int]bool{}}
	b.Statement(tx.Statement)
	if len(b.Met) != len(values) {
		t.Errorf("met %v, want all of %d", b.Met, len(values))
	}
	if got := tx.Statement.Preloads["E"]; !reflect.DeepEqual(got, []any{"e = ?", "e"}) {
		t.Errorf("the condition of the association is %v", got)
	}
	var rows, wantRows []map[string]any
	got, as := tx.Find(&rows).Statement, want.Find(&wantRows).Statement
	if got.SQL.String() != as.SQL.String() || !reflect.DeepEqual(got.Vars, as.Vars) || len(got.Vars) != len(values)-1 {
		t.Errorf("got %s %v, want %s %v", got.SQL.String(), got.Vars, as.SQL.String(), as.Vars)
	}
}

func TestASubqueryThatMayBeSharedStays(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t).Plain(t).Session(&gorm.Session{DryRun: true})
	inside := func(v any) *gorm.DB { return db.Table("inside").Where("a = ?", v) }
	where := func(db any) clause.Expression { return db.(*gorm.DB).Statement.Clauses["WHERE"].Expression }
	shared := inside(place(0))
	got, ok := bound().value(shared)
	if !ok || !reflect.DeepEqual(where(got), where(inside("first"))) {
		t.Errorf("got %#v, %t", where(got), ok)
	}
	if !reflect.DeepEqual(where(shared), where(inside(place(0)))) {
		t.Errorf("it was changed to %#v", where(shared))
	}
	without := inside(0)
	if got, ok := bound().value(without); ok || got != any(without) {
		t.Error("a subquery without an Arg is bound")
	}
}
