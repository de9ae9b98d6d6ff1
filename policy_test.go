package preload_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

type readTTL struct {
	_    struct{} `preload:"ttl:10m; negative:30s ;rows:2"`
	ID   uint
	Name string
}

type readNoNegative struct {
	ID   uint `preload:"negative:0"`
	Name string
}

type readDepends struct {
	_    struct{} `preload:"depends:read_plains, Read_Offs"`
	ID   uint
	Name string
}

type readBase struct {
	_  struct{} `preload:"ttl:1m"`
	ID uint
}

type readEmbeds struct {
	readBase
	Name string
}

type readEmbedsOff struct {
	_ struct{} `preload:"-"`
	readBase
	Name string
}

var readPolicyModels = []any{&readTTL{}, &readNoNegative{}, &readDepends{}, &worldtest.ReadPlain{}, &worldtest.ReadOff{}}

func readPolicyBench(t *testing.T, options ...preload.Option) *worldtest.World {
	t.Helper()
	d := dbtest.SQLite(t)
	plain := d.Plain(t)
	worldtest.Must(t, plain.AutoMigrate(readPolicyModels...))
	for _, table := range []string{"read_ttls", "read_no_negatives", "read_depends", "read_plains", "read_offs"} {
		for i := 1; i <= 3; i++ {
			worldtest.Must(t, plain.Exec("INSERT INTO "+table+" (id, name) VALUES (?, ?)", i, fmt.Sprint("n", i)).Error)
		}
	}
	return readOpen(t, d, options...)
}

func readTimes(t *testing.T, b *worldtest.World, what string, want int64, do func(db *gorm.DB) error) {
	t.Helper()
	if n := b.Queries(func() {
		if err := do(b.DB); err != nil && !errors.Is(err, gorm.ErrRecordNotFound) {
			t.Fatal(err)
		}
	}); n != want {
		t.Errorf("%s: %d queries, want %d", what, n, want)
	}
}

func readGet[T any](id int) func(*gorm.DB) error {
	return func(db *gorm.DB) error { var v T; return db.First(&v, id).Error }
}

// An answer lives as long as its policy says, to the nanosecond.
func TestReadTTL(t *testing.T) {
	t.Parallel()
	b := readPolicyBench(t, preload.WithTTL(time.Hour), preload.WithNegativeTTL(time.Minute),
		preload.WithPolicy(&worldtest.ReadPlain{}, preload.Policy{TTL: time.Second, Negative: -1}))
	for _, c := range []struct {
		name string
		get  func(int) func(*gorm.DB) error
		ttl  time.Duration
		not  time.Duration // of what is not found; 0 keeps none
	}{
		{"tag", readGet[readTTL], 10 * time.Minute, 30 * time.Second},
		{"options", readGet[readDepends], time.Hour, time.Minute},
		{"tag without negative", readGet[readNoNegative], time.Hour, 0},
		{"WithPolicy", readGet[worldtest.ReadPlain], time.Second, 0},
	} {
		readTimes(t, b, c.name, 1, c.get(1))
		b.Clock.Advance(c.ttl - 1)
		readTimes(t, b, c.name+" at its end", 0, c.get(1))
		b.Clock.Advance(1)
		expired := b.Plugin.Stats().Expired
		readTimes(t, b, c.name+" after its end", 1, c.get(1))
		if n := b.Plugin.Stats().Expired - expired; n != 1 {
			t.Errorf("%s: Expired grew by %d, want 1", c.name, n)
		}
		readTimes(t, b, c.name+" not found", 1, c.get(9))
		if c.not == 0 {
			readTimes(t, b, c.name+" not found again", 1, c.get(9))
			continue
		}
		b.Clock.Advance(c.not - 1)
		readTimes(t, b, c.name+" not found, at its end", 0, c.get(9))
		b.Clock.Advance(1)
		readTimes(t, b, c.name+" not found, after its end", 1, c.get(9))
	}
}

