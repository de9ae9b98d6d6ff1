package preload_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

type listedOwner struct {
	_     struct{} `preload:""`
	ID    uint
	Name  string
	Items []listedItem `gorm:"foreignKey:OwnerID"`
	Tags  []listedTag  `gorm:"many2many:listed_owner_tags"`
}

type listedItem struct {
	_       struct{} `preload:""`
	ID      uint
	OwnerID uint `gorm:"index"`
	Kind    int
	Name    string    `gorm:"size:40"`
	UUID    string    `gorm:"size:36"`
	At      time.Time `gorm:"precision:0"`
}

type listedTag struct {
	_    struct{} `preload:""`
	ID   uint
	Name string
}

const listedItems = 40

// listedAt returns a moment that items have.
func listedAt(n int) time.Time { return time.Date(2024, 1, 1, n%24, 0, 0, 0, time.UTC) }

// listedUUID returns the UUID of an item.
func listedUUID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// listedWorld returns a database of owners with items and tags, through the plugin and without it.
func listedWorld(t *testing.T, d *dbtest.Database) (plugin *preload.Plugin, db, plain *gorm.DB) {
	plain = d.Plain(t)
	worldtest.Must(t, plain.AutoMigrate(&listedOwner{}, &listedItem{}, &listedTag{}))
	owners := make([]listedOwner, 12)
	for i := range owners {
		owners[i].Name = fmt.Sprint("owner ", i)
		owners[i].Tags = []listedTag{{Name: fmt.Sprint("tag ", i)}, {Name: "tag"}}
	}
	worldtest.Must(t, plain.Create(&owners).Error)
	items := make([]listedItem, listedItems)
	for i := range items {
		items[i] = listedItem{OwnerID: uint(i%len(owners) + 1), Kind: i % 3, Name: fmt.Sprint("item ", i%10), UUID: listedUUID(i), At: listedAt(i)}
	}
	worldtest.Must(t, plain.Create(&items).Error)
	plugin = preload.New(preload.WithoutWorker(), preload.WithRaw())
	db = d.Open(t)
	worldtest.Must(t, db.Use(plugin))
	t.Cleanup(func() { worldtest.Must(t, plugin.Close()) })
	worldtest.Must(t, plugin.Register(&listedOwner{}, &listedItem{}, &listedTag{}))
	return plugin, db, plain
}

// lists are those of one round: of some ids, and of what goes with these in other columns.
type lists struct {
	ids    []uint
	names  []string
	uuids  []string
	times  []time.Time
	kinds  []any
	tuples [][]any
}

// drawLists draws lists of any length from none on.
func drawLists(random *rand.Rand) (l lists) {
	for range random.IntN(9) {
		n := random.IntN(listedItems)
		l.ids = append(l.ids, uint(n+1))
		l.uuids = append(l.uuids, listedUUID(n))
		l.tuples = append(l.tuples, []any{n%12 + 1, n % 3})
	}
	for range random.IntN(6) {
		n := random.IntN(listedItems)
		l.names = append(l.names, fmt.Sprint("item ", n%10))
		l.times = append(l.times, listedAt(n))
		l.kinds = append(l.kinds, n%3)
	}
	return l
}

