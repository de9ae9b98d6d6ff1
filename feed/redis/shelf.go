package redis

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// shelf has the lists of hot keys that processes leave for each other: a hash of the lists by
// process, and the same processes by when they left theirs. Both go when nobody has left one for
// long.
type shelf struct {
	client  goredis.UniversalClient
	keys    []string // lists, moments
	process string
}

func newShelf(client goredis.UniversalClient, name, namespace, process string) *shelf {
	at := "{" + name + "/" + namespace + "}:hot:" // braces, so that a cluster has it in one place
	return &shelf{client, []string{at + "lists", at + "moments"}, process}
}

const (
	// keepLists is how long a list is kept, and mostLists are the newest that are.
	keepLists = time.Hour
	mostLists = 16
	// longList is longer than any list is, in bytes: what is there is not a list.
	longList = 300 << 10
)

var (
	// putStep leaves a list. What is old goes, and what is beyond the newest.
	putStep = goredis.NewScript(`
local now = tonumber(redis.call('TIME')[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[1])
local function drop(gone)
	for _, process in ipairs(gone) do
		redis.call('HDEL', KEYS[1], process)
		redis.call('ZREM', KEYS[2], process)
	end
end
drop(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[3])))
drop(redis.call('ZREVRANGE', KEYS[2], tonumber(ARGV[4]), -1))
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1`)
	// listsStep returns the lists that are kept, but what is too long for one.
	listsStep = goredis.NewScript(`
local now = tonumber(redis.call('TIME')[1])
local lists = {}
for _, process in ipairs(redis.call('ZREVRANGEBYSCORE', KEYS[2], '+inf', now - tonumber(ARGV[1]), 'LIMIT', 0, ARGV[2])) do
	local length = redis.call('HSTRLEN', KEYS[1], process)
	if length > 0 and length <= tonumber(ARGV[3]) then lists[#lists + 1] = redis.call('HGET', KEYS[1], process) end
end
return lists`)
)

func (s *shelf) put(ctx context.Context, list []byte) error {
	if s == nil {
		return errNotOpen
	}
	return putStep.Run(ctx, s.client, s.keys, s.process, list, int(keepLists.Seconds()), mostLists).Err()
}

func (s *shelf) lists(ctx context.Context) ([][]byte, error) {
	if s == nil {
		return nil, errNotOpen
	}
	texts, err := listsStep.Run(ctx, s.client, s.keys, int(keepLists.Seconds()), mostLists, longList).StringSlice()
	lists := make([][]byte, len(texts))
	for i, text := range texts {
		lists[i] = []byte(text)
	}
	return lists, err
}

// PutHot implements preload.Shelf.
func (f *BoundedFeed) PutHot(ctx context.Context, list []byte) error { return f.shelf.put(ctx, list) }

// HotLists implements preload.Shelf.
func (f *BoundedFeed) HotLists(ctx context.Context) ([][]byte, error) { return f.shelf.lists(ctx) }

// PutHot implements preload.Shelf.
func (f *StrictFeed) PutHot(ctx context.Context, list []byte) error { return f.shelf.put(ctx, list) }

// HotLists implements preload.Shelf.
func (f *StrictFeed) HotLists(ctx context.Context) ([][]byte, error) { return f.shelf.lists(ctx) }
