package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/gorm-preload/preload"
	goredis "github.com/redis/go-redis/v9"
)

// sender is what is known of another process.
type sender struct {
	number uint64 // of the last entry
	seen   time.Time
	open   map[uint64]func(preload.End)
	quiet  int  // beats of this process's own that were read since the last entry
	fresh  bool // all was forgotten: the next entry is taken as it comes
	sure   bool // it was there, and nothing was lost, when that was last found out
	tells  bool // its beats tell what has ended

	from   uint64            // the number of the first entry of those that were all read
	before func(preload.End) // of everything, while something is open that began before from; or nil
}

// ended ends what began below a number: the entry that said so was lost.
func (s *sender) ended(below uint64) {
	for number, end := range s.open {
		if number < below {
			end(preload.EndVisible)
			delete(s.open, number)
		}
	}
}

// opens takes in what a beat tells: the first number of what is open. Where that is of an entry that
// was not read, nobody here knows what it changes.
func (s *sender) opens(first uint64, everything func() func(preload.End)) {
	switch {
	case first < s.from && s.before == nil:
		s.before = everything()
	case first >= s.from && s.before != nil:
		s.before(preload.EndVisible)
		s.before = nil
	}
	s.ended(first)
}

// giveUp ends what may never be heard of any more.
func (s *sender) giveUp() {
	for number, end := range s.open {
		end(preload.EndUnknown)
		delete(s.open, number)
	}
	if s.before != nil {
		s.before(preload.EndUnknown)
		s.before = nil
	}
	s.from = s.number + 1
}

// maxQuiet is after how many beats without an entry a process counts as one that has died: twice
// the bound, of time in which this process could hear it.
const maxQuiet = 8

// reader is how far the stream was read.
type reader struct {
	*BoundedFeed
	at      string // the last entry that was read, or where reading begins; "" before that
	checked string // the same, when it was last known that nothing before it was lost; "" before that
	server  string
	senders map[string]*sender
	own     uint64    // the last beat of this process that was read
	since   time.Time // when such a beat was last read, or reading began
}

// read takes in what is in the stream.
func (f *BoundedFeed) read() {
	r := &reader{BoundedFeed: f, senders: map[string]*sender{}}
	for f.ctx.Err() == nil {
		if r.at == "" {
			if err := r.begin(); err != nil {
				f.pause(err)
				continue
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), f.patience())
		entries, err := readStream(ctx, f.client, f.key, r.at, f.bound/4)
		cancel()
		if f.ctx.Err() != nil {
			break // whoever closed the feed may not have waited for the answer
		}
		if err != nil {
			f.pause(err)
		}
		for _, entry := range entries {
			r.take(entry)
		}
		if err := r.settle(); err != nil {
			f.pause(err)
		}
	}
	for _, s := range r.senders {
		s.giveUp()
	}
}

// readStream returns what was added to a stream after an entry, at most so much as is read at a time;
// where there is nothing, it waits for that.
func readStream(ctx context.Context, client goredis.UniversalClient, key, after string, wait time.Duration) ([]goredis.XMessage, error) {
	streams, err := answer(ctx, func() ([]goredis.XStream, error) {
		return client.XRead(ctx, &goredis.XReadArgs{Streams: []string{key, after}, Count: most, Block: max(time.Millisecond, wait)}).Result()
	})
	switch {
	case errors.Is(err, goredis.Nil):
		return nil, nil
	case err != nil || len(streams) == 0:
		return nil, err
	}
	return streams[0].Messages, nil
}

// pause waits after something failed.
func (f *BoundedFeed) pause(err error) {
	timer := time.NewTimer(f.again(err))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.ctx.Done():
	}
}

// lookBack is how far behind the end of the stream a process begins to read: so it knows what was
// announced and has not ended. What has been open for longer the beats of its writer tell of; those
// of a writer that died are there for as long as others count what it wrote as not ended, about.
const lookBack = unknownFor + 5*time.Second

// begin finds where to begin to read.
func (r *reader) begin() error {
	ctx, cancel := context.WithTimeout(context.Background(), r.patience())
	defer cancel()
	now, err := answer(ctx, func() (time.Time, error) { return r.client.Time(ctx).Result() })
	if err != nil {
		return err
	}
	r.at, r.checked, r.since = strconv.FormatInt(now.Add(-lookBack).UnixMilli(), 10)+"-0", "", time.Now()
	return nil
}

