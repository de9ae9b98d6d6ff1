package seen

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

// Unserved counts the reads that went past the plugin, by the reason and by their statement without
// its values. Of statements beyond maxUnserved those are kept that took the most time; the others
// of a reason are counted together.
type Unserved struct {
	mu    sync.Mutex
	rows  map[unserved]*UnservedRow
	known map[uint64]*UnservedRow // by the hash of the reason and of the text as it is sent
	since time.Time               // when the second began in which fresh texts were looked at
	fresh int
}

type unserved struct{ reason, sql string }

// UnservedRow is what is told of one statement; SQL is "" of those that are counted together.
type UnservedRow struct {
	Reason, SQL string
	Count       int64
	DBTime      time.Duration
}

const (
	maxUnserved = 200
	maxKnown    = 1_000
	// maxFresh bounds the texts that are taken apart in a second: an application that puts values
	// into its texts has a new one for each read.
	maxFresh = 100
	// maxUnservedText bounds the texts that are taken apart, and maxUnservedShown what is kept.
	maxUnservedText  = 16 << 10
	maxUnservedShown = 2 << 10
)

var unservedSeed = maphash.MakeSeed()

// Record counts a read, which took the database so long. plain makes of its text one that holds no
// value, "" where it cannot.
func (u *Unserved) Record(reason, text string, took time.Duration, plain func(text string) string) {
	var h maphash.Hash
	h.SetSeed(unservedSeed)
	h.WriteString(reason)
	h.WriteByte(0)
	h.WriteString(text)
	hash := h.Sum64()
	if u.count(hash, took) {
		return
	}
	sql := ""
	if len(text) <= maxUnservedText && u.mayLook() {
		if sql = plain(text); len(sql) > maxUnservedShown {
			sql = sql[:maxUnservedShown] + " ..."
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	row := u.row(unserved{reason, sql}, took)
	row.Count++
	row.DBTime += took
	if sql != "" && row.SQL == sql {
		if u.known == nil || len(u.known) >= maxKnown {
			u.known = map[uint64]*UnservedRow{}
		}
		u.known[hash] = row
	}
}

// count counts a read whose text is known.
func (u *Unserved) count(hash uint64, took time.Duration) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	row := u.known[hash]
	if row != nil {
		row.Count++
		row.DBTime += took
	}
	return row != nil
}

// mayLook reports whether one more text may be taken apart now.
func (u *Unserved) mayLook() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now := time.Now(); now.Sub(u.since) >= time.Second {
		u.since, u.fresh = now, 0
	}
	u.fresh++
	return u.fresh <= maxFresh
}

// row returns the row of a statement that took so long. Where there is no room for one more, it
// gets the place of the one that took the least time if it took more, and is counted with the
// others of its reason if it did not. mu is held.
func (u *Unserved) row(key unserved, took time.Duration) *UnservedRow {
	if u.rows == nil {
		u.rows = map[unserved]*UnservedRow{}
	}
	if row := u.rows[key]; row != nil {
		return row
	}
	if len(u.rows) >= maxUnserved && key.sql != "" {
		var least *UnservedRow
		for _, row := range u.rows {
			if row.SQL != "" && (least == nil || row.DBTime < least.DBTime) {
				least = row
			}
		}
		if least == nil || least.DBTime >= took {
			return u.row(unserved{reason: key.reason}, took)
		}
		delete(u.rows, unserved{least.Reason, least.SQL})
		for hash, row := range u.known {
			if row == least {
				delete(u.known, hash)
			}
		}
		others := u.row(unserved{reason: least.Reason}, 0)
		others.Count += least.Count
		others.DBTime += least.DBTime
	}
	row := &UnservedRow{Reason: key.reason, SQL: key.sql}
	u.rows[key] = row
	return row
}

// Rows returns at most so many rows, those first that took the most time.
func (u *Unserved) Rows(limit int) []UnservedRow {
	u.mu.Lock()
	all := make([]UnservedRow, 0, len(u.rows))
	for _, row := range u.rows {
		all = append(all, *row)
	}
	u.mu.Unlock()
	slices.SortFunc(all, func(a, b UnservedRow) int {
		return cmp.Or(cmp.Compare(b.DBTime, a.DBTime), cmp.Compare(b.Count, a.Count), cmp.Compare(a.SQL, b.SQL), cmp.Compare(a.Reason, b.Reason))
	})
	return all[:min(max(0, limit), len(all))]
}

// Clear forgets all.
func (u *Unserved) Clear() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.rows, u.known = nil, nil
}

// Bytes returns about what it holds.
func (u *Unserved) Bytes() (n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for key := range u.rows {
		n += int64(len(key.sql)) + 160
	}
	return n + int64(len(u.known))*40
}
