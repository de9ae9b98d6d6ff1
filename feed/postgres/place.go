package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// place is where the processes that read one server tell and ask: streams of the relay that are
// named after that server. So nobody hears what is told of another server that has a database of
// the same name, be it a copy, a standby that was promoted, or a primary that does not know of that
// yet.
type place struct {
	server          string
	telling, asking string // streams
}

// serverQuery names a server while it runs. Any role may call these functions. The identifier alone
// is the same for a primary, its standbys and their copies, and the timeline for a copy that was
// made of the files; but no two servers that run were started at the same microsecond. So a server
// that was started anew is another one, too: what was told of it before counts for nothing then
// anyway.
const serverQuery = `SELECT pg_is_in_recovery(), current_database(), (SELECT system_identifier::text FROM pg_control_system())
|| '-' || (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text`

// noServer is the name of one of which no process is told.
const noServer = "none"

// errMoved is how a session ends of another server than the one that is followed.
var errMoved = errors.New("postgres: the data source name leads to another server now")

// whichServer asks over a connection which server it is of.
func (f *Feed) whichServer(ctx context.Context, conn *pgx.Conn) (server string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var standby bool
	var database string
	if err = conn.QueryRow(ctx, serverQuery).Scan(&standby, &database, &server); err != nil {
		return "", fmt.Errorf("postgres: asking which server it is: %w", err)
	}
	switch {
	case standby:
		return noServer, errors.New("postgres: " + wrongStandby)
	case database != f.database:
		return noServer, fmt.Errorf("postgres: "+wrongDatabase, database, f.database)
	}
	return server, nil
}

// server asks which server the data source name leads to.
func (f *Feed) server(ctx context.Context) (string, error) {
	conn, err := f.connect(ctx, nil)
	if err != nil {
		return "", fmt.Errorf("postgres: connecting with the server: %w", err)
	}
	defer hangUp(conn.PgConn())
	return f.whichServer(ctx, conn)
}

// keepUp asks which server this process reads, and follows what is told of it, until the context is
// done. Nothing is served before it is known.
func (f *follower) keepUp(ctx context.Context) {
	for pause := shortestPause; ctx.Err() == nil; pause = min(2*pause, longestPause) {
		server, err := f.server(ctx)
		switch {
		case err == nil:
			f.attend(ctx, server)
			pause = shortestPause
		case ctx.Err() == nil:
			f.complain("nothing is served from memory: the changes of the database are not told", err)
			sleep(ctx, pause)
		}
	}
}

// attend follows what is told of a server, until this process reads another one or the context is
// done. That is asked again now and then, as the server that tells may go on where this process was
// led elsewhere; and where a session finds it so. A server that does not answer is no other one.
func (f *follower) attend(ctx context.Context, server string) {
	ctx, cancel := context.WithCancel(ctx)
	name := f.m.Namespace() + "/" + f.publication + "/" + server
	at := &place{server, name + "/told", name + "/asked"}
	f.place.Store(at)
	defer f.place.Store(nil)
	var workers sync.WaitGroup
	defer func() { cancel(); workers.Wait() }()
	workers.Go(func() { f.follow(ctx, at) })
	workers.Go(func() { f.ask(ctx, at) })
	ticker := time.NewTicker(f.again)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-f.doubt:
		case <-ctx.Done():
			return
		}
		if now, err := f.server(ctx); now != "" && now != server {
			if err == nil {
				f.logger.Info("preload: the server is another one, or was started anew: all is forgotten", "feed", "postgres")
			}
			break
		}
	}
	cancel()
	workers.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reached, f.heard, f.quiet = false, time.Time{}, time.Now()
}
