package preload_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// freshForm is a way to read a row, and a value of the application's own.
type freshForm struct {
	name string
	// ask asks, and returns how often the database, or the loader, was asked for that.
	ask   func(b *bundle, ctx context.Context) int64
	whole int64 // the same where nothing is in memory, at least
}

// freshChild belongs to a promised.
type freshChild struct {
	_          struct{} `preload:"ttl:1m"`
	ID         int
	PromisedID int
	Promised   promised
}

func freshForms(t *testing.T, b *bundle) (forms []freshForm) {
	t.Helper()
	add := func(name string, ask func(db *gorm.DB) error) {
		forms = append(forms, freshForm{name: name, ask: func(b *bundle, ctx context.Context) int64 {
			before := b.probe.Queries()
			worldtest.Must(t, ask(b.db.WithContext(ctx)))
			return b.probe.Queries() - before
		}})
	}
	worldtest.Must(t, b.plain.AutoMigrate(&freshChild{}))
	worldtest.Must(t, b.plain.Create(&freshChild{ID: 1, PromisedID: 1}).Error)
	add("First", func(db *gorm.DB) error { return db.First(&promised{}, 1).Error })
	add("First into what holds its key", func(db *gorm.DB) error { return db.First(&promised{ID: 2}).Error })
	add("none", func(db *gorm.DB) error { return db.Find(&promised{}, 99).Error })
	add("Count", func(db *gorm.DB) error { var n int64; return db.Model(&promised{}).Count(&n).Error })
	add("Scan", func(db *gorm.DB) error {
		var names []struct{ Name string }
		return db.Model(&promised{}).Select("name").Scan(&names).Error
	})
	add("Rows", func(db *gorm.DB) error {
		rows, err := db.Model(&promised{}).Order("id").Rows()
		if err != nil {
			return err
		}
		for rows.Next() {
		}
		return errors.Join(rows.Err(), rows.Close())
	})
	add("raw", func(db *gorm.DB) error {
		var n int64
		return db.Clauses(preload.Cache(preload.For(time.Minute))).Raw("SELECT max(id) FROM promiseds").Scan(&n).Error
	})
	add("an association", func(db *gorm.DB) error {
		var c freshChild
		return db.Clauses(preload.Cache(preload.For(time.Minute))).Preload("Promised").First(&c, 1).Error
	})
	prepared, err := preload.Prepare[promised](b.db, func(tx *gorm.DB) *gorm.DB { return tx.Where("id = ?", preload.Arg(0)) })
	worldtest.Must(t, err)
	add("prepared", func(db *gorm.DB) error { _, err := prepared.First(db.Statement.Context, 1); return err })
	forms = append(forms, freshForm{name: "Load", ask: func(b *bundle, ctx context.Context) (asked int64) {
		_, err := preload.LoadWith(ctx, b.plugin, "own", func(context.Context) (int, error) { asked++; return 1, nil }, preload.Tables(&promised{}))
		worldtest.Must(t, err)
		return asked
	}})
	for i := range forms {
		f := &forms[i]
		f.ask(b, t.Context())
		if f.whole = 1; f.name != "Load" {
			f.whole = f.ask(b, preload.ContextWithBypass(t.Context()))
		}
	}
	return forms
}

// fromDatabase checks that all of an answer came from the database, or nothing.
func (f *freshForm) fromDatabase(t *testing.T, b *bundle, ctx context.Context, when string, want bool) {
	t.Helper()
	if got := f.ask(b, ctx); want && got < f.whole || !want && got != 0 {
		t.Errorf("%s, %s: asked %d times, want %v, which is %d times", f.name, when, got, want, f.whole)
	}
}

