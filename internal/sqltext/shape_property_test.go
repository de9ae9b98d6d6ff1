package sqltext_test

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gorm-preload/preload/internal/sqltext"
	"pgregory.net/rapid"
)

// shapeColumns are the columns of the table t; some have names that are words of the syntax
// elsewhere. Statements do not name its last column, k, by which rows are told apart.
var shapeColumns = []string{"a", "b", "c", "like", "desc", "end", "for", "offset", "t"}

const shapeTable = `CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b TEXT COLLATE NOCASE, c, "like" INT, "desc" INT,
	"end" INT, "for" INT, "offset" INT, t INT, k INT)`

// grammar draws parts of statements on t, with few parentheses, so that precedence decides what
// they mean.
type grammar struct{ *rapid.T }

func (g grammar) n(max int) int { return rapid.IntRange(0, max-1).Draw(g.T, "n") }

func (g grammar) of(choices ...string) string { return choices[g.n(len(choices))] }

// bind draws a value for each question mark.
func (g grammar) bind(statement string) []any {
	args := make([]any, strings.Count(statement, "?"))
	for i := range args {
		args[i] = []any{int64(0), int64(1), int64(2), "x", "1", nil}[g.n(6)]
	}
	return args
}

func (g grammar) column() string {
	name := g.of(append([]string{"a", "b", "a", "b", "x", "rowid"}, shapeColumns...)...)
	switch g.n(8) {
	case 0:
		return `"` + name + `"`
	case 1:
		return "`" + name + "`"
	case 2:
		return "[" + name + "]"
	case 3:
		return "t." + name
	case 4:
		return `"T" . "` + strings.ToUpper(name) + `"`
	}
	return name
}

func (g grammar) value() string {
	switch g.n(8) {
	case 0:
		return "1"
	case 1:
		return "'x'"
	case 2:
		return "NULL"
	case 3:
		return g.of("'X'", "0", "2", "1.0", "'1'", "true", "-1", `"x"`)
	}
	return "?"
}

func (g grammar) values(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = g.value()
	}
	return "(" + strings.Join(list, ",") + ")"
}

// term is what pins are made of, and some of what looks like it.
func (g grammar) term() string {
	switch g.n(9) {
	case 0, 1, 2:
		return g.column() + g.of(" = ", "=", "==", " IS ", " <> ") + g.value()
	case 3:
		return g.column() + g.of(" IN ", " NOT IN ") + g.values(g.n(4))
	case 4:
		return g.column() + g.of(" IS NULL", " ISNULL", " IS NOT NULL", " NOTNULL")
	case 5:
		return "(" + g.column() + ", " + g.column() + ") = " + g.values(2)
	case 6:
		return g.value() + " = " + g.column()
	case 7:
		return g.column() + g.of(" BETWEEN ", " NOT BETWEEN ") + g.value() + " AND " + g.column() + " = " + g.value()
	}
	return g.expression(1)
}

func (g grammar) condition(depth int) string {
	switch g.n(9) {
	case 0, 1, 2:
		return g.term()
	case 3, 4, 5:
		if depth > 0 {
			return g.condition(depth-1) + " AND " + g.condition(depth-1)
		}
	case 6:
		if depth > 0 {
			return g.condition(depth-1) + g.of(" OR ", " AND NOT ", " || ", " = ", " COLLATE nocase AND ") + g.condition(depth-1)
		}
	case 7:
		if depth > 0 {
			return "(" + g.condition(depth-1) + ")"
		}
	}
	return g.expression(depth)
}

func (g grammar) expression(depth int) string {
	if depth <= 0 {
		if g.n(3) == 0 {
			return g.value()
		}
		return g.column()
	}
	e := func() string { return g.expression(depth - 1) }
	switch g.n(10) {
	case 0:
		return e() + g.of(" LIKE ", " NOT LIKE ", " GLOB ", " like ", " IS DISTINCT FROM ", " IS NOT ") + e()
	case 1:
		return e() + g.of(" BETWEEN ", " NOT BETWEEN ") + e() + " AND " + e()
	case 2:
		return g.of("CASE WHEN ", "CASE a WHEN ", "CASE end WHEN ") + e() + " THEN " + e() + g.of("", " ELSE b", " ELSE end") + " END"
	case 3:
		return g.of("lower(", "abs(", "-", "+", "NOT ", "~", "(", "coalesce(1, ") + e() + g.of(")", "")
	case 4:
		return "CAST(" + e() + " AS TEXT)"
	case 5:
		return e() + g.of(" ISNULL", " COLLATE nocase", " NOTNULL", " LIKE 'x' ESCAPE 'y'", " IS TRUE")
	}
	return e() + g.of("+", " * ", "=", "<", "||", "->>", " AND ", " OR ", "%", "&") + e()
}

