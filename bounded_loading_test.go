package preload_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

const readPatience = 20 * time.Second

func readIsCompany(c dbtest.Call) bool { return strings.Contains(c.SQL, "read_companies") }

// readers starts n readers of company 1 and returns once all of them wait for a load that is under
// way.
func (b *readBench) waiters(n int, ctx func(i int) context.Context) (results []readCompany, errs []error, wait func()) {
	results, errs = make([]readCompany, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		w := newReadWaiting(ctx(i))
		all.Go(func() { errs[i] = b.db.WithContext(w).Preload("HQ").First(&results[i], 1).Error })
		<-w.waiting
	}
	return results, errs, all.Wait
}

func readBackground(int) context.Context { return context.Background() }

// N readers of a key make one query, and each gets a copy of its own.
func TestReadLoadingOneQueryForAll(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		readSeed(t, d.Plain(t))
		b := readOpen(t, d, preload.WithWaits(time.Hour))
		var first readCompany
		readMust(t, b.db.Preload("HQ").First(&first, 1).Error)
		readMust(t, b.p.Invalidate())
		g := b.gate(readIsCompany)
		defer g.release()
		before := b.Probe.Queries()
		var leader readCompany
		led := make(chan error, 1)
		go func() { led <- b.db.Preload("HQ").First(&leader, 1).Error }()
		<-g.arrived
		results, errs, wait := b.waiters(20, readBackground)
		g.release()
		readWithin(t, readPatience, "the waiters", wait)
		readMust(t, <-led)
		if n := b.Probe.Queries() - before; n != 2 {
			t.Errorf("%d queries for 21 readers of one company and its place, want 2: %q", n, readTail(b.Probe.Log(), n))
		}
		results = append(results, leader)
		for i := range results {
			if i < len(errs) && errs[i] != nil || !reflect.DeepEqual(results[i], first) {
				t.Errorf("reader %d: %+v, want %+v", i, results[i], first)
			}
			for j := range i {
				if results[i].HQ == results[j].HQ {
					t.Fatalf("readers %d and %d share memory", i, j)
				}
			}
		}
		if s := b.p.Stats(); s.Hits+s.Misses != s.TotalAccesses || s.Misses != 4 {
			t.Errorf("%+v", s)
		}
	})
}

// If the load of one fails, the others run their own, and get no error of somebody else's.
func TestReadLoadingThatFails(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"error", "cancelled", "panic"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			b := readSQLite(t)
			var (
				once   atomic.Bool
				open   = make(chan struct{})
				at     = make(chan struct{})
				failed = errors.New("the query of the leader fails")
			)
			b.Probe.Before(func(c dbtest.Call) error {
				if c.Op != "query" || !readIsCompany(c) || once.Swap(true) {
					return nil
				}
				close(at)
				<-open
				switch how {
				case "error":
					return failed
				case "cancelled":
					<-c.Context.Done()
					return c.Context.Err()
				case "panic":
					panic(failed)
				}
				return nil
			})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			led := make(chan any, 1)
			go func() {
				defer func() {
					if fault := recover(); fault != nil {
						led <- fault
					}
				}()
				db := b.db.WithContext(ctx)
				var c readCompany
				led <- db.Preload("HQ").First(&c, 1).Error
			}()
			<-at
			results, errs, wait := b.waiters(8, readBackground)
			if how == "cancelled" {
				cancel()
			}
			close(open)
			readWithin(t, readPatience, "those who waited for a load that failed", wait)
			for i := range results {
				if errs[i] != nil || results[i].Name != "acme" || results[i].HQ == nil {
					t.Errorf("reader %d: %v, %+v", i, errs[i], results[i])
				}
			}
			switch got := <-led; how {
			case "error":
				if err, _ := got.(error); !errors.Is(err, failed) {
					t.Errorf("the leader: %v", got)
				}
			case "cancelled":
				if err, _ := got.(error); !errors.Is(err, context.Canceled) {
					t.Errorf("the leader: %v", got)
				}
			case "panic":
				if got != any(failed) {
					t.Errorf("the leader: %v", got)
				}
			}
			if n := b.queries(func() {
				var c readCompany
				readMust(t, b.db.Preload("HQ").First(&c, 1).Error)
			}); n > 2 {
				t.Errorf("afterwards: %d queries", n)
			}
		})
	}
}