// TestFreshnessBoundsTheAgeOfWhatIsRead: in every form. What is asked instead is kept.
func TestFreshnessBoundsTheAgeOfWhatIsRead(t *testing.T) {
	t.Parallel()
	b := promise(t, preload.WithNegativeTTL(time.Minute))
	for _, f := range freshForms(t, b) {
		t.Run(f.name, func(t *testing.T) {
			worldtest.Must(t, b.plugin.Invalidate())
			f.ask(b, t.Context())
			asks := func(d time.Duration, want bool) {
				t.Helper()
				f.fromDatabase(t, b, preload.ContextWithFreshness(t.Context(), d), fmt.Sprint("within ", d), want)
			}
			f.fromDatabase(t, b, t.Context(), "in memory", false)
			b.clock.Advance(10 * time.Second)
			asks(20*time.Second, false)
			asks(10*time.Second, false)
			asks(10*time.Second-1, true)
			asks(time.Nanosecond, false) // what was asked was kept
			asks(0, true)
			asks(-time.Second, true)
			b.clock.Advance(10 * time.Second)
			ctx := preload.ContextWithFreshness(preload.ContextWithFreshness(t.Context(), time.Second), time.Minute)
			f.fromDatabase(t, b, ctx, "within a second, and within a minute", true)
			if f.name != "Load" {
				ctx = preload.ContextWithBypass(preload.ContextWithFreshness(t.Context(), time.Minute))
				f.fromDatabase(t, b, ctx, "with Bypass", true)
			}
		})
	}
	if n := b.plugin.Stats().MissCauses[preload.CauseTooOld]; n < 40 {
		t.Errorf("%d reads missed because an answer was too old: %v", n, b.plugin.Stats().MissCauses)
	}
}

// exactly is a feed by which nothing is done that is not known here.
type exactly struct{ scripted }

func (*exactly) Exact() {}

// TestFreshnessIsWhatFeedsVouchFor: the moment of which all of them say that all is known.
func TestFreshnessIsWhatFeedsVouchFor(t *testing.T) {
	t.Parallel()
	one, other := &scripted{}, &exactly{}
	b := promise(t, preload.WithNegativeTTL(time.Minute), preload.WithFeed(one), preload.WithFeed(other))
	serve := func(ago time.Duration) {
		one.member.Serve(time.Now().Add(-ago), time.Hour)
		other.member.Serve(time.Now().Add(-time.Hour/2), time.Hour)
	}
	serve(time.Minute)
	forms := freshForms(t, b)
	within := func(d time.Duration) context.Context { return preload.ContextWithFreshness(t.Context(), d) }
	for _, f := range forms {
		f.ask(b, t.Context())
		b.clock.Advance(30 * time.Second)
		f.fromDatabase(t, b, within(20*time.Second), "vouched for a minute ago, within 20s", true)
		b.clock.Advance(30 * time.Second)
		f.fromDatabase(t, b, within(5*time.Minute), "vouched for a minute ago, within 5m", false)
	}
	serve(0)
	for _, f := range forms {
		f.ask(b, t.Context())
		b.clock.Advance(30 * time.Second)
		f.fromDatabase(t, b, within(20*time.Second), "vouched for now, within 20s", false)
		f.fromDatabase(t, b, within(0), "vouched for now, within 0", true)
	}
	one.member.Stop()
	for _, f := range forms {
		f.fromDatabase(t, b, within(time.Hour), "stopped", true)
	}
}

// TestWhatNoWriteInvalidatesIsAsOldAsItIs: own data of no tables, and what reads the time. That all
// changes are known says nothing of it.
func TestWhatNoWriteInvalidatesIsAsOldAsItIs(t *testing.T) {
	t.Parallel()
	feed := &placed{position: func(context.Context) (string, error) { return "here", nil }, await: func(context.Context, string) error { return nil }}
	b := promise(t, preload.WithFeed(feed))
	feed.member.Serve(time.Now(), time.Hour)
	b.find(t, b.db, 1) // which makes the table known
	writer := promise(t, preload.WithFeed(&placed{position: feed.position}))
	token, err := writer.plugin.Position(t.Context())
	worldtest.Must(t, err)
	for name, ask := range map[string]func(ctx context.Context) (asked int64){
		"own data": func(ctx context.Context) (asked int64) {
			_, err := preload.Load(ctx, b.plugin, "own", func(context.Context) (int, error) { asked++; return 1, nil })
			worldtest.Must(t, err)
			return asked
		},
		"the time": func(ctx context.Context) int64 {
			before := b.probe.Queries()
			var n int64
			worldtest.Must(t, b.db.WithContext(ctx).Clauses(preload.Cache(preload.For(time.Hour))).Raw("SELECT count(*) FROM promiseds WHERE name < CURRENT_TIMESTAMP").Scan(&n).Error)
			return b.probe.Queries() - before
		},
	} {
		for i, step := range []struct {
			ctx  context.Context
			want int64
		}{
			{t.Context(), 1}, {t.Context(), 0},
			{preload.ContextWithFreshness(t.Context(), time.Minute), 0},
			{preload.ContextWithFreshness(t.Context(), 10*time.Second), 1}, // it is half a minute old
			{t.Context(), 0},
			{preload.ContextWithAtLeast(t.Context(), token), 1},
			{t.Context(), 0},
		} {
			if i == 3 {
				b.clock.Advance(30 * time.Second)
			}
			if got := ask(step.ctx); got != step.want {
				t.Errorf("%s, step %d: asked %d times, want %d", name, i+1, got, step.want)
			}
		}
	}
}

