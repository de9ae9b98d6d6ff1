package preload_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// scripted is a feed that does what a test says.
type scripted struct {
	member   preload.Member
	opens    error
	announce func(batch []byte, tx string) (func(preload.End), error)
	closed   int
	closes   func()                          // called by Close
	waits    func(ctx context.Context) error // called by Announce, before announce
}

func (f *scripted) Open(_ context.Context, m preload.Member) error { f.member = m; return f.opens }
func (f *scripted) Close() error {
	if f.closed++; f.closes != nil {
		f.closes()
	}
	return nil
}
func (f *scripted) Announce(ctx context.Context, batch []byte, tx string) (func(preload.End), error) {
	if f.waits != nil {
		if err := f.waits(ctx); err != nil {
			return nil, err
		}
	}
	if f.announce == nil {
		return func(preload.End) {}, nil
	}
	return f.announce(batch, tx)
}

// TestAFeedDecidesWhatIsServed: all comes from the database before the first Serve, after the time
// that was given, and after Stop; nothing of before a Reset is served after it.
func TestAFeedDecidesWhatIsServed(t *testing.T) {
	t.Parallel()
	one, other := &scripted{}, &scripted{}
	b := promise(t, preload.WithFeed(one), preload.WithFeed(other))
	asks := func(want int64, when string) {
		t.Helper()
		if _, queries := b.find(t, b.db, 1); queries != want {
			t.Errorf("%s: %d queries, want %d", when, queries, want)
		}
	}
	asks(1, "before Serve")
	asks(1, "before Serve, again")
	if n := b.plugin.Stats().MissCauses[preload.CauseClosed]; n != 2 {
		t.Errorf("%d misses because a feed cannot know, want 2", n)
	}
	one.member.Serve(time.Now(), time.Hour)
	asks(1, "one of two feeds")
	other.member.Serve(time.Now(), time.Hour)
	asks(1, "both")
	asks(0, "both, again")
	other.member.Stop()
	asks(1, "stopped")
	other.member.Serve(time.Now().Add(-time.Hour), time.Minute)
	asks(1, "an answer that comes too late")
	other.member.Serve(time.Now(), time.Hour)
	asks(0, "what was in memory before it was stopped, and nothing has touched")
	one.member.Reset("a test")
	asks(1, "forgotten")
	asks(0, "and kept again")
	end := one.member.Begin(nil)
	asks(1, "anything changes")
	asks(1, "anything changes, and has not ended")
	end(preload.EndVisible)
	b.find(t, b.db, 1) // with a look at the columns, which may be others by now
	asks(0, "ended, and kept again")
	if one.member.ID() == other.member.ID() || len(one.member.ID()) != 32 || one.member.Namespace() != other.member.Namespace() {
		t.Errorf("members are %q and %q of %q and %q", one.member.ID(), other.member.ID(), one.member.Namespace(), other.member.Namespace())
	}
	// What is kept while the answer is on its way is kept only if the gate is open then.
	var during func()
	b.probe.Before(func(c dbtest.Call) error {
		if c.Op == "query" && during != nil {
			during()
		}
		return nil
	})
	during = func() { other.member.Stop(); other.member.Reset("a test"); other.member.Serve(time.Now(), time.Hour) }
	worldtest.Must(t, b.plugin.Invalidate())
	asks(1, "forgotten while it is asked for")
	during = nil
	asks(1, "not kept")
	worldtest.Must(t, b.plugin.Close())
	if one.closed != 1 || other.closed != 1 {
		t.Errorf("closed %d and %d times", one.closed, other.closed)
	}
}

// TestAFeedThatFailsCostsNoResult: one that panics, and one that cannot be opened.
func TestAFeedThatFailsCostsNoResult(t *testing.T) {
	t.Parallel()
	f := &scripted{announce: func([]byte, string) (func(preload.End), error) { panic("broken") }}
	b := promise(t, preload.WithFeed(f))
	worldtest.Must(t, b.db.Model(&promised{ID: 1}).Update("name", "new").Error)
	f.announce = func([]byte, string) (func(preload.End), error) { return func(preload.End) { panic("broken") }, nil }
	worldtest.Must(t, b.db.Exec("UPDATE promiseds SET name = 'newer' WHERE id = 1").Error)
	if p, _ := b.find(t, b.db, 1); p.Name != "newer" {
		t.Errorf("name %q", p.Name)
	}
	if !strings.Contains(b.log.String(), "a feed, before a write") || !strings.Contains(b.log.String(), "a feed, at the end of a write") {
		t.Errorf("the log has nothing of the panics: %s", b.log)
	}
	refused := &scripted{opens: errors.New("no such channel")}
	p := preload.New(preload.WithFeed(refused), preload.WithoutWorker())
	db := dbtest.SQLite(t).Open(t)
	if err := db.Use(p); err == nil || !strings.Contains(err.Error(), "no such channel") {
		t.Errorf("db.Use: %v", err)
	}
	if refused.closed != 1 {
		t.Errorf("closed %d times", refused.closed)
	}
	if err := dbtest.SQLite(t).Open(t).Use(p); err == nil {
		t.Error("a plugin whose feed could not be opened can be used")
	}
	for _, c := range []struct {
		option preload.Option
		want   string
	}{{preload.WithFeed(nil), "WithFeed"}, {preload.WithSecret([]byte("short")), "WithSecret"}} {
		if err := dbtest.SQLite(t).Open(t).Use(preload.New(c.option)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.want, err)
		}
	}
}

