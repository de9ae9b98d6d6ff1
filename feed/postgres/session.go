package postgres

import (
	"context"
	"fmt"
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
	m           preload.Member // the plugin, or the leader that stands for it
	lead        *leader        // nil where this process reads for itself only
	side        *pgx.Conn      // the asker's
	role        string
	adds        bool              // the publication is one that the feed adds tables to
	refused     map[string]string // tables that could not be added to it, and why
	left        bool              // a table could not be taken out of it
	replication *pgconn.PgConn
	stream      *pgconn.HijackedConn // nil before the stream has begun
	sending     sync.Mutex           // of stream
	relations   map[uint32]*relation // the listener's
	tx          transaction          // the listener's
	served      bool                 // it may be read once the session has ended

	begun  time.Time
	before string    // no transaction before this one is open any more, before anything is served; "" from then on
	shape  string    // the sum of the tables; the asker's
	looked time.Time // when they were looked at last; the asker's

	wake      chan struct{} // rouses the asker
	questions chan question // for the asker
	hurry     atomic.Bool   // somebody waits for the next goal
	over      chan struct{} // closed when the session has ended

	mu      sync.Mutex    // no lock of the feed's is taken under it, but the leader's
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
		Feed: f, m: f.m, side: side, relations: map[uint32]*relation{}, refused: map[string]string{}, wake: make(chan struct{}, 1),
		questions: make(chan question), over: make(chan struct{}), begun: time.Now(), heard: time.Now(), blocked: map[uint32]block{},
	}
}

// follow takes in what the stream tells until the session is lost, or the context is done.
func (s *session) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, s.terminate)
	defer stop()
	s.session.Store(s)
	lost := make(chan error, 4) // one for each worker
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
	if s.lead != nil {
		workers.Go(func() { run(s.lead.send) })
		workers.Go(func() { run(s.lead.hear) })
	}
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
