package preload_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"gorm.io/gorm"
)

// What plain GORM guarantees while connections are cut and outcomes are unknown, in a form that can
// be checked:
//
//   - Each row has one writer, whose versions only grow, and each update asks for an older version
//     in its condition. So the version of a row in the database only grows, whatever is done late
//     by a server whose client is gone.
//   - Each item is made once and deleted once. Its deletion is not tried before its creation was
//     acknowledged.
//
// So a read may show no less than what was acknowledged, or shown to anybody, before the read
// began; and no more than what was begun before it ended. A write of unknown outcome raises the
// second bound, not the first, until somebody is shown that it happened. What a transaction wrote
// and rolled back is never shown.

type chaosRow struct {
	_       struct{} `preload:""`
	ID      int      `gorm:"primaryKey;autoIncrement:false"`
	Owner   int      `gorm:"index"`
	Name    string   `gorm:"size:40;uniqueIndex"`
	Version int64
}

type chaosItem struct {
	_         struct{} `preload:""`
	ID        int64    `gorm:"primaryKey;autoIncrement:false"`
	Owner     int      `gorm:"index"`
	DeletedAt gorm.DeletedAt
}

const (
	chaosSlots    = 3        // rows of one owner
	chaosMaxItems = 1 << 17  // of one owner
	chaosPoison   = 1 << 40  // and above: versions and items that are rolled back
	chaosIDs      = 10       // from the rows of one owner to those of the next
	chaosItemIDs  = 10 << 20 // from the items of one owner to those of the next
)

func chaosName(owner, slot int) string { return fmt.Sprintf("row-%d-%d", owner, slot) }

// chaosBounds are the version of a row, or the phase of an item: 0 before it is made, 1 while it is
// there, 2 when it is deleted.
type chaosBounds struct{ low, started atomic.Int64 }

func chaosRaise(to *atomic.Int64, v int64) {
	for now := to.Load(); v > now && !to.CompareAndSwap(now, v); now = to.Load() {
	}
}

// chaosOwner has what one writer writes.
type chaosOwner struct {
	id    int
	rows  [chaosSlots]chaosBounds
	whole sync.Map // the versions that all rows got in one transaction or statement

	asked atomic.Int64 // queries

	items      [chaosMaxItems]chaosBounds
	gone, made atomic.Int64 // all items before gone are deleted; none from made on is begun

	mu  sync.Mutex
	log []string // what happened last
}

func (o *chaosOwner) note(since time.Time, format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.log) >= 24 {
		o.log = o.log[1:]
	}
	o.log = append(o.log, fmt.Sprintf("%7.3fs ", time.Since(since).Seconds())+fmt.Sprintf(format, args...))
}

func (o *chaosOwner) key(slot int) int          { return o.id*chaosIDs + slot + 1 }
func (o *chaosOwner) item(number int64) int64   { return int64(o.id)*chaosItemIDs + number }
func (o *chaosOwner) number(item int64) int64   { return item - int64(o.id)*chaosItemIDs }
func (o *chaosOwner) newItem(n int64) chaosItem { return chaosItem{ID: o.item(n), Owner: o.id} }

// chaosRead checks one read: it is made before the read begins.
type chaosRead struct {
	owner *chaosOwner
	low   [chaosSlots]int64
	from  int64 // the first item that may be there
	phase []int64
	wrong []string
}

func newChaosRead(o *chaosOwner) *chaosRead {
	r := &chaosRead{owner: o}
	for slot := range o.rows {
		r.low[slot] = o.rows[slot].low.Load()
	}
	r.from = o.gone.Load()
	for n := r.from; n < o.made.Load(); n++ {
		r.phase = append(r.phase, o.items[n].low.Load())
	}
	return r
}

func (r *chaosRead) fail(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf("owner %d: ", r.owner.id)+fmt.Sprintf(format, args...))
}

// version checks the version of a row that a read shows.
func (r *chaosRead) version(slot int, v int64) {
	row := &r.owner.rows[slot]
	switch high := row.started.Load(); {
	case v >= chaosPoison:
		r.fail("row %d: version %d was rolled back", slot, v-chaosPoison)
	case v < r.low[slot]:
		r.fail("row %d: version %d is stale: %d was acknowledged or shown before the read began (begun: %d)", slot, v, r.low[slot], high)
	case v > high:
		r.fail("row %d: version %d is not written yet (begun: %d)", slot, v, high)
	default:
		chaosRaise(&row.low, v)
	}
}

