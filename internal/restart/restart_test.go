package restart

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/hotness"
	"github.com/gorm-preload/preload/internal/loading"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

type item struct {
	ID   uint
	Code string
}

const rows = 100

// memory is a store without a bound, for one goroutine.
type memory map[string]any

func (m memory) Get(key string) (any, bool) { v, ok := m[key]; return v, ok }
func (m memory) Set(key string, value any)  { m[key] = value }
func (m memory) Delete(key string)          { delete(m, key) }

// open is a gate that lets everything in.
type open struct{}

func (open) Enter(context.Context) {}
func (open) Leave()                {}

// flat weighs all keys by how often they were asked for.
type flat struct{}

func (flat) Weigh(_ float64, count int64, _ time.Time) float64    { return float64(count) }
func (flat) Score(_ float64, count int64, _, _ time.Time) float64 { return float64(count) }

// process is one that may hand its keys over, or get them.
type process struct {
	*Handover
	db         *gorm.DB
	log        []string // what was reported
	registered []string
	closed     bool
}

// database returns one that has items.
func database(t *testing.T) *dbtest.Database {
	t.Helper()
	d := dbtest.SQLite(t)
	db := d.Plain(t)
	items := make([]item, rows)
	for i := range items {
		items[i].Code = fmt.Sprint("c", i+1)
	}
	if err := errors.Join(db.AutoMigrate(&item{}), db.Create(&items).Error); err != nil {
		t.Fatal(err)
	}
	return d
}

// start starts a process that knows items, and keeps so many answers.
func start(t *testing.T, d *dbtest.Database, entries int) *process {
	t.Helper()
	p := &process{db: d.Open(t)}
	now := dbtest.NewClock().Now
	report := func(_ slog.Level, event, _ string, attrs ...any) { p.log = append(p.log, fmt.Sprint(event, attrs)) }
	dialect := func() string { return p.db.Name() }
	index := coherence.New(now)
	kept := cache.New(cache.Config{
		Store: memory{}, MaxEntries: entries, MaxBytes: 1 << 20, Waits: cache.UsualWaits, Index: index, Now: now, Pushed: func(*cache.Entry) {},
	})
	known := catalog.New(catalog.Hooks{
		Dialect: dialect, Settle: func(*schema.Schema) {}, Depends: func(*schema.Schema) []string { return nil }, Changed: func(catalog.Learned) {},
	})
	footprints := footprint.New(known, false)
	log := commit.New(commit.Config{
		Catalog: known, Footprints: footprints, Cache: kept, Index: index, HoldOut: time.Second,
		Now: now, Report: report, Gate: open{}, Killed: func([]cache.Killed) {},
	})
	templates := template.NewSet(template.Config{
		Catalog: known, Footprints: footprints, Cache: kept, Index: index, Report: report,
	})
	patterns := hotness.New(rows, flat{})
	log.Serve(p.db, false)
	pool := log.Wrap(p.db, nil)
	footprints.Serve(p.db)
	templates.Serve(p.db, pool, false)
	source := loading.New(loading.Config{
		Log: log, Cache: kept, Templates: templates, Patterns: patterns, Pool: pool,
		Query: p.db.Callback().Query().Get("gorm:query"), Gate: open{},
	}, p.db, false)
	p.Handover = New(Config{
		Source: source, Log: log, Cache: kept, Templates: templates, Catalog: known, Patterns: patterns, Pool: pool,
		Dialect: dialect(), MaxPatterns: rows, LoadTimeout: time.Minute, Report: report,
		Closed: func() bool { return p.closed },
		Limits: func(*schema.Schema) (template.Limits, bool, error) {
			return template.Limits{TTL: time.Hour, Negative: time.Hour, MaxRows: rows}, true, nil
		},
		LoaderOf: source.LoaderOf,
		Register: func(key string, _ cache.Loader) { p.registered = append(p.registered, key) },
	})
	stmt := &gorm.Statement{DB: p.db}
	if err := stmt.Parse(&item{}); err != nil {
		t.Fatal(err)
	}
	known.Learn(stmt.Schema)
	return p
}

// ask notes that the item of an id is asked for, as often as it is hot, and returns its key.
func (p *process) ask(t *testing.T, id uint, hot int) (key string) {
	t.Helper()
	key = p.key(t, func(tx *gorm.DB) *gorm.DB { return tx.First(&item{}, id) })
	for range hot {
		p.Patterns.Touch(key, p.Cache.Now())
	}
	return key
}

// key returns the key of a query, whose template is known from then on.
func (p *process) key(t *testing.T, query func(*gorm.DB) *gorm.DB) (key string) {
	t.Helper()
	stmt := query(p.db.Session(&gorm.Session{DryRun: true})).Statement
	f := shape.New()
	defer f.Free()
	if !f.Rendered(stmt, shape.Options{}) {
		t.Fatalf("%s has no shape", stmt.SQL.String())
	}
	of := p.Templates.Find(f.Shape)
	if of == nil {
		limits, _, _ := p.Limits(nil)
		of = p.Templates.Add(p.Templates.Make(string(f.Shape), stmt, shape.Options{}, &limits, nil))
	}
	key = string(f.Args.Key(of.Prefix))
	of.LearnBinding(key, stmt.Vars)
	return key
}