// TestAFeedCanRefuseACommit: the transaction is rolled back, and other feeds are told so.
func TestAFeedCanRefuseACommit(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		cut := errors.New("cut off")
		var ends []preload.End
		willing := &scripted{announce: func([]byte, string) (func(preload.End), error) {
			return func(e preload.End) { ends = append(ends, e) }, nil
		}}
		refusing := &scripted{announce: func([]byte, string) (func(preload.End), error) { return nil, cut }}
		var log bytes.Buffer
		db, plain := d.Open(t), d.Plain(t)
		worldtest.Must(t, plain.AutoMigrate(&promised{}))
		worldtest.Must(t, plain.Create(&promised{ID: 1, Name: "old"}).Error)
		p := preload.New(preload.WithFeed(willing), preload.WithFeed(refusing), preload.WithoutWorker(), preload.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		worldtest.Must(t, db.Use(p))
		t.Cleanup(func() { _ = p.Close() })
		name := func() string {
			var row promised
			worldtest.Must(t, plain.First(&row, 1).Error)
			return row.Name
		}
		if err := db.Model(&promised{ID: 1}).Update("name", "default transaction").Error; !errors.Is(err, cut) || name() != "old" {
			t.Errorf("in GORM's own transaction: %v, name %q", err, name())
		}
		err := db.Transaction(func(tx *gorm.DB) error { return tx.Model(&promised{ID: 1}).Update("name", "transaction").Error })
		if !errors.Is(err, cut) || name() != "old" {
			t.Errorf("in a transaction: %v, name %q", err, name())
		}
		if len(ends) != 2 || ends[0] != preload.EndUndone || ends[1] != preload.EndUndone {
			t.Errorf("the other feed was told of the ends %v", ends)
		}
		if err := db.Exec("UPDATE promiseds SET name = 'alone' WHERE id = 1").Error; err != nil || name() != "alone" || !strings.Contains(log.String(), "could not be told") {
			t.Errorf("outside of a transaction: %v, name %q, log %s", err, name(), &log)
		}
	})
}

// TestACloseRefusesNoCommit: not one that comes while feeds are closed, nor one that comes later;
// what is committed before that is told.
func TestACloseRefusesNoCommit(t *testing.T) {
	t.Parallel()
	for _, connector := range []bool{false, true} {
		t.Run(fmt.Sprintf("connector %v", connector), func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
				told := 0
				f := &scripted{}
				f.announce = func([]byte, string) (func(preload.End), error) {
					if told++; f.closed > 0 {
						return nil, errors.New("closed")
					}
					return func(preload.End) {}, nil
				}
				db, plain := d.Open(t), d.Plain(t)
				if connector {
					pool := sql.OpenDB(preload.Connector(d.Connector()))
					t.Cleanup(func() { _ = pool.Close() })
					db.ConnPool, db.Statement.ConnPool = pool, pool
				}
				worldtest.Must(t, plain.AutoMigrate(&promised{}))
				p := preload.New(preload.WithFeed(f), preload.WithoutWorker())
				worldtest.Must(t, db.Use(p))
				write := func(tx *gorm.DB, id int) { worldtest.Must(t, tx.Create(&promised{ID: id}).Error) }
				write(db, 1)
				if told == 0 {
					t.Error("nothing is told before Close")
				}
				open := db.Begin()
				write(open, 2)
				told = 0
				f.closes = func() { worldtest.Must(t, open.Commit().Error) }
				worldtest.Must(t, p.Close())
				if write(db, 3); told > 0 {
					t.Errorf("a feed that is closed was told of %d writes", told)
				}
				var n int64
				if worldtest.Must(t, plain.Model(&promised{}).Count(&n).Error); n != 3 {
					t.Errorf("%d of 3 writes are there", n)
				}
			})
		})
	}
}

