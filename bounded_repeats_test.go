package preload

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// TestWhatIsNeverAskedAgainLeavesRoomToOthers asks for each of many names once, beside a few users
// who are asked for all the time.
func TestWhatIsNeverAskedAgainLeavesRoomToOthers(t *testing.T) {
	t.Parallel()
	var (
		mu  sync.Mutex
		log bytes.Buffer
	)
	b := setup(t, WithMaxEntries(200), WithoutWorker(), WithLogger(slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))))
	once := 0
	ask := func() {
		var users []workerUser
		if err := b.db.Where("id > ?", 1_000+once).Find(&users).Error; err != nil {
			t.Fatal(err)
		}
		once++
	}
	for range 3_000 {
		ask()
		b.read(t, uint(once%10+1))
	}
	s := b.plugin.Stats()
	if n := s.MissCauses[CauseNotRepeated]; n < 1_000 {
		t.Errorf("%d answers were not kept that are never asked for again: %+v", n, s)
	}
	before := b.plugin.Stats()
	for range 100 {
		ask()
	}
	after := b.plugin.Stats()
	if n := after.Evicted - before.Evicted; n > 100/10 {
		t.Errorf("%d answers left for 100 that are never asked for again", n)
	}
	if n := strings.Count(log.String(), "hardly any query of this shape is asked again"); n != 1 {
		t.Errorf("%d lines in the log tell of it, want one: %s", n, log.String())
	}
	// What is asked for by hand is kept.
	ctx := ContextWithRefresh(context.Background())
	for range 20 {
		once++
		for _, c := range []context.Context{ctx, context.Background()} {
			queries := b.probe.Queries()
			var users []workerUser
			if err := b.db.WithContext(c).Where("id > ?", 1_000+once).Find(&users).Error; err != nil {
				t.Fatal(err)
			}
			if n := b.probe.Queries() - queries; n != 1 && c == ctx || n != 0 && c != ctx {
				t.Fatalf("%d queries", n)
			}
		}
	}
}
