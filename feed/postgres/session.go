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
	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// session is one connection with the server. One goroutine reads its stream (listen), another one
// asks the server over the side connection (ask).
//
// The stream tells of a commit before it can be seen, and for as long before as the server waits
// for a synchronous standby. So what a transaction changes is blocked when it is told, and until a
// snapshot that is taken later shows the transaction. Freshness is asked for: where the log ends,
// and when; once the stream has come to that place, all is taken in that was committed before the
// question.
type session struct {
	*Feed
	side        *pgx.Conn // the asker's
	role        string
	adds        bool              // the publication is one that the feed adds tables to
	refused     map[string]string // tables that could not be added to it, and why
	replication *pgconn.PgConn
	stream      *pgconn.HijackedConn // nil before the stream has begun
	sending     sync.Mutex           // of stream
	relations   map[uint32]*relation // the listener's
	tx          transaction          // the listener's
	served      bool                 // it may be read once the session has ended

	before string // no transaction before this one is open any more, before anything is served; "" from then on
	shape  string // the sum of the tables; the asker's

	wake      chan struct{} // rouses the asker
	questions chan question // for the asker
	hurry     atomic.Bool   // somebody waits for the next goal
	over      chan struct{} // closed when the session has ended

	mu      sync.Mutex    // no lock of the feed's is taken under it
	at      pglogrepl.LSN // what the stream tells of what was committed before it is taken in
	sure    pglogrepl.LSN // so is what it does not tell: the last goal that was reached
	heard   time.Time     // when the stream was last heard of
	tables  map[uint32]table
	told    []told
	goals   []goal
	awaited []awaited
	blocked map[uint32]block // tables whose changes are not told
}

// told is what transactions changed that are told of, and that may not be visible yet.
type told struct {
	xids []uint32
	end  func(preload.End)
}

// block is a table that is not served, as it was when that began.
type block struct {
	table
	end func(preload.End)
}

// goal is where the log ended, and when that was asked.
type goal struct {
	lsn   pglogrepl.LSN
	asked time.Time
}

// awaited is somebody who waits for a place of the log.
type awaited struct {
	lsn  pglogrepl.LSN
	here chan struct{} // closed once all is taken in that was committed before
}

func newSession(f *Feed, side *pgx.Conn) *session {
	return &session{
		Feed: f, side: side, relations: map[uint32]*relation{}, refused: map[string]string{}, wake: make(chan struct{}, 1),
		questions: make(chan question), over: make(chan struct{}), heard: time.Now(), blocked: map[uint32]block{},
	}
}

// follow takes in what the stream tells until the session is lost, or the context is done.
func (s *session) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, s.terminate)
	defer stop()
	s.session.Store(s)
	lost := make(chan error, 2)
	run := func(do func(context.Context) error) {
		defer cancel()
		defer func() {
			if r := recover(); r != nil {
				lost <- fmt.Errorf("postgres: a panic: %v", r)
			}
		}()
		lost <- do(ctx)
	}
	var workers sync.WaitGroup
	workers.Go(func() { run(s.listen) })
	workers.Go(func() { run(s.ask) })
	workers.Wait()
	return <-lost
}

// terminate has the server end the stream.
func (s *session) terminate() {
	s.sending.Lock()
	defer s.sending.Unlock()
	_ = s.stream.Conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = s.stream.Conn.Write([]byte{'X', 0, 0, 0, 4})
}

// close ends the session: nothing is served from then on.
func (s *session) close() {
	s.session.CompareAndSwap(s, nil)
	close(s.over)
	s.m.Stop()
	if s.stream != nil {
		_ = s.stream.Conn.Close()
		s.m.Reset("the connection with the server was lost")
	}
	s.mu.Lock()
	for _, t := range s.told {
		// Nothing is kept before the next session serves, which waits until they are over.
		t.end(preload.EndVisible)
	}
	for _, b := range s.blocked {
		b.end(preload.EndVisible)
	}
	s.told, s.blocked = nil, nil
	s.mu.Unlock()
	hangUp(s.side.PgConn())
	if s.stream == nil && s.replication != nil {
		hangUp(s.replication)
	}
}

// hangUp closes a connection, and waits until it is.
func hangUp(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
	select {
	case <-conn.CleanupDone():
	case <-ctx.Done():
	}
}

// query asks the server for a row.
func (s *session) query(ctx context.Context, query string, into ...any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.side.QueryRow(ctx, query).Scan(into...)
}

// mark notes which transactions are open. A transaction may have been committed before the slot was
// made, so that the stream does not tell of it, and become visible later.
func (s *session) mark(ctx context.Context) error {
	if err := s.query(ctx, "SELECT pg_current_xact_id()::text", &s.before); err != nil {
		return fmt.Errorf("postgres: asking which transactions are open: %w", err)
	}
	return nil
}

