package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/gorm-preload/preload"
)

// Relay carries entries between processes, in streams that have names. It keeps the last ones, in
// the order in which they were added; what it loses is noticed, and costs no more than what is in
// memory. It is safe for concurrent use. The package feed/redis has one.
//
// A feed that is closed waits for a call for half a second at most. One that does not return before
// that is left alone: it should, sooner or later, with an error at the latest.
type Relay interface {
	// Add adds entries at the end of a stream, in their order. Of those for which it returns an
	// error some may have been added, and may be yet. With no entries it says at once, as an error,
	// what is wrong with how the relay was made.
	Add(ctx context.Context, stream string, entries [][]byte) error
	// Read returns entries that were added after a place, oldest first, and the place of the last
	// one. Where there are none it waits so long for one, and returns the place that it was given.
	// The place "" is the end of the stream, of which it returns the place at once.
	Read(ctx context.Context, stream, after string, wait time.Duration) (entries [][]byte, last string, err error)
}

// Through has one process read the server's log for all that have the same relay, with one
// replication slot for all of them: postgres.Through(redis.Relay(client)). The others are told by
// way of the relay, and connect with the server only where nobody is heard to read, and for a
// moment every 30 seconds, to ask which server it is. It is for New.
//
// Several servers may have one relay, also where their databases have the same name. A process
// follows what is told of the server to which its data source name leads, and nothing is served
// before it has found out which one that is, or where it is a standby. The plugin's handle leads to
// the same server.
//
// Which process reads is settled by an advisory lock of the database, whose key is made of the
// names of the database and of the publication. When the process that reads is gone, cut off or
// stopped, another one takes its place, after about the bound; all is forgotten then. So it is
// where the relay loses what was told. While nobody reads, or the relay cannot be reached, nothing
// is served from memory once the bound has passed.
//
// All processes take the same relay, WithPublication and WithBound. Two applications that use one
// database each with a relay of its own take different publications.
func Through(relay Relay) Option {
	return func(c *config) {
		at := reflect.ValueOf(relay)
		is := relay != nil && (at.Kind() != reflect.Pointer || !at.IsNil())
		c.require(is, "Through", relay, "a Relay")
		if is {
			c.relay = relay
		}
	}
}

// entry is what a process tells others by way of a relay. Which fields say something is up to its
// kind.
type entry struct {
	kind   kind
	from   string // the reign of a leader, or the process that asks
	number uint64 // among the entries from there, which are numbered from 1 on
	write  uint64 // which write begins or has ended
	end    preload.End
	first  uint64 // the number of the first entry that tells what is open; 0 if none does
	batch  []byte
	open   []write
	bound  time.Duration // of the leader
	asks   []ask
}

// write is one that may not be visible yet.
type write struct {
	number uint64
	batch  []byte
}

// kind says what an entry tells.
type kind byte

const (
	kindBegin   kind = iota + 1 // a write was committed, and may not be visible yet
	kindOpen                    // the same of some writes, once more, for those who have not heard of them
	kindEnd                     // it is visible
	kindSettled                 // all is told that was committed before some questions were asked
	kindWaiting                 // the place is taken, though nothing more is known
	kindGone                    // nothing more will be told in this reign
	kindAsk                     // a question: what is settled
	kindJoin                    // the same, of one who has to be told what is open, too
	kindHurry                   // the same, of one who waits for the answer
	lastKind
)

// ask is a question of a process.
type ask struct {
	process string
	number  uint64
}

// maxBound is the longest bound that is believed.
const maxBound = time.Hour

// entryVersion is the first byte of an entry.
const entryVersion = 2

var errEntry = errors.New("postgres: an entry of the relay is not understood")

// bytes returns an entry as entryFrom reads it.
func (e *entry) bytes() []byte {
	b := append(make([]byte, 0, 64+len(e.batch)), entryVersion, byte(e.kind), byte(e.end))
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	text(e.from)
	for _, n := range []uint64{e.number, e.write, e.first, uint64(e.bound)} {
		b = binary.AppendUvarint(b, n)
	}
	text(string(e.batch))
	b = binary.AppendUvarint(b, uint64(len(e.open)))
	for _, w := range e.open {
		b = binary.AppendUvarint(b, w.number)
		text(string(w.batch))
	}
	for _, a := range e.asks {
		text(a.process)
		b = binary.AppendUvarint(b, a.number)
	}
	return b
}

