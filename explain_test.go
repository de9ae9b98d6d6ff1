package preload_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

type explainNote struct {
	_ struct{} `preload:""`
	gorm.Model
	Topic string `gorm:"size:50"`
	Text  string `gorm:"size:50"`
	Likes int
}

type explainPlain struct{ ID uint }

func explainSetup(t *testing.T, opts ...preload.Option) (*dbtest.Database, *gorm.DB, *preload.Plugin) {
	t.Helper()
	d := dbtest.SQLite(t)
	db := d.Open(t)
	if err := db.AutoMigrate(&explainNote{}, &explainPlain{}); err != nil {
		t.Fatal(err)
	}
	if err := db.Create([]explainNote{{Topic: "go", Text: "a"}, {Topic: "go", Text: "b"}, {Topic: "sql", Text: "c"}}).Error; err != nil {
		t.Fatal(err)
	}
	p := preload.New(append([]preload.Option{preload.WithoutWorker()}, opts...)...)
	if err := db.Use(p); err != nil {
		t.Fatal(err)
	}
	if err := p.Register(&explainPlain{}); err != nil {
		t.Fatal(err)
	}
	return d, db, p
}

func TestExplainOfAQuery(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		query func(*gorm.DB) *gorm.DB
		want  preload.Explanation // Key and SQL are left out
	}{
		"point": {
			func(tx *gorm.DB) *gorm.DB { return tx.First(&explainNote{}, 7) },
			preload.Explanation{Cacheable: true, Tables: []string{"explain_notes"}, Columns: []string{"*"},
				Pinned: map[string][]string{"id": {"7"}, "deleted_at": {"NULL"}}},
		},
		"columns": {
			func(tx *gorm.DB) *gorm.DB {
				return tx.Model(&explainNote{}).Where("topic IN ? AND likes > ?", []string{"Go", "sql"}, 3).Order("likes").Pluck("text", &[]string{})
			},
			preload.Explanation{Cacheable: true, Tables: []string{"explain_notes"}, Columns: []string{"deleted_at", "likes", "text", "topic"},
				Pinned: map[string][]string{"topic": {"'go'", "'sql'"}, "deleted_at": {"NULL"}}},
		},
		"joined": {
			func(tx *gorm.DB) *gorm.DB {
				return tx.Joins("JOIN explain_plains ON explain_plains.id = explain_notes.id").Find(&[]explainNote{})
			},
			preload.Explanation{Cacheable: true, Tables: []string{"explain_notes", "explain_plains"},
				Columns: []string{"created_at", "deleted_at", "id", "likes", "text", "topic", "updated_at", "explain_plains.*"},
				Pinned:  map[string][]string{"deleted_at": {"NULL"}}},
		},
		"no policy": {
			func(tx *gorm.DB) *gorm.DB { return tx.Find(&[]explainPlain{}) },
			preload.Explanation{Reason: "no policy"},
		},
		"volatile": {
			func(tx *gorm.DB) *gorm.DB { return tx.Where("likes > random()").Find(&[]explainNote{}) },
			preload.Explanation{Reason: "volatile"},
		},
		"bypassed": {
			func(tx *gorm.DB) *gorm.DB { return tx.Clauses(preload.Bypass).Find(&[]explainNote{}) },
			preload.Explanation{Reason: "asked"},
		},
		"locking": {
			func(tx *gorm.DB) *gorm.DB {
				return tx.Clauses(clause.Locking{Strength: "UPDATE"}).Find(&[]explainNote{})
			},
			preload.Explanation{Reason: "locking"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, db, p := explainSetup(t)
			explain := func() preload.Explanation {
				before, stats := d.Probe.Queries(), p.Stats()
				e, err := p.Explain(test.query)
				if err != nil {
					t.Fatal(err)
				}
				if after := p.Stats(); d.Probe.Queries() != before || after.TotalAccesses != stats.TotalAccesses || after.Bypassed != stats.Bypassed {
					t.Errorf("%d queries, stats %+v: want an explanation to run and count nothing", d.Probe.Queries()-before, after)
				}
				return e
			}
			e := explain()
			if !strings.HasPrefix(e.SQL, "SELECT ") || (e.Key != "") != e.Cacheable || e.Stored {
				t.Errorf("SQL %q, key %q, stored %t", e.SQL, e.Key, e.Stored)
			}
			key := e.Key
			e.SQL, e.Key, e.InvalidatedBy = "", "", nil
			if got, want := e.String(), test.want.String(); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if !e.Cacheable {
				return
			}
			test.query(db)
			if e := explain(); !e.Stored || e.Key != key || !slices.ContainsFunc(p.Hot(100), func(h preload.Pattern) bool { return h.Key == key }) {
				t.Errorf("when it was asked for: stored %t, key %q, want it stored under %q, as in Hot", e.Stored, e.Key, key)
			}
		})
	}
}

