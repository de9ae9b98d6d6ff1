package preload

import (
	"context"
	"reflect"
	"sync/atomic"
	"time"
	"unsafe"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
)

// shortcut is how a prepared query gets from its args to its key, where nothing that GORM or others would do on the way can make
// a difference.
type shortcut struct {
	template *template
	args     []byte         // of the key, but for the values that each call gives
	open     []opening      // where these go
	steps    unsafe.Pointer // of the chain for which that holds
	builders builders       // of clauses, likewise
	order    []string       // in which they are built, likewise
}

// shortcut makes one of a statement in which Args are open; nil if its key does not depend on them alone.
func (p *Plugin) shortcut(stmt *gorm.Statement, q *read, reason string) *shortcut {
	steps, known := p.chain.known()
	switch {
	case reason != "" || q.template == nil || q.refresh || !known:
		return nil
	case grouped(stmt):
		return nil // Count then returns how many rows there are
	case stmt.Schema.AfterFind || len(stmt.Preloads) > 0 || stmt.Result != nil:
		return nil // GORM does more with the answer
	case !steadyClauses(stmt):
		return nil
	}
	if _, ok := stmt.Dest.(gorm.StatementModifier); ok {
		return nil
	}
	return &shortcut{template: q.template, args: q.args, open: q.open, steps: steps, builders: allBuilders(stmt.DB), order: stmt.BuildClauses}
}

// grouped reports whether an answer of one number is of groups.
func grouped(stmt *gorm.Statement) bool {
	_, ok := stmt.Clauses["GROUP BY"]
	_, number := stmt.Dest.(*int64)
	return ok && number
}

// steadyClauses reports whether the clauses that a model adds to its queries are GORM's: others may look at the context.
func steadyClauses(stmt *gorm.Statement) bool {
	for _, c := range stmt.Schema.QueryClauses {
		if _, ok := c.(gorm.SoftDeleteQueryClause); !ok {
			return false
		}
	}
	return true
}

// shortcuts is the shortcut that calls of one finisher take.
type shortcuts struct {
	taken   atomic.Pointer[shortcut] // nil if there is none
	asked   atomic.Int64             // how often the whole way was gone
	recents recents                  // what was found lately
}

// due reports whether it is time to look for a shortcut to a query: less and less often, where there never is one, and never where that
// would run code of the application.
func (s *shortcuts) due(p *Plugin, query *gorm.DB) bool {
	n := s.asked.Add(1)
	taken := s.taken.Load()
	if taken != nil && (!taken.builders.only(query.ClauseBuilders) || memoryOf(taken.order) != memoryOf(*p.chain.order)) {
		taken = nil
		s.taken.Store(nil)
	}
	if n&(n-1) != 0 || !p.active() || taken != nil && taken.steps == p.chain.steps() {
		return false
	}
	_, known := p.chain.known()
	return known && !deferred(query.Statement)
}

// made takes a shortcut to answers that are read into a type.
func (s *shortcuts) made(p *Plugin, query *gorm.DB, made *shortcut, dest reflect.Type) {
	if made == nil || query.DryRun || made.template.destType != reflect.PointerTo(dest) || made.template.plan.Type() != dest {
		return
	}
	s.recents.make()
	s.taken.Store(made)
}

// deferred reports whether a statement has scopes, which may look at the context of each call.
func deferred(stmt *gorm.Statement) bool {
	scopes := reflect.ValueOf(stmt).Elem().FieldByName("scopes")
	return !scopes.IsValid() || scopes.Kind() != reflect.Slice || scopes.Len() > 0
}

// hit is an answer that is in memory, and the template of its query.
type hit struct {
	template *template
	entry    *entry // nil if there is none
	now      time.Time
	ctx      context.Context
}

// look looks for the answer in memory.
func (s *shortcuts) look(p *Plugin, ctx context.Context, args []any) hit {
	if s == nil {
		return hit{}
	}
	taken := s.taken.Load()
	if taken == nil || !p.active() || taken.template.refusal(p) != "" {
		return hit{}
	}
	// That a builder was added is seen at once, that one was replaced at the next query that is not in memory.
	if taken.steps != p.chain.steps() || len(taken.builders) != len(p.db.ClauseBuilders) || memoryOf(taken.order) != memoryOf(*p.chain.order) {
		return hit{}
	}
	if ctx == nil || ctx.Err() != nil || ctx.Value(modeKey{}) != nil {
		return hit{}
	}
	if p.config.partition != nil {
		return taken.look(p, ctx, args)
	}
	g := given{args: args}
	if !g.take() {
		return taken.look(p, ctx, args)
	}
	now := p.now() // before what may have to come from far memory: reading the clock waits for that
	at := s.recents.of(&g)
	if e := at.find(&g); e != nil && e.alive(now) {
		return hit{taken.template, e, now, ctx}
	}
	found := taken.look(p, ctx, args)
	if found.entry != nil {
		s.recents.put(found.entry, at, &g)
	}
	return found
}

