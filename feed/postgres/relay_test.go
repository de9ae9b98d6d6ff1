//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/feedtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
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

// unmade is a relay that was made in a wrong way.
type unmade struct{ *memory }

func (unmade) Add(context.Context, string, [][]byte) error { return errors.New("unmade") }

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

// through opens processes that have one relay.
func (b *bed) through(plain *gorm.DB, n int, relay Relay, options ...Option) (all []*process) {
	b.t.Helper()
	for range n {
		all = append(all, b.open(plain, append([]Option{Through(relay)}, options...)...))
	}
	return all
}

func (b *bed) slots() int64 {
	return b.one("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()")
}

func (p *process) place() *place { return p.feed.follower.place.Load() }

// leads reports whether a process reads the server's log.
func (p *process) leads() bool { return p.feed.session.Load() != nil }

// TestOneSlot: however many processes have the same relay, one reads the server's log; and the
// others have no connection with the server but those of their pools.
func TestOneSlot(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	all := b.through(plain, 12, newMemory())
	for _, p := range all {
		p.serving(t, items)
	}
	for n := range 10 {
		b.write(fmt.Sprintf("UPDATE items SET name = 'one slot %d' WHERE id = 1", n))
		for _, p := range all {
			p.caughtUp(t)
			p.right(t, "a write of somebody else", items)
		}
	}
	if n := b.slots(); n != 1 {
		t.Errorf("%d slots", n)
	}
	until(t, "two connections of feeds, and no more", func() bool {
		return b.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'preload' AND datname = current_database()") == 2
	})
}

// TestFaultsOfALeaderAndARelay: whatever befalls them, nothing older than the bound is served, and
// after a while all serve again.
func TestFaultsOfALeaderAndARelay(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	relay := newMemory()
	var all []*process
	told := func(do func(*lane)) {
		relay.mu.Lock()
		defer relay.mu.Unlock()
		do(relay.lane(all[0].place().telling))
	}
	const terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'preload' AND pid <> pg_backend_pid() AND datname = current_database()"
	all = b.through(plain, 3, relay)
	leader := func() int { return slices.IndexFunc(all, (*process).leads) }
	for _, c := range []struct {
		name   string
		befall func()
	}{
		{"the leader is closed", func() {
			at := leader()
			worldtest.Must(t, all[at].Plugin.Close())
			all[at] = b.open(plain, Through(relay))
		}},
		{"the lock is lost", func() { b.write(terminate + " AND backend_type = 'client backend'") }},
		{"the WAL sender is terminated", func() { b.write(terminate + " AND backend_type = 'walsender'") }},
		{"the relay is emptied", func() { relay.each(func(l *lane) { l.entries, l.before = nil, 0 }) }},
		{"the relay begins anew", func() {
			relay.mu.Lock()
			defer relay.mu.Unlock()
			relay.streams = map[string]*lane{}
		}},
		{"entries are lost", func() { told(func(l *lane) { l.entries = l.entries[:len(l.entries)-1] }) }},
		{"nonsense", func() {
			worldtest.Must(t, relay.Add(t.Context(), all[0].place().telling, [][]byte{[]byte("nonsense")}))
			worldtest.Must(t, relay.Add(t.Context(), all[0].place().asking, [][]byte{[]byte("nonsense")}))
		}},
		{"an entry is forged", func() {
			told(func(l *lane) {
				e, err := entryFrom(l.entries[len(l.entries)-1])
				if err != nil {
					return
				}
				e.number, e.kind = e.number+1, kindEnd
				l.entries = append(l.entries, e.bytes())
			})
		}},
		{"the relay is away for longer than the bound", func() {
			relay.reach(false)
			time.Sleep(2 * quick)
			for _, p := range all {
				if p.served(items) {
					t.Error("served while the relay is away")
				}
			}
			relay.reach(true)
		}},
		{"the relay is away until the leader leaves its place", func() {
			relay.reach(false)
			until(t, "nobody who reads the log", func() bool { return leader() < 0 })
			relay.reach(true)
		}},
	} {
		for _, p := range all {
			p.serving(t, items)
		}
		if n := b.slots(); n != 1 {
			t.Errorf("before %s: %d slots", c.name, n)
		}
		b.write("UPDATE items SET name = 'before it' WHERE id = 1")
		for _, p := range all {
			p.caughtUp(t)
			p.right(t, "before "+c.name, items)
		}
		c.befall()
		for n := range 3 {
			b.write(fmt.Sprintf("UPDATE items SET name = 'after %d' WHERE id = %d", n, n+1))
			written := time.Now()
			for time.Since(written) < quick+quick/2 {
				for _, p := range all {
					begun := time.Now()
					diff := items.Ask(plain).Differs(items.Ask(p.DB))
					if age := begun.Sub(written); diff != "" && age > quick {
						t.Fatalf("write %d after %s: %v: %s", n, c.name, age, diff)
					}
				}
			}
		}
		begun := time.Now()
		for _, p := range all {
			p.serving(t, items)
			p.caughtUp(t)
			p.right(t, "in the end, after "+c.name, items)
		}
		t.Logf("after %s: all serve %v later", c.name, time.Since(begun).Round(time.Millisecond))
	}
}

