package preload

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm/schema"
)

// maxTogether bounds the keys that one query loads.
const maxTogether = 32

// together takes the first key out of a queue, and those that can be loaded by the same query: of the same template, different in one
// arg only, where that query is sure to find what each of theirs would.
func (p *Plugin) together(queue []*expected) (r reload, rest []*expected) {
	first := queue[0]
	r = reload{key: first.key, expected: first}
	r.load, _ = p.loaderOf(first.key)
	rest = queue[1:]
	t := p.templates.of(first.key)
	if len(rest) == 0 || t == nil || t.refusal(p) != "" || t.binds.Load() == nil {
		return r, rest
	}
	args, ok := splitArgs(first.key[len(t.prefix):], nil)
	if !ok {
		return r, rest
	}
	var (
		many  *many
		keys  = []string{first.key}
		later []*expected
		other []prediction.Value
		// values are what they differ in.
		values []prediction.Value
	)
	for _, x := range rest {
		other, ok = splitArgs(strings.TrimPrefix(x.key, t.prefix), other[:0])
		at := differs(args, other)
		fits := ok && len(keys) < maxTogether && strings.HasPrefix(x.key, t.prefix) && at >= 0
		if fits && many == nil {
			many = t.many(p, at)
			values = append(values[:0], args[max(at, 0)])
		}
		if !fits || many == nil || many.at != at || slices.ContainsFunc(values, func(v prediction.Value) bool { return similar(v, other[at]) }) {
			later = append(later, x)
			continue
		}
		values = append(values, other[at])
		keys = append(keys, x.key)
		r.with = append(r.with, reload{key: x.key, expected: x})
	}
	if len(keys) > 1 {
		r.load = func(ctx context.Context) run { return p.reloadMany(ctx, t, many, keys) }
	}
	return r, later
}

// similar reports whether two bind values may find the same row, or are of different types, as 5 and "5" are.
func similar(a, b prediction.Value) bool {
	_, a1, _ := cutType(string(a))
	_, b1, _ := cutType(string(b))
	return a1[0] != b1[0] || strings.EqualFold(a1, b1)
}

// differs returns where the only difference of two lists of args is, -1 if it is not the only one.
func differs(a, b []prediction.Value) (at int) {
	at = -1
	for i := range a {
		if len(a) != len(b) || a[i] != b[i] && at >= 0 {
			return -1
		}
		if a[i] != b[i] {
			at = i
		}
	}
	return at
}

// many is how queries of a template that differ in one arg are run as one, with a list in its place. Each finds one row at most, in
// which that value is.
type many struct {
	at     int // of the arg
	head   []string
	tail   []string // the SQL before and behind the list, at each bind value
	column column
	field  *schema.Field
}

// many finds out how to run queries together that differ in an arg; nil if they cannot be.
func (t *template) many(p *Plugin, at int) *many {
	r := t.readingOf(p, p.catalog.version.Load())
	if t.asks || !r.about.Rows || len(t.proto.Joins) > 0 || r.info == nil {
		return nil
	}
	if kind := t.destKind(); kind != reflect.Struct && kind != reflect.Slice {
		return nil
	}
	for i, key := range r.about.Keys {
		if !r.pins(key) {
			continue
		}
		for j, name := range key {
			if m := t.list(p, r, at, name, r.shown[i][j]); m != nil {
				return m
			}
		}
	}
	return nil
}

