package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorm-preload/preload"
)

// leader tells all processes, this one among them, what a session takes in: to the session it
// stands for the plugin. What it tells is added to the relay by a goroutine of its own; another one
// hears what processes ask (hear).
//
// What is told between two losses is a reign, in which entries are numbered. A process that has
// taken in all entries of a reign up to the answer to a question of its own knows what was
// committed before it asked.
type leader struct {
	preload.Member // of this process: its tables are those of batches
	*Feed
	place *place
	hurry func() // has the session ask the server at once
	wake  chan struct{}

	sending [][]byte // the sender's: what is being added, again where that failed

	mu     sync.Mutex // a leaf
	reign  string
	number uint64 // of the last entry
	queue  [][]byte
	bytes  int               // of queue
	writes uint64            // the number of the last one
	open   map[uint64][]byte // the batches of those that have not ended
	asked  []heard
	heard  time.Time // when the last question was heard
	over   bool
}

// heard is a question, and when it was heard.
type heard struct {
	ask
	joins bool
	at    time.Time
}

// How many entries may wait to be added, and how many bytes of them: beyond that all is forgotten,
// in a reign that begins anew. How many questions may wait for their answer.
const (
	maxQueue      = 16 << 10
	maxQueueBytes = 16 << 20
	maxAsked      = 8 << 10
)

func newLeader(s *session, at *place) *leader {
	return &leader{
		Member: s.Feed.m, Feed: s.Feed, place: at, wake: make(chan struct{}, 1), reign: rand.Text(), open: map[uint64][]byte{},
		hurry: func() { s.hurry.Store(true); s.rouse() },
	}
}

// Begin implements preload.Member for the session.
func (l *leader) Begin(batch []byte) (end func(preload.End)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes++
	write := l.writes
	l.open[write] = batch
	l.tell(entry{kind: kindBegin, write: write, batch: batch})
	return func(end preload.End) {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, write)
		l.tell(entry{kind: kindEnd, write: write, end: end})
	}
}

// Serve implements preload.Member for the session: the questions are answered that were heard
// before a moment. Where one of them asks for it, what is open is told again before that.
func (l *leader) Serve(asked time.Time, _ time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, joins := 0, false
	settled := map[string]uint64{}
	for ; n < len(l.asked) && !l.asked[n].at.After(asked); n++ {
		a := l.asked[n]
		settled[a.process] = max(settled[a.process], a.number)
		joins = joins || a.joins
	}
	if n == 0 {
		return
	}
	l.asked = slices.Clone(l.asked[n:])
	e := entry{kind: kindSettled, bound: min(l.bound, maxBound)}
	for process, number := range settled {
		e.asks = append(e.asks, ask{process, number})
	}
	if joins {
		reign := l.reign
		e.first = l.number + 1
		for numbers := range slices.Chunk(slices.Sorted(maps.Keys(l.open)), mostOpen) {
			open := make([]write, len(numbers))
			for i, number := range numbers {
				open[i] = write{number, l.open[number]}
			}
			l.tell(entry{kind: kindOpen, open: open})
		}
		if l.reign != reign {
			e.first = 0
		}
	}
	l.tell(e)
}

// mostOpen is how many writes an entry says to be open.
const mostOpen = 256

// tell has an entry added. It is locked.
func (l *leader) tell(e entry) {
	if l.over {
		return
	}
	if len(l.queue) >= maxQueue || l.bytes > maxQueueBytes {
		l.queue, l.bytes, l.number, l.reign = nil, 0, 0, rand.Text()
		e.first = 0 // that was in the last one
	}
	l.number++
	e.from, e.number = l.reign, l.number
	b := e.bytes()
	l.queue, l.bytes = append(l.queue, b), l.bytes+len(b)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Reset implements preload.Member for the session, which says so when it has ended.
func (l *leader) Reset(string) {}

// Stop implements preload.Member for the session, which says so when it has ended, and with it the
// goroutines. The others are told, if that is possible at once: they would wait for the bound.
func (l *leader) Stop() {
	l.mu.Lock()
	begun := l.number > 0
	if begun {
		l.tell(entry{kind: kindGone})
	}
	l.over = true
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for begun && l.take() {
		if l.add(ctx, l.place.telling, l.sending) != nil {
			return
		}
		l.sending = nil
	}
}

// mostAdded is how many entries are added at a time.
const mostAdded = 256

// take takes the next entries to be added, and reports whether there are some.
func (l *leader) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sending) > 0 {
		return true
	}
	n := min(mostAdded, len(l.queue))
	l.sending = l.queue[:n:n]
	if l.queue = l.queue[n:]; len(l.queue) == 0 {
		l.queue = nil
	}
	for _, b := range l.sending {
		l.bytes -= len(b)
	}
	return n > 0
}

