package preload_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// comingAsk asks with two moments, a moment of code between them, for what has come and stays.
func comingAsk(t *testing.T, db *gorm.DB, token string, seconds float64) (ids []uint) {
	t.Helper()
	var rows []momentToken
	worldtest.Must(t, db.Where("token = ? AND expires <= ? AND until > ?", token, momentAfter(seconds), momentAfter(seconds+1e-5)).Order("id").Find(&rows).Error)
	for _, row := range rows {
		ids = append(ids, row.ID)
	}
	return ids
}

func comingAt(seconds float64) *time.Time { m := momentAfter(seconds); return &m }

// asksFirst reports whether a statement asks when the first row comes in, or leaves.
func asksFirst(sql string) bool { return strings.Contains(sql, "MIN(") }

// firsts counts the statements that ask when the first row comes in.
func firsts(w *worldtest.World) (n int) {
	for _, sql := range w.Probe.Log() {
		if asksFirst(sql) {
			n++
		}
	}
	return n
}

// The answer to a query that asks for what has begun and has not ended holds until a row of the
// table begins, or one of its own ends. The database is asked for the former from the second time
// on.
func TestAnswersHoldUntilARowComesIn(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		for range 5 { // on a machine that is busy the database may not say it in time
			if answersHoldUntilARowComesIn(t, dbtest.Like(t, d)) {
				return
			}
		}
		t.Error("the database never said in time when a row comes in")
	})
}

// answersHoldUntilARowComesIn reports whether the database said all in time.
func answersHoldUntilARowComesIn(t *testing.T, d *dbtest.Database) bool {
	late := false
	w := momentOpen(t, momentDatabase(t, d, nil),
		momentToken{ID: 1, Token: "a", Expires: comingAt(-10), Until: momentAfter(100)}, // expires is when it begins
		momentToken{ID: 2, Token: "a", Expires: comingAt(50), Until: momentAfter(200)},
		momentToken{ID: 3, Token: "b", Expires: comingAt(80), Until: momentAfter(300)},
		momentToken{ID: 4, Token: "c", Until: momentAfter(300)}, // it never begins
		momentToken{ID: 5, Token: "d", Expires: comingAt(-10), Until: momentAfter(1e6)})
	w.Probe.After(func(call dbtest.Call, err error) error {
		late = late || asksFirst(call.SQL) && call.Context.Err() != nil
		return err
	})
	write := func(do func(db *gorm.DB) *gorm.DB) func() {
		return func() { worldtest.Must(t, do(w.DB).Error) }
	}
	for i, step := range []struct {
		do      func()
		token   string
		seconds float64
		asked   int64
	}{
		{nil, "a", 10, 1}, // the first time nothing else is asked
		{nil, "a", 10, 0},
		{nil, "a", 11, 2}, // with when the first row comes in
		{nil, "a", 11, 0}, {nil, "a", 30, 0}, {nil, "a", 48.9, 0},
		{nil, "a", 49.5, 2}, {nil, "a", 50, 2}, {nil, "a", 51, 0}, {nil, "a", 78.9, 0},
		{nil, "a", 81, 2}, {nil, "a", 98.9, 0}, {nil, "a", 99.5, 2}, // now a row ends
		{nil, "a", 101, 2}, {nil, "a", 150, 0}, {nil, "a", 60, 1}, {nil, "a", 150, 0},
		{nil, "c", 110, 1}, {nil, "c", 111, 2}, {nil, "c", 5000, 0},
		// What is written of other rows of the pinned value ends it, whether they are shown or not.
		{nil, "d", 110, 1}, {nil, "d", 111, 2}, {nil, "d", 5000, 0},
		{write(func(db *gorm.DB) *gorm.DB {
			return db.Create(&momentToken{ID: 6, Token: "d", Expires: comingAt(7000), Until: momentAfter(1e6)})
		}), "d", 5001, 2}, {nil, "d", 6998, 0}, {nil, "d", 7000, 2},
		{write(func(db *gorm.DB) *gorm.DB {
			return db.Create(&momentToken{ID: 7, Token: "d", Until: momentAfter(1e6)})
		}), "d", 7001, 2}, {nil, "d", 7002, 0},
		{write(func(db *gorm.DB) *gorm.DB {
			return db.Model(&momentToken{}).Where("id = 7").Update("expires", momentAfter(7100))
		}), "d", 7050, 2}, {nil, "d", 7098, 0},
		{write(func(db *gorm.DB) *gorm.DB {
			return db.Model(&momentToken{ID: 7}).Update("expires", momentAfter(7060))
		}), "d", 7059, 2}, {nil, "d", 7060, 2}, {nil, "d", 7061, 0},
		{write(func(db *gorm.DB) *gorm.DB {
			return db.Exec("UPDATE moment_tokens SET expires = ? WHERE rank = 0 AND id = 7", momentAfter(7070))
		}), "d", 7065, 2}, {nil, "d", 7068, 0}, {nil, "d", 7070, 2},
		// Those of other values are in it at no time.
		{nil, "d", 7071, 0},
		{write(func(db *gorm.DB) *gorm.DB {
			return db.Create(&momentToken{ID: 8, Token: "e", Expires: comingAt(7080), Until: momentAfter(1e6)})
		}), "d", 7081, map[string]int64{"mysql": 2}[d.Dialect]}, // whose collations take texts for equal that are not
		{write(func(db *gorm.DB) *gorm.DB { return db.Model(&momentToken{ID: 8}).Update("token", "d") }), "d", 7082, 2},
	} {
		if step.do != nil {
			step.do()
		}
		var got []uint
		before := len(w.Probe.Log())
		asked := w.Queries(func() { got = comingAsk(t, w.DB, step.token, step.seconds) })
		sent := w.Probe.Log()[before:]
		if want := comingAsk(t, w.Plain, step.token, step.seconds); !slices.Equal(got, want) || asked != step.asked && !late {
			t.Errorf("step %d, %s after %g s: %v, want %v; %d queries, want %d: %q", i, step.token, step.seconds, got, want, asked, step.asked, sent)
		}
		if want := `SELECT NULLIF(MIN("expires"), 'infinity') AS rising_first, TRUE AS rising_proved FROM "moment_tokens" WHERE "expires" > $1`; asked == 2 && sent[1] != want && d.Dialect == "postgres" {
			t.Errorf("step %d: %q was sent second, want %q", i, sent[1], want)
		}
	}
	return !late
}