func (g grammar) list() string {
	items := make([]string, 1+g.n(3))
	for i := range items {
		switch g.n(7) {
		case 0:
			items[i] = g.of("*", "t.*", "count(*)", "max(a)", "group_concat(b ORDER BY like desc)", "group_concat(b ORDER BY desc)")
		case 1:
			items[i] = g.expression(1) + g.of(" AS ", " ") + g.of("x", "a", "like", "[b]", "'x'", "desc")
		case 2:
			items[i] = g.expression(2)
		default:
			items[i] = g.column()
		}
	}
	return strings.Join(items, ", ")
}

func (g grammar) terms() string {
	terms := make([]string, 1+g.n(2))
	for i := range terms {
		switch g.n(6) {
		case 0:
			terms[i] = g.of("1", "count(*)", "(1)", "(a)", "likely(b)")
		case 1, 2:
			terms[i] = g.expression(2)
		default:
			terms[i] = g.column()
		}
		terms[i] += g.of("", "", " desc", " DESC NULLS LAST", " COLLATE nocase asc", " like desc", " NOT like desc", " ISNULL LIKE desc")
	}
	return strings.Join(terms, ", ")
}

// where is a WHERE with the blank before it, or nothing.
func (g grammar) where() string {
	if g.n(6) == 0 {
		return ""
	}
	return " WHERE " + g.condition(3)
}

// bench is a table t and what is asked of it.
type bench struct {
	*rapid.T
	db *sql.Conn
}

func (b bench) exec(statement string, args ...any) error {
	_, err := b.db.ExecContext(context.Background(), statement, args...)
	return err
}

func (b bench) must(statement string, args ...any) {
	b.Helper()
	if err := b.exec(statement, args...); err != nil {
		b.Fatalf("%s: %v", statement, err)
	}
}

// rows returns an answer; false if SQLite refuses the statement.
func (b bench) rows(statement string, args ...any) (answer [][]any, ok bool) {
	rows, err := b.db.QueryContext(context.Background(), statement, args...)
	if err != nil {
		return nil, false
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, false
	}
	for rows.Next() {
		row := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, false
		}
		answer = append(answer, row)
	}
	return answer, rows.Err() == nil
}

// table returns the rows by k.
func (b bench) table() map[any]map[string]any {
	all := map[any]map[string]any{}
	names := append([]string{"id"}, shapeColumns...)
	answer, ok := b.rows(`SELECT id, "` + strings.Join(shapeColumns, `", "`) + `", k FROM t`)
	if !ok {
		b.Fatal("the table cannot be read")
	}
	for _, row := range answer {
		values := map[string]any{}
		for i, name := range names {
			values[name] = row[i]
		}
		all[row[len(names)]] = values
	}
	return all
}

var cellValues = []any{nil, int64(0), int64(1), int64(2), "x", "X", "1", 1.5, "12"}

func (b bench) fill(t *rapid.T) {
	b.must("DELETE FROM t")
	for k := range 5 {
		row := []any{k}
		for range shapeColumns {
			row = append(row, rapid.SampledFrom(cellValues).Draw(t, "cell"))
		}
		b.must(`INSERT INTO t (k, "`+strings.Join(shapeColumns, `", "`)+`") VALUES (?`+strings.Repeat(",?", len(shapeColumns))+")", row...)
	}
}

// column returns the column that a name stands for; false if it may stand for any.
func column(n sqltext.Name) (string, bool) {
	name := strings.ToLower(n.Text)
	return name, name == "id" || slices.Contains(shapeColumns, name)
}

// others returns the columns that lists of names say nothing depends on; none if a name may stand
// for any.
func others(lists ...[]sqltext.Name) (rest []string) {
	named := map[string]bool{}
	for _, n := range slices.Concat(lists...) {
		name, ok := column(n)
		if !ok {
			return nil
		}
		named[name] = true
	}
	for _, name := range shapeColumns {
		if !named[name] {
			rest = append(rest, name)
		}
	}
	return rest
}

