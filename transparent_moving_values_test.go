package preload_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

type movingEvent struct {
	_  struct{} `preload:""`
	ID int64
	At time.Time `gorm:"type:timestamptz"`
}

// TestTextsWithMomentsInThemAreNotKept: a bind value or literal that PostgreSQL reads as a moment
// that moves, on its own or inside of a range, an array, a row or a document, is asked of the
// database each time.
func TestTextsWithMomentsInThemAreNotKept(t *testing.T) {
	t.Parallel()
	b := valuesOpen(t, dbtest.Postgres(t), &movingEvent{})
	worldtest.Must(t, b.Plain.Exec("CREATE TYPE moving_pair AS (n int, at timestamptz, remark text)").Error)
	worldtest.Must(t, b.Plain.Create(&movingEvent{ID: 1, At: time.Now().Add(time.Hour)}).Error)
	long := "{" + strings.Repeat("2024-01-01 00:00:00+00,", 20)
	for _, test := range []struct {
		condition, value string
		kept             bool
	}{
		{"at <@ ?::tstzrange", "[now,infinity)", false},
		{"at <@ ?::tstzrange", "(-infinity,now]", false},
		{"at <@ ?::tstzrange", `["now",infinity)`, false},
		{"at <@ ?::tstzrange", `[n"ow",infinity)`, false},
		{"at <@ ?::tstzmultirange", "{(-infinity,2024-01-01),[now,infinity)}", false},
		{"at > ANY(?::timestamptz[])", "{infinity,now}", false},
		{"at > ANY(?::timestamptz[])", `{n\ow}`, false},
		{"at > ANY(?::timestamptz[])", long + "yesterday}", false},
		{"at <@ ANY(?::tstzrange[])", `{"[now,infinity)","(,yesterday]"}`, false},
		{"at > (?::moving_pair).at", "(1,now,some remark or other of any length)", false},
		{"at > (?::moving_pair).at", `(1,"now","another remark, or other of any length")`, false},
		{"at > ?::timestamptz", "today Singapore", false},
		{"at > ?::timestamptz", "wednesday yesterday", false},
		{"at > ?::timestamptz", "today LONGNAME+3", false},
		{"at > ?::timestamptz", "now" + strings.Repeat(" ", 100), false},
		{"at > (jsonb_populate_record(NULL::moving_pair, ?::jsonb)).at", `{"remark": "of whatever length", "at": "today"}`, false},
		{"at > (jsonb_populate_record(NULL::moving_pair, ?::jsonb)).at", `{"at": "tod\u0061y"}`, false},
		{"at <@ ?::tstzrange", "[2024-01-01,infinity)", true},
		{"at > ANY(?::timestamptz[])", long + "infinity}", true},
		{"?::text <> ''", "nothing that matters is known by now", true},
	} {
		// Bound and, with the value in the text of the query, written out.
		bound := func(tx *gorm.DB) *gorm.DB { return tx.Where(test.condition, test.value) }
		literal := "'" + strings.ReplaceAll(test.value, "'", "''") + "'"
		written := func(tx *gorm.DB) *gorm.DB { return tx.Where(strings.ReplaceAll(test.condition, "?", literal)) }
		for name, query := range map[string]func(*gorm.DB) *gorm.DB{"bound": bound, "written": written} {
			before := b.Plugin.Stats().BypassReasons[preload.ReasonVolatile]
			worldtest.Alike[[]movingEvent](t, b.DB, b.Plain, test.condition+" "+test.value+" "+name, query)
			asked := valuesAsked[[]movingEvent](t, b, query)
			if kept := asked == 0; kept != test.kept && (test.kept || b.Plugin.Stats().BypassReasons[preload.ReasonVolatile] == before) {
				t.Errorf("%s with %q, %s: kept %t, want %t (%v)", test.condition, test.value, name, kept, test.kept, b.Plugin.Stats().BypassReasons)
			}
		}
	}
}

type movingNote struct {
	_  struct{} `preload:""`
	ID int64
	At string
}

// TestMomentsInQuotesOfNamesAreNotKept: SQLite reads a name in quotes that is none as a text.
func TestMomentsInQuotesOfNamesAreNotKept(t *testing.T) {
	t.Parallel()
	b := valuesOpen(t, dbtest.SQLite(t), &movingNote{})
	worldtest.Must(t, b.Plain.Create(&movingNote{ID: 1, At: "2020-01-01 00:00:00"}).Error)
	for condition, kept := range map[string]bool{
		`at < datetime("now")`:                    false,
		`at < date(( "Now" ), '+1 day')`:          false,
		`at < strftime('%Y', "now")`:              false,
		`at < strftime('%Y', notes."at")`:         true,
		`"at" <> '' AND at < date("at", '1 day')`: true,
	} {
		query := func(tx *gorm.DB) *gorm.DB { return tx.Table("moving_notes AS notes").Where(condition) }
		worldtest.Alike[[]movingNote](t, b.DB, b.Plain, condition, query)
		if got := valuesAsked[[]movingNote](t, b, query) == 0; got != kept {
			t.Errorf("%s: kept %t, want %t (%v)", condition, got, kept, b.Plugin.Stats().BypassReasons)
		}
	}
}