// What a write would kill is what it then kills.
func TestExplainOfAWrite(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		write   func(*gorm.DB) *gorm.DB
		changes []string
		kills   []string // of the queries below, with the reason
	}{
		"update by key": {
			func(tx *gorm.DB) *gorm.DB {
				return tx.Model(&explainNote{}).Where("id = ?", 1).UpdateColumn("text", "x")
			},
			[]string{"update explain_notes set text to text = 'x' where deleted_at is null and id = 1"},
			[]string{"all row", "first row", "go row"},
		},
		"expression": {
			func(tx *gorm.DB) *gorm.DB {
				return tx.Model(&explainNote{}).Where("topic = ?", "sql").UpdateColumn("likes", gorm.Expr("likes + 1"))
			},
			[]string{"update explain_notes set likes where deleted_at is null and topic = 'sql'"},
			[]string{"all column", "first column", "likes column", "sql value"},
		},
		"insert": {
			func(tx *gorm.DB) *gorm.DB {
				return tx.Select("topic", "text").Create(&explainNote{Topic: "new", Text: "y"})
			},
			[]string{"insert explain_notes to created_at is not null and text = 'y' and topic = 'new' and updated_at is not null"},
			[]string{"all table", "likes table", "new value"},
		},
		"soft delete": {
			func(tx *gorm.DB) *gorm.DB { return tx.Delete(&explainNote{}, 3) },
			[]string{"update explain_notes set deleted_at to deleted_at is not null where deleted_at is null and id = 3"},
			[]string{"all row", "likes column", "sql row"},
		},
		"delete": {
			func(tx *gorm.DB) *gorm.DB { return tx.Unscoped().Where("topic = ?", "go").Delete(&explainNote{}) },
			[]string{"delete explain_notes where topic = 'go'"},
			[]string{"all table", "first table", "go value", "likes table"},
		},
		"raw": {
			func(tx *gorm.DB) *gorm.DB { return tx.Exec("UPDATE explain_notes SET likes = 5 WHERE id IN (2, 3)") },
			[]string{"update explain_notes set likes to likes = 5 where id in (2, 3)"},
			[]string{"all column", "go row", "likes column", "sql row"},
		},
		"raw with a subquery": {
			func(tx *gorm.DB) *gorm.DB {
				return tx.Exec("UPDATE explain_notes SET likes = (SELECT max(id) FROM explain_plains)")
			},
			[]string{"insert or update or delete explain_notes set *", "insert or update or delete explain_plains set *"},
			[]string{"all table", "first table", "go table", "likes table", "new table", "sql table"},
		},
		"schema": {
			func(tx *gorm.DB) *gorm.DB { return tx.Exec("ALTER TABLE explain_plains ADD COLUMN x int") },
			[]string{"insert or update or delete any table"},
			[]string{"all everything", "first everything", "go everything", "likes everything", "new everything", "sql everything"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, db, p := explainSetup(t)
			topic := func(topic string) func(*gorm.DB) *gorm.DB {
				return func(tx *gorm.DB) *gorm.DB { return tx.Where("topic = ?", topic).Find(&[]explainNote{}) }
			}
			keys := map[string]string{}
			for name, query := range map[string]func(*gorm.DB) *gorm.DB{
				"all":   func(tx *gorm.DB) *gorm.DB { return tx.Find(&[]explainNote{}) },
				"first": func(tx *gorm.DB) *gorm.DB { return tx.First(&explainNote{}, 1) },
				"likes": func(tx *gorm.DB) *gorm.DB { return tx.Model(&explainNote{}).Pluck("likes", &[]int{}) },
				"go":    topic("go"), "sql": topic("sql"), "new": topic("new"),
			} {
				query(db)
				e, err := p.Explain(query)
				if err != nil || !e.Stored {
					t.Fatalf("%s: %v %v", name, e, err)
				}
				keys[e.Key] = name
			}
			e, err := p.Explain(test.write)
			if err != nil {
				t.Fatal(err)
			}
			var changes, kills []string
			for _, c := range e.Changes {
				changes = append(changes, c.String())
			}
			for _, k := range e.Invalidates {
				kills = append(kills, keys[k.Key]+" "+k.Rule)
			}
			slices.Sort(kills)
			if !slices.Equal(changes, test.changes) {
				t.Errorf("changes:\ngot  %q\nwant %q", changes, test.changes)
			}
			if !slices.Equal(kills, test.kills) {
				t.Errorf("kills:\ngot  %q\nwant %q", kills, test.kills)
			}
			before := p.Stats()
			if err := test.write(db).Error; err != nil {
				t.Fatal(err)
			}
			after := p.Stats()
			if killed := int(after.Invalidated - before.Invalidated); killed != len(kills) || before.Entries-after.Entries != killed {
				t.Errorf("the write killed %d of %d entries: %v, want %d", killed, before.Entries, after.InvalidatedBy, len(kills))
			}
		})
	}
}

