package feeds

import (
	"context"
	"fmt"
	"strconv"

	"github.com/gorm-preload/preload/internal/strict"
)

// databaseName asks the database what it is called.
func (f *Feeds) databaseName(ctx context.Context) (name string, err error) {
	query := ""
	switch f.dialect {
	case "postgres":
		query = "SELECT current_database()"
	case "mysql":
		query = "SELECT coalesce(database(), '')"
	default:
		return "", nil // a file has many names
	}
	err = f.ask(ctx, query, nil, &name)
	return name, err
}

// ask asks the database for one value.
func (f *Feeds) ask(ctx context.Context, query string, args []any, into any) error {
	row, err := f.Log().Row(ctx, query, args...)
	if err != nil {
		return err
	}
	return row.Scan(into)
}

// Arbiter tells which transactions are over.
type Arbiter struct{ *Feeds }

// Arbiter returns the arbiter of the database; nil where it cannot tell. From then on transactions
// are announced with the names that the arbiter takes.
func (f *Feeds) Arbiter() strict.Database {
	if f.dialect != "postgres" {
		return nil
	}
	f.named.Store(true)
	return Arbiter{f}
}

// Over reports whether a transaction has ended, and every statement that begins from now on sees
// what it did.
func (a Arbiter) Over(ctx context.Context, tx string) (over bool, err error) {
	if _, err = strconv.ParseUint(tx, 10, 64); err == nil {
		err = a.ask(ctx, "SELECT pg_visible_in_snapshot($1::text::xid8, pg_current_snapshot())", []any{tx}, &over)
	}
	if err != nil {
		err = fmt.Errorf("preload: asking whether a transaction is over: %w", err)
	}
	return over, err
}

// Mark returns what names the transactions that are open now and have written: a number that is
// greater than all of theirs, which it takes one of its own for. That of a snapshot would not do:
// transactions are open beyond the last that has ended.
func (a Arbiter) Mark(ctx context.Context) (mark string, err error) {
	err = a.ask(ctx, "SELECT pg_current_xact_id()::text", nil, &mark)
	if err != nil {
		err = fmt.Errorf("preload: asking which transactions are open: %w", err)
	}
	return mark, err
}

// Passed reports whether all transactions are over that a mark names.
func (a Arbiter) Passed(ctx context.Context, mark string) (passed bool, err error) {
	if _, err = strconv.ParseUint(mark, 10, 64); err == nil {
		err = a.ask(ctx, "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= $1::text::xid8", []any{mark}, &passed)
	}
	if err != nil {
		err = fmt.Errorf("preload: asking whether transactions are over: %w", err)
	}
	return passed, err
}

var _ strict.Database = Arbiter{}
