package preload

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/gorm-preload/preload/internal/binding"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/gormprivate"
	"github.com/gorm-preload/preload/internal/recognition"
	"github.com/gorm-preload/preload/internal/shortcut"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// Prepared is a query that was built once and is asked for many times. An answer that is in memory
// costs little more than its copy: GORM builds no statement for it. Make one with Prepare. It is
// safe for concurrent use.
type Prepared[T any] struct {
	plugin *Plugin
	query  *gorm.DB // what build made, with its Args
	args   int      // how many there are
	err    error    // what every call returns, if anything

	// How each finisher is answered from memory; nil in a transaction.
	first, find, count *shortcut.Finisher
}

// Arg stands in the function of Prepare where a value goes that each call gives: preload.Arg(0)
// where the first goes, preload.Arg(1) the second. It can be wherever GORM takes a bind value, as
// in tx.Where("id = ?", preload.Arg(0)) or tx.Where(map[string]any{"name": preload.Arg(1)}), in
// conditions of associations, joins and subqueries too. A place that takes something else (Limit,
// Offset, a column's name, Raw) cannot hold one.
type Arg int

// String returns the expression that makes the Arg.
func (a Arg) String() string { return fmt.Sprintf("preload.Arg(%d)", int(a)) }

// GormValue implements gorm.Valuer. It is asked only where no value took the place of the Arg,
// which is an error.
func (a Arg) GormValue(_ context.Context, db *gorm.DB) clause.Expr {
	_ = db.AddError(fmt.Errorf("preload: %v is where Prepare puts no value, or outside of Prepare", a))
	// GORM drops the errors of subqueries: this one the database tells.
	return clause.Expr{SQL: unbound + strconv.Itoa(int(a))}
}

// placeOfArg tells an Arg from a value.
func placeOfArg(value any) (int, bool) {
	a, ok := value.(Arg)
	return int(a), ok
}

// unbound begins the name of a column that there is not, in the place of an Arg that got no value.
const unbound = "preload_arg_without_value_"

// Prepare builds a query once: build puts conditions, order and associations on tx, a handle of db,
// with preload.Arg(0), preload.Arg(1) where the values go that each call gives. It runs no
// finisher: First, Find and Count do.
//
//	members, err := preload.Prepare[Member](db, func(tx *gorm.DB) *gorm.DB {
//		return tx.Where("team_id = ? AND state = ?", preload.Arg(0), preload.Arg(1)).Order("name")
//	})
//	...
//	active, err := members.Find(ctx, team, "active")
//
// The rows are read into T: the model or, with tx.Model, whatever GORM reads its rows into.
//
// It is the same query as the one that is written out: it has the same key, so that each is served
// what the other read, and the same hooks and errors. What only GORM can do it does each time:
// AfterFind hooks, associations, scopes, and the callbacks of others. Such a query costs what it
// costs written out.
//
// The error says what is wrong with the query, or that db has no plugin or is a transaction.
func Prepare[T any](db *gorm.DB, build func(tx *gorm.DB) *gorm.DB) (*Prepared[T], error) {
	plugin, ok := From(db)
	switch {
	case !ok:
		return nil, errors.New("preload: Prepare: the *gorm.DB has no plugin: call db.Use(preload.New()) first")
	case build == nil:
		return nil, errors.New("preload: Prepare: build is nil: want a function that puts conditions on its argument")
	case inTransaction(db):
		return nil, fmt.Errorf("preload: Prepare: %w, which ends: prepare the query outside, and ask it in here with WithTx", ErrInTransaction)
	}
	p := &Prepared[T]{
		plugin: plugin, query: build(db.Session(&gorm.Session{})),
		first: plugin.shortcuts.Finisher(), find: plugin.shortcuts.Finisher(), count: plugin.shortcuts.Finisher(),
	}
	if p.query == nil {
		return nil, errors.New("preload: Prepare: build returned nil: want its argument with conditions")
	}
	if p.query.Config == nil || p.query.Statement == nil {
		return nil, errors.New("preload: Prepare: build returned a *gorm.DB that gorm.Open did not make: want its argument with conditions")
	}
	if of, _ := From(p.query); of != plugin || inTransaction(p.query) {
		return nil, errors.New("preload: Prepare: build returned a handle of another database, or a transaction: want its argument with conditions")
	}
	p.query = p.query.Session(&gorm.Session{})
	met := map[int]bool{}
	tx := p.query.Session(&gorm.Session{DryRun: true, Logger: logger.Discard}).Set(observerSetting, plugin.newExplainer()).Scopes(func(tx *gorm.DB) *gorm.DB {
		(&binding.Binding{Place: placeOfArg, Met: met}).Statement(tx.Statement)
		(&binding.Binding{Place: placeOfArg, Values: make([]any, len(met))}).Statement(tx.Statement)
		return tx
	}).Find(new([]T))
	for n := range len(met) {
		if !met[n] {
			return nil, fmt.Errorf("preload: Prepare: the query holds %d different Args, but not %v: want them from 0 on without a gap", len(met), Arg(n))
		}
	}
	if tx.Error != nil {
		return nil, fmt.Errorf("preload: Prepare: %w", tx.Error)
	}
	if strings.Contains(tx.Statement.SQL.String(), unbound) {
		return nil, errors.New("preload: Prepare: an Arg is where no value can be put: in the scope, the raw SQL or the struct of a subquery, or in a list of lists")
	}
	p.args = len(met)
	return p, nil
}

