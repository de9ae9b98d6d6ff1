package shape

import (
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/gorm-preload/preload/internal/gormprivate"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

type builder struct {
	name    string
	code    uintptr
	queries bool
}

// BuildersOf finds the builders that are part of a dialect's package; others are the application's.
func BuildersOf(db *gorm.DB) Builders {
	dialect := reflect.TypeOf(db.Dialector)
	if dialect == nil {
		return nil
	}
	if dialect.Kind() == reflect.Pointer {
		dialect = dialect.Elem()
	}
	return slices.DeleteFunc(AllBuilders(db), func(b builder) bool {
		f := runtime.FuncForPC(b.code)
		return f == nil || !strings.HasPrefix(f.Name(), dialect.PkgPath()+".")
	})
}

// AllBuilders returns all builders of a handle, whoever put them there.
func AllBuilders(db *gorm.DB) (first Builders) {
	var rest Builders
	for name, build := range db.ClauseBuilders {
		if slices.Contains(clauseNames[:], name) {
			first = append(first, builder{name, gormprivate.CodeOf(build), true})
		} else {
			rest = append(rest, builder{name, gormprivate.CodeOf(build), false})
		}
	}
	return append(first, rest...)
}

// Builders are the functions that render clauses, by the code that they run: first those of clauses
// that queries have.
type Builders []builder

// are reports whether a clause is rendered by one of these. An application's own builder may render
// the same clause in different ways.
func (b Builders) are(name string, build clause.ClauseBuilder) bool {
	return slices.ContainsFunc(b, func(known builder) bool { return known.name == name && known.code == gormprivate.CodeOf(build) })
}

// Only reports whether there are no other builders of queries than these. That nobody takes another
// one away, with which a dialect inserts, for one of a query is taken on trust.
func (b Builders) Only(all map[string]clause.ClauseBuilder) bool {
	if len(all) != len(b) {
		return false
	}
	for i := range b {
		if !b[i].queries {
			break
		}
		if build, ok := all[b[i].name]; !ok || gormprivate.CodeOf(build) != b[i].code {
			return false
		}
	}
	return true
}

// render reports whether these render the clauses that were found.
func (b Builders) render(stmt *gorm.Statement, found *Clauses) bool {
	if b.Only(stmt.DB.ClauseBuilders) {
		return true
	}
	for i, name := range clauseNames {
		if found.of[i].has || found.whole && (i == selectClause || i == fromClause) {
			if build, ok := stmt.DB.ClauseBuilders[name]; ok && !b.are(name, build) {
				return false
			}
		}
	}
	return true
}

// Standard reports whether these render all clauses of a statement.
func (b Builders) Standard(db *gorm.DB) bool {
	for _, name := range db.Statement.BuildClauses {
		if build, ok := db.ClauseBuilders[name]; ok && !b.are(name, build) {
			return false
		}
	}
	return true
}
