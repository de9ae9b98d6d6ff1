package preload

import (
	"strings"
	"sync"
)

// Statements that are remembered by their text: how many, and how long it may be.
const (
	maxStatements = 1_000
	maxText       = 4 << 10
)

// memo remembers what was found out about texts; full, it starts anew.
type memo[T any] struct {
	mu     sync.RWMutex
	byText map[string]T
}

func (m *memo[T]) of(text string, find func(string) T) T {
	m.mu.RLock()
	known, ok := m.byText[text]
	m.mu.RUnlock()
	if ok {
		return known
	}
	found := find(text)
	if len(text) > maxText {
		return found
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byText == nil || len(m.byText) >= maxStatements {
		m.byText = map[string]T{}
	}
	// What is remembered must not keep the buffer of a statement.
	m.byText[strings.Clone(text)] = found
	return found
}
