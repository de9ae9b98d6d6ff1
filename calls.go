package preload

import (
	"context"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/mode"
	"github.com/gorm-preload/preload/internal/prediction"
	"gorm.io/gorm/clause"
)

const (
	bypass  = mode.Bypass
	refresh = mode.Refresh
)

// Bypass makes a query go to the database only, and store nothing:
// db.Clauses(preload.Bypass).First(&user). It holds for the queries that preload associations as
// well.
var Bypass clause.Expression = bypass

// Refresh makes a query go to the database, and stores its answer:
// db.Clauses(preload.Refresh).First(&user).
var Refresh clause.Expression = refresh

// ContextWithBypass makes the queries that run with the context behave as with Bypass.
func ContextWithBypass(ctx context.Context) context.Context {
	return bypass.In(orBackground(ctx))
}

// ContextWithRefresh makes the queries that run with the context behave as with Refresh.
func ContextWithRefresh(ctx context.Context) context.Context {
	return refresh.In(orBackground(ctx))
}

type (
	sessionKey struct{}
	warmKey    struct{}
)

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