// A TTL as long as there is means that answers live until a write.
func TestReadLongestTTL(t *testing.T) {
	t.Parallel()
	b := readPolicyBench(t, preload.WithTTL(math.MaxInt64), preload.WithNegativeTTL(math.MaxInt64))
	for _, id := range []int{1, 9} {
		readTimes(t, b, "first", 1, readGet[readDepends](id))
		readTimes(t, b, "second", 0, readGet[readDepends](id))
		b.Clock.Advance(24 * time.Hour)
		readTimes(t, b, "after a day", 0, readGet[readDepends](id))
	}
	if _, err := preload.Load(context.Background(), b.Plugin, "k", func(context.Context) (int, error) { return 1, nil }); err != nil {
		t.Fatal(err)
	}
	if v, err := preload.Load(context.Background(), b.Plugin, "k", func(context.Context) (int, error) { return 2, nil }); v != 1 || err != nil {
		t.Errorf("own data: %d, %v", v, err)
	}
}

// Answers of more rows than the policy keeps come from the database.
func TestReadMaxRows(t *testing.T) {
	t.Parallel()
	b := readPolicyBench(t, preload.WithMaxRows(2), preload.WithPolicy(&readDepends{}, preload.Policy{MaxRows: 3}))
	find := func(v any, limit int) func(*gorm.DB) error {
		return func(db *gorm.DB) error { return db.Limit(limit).Find(v).Error }
	}
	for turn, want := range []int64{1, 0} {
		readTimes(t, b, fmt.Sprint("tag, 2 rows, turn ", turn), want, find(&[]readTTL{}, 2))
		readTimes(t, b, fmt.Sprint("tag, 3 rows, turn ", turn), 1, find(&[]readTTL{}, 3))
		readTimes(t, b, fmt.Sprint("WithPolicy, 3 rows, turn ", turn), want, find(&[]readDepends{}, 3))
		readTimes(t, b, fmt.Sprint("option, 3 rows, turn ", turn), 1, find(&[]readNoNegative{}, 3))
		readTimes(t, b, fmt.Sprint("option, 2 rows, turn ", turn), want, find(&[]readNoNegative{}, 2))
	}
}

// Writes to the tables that a policy depends on count, in whatever case they are written.
func TestReadDepends(t *testing.T) {
	t.Parallel()
	b := readPolicyBench(t)
	for _, write := range []func(*gorm.DB) error{
		func(db *gorm.DB) error { return db.Create(&worldtest.ReadPlain{Name: "new"}).Error },
		func(db *gorm.DB) error {
			return db.Model(&worldtest.ReadOff{}).Where("id = 1").Update("name", "new").Error
		},
		func(db *gorm.DB) error { return db.Exec("UPDATE READ_OFFS SET name = 'x' WHERE id = 1").Error },
	} {
		readTimes(t, b, "first", 1, readGet[readDepends](1))
		readTimes(t, b, "second", 0, readGet[readDepends](1))
		worldtest.Must(t, write(b.DB))
		readTimes(t, b, "after a write", 1, readGet[readDepends](1))
		worldtest.Must(t, b.Plugin.Invalidate())
	}
}

