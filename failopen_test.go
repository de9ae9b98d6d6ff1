package preload_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// A primary key that Dest holds stays in it although its column is not selected, and comes into no
// other reader's Dest.
func TestReadPrimaryKeyInDestIsNotMixedUp(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]func(db *gorm.DB, byCondition bool) *gorm.DB{
		"clause": func(db *gorm.DB, byCondition bool) *gorm.DB {
			if byCondition {
				db = db.Where(clause.Eq{Column: clause.Column{Table: "read_companies", Name: "id"}, Value: uint(2)})
			}
			return db
		},
		"with a subquery": func(db *gorm.DB, byCondition bool) *gorm.DB {
			db = db.Where("id IN (?)", db.Session(&gorm.Session{NewDB: true}).Model(&worldtest.ReadCompany{}).Select("id"))
			if byCondition {
				db = db.Where(&worldtest.ReadCompany{ID: 2})
			}
			return db
		},
	} {
		b := readSQLite(t)
		holds := func(db *gorm.DB) (any, *gorm.DB) {
			c := worldtest.ReadCompany{ID: 2}
			return &c, where(db, false).Select("name").Take(&c)
		}
		empty := func(db *gorm.DB) (any, *gorm.DB) {
			var c worldtest.ReadCompany
			return &c, where(db, true).Select("name").Take(&c)
		}
		for _, order := range [][]worldtest.Query{{holds, empty}, {empty, holds}} {
			worldtest.Must(t, b.Plugin.Invalidate())
			for turn := range 2 {
				for i, query := range order {
					if diff := query.Try(b.Plain).Differs(query.Try(b.DB)); diff != "" {
						t.Errorf("%s, turn %d, query %d: %s", name, turn, i, diff)
					}
				}
			}
		}
	}
}

// readStore is a Store that does what it is told wrongly.
type readStore struct {
	preload.Store
	get    func(key string, v any, ok bool) (any, bool)
	set    func(key string, v any) bool
	delete func(key string) bool
}

func (s *readStore) Get(key string) (any, bool) {
	v, ok := s.Store.Get(key)
	if s.get != nil {
		return s.get(key, v, ok)
	}
	return v, ok
}

func (s *readStore) Set(key string, v any) {
	if s.set == nil || s.set(key, v) {
		s.Store.Set(key, v)
	}
}

func (s *readStore) Delete(key string) {
	if s.delete == nil || s.delete(key) {
		s.Store.Delete(key)
	}
}

// readDaily does what an application does, and returns what it saw of it. It ends at a panic, which
// may leave the database locked.
func readDaily(db *gorm.DB) (seen []string) {
	note := func(what string, v any, err error) { seen = append(seen, fmt.Sprintf("%s: %v %v", what, v, err)) }
	panicked := false
	step := func(what string, do func() (any, error)) {
		if panicked {
			return
		}
		defer func() {
			if fault := recover(); fault != nil {
				panicked = true
				note(what+" PANICS", fault, nil)
			}
		}()
		v, err := do()
		note(what, v, err)
	}
	find := func() (any, error) {
		var c []worldtest.ReadCompany
		err := db.Order("id").Find(&c).Error
		var names []string
		for _, c := range c {
			names = append(names, c.Name)
		}
		return names, err
	}
	for range 3 {
		step("find", find)
		step("first", func() (any, error) {
			var c worldtest.ReadCompany
			err := db.Preload("HQ").First(&c, 1).Error
			return c.Name, err
		})
		step("not found", func() (any, error) { var c worldtest.ReadCompany; return nil, db.First(&c, 99).Error })
		step("refresh", func() (any, error) {
			var c worldtest.ReadCompany
			return nil, db.Clauses(preload.Refresh).First(&c, 1).Error
		})
	}
	step("create", func() (any, error) { c := worldtest.ReadCompany{Name: "third"}; return nil, db.Create(&c).Error })
	step("find", find)
	step("find again", find)
	step("update", func() (any, error) {
		return nil, db.Model(&worldtest.ReadCompany{}).Where("id = ?", 1).Update("name", "renamed").Error
	})
	step("find", find)
	step("transaction", func() (any, error) {
		return nil, db.Transaction(func(tx *gorm.DB) error {
			return tx.Model(&worldtest.ReadCompany{}).Where("id = ?", 1).Update("name", "in a transaction").Error
		})
	})
	step("find", find)
	step("exec", func() (any, error) { return nil, db.Exec("UPDATE read_companies SET name = 'raw' WHERE id = 2").Error })
	step("find", find)
	step("delete", func() (any, error) { return nil, db.Where("name = ?", "third").Delete(&worldtest.ReadCompany{}).Error })
	step("find", find)
	return seen
}

