package mode

import (
	"context"
	"fmt"
	"time"

	"github.com/gorm-preload/preload/internal/coherence"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Terms are on what terms a call has the answer of its query kept, as they were given.
type Terms struct {
	TTL    time.Duration // 0 for that of the tables
	Tables []any         // names, and models
	Tags   []string
	Errs   []error // what is wrong with the rest
}

// termsName names the clause of a statement that holds its terms. No statement builds a clause of
// this name.
const termsName = "preload:cache"

// ModifyStatement implements gorm.StatementModifier.
func (t *Terms) ModifyStatement(stmt *gorm.Statement) {
	stmt.Clauses[termsName] = clause.Clause{Name: termsName, Expression: t}
}

// Build implements clause.Expression; it adds nothing to the SQL.
func (t *Terms) Build(clause.Builder) {}

// In returns a context that has terms.
func (t *Terms) In(ctx context.Context) context.Context {
	c := of(ctx)
	c.terms = t
	return context.WithValue(ctx, contextKey{}, c)
}

// TermsOf returns the terms of a statement, nil where there are none.
func TermsOf(stmt *gorm.Statement) *Terms {
	if len(stmt.Clauses) > 0 {
		if c, ok := stmt.Clauses[termsName]; ok {
			t, _ := c.Expression.(*Terms)
			return t
		}
	}
	return of(stmt.Context).terms
}

// TablesOfTags returns what stands for tags where tables are named. who names in the error the
// function that was given them.
func TablesOfTags(who string, tags []string) (tables []string, err error) {
	for _, tag := range tags {
		if tag == "" {
			err = fmt.Errorf("preload: %s: a tag is empty: want a name", who)
			continue
		}
		tables = append(tables, coherence.OfTag(tag))
	}
	return tables, err
}