// A row that begins at the very moment that a query gives is not chosen by <, and is by any later
// one.
func TestARowComesInRightAfterItsMoment(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		w := momentOpen(t, d, momentToken{ID: 1, Token: "a", Expires: comingAt(10), Until: momentAfter(1e6)})
		for _, seconds := range []float64{9, 10, 10, 10.1, 11, 12} {
			count := func(db *gorm.DB) int {
				var rows []momentToken
				worldtest.Must(t, db.Where("expires < ?", momentAfter(seconds)).Find(&rows).Error)
				return len(rows)
			}
			if got, want := count(w.DB), count(w.Plain); got != want {
				t.Errorf("after %g s: %d rows, want %d", seconds, got, want)
			}
		}
	})
}

// A moment of the past, as that of the last row of a page, has an answer of its own, and costs no
// statement; nor does a query in a transaction, or one that is not asked again.
func TestTheFirstRowToComeInIsAskedForWhereItPays(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, theFirstRowIsAskedForWhereItPays)
}

func theFirstRowIsAskedForWhereItPays(t *testing.T, d *dbtest.Database) {
	rows := []momentToken{{ID: 1, Token: "a", Expires: comingAt(-10), Until: momentAfter(1e6)}}
	again := func(t *testing.T) *dbtest.Database { return momentDatabase(t, dbtest.Like(t, d), nil) }
	t.Run("pages", func(t *testing.T) {
		t.Parallel()
		w := momentOpen(t, again(t), rows...)
		for _, want := range []int64{3, 0} {
			if n := w.Queries(func() {
				for _, seconds := range []float64{-300, -100, -200} {
					comingAsk(t, w.DB, "a", seconds)
				}
			}); n != want {
				t.Errorf("pages: %d queries, want %d", n, want)
			}
		}
	})
	t.Run("keys that are not asked for again", func(t *testing.T) {
		t.Parallel()
		w := momentOpen(t, again(t), rows...)
		for i := range 40 {
			comingAsk(t, w.DB, string(rune('A'+i)), float64(i))
		}
		if n := firsts(w); n != 0 {
			t.Errorf("%d statements asked for the first row", n)
		}
	})
	t.Run("a transaction", func(t *testing.T) {
		t.Parallel()
		w := momentOpen(t, again(t), rows...)
		worldtest.Must(t, w.DB.Transaction(func(tx *gorm.DB) error {
			for i := range 5 {
				comingAsk(t, tx, "a", float64(i))
			}
			return nil
		}))
		if n := firsts(w); n != 0 {
			t.Errorf("%d statements asked for the first row", n)
		}
	})
	t.Run("rows that come in all the time", func(t *testing.T) {
		t.Parallel()
		w := momentOpen(t, again(t), rows...)
		for i := range 60 {
			row := momentToken{ID: uint(100 + i), Token: "a", Expires: comingAt(float64(i) + 0.5), Until: momentAfter(1e6)}
			worldtest.Must(t, w.DB.Create(&row).Error)
			if got, want := comingAsk(t, w.DB, "a", float64(i)), comingAsk(t, w.Plain, "a", float64(i)); !slices.Equal(got, want) {
				t.Errorf("after %d s: %v, want %v", i, got, want)
			}
		}
		if n := firsts(w); n == 0 || n > 20 {
			t.Errorf("%d statements asked for the first row, want some, and 20 at most", n)
		}
	})
}

