package preload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorm-preload/preload/internal/batch"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/hotfile"
)

// shelfOfTest is a Shelf that several plugins share, by a feed for each that has all served.
type shelfOfTest struct {
	mu    sync.Mutex
	lists map[string][]byte
	put   int
	read  func(ctx context.Context, lists [][]byte) ([][]byte, error) // what is read in place of what was left
}

type shelfFeed struct {
	*shelfOfTest
	shut bool
	m    Member
}

func (f *shelfFeed) Open(_ context.Context, m Member) error {
	if f.m = m; !f.shut {
		m.Serve(time.Now(), time.Hour)
	}
	return nil
}

func (f *shelfFeed) Close() error { return nil }

func (f *shelfFeed) PutHot(_ context.Context, list []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists[f.m.ID()] = slices.Clone(list)
	f.put++
	return nil
}

// all returns the lists that were left: processes may leave more.
func (s *shelfOfTest) all() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.lists)
}

// puts returns how many lists were left.
func (s *shelfOfTest) puts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put
}

func (f *shelfFeed) HotLists(ctx context.Context) (lists [][]byte, err error) {
	f.mu.Lock()
	for _, list := range f.lists {
		lists = append(lists, list)
	}
	f.mu.Unlock()
	if f.read == nil {
		return lists, nil
	}
	return f.read(ctx, lists)
}

var secretOfTest = []byte("a secret of the test")

// joins opens the database anew, as a process does that shares hot keys.
func (s *shelfOfTest) joins(t *testing.T, d *dbtest.Database, options ...Option) (b *bench, log *bytes.Buffer) {
	t.Helper()
	log = &bytes.Buffer{}
	b = &bench{db: d.Open(t), clock: dbtest.NewClock(), probe: d.Probe}
	b.plugin = New(append([]Option{
		WithFeed(&shelfFeed{shelfOfTest: s}), WithSecret(secretOfTest), WithSharedHot(),
		WithClock(b.clock), WithLogger(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))),
	}, options...)...)
	if err := b.db.Use(b.plugin); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.plugin.Close() })
	if err := b.plugin.Register(&manyItem{}); err != nil {
		t.Fatal(err)
	}
	return b, log
}

// asks asks for the items of some codes, and returns how many queries that took.
func (b *bench) asks(t *testing.T, codes ...string) int64 {
	t.Helper()
	before := b.probe.Queries()
	for _, code := range codes {
		var item manyItem
		if err := b.db.Where("code = ?", code).Take(&item).Error; err != nil || item.Code != code {
			t.Errorf("asked for %s, got %q, %v", code, item.Code, err)
		}
	}
	return b.probe.Queries() - before
}

// warmed is a shelf on which two processes have left that codes are hot.
func warmed(t *testing.T, d *dbtest.Database) *shelfOfTest {
	t.Helper()
	manySetup(t, d)
	s := &shelfOfTest{lists: map[string][]byte{}}
	for _, codes := range [][]string{{"c1", "c2", "c2"}, {"c2", "c4", "c5", "c5", "c5", "c5"}} {
		b, log := s.joins(t, d)
		b.asks(t, codes...)
		if b.plugin.leave(); log.Len() > 0 {
			t.Fatal(log)
		}
	}
	if lists := s.all(); len(lists) != 2 {
		t.Fatalf("%d lists were left, want 2", len(lists))
	}
	return s
}

// TestAProcessThatStartsLoadsWhatIsHotInOthers: of all of them together, the hottest first, as far
// as there is room for it. What they leave can be read by nobody else.
func TestAProcessThatStartsLoadsWhatIsHotInOthers(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		s := warmed(t, d)
		for _, list := range s.all() {
			if bytes.Contains(list, []byte("SELECT")) || bytes.Contains(list, []byte("queries")) {
				t.Errorf("a list can be read: %q", list)
			}
		}
		b, log := s.joins(t, d)
		before := b.probe.Queries()
		if err := b.plugin.LoadHotShared(t.Context()); err != nil || log.Len() > 0 {
			t.Fatalf("%v, log %s", err, log)
		}
		n := int64(b.probe.Queries() - before)
		if n == 0 || n > 4 {
			t.Errorf("%d queries loaded 4 keys", n)
		}
		if counted := b.plugin.Stats().Loads; counted.Results["warm"]["stored"] != n || counted.Took["warm"].Count != n {
			t.Errorf("%d loads are counted as %+v", n, counted)
		}
		if n := b.asks(t, "c1", "c2", "c4", "c5"); n != 0 {
			t.Errorf("%d of 4 keys that are hot elsewhere are not in memory", n)
		}
		b, _ = s.joins(t, d, WithMaxEntries(2))
		if err := b.plugin.LoadHotShared(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := b.asks(t, "c5", "c2"); n != 0 {
			t.Errorf("%d of the 2 hottest are not in memory, for which there is room", n)
		}
	})
}