// TestAWriteDoesNotOutliveItsContext: where that ends while others are told of the write, it returns
// with the context's error, and is not sent; the others are told so, and nothing is held out.
func TestAWriteDoesNotOutliveItsContext(t *testing.T) {
	t.Parallel()
	update := func(db *gorm.DB) error { return db.Model(&promised{ID: 1}).Update("name", "new").Error }
	alone := &gorm.Session{SkipDefaultTransaction: true}
	forms := map[string]struct {
		write    func(*gorm.DB) error
		observed bool // by connections that are observed, too: a commit they cannot refuse
	}{
		"GORM's own transaction": {update, false},
		"transaction":            {func(db *gorm.DB) error { return db.Transaction(update) }, false},
		"no transaction":         {func(db *gorm.DB) error { return update(db.Session(alone)) }, true},
		"prepared": {func(db *gorm.DB) error {
			return update(db.Session(&gorm.Session{SkipDefaultTransaction: true, PrepareStmt: true}))
		}, true},
		"create": {func(db *gorm.DB) error { return db.Session(alone).Create(&promised{ID: 2}).Error }, true},
		"delete": {func(db *gorm.DB) error { return db.Session(alone).Delete(&promised{ID: 1}).Error }, true},
		"raw":    {func(db *gorm.DB) error { return db.Exec("UPDATE promiseds SET name = 'new' WHERE id = 1").Error }, true},
	}
	for name, form := range forms {
		for _, observed := range []bool{false, true} {
			if observed && !form.observed {
				continue
			}
			t.Run(fmt.Sprintf("%s, observed %v", name, observed), func(t *testing.T) {
				t.Parallel()
				dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
					willing, silent := &scripted{}, &scripted{}
					var ends []preload.End
					willing.announce = func([]byte, string) (func(preload.End), error) {
						return func(e preload.End) { ends = append(ends, e) }, nil
					}
					db, plain := d.Open(t), d.Plain(t)
					if observed {
						pool := sql.OpenDB(preload.Connector(d.Connector()))
						t.Cleanup(func() { _ = pool.Close() })
						db.ConnPool, db.Statement.ConnPool = pool, pool
					}
					worldtest.Must(t, plain.AutoMigrate(&promised{}))
					worldtest.Must(t, plain.Create(&promised{ID: 1, Name: "old"}).Error)
					var log bytes.Buffer
					p := preload.New(preload.WithFeed(willing), preload.WithFeed(silent), preload.WithoutWorker(), preload.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
					worldtest.Must(t, db.Use(p))
					t.Cleanup(func() { _ = p.Close() })
					for _, f := range []*scripted{willing, silent} {
						f.member.Serve(time.Now(), time.Hour)
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					silent.waits = func(announced context.Context) error { cancel(); return announced.Err() }
					if err := form.write(db.WithContext(ctx)); !errors.Is(err, context.Canceled) {
						t.Errorf("it returned %v", err)
					}
					if len(ends) != 1 || ends[0] != preload.EndUndone {
						t.Errorf("the other feed was told of the ends %v", ends)
					}
					var rows []promised
					worldtest.Must(t, plain.Find(&rows).Error)
					if len(rows) != 1 || rows[0].Name != "old" {
						t.Errorf("it was sent: %v", rows)
					}
					before := p.Stats()
					for range 2 {
						worldtest.Must(t, db.Find(&rows).Error)
					}
					if after := p.Stats(); after.Hits == before.Hits || after.HoldOuts != 0 {
						t.Errorf("%d hits of two reads, %d tables are held out", after.Hits-before.Hits, after.HoldOuts)
					}
					if strings.Contains(log.String(), "could not be told") {
						t.Errorf("the log has it that the write goes on: %s", &log)
					}
				})
			})
		}
	}
}

