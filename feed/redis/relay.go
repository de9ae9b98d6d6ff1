package redis

import (
	"context"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// StreamRelay carries what the feed of feed/postgres tells, where one process reads the server's
// log for all. It is safe for concurrent use.
type StreamRelay struct {
	config
	client goredis.UniversalClient
}

// Relay returns a relay for postgres.Through: streams of Redis, of which each process reads one,
// and the one that reads the server's log another. A process has one connection of the client's
// pool for that most of the time, or two. Of the options it takes WithName and WithLength. The
// client stays the caller's, who closes it after the plugin. Where Redis does not answer, a closed
// plugin leaves up to a few calls behind, which end when the client gives up.
//
// It is no feed: with postgres.Through(redis.Relay(client)) all processes are told of what anybody
// writes, by the server's log. Who may write to Redis can have processes serve what is not so any
// more; what is told of writes preload.WithSecret seals, as with feeds.
func Relay(client goredis.UniversalClient, options ...Option) *StreamRelay {
	return &StreamRelay{newConfig(options), client}
}

// fieldEntry is the one field of what a relay adds.
const fieldEntry = "e"

// key returns the key of a stream. Those whose names differ after the last slash only are in one
// place of a cluster, by the braces.
func (r *StreamRelay) key(stream string) string {
	place, rest := stream, ""
	if i := strings.LastIndexByte(stream, '/'); i >= 0 {
		place, rest = stream[:i], ":"+stream[i+1:]
	}
	return "{" + r.name + "/" + place + "}" + rest
}

// streamKept is how long Redis keeps a stream to which nothing is added: that of a server that
// there is no more.
const streamKept = time.Hour

// check returns what is wrong with how the relay was made.
func (r *StreamRelay) check() error {
	if r.client == nil {
		return errNoClient
	}
	return r.err()
}

// Add adds entries at the end of a stream, in their order.
func (r *StreamRelay) Add(ctx context.Context, stream string, entries [][]byte) error {
	if err := r.check(); err != nil || len(entries) == 0 {
		return err
	}
	pipe := r.client.Pipeline()
	for _, e := range entries {
		pipe.XAdd(ctx, &goredis.XAddArgs{Stream: r.key(stream), MaxLen: r.length, Approx: true, Values: []any{fieldEntry, e}})
	}
	pipe.Expire(ctx, r.key(stream), streamKept)
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("redis: adding to a stream: %w", err)
	}
	return nil
}

// Read returns entries that were added to a stream after a place, as the relay of postgres.Through
// has to.
func (r *StreamRelay) Read(ctx context.Context, stream, after string, wait time.Duration) (entries [][]byte, last string, err error) {
	if err := r.check(); err != nil {
		return nil, after, err
	}
	if after == "" {
		end, err := r.client.XRevRangeN(ctx, r.key(stream), "+", "-", 1).Result()
		switch {
		case err != nil:
			return nil, after, fmt.Errorf("redis: asking for the end of a stream: %w", err)
		case len(end) == 0:
			return nil, "0-0", nil
		}
		return nil, end[0].ID, nil
	}
	read, err := readStream(ctx, r.client, r.key(stream), after, wait)
	if err != nil {
		return nil, after, fmt.Errorf("redis: reading a stream: %w", err)
	}
	for last = after; len(read) > 0; read = read[1:] {
		text, _ := read[0].Values[fieldEntry].(string)
		entries, last = append(entries, []byte(text)), read[0].ID
	}
	return entries, last, nil
}
