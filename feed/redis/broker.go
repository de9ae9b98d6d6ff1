package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/strict"
	goredis "github.com/redis/go-redis/v9"
)

// broker is a strict.Broker. What the processes share is in three hashes: who the members are, what
// is pending, and the run that both belong to. A run belongs to one start of one server: its name
// has the server's run id, with which each step compares that of the server that it runs on, and
// random letters of whoever began it, as a server may be emptied while it runs.
type broker struct {
	client                 goredis.UniversalClient
	keys                   []string // run, members, pending; the channel of all
	acknowledgementsBefore string   // what the channels of acknowledgements begin with
	reporter               *failopen.Reporter
}

func newBroker(client goredis.UniversalClient, name, namespace string, logger *slog.Logger) *broker {
	at := "{" + name + "/" + namespace + "}:strict:" // braces, so that a cluster has it in one place
	return &broker{
		client: client, keys: []string{at + "run", at + "members", at + "pending", at + "told"}, acknowledgementsBefore: at + "acknowledged:",
		reporter: failopen.Complaints(logger),
	}
}

// whichServer has what a step begins with that has to know which start of which server it runs on:
// server is "" on one in memory, which says nothing of itself and is never started again. What a
// server of another kind does not say, or refuses to, is an error of the step.
const whichServer = `
local info = redis.pcall('INFO', 'server')
local server = ''
if type(info) == 'string' then
	server = string.match(info, 'run_id:(%w+)')
	if not server then return redis.error_reply('ERR the server does not say its run_id (INFO server)') end
elseif not string.find(info.err, 'section (server) is not supported', 1, true) then
	return info
end
`

// opening has what all steps begin with: here is the run that goes on, "" if none does.
const opening = whichServer + `
local here = redis.call('HGET', KEYS[1], 'run')
if not here or redis.call('HGET', KEYS[1], 'server') ~= server then here = '' end
local function state(pending)
	local s = {here, redis.call('HGET', KEYS[1], 'ready') or '0', redis.call('HGETALL', KEYS[2])}
	if pending then s[4] = redis.call('HGETALL', KEYS[3]) end
	return s
end
local refused = ''
local function tell(notice)
	local answer = redis.pcall('PUBLISH', KEYS[4], notice)
	if type(answer) == 'table' and answer.err then refused = answer.err end
end
local function gone(seat)
	if redis.call('HDEL', KEYS[2], seat) == 1 then tell('G' .. here .. ' ' .. seat) end
end
`

var (
	joinStep = goredis.NewScript(opening + `
if here == '' then
	here = server .. '.' .. ARGV[3]
	redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
	redis.call('HSET', KEYS[1], 'run', here, 'server', server, 'ready', '0')
end
if ARGV[2] ~= '' and ARGV[4] == here then gone(ARGV[2]) end
local number = redis.call('HINCRBY', KEYS[1], 'seats', 1)
redis.call('HSET', KEYS[2], number .. ' ' .. ARGV[1], '0')
return {tostring(number), state(true)}`)
	renewStep = goredis.NewScript(opening + `
if here ~= ARGV[1] or redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then return 'gone' end
redis.call('HINCRBY', KEYS[2], ARGV[2], 1)
return state(true)`)
	announceStep = goredis.NewScript(opening + `
if here ~= ARGV[1] then return 'gone' end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
redis.call('PUBLISH', KEYS[4], ARGV[4])
return state(false)`)
	finishStep = goredis.NewScript(opening + `
if here ~= ARGV[1] then return 'gone' end
redis.call('HDEL', KEYS[3], ARGV[2])
tell(ARGV[3])
return 'ok ' .. refused`)
	fenceStep = goredis.NewScript(opening + `
if here ~= ARGV[1] then return 'gone' end
local counter = redis.call('HGET', KEYS[2], ARGV[2])
if counter and counter ~= ARGV[3] then return {counter} end
gone(ARGV[2])
return {}`)
	readyStep = goredis.NewScript(opening + `
if here ~= ARGV[1] then return 'gone' end
redis.call('HSET', KEYS[1], 'ready', '1')
return 'ok'`)
	leaveStep = goredis.NewScript(opening + `
if here == ARGV[1] then gone(ARGV[2]) end
return 'ok'`)
)

// run runs a step. What is of another run has the error strict.ErrGone.
func (b *broker) run(ctx context.Context, step *goredis.Script, args ...any) (any, error) {
	answer, err := step.Run(ctx, b.client, b.keys, args...).Result()
	switch {
	case errors.Is(err, goredis.Nil):
		return nil, nil
	case err != nil:
		b.failed(err)
		return nil, err
	case answer == "gone":
		return nil, strict.ErrGone
	}
	return answer, nil
}

var errAnswer = errors.New("redis: an answer that is not understood: is there something else under the same name?")

// pairs reads the fields of a hash, and what they hold.
func pairs(answer any, each func(field, value string) error) error {
	list, ok := answer.([]any)
	if !ok || len(list)%2 > 0 {
		return errAnswer
	}
	for i := 0; i < len(list); i += 2 {
		field, ok := list[i].(string)
		value, also := list[i+1].(string)
		if !ok || !also {
			return errAnswer
		}
		if err := each(field, value); err != nil {
			return err
		}
	}
	return nil
}