func literal(o sqltext.Operand, args []any) any {
	switch o.Kind {
	case sqltext.Bind:
		return args[o.Param-1]
	case sqltext.Number:
		if n, err := strconv.ParseInt(o.Text, 10, 64); err == nil {
			return n
		}
		n, _ := strconv.ParseFloat(o.Text, 64)
		return n
	case sqltext.Text:
		return o.Text
	}
	return nil
}

// pinned checks that the rows with these k satisfy the pins. A pin of a name that is no column says
// nothing.
func (b bench) pinned(statement string, shape sqltext.Shape, args []any, chosen map[any]bool) {
	for _, pin := range shape.Pins {
		var either []string
		var values []any
		for _, row := range pin.Values {
			var all []string
			for i, o := range row {
				name, ok := column(pin.Columns[i])
				switch {
				case !ok:
					all = append(all, "true")
				case o.Kind == sqltext.Null:
					all = append(all, `"`+name+`" IS NULL`)
				default:
					all = append(all, `"`+name+`" = ?`)
					values = append(values, literal(o, args))
				}
			}
			either = append(either, strings.Join(all, " AND "))
		}
		satisfy, ok := b.rows("SELECT k FROM t WHERE "+strings.Join(either, " OR "), values...)
		if !ok {
			b.Fatalf("%q: the pin %v cannot be asked", statement, pin)
		}
		found := map[any]bool{}
		for _, row := range satisfy {
			found[row[0]] = true
		}
		for k := range chosen {
			if !found[k] {
				b.Fatalf("%q %v: chooses the row %v, which the pin %v does not hold for\n%v", statement, args, k, pin, b.table()[k])
			}
		}
	}
}

// scramble gives a column other values.
func (b bench) scramble(name string) {
	for k := range 5 {
		b.must(`UPDATE t SET "`+name+`" = ? WHERE k = ?`, rapid.SampledFrom(cellValues).Draw(b.T, "scrambled"), k)
	}
}

func equalAnswers(a, b [][]any) bool {
	return slices.EqualFunc(a, b, func(x, y []any) bool { return fmt.Sprintf("%#v", x) == fmt.Sprintf("%#v", y) })
}

func (b bench) read(g grammar) bool {
	list, distinct := g.list(), g.of("", "", "", "DISTINCT ")
	where := g.where()
	tail := ""
	if g.n(4) == 0 {
		tail += " GROUP BY " + g.terms()
	}
	if g.n(3) == 0 {
		tail += " ORDER BY " + g.terms()
	}
	if g.n(4) == 0 {
		tail += " LIMIT " + g.of("2", "1 OFFSET 1", "1,2")
	}
	statement := "SELECT " + distinct + list + " FROM t" + where + tail
	shape, ok := sqltext.Simple("sqlite", statement)
	if !ok || shape.Verb != sqltext.Select {
		return false
	}
	args := g.bind(statement)
	before, ok := b.rows(statement, args...)
	if !ok {
		return false
	}
	// The rows that the WHERE chooses; only the list tells what an alias in it means. It may fail
	// by its own columns.
	choosing := "SELECT k, " + list + " FROM t" + where + " GROUP BY k"
	keys := func() map[any]bool {
		rows, ok := b.rows(choosing, args...)
		if !ok {
			return nil
		}
		chosen := map[any]bool{}
		for _, row := range rows {
			chosen[row[0]] = true
		}
		return chosen
	}
	chosen := keys()
	b.pinned(statement, shape, args, chosen)
	for _, name := range others(shape.Filter) {
		b.must("SAVEPOINT s")
		b.scramble(name)
		if now := keys(); now != nil && chosen != nil && !maps.Equal(now, chosen) {
			b.Fatalf("%q %v: %q decides which rows are chosen, the filter names %v", statement, args, name, shape.Filter)
		}
		b.must("ROLLBACK TO s")
	}
	if shape.Star {
		return true
	}
	for _, name := range others(shape.Filter, shape.Selected, shape.Group, shape.Order) {
		b.must("SAVEPOINT s")
		b.scramble(name)
		if now, _ := b.rows(statement, args...); !equalAnswers(now, before) {
			b.Fatalf("%q %v: %q changes the answer, but is not among the names of %+v", statement, args, name, shape)
		}
		b.must("ROLLBACK TO s")
	}
	return true
}

