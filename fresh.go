package preload

import (
	"context"
	"fmt"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/feeds"
	"github.com/gorm-preload/preload/internal/mode"
)

// ContextWithFreshness bounds how old an answer may be that a read with the context takes from
// memory, or from the query of another reader: the query that gave it began at most d before the
// read, or all feeds vouch for a moment that is no longer ago. A strict feed always does; a bounded
// one does up to a quarter of its bound ago. Without a feed it is the age of the answer that
// counts, and so it is with a feed, of an answer that no write invalidates: that of Load, or of
// LoadWith without Tables, and one that Cache keeps though its query reads the current time. Where
// d is not positive, the read goes to the database. What the database gives is kept.
//
// It holds for queries of every form, those that preload associations and prepared ones too, and
// for Load. Of several contexts around each other the least d counts. It is safe for concurrent
// use.
func ContextWithFreshness(ctx context.Context, d time.Duration) context.Context {
	return mode.Within(orBackground(ctx), d)
}

// Token stands for what one process has written by some moment. It is text that can be put into a
// cookie or a header, of a few dozen letters for each feed, and tells no values. It is of use for
// as long as processes can be behind, a few seconds: keep it no longer than a minute.
type Token string

// Positioner is a Feed by which reads can wait for what another process has written. Without it,
// reads with a Token of another process go to the database.
type Positioner interface {
	Feed
	// Position names, by a short text, what the others have been told of the writes of this process
	// that have returned by now. It may ask and wait for that, until the context ends. An error
	// says that nobody knows.
	Position(ctx context.Context) (string, error)
	// Await returns nil once all is taken in here, or forgotten, that a position stands for; at
	// once where it is, though the context has ended. It returns the error of the context when that
	// ends before, and another one where the text names no position.
	Await(ctx context.Context, position string) error
}

// Position returns a token of all that this process has written by now: writes that have returned.
// Other processes read at least that with ContextWithAtLeast. It takes a round trip to what
// connects the feeds, and lasts no longer than the context. The error says which feed could not
// tell; the token that comes with it has reads in other processes go to the database.
func (p *Plugin) Position(ctx context.Context) (Token, error) {
	if err := p.inUse(); err != nil {
		return "", err
	}
	if ctx == nil {
		return "", fmt.Errorf("preload: Position: %w", errNilContext)
	}
	token, err := p.feeds.Position(ctx)
	if err != nil {
		err = fmt.Errorf("preload: Position: asking a feed: %w", err)
	}
	return Token(token), err
}

// ContextWithAtLeast makes the reads with the context see at least what a Token stands for: they
// are answered from memory only where all of that is known here. They wait for it for 50
// milliseconds, all reads of one context together; then they go to the database, as they do at once
// where a feed is no Positioner, with a token that is not understood, which the log tells, and for
// an answer that no write invalidates (see ContextWithFreshness). The empty token stands for
// nothing. It holds for what ContextWithFreshness holds for, and is safe for
// concurrent use.
//
// A token that comes back from outside can have been changed: whoever does that has its own reads
// wait for no longer than that, or see what they would see without a token.
func ContextWithAtLeast(ctx context.Context, token Token) context.Context {
	if ctx = orBackground(ctx); token == "" {
		return ctx
	}
	return mode.NewToken(string(token), tokenPatience).In(ctx)
}

// tokenPatience is how long reads wait for a token.
const tokenPatience = 50 * time.Millisecond

// freshness finds out what a call demands of answers in memory.
type freshness struct {
	cache *cache.Cache
	feeds *feeds.Feeds
}

// of returns what a call demands that says this, after it has waited for that where it has to.
func (f *freshness) of(ctx context.Context, d *mode.Demand) (since cache.Since) {
	for _, token := range d.Tokens {
		if !f.feeds.Await(ctx, token.Text, token.Until()) {
			return cache.Never
		}
		since = cache.Known()
	}
	if d.Bounded {
		since = since.And(f.cache.Within(d.Age, f.cache.Now()))
	}
	return since
}

// in returns what a context has calls demand.
func (f *freshness) in(ctx context.Context) cache.Since {
	if d := mode.DemandOf(ctx); d != nil {
		return f.of(ctx, d)
	}
	return cache.Since{}
}