// saved returns the file of a process that asked for items 1 to n, the first the most often.
func saved(t *testing.T, d *dbtest.Database, n uint) []byte {
	t.Helper()
	p := start(t, d, rows)
	for id := uint(1); id <= n; id++ {
		p.ask(t, id, int(n-id)+1)
	}
	var file bytes.Buffer
	if err := p.Save(&file); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func (p *process) says(text string) bool {
	return slices.ContainsFunc(p.log, func(line string) bool { return strings.Contains(line, text) })
}

// there returns which of items 1 to n are in memory.
func (p *process) there(t *testing.T, n uint) (ids []uint) {
	t.Helper()
	for id := uint(1); id <= n; id++ {
		if p.Cache.Find(p.ask(t, id, 0), p.Cache.Now()) != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

func TestTheNextProcessHasTheHotKeys(t *testing.T) {
	t.Parallel()
	d := database(t)
	file := saved(t, d, 40)
	next := start(t, d, rows)
	before := d.Probe.Queries()
	var shown []int
	if err := next.Load(t.Context(), bytes.NewReader(file), []func(done, total int){nil, func(done, total int) { shown = append(shown, done, total) }}); err != nil {
		t.Fatal(err)
	}
	if n := len(next.there(t, 40)); n != 40 || len(next.registered) != 40 {
		t.Errorf("%d are there, %d can be loaded again, want 40; log %q", n, len(next.registered), next.log)
	}
	if n := d.Probe.Queries() - before; n != 2 {
		t.Errorf("%d queries, want one for %d keys and one for the rest", n, loading.MaxBatch)
	}
	if want := []int{0, 40, 32, 40, 40, 40}; !slices.Equal(shown, want) {
		t.Errorf("shown %v, want %v", shown, want)
	}
	if err := next.Cache.Check(); err != nil {
		t.Error(err)
	}
	before = d.Probe.Queries()
	if err := next.Load(t.Context(), bytes.NewReader(file), nil); err != nil || d.Probe.Queries() > before {
		t.Errorf("what is there was loaded again by %d queries: %v", d.Probe.Queries()-before, err)
	}
}

func TestNothingLeavesForHotKeys(t *testing.T) {
	t.Parallel()
	d := database(t)
	file := saved(t, d, 40)
	next := start(t, d, 10)
	if err := next.Load(t.Context(), bytes.NewReader(file), nil); err != nil {
		t.Fatal(err)
	}
	if there := next.there(t, 40); !slices.Equal(there, []uint{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}) || !next.says("memory is full") {
		t.Errorf("there: %v, want the ten hottest; log %q", there, next.log)
	}
}

// A query that fails is asked for one key at a time, as one of them may be to blame, and not for ever.
func TestAQueryThatFailsAgainAndAgainIsLeftOut(t *testing.T) {
	t.Parallel()
	d := database(t)
	file := saved(t, d, 40)
	next := start(t, d, rows)
	d.Probe.Before(func(c dbtest.Call) error {
		if strings.Contains(c.SQL, "items") {
			return errors.New("no such thing")
		}
		return nil
	})
	defer d.Probe.Before(nil)
	before := d.Probe.Queries()
	if err := next.Load(t.Context(), bytes.NewReader(file), nil); err != nil {
		t.Error(err)
	}
	if n := d.Probe.Queries() - before; n != 1+maxFailed {
		t.Errorf("%d queries, want %d", n, 1+maxFailed)
	}
	if there := next.there(t, 40); len(there) > 0 || !next.says("a key is left out") || !next.says("a query is left out") {
		t.Errorf("there: %v; log %q", there, next.log)
	}
}

func TestOfKeysThatAreLoadedTogetherOnlyTheOneToBlameIsLeftOut(t *testing.T) {
	t.Parallel()
	d := database(t)
	file := saved(t, d, 40)
	next := start(t, d, rows)
	d.Probe.Before(func(c dbtest.Call) error {
		if slices.ContainsFunc(c.Args, func(arg driver.NamedValue) bool { return arg.Value == int64(7) }) {
			return errors.New("this one is bad")
		}
		return nil
	})
	defer d.Probe.Before(nil)
	if err := next.Load(t.Context(), bytes.NewReader(file), nil); err != nil {
		t.Error(err)
	}
	if there := next.there(t, 40); len(there) != 39 || slices.Contains(there, 7) || !next.says("a key is left out") {
		t.Errorf("there: %v, want all but 7; log %q", there, next.log)
	}
}

func TestWhatCannotBeUsedIsLeftOut(t *testing.T) {
	t.Parallel()
	d := database(t)
	file := saved(t, d, 3)
	bad := errors.New("the tag is bad")
	for name, test := range map[string]struct {
		change func(p *process)
		want   string
	}{
		"of another database": {func(p *process) { p.Dialect = "postgres" }, "another database"},
		"of partitions":       {func(p *process) { p.Partitioned = true }, "remove WithPartition"},
		"a model that is not in use": {func(p *process) {
			p.Catalog = catalog.New(catalog.Hooks{})
		}, "Register it first"},
		"a model that is not opted in": {func(p *process) {
			p.Limits = func(*schema.Schema) (l template.Limits, opted bool, err error) { return l, false, nil }
		}, "not opted in"},
		"a model whose tag is bad": {func(p *process) {
			p.Limits = func(*schema.Schema) (l template.Limits, opted bool, err error) { return l, false, bad }
		}, bad.Error()},
	} {
		next := start(t, d, rows)
		before := d.Probe.Queries()
		test.change(next)
		if err := next.Load(t.Context(), bytes.NewReader(file), nil); err != nil || !next.says(test.want) {
			t.Errorf("%s: %v, log %q, want %q", name, err, next.log, test.want)
		}
		if n := d.Probe.Queries() - before; n > 0 {
			t.Errorf("%s: %d queries", name, n)
		}
	}
}

// A template of a file is forgotten, and what it found, once a statement shows other SQL.
func TestAnAnswerOfOtherSQLIsForgotten(t *testing.T) {
	t.Parallel()
	d := database(t)
	file := saved(t, d, 1)
	for _, same := range []bool{true, false} {
		sql := file
		if !same {
			sql = bytes.Replace(file, []byte("ORDER BY `items`.`id`"), []byte("ORDER BY `items`.`code`"), 1)
		}
		next := start(t, d, rows)
		if err := next.Load(t.Context(), bytes.NewReader(sql), nil); err != nil {
			t.Fatal(err)
		}
		key := next.registered[0]
		of := next.Templates.Of(key)
		stmt := next.db.Session(&gorm.Session{DryRun: true}).First(&item{}, 1).Statement
		stmt.SQL.Reset()
		stmt.Vars, stmt.BuildClauses = nil, next.db.Callback().Query().Clauses // as a callback finds it
		text := key[len(of.Prefix):]
		if got := next.Confirm(of, stmt.DB, []byte(text)); got != same {
			t.Errorf("confirmed %t, want %t", got, same)
		}
		if there := next.Cache.Find(key, next.Cache.Now()) != nil; there != same || next.says("another one now") == same || (next.Templates.Of(key) != nil) != same {
			t.Errorf("the same SQL: %t, but there: %t, log %q", same, there, next.log)
		}
	}
}

func TestAHandoverThatIsClosedDoesNothing(t *testing.T) {
	t.Parallel()
	d := database(t)
	file := saved(t, d, 40)
	p := start(t, d, rows)
	p.ask(t, 1, 1)
	stop := func(done, _ int) { p.closed = done > 0 }
	if err := p.Load(t.Context(), bytes.NewReader(file), []func(done, total int){stop}); err == nil || !strings.Contains(err.Error(), "8 of 40 keys were not loaded: the plugin is closed") {
		t.Errorf("closed meanwhile: %v", err)
	}
	var out bytes.Buffer
	if err := p.Save(&out); err == nil || out.Len() > 0 {
		t.Errorf("Save: %v, %q", err, out.String())
	}
	if err := p.Load(t.Context(), bytes.NewReader(file), nil); err == nil {
		t.Error("Load: no error")
	}
}

func TestKeysAreTakenInTimeInProportionToThem(t *testing.T) {
	t.Parallel()
	p := start(t, database(t), rows)
	first := p.key(t, func(tx *gorm.DB) *gorm.DB { return tx.First(&item{}, 1) })
	take := p.key(t, func(tx *gorm.DB) *gorm.DB { return tx.Take(&item{}, 1) })
	both := []string{p.Templates.Of(first).Prefix, p.Templates.Of(take).Prefix}
	for _, prefixes := range [][]string{both[:1], both} {
		q := &queue{Handover: p.Handover, ctx: t.Context(), failed: map[*template.Template]int{}}
		const keys = 20_000
		for n := range keys {
			arg, _ := args.Encode(n + 1)
			q.keys = append(q.keys, prefixes[n%len(prefixes)]+arg)
		}
		queries, taken := 0, map[string]bool{}
		for last := &q.keys[keys-1]; len(q.keys) > 0; {
			if &q.keys[len(q.keys)-1] != last {
				t.Fatalf("the rest of %d keys was copied after %d were taken", keys, len(taken))
			}
			together, load := q.take(keys)
			if load == nil {
				t.Fatalf("%q cannot be loaded", together)
			}
			queries++
			for _, key := range together {
				taken[key] = true
			}
		}
		if len(taken) != keys || queries > keys/loading.MaxBatch+len(prefixes) {
			t.Errorf("%d keys of %d queries were taken by %d, want %d by %d", len(taken), len(prefixes), queries, keys, keys/loading.MaxBatch)
		}
	}
}
