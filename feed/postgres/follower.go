package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload"
)

// follower takes in what the process tells that reads the server's log. Each process has one, that
// of the leader, too: so there is one way by which answers come to be served.
//
// It serves by questions of its own. Four times in the bound it adds one to the relay, and notes
// when; the leader hears it, asks the server where its log ends, and when all before that place is
// told, it tells that the question is answered. Whoever has taken in all entries up to that answer
// knows all that was committed before it asked. No follower asks the server itself for that place,
// to compare it with what the leader says to have told: that would cost each process a connection,
// and the places of a server that has crashed, or of one that took its place, go back, so that what
// was said of one would be taken for another. A question is answered by those only who have heard
// it: a leader that was stopped, or that has lost its connection or its lock, answers none that was
// asked since.
//
// Where an entry is missing, is another one than before, or is not understood, and where another
// reign begins, all is forgotten, and nothing served until the leader has told what is open.
type follower struct {
	*Feed
	id     string
	seed   maphash.Seed
	place  atomic.Pointer[place] // nil while it is not known which server this process reads
	doubt  chan struct{}         // rouses who asks which one it is
	wake   chan struct{}         // rouses who asks
	anew   chan struct{}         // the same, where all is forgotten
	vacant chan struct{}         // rouses who waits for a place that is vacant

	// The reader's:
	reign string // "" before the first entry
	first uint64 // the number of the first entry of the reign that was taken in
	last  uint64 // and of the last one
	sums  [recent]uint64
	open  map[uint64]func(preload.End)

	losses int       // how often all was forgotten since
	since  time.Time // the reader's

	mu      sync.Mutex // a leaf
	whole   bool       // it is known what was open when the first entry was told
	number  uint64     // of the last question
	asked   map[uint64]query
	hurry   bool              // somebody waits for the next answer
	theirs  time.Duration     // the leader's bound, where that was heard
	next    *sent             // the next question
	reached bool              // the last one was added to the relay
	heard   time.Time         // when the leader was last heard; zero from when it is gone
	quiet   time.Time         // the same, and before that when this began
	settled map[string]uint64 // the last question of each process that was answered in this reign
	grown   chan struct{}     // closed when there is another answer
}

// recent is of how many entries it is known what they were: those before are not added again.
const recent = 1024

// query is what is known of a question of this process's own.
type query struct {
	asked time.Time
	joins bool
}

// sent is a question that may not be in the relay yet.
type sent struct {
	number uint64
	err    error
	done   chan struct{} // closed when it is there, or could not be added
}

func newFollower(f *Feed) *follower {
	return &follower{
		Feed: f, id: f.m.ID(), seed: maphash.MakeSeed(),
		doubt: make(chan struct{}, 1), wake: make(chan struct{}, 1), anew: make(chan struct{}, 1), vacant: make(chan struct{}, 1),
		open: map[uint64]func(preload.End){}, asked: map[uint64]query{}, next: &sent{done: make(chan struct{})},
		settled: map[string]uint64{}, grown: make(chan struct{}), quiet: time.Now(),
	}
}

// follow takes in what is told in a place until the context is done.
func (f *follower) follow(ctx context.Context, at *place) {
	f.carry(ctx, at.telling, f.waits, func(b []byte) {
		if !f.guard(func() { f.take(b) }) {
			f.lose("an entry could not be taken in")
		}
	})
	f.lose("the feed is closed, or its server is another one")
}

// guard does something that calls the plugin, and reports whether it did not panic.
func (f *follower) guard(do func()) (done bool) {
	defer func() {
		if r := recover(); r != nil {
			f.complain("all is forgotten: an entry of the relay could not be taken in", fmt.Errorf("postgres: a panic: %v", r))
		}
	}()
	do()
	return true
}

