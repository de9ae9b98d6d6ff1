package postgres

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/strict"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed strict.sql
var strictSQL string

// broker is a strict.Broker. Each step is one call of a function of strict.sql, and one message to
// the server: a process that is stopped in the midst of one holds nobody up. Nothing of it needs to
// survive the server, so that no step waits for a disk.
type broker struct {
	pool    *pgxpool.Pool
	schema  string // quoted
	group   string // of the processes that share what is in the tables
	channel string // of what all are told
	ctx     context.Context
	cancel  context.CancelFunc

	reporter *failopen.Reporter
}

const (
	// steps is how many connections take steps. Most of these wait for each other anyway.
	steps = 4
	// slowest is how long a step may take: then its connection is given up.
	slowest = 5 * time.Second
)

// newBroker returns a broker. It connects with the server when it is needed.
func newBroker(dsn, schema, group string, logger *slog.Logger) (*broker, error) {
	settings, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("the data source name: %w", err)
	}
	settings.MaxConns = steps
	// A ping that is cut off would keep its place in the pool for as long as pgx takes leave.
	settings.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	b := &broker{reporter: failopen.Complaints(logger), schema: pgx.Identifier{schema}.Sanitize(), group: group, channel: channelOf(schema, group)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.settle(settings.ConnConfig)
	if b.pool, err = pgxpool.NewWithConfig(context.Background(), settings); err != nil {
		b.cancel()
		return nil, err
	}
	return b, nil
}

// settle sets what the functions and the ears need, whatever the role or the database has.
func (b *broker) settle(c *pgx.ConnConfig) {
	c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	if c.ConnectTimeout <= 0 || c.ConnectTimeout > slowest {
		c.ConnectTimeout = slowest
	}
	for name, value := range map[string]string{
		"application_name": "preload strict", "search_path": "pg_catalog", "client_encoding": "UTF8",
		"default_transaction_isolation": "read committed", "default_transaction_read_only": "off",
		"synchronous_commit": "off",
	} {
		c.RuntimeParams[name] = value
	}
	dial := c.DialFunc
	c.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return line{conn, context.AfterFunc(b.ctx, func() { _ = conn.Close() })}, nil
	}
}

// line is a connection that ends with the broker: pgx takes leave of a server for 15 seconds, where
// that does not answer.
type line struct {
	net.Conn
	stop func() bool
}

func (l line) Close() error {
	l.stop()
	return l.Conn.Close()
}

// channelOf is the name of a channel: PostgreSQL cuts names at 63 bytes.
func channelOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return "preload_" + hex.EncodeToString(sum[:16])
}

// acknowledgements is the channel of one process.
func (b *broker) acknowledgements(process string) string {
	return channelOf(b.schema, b.group, "acknowledged", process)
}

// sql is the text that makes what a broker needs, where it is missing.
func (b *broker) sql() string { return strings.ReplaceAll(strictSQL, "@", b.schema) }

// call is the text of a call.
func (b *broker) call(function, args string) string {
	return "SELECT * FROM " + b.schema + ".strict_" + function + "(" + args + ")"
}

// make makes what is missing, and returns an error if the role may not use it. Processes that start
// at once do it one after the other. Unlike all else it has to survive the server.
func (b *broker) make(ctx context.Context) error {
	err := b.makeMissing(ctx)
	var may bool
	if err == nil {
		err = b.ask(ctx, mayUse, []any{b.schema}, &may)
	}
	if err == nil && may || err != nil && codeOf(err) != "42501" {
		return err
	}
	return fmt.Errorf("this role may not make the schema %s, or not use what is in it (%w): have an administrator run what StrictSQL returns, then GRANT USAGE ON SCHEMA, ALL ON ALL TABLES IN SCHEMA and EXECUTE ON ALL FUNCTIONS IN SCHEMA to the role", b.schema, errors.Join(errMayNot, err))
}

func (b *broker) makeMissing(ctx context.Context) error {
	var there bool
	err := b.ask(ctx, "SELECT to_regprocedure($1) IS NOT NULL", []any{b.schema + ".strict_go_on(text,bigint)"}, &there)
	if err != nil || there {
		return err
	}
	_, err = b.pool.Exec(ctx, "SET LOCAL synchronous_commit = on; SELECT pg_advisory_xact_lock("+lockOfMaking+");\n"+b.sql())
	return err
}

// mayUse asks whether the role may do what the functions do.
const mayUse = `SELECT (SELECT bool_and(has_table_privilege($1 || t, p))
	FROM unnest(ARRAY['.strict_group', '.strict_seat', '.strict_beat', '.strict_write']) t, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p)
	AND (SELECT bool_and(has_function_privilege(oid, 'EXECUTE')) FROM pg_proc WHERE pronamespace = $1::regnamespace)`

var errMayNot = errors.New("permission denied")

// lockOfMaking is an advisory lock: the letters of "preload".
const lockOfMaking = "31640349853479268"

// codeOf is the code of an error that the server gave; "" of another one.
func codeOf(err error) string {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return answer.Code
	}
	return ""
}

