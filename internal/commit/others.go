package commit

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/strict"
	"gorm.io/gorm"
)

// others are the other processes, which are told of what is written here.
type others interface {
	// Tell says that a write is about to become visible; what it returns is called once, after it
	// has. tx is what the database calls its transaction, "" where that is not known. An error says
	// that the write should not become visible; then there is nothing to be called. Where the
	// context ends, its error may be that.
	Tell(ctx context.Context, w footprint.Write, tx string) (finish func(strict.End), err error)
	// Named reports whether they ask the database for transactions by name.
	Named() bool
}

// tell tells others of a write. The returned function ends that, with how long its tables are held
// out here.
func (l *Log) tell(ctx context.Context, w footprint.Write, tx string) (end func(Hold), err error) {
	var finish func(strict.End)
	if l.Others != nil && !l.closed.Load() {
		failopen.Guard(l.Report, "telling other processes of a write", func() { finish, err = l.Others.Tell(ctx, w, tx) })
	}
	if finish == nil {
		return func(Hold) {}, err
	}
	return func(hold Hold) {
		// What is over without having become visible is not told apart: it costs others no more
		// than a query of what was invalidated there anyway.
		end := strict.EndVisible
		if hold.For > 0 {
			end = strict.EndUnknown
		}
		failopen.Guard(l.Report, "telling other processes of the end of a write", func() { finish(end) })
	}, nil
}

// goesOn notes that a write could not be told to others, and becomes visible nevertheless: it is
// too late to refuse it.
func (l *Log) goesOn(err error) {
	if err != nil {
		l.Report(slog.LevelError, "preload: other processes could not be told of a write outside a transaction, which was not kept back: "+
			"they may serve what was there before it", "", "err", failopen.TellError(err))
	}
}

// nameOf returns what the database calls the transaction on a connection, "" where that is not
// asked for, or not known.
func (l *Log) nameOf(conn gorm.ConnPool) (name string) {
	if l.Others == nil || l.dialect != "postgres" || !l.Others.Named() {
		return ""
	}
	if tx, ok := conn.(interface {
		QueryRowContext(context.Context, string, ...any) *sql.Row
	}); ok {
		_ = tx.QueryRowContext(context.Background(), "SELECT coalesce(pg_current_xact_id_if_assigned()::text, '')").Scan(&name)
	}
	return name
}

// InvalidateEverywhere kills what depends on the changes, in other processes, too.
func (l *Log) InvalidateEverywhere(changes []coherence.Change) {
	announced, told, _ := l.announced([]footprint.Write{{Changes: changes}}, false)
	end, err := l.tell(context.Background(), told, "")
	l.goesOn(err)
	end(Hold{})
	l.Index.Finish(announced, 0)
}

// Elsewhere takes in that another process is about to make a write visible. The returned function
// is called once, with what became of it.
func (l *Log) Elsewhere(w footprint.Write) (finish func(strict.End)) {
	writes := []footprint.Write{w}
	altered := l.altered(writes)
	announced, all, dead := l.announced(writes, false)
	l.wrote(all, true)
	return func(end strict.End) {
		if altered {
			l.altered(writes)
		}
		var hold Hold
		if end == strict.EndUnknown {
			hold = Hold{l.longHold(), OtherProcess}
		}
		l.wrote(all, true)
		l.Index.Finish(announced, hold.For)
		l.keepOut(all, hold)
		l.Killed(dead)
	}
}

// longHold is how long the tables of a write stay out of the cache whose outcome is not known.
func (l *Log) longHold() time.Duration {
	if l.inCall() {
		return l.HoldOut
	}
	return times(l.HoldOut, lingers)
}

// Row asks the database for a row, which no statement of the application's does.
func (l *Log) Row(ctx context.Context, query string, args ...any) (*sql.Row, error) {
	conn, err := l.db.DB()
	if err != nil {
		return nil, err
	}
	return l.RowOn(ctx, conn, query, args...), nil
}

// RowOn does what Row does, on a connection.
func (l *Log) RowOn(ctx context.Context, conn interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, query string, args ...any) *sql.Row {
	tok := &Token{log: l, query: query, reading: true}
	return conn.QueryRowContext(tok.in(ctx), query, args...)
}
