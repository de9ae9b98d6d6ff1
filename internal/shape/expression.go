package shape

import (
	"database/sql"
	"database/sql/driver"
	"reflect"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

func (f *Fingerprint) clause(expression clause.Expression) bool {
	switch e := expression.(type) {
	case clause.Select:
		f.tag('S')
		f.flag(e.Distinct)
		f.number(len(e.Columns))
		for _, c := range e.Columns {
			f.columnName(c)
		}
		f.flag(e.Expression != nil)
		return e.Expression == nil || f.expr(e.Expression)
	case itself:
		f.tag('F')
		f.number(0)
		f.number(0)
		return true
	case clause.From:
		f.tag('F')
		f.number(len(e.Tables))
		for _, t := range e.Tables {
			f.table(t)
		}
		f.number(len(e.Joins))
		for _, j := range e.Joins {
			if !f.join(j) {
				return false
			}
		}
		return true
	case clause.GroupBy:
		f.tag('G')
		f.number(len(e.Columns))
		for _, c := range e.Columns {
			f.columnName(c)
		}
		return f.exprs(e.Having)
	case clause.OrderBy:
		f.tag('O')
		if f.flag(e.Expression != nil); e.Expression != nil {
			return f.expr(e.Expression)
		}
		f.number(len(e.Columns))
		for _, c := range e.Columns {
			f.columnName(c.Column)
			f.flag(c.Desc)
		}
		return true
	case clause.Limit:
		f.tag('L')
		if f.page != NoPage {
			return true
		}
		limit := -1
		if e.Limit != nil {
			limit = *e.Limit
		}
		f.number(limit)
		f.number(e.Offset)
		return true
	}
	return f.expr(expression)
}

func (f *Fingerprint) join(j clause.Join) bool {
	f.text(string(j.Type))
	f.table(j.Table)
	f.number(len(j.Using))
	for _, column := range j.Using {
		f.text(column)
	}
	if f.flag(j.Expression != nil); j.Expression != nil {
		return f.expr(j.Expression)
	}
	return f.exprs(j.ON.Exprs)
}

func (f *Fingerprint) table(t clause.Table) {
	f.text(t.Name)
	f.text(t.Alias)
	f.flag(t.Raw)
}

func (f *Fingerprint) columnName(c clause.Column) {
	f.text(c.Table)
	f.text(c.Name)
	f.text(c.Alias)
	f.flag(c.Raw)
}

func (f *Fingerprint) exprs(exprs []clause.Expression) bool {
	f.number(len(exprs))
	for _, e := range exprs {
		if !f.expr(e) {
			return false
		}
	}
	return true
}

func (f *Fingerprint) expr(expression clause.Expression) bool {
	switch e := expression.(type) {
	case clause.Expr:
		f.tag('e')
		f.text(e.SQL)
		f.flag(e.WithoutParentheses)
		return f.values(e.Vars)
	case clause.Eq:
		f.tag('=')
		return f.column(e.Column) && f.equal(e.Value)
	case clause.Neq:
		f.tag('!')
		return f.column(e.Column) && f.equal(e.Value)
	case clause.Gt:
		f.tag('>')
		return f.column(e.Column) && f.value(e.Value)
	case clause.Gte:
		f.tag('g')
		return f.column(e.Column) && f.value(e.Value)
	case clause.Lt:
		f.tag('<')
		return f.column(e.Column) && f.value(e.Value)
	case clause.Lte:
		f.tag('l')
		return f.column(e.Column) && f.value(e.Value)
	case clause.Like:
		f.tag('%')
		return f.column(e.Column) && f.value(e.Value)
	case clause.IN:
		f.tag('i')
		if !f.column(e.Column) {
			return false
		}
		if len(e.Values) == 1 {
			// One value is compared, but a []any is a list of one; other slices are values.
			_, list := e.Values[0].([]any)
			f.flag(list)
		}
		return f.values(e.Values)
	case clause.AndConditions:
		f.tag('&')
		return f.exprs(e.Exprs)
	case clause.OrConditions:
		f.tag('|')
		return f.exprs(e.Exprs)
	case clause.NotConditions:
		f.tag('~')
		return f.exprs(e.Exprs)
	case clause.Where:
		f.tag('w')
		return f.exprs(e.Exprs)
	case clause.CommaExpression:
		f.tag(',')
		return f.exprs(e.Exprs)
	}
	return false
}

func (f *Fingerprint) column(column any) bool {
	switch c := column.(type) {
	case clause.Column:
		f.tag('c')
		f.columnName(c)
	case string:
		f.tag('s')
		f.text(c)
	case []clause.Column:
		f.tag('C')
		f.number(len(c))
		for _, column := range c {
			f.columnName(column)
		}
	default:
		return false
	}
	return true
}

// equal captures the value of Eq and Neq, which render nil and some slices in a way of their own.
func (f *Fingerprint) equal(value any) bool {
	switch v := value.(type) {
	case []string, []int, []int32, []int64, []uint, []uint32, []uint64, []any:
		f.tag('I')
		return f.list(reflect.ValueOf(v))
	case nil:
		f.tag('N')
		return true
	case driver.Valuer:
		// What is nil, or a Valuer of nil, renders as IS NULL.
		if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() {
			f.tag('N')
			return true
		}
		if f.Args.Refuses(v) {
			return false
		}
		inner, err := v.Value()
		if err != nil {
			return false
		}
		if inner == nil {
			f.tag('N')
			return true
		}
		switch value.(type) {
		case gorm.Valuer, clause.Expression:
			return false
		}
		f.tag('?')
		return f.Args.AddValuer(v, inner)
	}
	if rv := reflect.ValueOf(value); rv.Kind() == reflect.Pointer && rv.IsNil() {
		f.tag('N')
		return true
	}
	return f.value(value)
}

func (f *Fingerprint) values(values []any) bool {
	f.number(len(values))
	for _, v := range values {
		if !f.value(v) {
			return false
		}
	}
	return true
}

// value captures something that is passed to Statement.AddVar.
func (f *Fingerprint) value(value any) bool {
	switch v := value.(type) {
	case string:
		f.tag('?')
		f.Args.AddString(v)
		return true
	case int:
		f.tag('?')
		f.Args.AddInt(int64(v))
		return true
	case nil, int64, uint, uint64, bool, float64, int32, uint32, time.Time:
		f.tag('?')
		return f.Args.Add(v)
	case clause.Column:
		f.tag('c')
		f.columnName(v)
		return true
	case clause.Table:
		f.tag('t')
		f.table(v)
		return true
	case []byte:
		// Some expressions spread it, so that its length is part of the SQL.
		f.tag('b')
		f.number(len(v))
		return f.Args.Add(v)
	case []any:
		f.tag('A')
		return f.list(reflect.ValueOf(v))
	case sql.NamedArg, gorm.Valuer, clause.Interface, *gorm.DB:
		return f.place(value)
	case clause.Expression:
		f.tag('E')
		return f.expr(v)
	case driver.Valuer:
		f.tag('?')
		return f.Args.Add(v)
	}
	if rv := reflect.ValueOf(value); rv.Kind() == reflect.Slice || rv.Kind() == reflect.Array {
		// Named bytes, and none at all, GORM spreads.
		if rv.Len() > 0 && rv.Type().Elem() == byteType {
			f.tag('b')
			f.number(rv.Len())
			return f.Args.Add(value)
		}
		f.tag('A')
		return f.list(rv)
	}
	f.tag('?')
	return f.Args.Add(value)
}

// place captures what only keeps the place of a value; it reports false for what does not.
func (f *Fingerprint) place(value any) bool {
	if f.options.Place == nil {
		return false
	}
	arg, ok := f.options.Place(value)
	if ok {
		f.tag('?')
		f.Open = append(f.Open, Opening{len(f.Args.Bytes), arg})
	}
	return ok
}

func (f *Fingerprint) list(rv reflect.Value) bool {
	f.number(rv.Len())
	for i := range rv.Len() {
		if !f.value(rv.Index(i).Interface()) {
			return false
		}
	}
	return true
}

var byteType = reflect.TypeFor[byte]()
