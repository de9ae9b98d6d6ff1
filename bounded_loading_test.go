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
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

func readIsCompany(c dbtest.Call) bool { return strings.Contains(c.SQL, "read_companies") }

// readWaiters starts n readers of company 1 and returns once all of them wait for a load that is
// under way.
func readWaiters(b *worldtest.World, n int, ctx func(i int) context.Context) (results []worldtest.ReadCompany, errs []error, wait func()) {
	results, errs = make([]worldtest.ReadCompany, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		w := worldtest.NewWaiting(ctx(i))
		all.Go(func() { errs[i] = b.DB.WithContext(w).Preload("HQ").First(&results[i], 1).Error })
		<-w.Begun
	}
	return results, errs, all.Wait
}

func readBackground(int) context.Context { return context.Background() }

// N readers of a key make one query, and each gets a copy of its own.
func TestReadLoadingOneQueryForAll(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		worldtest.SeedReads(t, d.Plain(t))
		b := readOpen(t, d, preload.WithWaits(time.Hour))
		var first worldtest.ReadCompany
		worldtest.Must(t, b.DB.Preload("HQ").First(&first, 1).Error)
		worldtest.Must(t, b.Plugin.Invalidate())
		g := b.Gate(readIsCompany)
		defer g.Release()
		before := b.Probe.Queries()
		var leader worldtest.ReadCompany
		led := make(chan error, 1)
		go func() { led <- b.DB.Preload("HQ").First(&leader, 1).Error }()
		<-g.Arrived
		results, errs, wait := readWaiters(b, 20, readBackground)
		g.Release()
		worldtest.Within(t, worldtest.Patience, "the waiters", wait)
		worldtest.Must(t, <-led)
		if n := b.Probe.Queries() - before; n != 2 {
			t.Errorf("%d queries for 21 readers of one company and its place, want 2: %q", n, worldtest.Tail(b.Probe.Log(), n))
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
		if s := b.Plugin.Stats(); s.Hits+s.Misses != s.TotalAccesses || s.Misses != 4 {
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
				db := b.DB.WithContext(ctx)
				var c worldtest.ReadCompany
				led <- db.Preload("HQ").First(&c, 1).Error
			}()
			<-at
			results, errs, wait := readWaiters(b, 8, readBackground)
			if how == "cancelled" {
				cancel()
			}
			close(open)
			worldtest.Within(t, worldtest.Patience, "those who waited for a load that failed", wait)
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
			if n := b.Queries(func() {
				var c worldtest.ReadCompany
				worldtest.Must(t, b.DB.Preload("HQ").First(&c, 1).Error)
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
	g := b.Gate(readIsCompany)
	defer g.Release()
	led := make(chan error, 1)
	var leader worldtest.ReadCompany
	go func() { led <- b.DB.Preload("HQ").First(&leader, 1).Error }()
	<-g.Arrived
	ctx, cancel := context.WithCancel(context.Background())
	_, errs, wait := readWaiters(b, 3, func(i int) context.Context { return ctx })
	cancel()
	worldtest.Within(t, worldtest.Patience, "waiters whose context ended", wait)
	for i, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("waiter %d: %v", i, err)
		}
	}
	g.Release()
	worldtest.Must(t, <-led)
	if n := b.Queries(func() { var c worldtest.ReadCompany; worldtest.Must(t, b.DB.First(&c, 1).Error) }); n != 0 || leader.Name != "acme" {
		t.Errorf("the leader's answer was not kept: %d queries", n)
	}
}

// Who begins after a write returned, or after Invalidate, Clear or a load with Refresh did, joins
// no load that began before.
func TestReadLoadingIsNotJoinedAfterAChange(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(b *worldtest.World) error{
		"update": func(b *worldtest.World) error {
			return b.DB.Model(&worldtest.ReadCompany{}).Where("id = 1").Update("name", "new").Error
		},
		"exec": func(b *worldtest.World) error {
			return b.DB.Exec("UPDATE read_companies SET name = 'new' WHERE id = 1").Error
		},
		"transaction": func(b *worldtest.World) error {
			return b.DB.Transaction(func(tx *gorm.DB) error { return tx.Exec("UPDATE read_companies SET name = 'new' WHERE id = 1").Error })
		},
		"invalidate": func(b *worldtest.World) error {
			err := b.Plain.Exec("UPDATE read_companies SET name = 'new' WHERE id = 1").Error
			return errors.Join(err, b.Plugin.Invalidate(&worldtest.ReadCompany{}))
		},
		"clear": func(b *worldtest.World) error {
			err := b.Plain.Exec("UPDATE read_companies SET name = 'new' WHERE id = 1").Error
			b.Plugin.Clear()
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
			var leader worldtest.ReadCompany
			go func() { led <- b.DB.First(&leader, 1).Error }()
			<-at
			worldtest.Must(t, change(b))
			var late worldtest.ReadCompany
			worldtest.Within(t, worldtest.Patience, "a reader after the change", func() { worldtest.Must(t, b.DB.First(&late, 1).Error) })
			if late.Name != "new" {
				t.Errorf("a reader that began after the change got %q", late.Name)
			}
			close(open)
			worldtest.Must(t, <-led)
			var after worldtest.ReadCompany
			worldtest.Must(t, b.DB.First(&after, 1).Error)
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
		worldtest.SeedReads(t, d.Plain(t))
		b := readOpen(t, d)
		conn, err := b.DB.DB()
		worldtest.Must(t, err)
		conn.SetMaxOpenConns(1)
		worldtest.Within(t, worldtest.Patience, "concurrent readers with one connection", func() {
			var all sync.WaitGroup
			for i := range 16 {
				all.Go(func() {
					for range 20 {
						var u []worldtest.ReadUser
						if err := b.DB.Preload("Manager.Manager").Preload("Friends.Friends").Preload("Team").Preload(clause.Associations).Find(&u).Error; err != nil {
							t.Error(err)
						}
						var h worldtest.ReadHooked
						if err := b.DB.First(&h, 4).Error; err != nil || h.Far != "acme" {
							t.Errorf("%v %+v", err, h)
						}
						if i%4 == 0 {
							if err := b.Plugin.Invalidate(); err != nil {
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
	worldtest.Must(t, plain.AutoMigrate(&readReentrant{}))
	worldtest.Must(t, plain.Create(&readReentrant{Name: readAsking{"x"}}).Error)
	b := readOpen(t, d)
	for name, db := range map[string]*gorm.DB{"plain": b.Plain, "plugin": b.DB} {
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
	worldtest.Must(t, plain.AutoMigrate(&readChanged{}))
	worldtest.Must(t, plain.Create(&readChanged{Name: "x"}).Error)
	b := readOpen(t, d)
	for turn := range 3 {
		var c readChanged
		n := b.Queries(func() { worldtest.Must(t, b.DB.First(&c).Error) })
		if size, set := c.Ch.capacity(); n != 1 || !set || size != 3 || c.Name != "x" {
			t.Errorf("turn %d: %d queries, %+v", turn, n, c)
		}
	}
	// The rest of the model can be.
	for turn, want := range []int64{1, 0} {
		var s []readSmall
		if n := b.Queries(func() { worldtest.Must(t, b.DB.Model(&readChanged{}).Find(&s).Error) }); n != want {
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
	worldtest.Must(t, d.Plain(t).AutoMigrate(&readFirstTeam{}, &readFirstUser{}, &readFirstPet{}))
	for range 15 {
		b := readOpen(t, d)
		var all sync.WaitGroup
		start := make(chan struct{})
		for _, query := range []func() error{
			func() error { return b.DB.Find(&[]readFirstUser{}).Error },
			func() error { return b.DB.Find(&[]readFirstPet{}).Error },
			func() error { return b.DB.Find(&[]readFirstTeam{}).Error },
			func() error { return b.DB.Joins("Team").Joins("Boss").Find(&[]readFirstUser{}).Error },
			func() error { return b.DB.Preload(clause.Associations).Find(&[]readFirstUser{}).Error },
			func() error { return b.DB.Preload("Users.Friends").Find(&[]readFirstTeam{}).Error },
			func() error { return b.Plugin.Register(&readFirstUser{}) },
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
		_ = b.Plugin.Close()
	}
}

// Concurrent readers, with results that they change, always see what the database has. Run with
// -race.
func TestReadLoadingConcurrentReadersChangeTheirResults(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	var want []worldtest.ReadUser
	worldtest.Must(t, b.Plain.Preload(clause.Associations).Order("id").Find(&want).Error)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 40 {
				var got []worldtest.ReadUser
				if err := b.DB.Preload(clause.Associations).Order("id").Find(&got).Error; err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("reader %d: %v, %d rows", i, err, len(got))
					return
				}
				worldtest.Scramble(reflect.ValueOf(&got), 0)
				if i == 0 {
					_ = b.Plugin.Invalidate(&worldtest.ReadUser{})
				}
			}
		})
	}
	worldtest.Within(t, 3*worldtest.Patience, "readers", all.Wait)
}

// An application that changes the map that it gave to MapColumns changes no later answer.
func TestReadMapColumnsIsNotRetained(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	worldtest.SeedReads(t, d.Plain(t))
	clock := dbtest.NewClock()
	p := preload.New(preload.WithClock(clock), preload.WithLogger(worldtest.Quiet()), preload.WithTTL(time.Hour), preload.WithBrief(time.Second))
	db := d.Open(t)
	worldtest.Must(t, db.Use(p))
	defer p.Close()
	get := func(columns map[string]string) string {
		var s []readSmall
		worldtest.Must(t, db.Model(&worldtest.ReadUser{}).Select("id", "home_city").MapColumns(columns).Order("id").Find(&s).Error)
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
	for range 2 {
		if got := get(fresh()); got != "Paris" {
			t.Fatal(got)
		}
	}
	for deadline := time.Now().Add(worldtest.Patience); p.Stats().PreloadCount == loads; {
		if time.Now().After(deadline) {
			t.Fatalf("reads in the last fifth of the TTL started no reload: %+v", p.Stats())
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
		worldtest.SeedReads(t, plain)
		for _, c := range readFormCases() {
			if c.reason != "" || strings.HasPrefix(c.name, "G ") {
				continue
			}
			clock := dbtest.NewClock()
			p := preload.New(preload.WithClock(clock), preload.WithLogger(worldtest.Quiet()), preload.WithTTL(time.Hour), preload.WithNegativeTTL(time.Hour))
			db := d.Open(t)
			worldtest.Must(t, db.Use(p))
			worldtest.Must(t, p.Register(worldtest.ReadModels...))
			want := c.query.Try(plain)
			if want.Err != nil && !errors.Is(want.Err, gorm.ErrRecordNotFound) {
				_ = p.Close()
				continue
			}
			c.query.Try(db)
			entries := p.Stats().Entries
			clock.Advance(55 * time.Minute)
			for range 2 {
				if diff := want.Differs(c.query.Try(db)); diff != "" {
					t.Errorf("%s: %s", c.name, diff)
				}
			}
			for deadline := time.Now().Add(500 * time.Millisecond); p.Stats().PreloadCount < int64(entries) && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			if n := p.Stats().PreloadCount; n < int64(entries) {
				t.Logf("%s: %d of %d entries were loaded again", c.name, n, entries)
			}
			clock.Advance(30 * time.Minute) // the first answers are gone
			if diff := want.Differs(c.query.Try(db)); diff != "" {
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
	worldtest.SeedReads(t, d.Plain(t))
	store := &lateStore{Store: readMapStore{}}
	b := readOpen(t, d, preload.WithStore(store), preload.WithStoreWait(time.Hour), preload.WithoutWorker())
	var first, second worldtest.ReadCompany
	store.meanwhile = func() { worldtest.Must(t, b.DB.First(&second, 1).Error) }
	before := b.Probe.Queries()
	worldtest.Must(t, b.DB.First(&first, 1).Error)
	if n := b.Probe.Queries() - before; n != 1 || !reflect.DeepEqual(first, second) {
		t.Errorf("%d queries: %+v and %+v, want one for both", n, first, second)
	}
}

type readMapStore map[string]any

func (s readMapStore) Get(key string) (any, bool) { v, ok := s[key]; return v, ok }
func (s readMapStore) Set(key string, value any)  { s[key] = value }
func (s readMapStore) Delete(key string)          { delete(s, key) }