// take takes in an entry.
func (f *follower) take(b []byte) {
	e, err := entryFrom(b)
	if err != nil || e.kind >= kindAsk {
		f.lose("an entry of the relay is not understood")
		return
	}
	sum, at := maphash.Bytes(f.seed, b), e.number%recent
	switch {
	case e.from != f.reign:
		f.lose("another process reads the server's log, or the same anew")
	case e.number <= f.last:
		if e.number+recent <= f.last || e.number >= f.first && f.sums[at] != sum {
			f.lose("entries of the relay contradict each other")
		}
		return // it was added again
	case e.number != f.last+1:
		f.lose("entries of the relay were lost")
	}
	if f.reign == "" {
		f.reign, f.first = e.from, e.number
	}
	f.last, f.sums[at] = e.number, sum
	switch e.kind {
	case kindBegin:
		f.begin(e.write, e.batch)
	case kindOpen:
		for _, w := range e.open {
			f.begin(w.number, w.batch)
		}
	case kindEnd:
		end := f.open[e.write]
		if delete(f.open, e.write); end != nil {
			end(e.end)
		}
	case kindSettled:
		f.settle(e)
	case kindWaiting:
		f.hears(e.bound)
	case kindGone:
		f.lose("the process that reads the server's log has lost its connection, or ends")
		f.mu.Lock()
		f.heard = time.Time{}
		f.mu.Unlock()
		rouse(f.vacant)
	}
}

// begin takes in a write that may not be visible yet.
func (f *follower) begin(write uint64, batch []byte) {
	if f.open[write] == nil {
		f.open[write] = f.m.Begin(batch)
	}
}

// hears notes that the leader was heard.
func (f *follower) hears(bound time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = time.Now()
	f.quiet, f.theirs = f.heard, bound
}

// settle takes in which questions are answered.
func (f *follower) settle(e entry) {
	if e.bound != f.bound && e.bound > 0 && f.bound <= maxBound {
		f.complain("little is served from memory, or nothing: processes have different bounds",
			fmt.Errorf("postgres: the process that reads the server's log has WithBound(%v), this one WithBound(%v): want the same in all processes", e.bound, f.bound))
	}
	f.hears(e.bound)
	f.mu.Lock()
	var own query
	for _, a := range e.asks {
		if a.process != f.id {
			continue
		}
		own = f.asked[a.number]
		for number := range f.asked {
			if number <= a.number {
				delete(f.asked, number)
			}
		}
	}
	if own.joins && e.first >= f.first {
		f.whole = true
	}
	whole := f.whole
	f.mu.Unlock()
	if !whole {
		return
	}
	if !own.asked.IsZero() {
		f.m.Serve(own.asked, f.bound)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.settled) > maxAsked {
		f.settled = map[string]uint64{}
	}
	for _, a := range e.asks {
		f.settled[a.process] = max(f.settled[a.process], a.number)
	}
	close(f.grown)
	f.grown = make(chan struct{})
}

// lose forgets all, and what is told next is taken as it comes. What is open ends for the plugin,
// which keeps nothing until it is told what is open once more.
func (f *follower) lose(why string) {
	if f.reign == "" {
		return
	}
	f.mu.Lock()
	f.whole, f.settled = false, map[string]uint64{}
	f.mu.Unlock()
	f.guard(f.m.Stop)
	f.guard(func() { f.m.Reset(why) })
	for write, end := range f.open {
		delete(f.open, write)
		f.guard(func() { end(preload.EndVisible) })
	}
	f.reign, f.first, f.last = "", 0, 0
	if now := time.Now(); now.Sub(f.since) > patience {
		f.losses, f.since = 0, now
	}
	if f.losses++; f.losses >= manyLosses {
		f.complain("all is forgotten again and again: two processes tell, or the relay loses what it is told", errors.New("postgres: "+why))
	}
	rouse(f.anew)
}

// manyLosses is how often all is forgotten, within the feed's patience, before it is said.
const manyLosses = 16