// One who waits does so under its own context.
func TestReadLoadingWaiterGivesUp(t *testing.T) {
	t.Parallel()
	b := readSQLite(t, preload.WithWaits(time.Hour))
	g := b.gate(readIsCompany)
	defer g.release()
	led := make(chan error, 1)
	var leader readCompany
	go func() { led <- b.db.Preload("HQ").First(&leader, 1).Error }()
	<-g.arrived
	ctx, cancel := context.WithCancel(context.Background())
	_, errs, wait := b.waiters(3, func(i int) context.Context { return ctx })
	cancel()
	readWithin(t, readPatience, "waiters whose context ended", wait)
	for i, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("waiter %d: %v", i, err)
		}
	}
	g.release()
	readMust(t, <-led)
	if n := b.queries(func() { var c readCompany; readMust(t, b.db.First(&c, 1).Error) }); n != 0 || leader.Name != "acme" {
		t.Errorf("the leader's answer was not kept: %d queries", n)
	}
}

// Who begins after a write returned, or after Invalidate, Clear or a load with Refresh did, joins
// no load that began before.
func TestReadLoadingIsNotJoinedAfterAChange(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(b *readBench) error{
		"update": func(b *readBench) error {
			return b.db.Model(&readCompany{}).Where("id = 1").Update("name", "new").Error
		},
		"exec": func(b *readBench) error {
			return b.db.Exec("UPDATE read_companies SET name = 'new' WHERE id = 1").Error
		},
		"transaction": func(b *readBench) error {
			return b.db.Transaction(func(tx *gorm.DB) error { return tx.Exec("UPDATE read_companies SET name = 'new' WHERE id = 1").Error })
		},
		"invalidate": func(b *readBench) error {
			err := b.plain.Exec("UPDATE read_companies SET name = 'new' WHERE id = 1").Error
			return errors.Join(err, b.p.Invalidate(&readCompany{}))
		},
		"clear": func(b *readBench) error {
			err := b.plain.Exec("UPDATE read_companies SET name = 'new' WHERE id = 1").Error
			b.p.Clear()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := readSQLite(t)
			var once atomic.Bool
			at, open := make(chan struct{}), make(chan struct{})
			// The rows of the leader are read before the change and handed over after it.
			b.Probe.After(func(c dbtest.Call, err error) error {
				if c.Op == "query" && readIsCompany(c) && !once.Swap(true) {
					close(at)
					<-open
				}
				return err
			})
			led := make(chan error, 1)
			var leader readCompany
			go func() { led <- b.db.First(&leader, 1).Error }()
			<-at
			readMust(t, change(b))
			var late readCompany
			readWithin(t, readPatience, "a reader after the change", func() { readMust(t, b.db.First(&late, 1).Error) })
			if late.Name != "new" {
				t.Errorf("a reader that began after the change got %q", late.Name)
			}
			close(open)
			readMust(t, <-led)
			var after readCompany
			readMust(t, b.db.First(&after, 1).Error)
			if after.Name != "new" {
				t.Errorf("what the leader found was kept: %q", after.Name)
			}
		})
	}
}

// With one connection nothing waits for itself.
func TestReadLoadingWithOneConnection(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		readSeed(t, d.Plain(t))
		b := readOpen(t, d)
		conn, err := b.db.DB()
		readMust(t, err)
		conn.SetMaxOpenConns(1)
		readWithin(t, readPatience, "concurrent readers with one connection", func() {
			var all sync.WaitGroup
			for i := range 16 {
				all.Go(func() {
					for range 20 {
						var u []readUser
						if err := b.db.Preload("Manager.Manager").Preload("Friends.Friends").Preload("Team").Preload(clause.Associations).Find(&u).Error; err != nil {
							t.Error(err)
						}
						var h readHooked
						if err := b.db.First(&h, 4).Error; err != nil || h.Far != "acme" {
							t.Errorf("%v %+v", err, h)
						}
						if i%4 == 0 {
							if err := b.p.Invalidate(); err != nil {
								t.Error(err)
							}
						}
					}
				})
			}
			all.Wait()
		})
	})
}

type readReentrant struct {
	_    struct{} `preload:""`
	ID   uint
	Name readAsking `gorm:"type:varchar(50)"`
}

// readAsking asks the database again while it is scanned, the first time.
type readAsking struct{ s string }

var readAsk struct {
	sync.Mutex
	ask func()
}

func (a readAsking) Value() (driver.Value, error) { return a.s, nil }

func (a *readAsking) Scan(v any) error {
	readAsk.Lock()
	ask := readAsk.ask
	readAsk.ask = nil
	readAsk.Unlock()
	if ask != nil {
		ask()
	}
	switch v := v.(type) {
	case []byte:
		a.s = string(v)
	case string:
		a.s = v
	}
	return nil
}

