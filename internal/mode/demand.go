package mode

import (
	"context"
	"sync"
	"time"
)

// Demand is what calls want of the answers that they get from memory.
type Demand struct {
	Bounded bool          // an answer may be old
	Age     time.Duration // that much, if so
	Tokens  []*Token      // what it must not be older than
}

// Token stands for a moment of another process's.
type Token struct {
	Text     string
	patience time.Duration
	once     sync.Once
	until    time.Time
}

// NewToken returns a token that calls wait for as long as that, all together.
func NewToken(text string, patience time.Duration) *Token {
	return &Token{Text: text, patience: patience}
}

// Until returns until when calls may wait, which the first call decides.
func (t *Token) Until() time.Time {
	t.once.Do(func() { t.until = time.Now().Add(t.patience) })
	return t.until
}

// Within returns a context whose calls want no answer that is older than that.
func Within(ctx context.Context, age time.Duration) context.Context {
	return demanding(ctx, func(d *Demand) {
		if d.Bounded {
			age = min(age, d.Age)
		}
		d.Bounded, d.Age = true, age
	})
}

// In returns a context whose calls want no answer that is older than a token.
func (t *Token) In(ctx context.Context) context.Context {
	return demanding(ctx, func(d *Demand) { d.Tokens = append(d.Tokens[:len(d.Tokens):len(d.Tokens)], t) })
}

func demanding(ctx context.Context, more func(*Demand)) context.Context {
	c, d := of(ctx), &Demand{}
	if c.demand != nil {
		*d = *c.demand
	}
	more(d)
	c.demand = d
	return context.WithValue(ctx, contextKey{}, c)
}

// DemandOf returns what a context has its calls demand, nil where that is nothing.
func DemandOf(ctx context.Context) *Demand { return of(ctx).demand }
