package observed

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// plain is a connection with nothing but what every driver has.
type plain struct{ driver.Conn }

func (plain) Prepare(query string) (driver.Stmt, error) { return &prepared{query: query}, nil }
func (plain) Close() error                              { return nil }
func (plain) Begin() (driver.Tx, error)                 { return ender{}, nil }

type ender struct{}

func (ender) Commit() error   { return nil }
func (ender) Rollback() error { return nil }

type prepared struct{ query string }

func (*prepared) Close() error                                 { return nil }
func (*prepared) NumInput() int                                { return -1 }
func (p *prepared) Exec([]driver.Value) (driver.Result, error) { return nil, outcome(p.query) }
func (p *prepared) Query([]driver.Value) (driver.Rows, error)  { return nil, outcome(p.query) }

var errFails = errors.New("fails")

func outcome(query string) error {
	switch query {
	case "fails":
		return errFails
	case "panics":
		panic("the driver")
	}
	return nil
}

type executing struct{}

func (executing) ExecContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	if query == "skips" {
		return nil, driver.ErrSkip
	}
	return driver.ResultNoRows, outcome(query)
}

type querying struct{}

func (querying) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	return nil, outcome(query)
}

type resetting struct{}

func (resetting) ResetSession(context.Context) error { return nil }

type validating struct{}

func (validating) IsValid() bool { return true }

// A connection has those interfaces that the driver's has, and no other.
func TestAConnectionHasTheInterfacesOfTheDriver(t *testing.T) {
	t.Parallel()
	has := func(c driver.Conn) (all [4]bool) {
		_, all[0] = c.(driver.ExecerContext)
		_, all[1] = c.(driver.QueryerContext)
		_, all[2] = c.(driver.SessionResetter)
		_, all[3] = c.(driver.Validator)
		return all
	}
	type (
		E = driver.ExecerContext
		Q = driver.QueryerContext
		R = driver.SessionResetter
		V = driver.Validator
	)
	e, q, r, v := executing{}, querying{}, resetting{}, validating{}
	p := plain{}
	for _, inner := range []driver.Conn{
		p,
		struct {
			plain
			E
		}{p, e},
		struct {
			plain
			Q
		}{p, q},
		struct {
			plain
			E
			Q
		}{p, e, q},
		struct {
			plain
			R
		}{p, r},
		struct {
			plain
			E
			R
		}{p, e, r},
		struct {
			plain
			Q
			R
		}{p, q, r},
		struct {
			plain
			E
			Q
			R
		}{p, e, q, r},
		struct {
			plain
			V
		}{p, v},
		struct {
			plain
			E
			V
		}{p, e, v},
		struct {
			plain
			Q
			V
		}{p, q, v},
		struct {
			plain
			E
			Q
			V
		}{p, e, q, v},
		struct {
			plain
			R
			V
		}{p, r, v},
		struct {
			plain
			E
			R
			V
		}{p, e, r, v},
		struct {
			plain
			Q
			R
			V
		}{p, q, r, v},
		struct {
			plain
			E
			Q
			R
			V
		}{p, e, q, r, v},
	} {
		outer := newConn(inner, &Hub{})
		if got, want := has(outer), has(inner); got != want {
			t.Errorf("%T: has %v, want %v", inner, got, want)
		}
		if Unwrap(outer) != any(inner) {
			t.Errorf("%T: Unwrap gives %T", inner, Unwrap(outer))
		}
	}
}

// full is a connection with everything.
type full struct {
	plain
	executing
	querying
	resetting
	validating
}

type opener struct{}

func (opener) Connect(context.Context) (driver.Conn, error) { return full{}, nil }
func (opener) Driver() driver.Driver                        { return nil }

// diary notes what it is told.
type diary struct{ lines []string }

func (d *diary) Watch(underway bool) Watch {
	d.note("watch %v", underway)
	return &page{d}
}

func (d *diary) note(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

type page struct{ *diary }

func (p *page) Statement(_ context.Context, query string, queried bool) func(error) {
	p.note("statement %s %v", query, queried)
	return func(err error) { p.note("after %s: %v", query, err) }
}
func (p *page) Failed()                                 { p.note("failed") }
func (*page) Open() bool                                { return false }
func (p *page) Begun(context.Context, driver.TxOptions) { p.note("begun") }
func (p *page) Closed()                                 { p.note("closed") }
func (p *page) Commit() func(error) {
	p.note("commit")
	return func(err error) { p.note("committed: %v", err) }
}
func (p *page) Rollback() func(error) { p.note("rollback"); return nil }

// A watch is told of everything in order: also of what is sent in two steps, what fails and what
// panics.
func TestAWatchIsToldOfEverything(t *testing.T) {
	t.Parallel()
	connector := NewConnector(opener{})
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	d := &diary{}
	hub := HubOf(db.Driver())
	hub.Attach(d)
	hub.Attach(d)
	exec := func(query string) {
		defer func() { _ = recover() }()
		_, _ = db.Exec(query)
	}
	exec("works")
	exec("skips")
	exec("fails")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if tx, err = db.Begin(); err != nil {
		t.Fatal(err)
	}
	second := &diary{}
	hub.Attach(second)
	_, _ = tx.Exec("in between")
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	exec("panics")
	hub.Detach(d)
	exec("unheard")
	_ = db.Close()
	want := []string{
		"watch false",
		"statement works false", "after works: <nil>",
		"statement skips false", "after skips: " + driver.ErrSkip.Error(), "statement skips false", "after skips: <nil>",
		"statement fails false", "after fails: fails", "failed",
		"begun", "commit", "committed: <nil>",
		"begun", "statement in between false", "after in between: <nil>", "rollback",
		"statement panics false", "after panics: " + ErrPanic.Error(), "failed",
	}
	if !slices.Equal(d.lines, want) {
		t.Errorf("was told\n%q, want\n%q", d.lines, want)
	}
	want = []string{
		"watch true", "statement in between false", "after in between: <nil>", "rollback",
		"statement panics false", "after panics: " + ErrPanic.Error(), "failed",
		"statement unheard false", "after unheard: <nil>", "closed",
	}
	if !slices.Equal(second.lines, want) {
		t.Errorf("the second was told\n%q, want\n%q", second.lines, want)
	}
}

// A statement that nobody watches, and one of which a watch wants to know nothing more, costs no
// memory.
func TestAStatementCostsNoMemory(t *testing.T) {
	c := newConn(full{}, &Hub{}).(driver.ExecerContext)
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() { _, _ = c.ExecContext(ctx, "works", nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