// listReads are the ways in which lists are asked for.
func listReads(l lists) map[string]worldtest.Query {
	items := func(of func(db *gorm.DB) *gorm.DB) worldtest.Query {
		return worldtest.Find[[]listedItem](func(db *gorm.DB) *gorm.DB { return of(db).Order("listed_items.id") })
	}
	return map[string]worldtest.Query{
		"ids":      items(func(db *gorm.DB) *gorm.DB { return db.Where("id IN ?", l.ids) }),
		"map":      items(func(db *gorm.DB) *gorm.DB { return db.Where(map[string]any{"id": l.ids}) }),
		"inline":   items(func(db *gorm.DB) *gorm.DB { return db.Where("id IN (?)", l.ids) }),
		"names":    items(func(db *gorm.DB) *gorm.DB { return db.Where("name IN ?", l.names) }),
		"UUIDs":    items(func(db *gorm.DB) *gorm.DB { return db.Where("uuid IN ?", l.uuids) }),
		"times":    items(func(db *gorm.DB) *gorm.DB { return db.Where("at IN ?", l.times) }),
		"not":      items(func(db *gorm.DB) *gorm.DB { return db.Where("id NOT IN ?", l.ids) }),
		"Not":      items(func(db *gorm.DB) *gorm.DB { return db.Not(map[string]any{"name": l.names}) }),
		"two":      items(func(db *gorm.DB) *gorm.DB { return db.Where("id IN ?", l.ids).Where("kind IN ?", l.kinds) }),
		"between":  items(func(db *gorm.DB) *gorm.DB { return db.Where("id IN ? AND kind = ? AND name IN ?", l.ids, 1, l.names) }),
		"or":       items(func(db *gorm.DB) *gorm.DB { return db.Where("id IN ? OR name IN ?", l.ids, l.names) }),
		"tuples":   items(func(db *gorm.DB) *gorm.DB { return db.Where("(owner_id, kind) IN ?", l.tuples) }),
		"literals": items(func(db *gorm.DB) *gorm.DB { return db.Where("id IN ? AND kind IN (0, 1)", l.ids) }),
		"mixed":    items(func(db *gorm.DB) *gorm.DB { return db.Where("id IN (7, ?)", append([]uint{9}, l.ids...)) }),
		"quoted":   items(func(db *gorm.DB) *gorm.DB { return db.Where("name <> 'x' AND id IN ?", l.ids) }),
		"limited":  items(func(db *gorm.DB) *gorm.DB { return db.Where("id IN ?", l.ids).Limit(3) }),
		"page":     items(func(db *gorm.DB) *gorm.DB { return db.Where("kind IN ?", l.kinds).Limit(4).Offset(2) }),
		"joined": items(func(db *gorm.DB) *gorm.DB {
			return db.Joins("JOIN listed_owners o ON o.id = listed_items.owner_id AND o.id IN ?", l.ids).Where("listed_items.kind IN ?", l.kinds)
		}),
		"subquery": items(func(db *gorm.DB) *gorm.DB {
			return db.Where("owner_id IN (?)", db.Session(&gorm.Session{NewDB: true}).Model(&listedOwner{}).Select("id").Where("id IN ?", l.ids))
		}),
		"prepared": items(func(db *gorm.DB) *gorm.DB {
			return db.Session(&gorm.Session{PrepareStmt: true}).Where("id IN ?", l.ids)
		}),
		"first": worldtest.Find[listedItem](func(db *gorm.DB) *gorm.DB { return db.Where("id IN ?", l.ids).Order("id").Limit(1) }),
		"count": func(db *gorm.DB) (any, *gorm.DB) {
			var n int64
			return &n, db.Model(&listedItem{}).Where("name IN ?", l.names).Count(&n)
		},
		"Pluck": func(db *gorm.DB) (any, *gorm.DB) {
			var names []string
			return &names, db.Model(&listedItem{}).Where("id IN ?", l.ids).Order("id").Pluck("name", &names)
		},
		"Raw": func(db *gorm.DB) (any, *gorm.DB) {
			var found []listedItem
			return &found, db.Raw("SELECT * FROM listed_items WHERE id IN ? AND kind IN ? ORDER BY id", l.ids, l.kinds).Scan(&found)
		},
		"Preload": worldtest.Find[[]listedOwner](func(db *gorm.DB) *gorm.DB {
			byID := func(db *gorm.DB) *gorm.DB { return db.Order("id") }
			return db.Preload("Items", byID).Preload("Tags", byID).Where("id IN ?", l.ids).Order("id")
		}),
	}
}