// all checks a read of all rows of the owner.
func (r *chaosRead) all(rows []chaosRow) {
	if len(rows) != chaosSlots {
		r.fail("%d rows, want %d", len(rows), chaosSlots)
		return
	}
	for _, row := range rows {
		slot := row.ID - r.owner.key(0)
		r.version(slot, row.Version)
		if _, whole := r.owner.whole.Load(row.Version); !whole {
			continue
		}
		for _, other := range rows {
			if other.Version < row.Version {
				r.fail("row %d has version %d, and row %d version %d: all rows got the former at once", other.ID-r.owner.key(0), other.Version, slot, row.Version)
			}
		}
	}
}

// before returns the phase of an item when the read began.
func (r *chaosRead) before(n int64) int64 {
	switch {
	case n < r.from:
		return 2
	case n-r.from < int64(len(r.phase)):
		return r.phase[n-r.from]
	}
	return 0
}

// present checks whether an item is shown.
func (r *chaosRead) present(n int64, shown bool) {
	item := &r.owner.items[n]
	before, high := r.before(n), item.started.Load()
	switch {
	case shown && before == 2:
		r.fail("item %d is shown, and was deleted before the read began", n)
	case shown && high == 0:
		r.fail("item %d is shown, and is not made yet", n)
	case !shown && before == 1 && high < 2:
		r.fail("item %d is not shown, and was made before the read began", n)
	case shown:
		chaosRaise(&item.low, 1)
	case before == 1:
		chaosRaise(&item.low, 2)
	}
}

// list checks a list of all items of the owner.
func (r *chaosRead) list(items []chaosItem) {
	shown := map[int64]bool{}
	for _, item := range items {
		n := r.owner.number(item.ID)
		if n < 0 || n >= chaosMaxItems {
			r.fail("item %d was rolled back", item.ID)
			continue
		}
		shown[n] = true
		r.present(n, true)
	}
	for n := r.from; n < r.owner.made.Load(); n++ {
		if !shown[n] {
			r.present(n, false)
		}
	}
}

// counted checks a count of all items of the owner.
func (r *chaosRead) counted(got int64) {
	var least, most int64
	for n := r.from; n < r.owner.made.Load(); n++ {
		before, high := r.before(n), r.owner.items[n].started.Load()
		if before == 1 && high < 2 {
			least++
		}
		if before < 2 && high > 0 {
			most++
		}
	}
	if got < least || got > most {
		r.fail("%d items, want %d to %d", got, least, most)
	}
}

// chaosPrepared are the prepared queries of a handle with a plugin.
type chaosPrepared struct {
	first, owner *preload.Prepared[chaosRow]
	count        *preload.Prepared[chaosItem]
}

func newChaosPrepared(t *testing.T, db *gorm.DB) (p chaosPrepared) {
	var errs [3]error
	p.first, errs[0] = preload.Prepare[chaosRow](db, func(tx *gorm.DB) *gorm.DB { return tx.Where("id = ?", preload.Arg(0)) })
	p.owner, errs[1] = preload.Prepare[chaosRow](db, func(tx *gorm.DB) *gorm.DB { return tx.Where("owner = ?", preload.Arg(0)) })
	p.count, errs[2] = preload.Prepare[chaosItem](db, func(tx *gorm.DB) *gorm.DB { return tx.Where("owner = ?", preload.Arg(0)) })
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return p
}