// Where the database does not say when the first row comes in, or says it too late, the answer is
// that of its own moment, and the reader notices nothing.
func TestTheFirstRowToComeInMayStayUnknown(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, theFirstRowToComeInMayStayUnknown)
}

func theFirstRowToComeInMayStayUnknown(t *testing.T, d *dbtest.Database) {
	again := func(t *testing.T) *dbtest.Database { return momentDatabase(t, dbtest.Like(t, d), nil) }
	rows := []momentToken{{ID: 1, Token: "a", Expires: comingAt(-10), Until: momentAfter(1e6)}, {ID: 2, Token: "a", Expires: comingAt(20), Until: momentAfter(1e6)}}
	for _, c := range []struct {
		name   string
		before func(dbtest.Call) error
		firsts int // of ten answers
	}{
		{"an error", func(dbtest.Call) error { return errors.New("no") }, 9},
		{"too slow", func(c dbtest.Call) error { <-c.Context.Done(); return c.Context.Err() }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := momentOpen(t, again(t), rows...)
			asked := 0
			w.Probe.Before(func(call dbtest.Call) error {
				if asksFirst(call.SQL) {
					asked++
					return c.before(call)
				}
				return nil
			})
			for i := range 10 {
				seconds := float64(3 * i)
				if got, want := comingAsk(t, w.DB, "a", seconds), comingAsk(t, w.Plain, "a", seconds); !slices.Equal(got, want) {
					t.Errorf("after %g s: %v, want %v", seconds, got, want)
				}
			}
			if asked != c.firsts {
				t.Errorf("%d statements asked for the first row, want %d", asked, c.firsts)
			}
		})
	}
}

// Between the answer and the time at which the first row comes in, and right after that, writers
// may write.
func TestWritesWhileTheFirstRowIsAskedFor(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, writesWhileTheFirstRowIsAskedFor)
}

func writesWhileTheFirstRowIsAskedFor(t *testing.T, d *dbtest.Database) {
	again := func(t *testing.T) *dbtest.Database { return momentDatabase(t, dbtest.Like(t, d), nil) }
	for _, when := range []string{"before", "after"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			w := momentOpen(t, again(t), momentToken{ID: 1, Token: "a", Expires: comingAt(-10), Until: momentAfter(1e6)}, momentToken{ID: 2, Token: "a", Expires: comingAt(20), Until: momentAfter(1e6)})
			wrote := 0
			write := func(call dbtest.Call) {
				if asksFirst(call.SQL) && wrote == 0 {
					wrote++
					worldtest.Must(t, w.DB.Create(&momentToken{ID: 3, Token: "a", Expires: comingAt(12), Until: momentAfter(1e6)}).Error)
					worldtest.Must(t, w.DB.Delete(&momentToken{}, 2).Error)
				}
			}
			if when == "before" {
				w.Probe.Before(func(call dbtest.Call) error { write(call); return nil })
			} else {
				w.Probe.After(func(call dbtest.Call, err error) error { write(call); return err })
			}
			for _, seconds := range []float64{1, 2, 3, 13, 14, 21, 22} {
				if got, want := comingAsk(t, w.DB, "a", seconds), comingAsk(t, w.Plain, "a", seconds); !slices.Equal(got, want) {
					t.Errorf("after %g s: %v, want %v", seconds, got, want)
				}
			}
			if wrote != 1 {
				t.Error("the first row was not asked for")
			}
		})
	}
}