// TestTransactionsAreAnnouncedByName: once a feed has asked for the arbiter, who then knows when
// they are over.
func TestTransactionsAreAnnouncedByName(t *testing.T) {
	t.Parallel()
	d := dbtest.Postgres(t)
	var names []string
	ctx := t.Context()
	f := &scripted{}
	db, plain := d.Open(t), d.Plain(t)
	worldtest.Must(t, plain.AutoMigrate(&promised{}))
	p := preload.New(preload.WithFeed(f), preload.WithoutWorker())
	worldtest.Must(t, db.Use(p))
	t.Cleanup(func() { _ = p.Close() })
	var arbiter preload.Arbiter
	f.announce = func(_ []byte, tx string) (func(preload.End), error) {
		names = append(names, tx)
		if arbiter != nil {
			if over, err := arbiter.Over(ctx, tx); err != nil || over {
				t.Errorf("a transaction that is about to commit: over %v, %v", over, err)
			}
			mark, err := arbiter.Mark(ctx)
			if passed, wrong := arbiter.Passed(ctx, mark); err != nil || wrong != nil || passed {
				t.Errorf("while a transaction is open: passed %v, %v, %v", passed, err, wrong)
			}
		}
		return func(preload.End) {}, nil
	}
	worldtest.Must(t, db.Create(&promised{ID: 1}).Error)
	arbiter = f.member.Arbiter()
	worldtest.Must(t, db.Create(&promised{ID: 2}).Error)
	if len(names) != 2 || names[0] != "" || names[1] == "" {
		t.Fatalf("announced as %q", names)
	}
	if over, err := arbiter.Over(ctx, names[1]); err != nil || !over {
		t.Errorf("a transaction that has committed: over %v, %v", over, err)
	}
	if _, err := arbiter.Over(ctx, "no name"); err == nil {
		t.Error("what names no transaction is no error")
	}
}

// hits returns a handle on which a row is in memory, with a feed or without.
func hits(t testing.TB, feed bool) (db *gorm.DB, prepared *preload.Prepared[promised]) {
	t.Helper()
	d, f := dbtest.SQLite(t), &scripted{}
	options := []preload.Option{preload.WithoutWorker(), preload.WithTTL(time.Hour)}
	if feed {
		options = append(options, preload.WithFeed(f))
	}
	db = d.Open(t)
	p := preload.New(options...)
	worldtest.Must(t, db.Use(p))
	t.Cleanup(func() { _ = p.Close() })
	worldtest.Must(t, d.Plain(t).AutoMigrate(&promised{}))
	worldtest.Must(t, d.Plain(t).Create(&promised{ID: 1}).Error)
	if feed {
		f.member.Serve(time.Now(), time.Hour)
	}
	prepared, err := preload.Prepare[promised](db, func(tx *gorm.DB) *gorm.DB { return tx.Where("id = ?", preload.Arg(0)) })
	worldtest.Must(t, err)
	for range 10 {
		worldtest.Must(t, db.First(&promised{}, 1).Error)
		_, err := prepared.First(t.Context(), 1)
		worldtest.Must(t, err)
	}
	return db, prepared
}

// TestAHitWithAFeedAllocatesNothingMore, nor does a prepared one.
func TestAHitWithAFeedAllocatesNothingMore(t *testing.T) {
	if racing {
		t.Skip("the race detector has pools drop what they hold")
	}
	// A collection empties pools, so that the least of some counts.
	least := func(do func()) (n float64) {
		n = testing.AllocsPerRun(200, do)
		for range 4 {
			n = min(n, testing.AllocsPerRun(200, do))
		}
		return n
	}
	var plain, prepared [2]float64
	for i, feed := range []bool{false, true} {
		db, query := hits(t, feed)
		ctx := t.Context()
		plain[i] = least(func() { db.First(&promised{}, 1) })
		prepared[i] = least(func() { _, _ = query.First(ctx, 1) })
	}
	if plain[0] != plain[1] || prepared[0] != prepared[1] {
		t.Errorf("without a feed %v, prepared %v; with one %v, prepared %v", plain[0], prepared[0], plain[1], prepared[1])
	}
}

// BenchmarkHitWithAFeed is what a hit costs without a feed and with one, in turns: the medians of
// rounds of 100.
func BenchmarkHitWithAFeed(b *testing.B) {
	var took [2][2][]time.Duration // without a feed, with one; written out, prepared
	var dbs [2]*gorm.DB
	var queries [2]*preload.Prepared[promised]
	for i, feed := range []bool{false, true} {
		dbs[i], queries[i] = hits(b, feed)
	}
	ctx := b.Context()
	for b.Loop() {
		for i := range dbs {
			begun := time.Now()
			for range 100 {
				dbs[i].First(&promised{}, 1)
			}
			between := time.Now()
			for range 100 {
				_, _ = queries[i].First(ctx, 1)
			}
			took[i][0], took[i][1] = append(took[i][0], between.Sub(begun)/100), append(took[i][1], time.Since(between)/100)
		}
	}
	for i, feed := range []string{"none", "feed"} {
		for j, form := range []string{"first", "prepared"} {
			slices.Sort(took[i][j])
			b.ReportMetric(float64(took[i][j][len(took[i][j])/2].Nanoseconds()), form+"-"+feed+"-ns/hit")
		}
	}
}