// state reads what a step says, and complains where it is not understood: nothing is served until
// that has gone.
func (b *broker) state(answer any) (strict.State, error) {
	s, err := stateFrom(answer)
	if err != nil {
		err = fmt.Errorf("%w (the hashes %s and %s: if nothing is there but what should not be, have it deleted)", err, b.keys[1], b.keys[2])
		b.complain("nothing is served from memory: what Redis has is not understood", err)
	}
	return s, err
}

// complain logs what is wrong, and why.
func (b *broker) complain(what string, err error) {
	b.reporter.Wrong("preload: "+what, err, "feed", "redis strict")
}

// failed logs why Redis does not do something.
func (b *broker) failed(err error) {
	if !errors.Is(err, context.Canceled) { // by Close
		b.complain("Redis does not do what a feed asks of it: writes take long, and what they change may not be served", err)
	}
}

func stateFrom(answer any) (s strict.State, err error) {
	parts, _ := answer.([]any)
	if len(parts) < 3 {
		return s, errAnswer
	}
	var ok bool
	if s.Run, ok = parts[0].(string); !ok {
		return s, errAnswer
	}
	s.Ready = parts[1] == "1"
	err = pairs(parts[2], func(field, value string) error {
		seat, err := strict.SeatAt(s.Run, field)
		if err != nil {
			return err
		}
		counter, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("%w: %q stands for no counter of the member %q", strict.ErrNotice, value, field)
		}
		s.Members = append(s.Members, strict.Standing{Seat: seat, Counter: counter})
		return nil
	})
	if err == nil && len(parts) > 3 {
		err = pairs(parts[3], func(field, value string) error {
			a, err := strict.AnnouncementFrom(value)
			if err != nil {
				return fmt.Errorf("%w: what is pending as %q", err, field)
			}
			s.Pending = append(s.Pending, a)
			return nil
		})
	}
	return s, err
}

// Join implements strict.Broker.
func (b *broker) Join(ctx context.Context, process string, left strict.Seat) (seat strict.Seat, s strict.State, err error) {
	answer, err := b.run(ctx, joinStep, process, left.Place(), rand.Text(), left.Run)
	if err != nil {
		return seat, s, err
	}
	parts, _ := answer.([]any)
	if len(parts) != 2 {
		return seat, s, errAnswer
	}
	if s, err = b.state(parts[1]); err == nil {
		seat, err = strict.SeatAt(s.Run, fmt.Sprint(parts[0], " ", process))
	}
	return seat, s, err
}

// Renew implements strict.Broker.
func (b *broker) Renew(ctx context.Context, seat strict.Seat) (s strict.State, err error) {
	answer, err := b.run(ctx, renewStep, seat.Run, seat.Place())
	if err != nil {
		return s, err
	}
	return b.state(answer)
}

// Announce implements strict.Broker.
func (b *broker) Announce(ctx context.Context, run string, a strict.Announcement) (s strict.State, err error) {
	text := a.Text()
	answer, err := b.run(ctx, announceStep, run, a.ID, text, a.Notice())
	if err != nil {
		return s, err
	}
	return b.state(answer)
}

// Acknowledge implements strict.Broker.
func (b *broker) Acknowledge(ctx context.Context, process string, a strict.Acknowledgement) error {
	err := b.client.Publish(ctx, b.acknowledgementsBefore+process, a.Notice()).Err()
	if err == nil {
		return nil
	}
	if b.failed(err); refused(err) {
		return fmt.Errorf("%w: %w", strict.ErrDenied, err)
	}
	return err
}

// Finish implements strict.Broker.
func (b *broker) Finish(ctx context.Context, run, write string, end strict.End) error {
	answer, err := b.run(ctx, finishStep, run, write, strict.FinishedNotice(write, end))
	if text, _ := answer.(string); final(text) {
		b.failed(fmt.Errorf("%w: %s", errRefused, text))
	}
	return err
}

// Fence implements strict.Broker.
func (b *broker) Fence(ctx context.Context, s strict.Standing) (gone bool, counter int64, err error) {
	answer, err := b.run(ctx, fenceStep, s.Run, s.Seat.Place(), s.Counter)
	if err != nil {
		return false, 0, err
	}
	parts, _ := answer.([]any)
	if len(parts) == 0 {
		return true, 0, nil
	}
	counter, err = strconv.ParseInt(fmt.Sprint(parts[0]), 10, 64)
	return false, counter, err
}

// Ready implements strict.Broker.
func (b *broker) Ready(ctx context.Context, run string) error {
	_, err := b.run(ctx, readyStep, run)
	return err
}

// Leave implements strict.Broker.
func (b *broker) Leave(ctx context.Context, seat strict.Seat) error {
	_, err := b.run(ctx, leaveStep, seat.Run, seat.Place())
	return err
}
