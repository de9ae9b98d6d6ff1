package preload_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

type writeCounter struct {
	_       struct{} `preload:""`
	ID      int
	Version int64
}

type writeCounterChild struct {
	_         struct{} `preload:""`
	ID        int
	CounterID int
	Counter   *writeCounter
}

const (
	writeCounters = 4
	writePoison   = 1 << 40 // and above: versions that are rolled back
	writeMaxSteps = 1 << 18
)

// writeRow is the history of one row: its step is its version, or says that it is deleted.
type writeRow struct {
	started, acked atomic.Int64
	gone           [writeMaxSteps]atomic.Bool
}

// writeReader checks what one reader sees.
type writeReader struct {
	rows *[writeCounters + 1]writeRow
	seen [writeCounters + 1]int64
	low  [writeCounters + 1]int64
}

func (r *writeReader) begin() {
	for id := 1; id <= writeCounters; id++ {
		r.low[id] = max(r.rows[id].acked.Load(), r.seen[id])
	}
}

func (r *writeReader) version(id int, version int64) error {
	high := r.rows[id].started.Load()
	switch {
	case version >= writePoison:
		return fmt.Errorf("row %d: version %d was rolled back", id, version-writePoison)
	case version < r.low[id]:
		return fmt.Errorf("row %d: version %d is stale: %d was acknowledged or seen before the read began (started %d)", id, version, r.low[id], high)
	case version > high:
		return fmt.Errorf("row %d: version %d is not yet written (%d)", id, version, high)
	}
	r.seen[id] = version
	return nil
}

func (r *writeReader) absent(id int) error {
	high := r.rows[id].started.Load()
	for step := r.low[id]; step <= high; step++ {
		if r.rows[id].gone[step].Load() {
			r.seen[id] = step
			return nil
		}
	}
	return fmt.Errorf("row %d: absent, and was not between %d and %d", id, r.low[id], high)
}

func (r *writeReader) present(id int) error {
	high := r.rows[id].started.Load()
	for step := r.low[id]; step <= high; step++ {
		if !r.rows[id].gone[step].Load() {
			return nil
		}
	}
	return fmt.Errorf("row %d: present, and was not between %d and %d", id, r.low[id], high)
}

func (r *writeReader) read(db *gorm.DB, form int) error {
	id := 1 + rand.IntN(writeCounters)
	r.begin()
	switch form {
	case 0, 1: // a point
		var c writeCounter
		err := db.First(&c, id).Error
		if errors.Is(err, gorm.ErrRecordNotFound) {
			return r.absent(id)
		}
		if err != nil {
			return err
		}
		return r.version(id, c.Version)
	case 2: // a list
		var all []writeCounter
		if err := db.Order("id").Find(&all).Error; err != nil {
			return err
		}
		found := map[int]int64{}
		for _, c := range all {
			found[c.ID] = c.Version
		}
		for id := 1; id <= writeCounters; id++ {
			version, ok := found[id]
			if !ok {
				if err := r.absent(id); err != nil {
					return err
				}
			} else if err := r.version(id, version); err != nil {
				return err
			}
		}
	case 3: // a count
		var n int64
		if err := db.Model(&writeCounter{}).Where("id = ?", id).Count(&n).Error; err != nil {
			return err
		}
		if n == 0 {
			return r.absent(id)
		}
		return r.present(id)
	case 4, 5: // joined, preloaded
		db = db.Session(&gorm.Session{})
		if form == 4 {
			db = db.Joins("Counter")
		} else {
			db = db.Preload("Counter")
		}
		var child writeCounterChild
		if err := db.First(&child, "write_counter_children.id = ?", id).Error; err != nil {
			return err
		}
		if child.Counter == nil {
			return r.absent(id)
		}
		return r.version(id, child.Counter.Version)
	case 6: // one column
		var versions []int64
		if err := db.Model(&writeCounter{}).Where("id = ?", id).Pluck("version", &versions).Error; err != nil {
			return err
		}
		if len(versions) == 0 {
			return r.absent(id)
		}
		return r.version(id, versions[0])
	case 7: // by a filter that writes move rows into and out of
		var c []writeCounter
		if err := db.Where("id = ? AND version >= ?", id, 0).Limit(1).Find(&c).Error; err != nil {
			return err
		}
		if len(c) == 0 {
			return r.absent(id)
		}
		return r.version(id, c[0].Version)
	}
	return nil
}

