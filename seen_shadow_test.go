package preload_test

import (
	"context"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// shadowReads are reads of which each is one query.
var shadowReads = []struct {
	name string
	read func(db *gorm.DB) error
}{
	{"First", func(db *gorm.DB) error { return db.First(new(seenItem), 1).Error }},
	{"Find", func(db *gorm.DB) error { return db.Where("shelf = ?", 1).Find(new([]seenItem)).Error }},
	{"Scan", func(db *gorm.DB) error {
		return db.Model(&seenItem{}).Where("shelf = ?", 1).Scan(new([]seenItem)).Error
	}},
	{"raw", func(db *gorm.DB) error { return db.Raw("SELECT * FROM seen_items").Scan(new([]seenItem)).Error }},
	{"Row", func(db *gorm.DB) error {
		return db.Raw("SELECT name, id FROM seen_items").Row().Scan(new(string), new(int))
	}},
}

// TestOtherModesSendNoQueryOfTheirOwn: in ModeShadow and ModeOff the database gets what it would
// get without the plugin, also where a table may have been altered, and where the application
// alters one.
func TestOtherModesSendNoQueryOfTheirOwn(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		for _, mode := range []preload.Mode{preload.ModeShadow, preload.ModeOff} {
			w := seenWorld(t, dbtest.Like(t, d), preload.WithMode(mode), preload.WithRaw())
			alter := func(statement string) { worldtest.Must(t, w.DB.Exec(statement).Error) }
			alter("ALTER TABLE seen_items ADD COLUMN more INTEGER DEFAULT 7")
			steps := []string{"", "ALTER TABLE seen_items ADD COLUMN size INTEGER", "ALTER TABLE seen_items DROP COLUMN more"}
			if d.Dialect == "postgres" {
				steps = steps[:1] // pgx fails for statements that were prepared before
			}
			for _, step := range steps {
				if step != "" {
					alter(step)
				}
				before := w.Plugin.Stats().Verify
				for _, r := range shadowReads {
					for range 4 {
						if n := w.Queries(func() { worldtest.Must(t, r.read(w.DB)) }); n != 1 {
							t.Errorf("%s, mode %v, after %q: %s sent %d queries", d.Dialect, mode, step, r.name, n)
						}
					}
				}
				after := w.Plugin.Stats().Verify
				if after.Mismatches > 0 || mode == preload.ModeShadow && after.Equal-before.Equal < int64(len(shadowReads)) {
					t.Errorf("%s, mode %v, after %q: %+v, before %+v", d.Dialect, mode, step, after, before)
				}
			}
		}
	})
}

// TestWhatShadowTookAtItsWordIsNotServed: the names of columns that were not asked for once more
// are asked for before anything is served.
func TestWhatShadowTookAtItsWordIsNotServed(t *testing.T) {
	t.Parallel()
	w := seenWorld(t, dbtest.SQLite(t), preload.WithMode(preload.ModeShadow))
	worldtest.Must(t, w.DB.Exec("ALTER TABLE seen_items ADD COLUMN more INTEGER").Error)
	for _, before := range []int{1, 0} {
		seenFirst(t, w.DB, 1)
		worldtest.Must(t, w.Plugin.SetMode(preload.ModeOn))
		if n := w.Plugin.Stats().Entries; n != 1-before {
			t.Errorf("%d answers are in memory", n)
		}
		seenFirst(t, w.DB, 1)
		worldtest.Must(t, w.Plugin.SetMode(preload.ModeShadow))
	}
}

// TestShadowAsksForNoFirstRow: what a hit would need to serve later times is not asked for where
// there are no hits.
func TestShadowAsksForNoFirstRow(t *testing.T) {
	t.Parallel()
	w := momentOpen(t, momentDatabase(t, dbtest.SQLite(t), nil), momentToken{ID: 1, Token: "a", Expires: comingAt(50), Until: momentAfter(200)})
	worldtest.Must(t, w.Plugin.SetMode(preload.ModeShadow))
	for _, seconds := range []float64{10, 11, 12, 13} {
		if n := w.Queries(func() { comingAsk(t, w.DB, "a", seconds) }); n != 1 {
			t.Errorf("after %v seconds %d queries are sent", seconds, n)
		}
	}
}

// TestReadsOfOwnDataAreSeenInEachMode: each is a hit, a miss or a bypass, and in ModeShadow those
// that are made of tables are compared.
func TestReadsOfOwnDataAreSeenInEachMode(t *testing.T) {
	t.Parallel()
	made := preload.Tables(&seenItem{})
	for _, test := range []struct {
		name    string
		mode    preload.Mode
		options []preload.CacheOption
		values  []int // that the loader gives
		hits, misses, bypassed,
		equal, mismatches int64
	}{
		{name: "on", mode: preload.ModeOn, options: []preload.CacheOption{made}, values: []int{1, 2, 3}, hits: 2, misses: 1},
		{name: "off", mode: preload.ModeOff, options: []preload.CacheOption{made}, values: []int{1, 2, 3}, bypassed: 3},
		{name: "shadow", mode: preload.ModeShadow, options: []preload.CacheOption{made}, values: []int{1, 1, 1}, hits: 2, misses: 1, equal: 2},
		{name: "shadow, and another value", mode: preload.ModeShadow, options: []preload.CacheOption{made}, values: []int{1, 2, 2}, hits: 1, misses: 2, mismatches: 1},
		{name: "shadow, made of no tables", mode: preload.ModeShadow, values: []int{1, 2, 3}, hits: 2, misses: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			events, calls := map[preload.Outcome]int64{}, 0
			w := seenWorld(t, dbtest.SQLite(t), preload.WithMode(test.mode), preload.WithObserver(func(_ context.Context, e preload.Event) {
				if e.Kind == preload.EventRead {
					events[e.Outcome]++
				}
			}))
			for i, value := range test.values {
				got, err := preload.LoadWith(t.Context(), w.Plugin, "key", func(context.Context) (int, error) { calls++; return value, nil }, test.options...)
				worldtest.Must(t, err)
				if test.mode != preload.ModeOn && (got != value || calls != i+1) {
					t.Errorf("read %d got %d, after %d calls of the loader", i, got, calls)
				}
			}
			s := w.Plugin.Stats()
			if s.Hits != test.hits || s.Misses != test.misses || s.Bypassed != test.bypassed || s.BypassReasons[preload.ReasonOff] != test.bypassed {
				t.Errorf("%d hits, %d misses, bypassed %v", s.Hits, s.Misses, s.BypassReasons)
			}
			if events[preload.OutcomeHit] != test.hits || events[preload.OutcomeMiss] != test.misses || events[preload.OutcomeBypass] != test.bypassed {
				t.Errorf("told of %v", events)
			}
			if s.Own.Verify.Equal != test.equal || s.Own.Verify.Mismatches != test.mismatches || s.Verify.Equal != test.equal {
				t.Errorf("compared: %+v", s.Own.Verify)
			}
		})
	}
}
