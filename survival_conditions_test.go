package preload_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

type keptShop struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:20"`
}

// keptItem has columns by which writes choose rows that are no keys; ShelfID may be NULL.
type keptItem struct {
	_       struct{} `preload:""`
	ID      uint
	Email   string `gorm:"size:50;uniqueIndex"`
	GroupID int
	ShelfID *int
	ShopID  uint
	Shop    keptShop
	Price   int
	Note    string `gorm:"size:50"`
}

// keptBrief shows 0 where the column is NULL.
type keptBrief struct {
	Email   string
	ShelfID int
	Note    string
}

const keptItems = 12

// keptSeed makes items 1 to 12, of groups 0 to 2, shelves 0 to 2 or none, and shops 1 to 3.
func keptSeed(t testing.TB, plain *gorm.DB) {
	t.Helper()
	worldtest.Must(t, plain.AutoMigrate(&keptShop{}, &keptItem{}))
	worldtest.Must(t, plain.Create(&[]keptShop{{Name: "a"}, {Name: "b"}, {Name: "c"}}).Error)
	for i := range keptItems {
		item := keptItem{Email: fmt.Sprint("m", i+1), GroupID: i % 3, ShopID: uint(1 + i%3), Price: 10 * i, Note: "n"}
		if i%4 > 0 {
			item.ShelfID = worldtest.Ptr(i%4 - 1)
		}
		worldtest.Must(t, plain.Create(&item).Error)
	}
}

func keptList(name string, query func(db *gorm.DB) *gorm.DB) worldtest.Named {
	return worldtest.Named{Name: name, Query: func(db *gorm.DB) (any, *gorm.DB) {
		var items []keptItem
		return &items, query(db).Find(&items)
	}}
}

func keptOne(name string, query func(db *gorm.DB) *gorm.DB) worldtest.Named {
	return worldtest.Named{Name: name, Query: func(db *gorm.DB) (any, *gorm.DB) {
		var item keptItem
		return &item, query(db).Take(&item)
	}}
}

func keptNumber(name string, query func(db *gorm.DB) *gorm.DB) worldtest.Named {
	return worldtest.Named{Name: name, Query: func(db *gorm.DB) (any, *gorm.DB) {
		var n int64
		return &n, query(db.Model(&keptItem{})).Scan(&n)
	}}
}

// keptReads ask for item 5, which is of group 1, shop 2 and no shelf, and for lists around it.
func keptReads() []worldtest.Named {
	return []worldtest.Named{
		keptOne("id", func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 5) }),
		keptOne("email", func(db *gorm.DB) *gorm.DB { return db.Where("email = ?", "m5") }),
		keptOne("email first", func(db *gorm.DB) *gorm.DB { return db.Where("email = ?", "m5").Order("kept_items.id") }),
		keptList("group 1", func(db *gorm.DB) *gorm.DB { return db.Where("group_id = ?", 1).Order("id") }),
		keptList("shop 2", func(db *gorm.DB) *gorm.DB { return db.Where("shop_id = ?", 2).Order("id") }),
		keptList("ids", func(db *gorm.DB) *gorm.DB { return db.Where("id IN ?", []int{2, 5}).Order("id") }),
		keptList("dearest", func(db *gorm.DB) *gorm.DB { return db.Where("group_id = 1").Order("price DESC, id").Limit(2) }),
		keptNumber("count", func(db *gorm.DB) *gorm.DB { return db.Select("COUNT(*)").Where("group_id = ?", 1) }),
		keptNumber("sum", func(db *gorm.DB) *gorm.DB { return db.Select("COALESCE(SUM(price), 0)").Where("group_id = ?", 1) }),
		keptOne("joins id", func(db *gorm.DB) *gorm.DB { return db.Joins("Shop").Where("kept_items.id = ?", 5) }),
		keptList("joins id first", func(db *gorm.DB) *gorm.DB {
			return db.Joins("Shop").Where("kept_items.id = ?", 5).Order("kept_items.price").Limit(1)
		}),
		keptList("joins group", func(db *gorm.DB) *gorm.DB {
			return db.Joins("Shop").Where("kept_items.group_id = ?", 1).Order("kept_items.id")
		}),
		keptList("joins cheapest", func(db *gorm.DB) *gorm.DB {
			return db.Joins("Shop").Where("kept_items.group_id = 1").Order("kept_items.price, kept_items.id").Limit(2)
		}),
	}
}