// What opts a model in or out: WithPolicy, then its tag, then the tag that it embeds, then
// WithDefaultPolicy.
func TestReadPolicyPrecedence(t *testing.T) {
	t.Parallel()
	served := func(b *worldtest.World, get func(int) func(*gorm.DB) error) bool {
		b.Queries(func() { _ = get(1)(b.DB) })
		return b.Queries(func() { _ = get(1)(b.DB) }) == 0
	}
	for _, c := range []struct {
		name             string
		options          []preload.Option
		tagged, off, not bool
	}{
		{"tags alone", nil, true, false, false},
		{"default", []preload.Option{preload.WithDefaultPolicy(preload.Policy{})}, true, false, true},
		{"default off", []preload.Option{preload.WithDefaultPolicy(preload.Policy{Off: true})}, true, false, false},
		{"policy against tags", []preload.Option{
			preload.WithPolicy(&readTTL{}, preload.Policy{Off: true}), preload.WithPolicy(worldtest.ReadOff{}, preload.Policy{}),
			preload.WithPolicy([]worldtest.ReadPlain{}, preload.Policy{}),
		}, false, true, true},
		{"policy against default", []preload.Option{
			preload.WithDefaultPolicy(preload.Policy{}), preload.WithPolicy((*worldtest.ReadPlain)(nil), preload.Policy{Off: true}),
		}, true, false, false},
	} {
		b := readPolicyBench(t, c.options...)
		for name, got := range map[string][2]bool{
			"tagged": {served(b, readGet[readTTL]), c.tagged}, "off": {served(b, readGet[worldtest.ReadOff]), c.off}, "untagged": {served(b, readGet[worldtest.ReadPlain]), c.not},
		} {
			if got[0] != got[1] {
				t.Errorf("%s: the %s model: from memory %v, want %v", c.name, name, got[0], got[1])
			}
		}
	}
	b := readPolicyBench(t)
	worldtest.Must(t, b.Plain.AutoMigrate(&readEmbeds{}, &readEmbedsOff{}))
	if !served(b, func(int) func(*gorm.DB) error {
		return func(db *gorm.DB) error { return db.Find(&[]readEmbeds{}).Error }
	}) {
		t.Error("an embedded tag does not count")
	}
	if served(b, func(int) func(*gorm.DB) error {
		return func(db *gorm.DB) error { return db.Find(&[]readEmbedsOff{}).Error }
	}) {
		t.Error("an embedded tag counts more than the struct's own")
	}
}

type readBadA struct {
	_  struct{} `preload:"tll:5m"`
	ID uint
}
type readBadB struct {
	_  struct{} `preload:"ttl:soon"`
	ID uint
}
type readBadC struct {
	_  struct{} `preload:"ttl:0"`
	ID uint
}
type readBadD struct {
	_  struct{} `preload:"ttl:-5m"`
	ID uint
}
type readBadE struct {
	_  struct{} `preload:"rows:0"`
	ID uint
}
type readBadF struct {
	_  struct{} `preload:"rows:many"`
	ID uint
}
type readBadG struct {
	_  struct{} `preload:"negative:-1s"`
	ID uint
}
type readBadH struct {
	_  struct{} `preload:"depends:a,,b"`
	ID uint
}
type readBadI struct {
	_  struct{} `preload:"-;ttl:5m"`
	ID uint
}
type readBadJ struct {
	ID   uint   `preload:"ttl:5m"`
	Name string `preload:"ttl:6m"`
}
type readBadK struct {
	_  struct{} `preload:"ttl"`
	ID uint
}
type readBadL struct {
	_  struct{} `preload:"depends:"`
	ID uint
}
type readBadM struct {
	_ struct{} `preload:""`
	readBadInner
}
type readBadInner struct {
	_  struct{} `preload:"nonsense"`
	ID uint
}

