package main

import (
	"context"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload/bench/database"
	"github.com/gorm-preload/preload/bench/database/databasetest"
	"github.com/gorm-preload/preload/bench/shop/oracle"
	"github.com/gorm-preload/preload/bench/tpcw"
	"github.com/gorm-preload/preload/bench/trace"
	"go.uber.org/goleak"
	"gorm.io/gorm"
)

// TestMain: when all stands are closed, no goroutine is left of them.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// short is all of it, small.
func short() settings {
	s := settings{
		length: 200 * time.Millisecond, turns: 1, walk: tpcw.Invented, progress: io.Discard,
		shop: tpcw.Size{Customers: 50, Items: 200, Authors: 20},
	}
	_, s.keys, _ = trace.Open("", s.amount(paced))
	return s
}

// TestEveryScene plays all scenes: each answer is the right one and none is stale, no load is begun
// without the worker, what became of loads is accounted for, the connections come back, nothing in
// the plugin fails, and the report has every figure.
func TestEveryScene(t *testing.T) {
	t.Parallel()
	s := short()
	databasetest.Each(t, func(t *testing.T, server database.Server) {
		for _, study := range studies(s) {
			for i, scene := range study.scenes {
				// Of the chains half is enough: each kind of session, and each limit of the pool.
				if !scene.playsOn(server.Dialect) || study.name == "chains" && i%4 != 0 && i%4 != 3 {
					continue
				}
				t.Run(study.name+"/"+scene.name, func(t *testing.T) {
					m, err := measureScene(t.Context(), s, server, study.name, scene)
					if err != nil {
						t.Fatal(err)
					}
					for _, one := range m.stands {
						one.check(t)
					}
					var out strings.Builder
					r := &report{out: &out}
					r.scene(server.Dialect, scene, m)
					if err := r.end(); err != nil {
						t.Error(err)
					}
					for _, name := range append(slices.Clone(m.names), "CPU, ", "connections opened", "wrong answers", " processors' time was used before") {
						if !strings.Contains(out.String(), name) {
							t.Errorf("%q is not in the report:\n%s", name, &out)
						}
					}
					for _, k := range scene.marks {
						if !strings.Contains(out.String(), k.figure+" |") || !strings.Contains(out.String(), k.String()) {
							t.Errorf("the mark of %q is not in the report:\n%s", k.figure, &out)
						}
					}
				})
			}
		}
	})
}

// check looks at what does not depend on how fast the machine is.
func (s *stand) check(t *testing.T) {
	t.Helper()
	for _, text := range s.wrong {
		t.Errorf("%s: %s", s.name, text)
	}
	for _, text := range s.logged {
		t.Errorf("%s: the plugin logged: %s", s.name, text)
	}
	if s.plugin == nil {
		return
	}
	// The plugin is closed, but tells what it did.
	stats := s.plugin.Stats()
	p := stats.Prediction
	// Of the loads by association more may be wasted than stored an answer: those that found nothing
	// that could be kept stored none.
	switch {
	case s.name == off.name && (stats.PreloadCount > 0 || s.loads.Load() > s.atFirst):
		t.Errorf("%s: without the worker %d loads were made ahead, %d queries were nobody's", s.name, stats.PreloadCount, s.loads.Load()-s.atFirst)
	case p.Useful > stats.PreloadHits || stats.PreloadHits > stats.PreloadCount:
		t.Errorf("%s: %d loads stored an answer, %d of these were read; of the loads by association %d were useful: the parts are more than the whole",
			s.name, stats.PreloadCount, stats.PreloadHits, p.Useful)
	case p.Waiting > 0 || stats.ActiveTasks > 0 || stats.AbandonedTasks > 0:
		t.Errorf("%s: %d loads wait, %d run, %d did not return", s.name, p.Waiting, stats.ActiveTasks, stats.AbandonedTasks)
	}
}

