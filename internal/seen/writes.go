package seen

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// OtherWrites is the kind of writes that are not told apart.
const OtherWrites = "other writes"

const (
	// maxWritten bounds the tables whose writes are told apart, and maxWriteKinds the kinds of
	// writes of each.
	maxWritten    = 1_000
	maxWriteKinds = 8
	// maxWriteColumns bounds the columns that are kept of a kind, before one that stands for the
	// others.
	maxWriteColumns = 16
	moreColumns     = "..."
)

// Write is a kind of write of one table.
type Write struct {
	Table     string   // "" for one that may have changed anything
	Kind      string   // what it did
	Columns   []string // that it set; nil where they are not known
	Elsewhere bool     // another process made it
}

// Written is a kind of write, and when the last one of it was.
type Written struct {
	Write
	Last time.Time
}

// Writes remembers of each table which kinds of writes there were lately. It is safe for concurrent
// use.
type Writes struct {
	mu     sync.Mutex
	tables map[string]*written
	others time.Time // the last write of a table that is not told apart
}

// written is what is remembered of one table.
type written struct {
	kinds []Written
	lost  time.Time // the last write of a kind that had to leave
}

// Note notes a write. Its columns are not retained.
func (w *Writes) Note(one Write, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tables[one.Table]
	switch {
	case t == nil && len(w.tables) >= maxWritten:
		w.others = now
		return
	case t == nil:
		t = &written{}
		if w.tables == nil {
			w.tables = map[string]*written{}
		}
		one.Table = strings.Clone(one.Table)
		w.tables[one.Table] = t
	}
	oldest := 0
	for i := range t.kinds {
		if t.kinds[i].is(&one) {
			t.kinds[i].Last = now
			return
		}
		if t.kinds[i].Last.Before(t.kinds[oldest].Last) {
			oldest = i
		}
	}
	one.Table, one.Columns = strings.Clone(one.Table), keptColumns(one.Columns)
	if len(t.kinds) < maxWriteKinds {
		t.kinds = append(t.kinds, Written{one, now})
		return
	}
	t.lost = latest(t.lost, t.kinds[oldest].Last)
	t.kinds[oldest] = Written{one, now}
}

// is reports whether a write is of this kind. Those that differ in what was not kept are of one.
func (k *Written) is(one *Write) bool {
	if k.Kind != one.Kind || k.Elsewhere != one.Elsewhere {
		return false
	}
	if n := len(k.Columns); n > maxWriteColumns && len(one.Columns) > maxWriteColumns {
		return slices.Equal(k.Columns[:maxWriteColumns], one.Columns[:maxWriteColumns])
	}
	return slices.Equal(k.Columns, one.Columns)
}

// keptColumns returns what is kept of columns, in memory of its own: their names may be a part of
// the text of a statement.
func keptColumns(columns []string) (kept []string) {
	for i, column := range columns {
		if i == maxWriteColumns {
			return append(kept, moreColumns)
		}
		kept = append(kept, strings.Clone(column))
	}
	return kept
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Since returns the kinds of which there was a write of one of the tables, or one that may have
// changed anything, at some time or later: the last first, and OtherWrites at the end.
func (w *Writes) Since(since time.Time, tables ...string) (all []Written) {
	tables = append(slices.Clone(tables), "")
	slices.Sort(tables)
	var others []Written
	w.mu.Lock()
	defer w.mu.Unlock()
	apart := true
	for _, table := range slices.Compact(tables) {
		t := w.tables[table]
		if t == nil {
			apart = apart && len(w.tables) < maxWritten
			continue
		}
		for _, kind := range t.kinds {
			if !kind.Last.Before(since) {
				all = append(all, kind)
			}
		}
		if !t.lost.IsZero() && !t.lost.Before(since) {
			others = append(others, Written{Write{Table: table, Kind: OtherWrites}, t.lost})
		}
	}
	if !apart && !w.others.IsZero() && !w.others.Before(since) {
		others = append(others, Written{Write{Kind: OtherWrites}, w.others})
	}
	slices.SortStableFunc(all, func(a, b Written) int { return b.Last.Compare(a.Last) })
	return append(all, others...)
}

// Clear forgets all.
func (w *Writes) Clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tables, w.others = nil, time.Time{}
}

// Bytes returns about what it holds.
func (w *Writes) Bytes() (n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for table, t := range w.tables {
		n += int64(len(table)) + 120
		for _, kind := range t.kinds {
			n += int64(len(kind.Table)) + 120
			for _, column := range kind.Columns {
				n += int64(len(column)) + 16
			}
		}
	}
	return n
}
