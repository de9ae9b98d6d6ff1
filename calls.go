package preload

import (
	"context"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/shape"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// mode says how one call is treated.
type mode uint8

const (
	ordinary mode = iota
	bypass
	refresh
)

// Bypass makes a query go to the database only, and store nothing:
// db.Clauses(preload.Bypass).First(&user). It holds for the queries that preload associations as
// well.
var Bypass clause.Expression = bypass

// Refresh makes a query go to the database, and stores its answer:
// db.Clauses(preload.Refresh).First(&user).
var Refresh clause.Expression = refresh

// modeClause names the clause of a statement that holds its mode. No statement builds a clause of
// this name.
const modeClause = "preload:mode"

// ModifyStatement implements gorm.StatementModifier.
func (m mode) ModifyStatement(stmt *gorm.Statement) {
	stmt.Clauses[modeClause] = clause.Clause{Name: modeClause, Expression: m}
}

// Build implements clause.Expression; it adds nothing to the SQL.
func (m mode) Build(clause.Builder) {}

type (
	modeKey    struct{}
	sessionKey struct{}
)

// ContextWithBypass makes the queries that run with the context behave as with Bypass.
func ContextWithBypass(ctx context.Context) context.Context {
	return context.WithValue(orBackground(ctx), modeKey{}, bypass)
}

// ContextWithRefresh makes the queries that run with the context behave as with Refresh.
func ContextWithRefresh(ctx context.Context) context.Context {
	return context.WithValue(orBackground(ctx), modeKey{}, refresh)
}

// ContextWithSession says that the accesses made with the context belong together: which keys
// follow each other is learned within one session. Without it a session is what WithSession says,
// or the context's Done channel.
func ContextWithSession(ctx context.Context, id string) context.Context {
	return context.WithValue(orBackground(ctx), sessionKey{}, prediction.Session{ID: cache.Hash(id)})
}

// orBackground keeps a nil context from panicking where a function has no error to return.
func orBackground(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}

// modeOf returns how a statement whose clauses were found is to be treated. A clause of its own
// comes before its context.
func modeOf(stmt *gorm.Statement, found *shape.Clauses) mode {
	if found.Others > 0 {
		if c, ok := stmt.Clauses[modeClause]; ok {
			m, _ := c.Expression.(mode)
			return m
		}
	}
	m, _ := stmt.Context.Value(modeKey{}).(mode)
	return m
}

// inherit hands the mode of a statement on to the queries that preload its associations: they get
// its context, but not its clauses.
func inherit(stmt *gorm.Statement) {
	c, ok := stmt.Clauses[modeClause]
	if !ok {
		return
	}
	m, _ := c.Expression.(mode)
	if of, _ := stmt.Context.Value(modeKey{}).(mode); of != m {
		stmt.Context = context.WithValue(stmt.Context, modeKey{}, m)
	}
}
