package preload_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

type momentToken struct {
	_       struct{} `preload:""`
	ID      uint
	Token   string
	Rank    int
	Expires *time.Time
	Until   time.Time
}

// momentStart is when the tests begin, by the plugin's clock: its offset is that of the moments that
// PostgreSQL answers with.
var momentStart = dbtest.NewClock().Now().Local()

func momentAfter(seconds float64) time.Time {
	return momentStart.Add(time.Duration(seconds * float64(time.Second)))
}

// momentDatabase returns a database as connections see it that send each statement at once, and have
// these parameters of MySQL.
func momentDatabase(t *testing.T, d *dbtest.Database, parameters map[string]string) *dbtest.Database {
	t.Helper()
	if d.Dialect != "mysql" {
		return d
	}
	all := map[string]string{"interpolateParams": "true"}
	maps.Copy(all, parameters)
	return d.With(t, all)
}

func momentOpen(t *testing.T, d *dbtest.Database, rows ...momentToken) *worldtest.World {
	t.Helper()
	plain := d.Plain(t)
	worldtest.Must(t, plain.AutoMigrate(&momentToken{}))
	if len(rows) > 0 {
		rows = slices.Clone(rows) // GORM writes to what it creates, and tests that share rows run at once
		worldtest.Must(t, plain.Create(&rows).Error)
	}
	return worldtest.Open(t, d, plain, nil, preload.WithTTL(24*time.Hour), preload.WithNegativeTTL(24*time.Hour), preload.WithTransactionReads())
}

// The answer to a query that asks for what has not expired holds until the first of its rows does.
func TestAnswersHoldUntilTheirRowsExpire(t *testing.T) {
	t.Parallel()
	at := func(seconds float64) *time.Time { m := momentAfter(seconds); return &m }
	w := momentOpen(t, dbtest.Postgres(t),
		momentToken{ID: 1, Token: "a", Expires: at(60)}, momentToken{ID: 2, Token: "b"}, momentToken{ID: 3, Token: "c", Expires: at(30)})
	ask := func(token string, seconds float64) (found bool, asked int64) {
		asked = w.Queries(func() {
			var rows []momentToken
			worldtest.Must(t, w.DB.Where("token = ? AND (expires IS NULL OR expires > ?)", token, momentAfter(seconds)).Find(&rows).Error)
			found = len(rows) > 0
		})
		return found, asked
	}
	for _, step := range []struct {
		token   string
		seconds float64
		found   bool
		asked   int64
	}{
		{"a", 10, true, 1}, {"a", 10, true, 0}, {"a", 11, true, 0}, {"a", 58.9, true, 0},
		{"a", 59.5, true, 1}, // a second before it expires the answer ends, and is of its own moment from then on
		{"a", 59.5, true, 0}, {"a", 60, false, 1}, {"a", 61, false, 0}, {"a", 1e6, false, 0},
		{"a", 20, true, 1}, {"a", 20, true, 0}, // older ones are answered, and do not replace it
		{"a", 62, false, 0},
		{"b", 10, true, 1}, {"b", 1e6, true, 0}, // it never expires
		{"c", 40, false, 1}, {"c", 50, false, 0}, {"c", 20, true, 1}, {"c", 50, false, 0},
		{"none", 10, false, 1}, {"none", 20, false, 0},
	} {
		if found, asked := ask(step.token, step.seconds); found != step.found || asked != step.asked {
			t.Errorf("%s after %g s: found %t, %d queries, want %t, %d", step.token, step.seconds, found, asked, step.found, step.asked)
		}
	}
	worldtest.Must(t, w.DB.Model(&momentToken{}).Where("id = ?", 1).Update("expires", momentAfter(2e6)).Error)
	if found, asked := ask("a", 70); !found || asked != 1 {
		t.Errorf("after a write: found %t, %d queries", found, asked)
	}
	// A moment of another offset is another query to a column without a zone.
	var rows []momentToken
	if n := w.Queries(func() {
		worldtest.Must(t, w.DB.Where("token = ? AND (expires IS NULL OR expires > ?)", "a", momentAfter(80).In(time.FixedZone("", 3*3600+1800))).Find(&rows).Error)
	}); n != 1 || len(rows) != 1 {
		t.Errorf("with another offset: %d queries, %d rows", n, len(rows))
	}
}

