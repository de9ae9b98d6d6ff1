package template

import (
	"context"
	"reflect"
	"slices"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/shape"
	"gorm.io/gorm"
)

// The states of a template.
const (
	Met      = iota // it was made of a statement
	Restored        // it was read from a file, and no statement has confirmed it yet
	Refuted         // a statement of its shape has other SQL
)

// Confirm compares a template that was read from a file with a statement of its shape, and these
// args of its key. It reports whether they agree, and whether this is the first time that they do
// not: all that the template found is wrong then.
func (t *Template) Confirm(db *gorm.DB, own []byte) (same, refutes bool) {
	stmt := db.Statement
	if shape.Render(db); db.Error != nil {
		return false, false
	}
	b := t.Binds.Load()
	vars, decoded := b.Vars(string(own))
	asked := t.VarsOf(stmt)
	if !decoded && len(asked) == b.Len()+len(b.Tail) {
		// Such as values of named types, which LoadHot has none of: the rest is compared.
		vars, asked = b.Tail, asked[b.Len():]
	}
	sql, ends := t.paged(stmt)
	same = ends && sql == t.SQL && slices.EqualFunc(vars, asked, func(a, b any) bool {
		one, ok := args.Encode(a)
		other, ok2 := args.Encode(b)
		return ok && ok2 && one == other
	})
	stmt.SQL.Reset()
	stmt.Vars = nil
	if !same {
		return false, t.State.CompareAndSwap(Restored, Refuted)
	}
	if decoded {
		t.State.CompareAndSwap(Restored, Met)
	}
	return true, false
}

// Session returns a handle with a statement that is sent as others are that are prepared, or not.
func (ts *Set) Session(ctx context.Context, prepared bool) *gorm.DB {
	tx := ts.db.Session(&gorm.Session{NewDB: true, Context: ctx, SkipHooks: true, Initialized: true, PrepareStmt: prepared && !ts.prepares})
	if ts.prepares && !prepared {
		tx.Statement.ConnPool = ts.pool
	}
	return tx
}

// Statement returns a statement that runs the template with these bind values, into a destination
// of its own. It is sent as the template's own was.
func (t *Template) Statement(ctx context.Context, vars []any) *gorm.DB {
	tx := t.set.Session(ctx, t.Prepared)
	stmt := tx.Statement
	stmt.Table, stmt.Schema, stmt.Joins, stmt.ColumnMapping = t.Proto.Table, t.Proto.Schema, t.Proto.Joins, t.Proto.ColumnMapping
	sql, vars := t.sent(vars)
	stmt.SQL.WriteString(sql)
	stmt.Vars = slices.Clone(vars)
	if t.DestType.Kind() == reflect.Map {
		dest := reflect.MakeMap(t.DestType)
		stmt.Dest, stmt.ReflectValue = dest.Interface(), dest
	} else {
		dest := reflect.New(t.DestType.Elem())
		stmt.Dest = dest.Interface()
		for dest.Kind() == reflect.Pointer {
			if dest.IsNil() {
				dest.Set(reflect.New(dest.Type().Elem()))
			}
			dest = dest.Elem()
		}
		stmt.ReflectValue = dest
	}
	stmt.Model = stmt.Dest
	return tx
}

// Shown are the names of the columns that the queries of a template have.
type Shown struct {
	Names []string
	// Alterations is how many there were when this was found out.
	Alterations int64
}