// missing reports whether an error says that the functions are not there.
func missing(err error) bool {
	switch codeOf(err) {
	case "42883", "3F000", "42P01": // function, schema, table
		return true
	}
	return false
}

// final reports whether an error is an answer that trying again does not change: who may not
// connect, a database that there is not, what is not allowed.
func final(err error) bool {
	if errors.Is(err, errMayNot) {
		return true
	}
	code := codeOf(err)
	return strings.HasPrefix(code, "28") || strings.HasPrefix(code, "3D") || strings.HasPrefix(code, "42")
}

// lost is the error of a step: where there are no functions, there is no run.
func lost(err error) error {
	if missing(err) {
		return strict.ErrGone
	}
	return err
}

// ask sends a query of one row. Who does not wait any longer leaves it to end by itself: a query that
// is cut off costs its connection, and while another one is made the next queries are late, too.
// into may then be written to after ask has returned, so that it is not to be read.
func (b *broker) ask(ctx context.Context, sql string, args []any, into ...any) error {
	conn, err := b.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	answered := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(b.ctx, slowest)
		defer cancel()
		err := conn.QueryRow(ctx, sql, args...).Scan(into...)
		if ctx.Err() != nil {
			conn.Hijack() // pgx takes leave of a silent server for long: others have its place meanwhile
		} else {
			conn.Release()
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// state is what a step says; nothing where it is of another run.
type state struct {
	number   int64 // of the seat, where one is given
	run      *string
	ready    *bool
	places   []string
	counters []int64
	pending  [][]byte
}

func (s *state) into() []any { return []any{&s.run, &s.ready, &s.places, &s.counters, &s.pending} }

// told reads a state.
func (s *state) told() (told strict.State, err error) {
	if s.run == nil {
		return told, strict.ErrGone
	}
	told.Run, told.Ready = *s.run, *s.ready
	for i, place := range s.places {
		seat, err := strict.SeatAt(told.Run, place)
		if err != nil {
			return told, err
		}
		told.Members = append(told.Members, strict.Standing{Seat: seat, Counter: s.counters[i]})
	}
	for _, text := range s.pending {
		a, err := strict.AnnouncementFrom(string(text))
		if err != nil {
			return told, err
		}
		told.Pending = append(told.Pending, a)
	}
	return told, nil
}

// Join implements strict.Broker.
func (b *broker) Join(ctx context.Context, process string, left strict.Seat) (seat strict.Seat, told strict.State, err error) {
	var s *state
	join := func() error {
		s = &state{}
		return b.ask(ctx, b.call("join", "$1, $2, $3, $4, $5, $6"), []any{b.group, process, left.Run, left.Number, rand.Text(), b.channel},
			append([]any{&s.number}, s.into()...)...)
	}
	if err = join(); missing(err) {
		if err = b.make(ctx); err == nil {
			err = join()
		}
	}
	if err != nil {
		b.complain(err)
		return seat, told, err
	}
	told, err = s.told()
	return strict.Seat{Run: told.Run, Process: process, Number: s.number}, told, err
}

// complain logs why the process is no member.
func (b *broker) complain(err error) {
	if b.ctx.Err() == nil {
		b.reporter.Wrong("preload: nothing is served from memory: the server does not take the process in", err, "feed", "postgres strict")
	}
}

// step takes a step that says what the state is.
func (b *broker) step(ctx context.Context, function, args string, values ...any) (strict.State, error) {
	var s state
	if err := b.ask(ctx, b.call(function, args), append([]any{b.group}, values...), s.into()...); err != nil {
		return strict.State{}, lost(err)
	}
	return s.told()
}

// said takes a step that says whether it was taken.
func (b *broker) said(ctx context.Context, function, args string, values ...any) error {
	var taken bool
	if err := b.ask(ctx, b.call(function, args), append([]any{b.group}, values...), &taken); err != nil {
		return lost(err)
	}
	if !taken {
		return strict.ErrGone
	}
	return nil
}

// Renew implements strict.Broker.
func (b *broker) Renew(ctx context.Context, seat strict.Seat) (strict.State, error) {
	return b.step(ctx, "renew", "$1, $2, $3, $4", seat.Run, seat.Number, seat.Process)
}

// Announce implements strict.Broker.
func (b *broker) Announce(ctx context.Context, run string, a strict.Announcement) (strict.State, error) {
	return b.step(ctx, "announce", "$1, $2, $3, $4, $5, $6", run, a.ID, []byte(a.Text()), b.channel, letter(a))
}

// Acknowledge implements strict.Broker.
func (b *broker) Acknowledge(ctx context.Context, process string, a strict.Acknowledgement) error {
	return b.ask(ctx, "SELECT pg_notify($1, $2)::text", []any{b.acknowledgements(process), sealed(a.Notice())}, new(string))
}

// Finish implements strict.Broker.
func (b *broker) Finish(ctx context.Context, run, write string, end strict.End) error {
	return b.said(ctx, "finish", "$1, $2, $3, $4, $5", run, write, b.channel, sealed(strict.FinishedNotice(write, end)))
}

// Fence implements strict.Broker.
func (b *broker) Fence(ctx context.Context, s strict.Standing) (gone bool, counter int64, err error) {
	var now *int64
	err = b.ask(ctx, b.call("fence", "$1, $2, $3, $4, $5, $6"), []any{b.group, s.Run, s.Number, s.Process, s.Counter, b.channel}, &now)
	if err != nil {
		return false, 0, lost(err)
	}
	switch {
	case now == nil:
		return false, 0, strict.ErrGone
	case *now < 0:
		return true, 0, nil
	}
	return false, *now, nil
}

// Ready implements strict.Broker.
func (b *broker) Ready(ctx context.Context, run string) error {
	return b.said(ctx, "ready", "$1, $2", run)
}

// Leave implements strict.Broker.
func (b *broker) Leave(ctx context.Context, seat strict.Seat) error {
	err := b.ask(ctx, "SELECT "+b.schema+".strict_leave($1, $2, $3, $4, $5)::text", []any{b.group, seat.Run, seat.Number, seat.Process, b.channel}, new(string))
	if missing(err) {
		return nil
	}
	return err
}

// close ends the connections. Ears are closed after cancel and before it.
func (b *broker) close() { b.cancel(); b.pool.Close() }

// A notification is a text of less than 8,000 bytes: a notice that is no text is sealed, and one
// that is too long is fetched.
const (
	sealedPrefix = "="
	fetchPrefix  = "?"
	longest      = 7_900
)

func sealed(notice string) string {
	return sealedPrefix + base64.StdEncoding.EncodeToString([]byte(notice))
}

// letter is what is sent of an announcement.
func letter(a strict.Announcement) string {
	if text := sealed(a.Notice()); len(text) <= longest {
		return text
	}
	return fetchPrefix + a.ID
}

// open reads a notification: "" if it is not understood, or says nothing any more.
func (b *broker) open(ctx context.Context, letter string) (notice string) {
	if text, ok := strings.CutPrefix(letter, sealedPrefix); ok {
		all, _ := base64.StdEncoding.DecodeString(text)
		return string(all)
	}
	id, ok := strings.CutPrefix(letter, fetchPrefix)
	if !ok {
		return letter
	}
	ctx, cancel := context.WithTimeout(ctx, slowest)
	defer cancel()
	var text []byte
	if b.ask(ctx, "SELECT announcement FROM "+b.schema+".strict_write WHERE key = $1", []any{id + " " + b.group}, &text) != nil {
		return ""
	}
	a, err := strict.AnnouncementFrom(string(text))
	if err != nil {
		return ""
	}
	return a.Notice()
}

// ears hear what is told, on a connection of their own.
type ears struct {
	cancel context.CancelFunc
	ear    sync.WaitGroup
}

func (e *ears) close() { e.cancel(); e.ear.Wait() }

// How long the ears hear nothing before they ask whether the server is there, and how long they
// wait before they connect again.
const (
	unheard   = time.Second
	reconnect = 20 * time.Millisecond
)

// listen has a process told what is sent, until the ears are closed. heard is called when they have
// begun to hear, each time.
func (b *broker) listen(process string, to strict.Listener, heard func()) *ears {
	ctx, cancel := context.WithCancel(context.Background())
	e := &ears{cancel: cancel}
	e.ear.Go(func() {
		for ctx.Err() == nil {
			b.hear(ctx, process, to, heard)
			select {
			case <-time.After(reconnect):
			case <-ctx.Done():
			}
		}
	})
	return e
}

// hear hears as long as the connection lasts. What is told meanwhile, and not heard, comes with a
// renewal.
func (b *broker) hear(ctx context.Context, process string, to strict.Listener, heard func()) {
	conn, err := pgx.ConnectConfig(ctx, b.pool.Config().ConnConfig)
	if err != nil {
		return
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), unheard)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if b.attend(ctx, conn, process) != nil {
		return
	}
	heard()
	for {
		n, err := b.wait(ctx, conn)
		switch {
		case err == nil:
			strict.Tell(to, b.open(ctx, n.Payload))
		case ctx.Err() != nil || conn.IsClosed():
			return
		case b.alive(ctx, conn) != nil:
			return
		}
	}
}

// attend has a connection be told what is sent.
func (b *broker) attend(ctx context.Context, conn *pgx.Conn, process string) error {
	ctx, cancel := context.WithTimeout(ctx, slowest)
	defer cancel()
	_, err := conn.Exec(ctx, "LISTEN "+b.channel+"; LISTEN "+b.acknowledgements(process))
	return err
}

// wait waits for a notification, for a while.
func (b *broker) wait(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	ctx, cancel := context.WithTimeout(ctx, unheard)
	defer cancel()
	return conn.WaitForNotification(ctx)
}

// alive returns an error if the server does not answer.
func (b *broker) alive(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, unheard)
	defer cancel()
	return conn.Ping(ctx)
}