// TestNothingThatOthersLeaveKeepsAProcessFromStarting: whatever it is, it is one line of the log,
// and no error.
func TestNothingThatOthersLeaveKeepsAProcessFromStarting(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	s := warmed(t, d)
	seal, _ := batch.NewSeal(secretOfTest)
	sealed := func(texts ...string) func(context.Context, [][]byte) ([][]byte, error) {
		return func(context.Context, [][]byte) (lists [][]byte, err error) {
			for _, text := range texts {
				lists = append(lists, seal.Close([]byte(text)))
			}
			return lists, nil
		}
	}
	key := `{"query":0,"args":"aTE7"}`
	for _, tt := range []struct {
		name    string
		read    func(ctx context.Context, lists [][]byte) ([][]byte, error)
		options []Option
		want    string // in the log; "" for no line
		queries int64  // that c1 and c5 take, asked for afterwards
	}{
		{"nothing was left", func(context.Context, [][]byte) ([][]byte, error) { return nil, nil }, nil, "", 2},
		{"out of reach", func(context.Context, [][]byte) ([][]byte, error) { return nil, errors.New("c1 is away") }, nil, "does not tell", 2},
		{"a panic", func(context.Context, [][]byte) ([][]byte, error) { panic("c1") }, nil, "a fault in the plugin", 2},
		{"it hangs until its context ends", func(ctx context.Context, _ [][]byte) ([][]byte, error) { <-ctx.Done(); return nil, ctx.Err() }, nil, "deadline", 2},
		{"it hangs", func(context.Context, [][]byte) ([][]byte, error) { <-t.Context().Done(); return nil, nil }, nil, "deadline", 2},
		{"not sealed", func(context.Context, [][]byte) ([][]byte, error) { return [][]byte{nil, {}, []byte(hotBegin)}, nil }, nil, "3 of 3 lists were altered", 2},
		{"another secret", nil, []Option{WithSecret([]byte("another secret of it"))}, "2 of 2 lists were altered", 2},
		{"altered", func(_ context.Context, lists [][]byte) ([][]byte, error) {
			altered := slices.Clone(lists[0])
			altered[len(altered)/2]++
			return append(lists, altered), nil
		}, nil, "1 of 3 lists were altered", 0},
		{"another version", sealed(`{"preload":99,"dialect":"sqlite","queries":[],"keys":[` + key + `]}`), nil, "of version 99: want", 2},
		{"another database", sealed(`{"preload":3,"dialect":"none","queries":[{"sql":"SELECT 1","shape":""}],"keys":[` + key + `]}`), nil, "lists are damaged", 2},
		{"cut off", sealed(hotBegin), nil, "cut off", 2},
		{"no list", sealed("", "x", "[1]", strings.Repeat("[", hotfile.MaxList)), nil, "4 of 4 lists are damaged", 2},
		{"too long", sealed(strings.Repeat(" ", 2*maxList)), nil, "1 of 1 lists were altered", 2},
		{"a feed that is not ready", nil, []Option{WithFeed(&shelfFeed{shelfOfTest: s, shut: true})}, "a feed is cut off", 2},
		{"another mode", nil, []Option{WithMode(ModeShadow)}, "shadow", 2},
		{"off", nil, []Option{WithMode(ModeOff)}, "off", 2},
		{"without a worker", nil, []Option{WithoutWorker()}, "WithoutWorker", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			of := &shelfOfTest{lists: s.all(), read: tt.read}
			b, log := of.joins(t, d.Again(), tt.options...)
			if strings.Contains(tt.want, "deadline") || strings.Contains(tt.want, "cut off") {
				b.plugin.shared.within = 100 * time.Millisecond
			}
			before := b.probe.Queries()
			if err := b.plugin.LoadHotShared(t.Context()); err != nil {
				t.Errorf("an error: %v", err)
			}
			if n := b.probe.Queries() - before; tt.queries > 0 && n > 0 {
				t.Errorf("%d queries were made", n)
			}
			text := log.String()
			lines := strings.Count(text, "\n")
			if tt.want == "" && lines != 0 || tt.want != "" && (lines != 1 || !strings.Contains(text, tt.want) || strings.Contains(text, "c1")) || len(text) > 4_000 {
				t.Errorf("the log is %q, want one line with %q", text, tt.want)
			}
			if n := b.asks(t, "c1", "c5"); n != tt.queries {
				t.Errorf("%d queries, want %d", n, tt.queries)
			}
			if !b.plugin.config.worker && b.plugin.shared.ended != nil {
				t.Error("something runs without a worker")
			}
		})
	}
}

