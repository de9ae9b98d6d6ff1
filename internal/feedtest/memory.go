package feedtest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/strict"
)

// Strict connects plugins by the protocol of package strict and a broker in memory.
type Strict struct {
	Broker strict.LocalBroker
	Config strict.Config
	Shelf  Shelf
}

// Feed returns another feed of the broker.
func (s *Strict) Feed() preload.Feed { return &strictFeed{of: s} }

// Cut has nothing arrive that a feed sends or is told.
func (s *Strict) Cut(f preload.Feed, cut bool) { f.(*strictFeed).cut.Store(cut) }

type strictFeed struct {
	of     *Strict
	cut    atomic.Bool
	names  *strict.Patient
	id     string
	teller *strict.Teller
}

var errCut = errors.New("feedtest: cut off")

// Open implements preload.Feed.
func (f *strictFeed) Open(_ context.Context, m preload.Member) (err error) {
	f.names = &strict.Patient{Database: m.Arbiter(), After: 2 * time.Second}
	f.id = m.ID()
	f.teller, err = strict.NewTeller(f.of.Config, f.id, &cutBroker{f}, f.names, m)
	if err != nil {
		return err
	}
	f.of.Broker.Subscribe(f.id, listener{f})
	f.teller.Start()
	return nil
}

// Announce implements preload.Teller.
func (f *strictFeed) Announce(ctx context.Context, batch []byte, tx string) (func(preload.End), error) {
	return f.teller.Announce(ctx, batch, f.names.Name(f.id, tx))
}

// Exact implements preload.Exact.
func (f *strictFeed) Exact() {}

// Position implements preload.Positioner.
func (f *strictFeed) Position(ctx context.Context) (string, error) {
	owes, err := f.teller.Owes(ctx)
	if owes {
		err = errCut
	}
	return "here", err
}

// Await implements preload.Positioner.
func (f *strictFeed) Await(context.Context, string) error { return nil }

// Close implements preload.Feed.
func (f *strictFeed) Close() error {
	f.of.Broker.Unsubscribe(f.id)
	return f.teller.Close()
}

// listener has no notice arrive that comes while the feed is cut.
type listener struct{ f *strictFeed }

func (l listener) do(tell func(*strict.Teller)) {
	if !l.f.cut.Load() {
		tell(l.f.teller)
	}
}

func (l listener) Announced(a strict.Announcement) { l.do(func(t *strict.Teller) { t.Announced(a) }) }
func (l listener) Finished(write string, end strict.End) {
	l.do(func(t *strict.Teller) { t.Finished(write, end) })
}
func (l listener) Acknowledged(a strict.Acknowledgement) {
	l.do(func(t *strict.Teller) { t.Acknowledged(a) })
}
func (l listener) Gone(seat strict.Seat) { l.do(func(t *strict.Teller) { t.Gone(seat) }) }

// cutBroker answers nothing while the feed is cut.
type cutBroker struct{ f *strictFeed }

func (b *cutBroker) to() (*strict.LocalBroker, error) {
	if b.f.cut.Load() {
		return nil, errCut
	}
	return &b.f.of.Broker, nil
}

func (b *cutBroker) Join(ctx context.Context, process string, left strict.Seat) (seat strict.Seat, s strict.State, err error) {
	to, err := b.to()
	if err == nil {
		return to.Join(ctx, process, left)
	}
	return seat, s, err
}

func (b *cutBroker) Renew(ctx context.Context, seat strict.Seat) (s strict.State, err error) {
	to, err := b.to()
	if err == nil {
		return to.Renew(ctx, seat)
	}
	return s, err
}

func (b *cutBroker) Announce(ctx context.Context, run string, a strict.Announcement) (s strict.State, err error) {
	to, err := b.to()
	if err == nil {
		return to.Announce(ctx, run, a)
	}
	return s, err
}

func (b *cutBroker) Acknowledge(ctx context.Context, process string, a strict.Acknowledgement) error {
	to, err := b.to()
	if err == nil {
		err = to.Acknowledge(ctx, process, a)
	}
	return err
}

func (b *cutBroker) Finish(ctx context.Context, run, write string, end strict.End) error {
	to, err := b.to()
	if err == nil {
		err = to.Finish(ctx, run, write, end)
	}
	return err
}

func (b *cutBroker) Fence(ctx context.Context, s strict.Standing) (gone bool, counter int64, err error) {
	to, err := b.to()
	if err == nil {
		return to.Fence(ctx, s)
	}
	return false, 0, err
}