// keptWrites are writes of other items than the 5th, and of no other item of its group, with the
// answers that they cost.
var keptWrites = []struct {
	name  string
	do    func(db *gorm.DB) error
	kills string
	mysql string // what they cost there besides, where texts are compared by a collation
}{
	{"a note by id", func(db *gorm.DB) error { return db.Model(&keptItem{}).Where("id = ?", 9).Update("note", "x").Error }, "", ""},
	{"notes by group", func(db *gorm.DB) error {
		return db.Model(&keptItem{}).Where("group_id = ?", 2).Update("note", "y").Error
	}, "", ""},
	{"notes by shop", func(db *gorm.DB) error {
		return db.Model(&keptItem{}).Where("shop_id = ?", 3).Update("note", "z").Error
	}, "", ""},
	{"notes by group and shop", func(db *gorm.DB) error {
		return db.Model(&keptItem{}).Where("group_id = ? AND shop_id = ?", 1, 3).Update("note", "z").Error
	}, "", ""},
	{"notes by a list of groups", func(db *gorm.DB) error {
		return db.Model(&keptItem{}).Where("group_id IN ?", []int{0, 2}).Update("note", "x").Error
	}, "", ""},
	{"notes by shelf", func(db *gorm.DB) error {
		return db.Model(&keptItem{}).Where("shelf_id = ?", 7).Update("note", "z").Error
	}, "", ""},
	{"prices by shop", func(db *gorm.DB) error {
		return db.Model(&keptItem{}).Where("shop_id = ?", 3).Update("price", gorm.Expr("price + 1")).Error
	}, "sum, dearest, joins cheapest", ""},
	{"prices by group", func(db *gorm.DB) error {
		return db.Model(&keptItem{}).Where("group_id = ?", 2).Update("price", gorm.Expr("price + 1")).Error
	}, "", ""},
	{"deletes by group", func(db *gorm.DB) error { return db.Where("group_id = ?", 77).Delete(&keptItem{}).Error }, "", ""},
	{"deletes by shop", func(db *gorm.DB) error { return db.Where("shop_id = ?", 77).Delete(&keptItem{}).Error }, "count, sum", ""},
	{"an insert into another group", func(db *gorm.DB) error {
		return db.Create(&keptItem{Email: fmt.Sprint("new", time.Now().UnixNano()), GroupID: 2, ShopID: 3}).Error
	}, "", "email, email first"},
	{"an email by id", func(db *gorm.DB) error {
		return db.Model(&keptItem{}).Where("id = ?", 9).Update("email", "other").Error
	}, "", "email, email first"},
}

// TestAWriteByAnotherColumnThanTheKey: answers that show none of its rows stay in memory, once such
// a write has been met. So do counts and sums that do not depend on what it sets, and what is joined
// with one row of a known key.
func TestAWriteByAnotherColumnThanTheKey(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		keptSeed(t, plain)
		w := writeOpen(t, d, plain, nil)
		for round := range 2 {
			for _, write := range keptWrites {
				for range 2 {
					for _, q := range keptReads() {
						q.Ask(w.DB)
					}
				}
				worldtest.Must(t, write.do(w.DB))
				want, got := strings.Split(write.kills, ", "), []string{}
				if d.Dialect == "mysql" && write.mysql != "" {
					want = append(want, strings.Split(write.mysql, ", ")...)
				}
				for _, q := range keptReads() {
					right := q.Ask(plain)
					var answer worldtest.Answer
					if w.Queries(func() { answer = q.Ask(w.DB) }) > 0 {
						got = append(got, q.Name)
					}
					worldtest.Equal(t, "after "+write.name, q.Name, answer, right)
				}
				want = slices.DeleteFunc(want, func(name string) bool { return name == "" })
				slices.Sort(want)
				slices.Sort(got)
				if round > 0 && !slices.Equal(got, want) {
					t.Errorf("%s: %q died, want %q", write.name, got, want)
				}
			}
		}
	})
}