// Whatever a Store does wrong, the application sees what plain GORM shows.
func TestReadFailsOpenOnStores(t *testing.T) {
	t.Parallel()
	type box struct{ A int }
	var (
		mu    sync.Mutex
		first any
	)
	for name, store := range map[string]*readStore{
		"get panics":    {get: func(string, any, bool) (any, bool) { panic("get") }},
		"set panics":    {set: func(string, any) bool { panic("set") }},
		"delete panics": {delete: func(string) bool { panic("delete") }},
		"all panic": {get: func(string, any, bool) (any, bool) { panic("get") }, set: func(string, any) bool { panic("set") },
			delete: func(string) bool { panic("delete") }},
		"panics with nil error": {get: func(string, any, bool) (any, bool) { var err error; panic(err) }},
		"forgets":               {set: func(string, any) bool { return false }},
		"deletes nothing":       {delete: func(string) bool { return false }},
		"returns nil":           {get: func(string, any, bool) (any, bool) { return nil, true }},
		"returns garbage":       {get: func(string, any, bool) (any, bool) { return &box{1}, true }},
		"returns a value and no": {get: func(_ string, v any, _ bool) (any, bool) {
			return v, false
		}},
		"returns the wrong key's": {get: func(_ string, v any, ok bool) (any, bool) {
			mu.Lock()
			defer mu.Unlock()
			if ok && first == nil {
				first = v
			}
			return first, first != nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			store.Store = preload.NewStore()
			b := readSQLite(t, preload.WithStore(store))
			other := dbtest.SQLite(t)
			worldtest.SeedReads(t, other.Plain(t))
			want, got := readDaily(other.Plain(t)), readDaily(b.DB)
			for i := range got {
				if want[i] != got[i] {
					t.Errorf("step %d: plain %q, plugin %q", i, want[i], got[i])
				}
			}
			for what, call := range map[string]func(){
				"Invalidate": func() { _ = b.Plugin.Invalidate() }, "Clear": b.Plugin.Clear, "Stats": func() { b.Plugin.Stats() },
				"Load": func() {
					for i := range 3 {
						if v, err := preload.Load(context.Background(), b.Plugin, "k", func(context.Context) (int, error) { return 5, nil }); v != 5 || err != nil {
							t.Errorf("Load %d: %v %v", i, v, err)
						}
					}
				},
				"Close": func() { _ = b.Plugin.Close() },
			} {
				func() {
					defer func() {
						if fault := recover(); fault != nil {
							t.Errorf("%s panics: %v", what, fault)
						}
					}()
					call()
				}()
			}
		})
	}
}

// A Store may retain the keys that it is given.
func TestReadStoreKeysAreStable(t *testing.T) {
	t.Parallel()
	var (
		mu   sync.Mutex
		seen []string
		safe []string
	)
	store := &readStore{Store: preload.NewStore()}
	store.get = func(key string, v any, ok bool) (any, bool) {
		mu.Lock()
		defer mu.Unlock()
		seen, safe = append(seen, key), append(safe, strings.Clone(key))
		return v, ok
	}
	b := readSQLite(t, preload.WithStore(store))
	for i := range 200 {
		var c []worldtest.ReadCompany
		worldtest.Must(t, b.DB.Where("name = ? AND id <> ?", strings.Repeat("k", i%40), i).Find(&c).Error)
	}
	runtime.GC()
	for i := range seen {
		if seen[i] != safe[i] {
			t.Fatalf("key %d changed from %q to %q", i, safe[i], seen[i])
		}
	}
}

// readScorer panics from its nth call on.
type readScorer struct {
	preload.Scorer
	calls atomic.Int64
	from  int64
}

func (s *readScorer) Weigh(weight float64, count int64, now time.Time) float64 {
	if s.calls.Add(1) >= s.from {
		panic("Weigh")
	}
	return s.Scorer.Weigh(weight, count, now)
}

func (s *readScorer) Score(weight float64, count int64, last, now time.Time) float64 {
	if s.calls.Add(1) >= s.from {
		panic("Score")
	}
	return s.Scorer.Score(weight, count, last, now)
}