// A column without a zone compares the wall clock: what comes in has another offset than a moment
// of another zone.
func TestARowComesInByTheWallClock(t *testing.T) {
	t.Parallel()
	w := momentOpen(t, dbtest.Postgres(t), momentToken{ID: 1, Token: "a", Until: momentAfter(1e6)})
	worldtest.Must(t, w.Plain.Exec("ALTER TABLE moment_tokens ALTER expires TYPE timestamp").Error)
	_, offset := momentStart.Zone()
	zone := time.FixedZone("", offset+3600)
	worldtest.Must(t, w.Plain.Exec("UPDATE moment_tokens SET expires = ?", momentAfter(20).In(zone)).Error)
	for _, seconds := range []float64{1, 2, 3, 30, 31} {
		count := func(db *gorm.DB) int {
			var rows []momentToken
			worldtest.Must(t, db.Where("expires <= ?", momentAfter(seconds).In(zone)).Find(&rows).Error)
			return len(rows)
		}
		if got, want := count(w.DB), count(w.Plain); got != want {
			t.Errorf("after %g s: %d rows, want %d", seconds, got, want)
		}
	}
}

// However an application names columns, what the database says of the first row is understood.
func TestTheFirstRowComesInUnderAnyNames(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		names := &gorm.Config{NamingStrategy: schema.NamingStrategy{NoLowerCase: true}}
		plain := d.Plain(t, &gorm.Config{NamingStrategy: names.NamingStrategy})
		worldtest.Must(t, plain.AutoMigrate(&momentToken{}))
		worldtest.Must(t, plain.Create(&momentToken{ID: 1, Expires: comingAt(20), Until: momentAfter(1e6)}).Error)
		w := worldtest.Open(t, d, plain, names)
		// On a machine that is busy the database may not say in time when the row comes in.
		for i := 0; i < 10 || w.Plugin.Stats().Hits == 0 && i < 200; i++ {
			count := func(db *gorm.DB) int {
				var rows []momentToken
				at := db.Statement.Quote("Expires")
				worldtest.Must(t, db.Where(at+" <= ?", momentAfter(float64(3*i))).Find(&rows).Error)
				return len(rows)
			}
			if got, want := count(w.DB), count(w.Plain); got != want {
				t.Errorf("after %d s: %d rows, want %d", 3*i, got, want)
			}
		}
		if hits := w.Plugin.Stats().Hits; hits == 0 {
			t.Error("nothing was answered from memory")
		}
	})
}

// Which of two moments is which cannot be told by a query that gives one value for both, nor where
// one is that is among the other args, too. Later queries tell it.
func TestMomentsAreToldApartByLaterQueries(t *testing.T) {
	t.Parallel()
	for name, condition := range map[string]string{
		"one value for both": "token = ? AND expires <= ? AND until > ?",
		"among other args":   "token = ? AND expires <= ? AND until > ? AND (rank = 0 OR until = ?)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
				w := momentOpen(t, momentDatabase(t, d, nil),
					momentToken{ID: 1, Token: "a", Expires: comingAt(-10), Until: momentAfter(1e6)},
					momentToken{ID: 2, Token: "a", Expires: comingAt(500), Until: momentAfter(1e6)})
				ask := func(db *gorm.DB, seconds, apart float64) (ids []uint) {
					var rows []momentToken
					args := []any{"a", momentAfter(seconds), momentAfter(seconds + apart), momentAfter(1 + 100*apart)}
					worldtest.Must(t, db.Where(condition, args[:strings.Count(condition, "?")]...).Order("id").Find(&rows).Error)
					for _, row := range rows {
						ids = append(ids, row.ID)
					}
					return ids
				}
				for range 20 {
					ask(w.DB, 1, 0)
				}
				asked := w.Queries(func() {
					for i := range 40 {
						seconds := 2 + 20*float64(i)
						if got, want := ask(w.DB, seconds, 0.5), ask(w.Plain, seconds, 0.5); !slices.Equal(got, want) {
							t.Errorf("after %g s: %v, want %v", seconds, got, want)
						}
					}
				})
				if asked > 20 {
					t.Errorf("%d queries of 40 reads whose answer changed once", asked)
				}
			})
		})
	}
}

// TestFieldsOfTheApplicationAreNotChanged: a dialector that is asked for the type of a column may
// write to the field that it is given, which others read at the same time.
func TestFieldsOfTheApplicationAreNotChanged(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		w := momentOpen(t, momentDatabase(t, d, nil), momentToken{ID: 1, Token: "a", Expires: comingAt(20), Until: momentAfter(1e6)})
		stmt := &gorm.Statement{DB: w.DB}
		worldtest.Must(t, stmt.Parse(&momentToken{}))
		field := stmt.Schema.FieldsByDBName["expires"]
		field.Precision = 0 // as it is before a dialector was asked
		comingAsk(t, w.DB, "a", 1)
		if field.Precision != 0 {
			t.Errorf("the field has a precision of %d, which the model does not say", field.Precision)
		}
	})
}
