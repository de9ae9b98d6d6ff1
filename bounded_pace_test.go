package preload

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/dbtest"
)

// TestWhatIsSlowIsStillLoadedOnce has a load that usually takes longer than readers wait for one
// that is not slow.
func TestWhatIsSlowIsStillLoadedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, whatIsSlow) // a machine that stands still for a while is not a slow load
}

func whatIsSlow(t *testing.T) {
	p := New(WithoutWorker(), func(c *config) {
		c.waits = cache.Waits{Least: time.Millisecond, Most: 20 * time.Millisecond, First: time.Millisecond}
	})
	defer p.Close()
	var calls atomic.Int64
	slow := func(context.Context) (int, error) {
		calls.Add(1)
		time.Sleep(300 * time.Millisecond)
		return 1, nil
	}
	_, _ = Load(context.Background(), p, "k", slow)
	p.Clear()
	calls.Store(0)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { _, _ = Load(context.Background(), p, "k", slow) })
	}
	all.Wait()
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls for 20 callers, want 1", n)
	}
}

// TestAReaderTakesABackgroundLoadOver that hangs.
func TestAReaderTakesABackgroundLoadOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.idle(t, 6)
	b.read(t, 1)
	b.read(t, 1)
	arrived, release := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	b.probe.Before(func(c dbtest.Call) error {
		if strings.HasPrefix(c.SQL, "SELECT") && !once.Swap(true) {
			close(arrived)
			<-release
		}
		return nil
	})
	b.rename(t, 1, "new")
	<-arrived
	var all sync.WaitGroup
	before := b.probe.Queries()
	for range 20 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
			defer cancel()
			var u workerUser
			if err := b.db.WithContext(ctx).First(&u, 1).Error; err != nil || u.Name != "new" {
				t.Errorf("%v, %+v", err, u)
			}
		})
	}
	within(t, "a reader of what hangs in the background", all.Wait)
	if n := b.probe.Queries() - before; n > 20 {
		t.Errorf("%d queries for 20 readers", n)
	}
	close(release)
	b.settle()
	if name, queries := b.read(t, 1); name != "new" || queries != 0 {
		t.Errorf("%q with %d queries afterwards", name, queries)
	}
}