// TestAnswersAfterWritesByAnyColumn: whatever column chooses the rows of a write, NULL and texts
// among its values, and whatever of these rows an answer shows: it is that of plain GORM.
func TestAnswersAfterWritesByAnyColumn(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		keptSeed(t, plain)
		w := writeOpen(t, d, plain, nil)
		r := rand.New(rand.NewPCG(3, 4))
		reads := keptReads()
		for n := range 4 {
			reads = append(reads,
				keptList(fmt.Sprint("shelf ", n), func(db *gorm.DB) *gorm.DB { return db.Where("shelf_id = ?", n).Order("id") }),
				keptList(fmt.Sprint("ids from ", 3*n), func(db *gorm.DB) *gorm.DB {
					return db.Where("id IN ?", []int{3*n + 1, 3*n + 2, 3*n + 3}).Order("id")
				}),
				keptList(fmt.Sprint("shop ", n, " by name"), func(db *gorm.DB) *gorm.DB {
					return db.Joins("Shop").Where("kept_items.shop_id = ?", n).Order("note, price DESC, kept_items.id").Limit(2)
				}),
				keptList(fmt.Sprint("shop ", n, " by its name"), func(db *gorm.DB) *gorm.DB {
					return db.Joins("Shop").Where("kept_items.group_id = ?", n).Order("Shop__name DESC, kept_items.price, kept_items.id").Limit(2)
				}),
				worldtest.Named{Name: fmt.Sprint("brief ", n), Query: func(db *gorm.DB) (any, *gorm.DB) {
					var rows []keptBrief
					return &rows, db.Model(&keptItem{}).Where("price >= ?", 10*n).Order("price, id").Limit(3).Find(&rows)
				}},
			)
		}
		wheres := []func(db *gorm.DB) *gorm.DB{
			func(db *gorm.DB) *gorm.DB { return db.Where("group_id = ?", r.IntN(4)) },
			func(db *gorm.DB) *gorm.DB { return db.Where("shop_id = ?", r.IntN(4)) },
			func(db *gorm.DB) *gorm.DB { return db.Where("shelf_id = ?", r.IntN(4)) },
			func(db *gorm.DB) *gorm.DB { return db.Where("shelf_id IS NULL") },
			func(db *gorm.DB) *gorm.DB { return db.Where("shelf_id IS NULL AND group_id = ?", r.IntN(3)) },
			func(db *gorm.DB) *gorm.DB { return db.Where(map[string]any{"shelf_id": nil}) },
			func(db *gorm.DB) *gorm.DB { return db.Where("note = ?", []string{"n", "N", "x", ""}[r.IntN(4)]) },
			func(db *gorm.DB) *gorm.DB { return db.Where("shop_id IN ?", []int{r.IntN(4), r.IntN(4)}) },
			func(db *gorm.DB) *gorm.DB { return db.Where("(group_id, shop_id) = (?, ?)", r.IntN(3), r.IntN(4)) },
			func(db *gorm.DB) *gorm.DB { return db.Where("price = ?", 10*r.IntN(keptItems)) },
			func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 1+r.IntN(keptItems)) },
			func(db *gorm.DB) *gorm.DB { return db.Where("email = ?", fmt.Sprint("m", 1+r.IntN(keptItems))) },
		}
		sets := []func() map[string]any{
			func() map[string]any { return map[string]any{"note": []string{"n", "N", "x", ""}[r.IntN(4)]} },
			func() map[string]any { return map[string]any{"price": 10 * r.IntN(keptItems)} },
			func() map[string]any { return map[string]any{"price": gorm.Expr("price + 1")} },
			func() map[string]any { return map[string]any{"group_id": r.IntN(2)} },
			func() map[string]any { return map[string]any{"shop_id": 1 + r.IntN(3)} },
			func() map[string]any { return map[string]any{"shelf_id": r.IntN(3)} },
			func() map[string]any { return map[string]any{"shelf_id": nil} },
			func() map[string]any { return map[string]any{"shelf_id": gorm.Expr("group_id"), "price": 5} },
		}
		hits, asked := 0, 0
		for step := range 150 {
			write := func(db *gorm.DB) error {
				return wheres[r.IntN(len(wheres))](db.Model(&keptItem{})).Updates(sets[r.IntN(len(sets))]()).Error
			}
			var err error
			switch r.IntN(5) {
			case 0:
				err = w.DB.Transaction(func(tx *gorm.DB) error { return errors.Join(write(tx), write(tx)) })
			case 1:
				_ = w.DB.Transaction(func(tx *gorm.DB) error { return errors.Join(write(tx), errTx) })
			default:
				err = write(w.DB)
			}
			worldtest.Must(t, err)
			for _, q := range reads {
				right := q.Ask(plain)
				for turn := range 2 {
					var answer worldtest.Answer
					if w.Queries(func() { answer = q.Ask(w.DB) }) == 0 && turn == 0 {
						hits++
					}
					if diff := right.Differs(answer); diff != "" {
						t.Fatalf("step %d, %s: %s\nthe last statements: %s", step, q.Name, diff, strings.Join(worldtest.Tail(w.Probe.Log(), 8), "\n"))
					}
				}
				asked++
			}
		}
		t.Logf("%d of %d reads from memory", hits, asked)
		if 100*hits < 40*asked {
			t.Errorf("%d of %d reads were answered from memory, want 40 %%", hits, asked)
		}
	})
}