// A bad tag is an error that names the model and the setting, at Register and at each query.
func TestReadBadTags(t *testing.T) {
	t.Parallel()
	b := readPolicyBench(t)
	for _, c := range []struct {
		model any
		names string
	}{
		{&readBadA{}, "tll"}, {&readBadB{}, "soon"}, {&readBadC{}, "ttl"}, {&readBadD{}, "-5m"}, {&readBadE{}, "rows"},
		{&readBadF{}, "many"}, {&readBadG{}, "negative"}, {&readBadH{}, "depends"}, {&readBadI{}, `"-"`}, {&readBadJ{}, "two"},
		{&readBadK{}, "ttl"}, {&readBadL{}, "depends"},
	} {
		model := strings.TrimPrefix(fmt.Sprintf("%T", c.model), "*")
		worldtest.Must(t, b.Plain.AutoMigrate(c.model))
		for i, err := range []error{b.Plugin.Register(c.model), b.DB.First(c.model).Error, b.DB.First(c.model).Error, b.Plugin.Register(&readTTL{}, c.model)} {
			if err == nil || !strings.Contains(err.Error(), model) || !strings.Contains(err.Error(), c.names) {
				t.Errorf("%s, %d: %v; want an error that names the model and %s", model, i, err, c.names)
			}
		}
	}
	worldtest.Must(t, b.Plugin.Register(readPolicyModels...))
	worldtest.Must(t, b.Plugin.Register())
	err := b.Plugin.Register(&readBadA{}, &readBadB{})
	if err == nil || !strings.Contains(err.Error(), "readBadA") || !strings.Contains(err.Error(), "readBadB") {
		t.Errorf("two bad models: %v", err)
	}
	if err := b.Plugin.Register(&readBadM{}); err != nil && !strings.Contains(err.Error(), "readBadM") {
		t.Errorf("a bad tag that the model's own hides: %v", err)
	}
}

// A bad option is an error from Initialize that names it; no bad option panics.
func TestReadBadOptions(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	for _, c := range []struct {
		names  string
		option preload.Option
	}{
		{"WithTTL", preload.WithTTL(0)}, {"WithTTL", preload.WithTTL(-1)}, {"WithNegativeTTL", preload.WithNegativeTTL(-1)},
		{"WithMaxEntries", preload.WithMaxEntries(0)}, {"WithMaxEntries", preload.WithMaxEntries(-1)},
		{"WithMaxBytes", preload.WithMaxBytes(0)}, {"WithMaxBytes", preload.WithMaxBytes(-1)},
		{"WithMaxRows", preload.WithMaxRows(0)}, {"WithMaxRows", preload.WithMaxRows(-1)},
		{"WithInterval", preload.WithInterval(0)}, {"WithInterval", preload.WithInterval(5*time.Second - 1)},
		{"WithThreshold", preload.WithThreshold(-0.1)}, {"WithThreshold", preload.WithThreshold(math.NaN())}, {"WithThreshold", preload.WithThreshold(math.Inf(1))},
		{"WithDecay", preload.WithDecay(0)}, {"WithDecay", preload.WithDecay(1.1)}, {"WithDecay", preload.WithDecay(-1)}, {"WithDecay", preload.WithDecay(math.NaN())},
		{"WithMaxPatterns", preload.WithMaxPatterns(0)}, {"WithMaxLoaders", preload.WithMaxLoaders(0)}, {"WithMaxLoaders", preload.WithMaxLoaders(-5)},
		{"WithBatch", preload.WithBatch(0)}, {"WithMaxIdleConns", preload.WithMaxIdleConns(-1)}, {"WithConcurrency", preload.WithConcurrency(0)}, {"WithConcurrency", preload.WithConcurrency(-1)},
		{"WithLoadTimeout", preload.WithLoadTimeout(0)}, {"WithHoldOut", preload.WithHoldOut(0)},
		{"WithPolicy", preload.WithPolicy(nil, preload.Policy{})}, {"WithPolicy", preload.WithPolicy(&readTTL{}, preload.Policy{TTL: -1})},
		{"WithPolicy", preload.WithPolicy(&readTTL{}, preload.Policy{MaxRows: -1})}, {"WithPolicy", preload.WithPolicy(&readTTL{}, preload.Policy{Depends: []string{" "}})},
		{"WithPolicy", preload.WithPolicy("read_ttls", preload.Policy{})}, {"WithPolicy", preload.WithPolicy(5, preload.Policy{})},
		{"WithDefaultPolicy", preload.WithDefaultPolicy(preload.Policy{TTL: -1})},
		{"WithStore", preload.WithStore(nil)}, {"WithScorer", preload.WithScorer(nil)}, {"WithLogger", preload.WithLogger(nil)},
		{"WithClock", preload.WithClock(nil)}, {"WithPartition", preload.WithPartition(nil)}, {"WithSession", preload.WithSession(nil)}, {"Option", nil},
	} {
		p := preload.New(c.option, preload.WithoutWorker())
		err := d.Open(t).Use(p)
		if err == nil || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%s: %v", c.names, err)
		}
		if err := p.Close(); err != nil {
			t.Errorf("%s: Close: %v", c.names, err)
		}
	}
	for _, option := range []preload.Option{
		preload.WithNegativeTTL(0), preload.WithInterval(5 * time.Second), preload.WithDecay(1), preload.WithThreshold(0), preload.WithMaxEntries(1),
		preload.WithMaxBytes(1), preload.WithTTL(1), preload.WithPolicy(&readTTL{}, preload.Policy{Negative: -1}),
	} {
		p := preload.New(option, preload.WithoutWorker())
		if err := d.Open(t).Use(p); err != nil {
			t.Error(err)
		}
		_ = p.Close()
	}
	err := d.Open(t).Use(preload.New(preload.WithTTL(0), preload.WithBatch(0)))
	if err == nil || !strings.Contains(err.Error(), "WithTTL") || !strings.Contains(err.Error(), "WithBatch") {
		t.Errorf("two bad options: %v", err)
	}
}

