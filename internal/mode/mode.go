package mode

import (
	"context"

	"github.com/gorm-preload/preload/internal/shape"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Mode says how one call is treated.
type Mode uint8

// The modes.
const (
	Ordinary Mode = iota
	Bypass        // it is asked of the database, and its answer is not kept
	Refresh       // it is asked of the database, and its answer is kept
)

// clauseName names the clause of a statement that holds its mode. No statement builds a clause of
// this name.
const clauseName = "preload:mode"

// ModifyStatement implements gorm.StatementModifier.
func (m Mode) ModifyStatement(stmt *gorm.Statement) {
	stmt.Clauses[clauseName] = clause.Clause{Name: clauseName, Expression: m}
}

// Build implements clause.Expression; it adds nothing to the SQL.
func (m Mode) Build(clause.Builder) {}

type contextKey struct{}

// call is what a context says of the calls that are made with it.
type call struct {
	mode  Mode
	terms *Terms
}

// In returns a context that has a mode.
func (m Mode) In(ctx context.Context) context.Context {
	c := of(ctx)
	c.mode = m
	return context.WithValue(ctx, contextKey{}, c)
}

// Given reports whether a context has a mode, or terms.
func Given(ctx context.Context) bool { return ctx.Value(contextKey{}) != nil }

func of(ctx context.Context) call {
	c, _ := ctx.Value(contextKey{}).(call)
	return c
}

// Of returns how a statement whose clauses were found is to be treated, and the terms on which its
// answer is kept, nil where there are none.
func Of(stmt *gorm.Statement, found *shape.Clauses) (Mode, *Terms) {
	c := of(stmt.Context)
	if found.Others > 0 {
		if given, ok := stmt.Clauses[clauseName]; ok {
			c.mode, _ = given.Expression.(Mode)
		}
		if given, ok := stmt.Clauses[termsName]; ok {
			c.terms, _ = given.Expression.(*Terms)
		}
	}
	return c.mode, c.terms
}

// Inherit hands the mode of a statement on to the queries that preload its associations: they get
// its context, but not its clauses.
func Inherit(stmt *gorm.Statement) {
	c, ok := stmt.Clauses[clauseName]
	if !ok {
		return
	}
	if m, _ := c.Expression.(Mode); of(stmt.Context).mode != m {
		stmt.Context = m.In(stmt.Context)
	}
}

type ownMoments struct{}

// WithOwnMoments returns a context in which each read of a transaction may be as of its own moment.
func WithOwnMoments(ctx context.Context) context.Context {
	return context.WithValue(ctx, ownMoments{}, true)
}

// AtOwnMoments reports whether WithOwnMoments made a context, or one that it comes from.
func AtOwnMoments(ctx context.Context) bool {
	given, _ := ctx.Value(ownMoments{}).(bool)
	return given
}
