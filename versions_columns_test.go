package preload_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
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

// Rows whose version only grows, each with one writer. Writes and reads find a row by different
// columns, so that what a write may have changed has to be told from columns that it does not name.

type versionRow struct {
	_       struct{} `preload:""`
	ID      int
	Code    string `gorm:"size:20;uniqueIndex"`
	Lane    int    // from which and to which writes move the row
	Version int64
}

// versionBrief is a row without its primary key.
type versionBrief struct {
	Code    string
	Version int64
}

const (
	versionRows     = 6
	versionLanes    = 2
	versionMaxSteps = 1 << 18
	versionPoison   = 1 << 40 // and above: versions that are rolled back
)

func versionCode(id int) string { return fmt.Sprint("code-", id) }

// versionHistory is what happened to one row: version v stood in lane[v].
type versionHistory struct {
	// A version is started before its write begins and acknowledged after that returned.
	started, acked atomic.Int64
	lane           [versionMaxSteps]atomic.Int32
}

type versionHistories [versionRows + 1]versionHistory

// versionReader checks what one reader gets.
type versionReader struct {
	rows *versionHistories
	seen [versionRows + 1]int64
	low  [versionRows + 1]int64 // acknowledged, or seen, before the read began
}

func (r *versionReader) begin() {
	for id := 1; id <= versionRows; id++ {
		r.low[id] = max(r.rows[id].acked.Load(), r.seen[id])
	}
}

// is checks the version that an answer shows.
func (r *versionReader) is(id int, version int64) error {
	high := r.rows[id].started.Load()
	switch {
	case version >= versionPoison:
		return fmt.Errorf("row %d: version %d was rolled back", id, version-versionPoison)
	case version < r.low[id]:
		return fmt.Errorf("row %d: version %d is stale: %d was acknowledged or seen before the read began (started %d)", id, version, r.low[id], high)
	case version > high:
		return fmt.Errorf("row %d: version %d is not written yet (%d)", id, version, high)
	}
	r.seen[id] = max(r.seen[id], version)
	return nil
}

// stood checks that a row may have been in a lane, or outside of it, while it was read.
func (r *versionReader) stood(id, lane int, in bool) error {
	high := r.rows[id].started.Load()
	for v := r.low[id]; v <= high; v++ {
		if (int(r.rows[id].lane[v].Load()) == lane) == in {
			return nil
		}
	}
	return fmt.Errorf("row %d: in lane %d %v, which it was not between versions %d and %d", id, lane, in, r.low[id], high)
}

// versionOne is the only value of an answer.
func versionOne(values []int64, err error) (int64, error) {
	switch {
	case err != nil:
		return 0, err
	case len(values) != 1:
		return 0, fmt.Errorf("%d values, want 1", len(values))
	}
	return values[0], nil
}

