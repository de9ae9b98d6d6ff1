package preload

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

type manyItem struct {
	_ struct{} `preload:""`
	gorm.Model
	Code  string  `gorm:"size:20;uniqueIndex"`
	Note  *string `gorm:"size:20"`
	Price float64
	Shop  int
}

type manyPrice struct {
	_        struct{} `preload:""`
	ItemID   int      `gorm:"primaryKey;autoIncrement:false"`
	Position int      `gorm:"primaryKey;autoIncrement:false"`
	Amount   int
}

type manyName struct {
	ID   uint
	Code string
}

const manyRows = 60

// manySetup makes a database of items, each with prices, the third of ten deleted.
func manySetup(t *testing.T, d *dbtest.Database) (b *bench, plain *gorm.DB) {
	t.Helper()
	b = &bench{db: d.Open(t), clock: dbtest.NewClock(), probe: d.Probe}
	plain = d.Plain(t)
	if err := b.db.AutoMigrate(&manyItem{}, &manyPrice{}); err != nil {
		t.Fatal(err)
	}
	for i := range manyRows {
		item := manyItem{Code: fmt.Sprint("c", i+1), Price: float64(i) / 3, Shop: i % 4}
		if i%2 == 0 {
			item.Note = &item.Code
		}
		if err := plain.Create(&item).Error; err != nil {
			t.Fatal(err)
		}
		if i%10 == 2 {
			if err := plain.Delete(&item).Error; err != nil {
				t.Fatal(err)
			}
		}
		if err := plain.Create(&manyPrice{ItemID: i%3 + 1, Position: i, Amount: i}).Error; err != nil {
			t.Fatal(err)
		}
	}
	b.plugin = New(WithClock(b.clock), WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	if err := b.db.Use(b.plugin); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.plugin.Close() })
	return b, plain
}

// manyQueries are queries by one arg; together says whether those of several args can be one query.
var manyQueries = []struct {
	name     string
	query    func(db *gorm.DB, n int) (any, *gorm.DB)
	together bool
}{
	{"First by id", func(db *gorm.DB, n int) (any, *gorm.DB) { var x manyItem; return &x, db.First(&x, n) }, true},
	{"Take by id", func(db *gorm.DB, n int) (any, *gorm.DB) { var x manyItem; return &x, db.Where("id = ?", n).Take(&x) }, true},
	{"Find one by id", func(db *gorm.DB, n int) (any, *gorm.DB) { var x []manyItem; return &x, db.Find(&x, n) }, true},
	{"Find pointers", func(db *gorm.DB, n int) (any, *gorm.DB) { var x []*manyItem; return &x, db.Where("id = ?", n).Find(&x) }, true},
	{"by id and more", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x manyItem
		return &x, db.Where("shop < ? AND id = ?", 3, n).Take(&x)
	}, true},
	{"unscoped", func(db *gorm.DB, n int) (any, *gorm.DB) { var x manyItem; return &x, db.Unscoped().First(&x, n) }, true},
	{"some columns", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x manyItem
		return &x, db.Select("id", "code", "note").Where("id = ?", n).Take(&x)
	}, true},
	{"a smaller struct", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x manyName
		return &x, db.Model(&manyItem{}).Where("id = ?", n).Take(&x)
	}, true},
	{"the second of two keys", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x manyPrice
		return &x, db.Where("item_id = ? AND position = ?", 2, n).Take(&x)
	}, true},
	{"the first of two keys", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x manyPrice
		return &x, db.Where(&manyPrice{ItemID: n, Position: 7}).Take(&x)
	}, true},

	{"the key is not in the answer", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x manyItem
		return &x, db.Select("code").Where("id = ?", n).Take(&x)
	}, false},
	{"not unique", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x []manyItem
		return &x, db.Where("shop = ?", n).Find(&x)
	}, false},
	{"half of a key", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x []manyPrice
		return &x, db.Where("item_id = ?", n).Order("position").Find(&x)
	}, false},
	{"or", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x []manyItem
		return &x, db.Where("id = ? OR shop = 2", n).Find(&x)
	}, false},
	{"offset", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x []manyItem
		return &x, db.Where("id = ?", n).Order("id").Limit(1).Offset(1).Find(&x)
	}, false},
	{"not", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x []manyItem
		return &x, db.Not("id = ?", n).Order("id").Find(&x)
	}, false},
	{"distinct", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x []manyItem
		return &x, db.Distinct("id", "code").Where("id = ?", n).Find(&x)
	}, false},
	{"pluck", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x []string
		return &x, db.Model(&manyItem{}).Where("id = ?", n).Pluck("code", &x)
	}, false},
	{"count", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x int64
		return &x, db.Model(&manyItem{}).Where("id = ?", n).Count(&x)
	}, false},
	{"map", func(db *gorm.DB, n int) (any, *gorm.DB) {
		x := map[string]any{}
		return &x, db.Model(&manyItem{}).Where("id = ?", n).Take(&x)
	}, false},
	{"a list", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x []manyItem
		return &x, db.Where("id IN ?", []int{n, 5}).Order("id").Find(&x)
	}, false},
	{"a list that looks like one", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x manyItem
		return &x, db.Where("code <> '= $1' AND id IN ?", []int{n}).Take(&x)
	}, false},
	{"with what belongs to it", func(db *gorm.DB, n int) (any, *gorm.DB) {
		var x manyItem
		return &x, db.Where("id = ? AND EXISTS (SELECT 1 FROM many_prices WHERE item_id = many_items.shop)", n).Take(&x)
	}, false},
}

