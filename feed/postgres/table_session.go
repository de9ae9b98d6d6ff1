package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/jackc/pgx/v5"
)

// tableSession is one connection with the server, on which one goroutine reads the change table.
//
// Each look has a snapshot of its own, and takes what is visible in it that was not visible in the
// one before. That is what the transactions changed that were committed in between, each once, in
// whatever order they wrote and however long they were open. It is visible already, so that it is
// over when it is taken in: a query that does not see it began before the look did, and its answer
// is not kept.
//
// Where something does not fit (the tables are others, rows may be missing) all is forgotten, as
// of a new snapshot (begin). So it is with each new connection: what is known is known of one
// start of the server, and of one way to it.
type tableSession struct {
	*TableFeed
	conn    *pgx.Conn
	role    string
	backend int32 // by which a pooler is found out

	last    tableState // what was read last
	watched map[uint32]watched
	refused map[string]string // tables whose triggers could not be made, and why
	locked  []untried         // tables whose triggers could not be made for now
	blocked map[uint32]block  // tables whose changes are not told

	// before is a transaction; ones of before it may have changes that are not in the table. Nothing
	// is served until they are over. 0 if there are none.
	before  uint64
	emptied time.Time // when the table was last to be emptied
	cleaned time.Time // when it was last to be cleaned
	past    []moment  // the snapshots of the last seconds, the oldest first
	served  bool      // it may be read once the session has ended

	known   atomic.Pointer[view] // the last snapshot of which all is taken in
	wake    chan struct{}        // rouses the worker
	mu      sync.Mutex           // a leaf
	waiting []chan view          // who wants a look that begins from now on
	over    chan struct{}        // closed when the session has ended
}

// tableState is what a look reads beside the changes.
type tableState struct {
	view
	missed      int64
	gone, going view
	shape       string
}

// moment is a snapshot, and when it was taken or later.
type moment struct {
	view
	at time.Time
}

func newTableSession(f *TableFeed, conn *pgx.Conn) *tableSession {
	return &tableSession{TableFeed: f, conn: conn, refused: map[string]string{}, blocked: map[uint32]block{}, wake: make(chan struct{}, 1), over: make(chan struct{})}
}

// close ends the session: nothing is served from then on.
func (s *tableSession) close() {
	s.session.CompareAndSwap(s, nil)
	close(s.over)
	s.m.Stop()
	s.m.Reset("the connection with the server was lost")
	for _, b := range s.blocked {
		b.end(preload.EndVisible)
	}
	hangUp(s.conn.PgConn())
}

// follow takes in what is changed until the connection is lost, or the context is done.
func (s *tableSession) follow(ctx context.Context) error {
	if err := s.begin(ctx, true); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case <-s.wake:
		}
		s.mu.Lock()
		waiting := s.waiting
		s.waiting = nil
		s.mu.Unlock()
		asked := time.Now()
		within, cancel := context.WithTimeout(ctx, patience)
		err := s.look(within, asked)
		if err == nil {
			for _, w := range waiting {
				w <- *s.known.Load()
			}
			err = s.clean(within, asked)
		}
		if err == nil {
			err = s.unlocked(within, asked) // of which the next look tells
		}
		cancel()
		if err != nil {
			return err
		}
		timer.Reset(max(0, time.Until(asked.Add(s.bound/4))))
	}
}

// now returns the snapshot of a look that began after now was called, once all is taken in.
func (s *tableSession) now(ctx context.Context) (view, error) {
	w := make(chan view, 1)
	s.mu.Lock()
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	select {
	case v := <-w:
		return v, nil
	case <-s.over:
		return view{}, errNotConnected
	case <-ctx.Done():
		return view{}, ctx.Err()
	}
}