var versionReads = []struct {
	name string
	ask  func(r *versionReader, db *gorm.DB, id int) error
}{
	{"First by key", func(r *versionReader, db *gorm.DB, id int) error {
		var row versionRow
		if err := db.First(&row, id).Error; err != nil {
			return err
		}
		return r.is(id, row.Version)
	}},
	{"Take by key", func(r *versionReader, db *gorm.DB, id int) error {
		var row versionRow
		if err := db.Where("id = ?", id).Take(&row).Error; err != nil {
			return err
		}
		return r.is(id, row.Version)
	}},
	{"First by unique column", func(r *versionReader, db *gorm.DB, id int) error {
		var row versionRow
		if err := db.Where("code = ?", versionCode(id)).First(&row).Error; err != nil {
			return err
		}
		return r.is(id, row.Version)
	}},
	{"Take by unique column", func(r *versionReader, db *gorm.DB, id int) error {
		var row versionRow
		if err := db.Where(&versionRow{Code: versionCode(id)}).Take(&row).Error; err != nil {
			return err
		}
		return r.is(id, row.Version)
	}},
	{"one column by key", func(r *versionReader, db *gorm.DB, id int) error {
		var versions []int64
		err := db.Model(&versionRow{}).Where("id = ?", id).Pluck("version", &versions).Error
		version, err := versionOne(versions, err)
		if err != nil {
			return err
		}
		return r.is(id, version)
	}},
	{"one column by unique column", func(r *versionReader, db *gorm.DB, id int) error {
		var versions []int64
		err := db.Model(&versionRow{}).Where(map[string]any{"code": versionCode(id)}).Pluck("version", &versions).Error
		version, err := versionOne(versions, err)
		if err != nil {
			return err
		}
		return r.is(id, version)
	}},
	{"smaller structs", func(r *versionReader, db *gorm.DB, id int) error {
		var rows []versionBrief
		err := db.Model(&versionRow{}).Where("code IN ?", []string{versionCode(id), versionCode(1)}).Find(&rows).Error
		for _, row := range rows {
			of := 1
			if row.Code == versionCode(id) {
				of = id
			}
			err = errors.Join(err, r.is(of, row.Version))
		}
		return err
	}},
	{"list by keys", func(r *versionReader, db *gorm.DB, id int) error {
		var rows []versionRow
		err := db.Find(&rows, []int{id, 1 + id%versionRows}).Error
		for _, row := range rows {
			err = errors.Join(err, r.is(row.ID, row.Version))
		}
		return err
	}},
	{"latest three", func(r *versionReader, db *gorm.DB, id int) error {
		var rows []versionRow
		if err := db.Order("version DESC, id").Limit(3).Find(&rows).Error; err != nil {
			return err
		}
		if len(rows) != 3 {
			return fmt.Errorf("%d rows, want 3", len(rows))
		}
		var err error
		shown := map[int]bool{}
		for _, row := range rows {
			shown[row.ID] = true
			err = errors.Join(err, r.is(row.ID, row.Version))
		}
		for id := 1; id <= versionRows; id++ {
			if least := rows[2].Version; !shown[id] && r.low[id] > least {
				err = errors.Join(err, fmt.Errorf("row %d of version %d is not among the latest, of which one has version %d", id, r.low[id], least))
			}
		}
		return err
	}},
	{"list of a lane", func(r *versionReader, db *gorm.DB, id int) error {
		var rows []versionRow
		lane := id % versionLanes
		err := db.Where("lane = ?", lane).Order("id").Find(&rows).Error
		if err != nil {
			return err
		}
		shown := map[int]bool{}
		for _, row := range rows {
			shown[row.ID] = true
			err = errors.Join(err, r.is(row.ID, row.Version), r.stood(row.ID, lane, true))
		}
		for id := 1; id <= versionRows; id++ {
			if !shown[id] {
				err = errors.Join(err, r.stood(id, lane, false))
			}
		}
		return err
	}},
	{"pinned by another column besides", func(r *versionReader, db *gorm.DB, id int) error {
		var rows []versionRow
		lane := id % versionLanes
		err := db.Where("lane = ? AND code = ?", lane, versionCode(id)).Limit(1).Find(&rows).Error
		switch {
		case err != nil:
			return err
		case len(rows) == 0:
			return r.stood(id, lane, false)
		}
		return errors.Join(r.stood(id, lane, true), r.is(id, rows[0].Version))
	}},
	{"count in a lane", func(r *versionReader, db *gorm.DB, id int) error {
		var n int64
		if err := db.Model(&versionRow{}).Where("id = ? AND lane = ?", id, 0).Count(&n).Error; err != nil {
			return err
		}
		return r.stood(id, 0, n == 1)
	}},
	{"count of a version", func(r *versionReader, db *gorm.DB, id int) error {
		var now, before int64
		asked := r.low[id]
		count := func(version int64, n *int64) error {
			return db.Model(&versionRow{}).Where("code = ? AND version = ?", versionCode(id), version).Count(n).Error
		}
		// The version before was the latest when others asked for it.
		if err := errors.Join(count(asked, &now), count(asked-1, &before)); err != nil {
			return err
		}
		switch high := r.rows[id].started.Load(); {
		case before != 0:
			return fmt.Errorf("row %d: still of version %d, after %d", id, asked-1, asked)
		case now == 0 && high == asked:
			return fmt.Errorf("row %d: not yet of version %d", id, asked)
		}
		return nil
	}},
	{"maximum", func(r *versionReader, db *gorm.DB, id int) error {
		var highest []int64
		err := db.Model(&versionRow{}).Pluck("MAX(version)", &highest).Error
		version, err := versionOne(highest, err)
		if err != nil {
			return err
		}
		for id := 1; id <= versionRows; id++ {
			if version < r.low[id] || version >= versionPoison {
				return fmt.Errorf("the highest version is %d, that of row %d is %d", version, id, r.low[id])
			}
		}
		return nil
	}},
}

