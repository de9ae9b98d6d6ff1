package preload_test

import (
	"bytes"
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

// TestAMismatchNamesTheWritesThatWereSeen since the answer was loaded, without their values: of the
// tables that the answer reads, and no write that never became visible.
func TestAMismatchNamesTheWritesThatWereSeen(t *testing.T) {
	t.Parallel()
	rename := func(db *gorm.DB, id int, column string, value any) {
		worldtest.Must(t, db.Model(&seenItem{}).Where("id = ?", id).UpdateColumn(column, value).Error)
	}
	for _, test := range []struct {
		name string
		// before is done before the answer is loaded, since after that.
		before, since func(w *worldtest.World)
		want          []string
		log           string
	}{
		{name: "none", want: nil, log: "writes_seen_since=none"},
		{
			name:   "before the answer was loaded",
			before: func(w *worldtest.World) { rename(w.DB, 2, "shelf", 7) },
			log:    "writes_seen_since=none",
		},
		{
			name: "updates of other rows",
			since: func(w *worldtest.World) {
				rename(w.DB, 2, "shelf", 7)
				w.Clock.Advance(time.Second)
				rename(w.DB, 2, "name", "hidden")
				rename(w.DB, 3, "name", "hidden")
			},
			want: []string{"update seen_items [name] 1s", "update seen_items [shelf] 2s"},
			log:  `writes_seen_since="update of seen_items (name) 1s ago; update of seen_items (shelf) 2s ago"`,
		},
		{
			name: "an insert and a delete",
			since: func(w *worldtest.World) {
				worldtest.Must(t, w.DB.Create(&seenItem{ID: 9, Name: "hidden"}).Error)
				w.Clock.Advance(time.Second)
				worldtest.Must(t, w.DB.Delete(&seenItem{}, 9).Error)
			},
			want: []string{"delete seen_items [] 1s", "insert seen_items [] 2s"},
		},
		{
			name: "a transaction",
			since: func(w *worldtest.World) {
				worldtest.Must(t, w.DB.Transaction(func(tx *gorm.DB) error { rename(tx, 2, "shelf", 7); return nil }))
			},
			want: []string{"update seen_items [shelf] 1s"},
		},
		{
			name: "a transaction that was rolled back",
			since: func(w *worldtest.World) {
				_ = w.DB.Transaction(func(tx *gorm.DB) error { rename(tx, 2, "shelf", 7); return gorm.ErrInvalidData })
			},
		},
		{
			name: "raw SQL",
			since: func(w *worldtest.World) {
				worldtest.Must(t, w.DB.Exec("UPDATE seen_items SET name = 'hidden' WHERE id = 2").Error)
			},
			want: []string{"update seen_items [name] 1s"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
				var log bytes.Buffer
				var told []preload.MismatchInfo
				w := seenWorld(t, d, preload.WithMode(preload.ModeShadow), preload.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
					preload.WithVerify(preload.Verify{OnMismatch: func(m preload.MismatchInfo) { told = append(told, m) }}))
				if test.before != nil {
					test.before(w)
					w.Clock.Advance(time.Second)
				}
				seenFirst(t, w.DB, 1)
				w.Clock.Advance(time.Second)
				if test.since != nil {
					test.since(w)
				}
				rename(w.Plain, 1, "name", "secret")
				w.Clock.Advance(time.Second)
				seenFirst(t, w.DB, 1)
				if len(told) != 1 {
					t.Fatalf("told %+v: want one mismatch", told)
				}
				var got []string
				for _, one := range told[0].Writes {
					got = append(got, fmt.Sprintf("%s %s %v %v", one.Kind, one.Table, one.Columns, one.Ago))
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("told of the writes %q, want %q", got, test.want)
				}
				if text := log.String(); !strings.Contains(text, test.log) || strings.Contains(text, "hidden") {
					t.Errorf("the log: want %s, and no value\n%s", test.log, text)
				}
			})
		})
	}
}

// TestWhatIsNotedOfWritesIsTold in the memory that the plugin holds, and forgotten by Clear.
func TestWhatIsNotedOfWritesIsTold(t *testing.T) {
	t.Parallel()
	w := seenWorld(t, dbtest.SQLite(t))
	before := w.Plugin.Stats().Memory.Seen
	worldtest.Must(t, w.DB.Model(&seenItem{ID: 1}).Update("shelf", 7).Error)
	after := w.Plugin.Stats().Memory.Seen
	if w.Plugin.Clear(); after <= before || w.Plugin.Stats().Memory.Seen >= after {
		t.Errorf("%d bytes before a write, %d after it, %d after Clear", before, after, w.Plugin.Stats().Memory.Seen)
	}
}

// TestAMismatchNamesTheWritesOfOtherProcesses.
func TestAMismatchNamesTheWritesOfOtherProcesses(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	var told []preload.MismatchInfo
	here, there := &scripted{}, &scripted{}
	w := seenWorld(t, d, preload.WithMode(preload.ModeShadow), preload.WithFeed(here),
		preload.WithVerify(preload.Verify{OnMismatch: func(m preload.MismatchInfo) { told = append(told, m) }}))
	there.announce = func(batch []byte, _ string) (func(preload.End), error) { return here.member.Begin(batch), nil }
	other := worldtest.Open(t, d, w.Plain, nil, preload.WithFeed(there))
	worldtest.Must(t, other.Plugin.Register(&seenItem{}))
	here.member.Serve(time.Now(), time.Hour)

	seenFirst(t, w.DB, 1)
	worldtest.Must(t, other.DB.Model(&seenItem{}).Where("id = ?", 2).UpdateColumn("shelf", 7).Error)
	worldtest.Must(t, w.Plain.Model(&seenItem{}).Where("id = ?", 1).UpdateColumn("name", "behind").Error)
	seenFirst(t, w.DB, 1)
	if len(told) != 1 || len(told[0].Writes) != 1 || !told[0].Writes[0].Elsewhere || told[0].Writes[0].Table != "seen_items" || told[0].Writes[0].Kind != "update" {
		t.Errorf("told %+v: want one mismatch with an update of another process", told)
	}
}