// write brings a row to the step, in one of many forms.
func (r *writeRow) write(db *gorm.DB, id int, step int64, form int) error {
	key := &writeCounter{ID: id}
	update := func(db *gorm.DB, version int64) error { return db.Model(key).Update("version", version).Error }
	switch form {
	case 0:
		return db.Exec("UPDATE write_counters SET version = ? WHERE id = ?", step, id).Error
	case 1:
		return db.Transaction(func(tx *gorm.DB) error { return update(tx, step) })
	case 2:
		return db.Save(&writeCounter{ID: id, Version: step}).Error
	case 3:
		return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&writeCounter{ID: id, Version: step}).Error
	case 4:
		return db.Transaction(func(tx *gorm.DB) error {
			err := update(tx, step)
			inner := tx.Transaction(func(tx *gorm.DB) error {
				var c writeCounter
				return errors.Join(update(tx, writePoison+step), tx.First(&c, id).Error, errTx)
			})
			if !errors.Is(inner, errTx) {
				return inner
			}
			return err
		})
	case 5:
		return update(db.Session(&gorm.Session{PrepareStmt: true}), step)
	case 6:
		return update(db.Session(&gorm.Session{SkipDefaultTransaction: true}), step)
	case 7:
		return db.Transaction(func(tx *gorm.DB) error {
			return errors.Join(tx.Delete(key).Error, tx.Create(&writeCounter{ID: id, Version: step}).Error)
		})
	case 8:
		return db.Table("write_counters").Where("id = ?", id).Updates(map[string]any{"version": step}).Error
	case 9:
		return update(db.Session(&gorm.Session{PrepareStmt: true, SkipDefaultTransaction: true}), step)
	}
	return update(db, step)
}

// A reader never gets a version older than the last one acknowledged before it began, nor an older
// one than it got before, nor one that was rolled back.
func TestWriteVersions(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t, &gorm.Config{DisableForeignKeyConstraintWhenMigrating: true})
		if err := plain.AutoMigrate(&writeCounter{}, &writeCounterChild{}); err != nil {
			t.Fatal(err)
		}
		for id := 1; id <= writeCounters; id++ {
			if err := errors.Join(plain.Create(&writeCounter{ID: id}).Error, plain.Create(&writeCounterChild{ID: id, CounterID: id}).Error); err != nil {
				t.Fatal(err)
			}
		}
		p := preload.New(preload.WithTTL(200*time.Millisecond), preload.WithHoldOut(20*time.Millisecond),
			preload.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
		db := d.Open(t)
		if err := db.Use(p); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := preload.Check(p); err != nil {
				t.Errorf("at the end: %v", err)
			}
			_ = p.Close()
		}()

		rows := new([writeCounters + 1]writeRow)
		deadline := time.Now().Add(worldtest.Budget(t, 700*time.Millisecond))
		var (
			wg     sync.WaitGroup
			failed atomic.Bool
			reads  atomic.Int64
		)
		fail := func(format string, args ...any) {
			failed.Store(true)
			t.Errorf(format, args...)
		}
		running := func() bool { return time.Now().Before(deadline) && !failed.Load() }
		for id := 1; id <= writeCounters; id++ {
			wg.Go(func() {
				row := &rows[id]
				for step := int64(1); running() && step < writeMaxSteps; step++ {
					switch rand.IntN(8) {
					case 0: // never happens
						err := db.Transaction(func(tx *gorm.DB) error {
							var c writeCounter
							return errors.Join(tx.Model(&writeCounter{ID: id}).Update("version", writePoison+step).Error, tx.First(&c, id).Error, errTx)
						})
						if !errors.Is(err, errTx) {
							fail("rollback: %v", err)
						}
						step--
						continue
					case 1: // deleted, and later made again
						row.gone[step].Store(true)
						row.started.Store(step)
						for err := errTx; err != nil && running(); {
							err = db.Delete(&writeCounter{ID: id}).Error
						}
						row.acked.Store(step)
						if rand.IntN(2) == 0 {
							time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
						}
						step++
						row.started.Store(step)
						for err := errTx; err != nil && running(); {
							err = db.Create(&writeCounter{ID: id, Version: step}).Error
						}
						row.acked.Store(step)
						continue
					}
					row.started.Store(step)
					// A deadlock is tried again; the row may have got the version all the same.
					for err := errTx; err != nil && running(); {
						err = row.write(db, id, step, rand.IntN(11))
					}
					row.acked.Store(step)
					if rand.IntN(2) == 0 {
						time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
					}
				}
			})
		}
		for range 4 {
			wg.Go(func() {
				reader := &writeReader{rows: rows}
				for running() {
					form := rand.IntN(8)
					if err := reader.read(db, form); err != nil && running() {
						fail("form %d: %v", form, err)
						return
					}
					reads.Add(1)
				}
			})
		}
		wg.Wait()
		stats := p.Stats()
		t.Logf("%d reads, %d hits, %d misses, steps of row 1: %d", reads.Load(), stats.Hits, stats.Misses, rows[1].acked.Load())
		if !failed.Load() && stats.Hits == 0 {
			t.Errorf("nothing was read from memory: the test tests nothing")
		}
	})
}
