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

// query returns what is known of the query of a key, and of its answer if there is one.
func (l *Learner) query(key string, e *cache.Entry) prediction.Query {
	q := prediction.Query{Key: key}
	t := l.Templates.Of(key)
	if t == nil {
		return q
	}
	b := t.Binds.Load()
	if b == nil {
		return q
	}
	plain, ok := b.Plain(key[len(t.Prefix):], l.args[:0])
	if !ok {
		return q
	}
	l.args = plain
	q.Template, q.Args = l.template(t), plain
	if e != nil && e.Value != nil && len(t.Columns()) > 0 {
		q.Answer = answer{weak.Make(e), t}
	}
	return q
}

// template returns a template as the predictor knows it.
func (l *Learner) template(t *template.Template) *prediction.Template {
	at := weak.Make(t) // one that is dropped is not kept for what was learned of it
	known := l.templates[at]
	if known == nil {
		if len(l.templates) >= template.MaxTemplates {
			l.forgetTemplates()
		}
		known = &prediction.Template{Columns: len(t.Columns()), Key: func(args []prediction.Value) (string, bool) {
			t := at.Value()
			if t == nil {
				return "", false
			}
			text, ok := t.Binds.Load().Text(args)
			return t.Prefix + text, ok
		}}
		known.Leads = func(column int, to *prediction.Template, arg int) bool {
			t := at.Value()
			return t != nil && l.leads(t, column, to, arg)
		}
		l.templates[at], l.known[known] = known, at
	}
	return known
}

// leads reports whether a relation of the models says that an arg of a template is a foreign key to
// what a column of another holds, or the other way round.
func (l *Learner) leads(from *template.Template, column int, to *prediction.Template, arg int) bool {
	other := l.known[to].Value()
	if other == nil || from.Proto.Schema == nil || other.Proto.Schema == nil {
		return false
	}
	has, asked := from.Columns()[column].DBName, other.PinnedBy(arg)
	refers := func(holder, target *schema.Schema, held, found string) bool {
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
	return refers(from.Proto.Schema, other.Proto.Schema, has, asked) || refers(other.Proto.Schema, from.Proto.Schema, asked, has)
}

// answer is an entry as the predictor sees it. It does not keep the entry in memory.
type answer struct {
	entry    weak.Pointer[cache.Entry]
	template *template.Template
}

// Rows implements prediction.Answer.
func (a answer) Rows() int {
	e := a.entry.Value()
	if e == nil {
		return 0
	}
	image := a.template.Read(e)
	switch image.Kind() {
	case reflect.Slice:
		return image.Len()
	case reflect.Array:
		return int(min(e.Rows, int64(image.Len())))
	}
	return int(min(e.Rows, 1))
}

// Value implements prediction.Answer.
func (a answer) Value(row, column int) prediction.Value {
	e := a.entry.Value()
	if e == nil {
		return ""
	}
	image := a.template.Read(e)
	if image.Kind() == reflect.Slice || image.Kind() == reflect.Array {
		if row >= image.Len() {
			return ""
		}
		image = image.Index(row)
	}
	for image.Kind() == reflect.Pointer {
		if image.IsNil() {
			return ""
		}
		image = image.Elem()
	}
	v, zero := a.template.Columns()[column].ValueOf(context.Background(), image)
	if zero {
		return ""
	}
	arg, ok := args.Encode(v)
	if !ok || len(arg) > maxLearned {
		return ""
	}
	_, text, _ := args.CutType(arg)
	switch text[0] {
	case 'i', 'u', 's', 'b':
		return text
	}
	return "" // what is found by such values is not found by being the same
}