func TestExplainOfWhatGORMAdds(t *testing.T) {
	t.Parallel()
	type explainTag struct {
		ID     uint
		NoteID uint
	}
	type explainTagged struct {
		_    struct{} `preload:""`
		ID   uint
		Tags []explainTag `gorm:"foreignKey:NoteID"`
	}
	_, db, p := explainSetup(t)
	if err := db.AutoMigrate(&explainTagged{}, &explainTag{}); err != nil {
		t.Fatal(err)
	}
	e, err := p.Explain(func(tx *gorm.DB) *gorm.DB { return tx.Create(&explainTagged{ID: 1, Tags: []explainTag{{ID: 2}}}) })
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(e.SQL, "`explain_taggeds`") || len(e.Others) != 1 || !strings.Contains(e.Others[0].SQL, "`explain_tags`") {
		t.Errorf("got %v, want the row and then its tags", e)
	}
	var n int64
	if db.Model(&explainTagged{}).Count(&n); n != 0 {
		t.Error("the statement was executed")
	}
}

func TestExplainRefuses(t *testing.T) {
	t.Parallel()
	_, _, p := explainSetup(t)
	for name, test := range map[string]struct {
		statement func(*gorm.DB) *gorm.DB
		want      string
	}{
		"nil":          {nil, "want a function"},
		"no statement": {func(tx *gorm.DB) *gorm.DB { return tx.Where("id = 1") }, "ran no statement"},
		"nothing":      {func(tx *gorm.DB) *gorm.DB { return nil }, "ran no statement"},
		"no condition": {func(tx *gorm.DB) *gorm.DB { return tx.Delete(&explainNote{}) }, "WHERE conditions required"},
	} {
		if _, err := p.Explain(test.statement); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, test.want)
		}
	}
	if _, err := preload.New().Explain(func(tx *gorm.DB) *gorm.DB { return tx.First(&explainNote{}) }); err == nil || !strings.Contains(err.Error(), "not in use") {
		t.Errorf("before db.Use: %v", err)
	}
	_ = p.Close()
	if _, err := p.Explain(func(tx *gorm.DB) *gorm.DB { return tx.First(&explainNote{}) }); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("after Close: %v", err)
	}
}

// The context that the function gives decides the partition.
func TestExplainKnowsThePartition(t *testing.T) {
	t.Parallel()
	type tenant struct{}
	_, _, p := explainSetup(t, preload.WithPartition(func(ctx context.Context) string { s, _ := ctx.Value(tenant{}).(string); return s }))
	keys := map[string]bool{}
	for _, name := range []string{"a", "b", "a"} {
		e, err := p.Explain(func(tx *gorm.DB) *gorm.DB {
			return tx.WithContext(context.WithValue(t.Context(), tenant{}, name)).First(&explainNote{}, 1)
		})
		if err != nil {
			t.Fatal(err)
		}
		keys[e.Key] = true
	}
	if len(keys) != 2 {
		t.Errorf("got keys %v, want one for each of two tenants", keys)
	}
}

// TestExplainSaysWhatStatsCounts: the mode counts, too.
func TestExplainSaysWhatStatsCounts(t *testing.T) {
	t.Parallel()
	forms := []func(tx *gorm.DB) *gorm.DB{
		func(tx *gorm.DB) *gorm.DB { return tx.First(new(seenItem), 1) },
		func(tx *gorm.DB) *gorm.DB { return tx.Model(&seenItem{}).Scan(new([]seenItem)) },
		func(tx *gorm.DB) *gorm.DB { return tx.Raw("SELECT * FROM seen_items").Scan(new([]seenItem)) },
	}
	for mode, want := range map[preload.Mode]preload.Reason{preload.ModeOn: "", preload.ModeShadow: "", preload.ModeOff: preload.ReasonOff} {
		w := seenWorld(t, dbtest.SQLite(t), preload.WithMode(mode), preload.WithRaw())
		for i, form := range forms {
			worldtest.Must(t, form(w.DB).Error)
			e, err := w.Plugin.Explain(form)
			worldtest.Must(t, err)
			if e.Reason != want || e.Cacheable != (want == "") {
				t.Errorf("mode %v, form %d: cacheable %t, reason %q", mode, i, e.Cacheable, e.Reason)
			}
		}
		if counted := w.Plugin.Stats().BypassReasons; counted[preload.ReasonOff] != counted[want] || want != "" && counted[want] != int64(len(forms)) {
			t.Errorf("mode %v: %v", mode, counted)
		}
	}
}
