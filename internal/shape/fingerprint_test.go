package shape

import (
	"database/sql"
	"database/sql/driver"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"pgregory.net/rapid"
)

type printedTeam struct {
	ID   uint
	Name string
}

type printed struct {
	ID        uint
	Name      string
	Age       int
	TeamID    uint
	Team      printedTeam
	DeletedAt gorm.DeletedAt
}

type printedPart struct {
	Name string
	Age  int
}

type printedText string

// printedRun builds one random statement, with GORM or with the plugin's way of completing it.
type printedRun func(tx *gorm.DB) *gorm.DB

// printer draws statements of few parts with few values, so that two are often the same, or nearly.
type printer struct {
	*rapid.T
	db *gorm.DB // of subqueries
	// near draws from so few parts and values that statements which differ in one thing only are
	// common.
	near bool
}

func (p printer) pick(what string, n int) int { return rapid.IntRange(0, n-1).Draw(p.T, what) }

func (p printer) column() string {
	return rapid.SampledFrom([]string{"name", "age", "id", "printeds.name", "na.me"}).Draw(p.T, "column")
}

func (p printer) scalar() any {
	if p.near {
		return p.pick("value", 2)
	}
	n := p.pick("value", 3)
	text := []string{"", "a", "1"}[n]
	switch p.pick("type", 20) {
	case 0:
		return nil
	case 1:
		return int8(n)
	case 2:
		return uint64(n)
	case 3:
		return float32(n)
	case 4:
		return float64(n)
	case 5:
		return n > 0
	case 6:
		return []byte(text)
	case 7:
		return time.Unix(int64(n), 0).UTC()
	case 8:
		return &text
	case 9:
		return (*string)(nil)
	case 10:
		return sql.NullString{String: text, Valid: n > 0}
	case 11:
		return printedText(text)
	case 12:
		return time.Duration(n)
	case 13:
		return &n
	case 14, 15, 16:
		return text
	}
	return n
}

func (p printer) value(depth int) any {
	if p.near {
		return p.scalar()
	}
	switch p.pick("form", 14) {
	case 0:
		return []int{1, 2}[:p.pick("length", 3)]
	case 1:
		return []string{"a", "b"}[:p.pick("length", 3)]
	case 2:
		return []any{p.scalar(), p.scalar()}[:p.pick("length", 3)]
	case 3:
		return [2]int{p.pick("value", 2), 1}
	case 4:
		return clause.Column{Name: p.column()}
	case 5:
		if depth > 0 {
			return gorm.Expr("age + ?", p.value(depth-1))
		}
	case 6:
		if depth > 0 {
			return p.db.Session(&gorm.Session{}).Model(&printedTeam{}).Select("id").Where("name = ?", p.scalar())
		}
	case 7:
		if depth > 0 {
			return p.expression(depth - 1)
		}
	}
	return p.scalar()
}

func (p printer) expression(depth int) clause.Expression {
	var column any = p.column()
	switch p.pick("column's form", 4) {
	case 0:
		column = clause.Column{Name: p.column()}
	case 1:
		column = clause.Column{Table: clause.CurrentTable, Name: p.column()}
	}
	if p.near && p.pick("list", 2) == 0 {
		list := []any{[]any{1}, []int{1}, [1]int{1}, 1}[p.pick("list's type", 4)]
		return clause.IN{Column: "age", Values: []any{list, list}[:1+p.pick("lists", 2)]}
	}
	if p.near {
		return clause.Expr{SQL: "name IN ?", Vars: []any{[]any{p.scalar()}[:p.pick("length", 2)]}, WithoutParentheses: p.pick("parentheses", 2) == 0}
	}
	if depth > 0 {
		switch p.pick("nesting", 6) {
		case 0:
			return clause.And(p.expression(depth-1), p.expression(depth-1))
		case 1:
			return clause.Or(p.expression(depth-1), p.expression(depth-1))
		case 2:
			return clause.Not(p.expression(depth-1), p.expression(depth-1))
		}
	}
	switch p.pick("operator", 10) {
	case 0:
		return clause.Neq{Column: column, Value: p.value(depth)}
	case 1:
		return clause.Gt{Column: column, Value: p.value(depth)}
	case 2:
		return clause.Lte{Column: column, Value: p.value(depth)}
	case 3:
		return clause.Like{Column: column, Value: p.value(depth)}
	case 4:
		return clause.IN{Column: column, Values: []any{p.value(depth), p.scalar()}[:p.pick("length", 3)]}
	case 5:
		return clause.Expr{SQL: "name = ? AND age IN (?)", Vars: []any{p.value(depth), p.value(depth)}}
	case 6:
		return clause.Expr{SQL: "(name, age) IN ?", Vars: []any{[][]any{{p.scalar(), p.scalar()}}}, WithoutParentheses: p.pick("parentheses", 2) == 0}
	case 7:
		return clause.NamedExpr{SQL: "name = @a", Vars: []any{sql.Named("a", p.scalar())}}
	}
	return clause.Eq{Column: column, Value: p.value(depth)}
}