// readNaN has scores that are no numbers.
type readNaN struct{}

func (readNaN) Weigh(float64, int64, time.Time) float64            { return math.NaN() }
func (readNaN) Score(float64, int64, time.Time, time.Time) float64 { return math.NaN() }

// A Scorer that panics changes nothing for the application, whenever it begins to.
func TestReadFailsOpenOnScorers(t *testing.T) {
	t.Parallel()
	other := dbtest.SQLite(t)
	worldtest.SeedReads(t, other.Plain(t))
	want := readDaily(other.Plain(t))
	for _, scorer := range []preload.Scorer{
		&readScorer{Scorer: preload.NewCountScorer(0.9), from: 1}, &readScorer{Scorer: preload.NewCountScorer(0.9), from: 5},
		&readScorer{Scorer: preload.NewFrequencyScorer(0.9), from: 8}, readNaN{},
	} {
		b := readSQLite(t, preload.WithScorer(scorer))
		got := readDaily(b.DB)
		for i := range got {
			if want[i] != got[i] {
				t.Errorf("%T, step %d: plain %q, plugin %q", scorer, i, want[i], got[i])
			}
		}
		for what, call := range map[string]func(){
			"RecordAccess": func() { b.Plugin.RecordAccess("a", "b") }, "ShouldPreload": func() { b.Plugin.ShouldPreload("a") },
			"PreloadKeys": func() { b.Plugin.PreloadKeys(3) }, "Hot": func() { b.Plugin.Hot(3) },
			"Load": func() {
				for i := range 3 {
					if v, err := preload.Load(context.Background(), b.Plugin, "k", func(context.Context) (int, error) { return 5, nil }); v != 5 || err != nil {
						t.Errorf("Load %d: %v %v", i, v, err)
					}
				}
			},
			"Preload": func() {
				_ = b.Plugin.Preload(context.Background(), "p", func(context.Context) (any, error) { return 1, nil })
			},
			"Clear": b.Plugin.Clear,
		} {
			func() {
				defer func() {
					if fault := recover(); fault != nil {
						t.Errorf("%T: %s panics: %v", scorer, what, fault)
					}
				}()
				call()
			}()
		}
	}
}

// A partition or session function that panics, although it must not, costs a database read at most.
func TestReadFailsOpenOnFunctions(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]preload.Option{
		"partition": preload.WithPartition(func(context.Context) string { panic("partition") }),
		"session":   preload.WithSession(func(context.Context) string { panic("session") }),
	} {
		b := readSQLite(t, option)
		byName := prepare[worldtest.ReadCompany](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("id > ?", arg(0)) })
		for range 4 {
			var c []worldtest.ReadCompany
			if err := b.DB.Find(&c).Error; err != nil || len(c) != 2 {
				t.Errorf("%s: %d rows, %v", name, len(c), err)
			}
			if c, err := byName.Find(context.Background(), 0); err != nil || len(c) != 2 {
				t.Errorf("%s: prepared: %d rows, %v", name, len(c), err)
			}
		}
	}
}

// What leaves for want of room is what was not used again.
func TestReadEviction(t *testing.T) {
	t.Parallel()
	b := readSQLite(t, preload.WithMaxEntries(100))
	get := func(id int) int64 {
		return b.Queries(func() { var u []worldtest.ReadUser; worldtest.Must(t, b.DB.Where("id = ?", id).Find(&u).Error) })
	}
	for id := range 100 {
		get(id)
	}
	if s := b.Plugin.Stats(); s.Entries != 100 || s.Evicted != 0 || s.Bytes <= 0 {
		t.Errorf("full: %+v", s)
	}
	for hot := range 3 {
		get(hot)
	}
	for id := 1_000; id < 1_500; id++ {
		get(id)
		for hot := range 3 {
			if n := get(hot); n != 0 {
				t.Fatalf("key %d was used just now and evicted by key %d", hot, id)
			}
		}
	}
	s := b.Plugin.Stats()
	if s.Entries != 100 || s.Evicted != 500 || s.Models["read_users"].Entries != 100 {
		t.Errorf("after 500 more: %+v", s)
	}
	if get(5) != 1 {
		t.Error("key 5 was never used again and is still there")
	}

	b = readSQLite(t, preload.WithMaxBytes(20_000))
	for i := range 200 {
		var u []worldtest.ReadUser
		worldtest.Must(t, b.DB.Where("id <> ?", 1000+i).Find(&u).Error)
		if s := b.Plugin.Stats(); s.Bytes > 20_000 {
			t.Fatalf("%d bytes", s.Bytes)
		}
	}
	if s := b.Plugin.Stats(); s.Evicted == 0 || s.Entries == 0 || int(s.Evicted)+s.Entries != 200 {
		t.Errorf("%+v", s)
	}
	// An answer that alone is larger than all may be.
	b = readSQLite(t, preload.WithMaxBytes(100))
	for range 2 {
		var u []worldtest.ReadUser
		if n := b.Queries(func() { worldtest.Must(t, b.DB.Find(&u).Error) }); n != 1 || len(u) != 4 {
			t.Errorf("%d queries, %d rows", n, len(u))
		}
	}
	if s := b.Plugin.Stats(); s.Entries != 0 || s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
}

