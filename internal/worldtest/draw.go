package worldtest

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

// Table is a table as one model sees it, and the columns of it that are drawn.
type Table struct {
	schema  *schema.Schema
	columns []*schema.Field
	unique  []string // the columns of a unique index besides the primary key
	brief   func() any
}

func (s *Table) name() string { return s.schema.Table }

func (s *Table) model() any { return reflect.New(s.schema.ModelType).Interface() }

func (s *Table) rows() any { return reflect.New(reflect.SliceOf(s.schema.ModelType)).Interface() }

func (s *Table) keys() []string { return s.schema.PrimaryFieldDBNames }

// byKey orders rows by their primary key, the only order that ties cannot leave open.
func (s *Table) byKey() string {
	keys := make([]string, len(s.keys()))
	for i, key := range s.keys() {
		keys[i] = s.name() + "." + key
	}
	return strings.Join(keys, ", ")
}

// Draw draws reads and writes, and the parts that they are made of.
type Draw struct {
	*rapid.T
	dialect string
	tables  []*Table
}

// NewDraw returns what draws statements on tables, for a database of a dialect.
func NewDraw(t *rapid.T, dialect string, tables []*Table) *Draw {
	return &Draw{T: t, dialect: dialect, tables: tables}
}

// DiffTables are the tables and columns that are drawn.
func DiffTables(t testing.TB, plain *gorm.DB) (tables []*Table) {
	t.Helper()
	add := func(model any, unique []string, brief func() any, columns ...string) {
		stmt := &gorm.Statement{DB: plain}
		if err := stmt.Parse(model); err != nil {
			t.Fatal(err)
		}
		table := &Table{schema: stmt.Schema, unique: unique, brief: brief}
		for _, name := range columns {
			table.columns = append(table.columns, stmt.Schema.FieldsByDBName[name])
		}
		tables = append(tables, table)
	}
	add(&DiffUser{}, []string{"login"}, func() any {
		return &[]struct {
			ID     *int
			Name   string
			Points int
		}{}
	}, "id", "login", "name", "code", "age", "twice", "big", "small", "active", "ratio", "nick", "born", "seen", "data", "team_id", "home_city",
		"home_no", "level", "points", "deleted_at")
	add(&DiffTeam{}, []string{"name"}, func() any { return &[]struct{ Name string }{} }, "id", "name", "rank")
	add(&DiffPost{}, nil, func() any { return &[]struct{ ID, Views int }{} }, "id", "user_id", "title", "views")
	add(&DiffComment{}, nil, func() any { return &[]struct{ Body string }{} }, "id", "post_id", "body")
	add(&DiffNote{}, nil, func() any { return &[]struct{ Text string }{} }, "id", "text", "owner_id", "owner_type")
	add(&DiffLang{}, nil, func() any { return &[]struct{ Name string }{} }, "code", "name")
	add(&DiffSeat{}, []string{"label"}, func() any {
		return &[]struct {
			Hall  string
			Price int
		}{}
	}, "hall", "no", "label", "holder", "price")
	add(&DiffHooked{}, nil, func() any { return &[]struct{ Mark string }{} }, "id", "name", "mark", "edits")
	add(&DiffFolded{}, nil, func() any { return &[]struct{ ID, Value int }{} }, "id", "name", "value")
	add(&DiffPerson{}, []string{"login"}, func() any { return &[]struct{ Age int }{} }, "id", "login", "age", "nick")
	return tables
}

// table draws a table, more often the one that has most to draw from.
func (g *Draw) table(label string) *Table {
	if g.Chance(label+" is users", 40) {
		return g.tables[0]
	}
	return g.tables[g.Below(label, len(g.tables))]
}

// Below draws a number from 0 to n-1.
func (g *Draw) Below(label string, n int) int { return rapid.IntRange(0, n-1).Draw(g.T, label) }

// Chance is true in so many of 100 draws. It shrinks to false.
func (g *Draw) Chance(label string, percent int) bool { return g.Below(label, 100) >= 100-percent }

