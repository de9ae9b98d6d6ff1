package preload_test

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
	"pgregory.net/rapid"
)

// diffTable is a table as one model sees it, and the columns of it that are drawn.
type diffTable struct {
	schema  *schema.Schema
	columns []*schema.Field
	unique  []string // the columns of a unique index besides the primary key
	brief   func() any
}

func (s *diffTable) name() string   { return s.schema.Table }
func (s *diffTable) model() any     { return reflect.New(s.schema.ModelType).Interface() }
func (s *diffTable) rows() any      { return reflect.New(reflect.SliceOf(s.schema.ModelType)).Interface() }
func (s *diffTable) keys() []string { return s.schema.PrimaryFieldDBNames }

// byKey orders rows by their primary key, the only order that ties cannot leave open.
func (s *diffTable) byKey() string {
	keys := make([]string, len(s.keys()))
	for i, key := range s.keys() {
		keys[i] = s.name() + "." + key
	}
	return strings.Join(keys, ", ")
}

// diffDraw draws parts of statements.
type diffDraw struct {
	*rapid.T
	dialect string
	tables  []*diffTable
}

// diffDrawn are the tables and columns that are drawn.
func diffDrawn(t testing.TB, plain *gorm.DB) (tables []*diffTable) {
	t.Helper()
	add := func(model any, unique []string, brief func() any, columns ...string) {
		stmt := &gorm.Statement{DB: plain}
		if err := stmt.Parse(model); err != nil {
			t.Fatal(err)
		}
		table := &diffTable{schema: stmt.Schema, unique: unique, brief: brief}
		for _, name := range columns {
			table.columns = append(table.columns, stmt.Schema.FieldsByDBName[name])
		}
		tables = append(tables, table)
	}
	add(&diffUser{}, []string{"login"}, func() any {
		return &[]struct {
			ID     *int
			Name   string
			Points int
		}{}
	}, "id", "login", "name", "code", "age", "twice", "big", "small", "active", "ratio", "nick", "born", "seen", "data", "team_id", "home_city",
		"home_no", "level", "points", "deleted_at")
	add(&diffTeam{}, []string{"name"}, func() any { return &[]struct{ Name string }{} }, "id", "name", "rank")
	add(&diffPost{}, nil, func() any { return &[]struct{ ID, Views int }{} }, "id", "user_id", "title", "views")
	add(&diffComment{}, nil, func() any { return &[]struct{ Body string }{} }, "id", "post_id", "body")
	add(&diffNote{}, nil, func() any { return &[]struct{ Text string }{} }, "id", "text", "owner_id", "owner_type")
	add(&diffLang{}, nil, func() any { return &[]struct{ Name string }{} }, "code", "name")
	add(&diffSeat{}, []string{"label"}, func() any {
		return &[]struct {
			Hall  string
			Price int
		}{}
	}, "hall", "no", "label", "holder", "price")
	add(&diffHooked{}, nil, func() any { return &[]struct{ Mark string }{} }, "id", "name", "mark", "edits")
	add(&diffFolded{}, nil, func() any { return &[]struct{ ID, Value int }{} }, "id", "name", "value")
	add(&diffPerson{}, []string{"login"}, func() any { return &[]struct{ Age int }{} }, "id", "login", "age", "nick")
	return tables
}

// table draws a table, more often the one that has most to draw from.
func (g *diffDraw) table(label string) *diffTable {
	if g.chance(label+" is users", 40) {
		return g.tables[0]
	}
	return g.tables[g.below(label, len(g.tables))]
}

func (g *diffDraw) below(label string, n int) int { return rapid.IntRange(0, n-1).Draw(g.T, label) }

// chance is true in so many of 100 draws; it shrinks to false.
func (g *diffDraw) chance(label string, percent int) bool { return g.below(label, 100) >= 100-percent }

func diffOne[T any](g *diffDraw, label string, from ...T) T { return from[g.below(label, len(from))] }

var (
	diffTexts = []any{"a", "b", "c", "A", "a ", "", "1", "ä", "new"}
	diffTimes = []any{
		time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 1, 1, 2, 0, 0, 0, time.FixedZone("", 2*3600)), // the same moment
		time.Date(2026, 1, 1, 0, 0, 0, 500_400, time.UTC),
	}
	// diffOdd are values of types that a column does not have, which databases convert, each in its
	// way.
	diffOdd = []any{"1", 1, int8(2), 1.0, true, "x", []byte("a"), "01", "a", nil, "2026-01-01"}
)