// chaosReads show what they got to the check, and return the error of the database. Those that need
// the plugin are left out without.
var chaosReads = []struct {
	name   string
	shares bool // GORM itself has readers wait for each other
	ask    func(w *chaosWorld, db *gorm.DB, r *chaosRead, slot int) error
}{
	{"First by key", false, func(w *chaosWorld, db *gorm.DB, r *chaosRead, slot int) error {
		var row chaosRow
		err := db.First(&row, r.owner.key(slot)).Error
		return r.one(slot, row, err)
	}},
	{"Take by name", false, func(w *chaosWorld, db *gorm.DB, r *chaosRead, slot int) error {
		var row chaosRow
		err := db.Where("name = ?", chaosName(r.owner.id, slot)).Take(&row).Error
		return r.one(slot, row, err)
	}},
	{"First in a prepared session", true, func(w *chaosWorld, db *gorm.DB, r *chaosRead, slot int) error {
		var row chaosRow
		err := db.Session(&gorm.Session{PrepareStmt: true}).First(&row, r.owner.key(slot)).Error
		return r.one(slot, row, err)
	}},
	{"Pluck by key", false, func(w *chaosWorld, db *gorm.DB, r *chaosRead, slot int) error {
		var versions []int64
		err := db.Model(&chaosRow{}).Where("id = ?", r.owner.key(slot)).Pluck("version", &versions).Error
		if err == nil && len(versions) != 1 {
			r.fail("%d rows of one key", len(versions))
		} else if err == nil {
			r.version(slot, versions[0])
		}
		return err
	}},
	{"Find by owner", false, func(w *chaosWorld, db *gorm.DB, r *chaosRead, slot int) error {
		var rows []chaosRow
		err := db.Where("owner = ?", r.owner.id).Find(&rows).Error
		if err == nil {
			r.all(rows)
		}
		return err
	}},
	{"Count of a version", false, func(w *chaosWorld, db *gorm.DB, r *chaosRead, slot int) error {
		var n int64
		err := db.Model(&chaosRow{}).Where("id = ? AND version >= ?", r.owner.key(slot), r.low[slot]).Count(&n).Error
		if err == nil && n != 1 {
			r.fail("row %d: not yet of version %d, which was acknowledged or shown", slot, r.low[slot])
		}
		return err
	}},
	{"First of an item", false, func(w *chaosWorld, db *gorm.DB, r *chaosRead, slot int) error {
		made := r.owner.made.Load()
		n := max(0, made-1-rand.Int64N(8))
		var item chaosItem
		err := db.First(&item, r.owner.item(n)).Error
		if missing := errors.Is(err, gorm.ErrRecordNotFound); err == nil || missing {
			r.present(n, !missing)
			return nil
		}
		return err
	}},
	{"Find items", false, func(w *chaosWorld, db *gorm.DB, r *chaosRead, slot int) error {
		var items []chaosItem
		err := db.Where("owner = ?", r.owner.id).Find(&items).Error
		if err == nil {
			r.list(items)
		}
		return err
	}},
	{"Count items", false, func(w *chaosWorld, db *gorm.DB, r *chaosRead, slot int) error {
		var n int64
		err := db.Model(&chaosItem{}).Where("owner = ?", r.owner.id).Count(&n).Error
		if err == nil {
			r.counted(n)
		}
		return err
	}},
	{"Prepare: First", false, func(w *chaosWorld, db *gorm.DB, r *chaosRead, slot int) error {
		if w.plugin == nil {
			return nil
		}
		row, err := w.prepared.first.First(db.Statement.Context, r.owner.key(slot))
		return r.one(slot, row, err)
	}},
	{"Prepare: Find", false, func(w *chaosWorld, db *gorm.DB, r *chaosRead, slot int) error {
		if w.plugin == nil {
			return nil
		}
		rows, err := w.prepared.owner.Find(db.Statement.Context, r.owner.id)
		if err == nil {
			r.all(rows)
		}
		return err
	}},
	{"Prepare: Count", false, func(w *chaosWorld, db *gorm.DB, r *chaosRead, slot int) error {
		if w.plugin == nil {
			return nil
		}
		n, err := w.prepared.count.Count(db.Statement.Context, r.owner.id)
		if err == nil {
			r.counted(n)
		}
		return err
	}},
	// Writes do not reach own data: it may be as old as it is kept.
	{"Load", false, func(w *chaosWorld, db *gorm.DB, r *chaosRead, slot int) error {
		if w.plugin == nil {
			return nil
		}
		r.low[slot] = 0
		v, err := preload.Load(db.Statement.Context, w.plugin, chaosName(r.owner.id, slot), func(ctx context.Context) (int64, error) {
			var row chaosRow
			r.owner.asked.Add(1)
			err := w.db.WithContext(ctx).Clauses(preload.Bypass).First(&row, r.owner.key(slot)).Error
			return row.Version, err
		})
		if err == nil {
			r.version(slot, v)
		}
		return err
	}},
}

func (r *chaosRead) one(slot int, row chaosRow, err error) error {
	switch {
	case err == nil:
		r.version(slot, row.Version)
	case errors.Is(err, gorm.ErrRecordNotFound):
		r.fail("row %d is not found, and is never deleted", slot)
	case strings.Contains(err.Error(), "preload"):
		r.fail("row %d: an error that plain GORM has not: %v", slot, err)
	}
	return err
}