// settle serves on, once a beat of this process's own was read; and ends what others announced that
// have not been heard of for long.
func (r *reader) settle() error {
	b, late := r.heard(r.own)
	if b == nil {
		if stale := 4 * r.bound; time.Since(r.since) > stale && time.Since(late) < r.bound {
			// Beats arrive and are not read: the server's clock was set back, and its stream begun
			// anew.
			r.reset("the stream begins anew")
			r.at = ""
		}
		return nil
	}
	r.since = time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), r.patience())
	defer cancel()
	first, err := answer(ctx, func() ([]goredis.XMessage, error) { return r.client.XRangeN(ctx, r.key, "-", "+", 1).Result() })
	if err != nil {
		return err
	}
	switch {
	case r.checked == "":
	case b.server != r.server:
		r.reset("the server is another one, or has been started again")
	case len(first) == 0 || before(r.checked, first[0].ID):
		r.reset("the stream was cut off before it was read")
	}
	r.checked, r.server = r.at, b.server
	r.known.settled(r.senders, b)
	r.m.Serve(b.asked, r.bound)
	for process, s := range r.senders {
		if s.quiet++; s.quiet > maxQuiet {
			s.giveUp()
		}
		if r.since.Sub(s.seen) > forgotten {
			s.giveUp()
			delete(r.senders, process)
		}
	}
	return nil
}

// forgotten is after how long a process is not remembered any more.
const forgotten = time.Hour

// before reports whether an entry is older than another one.
func before(a, b string) bool {
	var parts [2][2]uint64
	for i, id := range []string{a, b} {
		ms, n, _ := strings.Cut(id, "-")
		parts[i][0], _ = strconv.ParseUint(ms, 10, 64)
		parts[i][1], _ = strconv.ParseUint(n, 10, 64)
	}
	return parts[0][0] < parts[1][0] || parts[0][0] == parts[1][0] && parts[0][1] < parts[1][1]
}

// reset invalidates all: each other process is taken as it comes from then on. What one has
// announced is still blocked until its end, which may be in the stream yet.
func (r *reader) reset(why string) {
	r.m.Stop()
	for _, s := range r.senders {
		s.fresh, s.sure = true, false
	}
	r.m.Reset(why)
}

// take takes in an entry.
func (r *reader) take(entry goredis.XMessage) {
	r.at = entry.ID
	process, _ := entry.Values[fieldProcess].(string)
	number := numberIn(entry, fieldNumber)
	if process == r.m.ID() {
		if entry.Values[fieldKind] == kindBeat {
			r.own = max(r.own, number)
		}
		return
	}
	s := r.senders[process]
	if s == nil {
		s = &sender{number: number - 1, from: number, open: map[uint64]func(preload.End){}}
		r.senders[process] = s
	}
	s.seen, s.quiet = time.Now(), 0
	switch {
	case number <= s.number:
		return // it was sent again
	case number != s.number+1:
		if !s.fresh {
			r.reset("entries of the stream were lost")
		}
		if !s.tells {
			s.giveUp() // the ends of what is open may be among them
		}
		s.from = number // and what is told to be open from now on may have begun among them
	}
	s.number, s.fresh = number, false
	if s.sure {
		defer r.known.took(process, number) // when that is done
	}
	switch entry.Values[fieldKind] {
	case kindBeat:
		if open := numberIn(entry, fieldOpen); open > 0 {
			s.tells = true
			s.opens(open, func() func(preload.End) { return r.m.Begin(nil) })
		}
	case kindBegin:
		batch, _ := entry.Values[fieldBatch].(string)
		s.open[number] = r.m.Begin([]byte(batch))
	case kindEnd:
		of := numberIn(entry, fieldOf)
		end, known := s.open[of]
		if !known {
			// It began before what was read, or has been given up.
			r.m.Reset("a write ended of which it is not known what it changed")
			return
		}
		delete(s.open, of)
		became := preload.EndVisible
		if numberIn(entry, fieldEnd) == uint64(preload.EndUnknown) {
			became = preload.EndUnknown
		}
		end(became)
	default:
		r.reset("an entry of the stream is not understood")
	}
}

func numberIn(entry goredis.XMessage, field string) uint64 {
	text, _ := entry.Values[field].(string)
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}
