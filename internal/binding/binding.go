package binding

import (
	"database/sql"
	"maps"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Binding puts values in the places of Args.
type Binding struct {
	// Place tells of a bind value that it only keeps the place of one, and of which.
	Place func(value any) (arg int, ok bool)
	// Values are those of the Args, in their order. An Arg that is beyond them stays.
	Values []any
	// Met gets the Args that a statement holds; nil to keep none.
	Met map[int]bool
}

// Statement binds all that a statement holds.
func (b *Binding) Statement(stmt *gorm.Statement) {
	for name, c := range stmt.Clauses {
		if bound, ok := b.expression(c.Expression); ok {
			c.Expression = bound
			stmt.Clauses[name] = c
		}
	}
	if stmt.TableExpr != nil {
		if bound, ok := b.expression(*stmt.TableExpr); ok {
			expr := bound.(clause.Expr)
			stmt.TableExpr = &expr
		}
	}
	for i := range stmt.Joins {
		join := &stmt.Joins[i]
		if bound, ok := b.list(join.Conds); ok {
			join.Conds = bound
		}
		if bound, ok := b.expression(join.Expression); ok {
			join.Expression = bound
		}
		if join.On != nil {
			if bound, ok := b.expression(*join.On); ok {
				on := bound.(clause.Where)
				join.On = &on
			}
		}
	}
	for name, conds := range stmt.Preloads {
		if bound, ok := b.list(conds); ok {
			stmt.Preloads[name] = bound
		}
	}
}

// value returns what takes the place of a bind value; false if it can stay.
func (b *Binding) value(value any) (any, bool) {
	if arg, ok := b.Place(value); ok {
		if b.Met != nil {
			b.Met[arg] = true
		}
		if arg < 0 || arg >= len(b.Values) {
			return value, false
		}
		return b.Values[arg], true
	}
	switch v := value.(type) {
	case sql.NamedArg:
		bound, ok := b.value(v.Value)
		v.Value = bound
		return v, ok
	case []any:
		return b.list(v)
	case map[string]any:
		return b.named(v)
	case *gorm.DB:
		return b.subquery(v)
	case clause.Expression:
		return b.expression(v)
	}
	return value, false
}

func (b *Binding) list(values []any) ([]any, bool) { return each(values, b.value) }

func (b *Binding) named(values map[string]any) (map[string]any, bool) {
	changed := false
	for name, value := range values {
		if bound, ok := b.value(value); ok {
			if !changed {
				values, changed = maps.Clone(values), true
			}
			values[name] = bound
		}
	}
	return values, changed
}

// subquery binds a statement in a statement.
func (b *Binding) subquery(db *gorm.DB) (*gorm.DB, bool) {
	tx := db.Session(&gorm.Session{Initialized: true}) // Statement changes it
	inside := Binding{Place: b.Place, Values: b.Values, Met: map[int]bool{}}
	if inside.Statement(tx.Statement); len(inside.Met) == 0 {
		return db, false
	}
	if b.Met != nil {
		maps.Copy(b.Met, inside.Met)
	}
	return tx, true
}