// keysOf returns the keys of a template's queries with these numbers in place of the one that it
// was asked with.
func (b *bench) keysOf(t *testing.T, tmpl *template.Template, key string, asked int, numbers []int) (keys []string) {
	t.Helper()
	args, ok := tmpl.Binds.Load().Plain(key[len(tmpl.Prefix):], nil)
	if !ok {
		t.Fatalf("%s cannot be taken apart", key)
	}
	for _, n := range numbers {
		other := slices.Clone(args)
		for i, arg := range other {
			if arg == string(fmt.Sprintf("i%d;", asked)) {
				other[i] = string(fmt.Sprintf("i%d;", n))
			}
		}
		one, ok := tmpl.Binds.Load().Append([]byte(tmpl.Prefix), other)
		if !ok {
			t.Fatalf("%q cannot be put together", other)
		}
		keys = append(keys, string(one))
	}
	return keys
}

func TestManyKeysAreLoadedByOneQuery(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b, plain := manySetup(t, d)
		for _, tt := range manyQueries {
			t.Run(tt.name, func(t *testing.T) {
				b.plugin.Clear()
				const asked = 11
				if _, tx := tt.query(b.db, asked); tx.Error != nil && tx.Error != gorm.ErrRecordNotFound {
					t.Fatal(tx.Error)
				}
				keys := b.plugin.PreloadKeys(10)
				if len(keys) != 1 {
					t.Fatalf("keys %q", keys)
				}
				tmpl := b.plugin.templates.Of(keys[0])
				if tmpl == nil || tmpl.Binds.Load() == nil {
					if tt.together {
						t.Fatalf("%s: it is not known how it is bound", keys[0])
					}
					return
				}
				numbers := []int{1, 2, 3, 0, 17, 40, 41, 42, 43, manyRows + 5, -1}
				var queue []*association.Expected
				for _, key := range b.keysOf(t, tmpl, keys[0], asked, numbers) {
					queue = append(queue, &association.Expected{Key: key})
				}
				r, rest := b.plugin.worker.Together(queue)
				if together := len(r.With) > 0; together != tt.together {
					t.Fatalf("together: %t, want %t", together, tt.together)
				}
				if !tt.together {
					return
				}
				if len(rest) > 0 {
					t.Errorf("%d are left: want none", len(rest))
				}
				before := b.probe.Queries()
				loaded, err := r.Load(context.Background())()
				if err != nil {
					t.Fatal(err)
				}
				if n := b.probe.Queries() - before; n != 1 {
					t.Errorf("%d queries: want one for all", n)
				}
				there := map[string]bool{}
				for _, e := range storedOf(loaded) {
					there[e.Key] = true
				}
				if len(there) < len(numbers)-2 { // 0 and -1 may stand for something else
					t.Errorf("%d of %d are stored", len(there), len(numbers))
				}
				for i, n := range numbers {
					before := b.probe.Queries()
					got, tx := tt.query(b.db, n)
					queries := b.probe.Queries() - before
					want, plainTx := tt.query(plain, n)
					if !reflect.DeepEqual(got, want) || fmt.Sprint(tx.Error) != fmt.Sprint(plainTx.Error) || tx.RowsAffected != plainTx.RowsAffected {
						t.Errorf("%d: got %+v, %v, %d rows; want %+v, %v, %d", n, got, tx.Error, tx.RowsAffected, want, plainTx.Error, plainTx.RowsAffected)
					}
					if there[queue[i].Key] != (queries == 0) {
						t.Errorf("%d: stored %t, and %d queries", n, there[queue[i].Key], queries)
					}
				}
			})
		}
	})
}