// value draws a value for a column, from few so that they meet.
func (g *diffDraw) value(label string, f *schema.Field) any {
	if g.chance(label+" is odd", 4) {
		return diffOne(g, label+" odd", diffOdd...)
	}
	nullable := f.FieldType.Kind() == reflect.Pointer || f.FieldType == reflect.TypeFor[gorm.DeletedAt]()
	if nullable && g.chance(label+" is null", 25) {
		return nil
	}
	switch {
	case f.DBName == "owner_type":
		return diffOne[any](g, label, "diff_users", "diff_posts")
	case f.PrimaryKey && f.IndirectFieldType.Kind() != reflect.String, strings.HasSuffix(f.DBName, "_id"), f.DBName == "holder":
		if id := g.below(label, 40); id > 0 {
			return 1 + id%6
		}
		return diffOne[any](g, label+" rare", 0, 9, uint(2), int64(1))
	}
	switch f.IndirectFieldType.Kind() {
	case reflect.String:
		return diffOne(g, label, diffTexts...)
	case reflect.Bool:
		return diffOne[any](g, label, true, false)
	case reflect.Float64:
		return diffOne[any](g, label, 0.0, 0.5, 1.0, -1e20)
	case reflect.Uint8:
		return diffOne[any](g, label, 1, 2, 0, 255, uint8(1))
	case reflect.Slice:
		return diffOne[any](g, label, []byte("a"), []byte("A"), []byte{}, []byte(nil))
	case reflect.Int64:
		return diffOne[any](g, label, 1, 0, -1, int64(math.MaxInt64), int64(math.MinInt64))
	case reflect.Struct:
		return diffOne(g, label, diffTimes...)
	}
	return diffOne[any](g, label, 1, 2, 3, 0, -1, 1<<31-1, int64(2))
}

// values draws values of columns, not of those that the database makes by itself.
func (g *diffDraw) values(label string, s *diffTable, most int, keys bool) map[string]any {
	values := map[string]any{}
	for range 1 + g.below(label+" count", most) {
		f := g.column(label, s)
		if f.Updatable && (keys || !f.PrimaryKey) {
			values[f.DBName] = g.value(label+" of "+f.DBName, f)
		}
	}
	return values
}

func (g *diffDraw) column(label string, s *diffTable) *schema.Field {
	return s.columns[g.below(label+" column", len(s.columns))]
}

// number draws a column that holds numbers: texts that a collation folds leave open which of them a
// group shows.
func (g *diffDraw) number(label string, s *diffTable) *schema.Field {
	for i := range s.columns {
		f := s.columns[(i+g.below(label+" number", len(s.columns)))%len(s.columns)]
		if k := f.IndirectFieldType.Kind(); k >= reflect.Int && k <= reflect.Uint64 {
			return f
		}
	}
	return s.columns[0]
}

// row makes a row of values; those that do not fit are left out.
func (s *diffTable) row(values map[string]any) any {
	row := reflect.New(s.schema.ModelType)
	for column, v := range values {
		_ = s.schema.FieldsByDBName[column].Set(context.Background(), row.Elem(), v)
	}
	return row.Interface()
}

// rowLike makes a row with these values and a key, each time a new one: GORM writes to rows.
func (g *diffDraw) rowLike(label string, s *diffTable, key bool) (func() any, string) {
	values := g.values(label, s, 6, false)
	if key {
		for _, f := range s.schema.PrimaryFields {
			values[f.DBName] = g.value(label+" key", f)
		}
	}
	return func() any { return s.row(values) }, fmt.Sprint(values)
}

func (g *diffDraw) quote(name string) string {
	if g.dialect == "mysql" {
		return "`" + name + "`"
	}
	return `"` + name + `"`
}