// part returns one thing that is said of a query.
func (p printer) part() printedRun {
	expr, value, column, n := p.expression(2), p.value(1), p.column(), p.pick("number", 3)
	part := p.pick("part", 25)
	if p.near {
		part, column = []int{4, 6, 9, 13, 18, 23, 24}[part%7], "name"
	}
	switch part {
	case 0:
		return func(tx *gorm.DB) *gorm.DB { return tx.Where("name = ?", value) }
	case 1:
		return func(tx *gorm.DB) *gorm.DB { return tx.Where(map[string]any{"age": value}) }
	case 2:
		return func(tx *gorm.DB) *gorm.DB { return tx.Where(&printed{Name: []string{"", "a", "b"}[n], Age: n}) }
	case 3:
		return func(tx *gorm.DB) *gorm.DB { return tx.Not(expr) }
	case 4:
		return func(tx *gorm.DB) *gorm.DB { return tx.Or(expr) }
	case 5:
		return func(tx *gorm.DB) *gorm.DB { return tx.Order(column) }
	case 6:
		return func(tx *gorm.DB) *gorm.DB {
			return tx.Order(clause.OrderByColumn{Column: clause.Column{Name: column}, Desc: n > 0, Reorder: n > 1})
		}
	case 7:
		return func(tx *gorm.DB) *gorm.DB { return tx.Clauses(clause.OrderBy{Expression: expr}) }
	case 8:
		return func(tx *gorm.DB) *gorm.DB { return tx.Limit(n) }
	case 9:
		return func(tx *gorm.DB) *gorm.DB { return tx.Offset(n) }
	case 10:
		return func(tx *gorm.DB) *gorm.DB { return tx.Select(column) }
	case 11:
		return func(tx *gorm.DB) *gorm.DB { return tx.Select("age + ? AS age", value) }
	case 12:
		return func(tx *gorm.DB) *gorm.DB { return tx.Omit("name") }
	case 13:
		return func(tx *gorm.DB) *gorm.DB { return tx.Distinct() }
	case 14:
		return func(tx *gorm.DB) *gorm.DB { return tx.Group("age").Having("age > ?", value) }
	case 15:
		return func(tx *gorm.DB) *gorm.DB {
			return tx.Joins("LEFT JOIN printed_teams t ON t.id = team_id AND t.name = ?", value)
		}
	case 16:
		return func(tx *gorm.DB) *gorm.DB { return tx.Joins("Team") }
	case 17:
		return func(tx *gorm.DB) *gorm.DB {
			return tx.InnerJoins("Team", tx.Session(&gorm.Session{NewDB: true}).Where(&printedTeam{Name: "a"}))
		}
	case 18:
		return func(tx *gorm.DB) *gorm.DB { return tx.Unscoped() }
	case 19:
		return func(tx *gorm.DB) *gorm.DB { return tx.Table("printeds AS p") }
	case 20:
		return func(tx *gorm.DB) *gorm.DB {
			return tx.Table("(?) AS p", p.db.Session(&gorm.Session{}).Model(&printed{}).Where("age = ?", n))
		}
	case 22:
		return func(tx *gorm.DB) *gorm.DB {
			join := clause.Join{Type: clause.LeftJoin, Table: clause.Table{Name: "printed_teams", Alias: "t"}, ON: clause.Where{Exprs: []clause.Expression{expr}}}
			if n > 0 {
				join.ON, join.Using = clause.Where{}, []string{"id", "name"}[:n]
			}
			return tx.Clauses(clause.From{Joins: []clause.Join{join}})
		}
	case 24:
		return func(tx *gorm.DB) *gorm.DB {
			return tx.MapColumns([]map[string]string{nil, {"name": "a"}, {"name": "a", "age": "b"}}[n])
		}
	case 21:
		return func(tx *gorm.DB) *gorm.DB {
			return tx.Where(tx.Session(&gorm.Session{NewDB: true}).Where(expr).Or("age = ?", value))
		}
	}
	return func(tx *gorm.DB) *gorm.DB { return tx.Clauses(clause.Where{Exprs: []clause.Expression{expr}}) }
}

