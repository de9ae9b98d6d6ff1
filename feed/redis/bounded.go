package redis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/failopen"
	goredis "github.com/redis/go-redis/v9"
)

// BoundedFeed is a preload.Teller by which no process serves an answer that is older than a bound.
//
// There is one stream. Each process adds an entry before a write can be seen, and one after it has
// ended, without waiting for that; and, four times in the bound, a beat. It reads all entries in
// their order. When it comes by a beat of its own, it knows all that was in the stream when it sent
// the beat, and serves for as long as the bound from then on. The entries of a process are
// numbered: where a number is missing, an entry was lost. It invalidates all then; and where the
// server is another one, or the oldest entry is younger than the last that it knows.
type BoundedFeed struct {
	config
	client goredis.UniversalClient
	key    string
	m      preload.Member
	out    *outbox
	shelf  *shelf // nil before Open

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	workers sync.WaitGroup

	known    known
	reporter *failopen.Reporter

	mu    sync.Mutex       // a leaf
	beats map[uint64]*beat // the last ones
}

var (
	_ preload.Teller     = (*BoundedFeed)(nil)
	_ preload.Positioner = (*BoundedFeed)(nil)
	_ preload.Shelf      = (*BoundedFeed)(nil)
)

// mostBeats is how many beats a process remembers that it has not read: those of 16 bounds.
const mostBeats = 64

// beat is what a process knows of a beat of its own.
type beat struct {
	asked    time.Time // before it was sent first
	answered time.Time // zero while it is not
	server   string    // which start of which server took it
	id       string    // of its entry there
}

// Bounded returns a feed. The client stays the caller's, who closes it after the plugin.
func Bounded(client goredis.UniversalClient, options ...Option) *BoundedFeed {
	return &BoundedFeed{config: newConfig(options), client: client, beats: map[uint64]*beat{}}
}

// Open implements preload.Feed. Redis need not be there yet, but one that is there and refuses what
// the feed does is an error.
func (f *BoundedFeed) Open(ctx context.Context, m preload.Member) error {
	if err := f.err(); err != nil {
		return err
	}
	if f.client == nil {
		return errNoClient
	}
	f.m, f.key, f.out = m, "{"+f.name+"/"+m.Namespace()+"}:changes", newOutbox(m.Merge)
	f.shelf = newShelf(f.client, f.name, m.Namespace(), m.ID())
	if err := atOpen(ctx, f.check); err != nil {
		return f.mayNot(err, m.Namespace(), "")
	}
	f.reporter = failopen.Complaints(f.logger)
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.workers.Go(f.send)
	f.workers.Go(f.read)
	return nil
}

// Announce implements preload.Teller.
func (f *BoundedFeed) Announce(_ context.Context, batch []byte, _ string) (finish func(preload.End), err error) {
	return f.out.begin(batch), nil
}

// Close implements preload.Feed. It sends what waits to be sent, once, and takes about a quarter of
// the bound. Where Redis does not answer it takes no longer than twice the bound, or two seconds if
// that is longer; what the client has not given up by then it leaves behind, which ends when the
// client does.
func (f *BoundedFeed) Close() error {
	if f.cancel == nil {
		return nil
	}
	f.cancel()
	within(2*f.patience(), f.workers.Wait)
	return nil
}

// again returns after how long what failed is tried again, and logs why it failed. What Redis
// refuses is tried more seldom.
func (f *BoundedFeed) again(err error) time.Duration {
	f.reporter.Wrong("preload: Redis does not do what a feed asks of it: nothing is served from memory, or the others are not told what is written", err, "feed", "redis bounded")
	if refused(err) {
		return f.bound
	}
	return f.bound / 16
}

// within waits for a call, but not for longer than that.
func within(d time.Duration, call func()) {
	ended := make(chan struct{})
	go func() { defer close(ended); call() }()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}

// answer returns what a call of the client returns, or that the context has ended. A client need not
// heed that: one of go-redis waits for a block of XREAD ten seconds longer than it asked for, also on
// a connection that carries nothing any more. Such a call is left behind, and what it returns in the
// end is not looked at.
func answer[T any](ctx context.Context, call func() (T, error)) (result T, err error) {
	done := make(chan struct{})
	var late T
	var wrong error
	go func() {
		defer close(done)
		late, wrong = call()
	}()
	select {
	case <-done:
		return late, wrong
	case <-ctx.Done():
		return result, fmt.Errorf("redis: no answer in time: %w", ctx.Err())
	}
}

// The fields of an entry: which kind it is, whose it is, its number among these; of what begins its
// batch; of what ends, the number of what began, and how it ended; of a beat, below which number all
// has ended that began.
const (
	fieldKind, fieldProcess, fieldNumber = "k", "p", "n"
	fieldBatch, fieldOf, fieldEnd        = "b", "o", "e"
	fieldOpen                            = "l"
	kindBegin, kindEnd, kindBeat         = "B", "E", "T"
)

// most is how many entries are sent, or read, at a time.
const most = 256

// beatStep adds a beat, and returns which start of which server did, and as which entry.
var beatStep = goredis.NewScript(whichServer + `
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'k', 'T', 'p', ARGV[2], 'n', ARGV[3], 'l', ARGV[4])
return {server, id}`)

