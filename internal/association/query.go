package association

import (
	"context"
	"reflect"
	"strings"
	"weak"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm/schema"
)

const (
	// learnedBytes is about what is kept of a template besides what follows it.
	learnedBytes = 512
	// maxLearned bounds the text of values from answers that are compared with args.
	maxLearned = 128
)

// form is a template as the predictor knows it. It does not keep the template in memory: one that
// is dropped and met again has the same prefix and is bound in the same way.
type form struct {
	*prediction.Template
	learner *Learner
	of      weak.Pointer[template.Template]
	prefix  string
	binds   *args.Binding
	image   reflect.Type // of what answers hold
	columns []*schema.Field
	plain   []bool        // of the columns: what they hold is read without asking anything
	text    args.Text     // memory for a value
	found   reflect.Value // the rows of the answer that was looked at last
	entry   *cache.Entry  // which is this one's
}

// query returns what is known of the query of a key, and of its answer if there is one.
func (l *Learner) query(key string, e *cache.Entry) prediction.Query {
	q := prediction.Query{Key: key}
	f := l.form(key)
	if f == nil {
		return q
	}
	q.Template = f.Template
	if e != nil && e.Value != nil && len(f.columns) > 0 {
		q.Answer = e
	}
	return q
}

// form returns the template of a key as the predictor knows it; nil where it is not known how its
// queries are bound.
func (l *Learner) form(key string) *form {
	prefix := key[:template.PrefixOf(key)]
	if f := l.forms[prefix]; f != nil || prefix == "" {
		return f
	}
	t := l.Templates.Of(key)
	if t == nil {
		return nil
	}
	if f := l.forms[t.Prefix]; f != nil {
		return f
	}
	binds := t.Binds.Load()
	if binds == nil {
		return nil
	}
	if len(l.forms) >= template.MaxTemplates {
		l.forgetTemplates()
	}
	f := &form{learner: l, of: weak.Make(t), prefix: t.Prefix, binds: binds, image: t.Plan.Type(), columns: t.Columns()}
	for _, column := range f.columns {
		f.plain = append(f.plain, isPlain(column.FieldType))
	}
	f.Template = prediction.NewTemplate(f)
	l.forms[t.Prefix], l.known[f.Template] = f, f
	return f
}

// isPlain reports whether values of a type are as drivers take them, by their kind.
func isPlain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.String:
		return t.NumMethod() == 0 && reflect.PointerTo(t).NumMethod() == 0
	}
	return false
}

// Columns implements prediction.Shape.
func (f *form) Columns() int { return len(f.columns) }

// Split implements prediction.Shape.
func (f *form) Split(key string, into []prediction.Value) ([]prediction.Value, bool) {
	return f.binds.Plain(key[len(f.prefix):], into)
}

// Key implements prediction.Shape.
func (f *form) Key(into []byte, plain []prediction.Value) ([]byte, bool) {
	from := len(into) + len(f.prefix)
	into, ok := f.binds.Append(append(into, f.prefix...), plain)
	return into, ok && len(into)-from <= args.Long
}

// Leads implements prediction.Shape: whether a relation of the models says that an arg of a
// template is a foreign key to what a column of another holds, or the other way round.
func (f *form) Leads(column int, to *prediction.Template, arg int) bool {
	other := f.learner.known[to]
	if other == nil {
		return false
	}
	from, target := f.of.Value(), other.of.Value()
	if from == nil || target == nil || from.Proto.Schema == nil || target.Proto.Schema == nil {
		return false
	}
	has, asked := f.columns[column].DBName, target.PinnedBy(arg)
	return refers(from.Proto.Schema, target.Proto.Schema, has, asked) || refers(target.Proto.Schema, from.Proto.Schema, asked, has)
}

// refers reports whether a column of a schema is that by which a relation finds rows of another.
func refers(holder, target *schema.Schema, held, found string) bool {
	for _, r := range catalog.Relations(holder) {
		if r.FieldSchema == nil || r.FieldSchema.ModelType != target.ModelType || r.JoinTable != nil || len(r.References) != 1 {
			continue
		}
		foreign, primary := r.References[0].ForeignKey, r.References[0].PrimaryKey
		if primary == nil {
			continue
		}
		if r.Type != schema.BelongsTo {
			foreign, primary = primary, foreign
		}
		if strings.EqualFold(foreign.DBName, held) && strings.EqualFold(primary.DBName, found) {
			return true
		}
	}
	return false
}

// look looks at an answer: at one at a time, until the learner lets go of it.
func (f *form) look(answer prediction.Answer) *cache.Entry {
	e := answer.(*cache.Entry)
	if f.entry != e {
		f.learner.letGo()
		f.learner.looking = f
		f.entry, f.found = e, reflect.NewAt(f.image, e.Value).Elem()
	}
	return e
}

// letGo has the learner hold on to no answer.
func (l *Learner) letGo() {
	if f := l.looking; f != nil {
		f.entry, f.found, l.looking = nil, reflect.Value{}, nil
	}
}

// Rows implements prediction.Shape.
func (f *form) Rows(answer prediction.Answer) int {
	switch e := f.look(answer); f.image.Kind() {
	case reflect.Slice:
		return f.found.Len()
	case reflect.Array:
		return int(min(e.Rows, int64(f.found.Len())))
	default:
		return int(min(e.Rows, 1))
	}
}

// Append implements prediction.Shape.
func (f *form) Append(into []byte, answer prediction.Answer, row, column int) []byte {
	f.look(answer)
	image := f.found
	if kind := f.image.Kind(); kind == reflect.Slice || kind == reflect.Array {
		if row >= image.Len() {
			return into
		}
		image = image.Index(row)
	}
	for image.Kind() == reflect.Pointer {
		if image.IsNil() {
			return into
		}
		image = image.Elem()
	}
	f.text.Reset()
	if !f.value(image, column) || len(f.text.Bytes) > maxLearned {
		return into
	}
	text := f.text.Bytes
	if text[0] == '#' {
		_, rest, _ := args.CutType(string(text))
		text = []byte(rest)
	}
	switch text[0] {
	case 'i', 'u', 's', 'b':
		return append(into, text...)
	}
	return into // what is found by such values is not found by being the same
}

// value writes what a row holds in a column; false where there is nothing.
func (f *form) value(row reflect.Value, column int) bool {
	field := f.columns[column]
	if f.plain[column] && len(field.StructField.Index) == 1 && field.StructField.Index[0] >= 0 {
		v := row.Field(field.StructField.Index[0])
		switch {
		case v.CanInt():
			f.text.AddInt(v.Int())
			return v.Int() != 0
		case v.CanUint():
			return v.Uint() != 0 && f.text.AddUint(v.Uint())
		}
		f.text.AddTagged('s', v.String())
		return v.Len() > 0
	}
	v, zero := field.ValueOf(context.Background(), row)
	return !zero && f.text.Add(v)
}
