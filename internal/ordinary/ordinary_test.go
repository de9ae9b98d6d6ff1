package ordinary

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/asked"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/sqltext"
)

// asking are tables whose database answers when it is told to.
type asking struct {
	*Tables
	clock   *dbtest.Clock
	moment  int64
	differ  bool
	answers []func(answer string) // a query for the answer; "" for an error
}

func newAsked(t *testing.T) *asking {
	db, err := dbtest.SQLite(t).Plain(t).DB()
	if err != nil {
		t.Fatal(err)
	}
	a := &asking{clock: dbtest.NewClock()}
	a.Tables = New(Config{
		Settled: func() (int64, bool) { return a.moment, !a.differ },
		Now:     a.clock.Now,
		Ask: func(_ string, do func(func(string, ...any) (*sql.Row, error)) error) bool {
			a.answers = append(a.answers, func(answer string) {
				_ = do(func(string, ...any) (*sql.Row, error) {
					if answer == "" {
						return nil, errors.New("no answer")
					}
					return db.QueryRow(answer), nil
				})
			})
			return true
		},
	})
	a.Serve("sqlite")
	return a
}

func TestANameCountsAsLongAsTheDatabaseWouldSaySo(t *testing.T) {
	t.Parallel()
	const yes, no = "SELECT 1", "SELECT 0"
	ref := sqltext.Reference{Name: "things"}
	for _, c := range []struct {
		name   string
		play   func(a *asking)
		is     bool
		asking int // how often the database is asked in all, once the name is wanted at the end
	}{
		{"it is one", func(a *asking) { a.answers[0](yes) }, true, 1},
		{"it is none", func(a *asking) { a.answers[0](no) }, false, 1},
		{"it is being asked", func(*asking) {}, false, 1},
		{"connections differ", func(a *asking) { a.answers[0](yes); a.differ = true }, false, 1},
		{"something was made of it since", func(a *asking) { a.answers[0](yes); a.moment++ }, false, 2},
		{"something was made of it meanwhile", func(a *asking) { a.moment++; a.answers[0](yes) }, false, 2},
		{"the answer of before comes after the next question", func(a *asking) { a.moment++; a.Want(ref); a.answers[0](yes) }, false, 2},
		{"and the next answer", func(a *asking) { a.moment++; a.Want(ref); a.answers[1](yes); a.answers[0](no) }, true, 2},
		{"no answer", func(a *asking) { a.answers[0]("") }, false, 1},
		{"no answer for long", func(a *asking) { a.answers[0](""); a.clock.Advance(asked.Patience + time.Second) }, false, 2},
	} {
		a := newAsked(t)
		a.Want(ref)
		c.play(a)
		if got := a.Is(ref); got != c.is {
			t.Errorf("%s: an ordinary table: %t, want %t", c.name, got, c.is)
		}
		if a.Want(ref); len(a.answers) != c.asking {
			t.Errorf("%s: asked %d times, want %d", c.name, len(a.answers), c.asking)
		}
	}
}

func TestNamesThatAreNotAskedAbout(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "other.things", "thing s", `thing"s`, "thing%", "sträng"} {
		a := newAsked(t)
		if a.Want(sqltext.Reference{Name: name, Quoted: true}); len(a.answers) > 0 {
			t.Errorf("%q was asked about", name)
		}
	}
}