// momentForms are conditions that give a moment, in all forms: some hold for a while, others not.
var momentForms = map[string]func(db *gorm.DB, at time.Time, n int) *gorm.DB{
	"expires or none": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Where("rank = ? AND (expires IS NULL OR expires > ?)", n, at)
	},
	"not before": func(db *gorm.DB, at time.Time, n int) *gorm.DB { return db.Where("until >= ?", at).Order("id") },
	"limited": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Where("until > ?", at).Order("rank, id").Limit(2)
	},
	"limited by time": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Where("until > ?", at).Order("until, id").Limit(1 + n)
	},
	"or": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Where("rank = ?", n).Or("until > ?", at).Order("id")
	},
	"offset": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Where("until > ?", at).Order("id").Offset(1).Limit(2)
	},
	"past": func(db *gorm.DB, at time.Time, n int) *gorm.DB { return db.Where("until < ?", at).Order("id") },
	"not":  func(db *gorm.DB, at time.Time, n int) *gorm.DB { return db.Where("NOT (until > ?)", at).Order("id") },
	"a list, and another time": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Where("rank IN ? AND until < ? AND expires > ?", []int{n, n + 1}, at, momentAfter(30)).Order("id")
	},
	"a list": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Where("rank IN ? AND until > ?", []int{n, n + 1, n + 2}, at).Order("id")
	},
	"twice": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Where("until > ? AND expires > ?", at, at).Order("id")
	},
	"come": func(db *gorm.DB, at time.Time, n int) *gorm.DB { return db.Where("until <= ?", at).Order("id") },
	"come, one": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Where("rank = ? AND until <= ?", n, at).Order("until DESC, id").Limit(1)
	},
	"come, or none": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Where("(expires IS NULL OR expires < ?) AND rank IN ?", at, []int{n, n + 1}).Order("id")
	},
	"come and stay": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Where("expires <= ? AND until > ?", at, at).Order("rank DESC, id").Limit(2)
	},
	"stay and come": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Where("until >= ? AND expires < ?", at, at.Add(time.Duration(n)*time.Microsecond)).Order("id")
	},
	"come by two": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Where("until <= ? AND expires <= ?", at, at).Order("id")
	},
	"come, stay, or ranked": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Where("rank = ? OR (expires <= ? AND until > ?)", n, at, at).Order("id")
	},
	"between": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Where("until > ? AND expires < ?", at, at).Order("id")
	},
	"not selected": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Select("id").Where("until > ?", at).Order("id")
	},
	"selected": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Select("id", "until").Where("until > ?", at).Order("id")
	},
	"distinct": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Distinct("rank").Where("until > ?", at).Order("rank")
	},
	"computed": func(db *gorm.DB, at time.Time, n int) *gorm.DB {
		return db.Select("*, rank + 1 AS until").Where("expires > ?", at).Omit("until").Order("id")
	},
}