func inTransaction(db *gorm.DB) bool {
	_, ok := db.Statement.ConnPool.(gorm.TxCommitter)
	return ok
}

// WithTx returns the query as part of a transaction: it is asked of the database on the connection
// of tx, and what it reads is not kept, unless WithTransactionReads says otherwise. A clause that
// tx has and the query has not, such as clause.Locking, holds for it; the query returns an error
// where tx has more than that.
func (p *Prepared[T]) WithTx(tx *gorm.DB) *Prepared[T] {
	if p == nil || p.query == nil {
		return p
	}
	in := &Prepared[T]{plugin: p.plugin, args: p.args, err: p.err}
	in.query = p.query.WithContext(p.query.Statement.Context) // a statement of its own
	switch {
	case tx == nil || tx.Config == nil || tx.Statement == nil:
		in.err = errors.New("preload: WithTx(nil): want the *gorm.DB of a transaction")
	case tx.Error != nil:
		in.err = tx.Error
	case !join(in.query.Statement, tx.Scopes().Statement): // the one that tx would begin
		in.err = errors.New("preload: WithTx: the *gorm.DB has conditions of its own: want the one of a transaction, with no more than clauses that the prepared query has not")
	}
	return in
}

// join makes a statement part of a transaction, with the clauses of a statement there, if that is
// all that this one has and both can be had.
func join(stmt, tx *gorm.Statement) bool {
	if len(tx.Selects) > 0 || len(tx.Omits) > 0 || len(tx.Joins) > 0 || len(tx.Preloads) > 0 || len(tx.ColumnMapping) > 0 ||
		tx.TableExpr != nil || tx.Unscoped || tx.Distinct || tx.DB.DryRun || gormprivate.HasScopes(tx) {
		return false
	}
	stmt.SkipHooks = stmt.SkipHooks || tx.SkipHooks
	for name, c := range tx.Clauses {
		if _, both := stmt.Clauses[name]; both {
			return false
		}
		stmt.Clauses[name] = c
	}
	stmt.ConnPool = tx.ConnPool
	return true
}

// First returns the first row in the order of the query, and then of the primary key. The error is
// gorm.ErrRecordNotFound if there is none.
func (p *Prepared[T]) First(ctx context.Context, args ...any) (row T, err error) {
	if p == nil {
		return row, errNotPrepared[T]()
	}
	if hit := p.first.Look(ctx, args); hit.Entry != nil && hit.Entry.Rows > 0 && take(p.plugin, p.first, ctx, &hit, &row) {
		return row, nil
	}
	return ask(p, p.first, ctx, args, func(tx *gorm.DB, row *T) *gorm.DB { return tx.First(row) })
}