// ref writes the name of a column in one of its forms.
func (g *diffDraw) ref(label string, s *diffTable, column string, qualified bool) string {
	form := g.below(label+" form", 8)
	if qualified {
		form = 5 + form%2
	}
	switch form {
	case 4:
		return g.quote(column)
	case 5:
		return s.name() + "." + column
	case 6:
		return g.quote(s.name()) + "." + g.quote(column)
	case 7:
		return strings.ToUpper(column)
	}
	return column
}

// literal writes a value into SQL; false where it has no short form.
func (g *diffDraw) literal(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "NULL", true
	case string:
		return "'" + v + "'", true
	case int:
		return strconv.Itoa(v), true
	case bool:
		return strings.ToUpper(strconv.FormatBool(v)), true
	}
	return "", false
}

// diffCond is a condition.
type diffCond struct {
	text  string
	sql   string // with vars; for those that have no such form the constant truth
	vars  []any
	apply func(db *gorm.DB) *gorm.DB
}

// atom draws a condition on one column, or a pair.
func (g *diffDraw) atom(s *diffTable, qualified bool) (string, []any) {
	f := g.column("where", s)
	ref := g.ref("where", s, f.DBName, qualified)
	value := func() any { return g.value("where value", f) }
	text := f.IndirectFieldType.Kind() == reflect.String
	switch g.below("operator", 30) {
	case 0, 1, 2, 3, 4, 5, 6, 7, 8:
		return ref + " = ?", []any{value()}
	case 9, 10, 11:
		list := []any{value()}
		for range g.below("list", 3) {
			list = append(list, value())
		}
		return ref + diffOne(g, "in", " IN ?", " in (?)"), []any{list}
	case 12:
		return ref + diffOne(g, "unequal", " <> ?", " != ?"), []any{value()}
	case 13, 14:
		return ref + diffOne(g, "compare", " > ?", " >= ?", " < ?", " <= ?"), []any{value()}
	case 15:
		return ref + " BETWEEN ? AND ?", []any{value(), value()}
	case 16:
		return ref + diffOne(g, "null", " IS NULL", " IS NOT NULL"), nil
	case 17:
		if text {
			return ref + " LIKE ?", []any{diffOne(g, "pattern", "a%", "A", "%", "_", "a")}
		}
		return ref + " + 1 = ?", []any{value()}
	case 18:
		return ref + " NOT IN ?", []any{[]any{value(), value()}}
	case 19, 20, 21:
		if literal, ok := g.literal(value()); ok {
			return ref + " = " + literal, nil
		}
		return ref + "=?", []any{value()}
	case 22:
		return "? = " + ref, []any{value()}
	case 23:
		if text {
			return "LOWER(" + ref + ") = ?", []any{value()}
		}
		return "ABS(" + ref + ") = ?", []any{value()}
	case 24:
		other := g.column("pair", s)
		pairs := [][]any{{value(), g.value("pair value", other)}, {value(), g.value("pair value", other)}}
		return "(" + ref + ", " + g.ref("pair", s, other.DBName, qualified) + ") IN ?", []any{pairs}
	case 25:
		return map[string]string{"sqlite": ref + " IS ?", "postgres": ref + " IS NOT DISTINCT FROM ?", "mysql": ref + " <=> ?"}[g.dialect], []any{value()}
	case 26:
		return diffOne(g, "constant", "1 = 1", "1 = 0", "NULL IS NULL"), nil
	case 27:
		return "NOT " + ref + " = ?", []any{value()}
	case 28:
		return ref + " = " + g.ref("other", s, g.column("other", s).DBName, qualified), nil
	}
	other := g.tables[1+g.below("sub-query", 2)]
	column := g.column("sub-query", other)
	sub := other.name() + "." + column.DBName
	if g.chance("EXISTS", 50) {
		return "EXISTS (SELECT 1 FROM " + other.name() + " WHERE " + sub + " = ?)", []any{g.value("sub-query value", column)}
	}
	return ref + " IN (SELECT " + sub + " FROM " + other.name() + ")", nil
}

