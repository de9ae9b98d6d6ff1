package footprint

import (
	"strings"
	"sync"

	"github.com/gorm-preload/preload/internal/clone"
)

// Statements that are remembered by their text: how many, how long it may be, and how many bytes
// they and what is known of them take.
const (
	maxStatements     = 1_000
	maxText           = 4 << 10
	maxStatementBytes = 2 << 20
)

// statementOverhead is about what a place in the map takes.
const statementOverhead = 128

// memo remembers what was found out about texts; full, it starts anew.
type memo[T any] struct {
	mu     sync.RWMutex
	byText map[string]T
	bytes  int64
	closed bool // nothing is remembered any more
}

func (m *memo[T]) of(text string, find func(string) T) T {
	m.mu.RLock()
	known, ok := m.byText[text]
	m.mu.RUnlock()
	if ok {
		return known
	}
	if len(text) > maxText {
		return find(text)
	}
	// What is remembered must not keep the buffer of a statement.
	text = strings.Clone(text)
	found := find(text)
	size := clone.TextSize(len(text)) + clone.SizeAny(found) + statementOverhead
	if size > maxStatementBytes {
		return found
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return found
	}
	if m.byText == nil || len(m.byText) >= maxStatements || m.bytes+size > maxStatementBytes {
		m.byText, m.bytes = map[string]T{}, 0
	}
	if _, known := m.byText[text]; !known {
		m.byText[text] = found
		m.bytes += size
	}
	return found
}

// size returns how many bytes are remembered.
func (m *memo[T]) size() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.bytes
}

func (m *memo[T]) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.clear()
}

func (m *memo[T]) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byText, m.bytes = nil, 0
}