// Find returns all rows.
func (p *Prepared[T]) Find(ctx context.Context, args ...any) (rows []T, err error) {
	if p == nil {
		return rows, errNotPrepared[T]()
	}
	if hit := p.find.Look(ctx, args); hit.Entry != nil && hit.Entry.Rows > 0 && take(p.plugin, p.find, ctx, &hit, &rows) {
		return rows, nil
	}
	return ask(p, p.find, ctx, args, func(tx *gorm.DB, rows *[]T) *gorm.DB { return tx.Find(rows) })
}

// Count returns how many rows there are.
func (p *Prepared[T]) Count(ctx context.Context, args ...any) (n int64, err error) {
	if p == nil {
		return n, errNotPrepared[T]()
	}
	if hit := p.count.Look(ctx, args); hit.Entry != nil && take(p.plugin, p.count, ctx, &hit, &n) {
		if hit.Entry.Rows != 1 {
			n = hit.Entry.Rows // as GORM counts
		}
		return n, nil
	}
	return ask(p, p.count, ctx, args, func(tx *gorm.DB, n *int64) *gorm.DB {
		if tx.Statement.Model == nil && (tx.Statement.Table == "" || reflect.TypeFor[T]().Kind() == reflect.Struct) {
			tx = tx.Model(new(T))
		}
		return tx.Count(n)
	})
}

// take gives a reader a copy of an answer; false if it cannot be copied.
func take[D any](p *Plugin, by *shortcut.Finisher, ctx context.Context, hit *shortcut.Hit, dest *D) bool {
	if !shortcut.Take(by, hit, dest) {
		return false
	}
	p.accesses.hit(ctx, hit.Entry, hit.Template.Tally, hit.Now)
	return true
}

func errNotPrepared[T any]() error {
	return fmt.Errorf("preload: a Prepared[%v] that Prepare did not make", reflect.TypeFor[T]())
}

// ask asks the query in the way in which it is written out, and makes a shortcut for the next time.
func ask[T, D any](p *Prepared[T], by *shortcut.Finisher, ctx context.Context, args []any, finish func(*gorm.DB, *D) *gorm.DB) (dest D, err error) {
	switch {
	case p.query == nil:
		return dest, errNotPrepared[T]()
	case p.err != nil:
		return dest, p.err
	case len(args) != p.args:
		return dest, fmt.Errorf("preload: the prepared query of %v takes %d args, not %d", reflect.TypeFor[T](), p.args, len(args))
	}
	b := binding.Binding{Place: placeOfArg, Values: slices.Clone(args)}
	err = finish(p.query.WithContext(ctx).Scopes(func(tx *gorm.DB) *gorm.DB {
		b.Statement(tx.Statement)
		return tx
	}), &dest).Error
	if by != nil && by.Due(p.query) {
		made := preparer{p.plugin.shortcuts.Preparation()}
		finish(p.query.Session(&gorm.Session{DryRun: true, Logger: logger.Discard}).Set(observerSetting, made), new(D))
		by.Prepared(p.query, made.Preparation, reflect.TypeFor[D]())
	}
	return dest, err
}

// preparer is the observer by which a shortcut is made.
type preparer struct{ *shortcut.Preparation }

// prepares implements observer.
func (pr preparer) prepares() *shortcut.Preparation { return pr.Preparation }

// query implements observer.
func (pr preparer) query(db *gorm.DB, q *recognition.Query, reason Reason, _ func(*gorm.DB)) {
	if reason == "" && q.Template != nil && !q.Refresh {
		pr.Query(db.Statement, q.Template)
	}
}

// Raw implements observer: nothing is known of such a query.
func (pr preparer) Raw(*gorm.Statement) {}

// Write implements observer.
func (pr preparer) Write(*gorm.Statement, footprint.Write) {}
