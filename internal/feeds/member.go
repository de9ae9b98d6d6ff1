package feeds

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/strict"
)

// Member is what this process is to one feed.
type Member struct {
	*Feeds
	id, namespace string
	latch         *cache.Latch
	name          string // of the feed, for people
	known         known
}

// Join returns the member for another feed, which is called so: from then on nothing is served
// until it says so. The error says that the database could not be asked for its name.
func (f *Feeds) Join(feed string) (*Member, error) {
	m := &Member{Feeds: f, latch: f.Gate.Latch(), name: feed}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	m.id = hex.EncodeToString(id[:])
	name, err := f.databaseName(context.Background())
	if err != nil {
		return nil, fmt.Errorf("asking the database for its name: %w", err)
	}
	m.namespace = f.dialect + "/" + name
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members = append(slices.Clip(f.members), m)
	return m, nil
}

// ID returns 128 random bits, as 32 letters of base 16: another one for each feed and process.
func (m *Member) ID() string { return m.id }

// Namespace names the database, alike in all processes that use it.
func (m *Member) Namespace() string { return m.namespace }

// Serve says that all is known that was done before asked, and that answers may be served from
// memory until so long after that.
func (m *Member) Serve(asked time.Time, n time.Duration) {
	m.known.serve(asked, n)
	m.latch.Keep(asked, n)
}

// Exact says that nothing is done of which the feed does not know while it has answers served.
func (m *Member) Exact() { m.latch.Exact() }

// Stop has nothing served or kept until Serve.
func (m *Member) Stop() {
	m.known.stop()
	m.latch.Shut()
}

// Reset forgets all answers, and those that are being loaded.
func (m *Member) Reset(reason string) {
	m.known.reset(reason)
	m.Report(slog.LevelInfo, "preload: a feed may have missed changes, so that all answers are invalidated", "", "why", reason)
	m.Log().Invalidate([]coherence.Change{coherence.Everything})
}

// Begin takes in that another process is about to make changes visible.
func (m *Member) Begin(batch []byte) (end func(strict.End)) { return m.Log().Elsewhere(m.read(batch)) }
