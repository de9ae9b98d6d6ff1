package replay

import "sync/atomic"

// Budget bounds how much several recorders hold at a time, of rows that are not read to their end
// yet. It is safe for concurrent use.
type Budget struct {
	max  int64
	held atomic.Int64
}

// NewBudget returns a budget of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{max: bytes} }

// Held returns how many bytes are held.
func (b *Budget) Held() int64 { return b.held.Load() }

// take reports whether so many more bytes may be held, and counts them if they may.
func (b *Budget) take(bytes int64) bool {
	if b == nil {
		return true
	}
	if b.held.Add(bytes) <= b.max {
		return true
	}
	b.held.Add(-bytes)
	return false
}

func (b *Budget) give(bytes int64) {
	if b != nil {
		b.held.Add(-bytes)
	}
}
