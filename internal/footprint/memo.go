package footprint

import (
	"strings"
	"sync"

	"github.com/gorm-preload/preload/internal/clone"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/sqltext"
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

// get returns what was found out about a text, if it is remembered.
func (m *memo[T]) get(text string) (found T, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	found, ok = m.byText[text]
	return found, ok
}

// of returns what was found out about a text, or is by find.
func (m *memo[T]) of(text string, find func(string) T) T {
	if known, ok := m.get(text); ok {
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

// meaning is what is known of a statement by its text alone. It does not change.
type meaning struct {
	Statement sqltext.Statement
	// Mentioned are the changes of a write of which no more is known than the names in it.
	Mentioned []coherence.Change
}

// foldedText is a text without its numbers.
type foldedText struct {
	query, folded string
	numbers       []string
	meaning       *meaning
}

// known returns what is known of a statement by its text alone, once for all texts that differ in
// their numbers only.
func (f *Footprints) known(query string) *meaning {
	if last := f.folded.Load(); last != nil && last.query == query {
		return last.meaning
	}
	if known, ok := f.meanings.get(query); ok {
		return known
	}
	folded, numbers := sqltext.WithoutNumbers(query)
	known := f.meanings.of(folded, func(text string) *meaning {
		m := &meaning{Statement: sqltext.Classify(f.dialect, text, f.pure...)}
		if m.Statement.Kind == sqltext.Write {
			m.Mentioned = ofTables(m.Statement.Names, coherence.Any)
		}
		return m
	})
	if len(numbers) > 0 && len(query) <= maxText {
		f.folded.Store(&foldedText{query, folded, numbers, known})
	}
	return known
}

// simple returns the shape of a statement that is simple, nil for another one, once for all texts
// that differ in their numbers only: these are returned, as others stand for them in the shape.
func (f *Footprints) simple(query string) (shape *sqltext.Shape, numbers []string) {
	var folded string
	if last := f.folded.Load(); last != nil && last.query == query {
		folded, numbers = last.folded, last.numbers
	} else if known, ok := f.shapes.get(query); ok {
		return known, nil
	} else {
		folded, numbers = sqltext.WithoutNumbers(query)
	}
	shape = f.shapes.of(folded, func(text string) *sqltext.Shape {
		if shape, ok := sqltext.Simple(f.dialect, text); ok {
			return &shape
		}
		return nil
	})
	return shape, numbers
}