func (b *cutBroker) Ready(ctx context.Context, run string) error {
	to, err := b.to()
	if err == nil {
		err = to.Ready(ctx, run)
	}
	return err
}

func (b *cutBroker) Leave(ctx context.Context, seat strict.Seat) error {
	to, err := b.to()
	if err == nil {
		err = to.Leave(ctx, seat)
	}
	return err
}

// Bounded connects plugins by a list of what happened, which each of them reads on its own.
type Bounded struct {
	N     time.Duration // how old an answer may be
	Shelf Shelf

	mu    sync.Mutex // a leaf
	list  []event
	more  chan struct{} // closed when the list has grown
	begun int64
}

// event is a batch whose changes begin, or end, or a beat.
type event struct {
	from  string
	id    int64
	batch []byte
	ends  bool
	end   preload.End
	beat  time.Time
}

// Feed returns another feed of the list.
func (b *Bounded) Feed() preload.Feed { return &boundedFeed{of: b} }

// Cut has nothing arrive that a feed sends or is told; what it missed, it is told later.
func (b *Bounded) Cut(f preload.Feed, cut bool) { f.(*boundedFeed).cut.Store(cut) }

func (b *Bounded) add(e event) (id int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun++
	if !e.ends {
		e.id = b.begun
	}
	b.list = append(b.list, e)
	if b.more != nil {
		close(b.more)
	}
	b.more = make(chan struct{})
	return e.id
}

func (b *Bounded) from(at int) ([]event, chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.more == nil {
		b.more = make(chan struct{})
	}
	return b.list[at:], b.more
}

type boundedFeed struct {
	of      *Bounded
	m       preload.Member
	cut     atomic.Bool
	done    chan struct{}
	workers sync.WaitGroup

	mu    sync.Mutex // a leaf
	at    int        // how far the list was read
	grown chan struct{}
}

// Open implements preload.Feed.
func (f *boundedFeed) Open(_ context.Context, m preload.Member) error {
	f.m, f.done = m, make(chan struct{})
	f.workers.Go(f.read)
	f.workers.Go(f.beat)
	return nil
}

func (f *boundedFeed) read() {
	open := map[int64]func(preload.End){}
	for at := 0; ; {
		events, more := f.of.from(at)
		if f.cut.Load() {
			events = nil
		}
		for _, e := range events {
			switch {
			case !e.beat.IsZero() && e.from == f.m.ID():
				f.m.Serve(e.beat, f.of.N)
			case e.from == f.m.ID() || !e.beat.IsZero():
			case !e.ends:
				open[e.id] = f.m.Begin(e.batch)
			case open[e.id] != nil:
				open[e.id](e.end)
				delete(open, e.id)
			}
		}
		at += len(events)
		f.reached(at)
		select {
		case <-more:
		case <-f.done:
			return
		}
	}
}

func (f *boundedFeed) reached(at int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at = at; f.grown != nil {
		close(f.grown)
		f.grown = nil
	}
}

// Position implements preload.Positioner.
func (f *boundedFeed) Position(context.Context) (string, error) {
	events, _ := f.of.from(0)
	return strconv.Itoa(len(events)), nil
}

// Await implements preload.Positioner.
func (f *boundedFeed) Await(ctx context.Context, position string) error {
	want, err := strconv.Atoi(position)
	if err != nil {
		return err
	}
	for {
		f.mu.Lock()
		at := f.at
		if f.grown == nil {
			f.grown = make(chan struct{})
		}
		grown := f.grown
		f.mu.Unlock()
		if at >= want {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *boundedFeed) beat() {
	for {
		if !f.cut.Load() {
			f.of.add(event{from: f.m.ID(), beat: time.Now()})
		}
		select {
		case <-time.After(f.of.N / 4):
		case <-f.done:
			return
		}
	}
}

// Announce implements preload.Teller.
func (f *boundedFeed) Announce(_ context.Context, batch []byte, _ string) (func(preload.End), error) {
	id := f.of.add(event{from: f.m.ID(), batch: batch})
	return func(end preload.End) { f.of.add(event{from: f.m.ID(), id: id, ends: true, end: end}) }, nil
}

// Close implements preload.Feed.
func (f *boundedFeed) Close() error {
	if f.done != nil {
		close(f.done)
	}
	f.workers.Wait()
	return nil
}