// TestFreshnessHoldsForTheQueriesOfOthers: a reader does not wait for a query that began too early.
func TestFreshnessHoldsForTheQueriesOfOthers(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{false, true} {
		for _, c := range []struct {
			d      time.Duration
			joined bool
		}{{5 * time.Second, false}, {20 * time.Second, true}} {
			b := promise(t)
			var mu sync.Mutex
			begun, first := make(chan struct{}, 2), make(chan struct{})
			asked := 0
			hold := func() {
				mu.Lock()
				asked++
				n := asked
				mu.Unlock()
				begun <- struct{}{}
				if n == 1 {
					<-first
				}
			}
			b.probe.Before(func(c dbtest.Call) error {
				if c.Op == "query" && strings.Contains(c.SQL, "promiseds") {
					hold()
				}
				return nil
			})
			ask := func(ctx context.Context) {
				if own {
					_, _ = preload.Load(ctx, b.plugin, "own", func(context.Context) (int, error) { hold(); return 1, nil })
					return
				}
				worldtest.Must(t, b.db.WithContext(ctx).Find(&promised{}, "id = ?", 1).Error)
			}
			var readers sync.WaitGroup
			readers.Go(func() { ask(t.Context()) })
			worldtest.Within(t, worldtest.Patience, "the first reader", func() { <-begun })
			b.clock.Advance(10 * time.Second)
			done := make(chan struct{})
			readers.Go(func() { ask(preload.ContextWithFreshness(t.Context(), c.d)); close(done) })
			if c.joined {
				// It waits, and takes the query over if it waits for too long: so nothing can be
				// said of when.
				close(first)
				worldtest.Within(t, worldtest.Patience, "both readers", readers.Wait)
			} else {
				worldtest.Within(t, worldtest.Patience, "a reader that waits for no older query", func() { <-done })
				close(first)
				readers.Wait()
			}
			mu.Lock()
			if !c.joined && asked != 2 || c.joined && asked > 2 {
				t.Errorf("own %v, within %v: asked %d times", own, c.d, asked)
			}
			mu.Unlock()
			b.probe.Before(nil)
			// The newer answer is the one that stays.
			before := asked
			ask(preload.ContextWithFreshness(t.Context(), c.d))
			if !c.joined && asked != before {
				t.Errorf("own %v, within %v: the newer answer was not kept", own, c.d)
			}
		}
	}
}

// placed is a feed with positions.
type placed struct {
	scripted
	position func(context.Context) (string, error)
	await    func(context.Context, string) error
}

func (f *placed) Position(ctx context.Context) (string, error) { return f.position(ctx) }
func (f *placed) Await(ctx context.Context, at string) error   { return f.await(ctx, at) }