// look looks for the answer in the store.
func (s *shortcut) look(p *Plugin, ctx context.Context, args []any) (found hit) {
	defer func() {
		if fault := recover(); fault != nil {
			p.fault("looking for the answer of a prepared query", fault)
			found = hit{}
		}
	}()
	f := newFingerprint()
	defer f.free()
	if !s.key(f, args) || f.moving {
		return hit{}
	}
	if p.config.partition != nil {
		f.string('p', p.config.partition(ctx))
	}
	now := p.now()
	return hit{s.template, p.lookup(p.lookupKey(f.key(s.template.prefix)), now), now, ctx}
}

// key puts the args of a call in their places. It reports false where that is not how GORM would render them: their number is
// wrong, or one has a type of its own.
func (s *shortcut) key(f *fingerprint, args []any) bool {
	at, most := 0, Arg(-1)
	for _, open := range s.open {
		f.args = append(f.args, s.args[at:open.at]...)
		if at, most = open.at, max(most, open.arg); int(open.arg) >= len(args) {
			return false
		}
		switch v := args[open.arg].(type) {
		case string, int, int64, uint, uint64, bool, float64, int32, uint32, time.Time:
			f.arg(v)
		default:
			return false
		}
	}
	f.args = append(f.args, s.args[at:]...)
	return len(args) == int(most)+1
}

// take gives a reader a copy of an answer; false if it cannot be copied.
func take[D any](p *Plugin, from *hit, dest *D) bool {
	from.entry.fetch()
	*dest = *(*D)(from.entry.value)
	if !from.template.plan.Renew(unsafe.Pointer(dest)) {
		copied := new(D)
		if !p.copyTo(unsafe.Pointer(copied), from) {
			return false
		}
		*dest = *copied
	}
	p.hit(from.ctx, from.entry, from.template.stats, from.now)
	return true
}

func (p *Plugin) copyTo(dest unsafe.Pointer, from *hit) (ok bool) {
	defer func() {
		if fault := recover(); fault != nil {
			p.fault("copying the answer of "+from.entry.key, fault)
			ok = false
		}
	}()
	return from.template.plan.Copy(dest, from.entry.value) == nil
}

// queryProcessor is GORM's list of the callbacks of queries.
type queryProcessor interface {
	Get(name string) func(*gorm.DB)
}

// chain looks at the callbacks that GORM runs for a query. It has no function that names them: their number, and whether they are
// still the same, are read off its fields. Where it has not these fields, no chain is known.
type chain struct {
	processor queryProcessor
	compiled  reflect.Value      // the slice of functions, made anew whenever a callback is added, replaced or removed
	ours      map[string]uintptr // the code of those that are known
	order     *[]string          // in which GORM builds clauses
	// plain are the steps of which known was true last.
	plain atomic.Pointer[byte]
}

// init says in which processor the plugin has these callbacks.
func (c *chain) init(processor queryProcessor, around uintptr, watch string) {
	c.processor, c.order = processor, new([]string)
	c.ours = map[string]uintptr{
		"gorm:query":       around,
		"gorm:preload":     reflect.ValueOf(callbacks.Preload).Pointer(),
		"gorm:after_query": reflect.ValueOf(callbacks.AfterQuery).Pointer(),
		watch:              reflect.ValueOf(processor.Get(watch)).Pointer(),
	}
	v := reflect.Indirect(reflect.ValueOf(processor))
	if v.Kind() != reflect.Struct {
		return
	}
	if order := v.FieldByName("Clauses"); order.IsValid() && order.CanAddr() {
		if order, ok := order.Addr().Interface().(*[]string); ok {
			c.order = order
		}
	}
	if fns := v.FieldByName("fns"); fns.IsValid() && fns.Kind() == reflect.Slice {
		c.compiled = fns
	}
}

// others reports whether there may be callbacks of others in it.
func (c *chain) others() bool {
	if steps := c.steps(); steps != nil && steps == unsafe.Pointer(c.plain.Load()) {
		return false
	}
	steps, known := c.known()
	if known {
		c.plain.Store((*byte)(steps))
	}
	return !known
}

// steps tells whether the chain is still the same: after any change it is another, as long as the old one is kept. nil means
// that it cannot be told.
func (c *chain) steps() unsafe.Pointer {
	if !c.compiled.IsValid() {
		return nil
	}
	return c.compiled.UnsafePointer()
}

// known reports whether the chain is of GORM's own callbacks and the plugin's only, and its steps.
func (c *chain) known() (steps unsafe.Pointer, known bool) {
	steps = c.steps()
	if steps == nil || c.compiled.Len() != len(c.ours) {
		return steps, false
	}
	for name, code := range c.ours {
		callback := c.processor.Get(name)
		if callback == nil || reflect.ValueOf(callback).Pointer() != code {
			return steps, false
		}
	}
	return steps, true
}