// ask asks what is settled until the context is done: four times in the bound, and when somebody
// waits for it. Where all is forgotten it asks a little later, so that two who tell, of whom each
// has what the other one told forgotten, keep nobody busy.
func (f *follower) ask(ctx context.Context, at *place) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		f.mu.Lock()
		f.number++
		owed := f.next // who waits for the next one came later
		f.next = &sent{done: make(chan struct{})}
		e := entry{kind: kindAsk, from: f.id, number: f.number}
		switch {
		case !f.whole:
			e.kind = kindJoin
		case f.hurry:
			e.kind = kindHurry
		}
		f.hurry = false
		for number, q := range f.asked {
			if now.Sub(q.asked) > f.bound {
				delete(f.asked, number) // the answer would come too late
			}
		}
		f.asked[e.number] = query{now, e.kind == kindJoin}
		f.mu.Unlock()
		err := f.add(ctx, at.asking, [][]byte{e.bytes()})
		owed.number, owed.err = e.number, err
		wait, wake, anew := f.bound/4, f.wake, f.anew
		if err != nil {
			if ctx.Err() == nil {
				f.complain("nothing is served from memory: the relay cannot be reached", err)
			}
			wait, wake, anew = f.bound/16, nil, nil
		}
		f.mu.Lock()
		f.reached = err == nil
		f.mu.Unlock()
		close(owed.done)
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-wake:
		case <-anew:
			sleep(ctx, time.Until(now.Add(f.bound/16)))
		case <-ctx.Done():
		}
	}
}

// awaitVacancy waits until nobody is heard to lead, though the server is known and the relay can be
// reached, or until the context is done.
func (f *follower) awaitVacancy(ctx context.Context) {
	for ctx.Err() == nil {
		f.mu.Lock()
		left := time.Until(f.heard.Add(max(f.bound, f.theirs)))
		if !f.reached || f.place.Load() == nil {
			left = max(left, f.bound/16)
		}
		f.mu.Unlock()
		if left <= 0 {
			return
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-f.vacant:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// deaf reports whether nobody was heard to lead for long.
func (f *follower) deaf() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.quiet) > max(patience, 4*f.bound, 4*f.theirs)
}

// waits returns within what time something is told: the longer one of two bounds, this process's
// and the leader's.
func (f *follower) waits() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(f.bound, f.theirs)
}

func rouse(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// position names the next question of this process.
func (f *follower) position(ctx context.Context) (string, error) {
	f.mu.Lock()
	next, reached := f.next, f.reached
	f.mu.Unlock()
	if !reached {
		return "", errNotReached
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rouse(f.wake)
	select {
	case <-next.done:
		if next.err != nil {
			return "", fmt.Errorf("postgres: asking by way of the relay: %w", next.err)
		}
		return f.id + " " + strconv.FormatUint(next.number, 36), nil
	case <-ctx.Done():
		return "", fmt.Errorf("postgres: waiting for the relay: %w", ctx.Err())
	case <-f.ctx.Done():
		return "", errNotConnected
	}
}

// errNotReached is that of Position while no question comes to the relay.
var errNotReached = errors.New("postgres: the relay is not reached, or it is not known yet which server it is")

var errPosition = errors.New("postgres: a text that names no position")

// await waits until a question is answered: the one that a position names, or one of this process's
// own that is asked from now on.
func (f *follower) await(ctx context.Context, position string) error {
	process, text, _ := strings.Cut(position, " ")
	number, err := strconv.ParseUint(text, 36, 64)
	if err != nil || process == "" {
		return errPosition
	}
	f.mu.Lock()
	own := f.number + 1
	f.mu.Unlock()
	ticker := time.NewTicker(soon)
	defer ticker.Stop()
	for hurry := true; ; {
		f.mu.Lock()
		n, answered := f.settled[process]
		here, grown := answered && n >= number || f.settled[f.id] >= own, f.grown
		if hurry && !here {
			f.hurry = true
			rouse(f.wake)
		}
		f.mu.Unlock()
		if here {
			return nil
		}
		hurry = false
		select {
		case <-grown:
		case <-ticker.C:
			hurry = true
		case <-ctx.Done():
			return ctx.Err()
		case <-f.ctx.Done():
			return errNotConnected
		}
	}
}