func TestManyTextsAreToldApartAsTheyAre(t *testing.T) {
	t.Parallel()
	b, _ := manySetup(t, dbtest.SQLite(t))
	byCode := func(code string) (x manyItem, queries int64) {
		before := b.probe.Queries()
		if err := b.db.Where("code = ?", code).Take(&x).Error; err != nil && err != gorm.ErrRecordNotFound {
			t.Fatal(err)
		}
		return x, b.probe.Queries() - before
	}
	byCode("c1")
	key := b.plugin.PreloadKeys(1)[0]
	var queue []*association.Expected
	for _, code := range []string{"c2", "c5", "C5", "c5 ", "nothing"} {
		queue = append(queue, &association.Expected{Key: strings.Replace(key, "s2:c1;", fmt.Sprintf("s%d:%s;", len(code), code), 1)})
	}
	r, _ := b.plugin.worker.Together(queue)
	if len(r.With) != len(queue)-3 {
		t.Fatalf("%d together: want all but one of those that differ in case or in a blank only", len(r.With)+1)
	}
	if asked, err := r.Load(context.Background())(); err != nil || len(storedOf(asked)) != 2 {
		t.Fatalf("%d stored, %v: want those that are there as they were asked for", len(storedOf(asked)), err)
	}
	for code, want := range map[string]struct {
		id      uint
		queries int64
	}{"c2": {2, 0}, "c5": {5, 0}, "C5": {0, 1}, "nothing": {0, 1}} {
		if x, queries := byCode(code); x.ID != want.id || queries != want.queries {
			t.Errorf("%s: id %d, %d queries: want %d, %d", code, x.ID, queries, want.id, want.queries)
		}
	}
}

func TestOfManyOnlyWhatAWriteTouchesIsNotKept(t *testing.T) {
	t.Parallel()
	b, plain := manySetup(t, dbtest.SQLite(t))
	b.limit(t, 3)
	byID := func(id int) (x manyItem, queries int64) {
		before := b.probe.Queries()
		if err := b.db.First(&x, id).Error; err != nil {
			t.Fatal(err)
		}
		return x, b.probe.Queries() - before
	}
	byID(11)
	key := b.plugin.PreloadKeys(1)[0]
	tmpl := b.plugin.templates.Of(key)
	var queue []*association.Expected
	for _, key := range b.keysOf(t, tmpl, key, 11, []int{1, 2, 4}) {
		queue = append(queue, &association.Expected{Key: key})
	}
	r, _ := b.plugin.worker.Together(queue)
	run := r.Load(context.Background())
	// The rows are read; before they arrive one of them changes.
	b.probe.After(func(c dbtest.Call, err error) error {
		if strings.Contains(c.SQL, " IN (") {
			b.probe.After(nil)
			if err := b.db.Model(&manyItem{}).Where("id = ?", 2).Update("price", 77).Error; err != nil {
				t.Error(err)
			}
		}
		return err
	})
	asked, err := run()
	if err != nil || len(storedOf(asked)) != 2 {
		t.Fatalf("%d stored, %v: want the two that did not change", len(storedOf(asked)), err)
	}
	for id, wantQueries := range map[int]int64{1: 0, 2: 1, 4: 0} {
		got, queries := byID(id)
		var want manyItem
		if err := plain.First(&want, id).Error; err != nil {
			t.Fatal(err)
		}
		if queries != wantQueries || !reflect.DeepEqual(got, want) {
			t.Errorf("%d: %d queries, got %+v: want %d, %+v", id, queries, got, wantQueries, want)
		}
	}
}

type workerTeam struct {
	_        struct{} `preload:""`
	ID       uint
	WorkerID uint
}

// TestQueriesOfTablesThatAreJoinedByHandAreNotRunTogether, but by themselves.
func TestQueriesOfTablesThatAreJoinedByHandAreNotRunTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.db.AutoMigrate(&workerTeam{}); err != nil {
		t.Fatal(err)
	}
	if err := b.plugin.Register(&workerUser{}, &workerTeam{}); err != nil {
		t.Fatal(err)
	}
	var expected []*association.Expected
	for id := range uint(2) {
		var u workerUser
		if err := b.db.Table("worker_users LEFT JOIN worker_teams t ON t.worker_id = worker_users.id").Select("worker_users.*").Where("worker_users.id = ?", id+1).Take(&u).Error; err != nil {
			t.Fatal(err)
		}
	}
	for _, hot := range b.plugin.Hot(2) {
		tmpl := b.plugin.templates.Of(hot.Key)
		if tmpl == nil {
			t.Fatalf("%q has no template", hot.Key)
		}
		if tmpl.Many(0) != nil {
			t.Errorf("%q can be run together with others", hot.Key)
		}
		expected = append(expected, &association.Expected{Key: hot.Key})
	}
	if len(expected) != 2 {
		t.Fatalf("%d keys are known, want 2: %v", len(expected), b.plugin.Stats().BypassReasons)
	}
	if r, rest := b.plugin.worker.Together(expected); len(r.With) != 0 || len(rest) != 1 {
		t.Errorf("%d keys are loaded with the first one, %d are left; want none, and 1", len(r.With), len(rest))
	}
}

// storedOf returns those of the entries that a load asked for that it stored.
func storedOf(asked []*cache.Entry) []*cache.Entry {
	return slices.DeleteFunc(asked, func(e *cache.Entry) bool { return !e.Stored() })
}