// TestAnswersAreThoseOfPlainGORM compares each read with what the database says at that moment,
// while one alone reads and writes.
func TestAnswersAreThoseOfPlainGORM(t *testing.T) {
	t.Parallel()
	s := short()
	databasetest.Each(t, func(t *testing.T, server database.Server) {
		for _, tt := range []struct {
			scene scene
			play  func(ctx context.Context, one *stand)
		}{
			{pages(s).scenes[0], func(ctx context.Context, one *stand) {
				shop := &shop{stand: one, settings: s, faster: faster, hurry: true}
				for visit := range uint64(4) {
					left := 40
					ctx, end := context.WithCancel(ctx)
					shop.walkFor(ctx, rand.New(rand.NewPCG(1, visit)), time.Now().Add(time.Hour), func(time.Duration) {
						if left--; left == 0 {
							end()
						}
					})
				}
			}},
			{chat(s).scenes[0], func(ctx context.Context, one *stand) {
				for _, e := range chatSize.Events(60) {
					one.event(ctx, e)
				}
			}},
		} {
			if !tt.scene.playsOn(server.Dialect) {
				continue
			}
			one := &stand{variant: on, scene: tt.scene, watching: oracle.Asked}
			func() {
				defer func() {
					if err := one.Close(); err != nil {
						t.Error(err)
					}
				}()
				if err := one.open(server); err != nil {
					t.Fatal(err)
				}
				plain, err := one.database.Open(&database.Counts{}, gorm.Config{})
				if err != nil {
					t.Fatal(err)
				}
				w, err := oracle.Watch(one.db, plain)
				if err != nil {
					t.Fatal(err)
				}
				tt.play(t.Context(), one)
				if all := w.All(); all.Wrong > 0 || all.Reads < 200 || all.Served == 0 {
					t.Errorf("%s: of %d reads %d were served, and %d are not what the database holds", tt.scene.name, all.Reads, all.Served, all.Wrong)
				}
				if err := one.rest(); err != nil {
					t.Error(err)
				}
				one.check(t)
			}()
		}
	})
}

func TestAWrongSettingIsOneClearError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-on", "postgres", "-postgres", "postgres://nobody:secret@127.0.0.1:1/none"}, "postgres does not make a database"},
		{[]string{"-on", "mysql", "-mysql", ""}, "the DSN of mysql is not known"},
		{[]string{"-on", "oracle"}, `"oracle" is no database`},
		{[]string{"-only", "chains,cheese"}, `"cheese" is no study`},
		{[]string{"-turns", "0"}, "-turns 0"},
		{[]string{"-for", "0s"}, "-for 0s"},
		{[]string{"-accesses-in", "no-such-file"}, "-accesses-in: open no-such-file"},
		{[]string{"-transitions", "no-such-file"}, "-transitions: open no-such-file"},
		{[]string{"all"}, "no flag"},
	} {
		err := run(t.Context(), c.args, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %v, want one line that says %q and keeps the password to itself", c.args, err, c.want)
		}
	}
}

func TestTheProgramReportsWhatItIsAskedFor(t *testing.T) {
	t.Parallel()
	var out, progress strings.Builder
	if err := run(t.Context(), []string{"-on", "sqlite", "-only", "chat", "-for", "100ms", "-turns", "1"}, &out, &progress); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"## chat: ", "### 1 loop, sqlite", "### 4 loops, sqlite", "| figure | plain | off | on |", "at least 1.3 of plain"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is not in the report:\n%s", part, &out)
		}
	}
	if strings.Contains(out.String(), "## chains") || strings.Count(progress.String(), "\n") != 2*2*3 {
		t.Errorf("got\n%s\nand a line for each turn:\n%s", &out, &progress)
	}
}

func TestWhenLoadsAreGoneAndBack(t *testing.T) {
	t.Parallel()
	const never = -1
	for _, tt := range []struct {
		bins       string
		gone, back float64
	}{
		{"9999999999", never, 1},
		{"9990000000", .6, never},
		{"9900099999", never, 1.6},
		{"0000000000", 0, never},
		{"0000099999", never, 1.6},
	} {
		c := &counted{}
		for _, digit := range tt.bins {
			c.bins = append(c.bins, int64(digit-'0'))
		}
		const rate = 9 / .2
		for _, v := range []struct {
			name      string
			got, want float64
		}{{"gone", c.gone(rate), tt.gone}, {"back", c.back(rate), tt.back}} {
			if got := v.got; got > 100 && v.want != never || got <= 100 && (got < v.want-.001 || got > v.want+.001) {
				t.Errorf("%s: %s after %v, want %v", tt.bins, v.name, got, v.want)
			}
		}
	}
}