// list makes a query for many of a template whose arg is the only value of a column.
func (t *template) list(p *Plugin, r *reading, at int, name string, field *schema.Field) *many {
	i := slices.IndexFunc(r.pinned, func(c pinnedColumn) bool { return c.column.name == name })
	if i < 0 {
		return nil
	}
	pinned := r.pinned[i]
	if o := pinned.values; len(o.rows) != 1 || o.rows[0][o.column].Param != at+1 || pinned.column.class != integer && pinned.column.class != textual {
		return nil
	}
	dialect := p.db.Name()
	parts := splitBinds(dialect, t.sql)
	head, ok := strings.CutSuffix(parts[min(at, len(parts)-1)], "= ")
	if !ok || at+1 >= len(parts) {
		return nil
	}
	m := &many{at: at, head: append(slices.Clone(parts[:at]), head+"IN ("), tail: slices.Clone(parts[at+1:]), column: pinned.column, field: field}
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
func (t *template) limitsToSome(tail []string) bool {
	last := len(tail) - 1
	_, limit, found := cutLast(tail[last], " LIMIT ")
	if found {
		n, err := strconv.Atoi(limit)
		return err == nil && n > 0
	}
	bound := t.binds.Load().tail
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

// proves reports whether what the query for many is, as it is read back, is the query for one but for the list, order and limit.
func (m *many) proves(dialect string, one *sqltext.Shape) bool {
	all, ok := sqltext.Simple(dialect, m.sql(dialect, 2))
	if !ok {
		return false
	}
	want := *one
	want.Ordered, want.Order, want.Limited = false, nil, false
	want.Pins = slices.Clone(want.Pins)
	found := false
	for i, pin := range want.Pins {
		rows := make([][]sqltext.Operand, 0, len(pin.Values))
		for _, row := range pin.Values {
			row = slices.Clone(row)
			for j := range row {
				switch {
				case row[j].Param == m.at+1 && (found || len(row) > 1 || len(pin.Values) > 1):
					return false
				case row[j].Param == m.at+1:
					found = true
					second := slices.Clone(row)
					second[j].Param++
					rows = append(rows, row)
					row = second
				case row[j].Param > m.at+1:
					row[j].Param++
				}
			}
			rows = append(rows, row)
		}
		want.Pins[i].Values = rows
	}
	return found && reflect.DeepEqual(all, want)
}

// sql returns the query for so many.
func (m *many) sql(dialect string, n int) string {
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

// splitBinds splits SQL at its bind values. What is in quotes and looks like one makes more parts than there are values.
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

// vars returns the bind values of the query for many, of those of each.
func (m *many) vars(each [][]any) (vars []any) {
	vars = append(vars, each[0][:m.at]...)
	for _, one := range each {
		vars = append(vars, one[m.at])
	}
	return append(vars, each[0][m.at+1:m.at+len(m.tail)]...)
}

// is reports whether a row has the value that was asked for: as integers, or as texts without any difference.
func (m *many) is(ctx context.Context, row reflect.Value, asked any) bool {
	v, _ := m.field.ValueOf(ctx, row)
	if m.column.class == integer {
		col := m.column
		col.generated = false // it was read
		value := col.value(v)
		return value != "" && value == col.value(asked)
	}
	a, okA := keptVar(v)
	b, okB := keptVar(asked)
	return okA && okB && reflect.ValueOf(a).Kind() == reflect.String && reflect.ValueOf(b).Kind() == reflect.String &&
		reflect.ValueOf(a).String() == reflect.ValueOf(b).String()
}

// reloadMany begins to run queries in the background as one. Each has a lease, a flight and an entry of its own.
func (p *Plugin) reloadMany(ctx context.Context, t *template, m *many, keys []string) run {
	var (
		flights []*flight
		each    [][]any
	)
	for _, key := range keys {
		vars, ok := t.binds.Load().vars(key[len(t.prefix):])
		if !ok {
			continue
		}
		if m.column.class == integer && m.column.value(vars[m.at]) == "" {
			continue // such as 0, which may not be what is in a row
		}
		f := &flight{entry: p.aheadOf(key, t.stats), done: make(chan struct{}), over: ctx.Done()}
		if t.lease(p, f, vars) && p.start(f, false) == nil {
			flights, each = append(flights, f), append(each, vars)
		}
	}
	if len(flights) == 0 {
		return nil
	}
	return func() (stored []*entry, err error) {
		defer func() {
			for _, f := range flights {
				p.landed(f)
			}
		}()
		asked := slices.Clone(each)
		for n := len(asked); n&(n-1) != 0; n++ {
			asked = append(asked, each[0]) // so that there are few different statements to prepare
		}
		tx := t.statement(ctx, p.db, m.vars(asked), reflect.Value{})
		stmt := tx.Statement
		stmt.SQL.Reset()
		stmt.SQL.WriteString(m.sql(p.db.Name(), len(asked)))
		rows := reflect.New(t.rows())
		stmt.Dest, stmt.Model, stmt.ReflectValue = rows.Interface(), rows.Interface(), rows.Elem()
		if p.query(tx); tx.Error != nil {
			return nil, fmt.Errorf("%w: %w", errDatabase, tx.Error)
		}
		found := make([][]reflect.Value, len(flights))
		for i := range rows.Elem().Len() {
			row := rows.Elem().Index(i)
			of := slices.IndexFunc(each, func(vars []any) bool { return m.is(ctx, reflect.Indirect(row), vars[m.at]) })
			if of < 0 {
				return nil, nil // then nothing is sure
			}
			found[of] = append(found[of], row)
		}
		for i, f := range flights {
			if len(found[i]) > 1 || len(found[i]) == 0 && m.column.class != integer {
				continue // it may be there, written in another way
			}
			one := t.statement(ctx, p.db, each[i], reflect.Value{})
			one.RowsAffected = int64(len(found[i]))
			rv := one.Statement.ReflectValue
			switch {
			case rv.Kind() == reflect.Slice:
				rv.Set(reflect.Append(reflect.MakeSlice(rv.Type(), 0, 20), found[i]...))
			case len(found[i]) == 1:
				rv.Set(found[i][0])
			}
			if p.arrived(one, t, f) {
				stored = append(stored, f.entry)
			}
		}
		return stored, nil
	}
}

// rows returns the type of a slice of the rows that the template's queries find.
func (t *template) rows() reflect.Type {
	d := t.destType
	for d.Kind() == reflect.Pointer {
		d = d.Elem()
	}
	if d.Kind() == reflect.Slice {
		return d
	}
	return reflect.SliceOf(d)
}
