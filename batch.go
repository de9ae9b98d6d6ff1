package preload

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/template"
)

// maxTogether bounds the keys that one query loads.
const maxTogether = 32

// together takes the first key out of a queue, and those that can be loaded by the same query: of
// the same template, different in one arg only, where that query is sure to find what each of
// theirs would.
func (p *Plugin) together(queue []*expected) (r reload, rest []*expected) {
	first := queue[0]
	r = reload{key: first.key, expected: first}
	r.load, _ = p.loaderOf(first.key)
	rest = queue[1:]
	t := p.templates.Of(first.key)
	if len(rest) == 0 || t == nil || t.Refused() != "" || t.Binds.Load() == nil {
		return r, rest
	}
	own, ok := args.Split(first.key[len(t.Prefix):], nil)
	if !ok {
		return r, rest
	}
	var (
		many  *template.Many
		keys  = []string{first.key}
		later []*expected
		other []string
		// values are what they differ in.
		values []string
	)
	for _, x := range rest {
		other, ok = args.Split(strings.TrimPrefix(x.key, t.Prefix), other[:0])
		at := differs(own, other)
		fits := ok && len(keys) < maxTogether && strings.HasPrefix(x.key, t.Prefix) && at >= 0
		if fits && many == nil {
			many = t.Many(at)
			values = append(values[:0], own[max(at, 0)])
		}
		if !fits || many == nil || many.At != at || slices.ContainsFunc(values, func(v string) bool { return similar(v, other[at]) }) {
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

// similar reports whether two bind values may find the same row, or are of different types, as 5
// and "5" are.
func similar(a, b string) bool {
	_, a1, _ := args.CutType(a)
	_, b1, _ := args.CutType(b)
	return a1[0] != b1[0] || strings.EqualFold(a1, b1)
}

// differs returns where the only difference of two lists of args is, -1 if it is not the only one.
func differs(a, b []string) (at int) {
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

// reloadMany begins to run queries in the background as one. Each has a lease, a flight and an
// entry of its own.
func (p *Plugin) reloadMany(ctx context.Context, t *template.Template, m *template.Many, keys []string) run {
	var (
		flights []*template.Load
		each    [][]any
	)
	for _, key := range keys {
		vars, ok := t.Binds.Load().Vars(key[len(t.Prefix):])
		if !ok {
			continue
		}
		if m.Column.Class == catalog.Integer && m.Column.Value(vars[m.At]) == "" {
			continue // such as 0, which may not be what is in a row
		}
		f := t.NewLoad(p.aheadOf(key, t.Tally))
		if f.Lease(vars) && p.cache.Start(&f.Flight, false, nil) == nil {
			flights, each = append(flights, f), append(each, vars)
		}
	}
	if len(flights) == 0 {
		return nil
	}
	return func() (stored []*cache.Entry, err error) {
		defer func() {
			for _, f := range flights {
				p.cache.Land(&f.Flight)
			}
		}()
		asked := slices.Clone(each)
		for n := len(asked); n&(n-1) != 0; n++ {
			asked = append(asked, each[0]) // so that there are few different statements to prepare
		}
		tx := t.Statement(ctx, m.Vars(asked), reflect.Value{})
		stmt := tx.Statement
		stmt.SQL.Reset()
		stmt.SQL.WriteString(m.SQL(p.db.Name(), len(asked)))
		rows := reflect.New(t.Rows())
		stmt.Dest, stmt.Model, stmt.ReflectValue = rows.Interface(), rows.Interface(), rows.Elem()
		general := p.load(tx, t, p.query)
		for _, f := range flights {
			f.Ran(ctx, tx.Error)
		}
		if tx.Error != nil {
			return nil, fmt.Errorf("%w: %w", failopen.ErrDatabase, tx.Error)
		}
		if !general {
			return nil, nil
		}
		found := make([][]reflect.Value, len(flights))
		for i := range rows.Elem().Len() {
			row := rows.Elem().Index(i)
			of := slices.IndexFunc(each, func(vars []any) bool { return m.Is(ctx, reflect.Indirect(row), vars[m.At]) })
			if of < 0 {
				return nil, nil // then nothing is sure
			}
			found[of] = append(found[of], row)
		}
		for i, f := range flights {
			if len(found[i]) > 1 || len(found[i]) == 0 && m.Column.Class != catalog.Integer {
				continue // it may be there, written in another way
			}
			one := t.Statement(ctx, each[i], reflect.Value{})
			one.RowsAffected = int64(len(found[i]))
			rv := one.Statement.ReflectValue
			switch {
			case rv.Kind() == reflect.Slice:
				rv.Set(reflect.Append(reflect.MakeSlice(rv.Type(), 0, 20), found[i]...))
			case len(found[i]) == 1:
				rv.Set(found[i][0])
			}
			if f.Arrived(one) {
				stored = append(stored, f.Entry)
			}
		}
		return stored, nil
	}
}
