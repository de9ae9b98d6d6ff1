package template

import (
	"context"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm/schema"
)

// Many is how queries of a template that differ in one arg are run as one, with a list in its
// place. Each finds one row at most, in which that value is.
type Many struct {
	At     int // of the arg
	head   []string
	tail   []string // the SQL before and behind the list, at each bind value
	Column catalog.Column
	field  *schema.Field
}

// Many finds out how to run queries together that differ in an arg; nil if they cannot be.
func (t *Template) Many(at int) *Many {
	r := t.ReadingOf(t.set.Catalog.Version())
	if t.Asks || t.rows || t.query == nil || !r.About.Rows || len(t.Proto.Joins) > 0 || r.Info == nil {
		return nil
	}
	if kind := t.destKind(); kind != reflect.Struct && kind != reflect.Slice {
		return nil
	}
	for i, key := range r.About.Keys[:r.Unique] {
		if !r.Pins(key) {
			continue
		}
		for j, name := range key {
			if m := t.list(r, at, name, r.Shown[i][j]); m != nil {
				return m
			}
		}
	}
	return nil
}

// list makes a query for many of a template whose arg is the only value of a column.
func (t *Template) list(r *footprint.Reading, at int, name string, field *schema.Field) *Many {
	i := slices.IndexFunc(r.Pinned, func(c footprint.PinnedColumn) bool { return c.Column.Name == name })
	if i < 0 {
		return nil
	}
	pinned := r.Pinned[i]
	if o := pinned.Values; len(o.Rows) != 1 || o.Rows[0][o.Column].Param != at+1 || pinned.Column.Class != catalog.Integer && pinned.Column.Class != catalog.Textual {
		return nil
	}
	dialect := t.set.db.Name()
	parts := splitBinds(dialect, t.SQL)
	head, ok := strings.CutSuffix(parts[min(at, len(parts)-1)], "= ")
	if !ok || at+1 >= len(parts) {
		return nil
	}
	m := &Many{At: at, head: append(slices.Clone(parts[:at]), head+"IN ("), tail: slices.Clone(parts[at+1:]), Column: pinned.Column, field: field}
	m.tail[0] = ")" + m.tail[0]
	if t.query.Limited && !t.limitsToSome(m.tail) {
		return nil
	}
	// There is one row for each, so that neither order nor limit matter.
	for j, part := range m.tail {
		end := len(part)
		for _, word := range []string{" ORDER BY ", " LIMIT "} {
			if i := strings.Index(part, word); i >= 0 {
				end = min(end, i)
			}
		}
		if end < len(part) {
			m.tail = append(m.tail[:j:j], part[:end])
			break
		}
	}
	if !m.proves(dialect, t.query) {
		return nil
	}
	return m
}

// limitsToSome reports whether a query ends with a limit that leaves a row.
func (t *Template) limitsToSome(tail []string) bool {
	if t.page != shape.NoPage {
		return true
	}
	last := len(tail) - 1
	_, limit, found := cutLast(tail[last], " LIMIT ")
	if found {
		n, err := strconv.Atoi(limit)
		return err == nil && n > 0
	}
	bound := t.Binds.Load().Tail
	if tail[last] != "" || last == 0 || !strings.HasSuffix(tail[last-1], " LIMIT ") || len(bound) == 0 {
		return false
	}
	n := reflect.ValueOf(bound[len(bound)-1])
	return n.CanInt() && n.Int() > 0
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// proves reports whether what the query for many is, as it is read back, is the query for one but
// for the list, order and limit.
func (m *Many) proves(dialect string, one *sqltext.Shape) bool {
	all, ok := sqltext.Simple(dialect, m.SQL(dialect, 2))
	if !ok {
		return false
	}
	want := *one
	want.Ordered, want.Order, want.Limited, want.Limit = false, nil, false, sqltext.Operand{}
	want.Pins = slices.Clone(want.Pins)
	found := false
	for i, pin := range want.Pins {
		rows := make([][]sqltext.Operand, 0, len(pin.Values))
		for _, row := range pin.Values {
			row = slices.Clone(row)
			for j := range row {
				switch {
				case row[j].Param == m.At+1 && (found || len(row) > 1 || len(pin.Values) > 1):
					return false
				case row[j].Param == m.At+1:
					found = true
					second := slices.Clone(row)
					second[j].Param++
					rows = append(rows, row)
					row = second
				case row[j].Param > m.At+1:
					row[j].Param++
				}
			}
			rows = append(rows, row)
		}
		want.Pins[i].Values = rows
	}
	return found && reflect.DeepEqual(all, want)
}

// SQL returns the query for so many.
func (m *Many) SQL(dialect string, n int) string {
	var sql strings.Builder
	binds := 0
	bind := func() {
		binds++
		if dialect == "postgres" {
			sql.WriteString("$" + strconv.Itoa(binds))
		} else {
			sql.WriteByte('?')
		}
	}
	for i, part := range m.head {
		sql.WriteString(part)
		if i < len(m.head)-1 {
			bind()
		}
	}
	for i := range n {
		if i > 0 {
			sql.WriteByte(',')
		}
		bind()
	}
	for i, part := range m.tail {
		if i > 0 {
			bind()
		}
		sql.WriteString(part)
	}
	return sql.String()
}

// splitBinds splits SQL at its bind values. What is in quotes and looks like one makes more parts
// than there are values.
func splitBinds(dialect, sql string) (parts []string) {
	if dialect != "postgres" {
		return strings.Split(sql, "?")
	}
	for n := 1; ; n++ {
		before, after, ok := strings.Cut(sql, "$"+strconv.Itoa(n))
		if !ok || after != "" && after[0] >= '0' && after[0] <= '9' {
			return append(parts, sql)
		}
		parts, sql = append(parts, before), after
	}
}

// Vars returns the bind values of the query for many, of those of each.
func (m *Many) Vars(each [][]any) (vars []any) {
	vars = append(vars, each[0][:m.At]...)
	for _, one := range each {
		vars = append(vars, one[m.At])
	}
	return append(vars, each[0][m.At+1:m.At+len(m.tail)]...)
}

// Is reports whether a row has the value that was asked for: as integers, or as texts without any
// difference.
func (m *Many) Is(ctx context.Context, row reflect.Value, asked any) bool {
	v, _ := m.field.ValueOf(ctx, row)
	if m.Column.Class == catalog.Integer {
		col := m.Column.AsRead()
		value := col.Value(v)
		return value != "" && value == col.Value(asked)
	}
	a, okA := args.Kept(v)
	b, okB := args.Kept(asked)
	return okA && okB && reflect.ValueOf(a).Kind() == reflect.String && reflect.ValueOf(b).Kind() == reflect.String &&
		reflect.ValueOf(a).String() == reflect.ValueOf(b).String()
}

// Rows returns the type of a slice of the rows that the template's queries find.
func (t *Template) Rows() reflect.Type {
	d := t.DestType
	for d.Kind() == reflect.Pointer {
		d = d.Elem()
	}
	if d.Kind() == reflect.Slice {
		return d
	}
	return reflect.SliceOf(d)
}
