package commit

import (
	"context"
	"database/sql"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/footprint"
	"gorm.io/gorm"
)

// View is a transaction as it is when one read in it begins, which memory may answer.
type View struct {
	// Keeps says that what the database answers may be kept: the transaction has written nothing.
	// What it wrote may show where nobody knows, as by a trigger, and might be rolled back.
	Keeps bool
	tx    *transaction
}

// View returns the transaction that a connection of a pool is, for a read; nil where the database
// has to answer that. word says that the application takes each answer for one of its own moment;
// partitioned that keys tell who asks, so that settings of the transaction do not matter.
func (l *Log) View(conn gorm.ConnPool, pool *Pool, word, partitioned bool) *View {
	if !l.Reads {
		return nil
	}
	at, wrapper := Reach(conn)
	t := l.transactionOf(at)
	if t == nil || wrapper != "" || t.ctx == nil || t.ctx.Err() != nil {
		return nil
	}
	if tx, direct := at.(*sql.Tx); direct && gorm.ConnPool(poolOf(tx)) != pool.ConnPool || !direct && t.pool != pool {
		return nil
	}
	sees, ok := t.stands(partitioned)
	if !ok || t.held.lost() {
		return nil
	}
	commits := sees == seesCommits || sees == byDefault && l.isolation.commits()
	if !commits && !word {
		return nil
	}
	return &View{Keeps: commits && t.held.serialNow() == 0, tx: t}
}

// Shows reports whether something that the transaction wrote could show in the answer of a guard.
func (v *View) Shows(guard *coherence.Guard) bool {
	own := v.tx.held.own()
	return len(own) > 0 && v.tx.held.log.Index.Touches(guard, own)
}

// Ask runs a query that GORM builds, and reports whether its answer is one that anybody may have.
func (v *View) Ask(db *gorm.DB, next func(*gorm.DB)) (general bool) {
	l := v.tx.held.log
	w := Attend(db.Statement)
	defer w.Leave()
	tok := &Token{log: l, reading: true}
	w.Before = func() *Token {
		tok.query = db.Statement.SQL.String()
		return tok
	}
	next(db)
	return tok.ran.Load() && !tok.changed.Load() && tok.Within.Load() == v.tx && v.tx.held.serialNow() == 0
}

// Passed is called when a query that GORM built was answered by the database: it may have locked
// what it read.
func (l *Log) Passed(stmt *gorm.Statement) {
	if !l.Reads {
		return
	}
	at, _ := Reach(stmt.ConnPool)
	if t := l.transactionOf(at); t != nil {
		failopen.Guard(l.Report, "looking at a query of a transaction", func() {
			t.does(l.Footprints.Meaning(stmt.SQL.String()).Within)
		})
	}
}

// shown is all that is held, with all that the database changes on account of it.
type shown struct {
	serial  uint64
	version int64 // of the catalog
	changes []coherence.Change
}

// mostShown is up to how many changes a read compares one by one: of more, only the tables count.
const mostShown = 128

func (h *held) serialNow() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.serial
}

// own returns what the transaction has written so far, with all that the database changes on
// account of it.
func (h *held) own() []coherence.Change {
	h.mu.Lock()
	now, serial := h.shown, h.serial
	var writes []footprint.Write
	for _, s := range h.segments {
		writes = append(writes, s.writes...)
	}
	h.mu.Unlock()
	if len(writes) == 0 {
		return nil
	}
	for {
		version := h.log.Catalog.Version()
		if now.serial == serial && now.version == version {
			break
		}
		var changes []coherence.Change
		for _, w := range writes {
			if w.Version != version {
				w.Changes = footprint.Loosen(w.Changes)
			}
			changes = append(changes, w.Changes...)
		}
		if len(changes) > mostShown {
			changes = footprint.Loosen(changes)
		}
		now = shown{serial, version, slices.Clone(h.log.Catalog.Expand(changes))}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.serial == serial {
		h.shown = now
	}
	return now.changes
}

// isolation is what transactions see of others that are begun without saying what they want to.
type isolation struct {
	asked atomic.Bool // the server said that each statement sees what is committed by then
	moved atomic.Bool // a statement may have changed that
}

func (i *isolation) commits() bool { return i.asked.Load() && !i.moved.Load() }

// isolationOf returns what a transaction sees of others that is begun with these options.
func (l *Log) isolationOf(opts *sql.TxOptions) level {
	if l.dialect != "postgres" && l.dialect != "mysql" {
		return seesOther
	}
	if opts == nil {
		return byDefault
	}
	switch opts.Isolation {
	case sql.LevelDefault:
		return byDefault
	case sql.LevelReadCommitted:
		return seesCommits
	case sql.LevelReadUncommitted:
		if l.dialect == "postgres" {
			return seesCommits // as which it takes it
		}
	}
	return seesOther
}

// askTime is how long the server may take to say what transactions see of others.
const askTime = 2 * time.Second

// AskIsolation asks the server what transactions see of others that are begun without saying what
// they want to.
func (l *Log) AskIsolation(pool *Pool) {
	query := map[string]string{
		"postgres": "SELECT 'default', current_setting('default_transaction_isolation')",
		"mysql":    "SHOW VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation')",
	}[l.dialect]
	if query == "" || pool.ConnPool == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	var name, said string
	row := pool.QueryRowContext(ctx, query)
	if err := row.Scan(&name, &said); err != nil {
		l.Report(slog.LevelWarn, "preload: the server did not say what its isolation is: reads in transactions that do not say it themselves go to the database", "", "err", failopen.TellError(err))
		return
	}
	said = strings.ToLower(strings.ReplaceAll(said, "-", " "))
	l.isolation.asked.Store(said == "read committed" || said == "read uncommitted" && l.dialect == "postgres")
}