// Close ends what runs and serves nothing any more; it may come at any time and more than once.
func TestReadClose(t *testing.T) {
	// Not parallel: it counts goroutines.
	d := dbtest.SQLite(t)
	worldtest.SeedReads(t, d.Plain(t))
	db := d.Open(t)
	conn, err := db.DB()
	worldtest.Must(t, err)
	conn.SetMaxIdleConns(0)
	before := runtime.NumGoroutine()
	p := preload.New(preload.WithLogger(worldtest.Quiet()))
	worldtest.Must(t, db.Use(p))
	get := func() {
		var u []worldtest.ReadUser
		if err := db.Preload("Pets").Find(&u).Error; err != nil || len(u) != 4 {
			t.Errorf("%d rows, %v", len(u), err)
		}
	}
	get()
	get()
	var all sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					get()
				}
			}
		})
	}
	for range 3 {
		all.Go(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	worldtest.Must(t, p.Close())
	close(stop)
	all.Wait()
	for deadline := time.Now().Add(worldtest.Patience); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines before, %d after Close\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(time.Millisecond) // between two looks
	}
	queries := d.Probe.Queries()
	get()
	get()
	if n := d.Probe.Queries() - queries; n != 4 {
		t.Errorf("after Close: %d queries, want 4", n)
	}
	worldtest.Must(t, db.Create(&worldtest.ReadCompany{Name: "third"}).Error)
	worldtest.Must(t, db.Transaction(func(tx *gorm.DB) error { return tx.Create(&worldtest.ReadCompany{Name: "fourth"}).Error }))
	s := p.Stats()
	if s.Entries != 0 || s.Bytes != 0 || s.ActiveTasks != 0 || s.TrackedPatterns != 0 {
		t.Errorf("after Close: %+v", s)
	}
	ctx := context.Background()
	if v, err := preload.Load(ctx, p, "k", func(context.Context) (string, error) { return "own", nil }); v != "own" || err != nil {
		t.Errorf("Load after Close: %q %v", v, err)
	}
	if err := p.Preload(ctx, "k", func(context.Context) (any, error) { return 1, nil }); err == nil {
		t.Error("Preload after Close: no error")
	}
	p.RecordAccess("k")
	if p.ShouldPreload("k") || len(p.PreloadKeys(5)) != 0 || p.Stats().TrackedPatterns != 0 {
		t.Error("RecordAccess after Close counts")
	}
}