// statement returns a whole query.
func (p printer) statement() printedRun {
	var parts []printedRun
	for range p.pick("parts", 4) {
		parts = append(parts, p.part())
	}
	id := uint(p.pick("id", 3))
	finisher := p.pick("finisher", 12)
	if p.near {
		finisher = []int{1, 5}[finisher%2]
	}
	finish := []printedRun{
		func(tx *gorm.DB) *gorm.DB { return tx.First(&printed{}) },
		func(tx *gorm.DB) *gorm.DB { return tx.First(&printed{ID: id}) },
		func(tx *gorm.DB) *gorm.DB { return tx.First(&printed{}, id) },
		func(tx *gorm.DB) *gorm.DB { return tx.Take(&printed{}, "name = ?", id) },
		func(tx *gorm.DB) *gorm.DB { return tx.Last(&printed{}) },
		func(tx *gorm.DB) *gorm.DB { return tx.Find(&[]printed{}) },
		func(tx *gorm.DB) *gorm.DB { return tx.Find(&[]*printed{}) },
		func(tx *gorm.DB) *gorm.DB { return tx.Model(&printed{}).Find(&[]printedPart{}) },
		func(tx *gorm.DB) *gorm.DB { return tx.Model(&printed{}).Find(&[]map[string]any{}) },
		func(tx *gorm.DB) *gorm.DB { return tx.Model(&printed{}).Count(new(int64)) },
		func(tx *gorm.DB) *gorm.DB { return tx.Model(&printed{}).Pluck("name", &[]string{}) },
		func(tx *gorm.DB) *gorm.DB { return tx.Session(&gorm.Session{QueryFields: true}).Find(&[]printed{}) },
	}[finisher]
	return func(tx *gorm.DB) *gorm.DB {
		for _, part := range parts {
			tx = part(tx)
		}
		return finish(tx)
	}
}

// asked is a statement as a driver gets it.
type asked struct {
	sql     string
	vars    []any
	mapping map[string]string // of columns, which is not in the SQL
}

func askedOf(stmt *gorm.Statement) asked {
	a := asked{sql: stmt.SQL.String(), mapping: stmt.ColumnMapping}
	for _, v := range stmt.Vars {
		if converted, err := driver.DefaultParameterConverter.ConvertValue(v); err == nil {
			v = converted
		}
		a.vars = append(a.vars, v)
	}
	return a
}