type laneRow struct {
	_       struct{} `preload:""`
	ID      int
	Lane    int
	Version int64
}

// TestVersionsOfRowsThatAreWrittenByLane: each writer brings all rows of a lane to a version. No
// reader who finds a row by its key, or with others, sees one older than what was acknowledged.
func TestVersionsOfRowsThatAreWrittenByLane(t *testing.T) {
	t.Parallel()
	const lanes, rows = 3, 9
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		worldtest.Must(t, plain.AutoMigrate(&laneRow{}))
		for id := 1; id <= rows; id++ {
			worldtest.Must(t, plain.Create(&laneRow{ID: id, Lane: id % lanes}).Error)
		}
		w := writeOpen(t, d, plain, nil)
		var (
			acked   [lanes]atomic.Int64
			over    atomic.Bool
			running sync.WaitGroup
		)
		check := func(found []laneRow, low *[lanes]int64) {
			for _, row := range found {
				if row.Lane != row.ID%lanes || row.Version < low[row.Lane] {
					t.Errorf("row %+v, acknowledged was %d", row, low[row.Lane])
					over.Store(true)
				}
			}
		}
		for lane := range lanes {
			running.Go(func() {
				for v := int64(1); !over.Load(); v++ {
					update := func(db *gorm.DB) error {
						return db.Model(&laneRow{}).Where("lane = ?", lane).Update("version", v).Error
					}
					err := w.DB.Transaction(update)
					if v%2 == 0 {
						err = update(w.DB.Session(&gorm.Session{SkipDefaultTransaction: true}))
					}
					if err != nil {
						continue // SQLite is busy
					}
					acked[lane].Store(v)
				}
			})
		}
		for range 3 {
			running.Go(func() {
				for n := 0; !over.Load(); n++ {
					var (
						found []laneRow
						low   [lanes]int64
					)
					for lane := range low {
						low[lane] = acked[lane].Load()
					}
					id := 1 + n%rows
					tx := w.DB.Where("id = ?", id)
					if n%3 == 0 {
						tx = w.DB.Where("id IN ?", []int{id, 1 + (id+1)%rows})
					}
					if err := tx.Order("id").Find(&found).Error; err == nil {
						check(found, &low)
					}
				}
			})
		}
		running.Go(func() {
			time.Sleep(worldtest.Budget(t, 700*time.Millisecond))
			for end := time.Now().Add(worldtest.Patience); w.Plugin.Stats().Hits == 0 && !over.Load() && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			over.Store(true)
		})
		running.Wait()
		s := w.Plugin.Stats()
		t.Logf("%d hits, %d misses, lanes came to %d, %d, %d", s.Hits, s.Misses, acked[0].Load(), acked[1].Load(), acked[2].Load())
		if s.Hits == 0 {
			t.Error("nothing was answered from memory")
		}
	})
}