// stateColumns are those of a state. What is missed is read after the snapshot was taken, and so
// is not less than the snapshot's transactions have counted. The sum is that of the tables, of the
// triggers, and of the change table, which TRUNCATE makes another one.
const stateColumns = `pg_current_snapshot()::text, pg_backend_pid(), (SELECT coalesce(pg_sequence_last_value('@.missed'::regclass), 0)), h.gone::text, h.going::text,
	(SELECT coalesce(sum(hashtextextended(what, 0)), 0)::text FROM (` + shape + `
	UNION ALL SELECT concat_ws('/', 'g', oid, tgrelid, xmin) FROM pg_trigger WHERE tgfoid = '@.change'::regproc
	UNION ALL SELECT concat_ws('/', 'f', oid, xmin) FROM pg_proc WHERE oid = '@.change'::regproc
	UNION ALL SELECT concat_ws('/', 't', oid, relfilenode) FROM pg_class WHERE oid = '@.changes'::regclass
	UNION ALL SELECT concat_ws('/', 'k', i.indexrelid, i.xmin) FROM pg_index i JOIN looked c ON c.oid = i.indrelid WHERE i.indisprimary
	UNION ALL SELECT concat_ws('/', 's', srrelid, srsubid) FROM pg_subscription_rel) AS everything)`

const stateQuery = `SELECT ` + stateColumns + ` FROM @.horizon h`

// lookQuery reads a state, and the changes of what is visible by now of what an earlier snapshot
// does not show: transactions that were open in it ($1), and those from its end on ($2).
const lookQuery = `SELECT ` + stateColumns + `, c.* FROM @.horizon h LEFT JOIN (
	SELECT xid::text, relation, operation, old, new FROM @.changes WHERE xid = ANY($1::text::xid8[])
	UNION ALL SELECT xid::text, relation, operation, old, new FROM @.changes WHERE xid >= $2::text::xid8 LIMIT $3) c ON true`

// manyChanges is how many rows of the change table a look reads at most.
const manyChanges = 20_000

// errNoHorizon is how a session ends in which somebody has emptied, or dropped, what it reads.
var errNoHorizon = errors.New("postgres: the horizon of the change table is gone")

// scan reads a state, and more columns behind it.
func (s *tableSession) scan(row pgx.Row, more ...any) (now tableState, err error) {
	var seen, gone, going string
	var backend int32
	err = row.Scan(append([]any{&seen, &backend, &now.missed, &gone, &going, &now.shape}, more...)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return now, errNoHorizon
	}
	if err != nil {
		return now, fmt.Errorf("postgres: reading the change table: %w", err)
	}
	if backend != s.backend {
		return now, errors.New("postgres: the connection leads to another session of the server than before: want one without a pooler")
	}
	var wrong [3]error
	now.view, wrong[0] = parseView(seen)
	now.gone, wrong[1] = parseView(gone)
	now.going, wrong[2] = parseView(going)
	return now, errors.Join(wrong[:]...)
}

// look takes in what has become visible since the last one.
func (s *tableSession) look(ctx context.Context, asked time.Time) error {
	rows, err := s.conn.Query(ctx, s.text(lookQuery), s.last.opened(), strconv.FormatUint(s.last.end, 10), manyChanges+1)
	if err != nil {
		return fmt.Errorf("postgres: reading the change table: %w", err)
	}
	defer rows.Close()
	var now tableState
	var tx transaction
	var of string
	n := 0
	for ; rows.Next(); n++ {
		var xid, operation *string
		var relation *uint32
		var before, after []string
		if now, err = s.scan(rows, &xid, &relation, &operation, &before, &after); err != nil {
			return err
		}
		if n == 0 && !s.fits(now) || n == manyChanges {
			rows.Close()
			return s.begin(ctx, false)
		}
		if xid == nil {
			continue // nothing has changed
		}
		if of != *xid {
			s.take(tx)
			tx, of = transaction{}, *xid
		}
		s.statement(&tx, *relation, *operation, before, after)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("postgres: reading the change table: %w", err)
	}
	if n == 0 {
		return errNoHorizon
	}
	s.take(tx)
	s.reached(now, asked)
	return nil
}

// fits reports whether what a look reads is all that was changed since the last one.
func (s *tableSession) fits(now tableState) bool {
	return now.shape == s.last.shape && now.missed == s.last.missed && s.last.showsAllOf(now.going)
}