// silence is how long a stream may say nothing before it is given up, and longWait how long the
// server is left alone, at most, with the question whether a transaction is visible.
const (
	silence      = 30 * time.Second
	shortestWait = 500 * time.Microsecond
	longestWait  = 100 * time.Millisecond
)

// ask asks the server what the stream cannot tell, until the context is done.
func (s *session) ask(ctx context.Context) error {
	wait := shortestWait
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next := time.Now(); ; {
		now := time.Now()
		if !now.Before(next) {
			next = now.Add(s.bound / 4)
			if err := s.probe(ctx, now); err != nil {
				return err
			}
		}
		left, settled, err := s.settle(ctx)
		if err != nil {
			return err
		}
		until := time.Until(next)
		if wait = min(2*wait, longestWait); settled {
			wait = shortestWait
		}
		if left {
			until = min(until, wait)
		}
		timer.Reset(max(0, until))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case q := <-s.questions:
			err = s.answer(ctx, q)
		case <-s.wake:
			wait = shortestWait
			if s.hurry.Swap(false) {
				next = time.Now()
			}
		}
		if err != nil {
			return err
		}
	}
}

func (s *session) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// settle ends what is visible by now. left says that some is not, settled that some was.
func (s *session) settle(ctx context.Context) (left, settled bool, err error) {
	s.mu.Lock()
	n := len(s.told)
	s.mu.Unlock()
	if n == 0 {
		return false, true, nil
	}
	var text string
	if err = s.query(ctx, "SELECT pg_current_snapshot()::text", &text); err != nil {
		return false, false, fmt.Errorf("postgres: asking what is visible: %w", err)
	}
	seen, err := parseSnapshot(text)
	if err != nil {
		return false, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n = len(s.told)
	s.told = slices.DeleteFunc(s.told, func(t told) bool {
		if slices.ContainsFunc(t.xids, func(xid uint32) bool { return !seen.shows(xid) }) {
			return false
		}
		t.end(preload.EndVisible)
		return true
	})
	return len(s.told) > 0, len(s.told) < n, nil
}

// snapshot says which transactions are visible, of those that are committed.
type snapshot struct {
	end  uint32 // all from here on are not
	open []uint32
}

// parseSnapshot reads a pg_snapshot: xmin:xmax:xid,xid. The stream tells of transactions by the
// lower half of their numbers.
func parseSnapshot(text string) (s snapshot, err error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return s, fmt.Errorf("postgres: the snapshot %q is not understood", text)
	}
	number := func(text string) uint32 {
		n, wrong := strconv.ParseUint(text, 10, 64)
		err = errors.Join(err, wrong)
		return uint32(n)
	}
	s.end = number(parts[1])
	if parts[2] != "" {
		for _, xid := range strings.Split(parts[2], ",") {
			s.open = append(s.open, number(xid))
		}
	}
	return s, err
}

// shows reports whether a transaction is visible that is told to be committed. It is less than half
// of all numbers away.
func (s snapshot) shows(xid uint32) bool {
	return int32(xid-s.end) < 0 && !slices.Contains(s.open, xid)
}

// manyGoals bounds the goals to which a stream has not come yet.
const manyGoals = 8

// probe asks where the log ends, and whether the tables are as they were.
func (s *session) probe(ctx context.Context, asked time.Time) error {
	if s.before != "" {
		var over bool
		err := s.query(ctx, "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= '"+s.before+"'::xid8", &over)
		if err != nil {
			return fmt.Errorf("postgres: asking whether transactions are over: %w", err)
		}
		if !over {
			s.complain("nothing is served from memory until the transactions are over that were writing when the feed connected", nil)
			return s.report(true)
		}
		s.before = ""
		asked = time.Now()
	}
	s.mu.Lock()
	goals, silent := len(s.goals), asked.Sub(s.heard)
	s.mu.Unlock()
	switch {
	case silent > max(silence, 4*s.bound):
		return fmt.Errorf("postgres: the stream has said nothing for %v", silent.Round(time.Second))
	case goals > 0:
		if err := s.nudge(ctx); err != nil {
			return err
		}
	}
	if goals >= manyGoals {
		return s.report(true)
	}
	var end, shape string
	if err := s.query(ctx, endQuery, &end); err != nil {
		return fmt.Errorf("postgres: asking where the log ends: %w", err)
	}
	if err := s.query(ctx, shapeQuery, &shape); err != nil {
		return fmt.Errorf("postgres: asking whether tables are as they were: %w", err)
	}
	lsn, err := pglogrepl.ParseLSN(end)
	if err != nil {
		return fmt.Errorf("postgres: the place %q in the log: %w", end, err)
	}
	if shape != s.shape {
		if err := s.look(ctx); err != nil {
			return err
		}
		s.shape = shape
	}
	s.mu.Lock()
	s.goals = append(s.goals, goal{lsn, asked})
	s.reach(s.at)
	s.mu.Unlock()
	return s.report(true)
}