// A Scanner that runs the query that it is part of gets an answer, as with plain GORM.
func TestReadLoadingScannerThatAsksItself(t *testing.T) {
	// Not parallel: the Scanner has no way to know its test.
	d := dbtest.SQLite(t)
	plain := d.Plain(t)
	readMust(t, plain.AutoMigrate(&readReentrant{}))
	readMust(t, plain.Create(&readReentrant{Name: readAsking{"x"}}).Error)
	b := readOpen(t, d)
	for name, db := range map[string]*gorm.DB{"plain": b.plain, "plugin": b.db} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		var inner, outer readReentrant
		innerErr := errors.New("not asked")
		readAsk.ask = func() { innerErr = db.WithContext(ctx).First(&inner, 1).Error }
		err := db.WithContext(ctx).First(&outer, 1).Error
		if err != nil || innerErr != nil || outer.Name.s != "x" || inner.Name.s != "x" {
			t.Errorf("%s: outer %v %+v, inner %v %+v", name, err, outer, innerErr, inner)
		}
		cancel()
	}
}

type readChanged struct {
	_    struct{} `preload:""`
	ID   uint
	Name string   `gorm:"size:50"`
	Ch   readChan `gorm:"type:varchar(10)"`
}

// readChan scans into what cannot be copied.
type readChan struct{ c chan int }

func (*readChan) GormDataType() string         { return "string" }
func (readChan) Value() (driver.Value, error)  { return "c", nil }
func (r *readChan) Scan(any) error             { r.c = make(chan int, 3); return nil }
func (r readChan) capacity() (n int, set bool) { return cap(r.c), r.c != nil }

// An answer that cannot be copied is not kept; the answer is the same.
func TestReadLoadingUncopyable(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	plain := d.Plain(t)
	readMust(t, plain.AutoMigrate(&readChanged{}))
	readMust(t, plain.Create(&readChanged{Name: "x"}).Error)
	b := readOpen(t, d)
	for turn := range 3 {
		var c readChanged
		n := b.queries(func() { readMust(t, b.db.First(&c).Error) })
		if size, set := c.Ch.capacity(); n != 1 || !set || size != 3 || c.Name != "x" {
			t.Errorf("turn %d: %d queries, %+v", turn, n, c)
		}
	}
	// The rest of the model can be.
	for turn, want := range []int64{1, 0} {
		var s []readSmall
		if n := b.queries(func() { readMust(t, b.db.Model(&readChanged{}).Find(&s).Error) }); n != want {
			t.Errorf("smaller struct, turn %d: %d queries, want %d", turn, n, want)
		}
	}
}

// Related models without polymorphic relations: GORM itself races when it parses those in two
// goroutines.
type (
	readFirstUser struct {
		_        struct{} `preload:""`
		ID       uint
		TeamID   *uint
		Team     *readFirstTeam
		Pets     []readFirstPet  `gorm:"foreignKey:UserID;constraint:OnDelete:CASCADE"`
		Friends  []readFirstUser `gorm:"many2many:read_first_friends"`
		BossID   *uint
		Boss     *readFirstUser
		Underlys []readFirstUser `gorm:"foreignKey:BossID"`
	}
	readFirstTeam struct {
		_     struct{} `preload:""`
		ID    uint
		Users []readFirstUser `gorm:"foreignKey:TeamID;constraint:OnUpdate:CASCADE,OnDelete:SET NULL"`
	}
	readFirstPet struct {
		_      struct{} `preload:""`
		ID     uint
		UserID uint
	}
)

// First use of related models by many goroutines at once. Run with -race.
func TestReadLoadingFirstUseOfModelsAtOnce(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	readMust(t, d.Plain(t).AutoMigrate(&readFirstTeam{}, &readFirstUser{}, &readFirstPet{}))
	for range 15 {
		b := readOpen(t, d)
		var all sync.WaitGroup
		start := make(chan struct{})
		for _, query := range []func() error{
			func() error { return b.db.Find(&[]readFirstUser{}).Error },
			func() error { return b.db.Find(&[]readFirstPet{}).Error },
			func() error { return b.db.Find(&[]readFirstTeam{}).Error },
			func() error { return b.db.Joins("Team").Joins("Boss").Find(&[]readFirstUser{}).Error },
			func() error { return b.db.Preload(clause.Associations).Find(&[]readFirstUser{}).Error },
			func() error { return b.db.Preload("Users.Friends").Find(&[]readFirstTeam{}).Error },
			func() error { return b.p.Register(&readFirstUser{}) },
		} {
			all.Go(func() {
				<-start
				if err := query(); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		all.Wait()
		_ = b.p.Close()
	}
}

// Concurrent readers, with results that they change, always see what the database has. Run with
// -race.
func TestReadLoadingConcurrentReadersChangeTheirResults(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	var want []readUser
	readMust(t, b.plain.Preload(clause.Associations).Order("id").Find(&want).Error)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 40 {
				var got []readUser
				if err := b.db.Preload(clause.Associations).Order("id").Find(&got).Error; err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("reader %d: %v, %d rows", i, err, len(got))
					return
				}
				readScramble(reflect.ValueOf(&got), 0)
				if i == 0 {
					_ = b.p.Invalidate(&readUser{})
				}
			}
		})
	}
	readWithin(t, 3*readPatience, "readers", all.Wait)
}