// What the database compares otherwise than moments is not taken for one: of values of another zone,
// another format or another type, and while the clocks are changed, the answer is that of plain
// GORM, and of its own moment where no more is known.
func TestMomentsAreComparedAsTheDatabaseDoes(t *testing.T) {
	t.Parallel()
	const layout = "2006-01-02 15:04:05.999999999-07:00"
	autumn := time.Date(2026, 10, 25, 0, 10, 0, 0, time.UTC) // 02:10 in Berlin, for the first time
	for name, c := range map[string]struct {
		of     momentWorld
		before string // is run first
		value  string // of until
		start  time.Time
		each   time.Duration // between moments
		served bool          // some of the first ten are, which are before the value
	}{
		"sqlite, as written":     {of: momentWorld{database: dbtest.SQLite}, value: momentAfter(50).Format(layout), start: momentStart, each: 5 * time.Second, served: true},
		"sqlite, another zone":   {of: momentWorld{database: dbtest.SQLite}, value: momentAfter(50).Format("2006-01-02 15:04:05-05:30"), start: momentStart, each: 5 * time.Second},
		"sqlite, no zone":        {of: momentWorld{database: dbtest.SQLite}, value: momentAfter(50).Format("2006-01-02 15:04:05"), start: momentStart, each: 5 * time.Second},
		"sqlite, another letter": {of: momentWorld{database: dbtest.SQLite}, value: momentAfter(50).Format("2006-01-02T15:04:05.999999999-07:00"), start: momentStart, each: 5 * time.Second},
		"sqlite, seconds":        {of: momentWorld{database: dbtest.SQLite}, value: "1767323095", start: momentStart, each: 5 * time.Second, served: true}, // it is less than any text
		"sqlite, a collation":    {of: momentWorld{database: dbtest.SQLite}, before: "ALTER TABLE moment_tokens ADD note text Collate NOCASE", value: momentAfter(50).Format(layout), start: momentStart, each: 5 * time.Second},
		"mysql, as written":      {of: momentWorld{database: dbtest.MySQL}, value: momentAfter(50).UTC().Format("2006-01-02 15:04:05"), start: momentStart, each: 5 * time.Second, served: true},
		"mysql, timestamp":       {of: momentWorld{database: dbtest.MySQL}, before: momentType("timestamp"), value: momentAfter(50).UTC().Format("2006-01-02 15:04:05"), start: momentStart, each: 5 * time.Second},
		"mysql, a change":        {of: momentWorld{database: dbtest.MySQL, parameters: berlin}, value: "2026-10-25 02:40:00", start: autumn, each: 5 * time.Minute, served: true},
		"mysql, behind a change": {of: momentWorld{database: dbtest.MySQL, parameters: berlin}, value: "2026-10-25 02:40:00", start: autumn.Add(time.Hour), each: 5 * time.Minute, served: true},
		"mysql, a gap":           {of: momentWorld{database: dbtest.MySQL, parameters: berlin}, value: "2026-03-29 02:40:00", start: springTime, each: 5 * time.Minute, served: true},
		"postgres, as written":   {of: momentWorld{database: dbtest.Postgres}, value: momentAfter(50).UTC().Format(layout), start: momentStart, each: 5 * time.Second, served: true},
		"postgres, another zone": {of: momentWorld{database: dbtest.Postgres}, before: "ALTER TABLE moment_tokens ALTER until TYPE timestamp", value: momentAfter(3650).UTC().Format("2006-01-02 15:04:05"), start: momentStart.In(time.FixedZone("", 3600)), each: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := momentOpen(t, momentDatabase(t, c.of.database(t), c.of.parameters), momentToken{ID: 1, Until: c.start})
			if c.before != "" {
				worldtest.Must(t, w.Plain.Exec(c.before).Error)
			}
			worldtest.Must(t, w.Plain.Exec("UPDATE moment_tokens SET until = "+map[bool]string{true: c.value, false: "'" + c.value + "'"}[len(c.value) == 10]).Error)
			for form, condition := range map[string]string{"leaves": "until > ?", "stays": "until >= ?", "comes in": "until < ?", "is in": "until <= ?"} {
				served := 0
				for i := range 20 {
					count := func(db *gorm.DB) int {
						var rows []momentToken
						worldtest.Must(t, db.Where(condition, c.start.Add(time.Duration(i)*c.each)).Find(&rows).Error)
						return len(rows)
					}
					var got int
					if w.Queries(func() { got = count(w.DB) }) == 0 && i < 10 {
						served++
					}
					if want := count(w.Plain); got != want {
						t.Errorf("%s, moment %d: %d rows, want %d", form, i, got, want)
					}
				}
				if served > 0 != c.served {
					t.Errorf("%s: %d were answered from memory, want some: %t", form, served, c.served)
				}
			}
		})
	}
}