// TestReadsWaitForATokenOrGoToTheDatabase: in every form.
func TestReadsWaitForATokenOrGoToTheDatabase(t *testing.T) {
	t.Parallel()
	there := &placed{position: func(context.Context) (string, error) { return "here", nil }, await: func(context.Context, string) error { return errors.New("not asked") }}
	writer := promise(t, preload.WithFeed(there))
	token, err := writer.plugin.Position(t.Context())
	worldtest.Must(t, err)
	awaited := 0
	here := &placed{}
	b := promise(t, preload.WithNegativeTTL(time.Minute), preload.WithFeed(here))
	forms := freshForms(t, b)
	for _, c := range []struct {
		name  string
		await func(context.Context, string) error
		token preload.Token
		from  bool // memory
		waits bool
		log   bool
	}{
		{"applied", func(_ context.Context, at string) error {
			if at != "here" {
				return errors.New("another position")
			}
			return nil
		}, token, true, true, false},
		{"not applied in time", func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }, token, false, true, false},
		{"not understood", func(context.Context, string) error { return errors.New("no position") }, token, false, true, true},
		{"panics", func(context.Context, string) error { panic("broken") }, token, false, true, true},
		{"cut off", nil, token[:len(token)-3], false, false, true},
		{"no token", nil, "?", false, false, true},
		{"long", nil, preload.Token(strings.Repeat("A", 1<<20)), false, false, true},
		{"empty", nil, "", true, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			here.member.Serve(time.Now(), time.Hour)
			b.clock.Advance(2 * time.Minute) // so that the log tells again
			b.log.Reset()
			here.await = func(ctx context.Context, at string) error { awaited++; return c.await(ctx, at) }
			ctx := preload.ContextWithAtLeast(t.Context(), c.token)
			for _, f := range forms {
				f.ask(b, t.Context())
				before := awaited
				f.fromDatabase(t, b, ctx, c.name, !c.from)
				if (awaited > before) != c.waits {
					t.Errorf("%s: waited %d times, want that it does: %v", f.name, awaited-before, c.waits)
				}
			}
			if told := b.log.Len() > 0; told != c.log {
				t.Errorf("told %v, want %v: %s", told, c.log, b.log)
			}
			if n := strings.Count(b.log.String(), "\n"); n > 1 {
				t.Errorf("told %d times", n)
			}
			// Nobody waits for what would not be served.
			here.member.Stop()
			before := awaited
			if forms[0].ask(b, ctx) == 0 || awaited != before {
				t.Errorf("waited %d times for what is not served", awaited-before)
			}
		})
	}
}

// TestATokenOfThisProcessIsNotWaitedFor: it knows what it has written itself.
func TestATokenOfThisProcessIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]preload.Option{
		"without a feed":             nil,
		"a feed without positions":   {preload.WithFeed(&scripted{})},
		"a feed that cannot tell":    {preload.WithFeed(&placed{position: func(context.Context) (string, error) { return "", errCut }})},
		"a feed that panics at that": {preload.WithFeed(&placed{position: func(context.Context) (string, error) { panic("broken") }})},
	} {
		b, other := promise(t, options...), promise(t, options...)
		token, err := b.plugin.Position(t.Context())
		if wrong := strings.Contains(name, "cannot") || strings.Contains(name, "panics"); (err != nil) != wrong || token == "" {
			t.Errorf("%s: token %q, %v", name, token, err)
		}
		ctx := preload.ContextWithAtLeast(t.Context(), token)
		if len(options) == 0 {
			b.find(t, b.db, 1)
			if _, queries := b.find(t, b.db.WithContext(ctx), 1); queries != 0 {
				t.Errorf("%s: a token of this process has it ask the database", name)
			}
		}
		other.find(t, other.db, 1)
		if _, queries := other.find(t, other.db.WithContext(ctx), 1); queries != 1 {
			t.Errorf("%s: another process serves without knowing", name)
		}
	}
	if _, err := preload.New().Position(t.Context()); !errors.Is(err, preload.ErrNotInitialized) {
		t.Errorf("of a plugin that is not in use: %v", err)
	}
}

var errCut = errors.New("cut off")

// TestAllReadsOfAContextWaitForATokenTogether: and not each of them anew.
func TestAllReadsOfAContextWaitForATokenTogether(t *testing.T) {
	t.Parallel()
	there := promise(t, preload.WithFeed(&placed{position: func(context.Context) (string, error) { return "here", nil }}))
	token, err := there.plugin.Position(t.Context())
	worldtest.Must(t, err)
	var ends []time.Time
	here := &placed{await: func(ctx context.Context, _ string) error {
		end, _ := ctx.Deadline()
		ends = append(ends, end)
		return context.DeadlineExceeded
	}}
	b := promise(t, preload.WithFeed(here))
	here.member.Serve(time.Now(), time.Hour)
	before := time.Now()
	ctx := preload.ContextWithAtLeast(t.Context(), token)
	for range 3 {
		b.find(t, b.db.WithContext(ctx), 1)
	}
	if len(ends) != 3 || ends[0] != ends[1] || ends[0] != ends[2] || ends[0].Before(before.Add(50*time.Millisecond)) {
		t.Errorf("they wait until %v, begun at %v", ends, before)
	}
}