func entryFrom(b []byte) (e entry, err error) {
	if len(b) < 3 || b[0] != entryVersion || b[1] == 0 || kind(b[1]) >= lastKind {
		return e, errEntry
	}
	e.kind, e.end = kind(b[1]), preload.End(b[2])
	b = b[3:]
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			err, b = errEntry, nil
			return 0
		}
		b = b[size:]
		return n
	}
	text := func() string {
		n := number()
		if err != nil || n > uint64(len(b)) {
			err, b = errEntry, nil
			return ""
		}
		s := string(b[:n])
		b = b[n:]
		return s
	}
	e.from = text()
	e.number, e.write, e.first, e.bound = number(), number(), number(), time.Duration(number())
	e.batch = []byte(text())
	for n := number(); err == nil && n > 0; n-- {
		e.open = append(e.open, write{number(), []byte(text())})
	}
	for err == nil && len(b) > 0 {
		e.asks = append(e.asks, ask{text(), number()})
	}
	if e.from == "" || e.number == 0 || e.end > preload.EndUnknown || e.bound < 0 || e.bound > maxBound {
		err = errEntry
	}
	return e, err
}

// carry reads a stream from its end on until the context is done, and has each entry taken in.
// Where nothing comes for twice as long as is waited, it begins again at the end: what the relay
// has may be older than what was read, so that nothing comes after that. What is passed over by
// that is missed, as what is lost is.
func (f *Feed) carry(ctx context.Context, stream string, waits func() time.Duration, take func([]byte)) {
	at, heard := "", time.Now()
	for ctx.Err() == nil {
		read, err := f.read(ctx, stream, at)
		if err != nil {
			if ctx.Err() == nil {
				f.complain("nothing is served from memory: the relay cannot be read", err)
			}
			sleep(ctx, f.bound/16)
			continue
		}
		switch at = read.last; {
		case len(read.entries) > 0:
			heard = time.Now()
		case time.Since(heard) > 2*waits():
			at, heard = "", time.Now()
		}
		for _, e := range read.entries {
			take(e)
		}
	}
}

// sleep waits, or until the context is done.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// add adds entries to a stream.
func (f *Feed) add(ctx context.Context, stream string, entries [][]byte) error {
	limited, cancel := context.WithTimeout(ctx, max(f.bound, time.Second))
	defer cancel()
	_, err := outlast(ctx, func() (struct{}, error) { return struct{}{}, f.relay.Add(limited, stream, entries) })
	return err
}

// longestRead is how long a relay is asked to wait for entries. Many do not hear meanwhile that
// they are waited for no more.
const longestRead = 250 * time.Millisecond

// piece is what a relay has after a place, and the place of the last entry of it.
type piece struct {
	entries [][]byte
	last    string
}

// read reads entries of a stream.
func (f *Feed) read(ctx context.Context, stream, after string) (piece, error) {
	wait := min(f.bound/4, longestRead)
	ctx, cancel := context.WithTimeout(ctx, wait+max(f.bound, time.Second))
	defer cancel()
	return outlast(ctx, func() (p piece, err error) {
		p.entries, p.last, err = f.relay.Read(ctx, stream, after, wait)
		return p, err
	})
}

// errHangs is that of a call of the relay that was given up.
var errHangs = errors.New("postgres: the relay does not answer")

// grace is how long a call of the relay may take that nobody needs any more.
const grace = 500 * time.Millisecond

// outlast makes a call, and gives it up where the context is done and the call does not return
// within the grace. Its goroutine ends with it.
func outlast[T any](ctx context.Context, call func() (T, error)) (result T, err error) {
	type outcome struct {
		result T
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if r := recover(); r != nil {
				o.err = fmt.Errorf("postgres: a panic of the relay: %v", r)
			}
			done <- o
		}()
		o.result, o.err = call()
	}()
	var o outcome
	select {
	case o = <-done:
		return o.result, o.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case o = <-done:
		return o.result, o.err
	case <-timer.C:
		return result, errHangs
	}
}