// versionWrites bring a row to a version and into a lane.
var versionWrites = []struct {
	name string
	do   func(db *gorm.DB, to versionRow) error
}{
	{"Updates by key", func(db *gorm.DB, to versionRow) error {
		return db.Model(&versionRow{ID: to.ID}).Updates(map[string]any{"version": to.Version, "lane": to.Lane}).Error
	}},
	{"Updates by unique column", func(db *gorm.DB, to versionRow) error {
		return db.Model(&versionRow{}).Where("code = ?", to.Code).Updates(map[string]any{"version": to.Version, "lane": to.Lane}).Error
	}},
	{"Updates with a struct", func(db *gorm.DB, to versionRow) error {
		return db.Model(&versionRow{}).Where(&versionRow{Code: to.Code}).Select("version", "lane").Updates(&to).Error
	}},
	{"UpdateColumns with expressions", func(db *gorm.DB, to versionRow) error {
		return db.Model(&versionRow{ID: to.ID}).UpdateColumns(map[string]any{"version": gorm.Expr("? + 0", to.Version), "lane": gorm.Expr("? + 0", to.Lane)}).Error
	}},
	{"Save", func(db *gorm.DB, to versionRow) error { return db.Save(&to).Error }},
	{"upsert by key", func(db *gorm.DB, to versionRow) error {
		return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&to).Error
	}},
	{"upsert by unique column", func(db *gorm.DB, to versionRow) error {
		return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "code"}}, DoUpdates: clause.AssignmentColumns([]string{"version", "lane"})}).Create(&to).Error
	}},
	{"transaction", func(db *gorm.DB, to versionRow) error {
		return db.Transaction(func(tx *gorm.DB) error {
			var row versionRow
			if err := tx.Model(&versionRow{}).Where("code = ?", to.Code).Update("version", to.Version).Error; err != nil {
				return err
			}
			if err := tx.First(&row, to.ID).Error; err != nil {
				return err
			}
			return tx.Model(&row).Update("lane", to.Lane).Error
		})
	}},
	{"transaction with a savepoint rolled back", func(db *gorm.DB, to versionRow) error {
		return db.Transaction(func(tx *gorm.DB) error {
			inner := tx.Transaction(func(tx *gorm.DB) error {
				return errors.Join(tx.Model(&versionRow{ID: to.ID}).Update("version", versionPoison+to.Version).Error, errTx)
			})
			if err := txExpect(inner, errTx); err != nil {
				return err
			}
			return tx.Save(&to).Error
		})
	}},
	{"Exec by key", func(db *gorm.DB, to versionRow) error {
		return db.Exec("UPDATE version_rows SET version = ?, lane = ? WHERE id = ?", to.Version, to.Lane, to.ID).Error
	}},
	{"Exec by unique column", func(db *gorm.DB, to versionRow) error {
		return db.Exec(fmt.Sprintf("UPDATE version_rows SET version=%d, lane=%d WHERE code='%s'", to.Version, to.Lane, to.Code)).Error
	}},
	{"Table", func(db *gorm.DB, to versionRow) error {
		return db.Table("version_rows").Where("code = ?", to.Code).Updates(map[string]any{"version": to.Version, "lane": to.Lane}).Error
	}},
	{"generics", func(db *gorm.DB, to versionRow) error {
		_, err := gorm.G[versionRow](db).Where("code = ?", to.Code).Select("version", "lane").Updates(context.Background(), to)
		return err
	}},
	{"prepared, without transaction", func(db *gorm.DB, to versionRow) error {
		return db.Session(&gorm.Session{PrepareStmt: true, SkipDefaultTransaction: true}).Model(&versionRow{}).Where("code = ?", to.Code).
			Updates(map[string]any{"version": to.Version, "lane": to.Lane}).Error
	}},
	{"deleted and made again", func(db *gorm.DB, to versionRow) error {
		return db.Transaction(func(tx *gorm.DB) error {
			if err := tx.Where("code = ?", to.Code).Delete(&versionRow{}).Error; err != nil {
				return err
			}
			return tx.Create(&to).Error
		})
	}},
}

