package feeds

import (
	"maps"
	"sync"
	"time"

	"github.com/gorm-preload/preload/internal/seen"
)

// Figures are what is told of a feed.
type Figures struct {
	Name      string
	Serves    time.Duration // for how long it has answers served from now on; 0 where it does not
	Age       time.Duration // since the moment before which all is known; 0 while none is
	Resets    map[string]int64
	Sum       time.Duration // that announcing took
	Announces seen.Buckets
}

// known is what a feed said.
type known struct {
	mu           sync.Mutex // a leaf
	asked, until time.Time
	resets       map[string]int64
	announces    seen.Histogram
}

// maxResets bounds the reasons of resets that are told apart; the others are told as "other".
const maxResets = 16

func (k *known) serve(asked time.Time, n time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if asked.After(k.asked) {
		k.asked = asked
	}
	if until := asked.Add(n); until.After(k.until) {
		k.until = until
	}
}

func (k *known) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.until = time.Time{}
}

func (k *known) reset(why string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.resets == nil {
		k.resets = map[string]int64{}
	}
	if _, same := k.resets[why]; !same && len(k.resets) >= maxResets {
		why = "other"
	}
	k.resets[why]++
}

func (m *Member) figures(now time.Time) Figures {
	k := &m.known
	k.mu.Lock()
	defer k.mu.Unlock()
	f := Figures{Name: m.name, Serves: max(0, k.until.Sub(now)), Resets: maps.Clone(k.resets)}
	if !k.asked.IsZero() {
		f.Age = max(0, now.Sub(k.asked))
	}
	f.Sum, f.Announces = k.announces.Load()
	return f
}

// Each calls do with what is told of each feed, in the order in which they joined.
func (f *Feeds) Each(do func(Figures)) {
	f.mu.Lock()
	all := f.members
	f.mu.Unlock()
	now := time.Now()
	for _, m := range all {
		do(m.figures(now))
	}
}