// predicate draws a condition in SQL.
func (g *diffDraw) predicate(s *diffTable, qualified bool) (string, []any) {
	a, vars := g.atom(s, qualified)
	shape := g.below("shape", 20)
	if shape < 11 {
		return a, vars
	}
	b, more := g.atom(s, qualified)
	vars = append(vars, more...)
	switch {
	case shape < 15:
		return a + " AND " + b, vars
	case shape < 17:
		return a + " OR " + b, vars
	case shape < 18:
		return "NOT (" + a + " AND " + b + ")", vars
	}
	c, more := g.atom(s, qualified)
	vars = append(vars, more...)
	return diffOne(g, "precedence", a+" OR "+b+" AND "+c, a+" AND ("+b+" or "+c+")", "("+a+") AND "+b+" AND "+c, "NOT "+a+" AND "+b+" OR "+c), vars
}

// byKeyOrUnique draws the condition of most statements: one row, by its primary key or a unique
// column.
func (g *diffDraw) byKeyOrUnique(s *diffTable, qualified bool) (string, []any) {
	columns := s.keys()
	if len(s.unique) > 0 && g.chance("by unique", 40) {
		columns = s.unique
	}
	var (
		parts []string
		vars  []any
	)
	for _, column := range columns {
		parts = append(parts, g.ref("key", s, column, qualified)+" = ?")
		vars = append(vars, g.value("key", s.schema.FieldsByDBName[column]))
	}
	return strings.Join(parts, " AND "), vars
}

// cond draws a condition in one of the forms that GORM takes.
func (g *diffDraw) cond(s *diffTable, qualified bool) diffCond {
	predicate := g.predicate
	if g.chance("one row", 30) {
		predicate = g.byKeyOrUnique
	}
	text, vars := predicate(s, qualified)
	c := diffCond{text: fmt.Sprintf("%s %v", text, vars), sql: text, vars: vars}
	form := g.below("condition form", 20)
	if form >= 11 {
		c.sql, c.vars = "1 = 1", nil
	}
	where := func(db *gorm.DB) *gorm.DB { return db.Where(text, vars...) }
	switch form {
	default:
		c.apply = where
	case 11:
		c.text = "not " + c.text
		c.apply = func(db *gorm.DB) *gorm.DB { return db.Not(text, vars...) }
	case 12, 13:
		more, moreVars := predicate(s, qualified)
		c.text += fmt.Sprintf(" or %s %v", more, moreVars)
		c.apply = func(db *gorm.DB) *gorm.DB { return where(db).Or(more, moreVars...) }
	case 14:
		more, moreVars := g.predicate(s, qualified)
		c.text += fmt.Sprintf(" and %s %v", more, moreVars)
		c.apply = func(db *gorm.DB) *gorm.DB { return where(db).Where(more, moreVars...) }
	case 15:
		more, moreVars := g.predicate(s, qualified)
		c.text += fmt.Sprintf(" and (%s %v or it)", more, moreVars)
		c.apply = func(db *gorm.DB) *gorm.DB {
			fresh := db.Session(&gorm.Session{NewDB: true})
			return where(db).Where(fresh.Where(more, moreVars...).Or(text, vars...))
		}
	case 16:
		values := g.values("map", s, 3, true)
		c.text = fmt.Sprint("map ", values)
		c.apply = func(db *gorm.DB) *gorm.DB { return db.Where(values) }
	case 17:
		values := g.values("struct", s, 3, true)
		c.text = fmt.Sprint("struct ", values)
		c.apply = func(db *gorm.DB) *gorm.DB { return db.Where(s.row(values)) }
	case 18:
		f := g.column("expression", s)
		v := g.value("expression value", f)
		column := clause.Column{Table: clause.CurrentTable, Name: f.DBName}
		expr := diffOne[clause.Expression](g, "expression", clause.Eq{Column: column, Value: v}, clause.IN{Column: column, Values: []any{v, 1}},
			clause.Neq{Column: column, Value: v}, clause.Gt{Column: column, Value: v}, clause.Not(clause.Eq{Column: column, Value: v}))
		c.text = fmt.Sprintf("%T %s %v", expr, f.DBName, v)
		c.apply = func(db *gorm.DB) *gorm.DB { return db.Where(expr) }
	case 19:
		f := g.column("named", s)
		v := g.value("named value", f)
		ref := g.ref("named", s, f.DBName, qualified)
		c.text = fmt.Sprintf("%s = @v %v", ref, v)
		c.apply = func(db *gorm.DB) *gorm.DB { return db.Where(ref+" = @v", sql.Named("v", v)) }
	}
	return c
}