// versionWriter brings one row from version to version.
type versionWriter struct {
	id   int
	lane int
	row  *versionHistory
}

// step writes one version; and sometimes, before it, one that is rolled back.
func (w *versionWriter) step(ctx context.Context, db *gorm.DB, v int64) error {
	if rand.IntN(8) == 0 {
		err := db.Transaction(func(tx *gorm.DB) error {
			return errors.Join(tx.Model(&versionRow{}).Where("code = ?", versionCode(w.id)).Update("version", versionPoison+v).Error, errTx)
		})
		if !errors.Is(err, errTx) {
			return fmt.Errorf("rollback: %w", err)
		}
	}
	if rand.IntN(3) == 0 {
		w.lane = rand.IntN(versionLanes)
	}
	w.row.lane[v].Store(int32(w.lane))
	w.row.started.Store(v)
	to := versionRow{ID: w.id, Code: versionCode(w.id), Lane: w.lane, Version: v}
	write := versionWrites[rand.IntN(len(versionWrites))]
	for {
		err := write.do(db, to)
		if err == nil {
			w.row.acked.Store(v)
			return nil
		}
		if !versionDeadlock(err) {
			return fmt.Errorf("%s: %w", write.name, err)
		}
		if ctx.Err() != nil {
			return nil // it may have been written or not
		}
	}
}

// versionDeadlock reports whether the database ended a transaction to let another one go on.
func versionDeadlock(err error) bool {
	text := strings.ToLower(err.Error())
	for _, part := range []string{"deadlock", "lock wait", "locked", "record has changed"} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// By whatever column a write and a read find a row: a reader never gets a version older than the
// last one acknowledged before it began, nor an older one than it got before, nor one that was
// rolled back.
func TestVersionsByOtherColumns(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		if err := plain.AutoMigrate(&versionRow{}); err != nil {
			t.Fatal(err)
		}
		for id := 1; id <= versionRows; id++ {
			if err := plain.Create(&versionRow{ID: id, Code: versionCode(id)}).Error; err != nil {
				t.Fatal(err)
			}
		}
		p := preload.New(preload.WithHoldOut(20*time.Millisecond), preload.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
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

		ctx, cancel := context.WithTimeout(context.Background(), worldtest.Budget(t, 2*time.Second))
		defer cancel()
		var (
			rows          = new(versionHistories)
			turns         = make(chan struct{}, 1_000) // one for each read: writers leave readers the time to find answers in memory
			wg            sync.WaitGroup
			reads, writes atomic.Int64
		)
		fail := func(format string, args ...any) {
			t.Errorf(format, args...)
			cancel()
		}
		for id := 1; id <= versionRows; id++ {
			wg.Go(func() {
				w := &versionWriter{id: id, row: &rows[id]}
				for v := int64(1); v < versionMaxSteps; v++ {
					for range rand.IntN(60) {
						select {
						case <-turns:
						case <-ctx.Done():
							return
						}
					}
					if err := w.step(ctx, db, v); err != nil {
						fail("%v", err)
						return
					}
					writes.Add(1)
				}
			})
		}
		for range 4 {
			wg.Go(func() {
				reader := &versionReader{rows: rows}
				for ctx.Err() == nil {
					read, id := versionReads[rand.IntN(len(versionReads))], 1+rand.IntN(versionRows)
					reader.begin()
					if err := read.ask(reader, db, id); err != nil {
						fail("%s: %v", read.name, err)
						return
					}
					reads.Add(1)
					select {
					case turns <- struct{}{}:
					default:
					}
				}
			})
		}
		wg.Wait()
		stats := p.Stats()
		t.Logf("%d reads, %d hits, %d misses, %d writes", reads.Load(), stats.Hits, stats.Misses, writes.Load())
		if !t.Failed() && (stats.Hits == 0 || writes.Load() == 0) {
			t.Errorf("nothing was read from memory, or nothing written: the test tests nothing")
		}
	})
}
