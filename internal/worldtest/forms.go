package worldtest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
)

// Warm asks every query of Kept and makes sure that its answer is then in memory.
func (w *World) Warm(t testing.TB) {
	t.Helper()
	if len(w.Kept) == 0 {
		t.Fatal("the world has no queries whose answers are kept")
	}
	for _, q := range w.Kept {
		w.before[q.Name] = q.Ask(w.DB)
	}
	w.Cached(t, "after warming")
}

// Cached makes sure that every query of Kept is answered from memory, and right.
func (w *World) Cached(t testing.TB, when string) {
	t.Helper()
	var asked []string
	for _, q := range w.Kept {
		before := w.Probe.Queries()
		got, want := q.Ask(w.DB), q.Ask(w.Plain)
		if w.Probe.Queries() != before {
			asked = append(asked, q.Name)
		}
		Equal(t, when+", from memory", q.Name, got, want)
	}
	if len(asked) > 0 {
		t.Errorf("%s: %d of %d answers came from the database, want all from memory: %q; bypassed: %v", when, len(asked), len(w.Kept), asked, w.Plugin.Stats().BypassReasons)
	}
}

// Compare compares the answer of every query of Kept with plain GORM's, and returns how many differ
// from those that Warm got.
func (w *World) Compare(t testing.TB, when string) (changed int) {
	t.Helper()
	for _, q := range w.Kept {
		got, want := q.Ask(w.DB), q.Ask(w.Plain)
		Equal(t, when, q.Name, got, want)
		if want.Differs(w.before[q.Name]) != "" {
			changed++
		}
	}
	return changed
}

// Settled makes sure that answers are right after a write, and that they are then kept again. With
// hold the write is one whose end cannot be seen: answers have to be right before the hold-out is
// over as well as after it, and are kept then.
func (w *World) Settled(t testing.TB, hold bool) (changed int) {
	t.Helper()
	changed = w.Compare(t, "after the write")
	if !hold {
		w.Cached(t, "after the write, second time")
		return changed
	}
	w.Compare(t, "within the hold-out, second time")
	w.PassHoldOut()
	w.Compare(t, "after the hold-out")
	w.Cached(t, "after the hold-out, second time")
	return changed
}

// PassHoldOut moves the clock to where no table is held out any more.
func (w *World) PassHoldOut() {
	held := 2 * HoldOut
	if w.Dialect != "sqlite" {
		held = 2 * time.Minute // a server goes on with statements whose client is gone
	}
	w.Clock.Advance(held)
}

// Form is one way to write.
type Form struct {
	Name string
	Do   func(w *World) error
	// Only names the dialects that know it; all where it is empty.
	Only string
	// NoOp says that it changes nothing.
	NoOp bool
	// Fails says that it returns an error.
	Fails bool
	// Hold says that its end cannot be seen, so that tables may be held out for a while.
	Hold bool
	// Survives says that nothing in memory needs to die of it.
	Survives bool
	Config   *gorm.Config
}

// Skip skips the test where the database does not know the form.
func (f *Form) Skip(t testing.TB, d *dbtest.Database) {
	t.Helper()
	if f.Only != "" && !slices.Contains(strings.Fields(f.Only), d.Dialect) {
		t.Skipf("not for %s", d.Dialect)
	}
}

// CheckForms runs forms one after the other on every kind of database, each in a world of its own.
// After each all answers have to be plain GORM's, and have to be kept again.
func CheckForms(t *testing.T, open Opener, forms []Form) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := MigrateWrites(t, d)
		for _, form := range forms {
			t.Run(form.Name, func(t *testing.T) {
				form.Skip(t, d)
				SeedWrites(t, plain)
				var config *gorm.Config
				if form.Config != nil {
					config = &gorm.Config{
						SkipDefaultTransaction: form.Config.SkipDefaultTransaction, PrepareStmt: form.Config.PrepareStmt,
						DryRun: form.Config.DryRun, AllowGlobalUpdate: form.Config.AllowGlobalUpdate, TranslateError: form.Config.TranslateError,
						DisableNestedTransaction: form.Config.DisableNestedTransaction, QueryFields: form.Config.QueryFields,
						CreateBatchSize: form.Config.CreateBatchSize, FullSaveAssociations: form.Config.FullSaveAssociations,
					}
				}
				w := open(t, d, plain, config)
				w.Warm(t)
				err := form.Do(w)
				if (err != nil) != form.Fails {
					t.Fatalf("error %v, want one: %v", err, form.Fails)
				}
				if form.Survives {
					w.Cached(t, "after what changed nothing")
				}
				if changed := w.Settled(t, form.Hold); changed == 0 && !form.NoOp {
					t.Errorf("the form changed no answer: it tests nothing")
				} else if changed != 0 && form.NoOp {
					t.Errorf("the form changed %d answers, want none", changed)
				}
			})
		}
	})
}
