package loading

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/runner"
	"github.com/gorm-preload/preload/internal/template"
)

// MaxBatch bounds the keys that one query loads.
const MaxBatch = 32

// Batch are keys that one query loads: of one template, different in one arg only, where that query
// is sure to find what each of theirs would.
type Batch struct {
	source   *Source
	template *template.Template
	many     *template.Many // nil while there is one key
	keys     []string
	args     []string // of the first key
	other    []string // those of the key that is looked at
	values   []string // what the keys differ in
}

// Batch returns a batch of one key; nil where no query can load others with it.
func (s *Source) Batch(key string) *Batch {
	t := s.Templates.Of(key)
	if t == nil || t.Refused() != "" || t.Binds.Load() == nil {
		return nil
	}
	of, ok := args.Split(key[len(t.Prefix):], nil)
	if !ok {
		return nil
	}
	return &Batch{source: s, template: t, keys: []string{key}, args: of}
}

// Add adds a key if the query that loads the others can load it, too. It reports whether it did.
func (b *Batch) Add(key string) bool {
	var ok bool
	b.other, ok = args.Split(strings.TrimPrefix(key, b.template.Prefix), b.other[:0])
	at := differs(b.args, b.other)
	if !ok || len(b.keys) >= MaxBatch || !strings.HasPrefix(key, b.template.Prefix) || at < 0 {
		return false
	}
	if b.many == nil {
		b.many = b.template.Many(at)
		b.values = append(b.values[:0], b.args[at])
	}
	if b.many == nil || b.many.At != at || slices.ContainsFunc(b.values, func(v string) bool { return similar(v, b.other[at]) }) {
		return false
	}
	b.values = append(b.values, b.other[at])
	b.keys = append(b.keys, key)
	return true
}

// similar reports whether two bind values may find the same row, or are of different types, as 5
// and "5" are. A collation may find one text by another that differs from it in case, in accents,
// in blanks, or in what is neither letter nor digit, while a unique index that has a collation of
// its own tells the two apart.
func similar(a, b string) bool {
	_, a, _ = args.CutType(a)
	_, b, _ = args.CutType(b)
	switch {
	case a[0] != b[0] || a == b:
		return true
	case a[0] != 's':
		return false
	}
	first, known := distinct(a)
	other, all := distinct(b)
	return !known || !all || first == other
}

// distinct returns what is left of a text that every collation tells apart; false if that is not
// known.
func distinct(arg string) (rest string, ok bool) {
	text := arg[strings.IndexByte(arg, ':')+1:]
	if strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return "", false
	}
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		}
		return -1
	}, text), true
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

// Together takes the first key out of a queue, and those that one query can load with it. load
// loads them all; it is nil where the first is alone. keyOf returns the key of an element.
func Together[E any](s *Source, queue []E, keyOf func(E) string) (with, rest []E, load cache.Loader) {
	rest = queue[1:]
	if len(rest) == 0 {
		return nil, rest, nil
	}
	batch := s.Batch(keyOf(queue[0]))
	if batch == nil {
		return nil, rest, nil
	}
	var later []E
	for _, e := range rest {
		if batch.Add(keyOf(e)) {
			with = append(with, e)
		} else {
			later = append(later, e)
		}
	}
	if len(with) > 0 {
		load = batch.Load
	}
	return with, later, load
}

// Load is the loader of all keys of the batch. It begins to run their queries as one; each has a
// lease, a flight and an entry of its own.
func (b *Batch) Load(ctx context.Context) (run cache.Run) {
	s, t, m := b.source, b.template, b.many
	var (
		flights []*template.Load
		each    [][]any
	)
	land := func() {
		for _, f := range flights {
			s.Cache.Land(&f.Flight)
		}
	}
	defer func() {
		if run == nil { // a Valuer of the application's may have panicked
			land()
		}
	}()
	for _, key := range b.keys {
		vars, ok := t.Binds.Load().Vars(key[len(t.Prefix):])
		if !ok {
			continue
		}
		if m.Column.Class == catalog.Integer && m.Column.Value(vars[m.At]) == "" {
			continue // such as 0, which may not be what is in a row
		}
		if f := s.begin(t, key, vars); f != nil {
			flights, each = append(flights, f), append(each, vars)
		}
	}
	if len(flights) == 0 {
		return nil
	}
	return func() (asking []*cache.Entry, err error) {
		defer land()
		if _, err := runner.ConnOf(ctx); err != nil {
			return nil, err
		}
		var sent []*template.Load
		var asked [][]any
		for i, f := range flights {
			if s.Cache.Send(&f.Flight) {
				sent, asked, asking = append(sent, f), append(asked, each[i]), append(asking, f.Entry)
			}
		}
		if len(sent) == 0 {
			return nil, nil
		}
		each := slices.Clone(asked)
		for n := len(asked); n&(n-1) != 0; n++ {
			asked = append(asked, asked[0]) // so that there are few different statements to prepare
		}
		tx := t.Statement(ctx, nil)
		stmt := tx.Statement
		stmt.Vars = m.Vars(asked)
		stmt.SQL.Reset()
		stmt.SQL.WriteString(m.SQL(tx.Name(), len(asked)))
		if err := s.onOwn(ctx, tx, t.Prepared); err != nil {
			return asking, err
		}
		rows := reflect.New(t.Rows())
		stmt.Dest, stmt.Model, stmt.ReflectValue = rows.Interface(), rows.Interface(), rows.Elem()
		general := s.Ask(tx, t, s.Query)
		for _, f := range sent {
			f.Ran(ctx, tx.Error)
		}
		if tx.Error != nil {
			return asking, fmt.Errorf("%w: %w", failopen.ErrDatabase, tx.Error)
		}
		if !general {
			return asking, nil
		}
		found := make([][]reflect.Value, len(sent))
		for i := range rows.Elem().Len() {
			row := rows.Elem().Index(i)
			of := slices.IndexFunc(each, func(vars []any) bool { return m.Is(ctx, reflect.Indirect(row), vars[m.At]) })
			if of < 0 {
				return asking, nil // then nothing is sure
			}
			found[of] = append(found[of], row)
		}
		for i, f := range sent {
			if len(found[i]) > 1 || len(found[i]) == 0 && m.Column.Class != catalog.Integer {
				continue // it may be there, written in another way
			}
			one := t.Statement(ctx, each[i])
			one.RowsAffected = int64(len(found[i]))
			rv := one.Statement.ReflectValue
			switch {
			case rv.Kind() == reflect.Slice:
				rv.Set(reflect.Append(reflect.MakeSlice(rv.Type(), 0, 20), found[i]...))
			case len(found[i]) == 1:
				rv.Set(found[i][0])
			}
			f.Arrived(one)
		}
		return asking, nil
	}
}