// The statistics are what happened.
func TestReadStats(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	for range 3 {
		var u []worldtest.ReadUser
		worldtest.Must(t, b.DB.Preload("Pets").Find(&u).Error)
	}
	var c worldtest.ReadCompany
	_ = b.DB.First(&c, 99)
	worldtest.Must(t, b.DB.Find(&[]worldtest.ReadPlain{}).Error)
	b.Plugin.RecordAccess("mine", "yours")
	s := b.Plugin.Stats()
	cold := map[preload.Cause]int64{preload.CauseCold: 1}
	for table, m := range s.Models {
		if !reflect.DeepEqual(m.MissCauses, cold) || m.Bytes <= 0 || m.Queries.Count != 1 || m.Queries.Sum <= 0 {
			t.Errorf("%s: %+v: want one cold miss with the time of its query, and what its answer weighs", table, m)
		}
		m.MissCauses, m.Bytes, m.Queries = nil, 0, preload.Durations{}
		s.Models[table] = m
	}
	want := preload.Stats{Hits: 4, Misses: 3, MissCauses: map[preload.Cause]int64{preload.CauseCold: 3}, Limits: s.Limits, Settings: s.Settings, Loads: s.Loads, Bypassed: 1, BypassReasons: map[preload.Reason]int64{"no policy": 1}, InvalidatedBy: map[string]map[string]int64{}, TotalAccesses: 8,
		Entries: 3, Bytes: s.Bytes, Memory: s.Memory, TrackedPatterns: s.TrackedPatterns, Associations: s.Associations, Prediction: s.Prediction,
		Models: map[string]preload.ModelStats{
			"read_users":     {Hits: 2, Misses: 1, HitRate: 2.0 / 3, Entries: 1},
			"read_pets":      {Hits: 2, Misses: 1, HitRate: 2.0 / 3, Entries: 1},
			"read_companies": {Misses: 1, Entries: 1},
		}}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
	if s.TrackedPatterns != 4 || s.Associations != 1 || s.Bytes < 1000 || s.Memory.Answers != s.Bytes || s.Memory.Templates == 0 {
		t.Errorf("gauges: %+v", s)
	}
	worldtest.Must(t, b.DB.Create(&worldtest.ReadPet{Name: "new", ReadUserID: 1}).Error)
	if s := b.Plugin.Stats(); s.Invalidated != 1 || s.Entries != 2 || s.Models["read_pets"].Entries != 0 {
		t.Errorf("after a write: %+v", s)
	}
	worldtest.Must(t, b.Plugin.Invalidate(&worldtest.ReadUser{}, "read_companies"))
	if s := b.Plugin.Stats(); s.Invalidated != 3 || s.Entries != 0 || s.Bytes != 0 {
		t.Errorf("after Invalidate: %+v", s)
	}
	if err := b.Plugin.Invalidate(5); err == nil {
		t.Error("Invalidate(5): no error")
	}
	worldtest.Must(t, b.DB.Find(&[]worldtest.ReadUser{}).Error)
	b.Plugin.Clear()
	s = b.Plugin.Stats()
	if s.Hits+s.Misses+s.Bypassed+s.Evicted+s.Expired+s.Invalidated+s.TotalAccesses+s.PreloadCount+s.PreloadHits+s.Bytes != 0 ||
		s.Entries+s.TrackedPatterns+s.Associations+s.ActiveTasks != 0 || len(s.BypassReasons) != 0 {
		t.Errorf("after Clear: %+v", s)
	}
	s.BypassReasons["mine"] = 1
	if len(b.Plugin.Stats().BypassReasons) != 0 {
		t.Error("Stats shares its map")
	}
}

