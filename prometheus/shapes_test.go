package prometheus_test

import (
	"strings"
	"testing"

	"github.com/gorm-preload/preload/internal/opentest"
	preloadprometheus "github.com/gorm-preload/preload/prometheus"
)

// TestShapesAreToldOneByOne: what the shapes beyond those of WithShapes did is no counter, since it
// goes down where one of them gets in.
func TestShapesAreToldOneByOne(t *testing.T) {
	t.Parallel()
	db, p := opentest.Open(t, &[]book{{ID: 1}, {ID: 2}})
	for range 3 {
		for _, err := range []error{db.Order("title, id").Find(new([]book)).Error, db.First(new(book), 1).Error} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for n, want := range []int{0, 1, 2, 2} {
		_, text := scrape(t, preloadprometheus.NewCollector(p, preloadprometheus.WithShapes(n)))
		if got := strings.Count(text, "preload_shape_query_seconds_total{"); got != want || strings.Contains(text, `shape="other"`) {
			t.Errorf("WithShapes(%d) tells of %d shapes, and of others: %t", n, got, strings.Contains(text, `shape="other"`))
		}
	}
}
