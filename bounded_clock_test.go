package preload

import (
	"testing"
	"time"
)

func TestAClockThatIsSetBackKeepsNothingLonger(t *testing.T) {
	t.Parallel()
	for _, back := range []time.Duration{time.Hour, 2 * time.Second, 1000 * time.Hour} {
		b := setup(t, WithoutWorker())
		b.read(t, 1)
		b.clock.Advance(-back)
		if _, queries := b.read(t, 1); queries != 0 {
			t.Errorf("set back by %v: %d queries for what is in memory", back, queries)
		}
		b.clock.Advance(10 * time.Minute) // the TTL
		if _, queries := b.read(t, 1); queries != 1 {
			t.Errorf("set back by %v: an answer is served when its time is over", back)
		}
		b.clock.Advance(-back)
		b.clock.Advance(back + 10*time.Minute)
		if _, queries := b.read(t, 1); queries != 1 {
			t.Errorf("set back by %v and forward: an answer is served when its time is over", back)
		}
	}
}