// Warm keeps the answers of its queries and tells their errors.
func TestReadWarm(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := readSQLite(t)
	worldtest.Must(t, b.Plugin.Warm(ctx,
		func(db *gorm.DB) *gorm.DB { return db.Preload("HQ").First(&worldtest.ReadCompany{}, 1) },
		func(db *gorm.DB) *gorm.DB { return db.First(&worldtest.ReadCompany{}, 99) },
		func(db *gorm.DB) *gorm.DB { return db.Find(&[]worldtest.ReadUser{}) },
	))
	if n := b.Queries(func() {
		var c worldtest.ReadCompany
		worldtest.Must(t, b.DB.Preload("HQ").First(&c, 1).Error)
		if c.HQ == nil || c.HQ.Name != "paris" {
			t.Errorf("%+v", c)
		}
		_ = b.DB.First(&worldtest.ReadCompany{}, 99)
		worldtest.Must(t, b.DB.Find(&[]worldtest.ReadUser{}).Error)
	}); n != 0 {
		t.Errorf("%d queries after Warm", n)
	}
	err := b.Plugin.Warm(ctx, func(db *gorm.DB) *gorm.DB { return db.Where("nonsense").Find(&[]worldtest.ReadUser{}) },
		func(db *gorm.DB) *gorm.DB { return db.Find(&[]worldtest.ReadPet{}) })
	if err == nil || !strings.Contains(err.Error(), "query 0") {
		t.Errorf("Warm of a bad query: %v", err)
	}
	if n := b.Queries(func() { worldtest.Must(t, b.DB.Find(&[]worldtest.ReadPet{}).Error) }); n != 0 {
		t.Error("the query after a bad one was not run")
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if err := b.Plugin.Warm(done, func(db *gorm.DB) *gorm.DB { return db.Find(&[]worldtest.ReadToy{}) }); !errors.Is(err, context.Canceled) {
		t.Errorf("Warm with a context that is done: %v", err)
	}
	if err := preload.New().Warm(ctx); err == nil {
		t.Error("Warm before Use: no error")
	}
}

// The score of a key is count * decay^(hours since its last access).
func TestReadHotness(t *testing.T) {
	t.Parallel()
	b := readSQLite(t, preload.WithDecay(0.5), preload.WithThreshold(1.5), preload.WithMaxPatterns(50))
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(1, math.Abs(b)) }
	access := func(key string, n int) {
		for range n {
			b.Plugin.RecordAccess(key)
		}
	}
	if b.Plugin.ShouldPreload("a") || len(b.Plugin.PreloadKeys(10)) != 0 {
		t.Error("hot before any access")
	}
	start := b.Clock.Now()
	access("a", 8)
	b.Clock.Advance(time.Hour)
	access("b", 3)
	b.Clock.Advance(90 * time.Minute)
	access("c", 1)
	want := []preload.Pattern{
		{Key: "a", Count: 8, LastAccess: start, Score: 8 * math.Pow(0.5, 2.5)},
		{Key: "b", Count: 3, LastAccess: start.Add(time.Hour), Score: 3 * math.Pow(0.5, 1.5)},
		{Key: "c", Count: 1, LastAccess: start.Add(150 * time.Minute), Score: 1},
	}
	hot := b.Plugin.Hot(10)
	if len(hot) != 3 {
		t.Fatalf("%+v", hot)
	}
	for i, w := range want { // 1.414, 1.06, 1
		g := hot[i]
		if g.Key != w.Key || g.Count != w.Count || !g.LastAccess.Equal(w.LastAccess) || !near(g.Score, w.Score) {
			t.Errorf("hot %d: %+v, want %+v", i, g, w)
		}
	}
	if len(b.Plugin.Hot(2)) != 2 || len(b.Plugin.Hot(0)) != 0 || len(b.Plugin.PreloadKeys(10)) != 0 {
		t.Errorf("limits: %v %v", b.Plugin.Hot(2), b.Plugin.PreloadKeys(10))
	}
	access("c", 1)
	if !b.Plugin.ShouldPreload("c") || b.Plugin.ShouldPreload("a") || !reflect.DeepEqual(b.Plugin.PreloadKeys(10), []string{"c"}) {
		t.Errorf("threshold: %v", b.Plugin.PreloadKeys(10))
	}
	// An access to an old key counts in full again: count 9, now.
	access("a", 1)
	if got := b.Plugin.Hot(1); len(got) != 1 || got[0].Key != "a" || !near(got[0].Score, 9) {
		t.Errorf("an access to an old key: %+v", got)
	}
	if !reflect.DeepEqual(b.Plugin.PreloadKeys(1), []string{"a"}) {
		t.Errorf("PreloadKeys(1): %v", b.Plugin.PreloadKeys(1))
	}
	// Reads count like RecordAccess, once each.
	for range 5 {
		worldtest.Must(t, b.DB.Find(&[]worldtest.ReadCompany{}).Error)
	}
	found := false
	for _, p := range b.Plugin.Hot(10) {
		if strings.HasPrefix(p.Key, "sql:") {
			found = true
			if p.Count != 5 || !near(p.Score, 5) {
				t.Errorf("five reads: %+v", p)
			}
		}
	}
	if !found {
		t.Error("reads are not tracked")
	}
	b.Plugin.RecordAccess("x", "y", "z")
	if got := b.Plugin.RelatedKeys("x"); len(got) != 2 || got[0] == got[1] {
		t.Errorf("related: %v", got)
	}
	if got := b.Plugin.RelatedKeys("y"); len(got) != 0 {
		t.Errorf("related of y: %v", got)
	}
	for i := range 1_000 {
		b.Plugin.RecordAccess(fmt.Sprint("k", i), fmt.Sprint("r", i))
	}
	if s := b.Plugin.Stats(); s.TrackedPatterns > 50 {
		t.Errorf("%d patterns, limit 50", s.TrackedPatterns)
	}
	if !b.Plugin.ShouldPreload("a") {
		t.Error("the hottest key lost its place to keys that were used once")
	}
	b.Clock.Advance(1_000 * time.Hour)
	if len(b.Plugin.PreloadKeys(100)) != 0 {
		t.Errorf("hot after 1000 hours: %v", b.Plugin.PreloadKeys(100))
	}
}