// reached notes that all is taken in that a snapshot shows.
func (s *tableSession) reached(now tableState, asked time.Time) {
	s.last = now
	if len(s.past) == 0 || asked.Sub(s.past[len(s.past)-1].at) >= s.bound/4 {
		s.past = append(s.past, moment{now.view, time.Now()})
	}
	s.known.Store(&now.view)
	if now.over < s.before {
		s.complain("nothing is served from memory until the transactions are over that may have written what is not in the change table", nil)
		return
	}
	s.before = 0
	s.m.Serve(asked, s.bound)
	s.served = true
}

// statement adds what a statement has changed.
func (s *tableSession) statement(tx *transaction, id uint32, operation string, before, after []string) {
	w, known := s.watched[id]
	switch {
	case !known || w.many:
		tx.whole(id, "") // it may be a part of any table
		return
	case w.inherits:
		tx.whole(id, w.table.name)
		for _, name := range w.loose {
			tx.whole(id, name)
		}
		return
	}
	deleted := func(row string) { tx.add(id, &w.relation, preload.RowDeleted, w.image(row), nil) }
	inserted := func(row string) { tx.add(id, &w.relation, preload.RowInserted, nil, w.image(row)) }
	switch {
	case operation == "INSERT" && after != nil:
		for _, row := range after {
			inserted(row)
		}
	case operation == "DELETE" && before != nil:
		for _, row := range before {
			deleted(row)
		}
	case operation == "UPDATE" && before != nil && len(before) == len(after):
		for i := range before {
			was, is := w.image(before[i]), w.image(after[i])
			if w.sameKey(was, is) {
				tx.add(id, &w.relation, preload.RowUpdated, was, is)
			} else {
				deleted(before[i])
				inserted(after[i])
			}
		}
	default:
		tx.whole(id, w.table.name)
	}
}

// sameKey reports whether two rows have the same primary key, so that they are one before and
// after an update: nothing says that the server lists both in one order.
func (w *watched) sameKey(was, is []any) bool {
	keyed := false
	for i, key := range w.key {
		if !key {
			continue
		}
		if keyed = true; was == nil || is == nil || was[i] == preload.RowUnknown || is[i] == preload.RowUnknown || fmt.Sprint(was[i]) != fmt.Sprint(is[i]) {
			return false
		}
	}
	return keyed
}

// image returns the values of a row; none if it is not understood.
func (w *watched) image(row string) []any {
	texts, ok := fields(row)
	if !ok || len(texts) != len(w.columns) {
		return nil
	}
	values := make([]any, len(texts))
	for i, text := range texts {
		values[i] = textValue(w.types[i], text)
	}
	return values
}

// take takes in what a transaction has changed, which is visible.
func (s *tableSession) take(tx transaction) {
	if len(tx.rows) == 0 {
		return
	}
	for i, id := range tx.of {
		if w := s.watched[id]; tx.rows[i].Table != "" && !w.inherits {
			tx.rows[i].Within = w.within
		}
	}
	s.m.Begin(s.m.Rows(tx.rows))(preload.EndVisible)
}

// begin forgets all, and goes on from a new snapshot.
func (s *tableSession) begin(ctx context.Context, first bool) error {
	if first {
		if err := s.prepared(ctx); err != nil {
			return err
		}
	}
	for made := false; ; made = true {
		asked := time.Now()
		now, watched, err := s.tables(ctx)
		if err != nil {
			return err
		}
		if !made && now.shape != s.last.shape {
			clear(s.refused) // the role may do what it could not
		}
		var missing []untried
		for _, w := range watched {
			name := w.quoted()
			if w.wanted && !w.told && s.refused[name] == "" && !slices.ContainsFunc(s.locked, func(u untried) bool { return u.name == name }) {
				missing = append(missing, untried{name: name})
			}
		}
		if len(missing) > 0 && !made {
			if err := s.watch(ctx, missing, standStill); err != nil {
				return err
			}
			continue
		}
		s.watched = watched
		s.know()
		if first && now.missed > 0 || !first && now.missed != s.last.missed {
			if err := s.overflowed(ctx); err != nil {
				return err
			}
		}
		if s.last.end > 0 {
			s.m.Reset("the tables are others than before, or changes of them are not known")
		}
		s.reached(now, asked)
		return nil
	}
}

