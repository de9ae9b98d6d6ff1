package feeds

import (
	"sync"
	"testing"

	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
)

// TestSumsAreReadAndRememberedAtATime: by a feed that takes in what others write while this process
// tells what it writes. What one of them learns is never put where the other one reads.
func TestSumsAreReadAndRememberedAtATime(t *testing.T) {
	t.Parallel()
	f := New(Config{Catalog: catalog.New(catalog.Hooks{})})
	f.written([]coherence.Change{{Table: "first"}})
	one, other := f.known(), f.known()
	one.of(f, "second")
	if _, ok := other.byTable["second"]; ok || len(other.byTable) != 1 {
		t.Errorf("what one learned is in the sums of another one: %v", other.byTable)
	}
	if after := f.known(); len(after.byTable) != 2 {
		t.Errorf("what was learned is not remembered: %v", after.byTable)
	}
	var all sync.WaitGroup
	for _, do := range []func(table string){
		func(table string) { f.written([]coherence.Change{{Table: table}}) },
		func(table string) { f.read(f.written([]coherence.Change{{Table: table}})) },
	} {
		all.Go(func() {
			for i := range 200 {
				do(string(rune('a' + i)))
			}
		})
	}
	all.Wait()
}
