package restart

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"reflect"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/hotfile"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// restore returns the template of a query that was written down, and that package hotfile found to
// be whole.
func (h *Handover) restore(q hotfile.Query) (*template.Template, error) {
	s := h.Catalog.Model(q.Model)
	if s == nil {
		return nil, errors.New("the model is not in use: Register it first")
	}
	dest := h.Catalog.Type(q.Dest)
	if dest == nil || dest.Kind() != reflect.Pointer && dest.Kind() != reflect.Map {
		return nil, errors.New("no model in use has the type of its destination")
	}
	limits, opted, err := h.Limits(s)
	if err != nil {
		return nil, err
	}
	if !opted {
		return nil, errors.New("the model is not opted in")
	}
	form := bytes.Clone(q.Shape)
	of, into, rows, _ := shape.TypesIn(form)
	binary.NativeEndian.PutUint64(of, args.TypeID(s.ModelType))
	binary.NativeEndian.PutUint64(into, args.TypeID(dest))
	if t := h.Templates.Find(form); t != nil {
		return t, nil
	}
	if len(form) > shape.MaxLength || len(q.SQL) > shape.MaxLength {
		return nil, errors.New("long statement") // as the statistics have it
	}
	tail := make([]any, len(q.Tail))
	for i, arg := range q.Tail {
		tail[i], _ = args.Decode(string(arg))
	}
	b := args.NewBinding(q.Args, tail)
	var t *template.Template
	if !failopen.Guard(h.Report, "restoring a query", func() {
		t = h.Templates.Make(string(form), h.statement(q, s, dest), shape.Options{Prepared: q.Prepared, Rows: rows}, &limits, nil)
	}) {
		return nil, errors.New("it is broken")
	}
	if reason := t.Refused(); reason != "" {
		return nil, errors.New(string(reason))
	}
	t.Binds.Store(b)
	t.State.Store(template.Restored)
	return h.Templates.Add(t), nil
}

// statement returns a statement as it is when its SQL was written.
func (h *Handover) statement(q hotfile.Query, s *schema.Schema, dest reflect.Type) *gorm.Statement {
	stmt := h.Templates.Session(context.Background(), q.Prepared).Statement
	stmt.Schema, stmt.Table = s, q.Table
	stmt.SQL.WriteString(q.SQL)
	if dest.Kind() == reflect.Map {
		stmt.ReflectValue = reflect.MakeMap(dest)
		stmt.Dest = stmt.ReflectValue.Interface()
		return stmt
	}
	rv := reflect.New(dest.Elem())
	stmt.Dest = rv.Interface()
	for rv.Kind() == reflect.Pointer {
		if rv.IsNil() {
			rv.Set(reflect.New(rv.Type().Elem()))
		}
		rv = rv.Elem()
	}
	stmt.ReflectValue = rv
	return stmt
}

// label is what a query that was written down may be called in a log.
func label(q *hotfile.Query) string {
	return template.Label(template.KeyPrefix + failopen.Clipped(q.Table) + "#" + template.SumOf(q.SQL) + ":")
}
