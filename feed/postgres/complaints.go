package postgres

import (
	"log/slog"
	"maps"
	"sync"
	"time"
)

// mostSpoken bounds the texts of which it is known that they were logged in the last minute.
const mostSpoken = 32

// complaints log what is wrong, each text once a minute. It is safe for concurrent use.
type complaints struct {
	mu     sync.Mutex           // a leaf
	spoken map[string]time.Time // when a text was logged, in the last minute
}

func (c *complaints) log(logger *slog.Logger, what string, err error, about ...any) {
	text, about := what, append([]any{"feed", "postgres"}, about...)
	if err != nil {
		text, about = text+err.Error(), append(about, "err", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(c.spoken, func(_ string, at time.Time) bool { return now.Sub(at) >= time.Minute })
	if _, said := c.spoken[text]; said || len(c.spoken) >= mostSpoken {
		return
	}
	if c.spoken == nil {
		c.spoken = map[string]time.Time{}
	}
	c.spoken[text] = now
	logger.Warn("preload: "+what, about...)
}
