package strict

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Patient is a Database that takes writes for over, after a time, of which the database cannot tell
// whether they are: statements outside of a transaction, and all where there is no Database. So it
// is weaker: what such a write made visible later than that, because its process was stopped for so
// long, others may not see until their answers expire. It is safe for concurrent use.
type Patient struct {
	Database               // nil if there is none
	After    time.Duration // since it was first asked

	mu    sync.Mutex // a leaf
	named int64
	since map[string]time.Time
}

// unnamed is how names begin that are not of the database.
const unnamed = "?"

// Name returns the name by which Over is to be asked for a write of a process: that of its
// transaction, where it has one that the database knows.
func (p *Patient) Name(process, tx string) string {
	if tx != "" && p.Database != nil {
		return tx
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.named++
	return unnamed + process + "/" + strconv.FormatInt(p.named, 36)
}

// maxUnnamed is how many names are remembered. Those beyond it are over once there is room again.
const maxUnnamed = 1 << 16

// Over implements Database.
func (p *Patient) Over(ctx context.Context, tx string) (bool, error) {
	if tx != "" && !strings.HasPrefix(tx, unnamed) && p.Database != nil {
		return p.Database.Over(ctx, tx)
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	first, asked := p.since[tx]
	switch {
	case asked && now.Sub(first) >= p.After:
		return true, nil // asked again, it is over after the same time
	case asked:
		return false, nil
	}
	for other, first := range p.since {
		if now.Sub(first) >= 2*p.After {
			delete(p.since, other)
		}
	}
	if p.since == nil {
		p.since = map[string]time.Time{}
	}
	if len(p.since) < maxUnnamed {
		p.since[tx] = now
	}
	return false, nil
}

// Mark implements Database.
func (p *Patient) Mark(ctx context.Context) (string, error) {
	if p.Database == nil {
		return "", nil
	}
	return p.Database.Mark(ctx)
}

// Passed implements Database.
func (p *Patient) Passed(ctx context.Context, mark string) (bool, error) {
	if p.Database == nil {
		return true, nil
	}
	return p.Database.Passed(ctx, mark)
}
