package preload

import (
	"context"
	"testing"

	"github.com/gorm-preload/preload/internal/association"
)

// TestAReaderTakesOverALoadThatIsNotSent: the goroutine of a load in the background may wait for a
// processor, or for a connection. A reader who comes meanwhile sends the query itself, and the load
// leaves out what the reader asked for; later readers wait for the load once its query is sent.
func TestAReaderTakesOverALoadThatIsNotSent(t *testing.T) {
	t.Parallel()
	for name, ids := range map[string][]uint{"alone": {1}, "together": {1, 2, 3}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var queue []*association.Expected
			for _, id := range ids {
				b.read(t, id)
			}
			for _, key := range b.plugin.PreloadKeys(10) {
				queue = append(queue, &association.Expected{Key: key})
			}
			if len(queue) != len(ids) {
				t.Fatalf("%d keys are known, want %d", len(queue), len(ids))
			}
			if err := b.plugin.Invalidate(); err != nil {
				t.Fatal(err)
			}
			wish, rest := b.plugin.worker.Together(queue)
			if len(rest) > 0 {
				t.Fatalf("%d keys are left", len(rest))
			}
			run := wish.Load(context.Background())
			if _, queries := b.read(t, 1); queries != 1 {
				t.Errorf("a reader before the query of the load is sent: %d queries, want its own", queries)
			}
			before := b.probe.Queries()
			asked, err := run()
			stored := storedOf(asked)
			if n, want := b.probe.Queries()-before, min(1, int64(len(ids)-1)); n != want || len(stored) != len(ids)-1 || err != nil {
				t.Errorf("the load: %d queries, %d stored, error %v; want %d, and all but what the reader asked for", n, len(stored), err, want)
			}
			for _, id := range ids {
				if _, queries := b.read(t, id); queries != 0 {
					t.Errorf("%d is read with %d queries afterwards", id, queries)
				}
			}
		})
	}
}