// OneOf draws one of several values.
func OneOf[T any](g *Draw, label string, from ...T) T { return from[g.Below(label, len(from))] }

var (
	drawnTexts = []any{"a", "b", "c", "A", "a ", "", "1", "ä", "new"}
	drawnTimes = []any{
		time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 1, 1, 2, 0, 0, 0, time.FixedZone("", 2*3600)), // the same moment
		time.Date(2026, 1, 1, 0, 0, 0, 500_400, time.UTC),
	}
	// drawnOdd are values of types that a column does not have, which databases convert, each in
	// its way.
	drawnOdd = []any{"1", 1, int8(2), 1.0, true, "x", []byte("a"), "01", "a", nil, "2026-01-01"}
)

// value draws a value for a column, from few so that they meet.
func (g *Draw) value(label string, f *schema.Field) any {
	if g.Chance(label+" is odd", 4) {
		return OneOf(g, label+" odd", drawnOdd...)
	}
	nullable := f.FieldType.Kind() == reflect.Pointer || f.FieldType == reflect.TypeFor[gorm.DeletedAt]()
	if nullable && g.Chance(label+" is null", 25) {
		return nil
	}
	switch {
	case f.DBName == "owner_type":
		return OneOf[any](g, label, "diff_users", "diff_posts")
	case f.PrimaryKey && f.IndirectFieldType.Kind() != reflect.String, strings.HasSuffix(f.DBName, "_id"), f.DBName == "holder":
		if id := g.Below(label, 40); id > 0 {
			return 1 + id%6
		}
		return OneOf[any](g, label+" rare", 0, 9, uint(2), int64(1))
	}
	switch f.IndirectFieldType.Kind() {
	case reflect.String:
		return OneOf(g, label, drawnTexts...)
	case reflect.Bool:
		return OneOf[any](g, label, true, false)
	case reflect.Float64:
		return OneOf[any](g, label, 0.0, 0.5, 1.0, -1e20)
	case reflect.Uint8:
		return OneOf[any](g, label, 1, 2, 0, 255, uint8(1))
	case reflect.Slice:
		return OneOf[any](g, label, []byte("a"), []byte("A"), []byte{}, []byte(nil))
	case reflect.Int64:
		return OneOf[any](g, label, 1, 0, -1, int64(math.MaxInt64), int64(math.MinInt64))
	case reflect.Struct:
		return OneOf(g, label, drawnTimes...)
	}
	return OneOf[any](g, label, 1, 2, 3, 0, -1, 1<<31-1, int64(2))
}

// values draws values of columns, not of those that the database makes by itself.
func (g *Draw) values(label string, s *Table, most int, keys bool) map[string]any {
	values := map[string]any{}
	for range 1 + g.Below(label+" count", most) {
		f := g.column(label, s)
		if f.Updatable && (keys || !f.PrimaryKey) {
			values[f.DBName] = g.value(label+" of "+f.DBName, f)
		}
	}
	return values
}

func (g *Draw) column(label string, s *Table) *schema.Field {
	return s.columns[g.Below(label+" column", len(s.columns))]
}

// number draws a column that holds numbers: texts that a collation folds leave open which of them a
// group shows.
func (g *Draw) number(label string, s *Table) *schema.Field {
	for i := range s.columns {
		f := s.columns[(i+g.Below(label+" number", len(s.columns)))%len(s.columns)]
		if k := f.IndirectFieldType.Kind(); k >= reflect.Int && k <= reflect.Uint64 {
			return f
		}
	}
	return s.columns[0]
}

// row makes a row of values; those that do not fit are left out.
func (s *Table) row(values map[string]any) any {
	row := reflect.New(s.schema.ModelType)
	for column, v := range values {
		_ = s.schema.FieldsByDBName[column].Set(context.Background(), row.Elem(), v)
	}
	return row.Interface()
}

// rowLike makes a row with these values and a key, each time a new one: GORM writes to rows.
func (g *Draw) rowLike(label string, s *Table, key bool) (func() any, string) {
	values := g.values(label, s, 6, false)
	if key {
		for _, f := range s.schema.PrimaryFields {
			values[f.DBName] = g.value(label+" key", f)
		}
	}
	return func() any { return s.row(values) }, fmt.Sprint(values)
}

