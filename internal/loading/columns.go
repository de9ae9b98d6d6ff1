package loading

import (
	"context"
	"database/sql"
	"slices"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// SQLite gives the first rows of a SELECT * under the names of before if their connection has not
// noticed yet that a table was altered by another one: drivers ask for the names when the statement
// is prepared, and SQLite notices when it runs. So what each load says of its columns is compared
// with those that the template's queries have now.

// Ask runs a query of a template whose answer is to be kept, and reports whether the answer is one
// that anybody may have: it is as Log.Ask has it, and came under the names that the columns have.
func (s *Source) Ask(db *gorm.DB, t *template.Template, next func(*gorm.DB)) (general bool) {
	if !t.Starred {
		return s.Log.Ask(db, next)
	}
	query, vars, alterations := db.Statement.SQL.String(), db.Statement.Vars, s.Log.AlteredSoFar()
	w := commit.Attend(db.Statement)
	defer w.Leave()
	w.Before = func() *commit.Token { return nil }
	var expected []string
	known := t.Shown.Load()
	if known != nil {
		expected = known.Names
	}
	w.WantNames(expected)
	if general = s.Log.Ask(db, next); !general || db.Statement.Context.Err() != nil || !w.Named() {
		return false
	}
	if known != nil && known == t.Shown.Load() && known.Alterations == alterations && slices.Equal(known.Names, w.Names) {
		return true
	}
	if query == "" {
		query, vars = db.Statement.SQL.String(), db.Statement.Vars
	}
	return s.named(db.Statement.Context, t, query, vars, template.Shown{Names: w.Names, Alterations: alterations})
}

// named reports whether an answer of a template came under the names that the columns have. A
// template that is met before anything was seen that may have altered a table is taken at its word.
func (s *Source) named(ctx context.Context, t *template.Template, query string, vars []any, loaded template.Shown) bool {
	known := t.Shown.Load()
	switch {
	case known == nil && loaded.Alterations == 0:
		t.Shown.CompareAndSwap(nil, &loaded)
		return true
	case known != nil && known.Alterations == loaded.Alterations && slices.Equal(known.Names, loaded.Names):
		return true
	}
	names := loaded.Names
	if !s.silent() {
		var err error
		if names, err = s.namesNow(ctx, query, vars); err != nil {
			return false
		}
	}
	return s.shown(t, names, loaded)
}

// shown notes the names of the columns that the queries of a template have now, and reports whether
// an answer came under them.
func (s *Source) shown(t *template.Template, names []string, loaded template.Shown) bool {
	known, now := t.Shown.Load(), &template.Shown{Names: names, Alterations: loaded.Alterations}
	if known != nil && known.Alterations == loaded.Alterations && !slices.Equal(known.Names, names) {
		// It was altered where the plugin does not see it, and others may have read it under the
		// names of before since.
		s.Log.CountAlteration()
		s.Log.Invalidate([]coherence.Change{coherence.Everything})
		now.Alterations++
	}
	t.Shown.Store(now)
	return slices.Equal(names, loaded.Names)
}

// silent reports whether nothing is to be asked: then an answer is taken at its word until Sure is
// called, or another one comes under other names.
func (s *Source) silent() bool {
	if s.Silent == nil || !s.Silent() {
		return false
	}
	s.unsure.Store(true)
	return s.Silent() // else Sure may have come in between
}

// Sure forgets the answers that were taken at their word. It is called once Silent reports false.
func (s *Source) Sure() {
	if s.unsure.Swap(false) {
		s.Log.CountAlteration()
		s.Log.Invalidate([]coherence.Change{coherence.Everything})
	}
}

// namesNow asks a connection that has noticed all alterations for the names of the columns of a
// query.
func (s *Source) namesNow(ctx context.Context, query string, vars []any) (names []string, err error) {
	db, err := s.Pool.GetDBConn()
	if err != nil {
		return nil, err
	}
	s.Gate.Enter(ctx)
	defer s.Gate.Leave()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for range 2 { // the first has the connection notice
		rows, err := conn.QueryContext(ctx, query, vars...)
		if err != nil {
			return nil, err
		}
		names, err = firstNames(rows)
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}

// firstNames reads one row, and returns the names under which it came.
func firstNames(rows *sql.Rows) (names []string, err error) {
	defer rows.Close()
	if names, err = rows.Columns(); err != nil {
		return nil, err
	}
	rows.Next()
	return names, rows.Err()
}