// TestLoadingWhatIsHotElsewhereEndsWithItsContext: whatever hangs.
func TestLoadingWhatIsHotElsewhereEndsWithItsContext(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	s := warmed(t, d)
	s.read = func(context.Context, [][]byte) ([][]byte, error) { <-t.Context().Done(); return nil, nil }
	b, log := s.joins(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := b.plugin.LoadHotShared(ctx); !errors.Is(err, context.Canceled) || log.Len() > 0 {
		t.Errorf("%v, log %s", err, log)
	}
	b, _ = reopened(t, d)
	if err := b.plugin.LoadHotShared(t.Context()); err == nil || !strings.Contains(err.Error(), "WithSharedHot") {
		t.Errorf("nothing is shared: %v", err)
	}
}

// TestWithSharedHotSaysWhatItLacks.
func TestWithSharedHotSaysWhatItLacks(t *testing.T) {
	t.Parallel()
	shelf := &shelfFeed{shelfOfTest: &shelfOfTest{}}
	for want, options := range map[string][]Option{
		"Shelf":      {WithSecret(secretOfTest)},
		"WithSecret": {WithFeed(shelf)},
	} {
		p := New(append(options, WithSharedHot())...)
		if err := dbtest.SQLite(t).Open(t).Use(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %s, got %v", want, err)
		}
	}
}

// TestNothingIsLeftUnlessAsked: bind values may be personal.
func TestNothingIsLeftUnlessAsked(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	manySetup(t, d)
	s := &shelfOfTest{lists: map[string][]byte{}}
	p := New(WithFeed(&shelfFeed{shelfOfTest: s}), WithSecret(secretOfTest), WithLogger(slog.New(slog.DiscardHandler)))
	if err := d.Open(t).Use(p); err != nil {
		t.Fatal(err)
	}
	if p.shared.ended != nil || p.shared.shelf != nil {
		t.Error("hot keys are shared by default")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// TestAListIsLeftEveryMinute: while the mode is ModeOn, and until Close.
func TestAListIsLeftEveryMinute(t *testing.T) {
	d := dbtest.SQLite(t)
	manySetup(t, d)
	synctest.Test(t, func(t *testing.T) {
		db := d.Open(t)
		feed := &shelfFeed{shelfOfTest: &shelfOfTest{lists: map[string][]byte{}}}
		p := New(WithFeed(feed), WithSecret(secretOfTest), WithSharedHot(), WithInterval(time.Hour), WithLogger(slog.New(slog.DiscardHandler)))
		if err := db.Use(p); err != nil {
			t.Fatal(err)
		}
		puts := func(minutes time.Duration) (n int) {
			before := feed.puts()
			time.Sleep(minutes * time.Minute) // of the bubble
			return feed.puts() - before
		}
		if n := puts(5); n != 0 {
			t.Errorf("%d lists were left, and nothing is hot", n)
		}
		for range 3 {
			var item manyItem
			if err := db.First(&item, 1).Error; err != nil {
				t.Fatal(err)
			}
		}
		if n := puts(20); n < 19 || n > 21 {
			t.Errorf("%d lists were left in 20 minutes", n)
		}
		if err := p.SetMode(ModeOff); err != nil {
			t.Fatal(err)
		}
		if n := puts(20); n != 0 {
			t.Errorf("%d lists were left in ModeOff", n)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if n := puts(20); n != 0 {
			t.Errorf("%d lists were left after Close", n)
		}
		pool, err := db.DB()
		if err == nil {
			err = pool.Close()
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// TestListsAreNotLeftAtOnce: each is left once a minute, at a moment that is drawn.
func TestListsAreNotLeftAtOnce(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	moments := map[time.Duration]bool{}
	for range 20 {
		now := start
		for minute := 1; minute <= 5; minute++ {
			now = now.Add(untilShared(now))
			if n := int(now.Truncate(time.Minute).Sub(start.Truncate(time.Minute)) / time.Minute); n != minute {
				t.Fatalf("a list is left in minute %d, want %d", n, minute)
			}
			moments[now.Sub(now.Truncate(time.Minute)).Truncate(time.Second)] = true
		}
	}
	if len(moments) < 20 {
		t.Errorf("100 lists are left in %d different seconds of the minute: %s", len(moments), fmt.Sprint(moments))
	}
}

// TestALoadOfHotKeysWaitsForNoConnectionForLong: while the application holds the only one that the
// pool may open, the start goes on without them, and readers ask for them when it is free.
func TestALoadOfHotKeysWaitsForNoConnectionForLong(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		s := warmed(t, d)
		b, log := s.joins(t, d)
		pool, err := b.db.DB()
		if err != nil {
			t.Fatal(err)
		}
		pool.SetMaxOpenConns(1)
		held, err := pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := b.plugin.LoadHotShared(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("the start waited %v", took)
		}
		if log.Len() == 0 {
			t.Error("it is not said that nothing was loaded")
		}
		_ = held.Close()
		if n := b.asks(t, "c1", "c5"); n != 2 {
			t.Errorf("%d queries for two keys that could not be loaded", n)
		}
	})
}