// An application that changes the map that it gave to MapColumns changes no later answer.
func TestReadMapColumnsIsNotRetained(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	readSeed(t, d.Plain(t))
	clock := dbtest.NewClock()
	p := preload.New(preload.WithClock(clock), preload.WithLogger(readQuiet()), preload.WithTTL(time.Hour), preload.WithBrief(time.Second))
	db := d.Open(t)
	readMust(t, db.Use(p))
	defer p.Close()
	get := func(columns map[string]string) string {
		var s []readSmall
		readMust(t, db.Model(&readUser{}).Select("id", "home_city").MapColumns(columns).Order("id").Find(&s).Error)
		return s[0].Name
	}
	mine := map[string]string{"home_city": "name"}
	if got := get(mine); got != "Paris" {
		t.Fatal(got)
	}
	delete(mine, "home_city")
	clock.Advance(55 * time.Minute)
	loads := p.Stats().PreloadCount
	fresh := func() map[string]string { return map[string]string{"home_city": "name"} }
	if got := get(fresh()); got != "Paris" {
		t.Fatal(got)
	}
	for deadline := time.Now().Add(readPatience); p.Stats().PreloadCount == loads; {
		if time.Now().After(deadline) {
			t.Fatalf("a read in the last fifth of the TTL started no reload: %+v", p.Stats())
		}
		time.Sleep(time.Millisecond) // between two looks at what another goroutine does
	}
	if got := get(fresh()); got != "Paris" {
		t.Errorf("after the reload: %q", got)
	}
}

// A reload in the background gives what the query gives.
func TestReadReloadGivesTheSame(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		readSeed(t, plain)
		for _, c := range readFormCases() {
			if c.reason != "" || strings.HasPrefix(c.name, "G ") {
				continue
			}
			clock := dbtest.NewClock()
			p := preload.New(preload.WithClock(clock), preload.WithLogger(readQuiet()), preload.WithTTL(time.Hour), preload.WithNegativeTTL(time.Hour))
			db := d.Open(t)
			readMust(t, db.Use(p))
			readMust(t, p.Register(readModels...))
			want := readRun(plain, c.query)
			if want.err != nil && !errors.Is(want.err, gorm.ErrRecordNotFound) {
				_ = p.Close()
				continue
			}
			readRun(db, c.query)
			entries := p.Stats().Entries
			clock.Advance(55 * time.Minute)
			if diff := want.differs(readRun(db, c.query)); diff != "" {
				t.Errorf("%s: %s", c.name, diff)
			}
			for deadline := time.Now().Add(500 * time.Millisecond); p.Stats().PreloadCount < int64(entries) && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			if n := p.Stats().PreloadCount; n < int64(entries) {
				t.Logf("%s: %d of %d entries were loaded again", c.name, n, entries)
			}
			clock.Advance(30 * time.Minute) // the first answers are gone
			if diff := want.differs(readRun(db, c.query)); diff != "" {
				t.Errorf("%s, after the reload: %s", c.name, diff)
			}
			_ = p.Close()
			conn, _ := db.DB()
			_ = conn.Close()
		}
	})
}

// lateStore answers one Get from before another reader came.
type lateStore struct {
	preload.Store
	meanwhile func()
}

func (s *lateStore) Get(key string) (any, bool) {
	value, ok := s.Store.Get(key)
	if meanwhile := s.meanwhile; meanwhile != nil && !ok {
		s.meanwhile = nil
		meanwhile()
	}
	return value, ok
}

// A reader finds the key not in memory; before it gets any further another one loads it, and is
// done.
func TestReadLoadingLooksAgainWhenItsTurnComes(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	readSeed(t, d.Plain(t))
	store := &lateStore{Store: readMapStore{}}
	b := readOpen(t, d, preload.WithStore(store), preload.WithStoreWait(time.Hour), preload.WithoutWorker())
	var first, second readCompany
	store.meanwhile = func() { readMust(t, b.db.First(&second, 1).Error) }
	before := b.Probe.Queries()
	readMust(t, b.db.First(&first, 1).Error)
	if n := b.Probe.Queries() - before; n != 1 || !reflect.DeepEqual(first, second) {
		t.Errorf("%d queries: %+v and %+v, want one for both", n, first, second)
	}
}

type readMapStore map[string]any

func (s readMapStore) Get(key string) (any, bool) { v, ok := s[key]; return v, ok }
func (s readMapStore) Set(key string, value any)  { s[key] = value }
func (s readMapStore) Delete(key string)          { delete(s, key) }
