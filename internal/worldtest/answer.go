package worldtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"

	"gorm.io/gorm"
)

// Query runs a query on a handle into a destination of its own, and returns the destination.
type Query func(db *gorm.DB) (dest any, tx *gorm.DB)

// Named is a query with a name for messages.
type Named struct {
	Name string
	Query
}

// Answer is all that a caller sees of a query. Only Try sets Panic and Hooks.
type Answer struct {
	Dest  any
	Rows  int64
	Err   error
	Panic any   // with which the query ended
	Hooks int64 // calls of AfterFind of ReadHooked
}

// Ask runs the query and returns what it gave. A panic of the query ends the test.
func (query Query) Ask(db *gorm.DB) (a Answer) {
	a.take(query(db))
	return a
}

func (a *Answer) take(dest any, tx *gorm.DB) {
	a.Dest = dest
	if tx != nil {
		a.Rows, a.Err = tx.RowsAffected, tx.Error
	}
}

// Try runs the query and returns what it gave, the panic with which it ended, and how often it
// called AfterFind of ReadHooked.
func (query Query) Try(db *gorm.DB) (a Answer) {
	var hooks atomic.Int64
	db = db.WithContext(context.WithValue(context.Background(), hookCounter{}, &hooks))
	defer func() {
		a.Hooks = hooks.Load()
		a.Panic = recover()
	}()
	a.take(query(db))
	return a
}

// String writes the answer as JSON where that is possible.
func (a Answer) String() string {
	text := ""
	if a.Err != nil {
		text = a.Err.Error()
	}
	j, err := json.Marshal(struct {
		Dest  any
		Rows  int64
		Error string
	}{a.Dest, a.Rows, text})
	if err != nil {
		return fmt.Sprintf("%+v, %d rows, error %q", a.Dest, a.Rows, text)
	}
	return string(j)
}

// Equal fails the test where an answer is not the one that plain GORM gives.
func Equal(t testing.TB, when, name string, got, want Answer) {
	t.Helper()
	if want.Differs(got) != "" {
		t.Errorf("%s: %q\n got %v\nwant %v", when, name, got, want)
	}
}

// Differs says in what two answers differ, "" if in nothing.
func (a Answer) Differs(b Answer) string {
	switch {
	case !reflect.DeepEqual(a.Dest, b.Dest):
		return fmt.Sprintf("Dest:\nplain  %s\nplugin %s", Show(a.Dest), Show(b.Dest))
	case a.Rows != b.Rows:
		return fmt.Sprintf("RowsAffected: plain %d, plugin %d", a.Rows, b.Rows)
	case fmt.Sprint(a.Err) != fmt.Sprint(b.Err), errors.Is(a.Err, gorm.ErrRecordNotFound) != errors.Is(b.Err, gorm.ErrRecordNotFound):
		return fmt.Sprintf("Error: plain %v, plugin %v", a.Err, b.Err)
	case fmt.Sprint(a.Panic) != fmt.Sprint(b.Panic):
		return fmt.Sprintf("panic: plain %v, plugin %v", a.Panic, b.Panic)
	case a.Hooks != b.Hooks:
		return fmt.Sprintf("AfterFind: plain %d calls, plugin %d", a.Hooks, b.Hooks)
	}
	return ""
}

// Show writes a value with its types, and what a pointer leads to in place of its address.
func Show(v any) string {
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer && !rv.IsNil() {
		return fmt.Sprintf("&%#v", rv.Elem().Interface())
	}
	return fmt.Sprintf("%#v", v)
}

// Alike asks a query three times of the handle with the plugin, and fails the test where an answer
// is not the one that plain GORM gives at the same time.
func Alike[T any](t testing.TB, db, plain *gorm.DB, what string, chain func(*gorm.DB) *gorm.DB) {
	t.Helper()
	for i := range 3 {
		var got, want T
		a, p := chain(db).Find(&got), chain(plain).Find(&want)
		if fmt.Sprint(a.Error) != fmt.Sprint(p.Error) || a.RowsAffected != p.RowsAffected || !reflect.DeepEqual(got, want) {
			t.Errorf("%s, read %d: got %+v (%v), want %+v (%v)", what, i+1, got, a.Error, want, p.Error)
		}
	}
}