func (b bench) write(g grammar) bool {
	statement := ""
	switch g.n(5) {
	case 0:
		statement = "DELETE FROM t" + g.where()
	case 1:
		n := 1 + g.n(3)
		columns := make([]string, n)
		for i := range columns {
			columns[i] = g.column()
		}
		statement = "INSERT INTO t (" + strings.Join(columns, ", ") + ") VALUES " + g.values(n) + g.of("", ", "+g.values(n))
	default:
		set := make([]string, 1+g.n(2))
		for i := range set {
			set[i] = g.column() + " = " + g.expression(g.n(2))
		}
		statement = "UPDATE t SET " + strings.Join(set, ", ") + g.where()
	}
	statement += g.of("", "", " RETURNING a")
	shape, ok := sqltext.Simple("sqlite", statement)
	if !ok {
		return false
	}
	args := g.bind(statement)
	before := b.table()
	b.must("SAVEPOINT s")
	defer b.must("ROLLBACK TO s")
	if err := b.exec(statement, args...); err != nil {
		return false
	}
	after := b.table()
	set := map[string]sqltext.Operand{}
	for _, a := range shape.Set {
		name, ok := column(a.Column)
		if !ok {
			name = "id" // the rowid
		}
		set[name] = a.Value
	}
	changed := map[any]bool{}
	for k, row := range before {
		now, there := after[k]
		if !there && shape.Verb != sqltext.Delete {
			b.Fatalf("%q %v deletes rows", statement, args)
		}
		if !there || !maps.Equal(row, now) {
			changed[k] = true
		}
		for name, v := range now {
			if _, is := set[name]; v != row[name] && !is {
				b.Fatalf("%q %v changes %q, but sets %v", statement, args, name, shape.Set)
			}
		}
	}
	for k := range changed {
		for name, o := range set {
			if o.Kind != sqltext.Unknown && name != "id" {
				b.holds(statement, fmt.Sprintf("k = %v", k), name, literal(o, args))
			}
		}
	}
	if shape.Verb == sqltext.Insert {
		if rows, _ := b.rows("SELECT count(*) FROM t WHERE k IS NULL"); rows[0][0] != int64(len(shape.Rows)) {
			b.Fatalf("%q %v inserts %v rows, the shape has %d", statement, args, rows[0][0], len(shape.Rows))
		}
		for i, n := range shape.Columns {
			name, ok := column(n)
			if len(others(shape.Columns)) == 0 || !ok || name == "id" {
				continue // the rowid may be among them, by which the rows are found here
			}
			for at, row := range shape.Rows {
				if row[i].Kind != sqltext.Unknown {
					b.holds(statement, fmt.Sprintf("rowid = (SELECT rowid FROM t WHERE k IS NULL ORDER BY rowid LIMIT 1 OFFSET %d)", at), name, literal(row[i], args))
				}
			}
		}
	}
	b.must("ROLLBACK TO s")
	b.pinned(statement, shape, args, changed)
	return true
}

// holds checks that a row has a value in a column, as far as the column's type lets it keep the
// value.
func (b bench) holds(statement, row, name string, value any) {
	found, ok := b.rows(`SELECT "`+name+`" FROM t WHERE `+row+` AND ("`+name+`" = ? OR "`+name+`" IS ?)`, value, value)
	if !ok || len(found) != 1 {
		b.Fatalf("%q: %q is not set to %v where %s", statement, name, value, row)
	}
}

// What a shape says of a statement is so in SQLite.
func TestShapesHoldInSQLite(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, s := range []string{shapeTable, "PRAGMA synchronous = off"} {
		if _, err := conn.ExecContext(context.Background(), s); err != nil {
			t.Fatal(err)
		}
	}
	tried, read, written := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		b := bench{t, conn}
		b.must("BEGIN")
		defer b.must("ROLLBACK")
		b.fill(t)
		for range 8 {
			tried++
			if b.read(grammar{t}) {
				read++
			}
			if b.write(grammar{t}) {
				written++
			}
		}
	})
	t.Logf("of %d queries and writes each, %d and %d were simple and ran", tried, read, written)
	if read < tried/10 || written < tried/10 {
		t.Errorf("of %d queries and writes each only %d and %d were simple and ran: the test shows little", tried, read, written)
	}
}
