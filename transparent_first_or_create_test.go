package preload_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

type createdOnce struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:50;uniqueIndex"`
	Note string `gorm:"size:50"`
}

func createdOnceBench(t *testing.T, d *dbtest.Database) *worldtest.World {
	t.Helper()
	worldtest.Must(t, d.Plain(t).AutoMigrate(&createdOnce{}))
	return readOpen(t, d)
}

// createdOnceForms are the ways of GORM to act on it at once that there is no row.
var createdOnceForms = []struct {
	name string
	run  func(db *gorm.DB, x *createdOnce, name string) *gorm.DB
}{
	{"FirstOrCreate", func(db *gorm.DB, x *createdOnce, name string) *gorm.DB {
		return db.FirstOrCreate(x, createdOnce{Name: name})
	}},
	{"FirstOrCreate with an order", func(db *gorm.DB, x *createdOnce, name string) *gorm.DB {
		return db.Order("note").FirstOrCreate(x, createdOnce{Name: name})
	}},
	{"FirstOrCreate with Attrs", func(db *gorm.DB, x *createdOnce, name string) *gorm.DB {
		return db.Where("name = ?", name).Attrs(createdOnce{Name: name, Note: "made"}).FirstOrCreate(x)
	}},
	{"FirstOrInit", func(db *gorm.DB, x *createdOnce, name string) *gorm.DB {
		return db.FirstOrInit(x, map[string]any{"name": name})
	}},
}

func TestFirstOrCreateAsksTheDatabaseWhetherThereIsNoRow(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := createdOnceBench(t, d)
		for i, form := range createdOnceForms {
			name := fmt.Sprint("kept ", i)
			var x createdOnce
			// All ways that a "none" comes into memory.
			for range 2 {
				if err := b.DB.First(&createdOnce{}, createdOnce{Name: name}).Error; !errors.Is(err, gorm.ErrRecordNotFound) {
					t.Fatalf("%s: First: %v, want not found", form.name, err)
				}
				worldtest.Must(t, b.DB.FirstOrInit(&createdOnce{}, createdOnce{Name: name}).Error)
				worldtest.Must(t, form.run(b.DB.Session(&gorm.Session{}), new(createdOnce), fmt.Sprint("none of ", name)).Error)
			}
			// Another process creates the row.
			worldtest.Must(t, b.Plain.Create(&createdOnce{Name: name, Note: "theirs"}).Error)
			if tx := form.run(b.DB, &x, name); tx.Error != nil || x.Note != "theirs" {
				t.Errorf("%s: got %+v, %v: want the row that is in the database", form.name, x, tx.Error)
			}
			n := b.Queries(func() {
				var again createdOnce
				if tx := form.run(b.DB, &again, name); tx.Error != nil || again != x || tx.RowsAffected != 0 && form.name != "FirstOrInit" {
					t.Errorf("%s again: got %+v, %v, %d rows: want %+v", form.name, again, tx.Error, tx.RowsAffected, x)
				}
			})
			if n != 0 {
				t.Errorf("%s: a row that is in memory took %d queries", form.name, n)
			}
		}
		before := b.Probe.Queries()
		for range 3 {
			if err := b.DB.First(&createdOnce{}, "name = ?", "nobody").Error; !errors.Is(err, gorm.ErrRecordNotFound) {
				t.Errorf("First: %v", err)
			}
		}
		if n := b.Probe.Queries() - before; n != 1 {
			t.Errorf("three Firsts of a row that is not there took %d queries, want 1", n)
		}
	})
}

// A reader that waits for another one's query must not take its "none" for an answer either: that
// is older than the wait.
func TestFirstOrCreateAsksAfterItWaited(t *testing.T) {
	t.Parallel()
	b := createdOnceBench(t, dbtest.SQLite(t))
	arrived, open := make(chan struct{}, 1), make(chan struct{})
	var first atomic.Bool
	b.Probe.After(func(c dbtest.Call, err error) error {
		if c.Op == "query" && first.CompareAndSwap(false, true) {
			arrived <- struct{}{}
			<-open
		}
		return err
	})
	var wg sync.WaitGroup
	wg.Go(func() { _ = b.DB.First(&createdOnce{}, createdOnce{Name: "x"}).Error })
	<-arrived
	ctx := worldtest.NewWaiting(context.Background())
	var x createdOnce
	var err error
	wg.Go(func() { err = b.DB.WithContext(ctx).FirstOrCreate(&x, createdOnce{Name: "x"}).Error })
	<-ctx.Begun
	created := b.Plain.Create(&createdOnce{Name: "x", Note: "theirs"}).Error
	close(open)
	wg.Wait()
	if created != nil || err != nil || x.Note != "theirs" {
		t.Errorf("got %+v, %v (created %v): want the row that was created during the wait", x, err, created)
	}
}

// firstOrCreates counts the unique violations of so many callers that want the same rows.
func firstOrCreates(t *testing.T, db *gorm.DB, round, callers, names int) (failed int64) {
	var wg sync.WaitGroup
	var violations atomic.Int64
	begin := make(chan struct{})
	for i := range callers {
		wg.Go(func() {
			<-begin
			var x createdOnce
			if db.FirstOrCreate(&x, createdOnce{Name: fmt.Sprintf("%d of round %d", i%names, round)}).Error != nil {
				violations.Add(1)
			}
		})
	}
	close(begin)
	wg.Wait()
	return violations.Load()
}

func TestFirstOrCreateRacesNoMoreThanOnPlainGORM(t *testing.T) {
	t.Parallel()
	d := dbtest.Postgres(t)
	b := createdOnceBench(t, d)
	for _, db := range []*gorm.DB{b.Plain, b.DB} {
		pool, err := db.DB()
		worldtest.Must(t, err)
		pool.SetMaxOpenConns(4)
		db.Logger = db.Logger.LogMode(1)
	}
	const rounds, callers, names = 6, 160, 4
	var plain, plugin int64
	for round := range rounds {
		// A list of what is missing is asked for before, as pages do.
		for n := range names {
			_ = b.DB.First(&createdOnce{}, createdOnce{Name: fmt.Sprintf("%d of round %d", n, 2*round)}).Error
		}
		plugin += firstOrCreates(t, b.DB, 2*round, callers, names)
		plain += firstOrCreates(t, b.Plain, 2*round+1, callers, names)
	}
	t.Logf("unique violations: plain %d, plugin %d of %d", plain, plugin, rounds*callers)
	// Each connection may lose one race for each row; waiting for a memory that is not asked lets
	// nearly all lose.
	if limit := 2*plain + rounds*names*4; plugin > limit {
		t.Errorf("%d unique violations, plain GORM has %d: want at most %d", plugin, plain, limit)
	}
	var rows int64
	if err := b.Plain.Model(&createdOnce{}).Count(&rows).Error; err != nil || rows != 2*rounds*names {
		t.Errorf("%d rows, %v: want %d", rows, err, 2*rounds*names)
	}
	if s := b.Plugin.Stats(); s.BypassReasons[preload.ReasonFault] > 0 {
		t.Errorf("bypassed: %v", s.BypassReasons)
	}
}
