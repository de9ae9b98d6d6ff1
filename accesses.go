package preload

import (
	"context"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/hotness"
	"github.com/gorm-preload/preload/internal/own"
	"github.com/gorm-preload/preload/internal/prediction"
)

// accesses notes what is read: how often, what follows what, and what is to be loaded again before
// it expires.
type accesses struct {
	config   *config
	life     *life
	cache    *cache.Cache
	own      *own.Data
	patterns *hotness.Table
	learner  *association.Learner
	worker   *worker
}

// hit notes that an entry was read. tally is the entry's, which the caller has at hand.
func (a *accesses) hit(ctx context.Context, e *cache.Entry, tally *cache.Tally, now time.Time) {
	a.cache.Hit(e, tally)
	if e.Pattern != nil {
		a.patterns.Record(e.Pattern, now)
	} else {
		a.patterns.Touch(a.own.PublicKey(e), now)
	}
	a.note(ctx, e, now, true)
	if e.Due(now) {
		a.worker.reload(e)
	}
}

// note tells the learner of an access to an answer; hit says whether the answer came from memory.
// It takes no lock and allocates nothing.
func (a *accesses) note(ctx context.Context, e *cache.Entry, now time.Time, hit bool) {
	if !a.config.worker || a.life.closed.Load() {
		return
	}
	session, spread := a.sessionOf(ctx)
	a.learner.Note(spread, session, e, now, hit)
}

// sessionOf returns the session of a context, and a number by which the learner chooses one of its
// buffers, so that sessions do not come in each other's way.
func (a *accesses) sessionOf(ctx context.Context) (s prediction.Session, spread uint64) {
	if named, ok := ctx.Value(sessionKey{}).(prediction.Session); ok {
		return named, named.ID
	}
	if a.config.session != nil {
		id := ""
		a.config.guard("asking for the session", func() { id = a.config.session(ctx) })
		if id != "" {
			named := prediction.Session{ID: cache.Hash(id)}
			return named, named.ID
		}
	}
	done := ctx.Done()
	if done != nil {
		return prediction.Session{Done: done}, uint64(*(*uintptr)(unsafe.Pointer(&done))) >> 6
	}
	// Accesses without a session are of one session. The address of a local variable differs by
	// goroutine, so that goroutines use different buffers.
	var here byte
	return prediction.Session{}, uint64(uintptr(unsafe.Pointer(&here))) >> 13
}