func (g *Draw) quote(name string) string {
	if g.dialect == "mysql" {
		return "`" + name + "`"
	}
	return `"` + name + `"`
}

// ref writes the name of a column in one of its forms.
func (g *Draw) ref(label string, s *Table, column string, qualified bool) string {
	form := g.Below(label+" form", 8)
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
func (g *Draw) literal(v any) (string, bool) {
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

// condition is a condition in words, in SQL, and as a scope of GORM.
type condition struct {
	text  string
	sql   string // with vars; for those that have no such form the constant truth
	vars  []any
	apply func(db *gorm.DB) *gorm.DB
}

// atom draws a condition on one column, or a pair.
func (g *Draw) atom(s *Table, qualified bool) (string, []any) {
	f := g.column("where", s)
	ref := g.ref("where", s, f.DBName, qualified)
	value := func() any { return g.value("where value", f) }
	text := f.IndirectFieldType.Kind() == reflect.String
	switch g.Below("operator", 30) {
	case 0, 1, 2, 3, 4, 5, 6, 7, 8:
		return ref + " = ?", []any{value()}
	case 9, 10, 11:
		list := []any{value()}
		for range g.Below("list", 3) {
			list = append(list, value())
		}
		return ref + OneOf(g, "in", " IN ?", " in (?)"), []any{list}
	case 12:
		return ref + OneOf(g, "unequal", " <> ?", " != ?"), []any{value()}
	case 13, 14:
		return ref + OneOf(g, "compare", " > ?", " >= ?", " < ?", " <= ?"), []any{value()}
	case 15:
		return ref + " BETWEEN ? AND ?", []any{value(), value()}
	case 16:
		return ref + OneOf(g, "null", " IS NULL", " IS NOT NULL"), nil
	case 17:
		if text {
			return ref + " LIKE ?", []any{OneOf(g, "pattern", "a%", "A", "%", "_", "a")}
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
		return OneOf(g, "constant", "1 = 1", "1 = 0", "NULL IS NULL"), nil
	case 27:
		return "NOT " + ref + " = ?", []any{value()}
	case 28:
		return ref + " = " + g.ref("other", s, g.column("other", s).DBName, qualified), nil
	}
	other := g.tables[1+g.Below("sub-query", 2)]
	column := g.column("sub-query", other)
	sub := other.name() + "." + column.DBName
	if g.Chance("EXISTS", 50) {
		return "EXISTS (SELECT 1 FROM " + other.name() + " WHERE " + sub + " = ?)", []any{g.value("sub-query value", column)}
	}
	return ref + " IN (SELECT " + sub + " FROM " + other.name() + ")", nil
}

// predicate draws a condition in SQL.
func (g *Draw) predicate(s *Table, qualified bool) (string, []any) {
	a, vars := g.atom(s, qualified)
	shape := g.Below("shape", 20)
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
	return OneOf(g, "precedence", a+" OR "+b+" AND "+c, a+" AND ("+b+" or "+c+")", "("+a+") AND "+b+" AND "+c, "NOT "+a+" AND "+b+" OR "+c), vars
}

// byKeyOrUnique draws the condition of most statements: one row, by its primary key or a unique
// column.
func (g *Draw) byKeyOrUnique(s *Table, qualified bool) (string, []any) {
	columns := s.keys()
	if len(s.unique) > 0 && g.Chance("by unique", 40) {
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
func (g *Draw) cond(s *Table, qualified bool) condition {
	predicate := g.predicate
	if g.Chance("one row", 30) {
		predicate = g.byKeyOrUnique
	}
	text, vars := predicate(s, qualified)
	c := condition{text: fmt.Sprintf("%s %v", text, vars), sql: text, vars: vars}
	form := g.Below("condition form", 20)
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
		expr := OneOf[clause.Expression](g, "expression", clause.Eq{Column: column, Value: v}, clause.IN{Column: column, Values: []any{v, 1}},
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