// One plugin serves one database, once.
func TestReadInitialize(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	if err := b.DB.Use(b.Plugin); !errors.Is(err, gorm.ErrRegistered) {
		t.Errorf("Use again: %v", err)
	}
	worldtest.Must(t, b.Plugin.Initialize(b.DB))
	worldtest.Must(t, b.Plugin.Initialize(b.DB.Session(&gorm.Session{NewDB: true})))
	for turn, want := range []int64{1, 0} {
		if n := b.Queries(func() { var c worldtest.ReadCompany; worldtest.Must(t, b.DB.First(&c).Error) }); n != want {
			t.Errorf("initialized again, turn %d: %d queries, want %d", turn, n, want)
		}
	}
	worldtest.Must(t, b.DB.Create(&worldtest.ReadCompany{Name: "third"}).Error)
	worldtest.Must(t, b.DB.Transaction(func(tx *gorm.DB) error { return tx.Create(&worldtest.ReadCompany{Name: "fourth"}).Error }))
	var n int64
	worldtest.Must(t, b.DB.Model(&worldtest.ReadCompany{}).Count(&n).Error)
	if n != 4 {
		t.Errorf("%d companies", n)
	}
	if err := dbtest.SQLite(t).Open(t).Use(b.Plugin); err == nil {
		t.Error("a second, unrelated database was taken")
	}
	second := preload.New(preload.WithoutWorker())
	if err := second.Initialize(nil); err == nil {
		t.Error("Initialize(nil)")
	}
	worldtest.Must(t, second.Close())
	if err := b.Open(t).Use(second); err == nil {
		t.Error("a closed plugin was taken")
	}
	if p, ok := preload.From(b.DB); !ok || p != b.Plugin {
		t.Error("From")
	}
	if p, ok := preload.From(b.DB.Session(&gorm.Session{NewDB: true}).Where("1=1")); !ok || p != b.Plugin {
		t.Error("From of a session")
	}
	for _, db := range []*gorm.DB{nil, {}, b.Plain} {
		if _, ok := preload.From(db); ok {
			t.Error("From of a handle without")
		}
	}
}

