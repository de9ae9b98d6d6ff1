package preload_test

import (
	"context"
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
)

// Pages whose queries follow from one another, so that most of what they ask was loaded ahead,
// while what it is changes.

type aheadShelf struct {
	_                    struct{} `preload:""`
	ID                   int
	First, Second, Third int // items
}

type aheadItem struct {
	_       struct{} `preload:""`
	ID      int
	Version int64
}

type aheadNote struct {
	_       struct{} `preload:""`
	ID      int
	ItemID  int `gorm:"uniqueIndex"`
	Version int64
}

const (
	aheadItems   = 300
	aheadShelves = 200
	aheadEntries = 400 // that are kept
	aheadWriters = 3
)

// aheadVersions are those of an item and its note: started before their write begins and
// acknowledged after it returned.
type aheadVersions struct{ started, acked atomic.Int64 }

func TestVersionsOfWhatIsLoadedAhead(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		if err := plain.AutoMigrate(&aheadShelf{}, &aheadItem{}, &aheadNote{}); err != nil {
			t.Fatal(err)
		}
		var (
			shelves []aheadShelf
			items   []aheadItem
			notes   []aheadNote
		)
		for id := 1; id <= aheadItems; id++ {
			items = append(items, aheadItem{ID: id})
			notes = append(notes, aheadNote{ID: 1_000 + id, ItemID: id})
		}
		for id := 1; id <= aheadShelves; id++ {
			shelves = append(shelves, aheadShelf{ID: 10_000 + id, First: 1 + rand.IntN(aheadItems), Second: 1 + rand.IntN(aheadItems), Third: 1 + rand.IntN(aheadItems)})
		}
		if err := errors.Join(plain.CreateInBatches(shelves, 100).Error, plain.CreateInBatches(items, 100).Error, plain.CreateInBatches(notes, 100).Error); err != nil {
			t.Fatal(err)
		}
		p := preload.New(preload.WithMaxEntries(aheadEntries), preload.WithHoldOut(20*time.Millisecond), preload.WithConcurrency(4),
			preload.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
		db := d.Open(t)
		pool, err := db.DB()
		if err != nil {
			t.Fatal(err)
		}
		pool.SetMaxIdleConns(16)
		if err := db.Use(p); err != nil {
			t.Fatal(err)
		}
		defer p.Close()

		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		// Where the machine is so busy that nothing was loaded in time, it goes on with longer pauses.
		enough := func() bool { return p.Stats().Prediction.Useful > 0 }
		budget := worldtest.Budget(t, 3*time.Second)
		var pause atomic.Int64 // between what a page reads first and the rest of it, so that there is time to load
		pause.Store(int64(8 * time.Millisecond))
		go func() {
			for begun := time.Now(); ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
				took := time.Since(begun)
				if !enough() {
					pause.Store(int64(8*time.Millisecond + took/50))
				}
				if took > budget && enough() || took > budget+time.Minute {
					cancel()
				}
			}
		}()
		var (
			versions [aheadItems + 1]aheadVersions
			wg       sync.WaitGroup
			reads    atomic.Int64
			writes   atomic.Int64
		)
		fail := func(err error) {
			if err != nil && ctx.Err() == nil {
				t.Error(err)
				cancel()
			}
		}
		for w := range aheadWriters {
			wg.Go(func() {
				for ctx.Err() == nil {
					id := 1 + w + aheadWriters*rand.IntN(aheadItems/aheadWriters)
					fail(aheadWrite(ctx, db, id, &versions[id]))
					writes.Add(1)
					time.Sleep(time.Duration(rand.IntN(4)) * time.Millisecond)
				}
			})
		}
		for reader := range 8 {
			wg.Go(func() {
				for page := 0; ctx.Err() == nil; page++ {
					db := db.WithContext(preload.ContextWithSession(context.Background(), fmt.Sprint(reader, " ", page)))
					fail(aheadPage(db, &versions, time.Duration(pause.Load())))
					reads.Add(1)
				}
			})
		}
		wg.Wait()
		stats := p.Stats()
		t.Logf("%d pages, %d hits, %d misses, %d writes, %d loaded ahead, %d of them read: %+v", reads.Load(), stats.Hits, stats.Misses, writes.Load(),
			stats.PreloadCount, stats.PreloadHits, stats.Prediction)
		if !t.Failed() && (!enough() || writes.Load() == 0) {
			t.Errorf("nothing was loaded ahead and read, or nothing written: the test tests nothing")
		}
	})
}

// aheadWrite brings an item and its note to the next version, sometimes after one that is rolled
// back.
func aheadWrite(ctx context.Context, db *gorm.DB, id int, v *aheadVersions) error {
	write := func(tx *gorm.DB, version int64) error {
		return errors.Join(
			tx.Model(&aheadItem{}).Where("id = ?", id).Update("version", version).Error,
			tx.Model(&aheadNote{}).Where("item_id = ?", id).Update("version", version).Error,
		)
	}
	if rand.IntN(8) == 0 {
		err := db.Transaction(func(tx *gorm.DB) error { return errors.Join(write(tx, versionPoison), errTx) })
		if !errors.Is(err, errTx) {
			return fmt.Errorf("rollback: %w", err)
		}
	}
	next := v.started.Add(1)
	for {
		var err error
		if rand.IntN(2) == 0 {
			err = write(db, next)
		} else {
			err = db.Transaction(func(tx *gorm.DB) error { return write(tx, next) })
		}
		switch {
		case err == nil:
			v.acked.Store(next)
			return nil
		case !versionDeadlock(err):
			return fmt.Errorf("item %d: %w", id, err)
		case ctx.Err() != nil:
			return nil // it may have been written or not
		}
	}
}

// aheadPage reads a shelf, and its items and their notes after a pause.
func aheadPage(db *gorm.DB, versions *[aheadItems + 1]aheadVersions, pause time.Duration) error {
	var shelf aheadShelf
	if err := db.Where("id = ?", 10_001+rand.IntN(aheadShelves)).Take(&shelf).Error; err != nil {
		return err
	}
	time.Sleep(pause)
	var problems []error
	check := func(what string, id int, version, low int64, err error) {
		high := versions[id].started.Load()
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("%s %d: %w", what, id, err))
		case version < low || version > high:
			problems = append(problems, fmt.Errorf("%s %d: version %d, want one from %d, which was acknowledged before, to %d", what, id, version, low, high))
		}
	}
	for _, id := range []int{shelf.First, shelf.Second, shelf.Third} {
		var item aheadItem
		low := versions[id].acked.Load()
		err := db.Where("id = ?", id).Take(&item).Error
		check("item", id, item.Version, low, err)
	}
	for _, id := range []int{shelf.First, shelf.Second, shelf.Third} {
		var note aheadNote
		low := versions[id].acked.Load()
		err := db.Where("item_id = ?", id).Take(&note).Error
		check("note of item", id, note.Version, low, err)
	}
	return errors.Join(problems...)
}