// TestEqualFingerprintsAreEqualStatements: of random statements, all with one key are one SQL text
// with the same bind values; and what the plugin completes in its own way is what GORM makes of it.
func TestEqualFingerprintsAreEqualStatements(t *testing.T) {
	t.Parallel()
	plain := dbtest.SQLite(t).Plain(t).Session(&gorm.Session{DryRun: true})
	ours := dbtest.SQLite(t).Plain(t)
	known := BuildersOf(ours)
	var seen struct {
		key        string
		structural bool
		whole      bool
		stmt       asked
	}
	err := ours.Callback().Query().Replace("gorm:query", func(db *gorm.DB) {
		stmt := db.Statement
		if db.Error != nil || stmt.Schema == nil {
			return
		}
		_, filled := Vacancy(stmt)
		var found Clauses
		found.Find(stmt)
		found.Complete(db, filled)
		f := New()
		defer f.Free()
		o := Options{Known: known}
		seen.structural = stmt.SQL.Len() == 0 && f.Statement(stmt, &found, o)
		seen.whole = found.whole
		if Render(db); db.Error != nil {
			return
		}
		seen.stmt = askedOf(stmt)
		if !seen.structural && !f.Rendered(stmt, o) {
			return
		}
		seen.key = string(f.Shape) + "\x00" + string(f.Args.Bytes)
	})
	if err != nil {
		t.Fatal(err)
	}
	var same, structural, whole, all int
	rapid.Check(t, func(rt *rapid.T) {
		byKey := map[string]asked{}
		for i := range 60 {
			run := printer{rt, plain, i%2 == 0}.statement()
			seen.key, seen.stmt = "", asked{}
			dry := run(plain)
			got := run(ours)
			if dry.Error != nil && dry.Error != gorm.ErrRecordNotFound || got.Error != nil && got.Error != gorm.ErrRecordNotFound {
				continue
			}
			if all++; seen.whole {
				whole++
			}
			want := askedOf(dry.Statement)
			if want.sql != seen.stmt.sql || !reflect.DeepEqual(want.vars, seen.stmt.vars) {
				rt.Fatalf("completed to\n%s %v\nby GORM to\n%s %v", seen.stmt.sql, seen.stmt.vars, want.sql, want.vars)
			}
			if seen.key == "" {
				continue
			}
			if seen.structural {
				structural++
			}
			if before, ok := byKey[seen.key]; ok {
				same++
				if before.sql != want.sql || !reflect.DeepEqual(before.vars, want.vars) || !maps.Equal(before.mapping, want.mapping) {
					rt.Fatalf("one key for\n%s %#v\nand\n%s %#v", before.sql, before.vars, want.sql, want.vars)
				}
			}
			byKey[seen.key] = want
		}
	})
	t.Logf("%d statements, %d of all columns, %d told by their clauses; %d had the key of another", all, whole, structural, same)
	if all < 500 || whole < all/20 || structural < all/4 || same < all/50 {
		t.Error("too few of them say anything")
	}
}

// TestFingerprintsTellWhereTheirPartsEnd: no part of a statement reads as two of another one,
// whatever is in it.
func TestFingerprintsTellWhereTheirPartsEnd(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t).Plain(t).Session(&gorm.Session{DryRun: true})
	known := BuildersOf(db)
	shape := func(prepare func(*gorm.Statement)) string {
		stmt := db.Session(&gorm.Session{NewDB: true}).Model(&printed{}).Statement
		stmt.Dest, stmt.BuildClauses = &[]printed{}, buildOrder[:]
		stmt.ReflectValue = reflect.ValueOf(stmt.Dest).Elem()
		if err := stmt.Parse(stmt.Model); err != nil {
			t.Fatal(err)
		}
		prepare(stmt)
		var found Clauses
		found.Find(stmt)
		f := New()
		defer f.Free()
		if !f.Statement(stmt, &found, Options{Known: known}) {
			t.Fatal("not told by its clauses")
		}
		return string(f.Shape)
	}
	// The name of a clause that holds what a column of a mapping and the order of clauses look
	// like.
	name := strings.Repeat("x", 43) + "\x01d+"
	mapped := "\x01" + string(rune(len(name))) + name[:43]
	for _, test := range []struct {
		name string
		a, b func(*gorm.Statement)
	}{
		{"a mapping and an order of clauses",
			func(s *gorm.Statement) {
				s.ColumnMapping, s.BuildClauses = map[string]string{"\x00": "b"}, []string{name}
			},
			func(s *gorm.Statement) { s.ColumnMapping = map[string]string{"\x00": "b", mapped: "d"} }},
		{"a list of one list and one value",
			func(s *gorm.Statement) {
				s.AddClause(clause.Where{Exprs: []clause.Expression{clause.IN{Column: "age", Values: []any{[]any{1}}}}})
			},
			func(s *gorm.Statement) {
				s.AddClause(clause.Where{Exprs: []clause.Expression{clause.IN{Column: "age", Values: []any{[]int{1}}}}})
			}},
	} {
		if a, b := shape(test.a), shape(test.b); a == b {
			t.Errorf("%s: both have the shape %q", test.name, a)
		}
	}
}
