package preload_test

import (
	"context"
	"errors"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
)

// TestACallOfLoadWhoseContextEndsIsCounted: each call of Load is a hit or a miss, also one that
// gave up waiting for another.
func TestACallOfLoadWhoseContextEndsIsCounted(t *testing.T) {
	t.Parallel()
	b := valuesOpen(t, dbtest.SQLite(t))
	runs, end, led := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		_, err := preload.Load(context.Background(), b.Plugin, "key", func(context.Context) (int, error) {
			close(runs)
			<-end
			return 1, nil
		})
		led <- err
	}()
	<-runs
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := preload.Load(ctx, b.Plugin, "key", func(context.Context) (int, error) { return 0, errors.New("it was called") })
	close(end)
	worldtest.Must(t, <-led)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Load with a context that has ended: %v, want %v", err, context.Canceled)
	}
	if s := b.Plugin.Stats(); s.Hits != 0 || s.Misses != 2 {
		t.Errorf("%d hits and %d misses of two calls, want 2 misses", s.Hits, s.Misses)
	}
}
