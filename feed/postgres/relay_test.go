//go:build unix

package postgres

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/feedtest"
	"github.com/gorm-preload/preload/internal/worldtest"
)

// memory is a relay in memory, which a test makes fail.
type memory struct {
	mu      sync.Mutex
	streams map[string]*lane
	away    bool
}

// lane is a stream. Its places are numbers.
type lane struct {
	entries [][]byte
	before  int           // how many have been lost at its beginning
	more    chan struct{} // closed when there are more
}

func newMemory() *memory { return &memory{streams: map[string]*lane{}} }

var errAway = errors.New("the relay is out of reach")

func (m *memory) lane(name string) *lane {
	l := m.streams[name]
	if l == nil {
		l = &lane{more: make(chan struct{})}
		m.streams[name] = l
	}
	return l
}

func (m *memory) Add(_ context.Context, stream string, entries [][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return errAway
	}
	if len(entries) > 0 {
		l := m.lane(stream)
		l.entries = append(l.entries, entries...)
		close(l.more)
		l.more = make(chan struct{})
	}
	return nil
}

func (m *memory) Read(ctx context.Context, stream, after string, wait time.Duration) (entries [][]byte, last string, err error) {
	read := func() (more chan struct{}) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.away {
			err = errAway
			return nil
		}
		l := m.lane(stream)
		end := l.before + len(l.entries)
		last = strconv.Itoa(end)
		if after != "" {
			if at, _ := strconv.Atoi(after); at < end {
				entries = append(entries, l.entries[max(0, at-l.before):]...)
			} else {
				last = after // also where it is beyond the end
			}
		}
		return l.more
	}
	more := read()
	if err != nil || after == "" || len(entries) > 0 {
		return entries, last, err
	}
	select {
	case <-more:
	case <-time.After(wait):
	case <-ctx.Done():
	}
	read()
	return entries, last, err
}

// each does something to each stream.
func (m *memory) each(do func(*lane)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.streams {
		do(l)
	}
}

func (m *memory) reach(can bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = !can
}

// TestFeedThroughARelay: what every feed promises.
func TestFeedThroughARelay(t *testing.T) {
	t.Parallel()
	s := common(t)
	feedtest.RunOn(t, func(t *testing.T) (*dbtest.Database, feedtest.Bed) {
		b, relay := s.bed(t), newMemory()
		return b.d, feedtest.Bed{
			Feed:  func() preload.Feed { return b.feed(Through(relay), WithBound(quick), WithLogger(worldtest.Quiet())) },
			Bound: quick, Long: quick,
			Faults: map[string]func(){
				"cut off from the server": func() {
					b.write("SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE pid IN (SELECT active_pid FROM pg_replication_slots WHERE database = current_database())")
				},
				"emptied": func() { relay.each(func(l *lane) { l.entries, l.before = nil, 0 }) },
			},
		}
	})
}