// No nil, and no call before Use or after Close, panics.
func TestReadNilsDoNotPanic(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	closed := readSQLite(t)
	worldtest.Must(t, closed.Plugin.Close())
	used := readSQLite(t)
	for name, p := range map[string]*preload.Plugin{
		"new": preload.New(preload.WithoutWorker(), preload.WithLogger(worldtest.Quiet())), "used": used.Plugin, "closed": closed.Plugin,
	} {
		for what, call := range map[string]func(){
			"Register()":         func() { _ = p.Register() },
			"Register(nil)":      func() { _ = p.Register(nil) },
			"Register(typed)":    func() { _ = p.Register((*worldtest.ReadUser)(nil), []worldtest.ReadUser(nil), 5, "x", func() {}) },
			"Invalidate(nil)":    func() { _ = p.Invalidate(nil) },
			"Invalidate(5)":      func() { _ = p.Invalidate(5, "", "x.y") },
			"Invalidate()":       func() { _ = p.Invalidate() },
			"Warm()":             func() { _ = p.Warm(ctx) },
			"Warm(nil)":          func() { _ = p.Warm(ctx, nil) },
			"Warm(returns nil)":  func() { _ = p.Warm(ctx, func(*gorm.DB) *gorm.DB { return nil }) },
			"Preload(nil)":       func() { _ = p.Preload(ctx, "k", nil) },
			"Load(nil)":          func() { _, _ = preload.Load[int](ctx, p, "nil loader", nil) },
			"RecordAccess":       func() { p.RecordAccess(""); p.RecordAccess("a", "", "a", "b") },
			"Hotness":            func() { _, _, _, _ = p.PreloadKeys(-1), p.Hot(-1), p.RelatedKeys(""), p.ShouldPreload("") },
			"PreloadKeys(max)":   func() { p.PreloadKeys(math.MaxInt); p.Hot(math.MaxInt) },
			"Stats, Clear, Name": func() { p.Stats(); p.Clear(); _ = p.Name() },
		} {
			func() {
				defer func() {
					if fault := recover(); fault != nil {
						t.Errorf("%s plugin: %s panics: %v", name, what, fault)
					}
				}()
				call()
			}()
		}
	}
	for what, call := range map[string]func() error{
		"Warm of a nil query":    func() error { return used.Plugin.Warm(ctx, nil) },
		"Load with a nil loader": func() error { _, err := preload.Load[int](ctx, used.Plugin, "nil loader", nil); return err },
	} {
		func() {
			defer func() { _ = recover() }() // told above
			if err := call(); err == nil {
				t.Errorf("%s: no error", what)
			}
		}()
	}
	if v, err := preload.Load(ctx, nil, "k", func(context.Context) (int, error) { return 3, nil }); v != 3 || err != nil {
		t.Errorf("Load of a nil plugin: %v %v", v, err)
	}
}

// Stats are bounded, whatever names and aliases queries have.
func TestReadStatsAreBounded(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	for i := range 3_000 {
		var c []worldtest.ReadCompany
		worldtest.Must(t, b.DB.Table(fmt.Sprintf("read_companies AS c%d", i)).Find(&c).Error)
	}
	if n := len(b.Plugin.Stats().Models); n > 100 {
		t.Errorf("3000 aliases of one table made %d entries of Stats().Models, which is by table", n)
	}
	if s := b.Plugin.Stats().Models["read_companies"]; s.Misses != 3_000 {
		t.Errorf("Stats().Models[read_companies] has %+v, want 3000 misses", s)
	}
}

// What Clauses says about one query does not stick to the next.
func TestReadModesDoNotStick(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	var c worldtest.ReadCompany
	worldtest.Must(t, b.DB.Clauses(preload.Bypass).First(&c).Error)
	worldtest.Must(t, b.DB.Session(&gorm.Session{}).Clauses(preload.Bypass, clause.Expr{SQL: "1 = 1"}).Find(&[]worldtest.ReadCompany{}).Error)
	c = worldtest.ReadCompany{}
	for turn, want := range []int64{1, 0} {
		c = worldtest.ReadCompany{}
		if n := b.Queries(func() { worldtest.Must(t, b.DB.First(&c).Error) }); n != want {
			t.Errorf("turn %d: %d queries, want %d", turn, n, want)
		}
	}
}
