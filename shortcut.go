package preload

import (
	"context"
	"reflect"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/gormprivate"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// shortcut is how a prepared query gets from its args to its key, where nothing that GORM or others
// would do on the way can make a difference.
type shortcut struct {
	template *template.Template
	args     []byte          // of the key, but for the values that each call gives
	open     []shape.Opening // where these go
	steps    unsafe.Pointer  // of the chain for which that holds
	builders shape.Builders  // of clauses, likewise
	order    []string        // in which they are built, likewise
}

// preparation makes a shortcut of a query in which Args are open: of the args of its key, and the
// places of the Args in them.
type preparation struct {
	p        *Plugin
	args     []byte
	open     []shape.Opening
	shortcut *shortcut // nil if the key does not depend on the Args alone
}

// prepares implements observer.
func (pr *preparation) prepares() *preparation { return pr }

// query implements observer.
func (pr *preparation) query(db *gorm.DB, q *read, reason Reason, _ func(*gorm.DB)) {
	pr.shortcut = pr.shortcutOf(db.Statement, q, reason)
}

// raw implements observer: nothing is known of such a query.
func (pr *preparation) raw(*gorm.Statement) {}

// write implements observer.
func (pr *preparation) write(*gorm.Statement, footprint.Write) {}

func (pr *preparation) shortcutOf(stmt *gorm.Statement, q *read, reason Reason) *shortcut {
	steps, known := pr.p.chain.Known()
	switch {
	case reason != "" || q.template == nil || q.refresh || !known:
		return nil
	case grouped(stmt):
		return nil // Count then returns how many rows there are
	case stmt.Schema.AfterFind || len(stmt.Preloads) > 0 || stmt.Result != nil:
		return nil // GORM does more with the answer
	case !shape.Steady(stmt):
		return nil
	}
	if _, ok := stmt.Dest.(gorm.StatementModifier); ok {
		return nil
	}
	return &shortcut{template: q.template, args: pr.args, open: pr.open, steps: steps, builders: shape.AllBuilders(stmt.DB), order: stmt.BuildClauses}
}

// grouped reports whether an answer of one number is of groups.
func grouped(stmt *gorm.Statement) bool {
	_, ok := stmt.Clauses["GROUP BY"]
	_, number := stmt.Dest.(*int64)
	return ok && number
}

// shortcuts is the shortcut that calls of one finisher take.
type shortcuts struct {
	taken   atomic.Pointer[shortcut] // nil if there is none
	asked   atomic.Int64             // how often the whole way was gone
	recents cache.Recents            // what was found lately
}

// due reports whether it is time to look for a shortcut to a query: less and less often, where
// there never is one, and never where that would run code of the application.
func (s *shortcuts) due(p *Plugin, query *gorm.DB) bool {
	n := s.asked.Add(1)
	taken := s.taken.Load()
	if taken != nil && (!taken.builders.Only(query.ClauseBuilders) || gormprivate.MemoryOf(taken.order) != gormprivate.MemoryOf(*p.chain.Order)) {
		taken = nil
		s.taken.Store(nil)
	}
	if n&(n-1) != 0 || !p.active() || taken != nil && taken.steps == p.chain.Steps() {
		return false
	}
	_, known := p.chain.Known()
	return known && !gormprivate.HasScopes(query.Statement)
}

// made takes a shortcut to answers that are read into a type.
func (s *shortcuts) made(p *Plugin, query *gorm.DB, made *shortcut, dest reflect.Type) {
	if made == nil || query.DryRun || made.template.DestType != reflect.PointerTo(dest) || made.template.Plan.Type() != dest {
		return
	}
	s.recents.Make()
	s.taken.Store(made)
}

// hit is an answer that is in memory, and the template of its query.
type hit struct {
	template *template.Template
	entry    *cache.Entry // nil if there is none
	now      time.Time
	ctx      context.Context
}

// look looks for the answer in memory.
func (s *shortcuts) look(p *Plugin, ctx context.Context, values []any) hit {
	if s == nil {
		return hit{}
	}
	taken := s.taken.Load()
	if taken == nil || !p.active() || taken.template.Refused() != "" {
		return hit{}
	}
	// That a builder was added is seen at once, that one was replaced at the next query that is not
	// in memory.
	if taken.steps != p.chain.Steps() || len(taken.builders) != len(p.db.ClauseBuilders) || gormprivate.MemoryOf(taken.order) != gormprivate.MemoryOf(*p.chain.Order) {
		return hit{}
	}
	if ctx == nil || ctx.Err() != nil || ctx.Value(modeKey{}) != nil {
		return hit{}
	}
	if p.config.partition != nil {
		return taken.fromStore(p, ctx, values)
	}
	g := cache.Given{Args: values}
	if !g.Take() {
		return taken.fromStore(p, ctx, values)
	}
	now := p.config.now() // before what may have to come from far memory: reading the clock waits for that
	at := s.recents.Of(&g)
	if e := at.Find(&g); e != nil && e.Alive(now) {
		return hit{taken.template, e, now, ctx}
	}
	found := taken.fromStore(p, ctx, values)
	if found.entry != nil {
		s.recents.Put(found.entry, at, &g)
	}
	return found
}

// fromStore looks for the answer in the store.
func (s *shortcut) fromStore(p *Plugin, ctx context.Context, values []any) (found hit) {
	defer func() {
		if fault := recover(); fault != nil {
			p.config.fault("looking for the answer of a prepared query", fault)
			found = hit{}
		}
	}()
	text := args.NewText()
	defer text.Free()
	if !s.key(text, values) || text.Moving {
		return hit{}
	}
	if p.config.partition != nil {
		text.AddTagged('p', p.config.partition(ctx))
	}
	now := p.config.now()
	return hit{s.template, p.cache.Find(p.keys.lookupKey(text.Key(s.template.Prefix)), now), now, ctx}
}

// key puts the values of a call in their places. It reports false where that is not how GORM would
// render them: their number is wrong, or one has a type of its own.
func (s *shortcut) key(text *args.Text, values []any) bool {
	at, most := 0, -1
	for _, open := range s.open {
		text.Bytes = append(text.Bytes, s.args[at:open.At]...)
		if at, most = open.At, max(most, open.Arg); open.Arg >= len(values) {
			return false
		}
		switch v := values[open.Arg].(type) {
		case string, int, int64, uint, uint64, bool, float64, int32, uint32, time.Time:
			text.Add(v)
		default:
			return false
		}
	}
	text.Bytes = append(text.Bytes, s.args[at:]...)
	return len(values) == most+1
}

// take gives a reader a copy of an answer; false if it cannot be copied.
func take[D any](p *Plugin, from *hit, dest *D) bool {
	from.entry.Fetch()
	*dest = *(*D)(from.entry.Value)
	if !from.template.Plan.Renew(unsafe.Pointer(dest)) {
		copied := new(D)
		if !p.copyTo(unsafe.Pointer(copied), from) {
			return false
		}
		*dest = *copied
	}
	p.accesses.hit(from.ctx, from.entry, from.template.Tally, from.now)
	return true
}

func (p *Plugin) copyTo(dest unsafe.Pointer, from *hit) (ok bool) {
	defer func() {
		if fault := recover(); fault != nil {
			p.config.fault("copying an answer of "+template.Label(from.entry.Key), fault)
			ok = false
		}
	}()
	return from.template.Plan.Copy(dest, from.entry.Value) == nil
}