// TestALeaderThatIsStopped: the server gives its place to another process; what it tells after it
// was woken, of a place that it has lost, makes nobody serve what is not so any more.
func TestALeaderThatIsStopped(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	relay := newMemory()
	p := b.through(plain, 2, relay)
	for _, p := range p {
		p.serving(t, items)
	}
	first := p[0]
	if !first.leads() {
		first = p[1]
	}
	// It asks nothing any more, while its stream goes on.
	s := first.feed.session.Load()
	s.mu.Lock()
	wake := sync.OnceFunc(s.mu.Unlock)
	defer wake()
	stopped := time.Now()
	until(t, "another leader", func() bool { return b.slots() == 2 })
	b.write("UPDATE items SET name = 'while it is stopped' WHERE id = 1")
	written := time.Now()
	other := p[0]
	if other == first {
		other = p[1]
	}
	other.serving(t, items)
	t.Logf("another one leads, and serves, %v after it was stopped", time.Since(stopped).Round(time.Millisecond))
	wake()
	for n := 0; time.Since(written) < 2*quick || n < 50; n++ {
		for _, p := range p {
			begun := time.Now()
			diff := items.Ask(plain).Differs(items.Ask(p.DB))
			if age := begun.Sub(written); diff != "" && age > quick {
				t.Fatalf("%v: %s", age, diff)
			}
		}
	}
	until(t, "one slot", func() bool { return b.slots() == 1 })
	for _, p := range p {
		p.serving(t, items)
		p.right(t, "in the end", items)
	}
}

// mute is a relay to which nothing can be told, though it can be asked.
type mute struct{ *memory }

func (m mute) Add(ctx context.Context, stream string, entries [][]byte) error {
	if strings.HasSuffix(stream, "/told") {
		return errAway
	}
	return m.memory.Add(ctx, stream, entries)
}

// TestALeaderThatCanTellNothing leaves its place to one that can, and says why.
func TestALeaderThatCanTellNothing(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	relay := newMemory()
	var log journal
	first := b.open(plain, Through(mute{relay}), log.logger())
	until(t, "a leader that can tell nothing", first.leads)
	other := b.open(plain, Through(relay))
	until(t, "another one leads", other.leads)
	other.serving(t, items)
	first.serving(t, items)
	if !strings.Contains(log.String(), "nothing can be added") {
		t.Errorf("the log says %q", log.String())
	}
}

// TestALeaderThatWaitsForItsSlot is heard, so that nobody is told to want another relay.
func TestALeaderThatWaitsForItsSlot(t *testing.T) {
	t.Parallel()
	b := alone(t).bed(t)
	plain, relay := b.items(), newMemory()
	conn := b.connect(b.name)
	b.exec(conn, "BEGIN; SELECT pg_current_xact_id()")
	b.open(plain, Through(relay))
	until(t, "a leader that waits", b.taken)
	other := b.open(plain, Through(relay))
	var last time.Time
	for range 5 {
		until(t, "a leader that is heard again and again", func() bool {
			f := other.feed.follower
			f.mu.Lock()
			defer f.mu.Unlock()
			again := f.quiet == f.heard && f.heard.After(last) // f.quiet is by what others count as not heard
			last = f.heard
			return again
		})
	}
	if other.feed.follower.deaf() {
		t.Error("it counts as not heard")
	}
	b.exec(conn, "COMMIT")
	other.serving(t, items)
}

// taken reports whether somebody has the place of the leader.
func (b *bed) taken() bool {
	return b.one("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == 1
}

// stuck is a relay to which nothing can be told, and whose calls return when a test says so.
type stuck struct {
	*memory
	over chan struct{}
}

func (s stuck) Add(ctx context.Context, stream string, entries [][]byte) error {
	if strings.HasSuffix(stream, "/told") {
		<-s.over
	}
	return s.memory.Add(ctx, stream, entries)
}

// TestALeaderThatIsStoppedBeforeItHasASlot loses its place.
func TestALeaderThatIsStoppedBeforeItHasASlot(t *testing.T) {
	t.Parallel()
	b := alone(t).bed(t)
	plain, relay := b.items(), newMemory()
	conn := b.connect(b.name)
	b.exec(conn, "BEGIN; SELECT pg_current_xact_id()")
	over := make(chan struct{})
	defer close(over)
	b.open(plain, Through(stuck{relay, over}))
	until(t, "a leader that waits", b.taken)
	other := b.open(plain, Through(relay))
	until(t, "another one that is heard", func() bool {
		f := other.feed.follower
		f.mu.Lock()
		defer f.mu.Unlock()
		return !f.heard.IsZero()
	})
	b.exec(conn, "COMMIT")
	until(t, "another leader", other.leads)
}

// TestAnotherRelayIsSaid: where the place is taken by a process that is not heard.
func TestAnotherRelayIsSaid(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	p := b.open(plain, Through(newMemory()))
	p.serving(t, items)
	var log journal
	other := b.feed(Through(newMemory()), WithBound(quick), log.logger())
	deaf := &process{worldtest.Open(t, b.d.Again(), plain, nil, preload.WithFeed(other)), other, other}
	other.follower.mu.Lock()
	other.follower.quiet = time.Now().Add(-time.Minute)
	other.follower.mu.Unlock()
	until(t, "a word of what is missing", func() bool { return strings.Contains(log.String(), "WithPublication") })
	if deaf.served(items) {
		t.Error("something is served")
	}
	if n := b.slots(); n != 1 {
		t.Errorf("%d slots", n)
	}
}