// nudge has the server write its log out to the end: of what is not, the stream tells nothing. What
// was committed is written out sooner or later; what an open transaction wrote need not be.
func (s *session) nudge(ctx context.Context) error {
	var lsn string
	err := s.query(ctx, "SELECT pg_logical_emit_message(true, 'preload', '')::text", &lsn)
	if err != nil {
		return fmt.Errorf("postgres: having the log written out: %w", err)
	}
	return nil
}

// look takes in which tables there are, and how they look. All is forgotten, and what is told and
// not visible yet is of everything: it was read by what was known of tables before.
func (s *session) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tables, err := tablesOf(ctx, s.side, s.publication)
	if err != nil {
		return err
	}
	untold, err := s.know(tables)
	if err != nil || len(untold) == 0 {
		return err
	}
	if s.adds {
		missing, err := s.missing(ctx)
		if err != nil {
			return err
		}
		for _, name := range missing {
			if _, refused := s.refused[name]; !refused {
				return errAgain // which adds it
			}
		}
	}
	if fmt.Sprint(untold) != s.said {
		s.said = fmt.Sprint(untold)
		s.logger.Warn("preload: what is written to some tables is not told: they are not served from memory",
			"feed", "postgres", "publication", s.publication, "tables", untold[:min(len(untold), 20)], "refused", s.refused)
	}
	return nil
}

// know takes in tables, and returns the names of those whose changes are not told.
func (s *session) know(tables map[uint32]table) (untold []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, before := s.tables == nil, s.tables
	s.tables = tables
	if !first {
		everything := told{end: s.m.Begin(nil)}
		for _, t := range s.told {
			everything.xids = append(everything.xids, t.xids...)
		}
		s.told = append(s.told, everything)
	}
	for oid, t := range tables {
		if t.told {
			if !first && !before[oid].told {
				// What was written before that, and is committed after it, is not told.
				return nil, errAgain
			}
			continue
		}
		untold = append(untold, t.name)
		if before, is := s.blocked[oid]; !is || !before.same(t) {
			row := preload.RowChange{Table: t.name, Within: slices.Concat(t.within, t.loose), Kind: preload.RowsChanged}
			if t.many {
				row = preload.RowChange{}
			}
			s.blocked[oid] = block{t, s.m.Begin(s.m.Rows([]preload.RowChange{row}))}
			if is {
				before.end(preload.EndVisible)
			}
		}
	}
	for oid, b := range s.blocked {
		if _, there := tables[oid]; !there {
			b.end(preload.EndVisible)
			delete(s.blocked, oid)
		}
	}
	slices.Sort(untold)
	return untold, nil
}

// reach notes that all is taken in that was committed before a place of the log. It is locked.
func (s *session) reach(lsn pglogrepl.LSN) {
	s.at = max(s.at, lsn)
	before := s.sure
	for len(s.goals) > 0 && s.goals[0].lsn <= s.at {
		s.m.Serve(s.goals[0].asked, s.bound)
		s.served, s.sure = true, s.goals[0].lsn
		s.goals = s.goals[1:]
	}
	if s.sure == before {
		return
	}
	s.awaited = slices.DeleteFunc(s.awaited, func(a awaited) bool {
		if a.lsn > s.sure {
			return false
		}
		close(a.here)
		return true
	})
}

// end asks where the log ends.
func (s *session) end(ctx context.Context) (pglogrepl.LSN, error) {
	q := question{make(chan pglogrepl.LSN, 1), make(chan error, 1)}
	select {
	case s.questions <- q:
	case <-s.over:
		return 0, errNotConnected
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	select {
	case lsn := <-q.lsn:
		return lsn, nil
	case err := <-q.err:
		return 0, err
	case <-s.over:
		return 0, errNotConnected
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// question is that for the end of the log.
type question struct {
	lsn chan pglogrepl.LSN
	err chan error
}

// answer answers a question. An error is that of the session, too.
func (s *session) answer(ctx context.Context, q question) error {
	var text string
	err := s.query(ctx, endQuery, &text)
	var lsn pglogrepl.LSN
	if err == nil {
		lsn, err = pglogrepl.ParseLSN(text)
	}
	if err != nil {
		q.err <- err
		return err
	}
	q.lsn <- lsn
	return nil
}

// soon is how long somebody waits for the stream before the server is asked again, and nudged.
const soon = 5 * time.Millisecond

// await waits until all is taken in that was committed before a place of the log.
func (s *session) await(ctx context.Context, lsn pglogrepl.LSN) error {
	a := awaited{lsn, make(chan struct{})}
	s.mu.Lock()
	here := s.sure >= lsn
	if !here {
		s.awaited = append(s.awaited, a)
	}
	s.mu.Unlock()
	if here {
		return nil
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.awaited = slices.DeleteFunc(s.awaited, func(other awaited) bool { return other == a })
	}()
	ticker := time.NewTicker(soon)
	defer ticker.Stop()
	for {
		s.hurry.Store(true)
		s.rouse()
		select {
		case <-a.here:
			return nil
		case <-s.over:
			return errNotConnected
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