// listWrites are writes of which lists say what they change.
var listWrites = []func(db *gorm.DB, l lists, n int) *gorm.DB{
	func(db *gorm.DB, l lists, n int) *gorm.DB {
		return db.Model(&listedItem{}).Where("id IN ?", l.ids).Update("name", fmt.Sprint("item ", n%10))
	},
	func(db *gorm.DB, l lists, n int) *gorm.DB {
		return db.Exec("UPDATE listed_items SET kind = ? WHERE name IN ? AND id NOT IN ?", n%3, l.names, l.ids)
	},
	func(db *gorm.DB, l lists, n int) *gorm.DB {
		return db.Model(&listedItem{}).Where("(owner_id, kind) IN ?", l.tuples).Update("owner_id", n%12+1)
	},
	func(db *gorm.DB, l lists, n int) *gorm.DB {
		return db.Where("id IN ?", l.ids[:min(len(l.ids), 1)]).Delete(&listedItem{})
	},
	func(db *gorm.DB, _ lists, n int) *gorm.DB {
		return db.Create(&listedItem{OwnerID: uint(n%12 + 1), Kind: n % 3, Name: fmt.Sprint("item ", n%10), UUID: listedUUID(n), At: listedAt(n)})
	},
	func(db *gorm.DB, l lists, n int) *gorm.DB {
		return db.Model(&listedItem{}).Where("id = ?", n%listedItems+1).Update("at", listedAt(n/2))
	},
}

// TestListsAreAnsweredAsByPlainGORM: of any length, before and after writes.
func TestListsAreAnsweredAsByPlainGORM(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plugin, db, plain := listedWorld(t, d)
		random := rand.New(rand.NewPCG(3, 4))
		var l lists
		for round := range 80 {
			// Each is asked for before and after some writes. (A list of no tuples is a mistake.)
			if round%5 == 0 {
				l = drawLists(random)
			} else {
				_ = listWrites[random.IntN(len(listWrites))](db, drawLists(random), random.IntN(100)).Error
			}
			for name, read := range listReads(l) {
				want, wantTx := read(plain)
				got, tx := read(db)
				if !reflect.DeepEqual(got, want) || tx.RowsAffected != wantTx.RowsAffected || fmt.Sprint(tx.Error) != fmt.Sprint(wantTx.Error) {
					t.Fatalf("%s of %+v in round %d: %v, %d rows, %v, want %v, %d rows, %v", name, l, round, got, tx.RowsAffected, tx.Error, want, wantTx.RowsAffected, wantTx.Error)
				}
			}
		}
		if plugin.Stats().Hits < 500 {
			t.Errorf("%d hits, want many more: most writes leave most of the answers alone", plugin.Stats().Hits)
		}
	})
}

// TestListsAreOneShape: for those who look, whatever the lengths of the lists are.
func TestListsAreOneShape(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plugin, db, _ := listedWorld(t, d)
		ask := func(n int) {
			ids := make([]int, n)
			for i := range ids {
				ids[i] = i + 1
			}
			for range 2 {
				var items []listedItem
				worldtest.Must(t, db.Where("id IN ?", ids).Find(&items).Error)
				worldtest.Must(t, db.Where("id NOT IN ? AND kind = ?", ids, 1).Find(&items).Error)
				worldtest.Must(t, db.Raw("SELECT * FROM listed_items WHERE id IN ?", ids).Scan(&items).Error)
			}
		}
		for n := range 30 {
			ask(n + 1)
		}
		shapes := plugin.Shapes(100)
		if len(shapes) != 3 {
			t.Errorf("%d shapes, want one for each of 3 queries: %+v", len(shapes), shapes)
		}
		for _, s := range shapes {
			if s.Hits != 30 || s.Misses != 30 || s.Entries != 30 || !strings.Contains(s.SQL, "IN (?)") {
				t.Errorf("%+v, want 30 hits and misses", s)
			}
		}
		explained, err := plugin.Explain(func(tx *gorm.DB) *gorm.DB { return tx.Where("id IN ?", []int{1, 2, 3}).Find(&[]listedItem{}) })
		worldtest.Must(t, err)
		if !slices.ContainsFunc(shapes, func(s preload.ShapeStats) bool { return strings.HasPrefix(explained.Key, s.ID+":") }) {
			t.Errorf("%s is of none of the shapes", explained.Key)
		}
	})
}
