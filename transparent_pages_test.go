package preload_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

type pagedItem struct {
	_    struct{} `preload:""`
	ID   uint
	Kind int
	Name string
}

// pagedWorld returns a database of 60 items, through the plugin and without it.
func pagedWorld(t *testing.T, d *dbtest.Database) (plugin *preload.Plugin, db, plain *gorm.DB) {
	plain = d.Plain(t)
	worldtest.Must(t, plain.AutoMigrate(&pagedItem{}))
	items := make([]pagedItem, 60)
	for i := range items {
		items[i] = pagedItem{Kind: i % 3, Name: fmt.Sprint("item ", i)}
	}
	worldtest.Must(t, plain.Create(&items).Error)
	plugin = preload.New(preload.WithoutWorker())
	db = d.Open(t)
	worldtest.Must(t, db.Use(plugin))
	t.Cleanup(func() { worldtest.Must(t, plugin.Close()) })
	return plugin, db, plain
}

// page is a part of a list, as an application asks for it.
type page struct{ limit, offset int }

// of returns the query of the page; a limit or an offset below 0 is not given.
func (p page) of(db *gorm.DB) *gorm.DB {
	if db = db.Where("kind < ?", 2).Order("id"); p.limit >= 0 {
		db = db.Limit(p.limit)
	}
	if p.offset >= 0 {
		db = db.Offset(p.offset)
	}
	return db
}

// pageReads are the ways in which a page is read.
func pageReads(p page) map[string]worldtest.Query {
	return map[string]worldtest.Query{
		"Find": worldtest.Find[[]pagedItem](p.of),
		"maps": func(db *gorm.DB) (any, *gorm.DB) {
			var rows []map[string]any
			return &rows, p.of(db.Model(&pagedItem{})).Find(&rows)
		},
		"Pluck": func(db *gorm.DB) (any, *gorm.DB) {
			var names []string
			return &names, p.of(db.Model(&pagedItem{})).Pluck("name", &names)
		},
		"Scan": func(db *gorm.DB) (any, *gorm.DB) {
			var rows []struct{ Name string }
			return &rows, p.of(db.Model(&pagedItem{})).Scan(&rows)
		},
		"First": worldtest.Find[pagedItem](p.of),
		"filled": func(db *gorm.DB) (any, *gorm.DB) {
			item := pagedItem{Name: "before"}
			return &item, p.of(db).Select("id", "kind").Find(&item)
		},
	}
}

// TestPagesAreOneShape: all pages of a list are of one shape but for those without a limit, without
// an offset, of no row and of one, and each is answered as plain GORM answers it. A shape that is
// shared by a page with a limit and one without would answer the one with the rows of the other.
func TestPagesAreOneShape(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plugin, db, plain := pagedWorld(t, d)
		random := rand.New(rand.NewPCG(1, 2))
		for range 150 {
			p := page{[]int{-1, 0, 1, 2, 3, 10, 20, 100}[random.IntN(8)], []int{-1, 0, 1, 2, 10, 39, 40, 41}[random.IntN(8)]}
			if p.offset > 0 && p.limit < 0 && plain.Name() == "mysql" {
				continue // which it takes for a mistake
			}
			if random.IntN(4) == 0 {
				worldtest.Must(t, db.Model(&pagedItem{}).Where("id = ?", 1+random.IntN(60)).Update("kind", random.IntN(3)).Error)
			}
			for name, read := range pageReads(p) {
				want, wantTx := read(plain)
				for range 2 {
					got, tx := read(db)
					if !reflect.DeepEqual(got, want) || tx.RowsAffected != wantTx.RowsAffected || fmt.Sprint(tx.Error) != fmt.Sprint(wantTx.Error) {
						t.Fatalf("%s of %+v: %v, %d rows, %v, want %v, %d rows, %v", name, p, got, tx.RowsAffected, tx.Error, want, wantTx.RowsAffected, wantTx.Error)
					}
				}
			}
		}
		limited := 0
		for _, s := range plugin.Shapes(1_000) {
			if limit, offset := strings.Contains(s.SQL, "LIMIT ?"), strings.Contains(s.SQL, "OFFSET ?"); limit && !offset {
				limited++
			}
		}
		if most := 3 * len(pageReads(page{})); limited > most {
			t.Errorf("%d shapes of pages without an offset, want %d at most: of none, of one and of several rows", limited, most)
		}
		n := len(plugin.Shapes(1_000))
		for offset := range 20 {
			for _, read := range pageReads(page{50, 10 + offset}) {
				read(db)
			}
		}
		if more := len(plugin.Shapes(1_000)) - n; more > 0 {
			t.Errorf("%d shapes for pages that were not read before", more)
		}
		if plugin.Stats().Hits < 600 {
			t.Errorf("%d hits, want one for each page that was read again", plugin.Stats().Hits)
		}
	})
}

// TestPagesAreLoadedAsTheyWereAsked: a page that is loaded in the background, also by another
// process from a file, is asked for in the words in which an application asks.
func TestPagesAreLoadedAsTheyWereAsked(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		before, db, plain := pagedWorld(t, d)
		pages := []page{{10, 20}, {7, 14}, {5, -1}, {1, 12}, {1, -1}}
		for _, p := range pages {
			for range 3 {
				var items []pagedItem
				worldtest.Must(t, p.of(db).Find(&items).Error)
			}
		}
		var file bytes.Buffer
		worldtest.Must(t, before.SaveHot(&file))

		after := preload.New(preload.WithoutWorker())
		db = d.Open(t)
		worldtest.Must(t, db.Use(after))
		defer func() { worldtest.Must(t, after.Close()) }()
		worldtest.Must(t, after.Register(&pagedItem{}))
		worldtest.Must(t, after.LoadHot(context.Background(), &file))
		queries := d.Probe.Queries()
		for _, p := range pages {
			var got, want []pagedItem
			worldtest.Must(t, p.of(db).Find(&got).Error)
			worldtest.Must(t, p.of(plain).Find(&want).Error)
			if !reflect.DeepEqual(got, want) || len(got) == 0 {
				t.Errorf("%+v: %v, want %v", p, got, want)
			}
		}
		// A statement confirms each of the shapes of the file, and those of plain GORM are not counted.
		if n := d.Probe.Queries() - queries; n > 0 {
			t.Errorf("%d queries of what was loaded from a file", n)
		}
	})
}
