package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// final reports whether a text is an answer of Redis, to a call or inside of a script, that trying
// again does not change.
func final(answer string) bool {
	for _, part := range []string{
		"NOPERM ", "NOAUTH ", "WRONGPASS ", "WRONGTYPE ", "ERR unknown command", "ERR Unknown Redis command",
		"ERR This Redis command is not allowed", "The user executing the script can't", "ACL failure in script",
	} {
		if strings.Contains(answer, part) {
			return true
		}
	}
	return false
}

// refused reports whether an error is an answer of Redis that trying again does not change: who may
// not connect, or may not do what is needed, and what is there under the same name.
func refused(err error) bool {
	return errors.Is(err, errRefused) || errors.As(err, new(goredis.Error)) && final(err.Error())
}

// openPatience is how long Open waits for Redis to say whether it lets the feed do what it does.
const openPatience = 2 * time.Second

// errRefused is in the error of what a script was refused.
var errRefused = errors.New("it is refused")

// atOpen does a check, and returns what Redis refuses. A server that cannot be reached may be
// reached later.
func atOpen(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	_, err := answer(ctx, func() (struct{}, error) { return struct{}{}, check(ctx) })
	if refused(err) || errors.Is(err, errDropsKeys) {
		return err
	}
	return nil
}

// mayNot is the error of Open where Redis refuses something: with the access rules that a feed
// needs, but for channels where it needs none.
func (c *config) mayNot(err error, namespace, channels string) error {
	if errors.Is(err, errDropsKeys) {
		return fmt.Errorf("redis: %w", err)
	}
	at := "{" + c.name + "/" + namespace + "}:*"
	rules := "~" + at + " +@read +@write +@scripting +@connection +info +time"
	if channels != "" {
		rules += " " + channels + at + " +@pubsub"
	}
	return fmt.Errorf("redis: the user of this client may not do what a feed does: %w: want the right password, nothing else under the same name, and the access rules %s", err, rules)
}

// attempt is what checks begin with: try does something, and notes what of it was refused. A script
// returns these.
const attempt = `
local wrong = {}
local function try(...)
	local answer = redis.pcall(...)
	if type(answer) == 'table' and answer.err then wrong[#wrong + 1] = select(1, ...) .. ': ' .. answer.err end
end
`

// attempted runs a script that begins with attempt, and returns what was refused for good.
func attempted(ctx context.Context, client goredis.UniversalClient, script *goredis.Script, keys []string, args ...any) error {
	wrong, err := script.Run(ctx, client, keys, args...).StringSlice()
	if err != nil {
		return err
	}
	var all []string
	for _, text := range wrong {
		if final(text) {
			all = append(all, text)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", errRefused, strings.Join(all, "; "))
}

// Both checks do what the feed does, and leave nothing behind: all at once, so that nobody sees what
// is there meanwhile. A message that is empty says nothing.
var (
	checkStrict = goredis.NewScript(attempt + `
try('INFO', 'server')
for i = 1, 3 do
	try('HSET', KEYS[i], ' ', '0')
	try('HINCRBY', KEYS[i], ' ', '1')
	try('HEXISTS', KEYS[i], ' ')
	try('HGET', KEYS[i], ' ')
	try('HDEL', KEYS[i], ' ')
	try('HGETALL', KEYS[i])
end
try('DEL', KEYS[4])
try('PUBLISH', KEYS[4], '')
return wrong`)
	checkBounded = goredis.NewScript(attempt + `
try('INFO', 'server')
try('XADD', KEYS[1], '*', 'k', '')
try('DEL', KEYS[1])
return wrong`)
)

var errDropsKeys = errors.New("the server drops keys when its memory is full (maxmemory-policy allkeys-...), which strict feeds cannot do with: want noeviction, or a volatile-... policy")

// check returns an error if Redis refuses what a process does, or may drop keys for want of memory.
func (b *broker) check(ctx context.Context, process string) error {
	info, err := b.client.Info(ctx, "memory").Result()
	switch {
	case err != nil:
		return err
	case strings.Contains(info, "maxmemory_policy:allkeys"):
		return errDropsKeys
	}
	if err = attempted(ctx, b.client, checkStrict, b.keys); err != nil {
		return err
	}
	return b.client.Publish(ctx, b.acknowledgementsBefore+process, "").Err()
}

// check returns an error if Redis refuses what a process does. What it adds to a stream it adds to
// another one, which it takes away.
func (f *BoundedFeed) check(ctx context.Context) error {
	if err := attempted(ctx, f.client, checkBounded, []string{f.key + ":check"}); err != nil {
		return err
	}
	if err := f.client.Time(ctx).Err(); err != nil {
		return err
	}
	if err := f.client.XRangeN(ctx, f.key, "-", "+", 1).Err(); err != nil {
		return err
	}
	_, err := readStream(ctx, f.client, f.key, "0-0", time.Millisecond)
	return err
}