// send sends what is to be told, and beats. What could not be sent is sent again, with the same
// numbers: who has read them already passes them over.
func (f *BoundedFeed) send() {
	var number uint64
	var unsent []*item
	var marks []*mark // of what was sent
	numbers := map[*item]uint64{}
	open := opened{}
	give := func(it *item) {
		if it.mark != nil {
			return
		}
		number++
		numbers[it] = number
		if !it.ended {
			it.of.id = number
		}
		open.note(it)
	}
	// The timer is that of the next beat, or of the next attempt to send.
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := time.Now()
	var pending uint64 // the number of a beat that may not have arrived; 0 if there is none
	for {
		closing := f.ctx.Err() != nil
		if len(unsent) == 0 && pending == 0 {
			unsent = f.out.take(most, give)
		}
		wrong := error(nil)
		if len(unsent) > 0 {
			if wrong = f.add(unsent, numbers); wrong == nil {
				for _, it := range unsent {
					if delete(numbers, it); it.mark != nil {
						marks = append(marks, it.mark)
					}
				}
				unsent = nil
			}
		}
		// The beat that is pending goes first, also in the end: who reads what comes after it misses it.
		if wrong == nil && (pending != 0 || !closing && (len(marks) > 0 || !time.Now().Before(next))) {
			if pending == 0 {
				number++
				pending = number
			}
			next = time.Now().Add(f.bound / 4)
			var b *beat
			if b, wrong = f.beat(pending, open.first(pending)); wrong == nil {
				for _, m := range marks {
					m.passed(position{f.m.ID(), pending, b.id, b.server})
				}
				pending, marks = 0, nil
			}
		}
		if closing {
			if wrong != nil || f.out.close() {
				return
			}
			continue
		}
		wait := time.Until(next)
		if wrong != nil {
			wait = f.again(wrong)
		} else if len(unsent) == 0 && f.out.waits() {
			continue
		}
		timer.Reset(max(0, wait))
		wake := f.out.wake
		if wrong != nil {
			wake = nil
		}
		select {
		case <-timer.C:
		case <-wake:
		case <-f.ctx.Done():
		}
	}
}

// opened are the numbers of what was told to begin and not to have ended, each with until when it
// counts as that: for good, as the zero time, or for as long as what nobody knows the end of.
type opened map[uint64]time.Time

// unknownFor is for how long what nobody knows the end of counts as not ended: an entry that says
// so may be lost.
const unknownFor = time.Minute

func (o opened) note(it *item) {
	switch {
	case !it.ended:
		o[it.of.id] = time.Time{}
	case it.of.end == preload.EndUnknown:
		o[it.of.id] = time.Now().Add(unknownFor)
	default:
		delete(o, it.of.id)
	}
}

// first returns the first of them, and otherwise a number that comes later.
func (o opened) first(otherwise uint64) uint64 {
	for number, until := range o {
		if !until.IsZero() && time.Now().After(until) {
			delete(o, number)
			continue
		}
		otherwise = min(otherwise, number)
	}
	return otherwise
}

// patience is how long Redis may take to answer.
func (f *BoundedFeed) patience() time.Duration { return max(f.bound, time.Second) }

func (f *BoundedFeed) add(items []*item, numbers map[*item]uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), f.patience())
	defer cancel()
	pipe := f.client.Pipeline()
	for _, it := range items {
		if it.mark != nil {
			continue
		}
		values := []any{fieldKind, kindBegin, fieldProcess, f.m.ID(), fieldNumber, numbers[it]}
		if it.ended {
			values[1] = kindEnd
			values = append(values, fieldOf, it.of.id, fieldEnd, int(it.of.end))
		} else {
			values = append(values, fieldBatch, it.of.batch)
		}
		pipe.XAdd(ctx, &goredis.XAddArgs{Stream: f.key, MaxLen: f.length, Approx: true, Values: values})
	}
	_, err := answer(ctx, func() ([]goredis.Cmder, error) { return pipe.Exec(ctx) })
	return err
}

// beat sends a beat.
func (f *BoundedFeed) beat(number, open uint64) (*beat, error) {
	ctx, cancel := context.WithTimeout(context.Background(), f.patience())
	defer cancel()
	f.mu.Lock()
	b := f.beats[number]
	if b == nil {
		b = &beat{asked: time.Now()}
		f.beats[number] = b
		if len(f.beats) > mostBeats { // no beats are read
			delete(f.beats, slices.Min(slices.Collect(maps.Keys(f.beats))))
		}
	}
	f.mu.Unlock()
	took, err := answer(ctx, func() ([]string, error) {
		return beatStep.Run(ctx, f.client, []string{f.key}, f.length, f.m.ID(), number, open).StringSlice()
	})
	switch {
	case err != nil:
		return nil, err
	case len(took) != 2:
		return nil, errAnswer
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b.answered, b.server, b.id = time.Now(), took[0], took[1]
	return b.copy(), nil
}

func (b *beat) copy() *beat {
	c := *b
	return &c
}

// heard returns the newest beat up to a number, and forgets those before it; nil while that is not
// answered. late is when the last beat was answered.
func (f *BoundedFeed) heard(number uint64) (newest *beat, late time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := uint64(0)
	for n, b := range f.beats {
		if b.answered.After(late) {
			late = b.answered
		}
		if n <= number && !b.answered.IsZero() && n > at {
			at, newest = n, b
		}
	}
	if newest != nil {
		newest = newest.copy()
	}
	for n, b := range f.beats {
		if n <= at && !b.answered.IsZero() {
			delete(f.beats, n)
		}
	}
	return newest, late
}