// send adds what is told until the context is done. What could not be added is added again: who has
// taken it in passes it over. A leader that hears no question for long, not even of its own
// process, or that can add nothing, leaves its place to another one: it cannot reach the relay.
func (l *leader) send(ctx context.Context) error {
	l.hasHeard()
	for added := time.Now(); ; {
		var err error
		if l.take() {
			if err = l.add(ctx, l.place.telling, l.sending); err == nil {
				l.sending, added = nil, time.Now()
				continue
			}
			if ctx.Err() == nil {
				l.complain("nothing is served from memory: nothing can be added to the relay", err)
			}
			sleep(ctx, l.bound/16)
		} else {
			added = time.Now()
			timer := time.NewTimer(l.bound)
			select {
			case <-l.wake:
			case <-timer.C:
			case <-ctx.Done():
			}
			timer.Stop()
		}
		l.mu.Lock()
		deaf, dumb := time.Since(l.heard), time.Since(added)
		l.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case deaf > l.absence():
			return errors.Join(fmt.Errorf("%w: nothing was heard for %v", errNoRelay, deaf.Round(time.Second)), err)
		case err != nil && dumb > l.absence():
			return fmt.Errorf("%w: nothing could be told for %v: %w", errNoRelay, dumb.Round(time.Second), err)
		}
	}
}

// errNoRelay is how the session of a leader ends that cannot reach the relay.
var errNoRelay = errors.New("postgres: the relay is out of reach")

// hasHeard notes that the relay was heard.
func (l *leader) hasHeard() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = time.Now()
}

// hear hears what processes ask until the context is done.
func (l *leader) hear(ctx context.Context) error {
	l.carry(ctx, l.place.asking, func() time.Duration { return l.bound }, func(b []byte) {
		e, err := entryFrom(b)
		if err != nil || e.kind < kindAsk {
			return // who has asked asks again
		}
		l.hasHeard()
		l.mu.Lock()
		if len(l.asked) >= maxAsked {
			l.asked = nil
		}
		l.asked = append(l.asked, heard{ask{e.from, e.number}, e.kind == kindJoin, time.Now()})
		l.mu.Unlock()
		if e.kind == kindHurry {
			l.hurry()
		}
	})
	return ctx.Err()
}

// absence is how long a leader may not be heard, by the server or by the relay, before another
// process takes its place.
func (f *Feed) absence() time.Duration { return max(4*f.bound, 3*time.Second) }

// takePlace takes the place of the process that reads the server's log for all, where it is vacant.
// The lock is that of the side connection, and the server gives it to another process when that is
// lost.
func (s *session) takePlace(ctx context.Context) error {
	if s.relay == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	server, err := s.whichServer(ctx, s.side)
	if err != nil {
		return err
	}
	at := s.follower.place.Load()
	if at == nil || at.server != server {
		rouse(s.follower.doubt)
		return errMoved
	}
	var free bool
	key := "preload/" + s.Feed.m.Namespace() + "/" + s.publication
	if err := s.side.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", key).Scan(&free); err != nil {
		return fmt.Errorf("postgres: asking whether another process reads the log: %w", err)
	}
	if !free {
		return errTaken
	}
	s.lead = newLeader(s, at)
	s.m = s.lead
	return s.keepPlace(ctx)
}

// errSilent is that of a connection to replicate on which nothing comes of making a slot.
var errSilent = errors.New("postgres: the connection to replicate is silent: the server is at no slot for it")

// wait has a slot made, for which the server may wait for long: for the transactions that are open.
// Meanwhile it tells that the place is taken, if this process has one, and has the server hear of
// this process. It ends where the server has given the place away, and where the server has not
// been at the slot for some time, or is through with it, and this process has not heard of that.
func (s *session) wait(ctx context.Context, slot string, do func(context.Context) error) error {
	whole := ctx // a question that is cut short costs the connection
	ctx, cancel := context.WithCancelCause(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel(nil)
	asking.Go(func() {
		since := time.Now()
		for sleep(ctx, s.bound/4); ctx.Err() == nil; sleep(ctx, s.bound/4) {
			var at bool
			err := s.query(whole, "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '"+slot+"' AND confirmed_flush_lsn IS NULL)", &at)
			switch {
			case err != nil:
				cancel(fmt.Errorf("postgres: the connection that asks the server was lost: %w", err))
				return
			case at:
				since = time.Now()
			case time.Since(since) > patience:
				cancel(errSilent)
				return
			}
			if s.lead != nil {
				s.lead.waits()
				for s.lead.take() && s.lead.add(ctx, s.lead.place.telling, s.lead.sending) == nil {
					s.lead.sending = nil
				}
			}
		}
	})
	if err := do(ctx); err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return nil
}

// waits tells that the place is taken, though nothing more is known. What waits to be added says
// enough.
func (l *leader) waits() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.tell(entry{kind: kindWaiting, bound: min(l.bound, maxBound)})
	}
}

var errTaken = errors.New("postgres: another process reads the server's log, and is not heard by way of the relay: " +
	"want the same relay in all processes, and another WithPublication for each application that has a relay of its own")

// keepPlace has the server end the side connection of a leader that is stopped, so that another
// process takes its place. A leader asks four times in the bound. Servers before version 14 cannot.
func (s *session) keepPlace(ctx context.Context) error {
	_, err := s.side.Exec(ctx, "SELECT set_config(name, $1, false) FROM pg_settings WHERE name = 'idle_session_timeout'",
		strconv.FormatInt(s.absence().Milliseconds(), 10))
	if err != nil {
		return fmt.Errorf("postgres: bounding how long the connection may be idle: %w", err)
	}
	return nil
}