// tables asks for the state and the tables, as of one snapshot.
func (s *tableSession) tables(ctx context.Context) (now tableState, all map[uint32]watched, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = pgx.BeginTxFunc(ctx, s.conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		if now, err = s.scan(tx.QueryRow(ctx, s.text(stateQuery))); err == nil {
			all, err = s.watchedOf(ctx, tx)
		}
		return err
	})
	return now, all, err
}

// know has tables not served whose changes are not told, and others served again.
func (s *tableSession) know() {
	var untold []string
	for oid, w := range s.watched {
		if w.told {
			continue
		}
		untold = append(untold, w.quoted())
		if before, is := s.blocked[oid]; !is || !before.same(w.table) {
			row := preload.RowChange{Table: w.table.name, Within: slices.Concat(w.within, w.loose), Kind: preload.RowsChanged}
			if w.many {
				row = preload.RowChange{}
			}
			s.blocked[oid] = block{w.table, s.m.Begin(s.m.Rows([]preload.RowChange{row}))}
			if is {
				before.end(preload.EndVisible)
			}
		}
	}
	for oid, b := range s.blocked {
		if w, there := s.watched[oid]; !there || w.told {
			b.end(preload.EndVisible)
			delete(s.blocked, oid)
		}
	}
	slices.Sort(untold)
	if say := fmt.Sprint(untold); len(untold) > 0 && say != s.said {
		s.said = say
		s.logger.Warn("preload: what is written to some tables is not told: they are not served from memory",
			"feed", "postgres", "schema", s.schema, "tables", untold[:min(len(untold), 20)], "refused", s.refused)
	}
}

func (w *watched) quoted() string { return pgx.Identifier{w.schema, w.table.name}.Sanitize() }

// standStill is how long writers wait, at most, for the feed to change a table that it has not tried
// before, and standAgain where it has. lateAgain is how long one is left alone that was locked.
const (
	standStill = 200 * time.Millisecond
	standAgain = 50 * time.Millisecond
	standEmpty = 10 * time.Millisecond // for the change table, which all write
	lateAgain  = 5 * time.Second
	latest     = 2 * time.Minute
)

// untried is a table whose triggers are still to be made.
type untried struct {
	name  string
	due   time.Time     // when it is tried again
	pause time.Duration // how long it was left alone before, 0 if it was not tried
}

// unlocked makes the triggers of tables that were locked, and are due.
func (s *tableSession) unlocked(ctx context.Context, now time.Time) error {
	var due, later []untried
	for _, u := range s.locked {
		if u.due.After(now) {
			later = append(later, u)
		} else {
			due = append(due, u)
		}
	}
	s.locked = later
	return s.watch(ctx, due, standAgain)
}

// watch makes the triggers of tables, up to one that a transaction has locked which stays open. That
// one is left alone for a while, which doubles, and what is behind it is for the next turn.
func (s *tableSession) watch(ctx context.Context, tables []untried, wait time.Duration) error {
	for i, u := range tables {
		err := s.locking(ctx, wait, "SELECT pg_advisory_xact_lock("+lockOfMaking+"), "+s.text("@.watch('")+strings.ReplaceAll(u.name, "'", "''")+"')")
		switch codeOf(err) {
		case "":
			if err != nil {
				return fmt.Errorf("postgres: making triggers: %w", err)
			}
		case "55P03", "40P01":
			u.pause = min(max(lateAgain, 2*u.pause), latest)
			u.due = time.Now().Add(u.pause)
			s.locked = append(append(s.locked, tables[i+1:]...), u)
			return nil
		default:
			s.refused[u.name] = err.Error()
		}
	}
	return nil
}

// locking runs a statement that locks a table that is written.
func (s *tableSession) locking(ctx context.Context, wait time.Duration, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := s.conn.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d; SET LOCAL synchronous_commit = on; %s", wait.Milliseconds(), sql), pgx.QueryExecModeSimpleProtocol)
	return err
}

// textValue returns the value that a text of a type stands for, as value does.
func textValue(of uint32, text *string) any {
	if of == 0 {
		return preload.RowUnknown
	}
	return value(of, tupleOf(text))
}
