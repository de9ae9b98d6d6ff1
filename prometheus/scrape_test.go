package prometheus_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gorm-preload/preload"
	preloadprometheus "github.com/gorm-preload/preload/prometheus"
	"github.com/prometheus/client_golang/prometheus"
)

// notText is a model whose table has a name that is not UTF-8.
type notText struct {
	_  struct{} `preload:""`
	ID int
}

func (notText) TableName() string { return "b\xff" }

// alsoNotText is another one.
type alsoNotText struct {
	_  struct{} `preload:""`
	ID int
}

func (alsoNotText) TableName() string { return "b\xfe" }

// TestNamesThatAreNotUTF8AreQuoted: one of them does not cost the whole scrape.
func TestNamesThatAreNotUTF8AreQuoted(t *testing.T) {
	t.Parallel()
	db, p := open(t)
	if err := db.AutoMigrate(&notText{}, &alsoNotText{}); err != nil {
		t.Fatal(err)
	}
	for _, into := range []any{new([]notText), new([]alsoNotText)} {
		if err := db.Find(into).Error; err != nil {
			t.Fatal(err)
		}
	}
	families, text := scrape(t, preloadprometheus.NewCollector(p, preloadprometheus.WithShapes(10)))
	for _, table := range []string{`"b\xff"`, `"b\xfe"`} {
		if value(families, "preload_entries", "table="+table) < 0 {
			t.Errorf("nothing is told of %s in\n%s", table, text)
		}
	}
}

// ownData is a model whose table is called what own data are called.
type ownData struct {
	_  struct{} `preload:""`
	ID int
}

func (ownData) TableName() string { return "own data" }

// TestATableMayHaveTheNameOfALabel that the collector gives itself.
func TestATableMayHaveTheNameOfALabel(t *testing.T) {
	t.Parallel()
	db, p := open(t)
	for range 2 {
		if _, err := preload.Load(t.Context(), p, "key", func(context.Context) (int, error) { return 1, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.AutoMigrate(&ownData{}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := db.Find(new([]ownData)).Error; err != nil {
			t.Fatal(err)
		}
	}
	families, _ := scrape(t, preloadprometheus.NewCollector(p))
	if got := value(families, "preload_reads_total", "table=own data", "outcome=hit"); got != 3 {
		t.Errorf("%v hits of a table and of own data, want 2 and 1", got)
	}
}

// TestAScrapeAfterAnother tells what is there by then, with the labels that it has by then.
func TestAScrapeAfterAnother(t *testing.T) {
	t.Parallel()
	db, p := open(t)
	c := preloadprometheus.NewCollector(p, preloadprometheus.WithConstLabels(prometheus.Labels{"db": "shop"}))
	for i := range 3 {
		if err := db.First(new(book), 1).Error; err != nil {
			t.Fatal(err)
		}
		families, text := scrape(t, c)
		if hits := value(families, "preload_reads_total", "table=books", "outcome=hit", "db=shop"); hits != float64(i) {
			t.Errorf("scrape %d: %v hits", i, hits)
		}
		if n := strings.Count(text, `preload_reads_total{db="shop",outcome="hit",table="books"}`); n != 1 {
			t.Errorf("scrape %d: %d series of hits in\n%s", i, n, text)
		}
	}
	p.Clear()
	if families, text := scrape(t, c); value(families, "preload_misses_total", "table=books", "cause=cold") > 0 {
		t.Errorf("what Clear cleared is still told:\n%s", text)
	}
}

// TestScrapesWhileAPluginIsUsedAndClosed: several at a time, of two plugins in one registry.
func TestScrapesWhileAPluginIsUsedAndClosed(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	var used, scraped sync.WaitGroup
	for i := range 2 {
		db, p := open(t)
		registry.MustRegister(preloadprometheus.NewCollector(p, preloadprometheus.WithShapes(5), preloadprometheus.WithConstLabels(prometheus.Labels{"db": fmt.Sprint(i)})))
		used.Go(func() {
			for id := range 200 {
				if err := db.Where("id > ?", id).Find(new([]book)).Error; err != nil {
					t.Error(err)
				}
				if err := db.Model(&book{}).Where("id = ?", 1).Update("title", fmt.Sprint(id)).Error; err != nil {
					t.Error(err)
				}
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	for range 3 {
		scraped.Go(func() {
			for range 20 {
				if _, err := registry.Gather(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	used.Wait()
	scraped.Wait()
	if _, err := registry.Gather(); err != nil {
		t.Error(err)
	}
}
