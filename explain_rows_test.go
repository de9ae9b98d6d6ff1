package preload_test

import (
	"slices"
	"testing"

	"github.com/gorm-preload/preload"
	"gorm.io/gorm"
)

// TestExplainOfWhatTheApplicationReads: Scan, Rows and Row are explained as any query, and are given
// no rows.
func TestExplainOfWhatTheApplicationReads(t *testing.T) {
	t.Parallel()
	notes := func(tx *gorm.DB) *gorm.DB {
		return tx.Model(&explainNote{}).Select("id", "likes").Where("topic = ?", "go").Order("likes")
	}
	rows := func(t *testing.T, tx *gorm.DB) {
		all, err := tx.Rows()
		if err != nil {
			t.Fatal(err)
		}
		if all.Next() || all.Err() != nil || all.Close() != nil {
			t.Errorf("rows of what is not executed: %v", all.Err())
		}
	}
	for name, test := range map[string]struct {
		query  func(t *testing.T, tx *gorm.DB) *gorm.DB
		reason preload.Reason // "" where it is kept
	}{
		"Scan": {func(_ *testing.T, tx *gorm.DB) *gorm.DB { return notes(tx).Scan(&[]struct{ ID, Likes int }{}) }, ""},
		"Rows": {func(t *testing.T, tx *gorm.DB) *gorm.DB { tx = notes(tx); rows(t, tx); return tx }, ""},
		"Row": {func(_ *testing.T, tx *gorm.DB) *gorm.DB {
			tx = notes(tx)
			_ = tx.Row().Scan(new(int), new(int))
			return tx
		}, ""},
		"Raw, Scan": {func(_ *testing.T, tx *gorm.DB) *gorm.DB {
			return tx.Raw("SELECT count(*) FROM explain_notes").Scan(new(int))
		}, preload.ReasonRaw},
		"Raw, Rows": {func(t *testing.T, tx *gorm.DB) *gorm.DB {
			tx = tx.Raw("SELECT id FROM explain_notes")
			rows(t, tx)
			return tx
		}, preload.ReasonRaw},
		"random": {func(_ *testing.T, tx *gorm.DB) *gorm.DB {
			return tx.Model(&explainNote{}).Select("random()").Scan(new(int))
		}, preload.ReasonVolatile},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, db, p := explainSetup(t)
			explain := func() preload.Explanation {
				t.Helper()
				before, stats := d.Probe.Queries(), p.Stats()
				e, err := p.Explain(func(tx *gorm.DB) *gorm.DB { return test.query(t, tx) })
				if err != nil {
					t.Fatal(err)
				}
				if after := p.Stats(); d.Probe.Queries() != before || after.TotalAccesses != stats.TotalAccesses || after.Bypassed != stats.Bypassed {
					t.Errorf("%d queries, stats %+v: want an explanation to run and count nothing", d.Probe.Queries()-before, after)
				}
				return e
			}
			if e := explain(); e.Cacheable != (test.reason == "") || e.Reason != test.reason || e.Stored {
				t.Errorf("got %+v, want the reason %q", e, test.reason)
			}
			if test.reason != "" {
				return
			}
			var all []struct{ ID, Likes int }
			if err := notes(db).Scan(&all).Error; err != nil || len(all) != 2 {
				t.Fatal(all, err)
			}
			if err := notes(db).Row().Scan(new(int), new(int)); err != nil {
				t.Fatal(err)
			}
			if e := explain(); !e.Stored {
				t.Errorf("what was read is not told to be in memory: %+v", e)
			}
		})
	}
}

// TestExplainSaysWhichWritesKill: in words, with what makes an answer die of more than its own rows.
func TestExplainSaysWhichWritesKill(t *testing.T) {
	t.Parallel()
	_, _, p := explainSetup(t)
	byRow := []string{
		"an insert into explain_notes with deleted_at and topic as in the query",
		"a delete from explain_notes that may reach a row of the answer",
		"an update of explain_notes that sets deleted_at or id or likes or topic and may reach a row of the answer",
		"an update of explain_notes that sets deleted_at or topic so that another row may come in",
	}
	notes := func(tx *gorm.DB) *gorm.DB { return tx.Model(&explainNote{}) }
	for name, test := range map[string]struct {
		query func(tx *gorm.DB) *gorm.DB
		want  []string
	}{
		"rows that show their keys": {func(tx *gorm.DB) *gorm.DB {
			return notes(tx).Select("id", "likes").Where("topic = ?", "go").Scan(&[]struct{ ID, Likes int }{})
		}, byRow},
		"the same with Find": {func(tx *gorm.DB) *gorm.DB {
			return notes(tx).Select("id", "likes").Where("topic = ?", "go").Find(&[]struct{ ID, Likes int }{})
		}, byRow},
		"LIMIT without ORDER BY": {func(tx *gorm.DB) *gorm.DB {
			return notes(tx).Unscoped().Limit(3).Scan(&[]explainNote{})
		}, []string{"any write of explain_notes: LIMIT without ORDER BY"}},
		"a sum": {func(tx *gorm.DB) *gorm.DB { return notes(tx).Unscoped().Select("sum(likes)").Scan(new(int)) }, []string{
			"an insert into explain_notes, or a delete from it: the answer is computed from all rows",
			"an update of explain_notes that sets likes: the answer is computed from all rows",
		}},
		"OFFSET": {func(tx *gorm.DB) *gorm.DB {
			return notes(tx).Unscoped().Order("id").Limit(3).Offset(1).Scan(&[]explainNote{})
		}, []string{
			"an insert into explain_notes, or a delete from it: OFFSET",
			"an update of explain_notes that sets any column: OFFSET",
		}},
		"one row by its key": {func(tx *gorm.DB) *gorm.DB { return tx.Unscoped().First(&explainNote{}, 7) }, []string{
			"an insert into explain_notes with id as in the query, while the answer has no row",
			"a delete from explain_notes that may reach a row of the answer",
			"an update of explain_notes that sets any column and may reach a row of the answer",
			"an update of explain_notes that sets id so that another row may come in",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := p.Explain(test.query)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(e.InvalidatedBy, test.want) {
				t.Errorf("%s\ngot  %q\nwant %q", e.SQL, e.InvalidatedBy, test.want)
			}
		})
	}
}
