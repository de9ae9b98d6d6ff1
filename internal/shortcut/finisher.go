package shortcut

import (
	"context"
	"reflect"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/gormprivate"
	"github.com/gorm-preload/preload/internal/mode"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// Config is what the shortcuts of a handle share.
type Config struct {
	DB        *gorm.DB
	Chain     *gormprivate.QueryChain
	Cache     *cache.Cache
	Partition func(context.Context) string // nil where there are no partitions
	KeepsKeys bool                         // the store may keep the keys that it is asked for
	Clock     interface{ Now() time.Time }
	Closed    *atomic.Bool // nothing is answered from memory any more
	Report    failopen.Report
}

// Set makes the shortcuts of a handle.
type Set struct{ Config }

// New returns the set of a handle, which must have its callbacks.
func New(c Config) *Set { return &Set{c} }

// Finisher has the shortcut that calls of one finisher of a prepared query take.
type Finisher struct {
	set     *Set
	taken   atomic.Pointer[shortcut] // nil if there is none
	asked   atomic.Int64             // how often the whole way was gone
	recents cache.Recents            // what was found lately
}

// Finisher returns one that has no shortcut yet.
func (s *Set) Finisher() *Finisher { return &Finisher{set: s} }

// Hit is an answer that is in memory, and the template of its query.
type Hit struct {
	Template *template.Template
	Entry    *cache.Entry // nil if there is none
	Now      time.Time
}

// Look looks for the answer of a call in memory. A Finisher that is nil has none.
func (f *Finisher) Look(ctx context.Context, values []any) Hit {
	if f == nil {
		return Hit{}
	}
	taken, s := f.taken.Load(), f.set
	if taken == nil || s.Closed.Load() || taken.template.Refused() != "" {
		return Hit{}
	}
	// That a builder was added is seen at once, that one was replaced at the next query that is not
	// in memory.
	if taken.steps != s.Chain.Steps() || len(taken.builders) != len(s.DB.ClauseBuilders) || gormprivate.MemoryOf(taken.order) != gormprivate.MemoryOf(*s.Chain.Order) {
		return Hit{}
	}
	if ctx == nil || ctx.Err() != nil || mode.Given(ctx) {
		return Hit{}
	}
	if s.Partition != nil {
		return s.fromStore(ctx, taken, values)
	}
	g := cache.Given{Args: values}
	if !g.Take() {
		return s.fromStore(ctx, taken, values)
	}
	now := s.Clock.Now() // before what may have to come from far memory: reading the clock waits for that
	at := f.recents.Of(&g)
	if e := at.Find(&g); e != nil && e.Alive(now) && s.Cache.Index.Serves(&e.Guard) && s.Cache.Gate.Open(now) {
		return Hit{taken.template, e, now}
	}
	found := s.fromStore(ctx, taken, values)
	if found.Entry != nil {
		f.recents.Put(found.Entry, at, &g)
	}
	return found
}

// Take gives a reader a copy of an answer; false if it cannot be copied.
func Take[D any](f *Finisher, from *Hit, dest *D) bool {
	from.Entry.Fetch()
	*dest = *(*D)(from.Entry.Value)
	if !from.Template.Plan.Renew(unsafe.Pointer(dest)) {
		copied := new(D)
		if !f.set.copyTo(unsafe.Pointer(copied), from) {
			return false
		}
		*dest = *copied
	}
	return true
}

func (s *Set) copyTo(dest unsafe.Pointer, from *Hit) (ok bool) {
	defer func() {
		if fault := recover(); fault != nil {
			failopen.LogFault(s.Report, "copying an answer", fault, "of", template.Label(from.Entry.Key))
			ok = false
		}
	}()
	return from.Template.Plan.Copy(dest, from.Entry.Value) == nil
}

// Due reports whether it is time to prepare a shortcut to a query: less and less often, where there
// never is one, and never where that would run code of the application.
func (f *Finisher) Due(query *gorm.DB) bool {
	n, chain := f.asked.Add(1), f.set.Chain
	taken := f.taken.Load()
	if taken != nil && (!taken.builders.Only(query.ClauseBuilders) || gormprivate.MemoryOf(taken.order) != gormprivate.MemoryOf(*chain.Order)) {
		taken = nil
		f.taken.Store(nil)
	}
	if n&(n-1) != 0 || f.set.Closed.Load() || taken != nil && taken.steps == chain.Steps() {
		return false
	}
	_, known := chain.Known()
	return known && !gormprivate.HasScopes(query.Statement)
}

// Prepared takes the shortcut that a preparation made, if it made one, to answers of a query that
// are read into a type.
func (f *Finisher) Prepared(query *gorm.DB, by *Preparation, dest reflect.Type) {
	made := by.made
	if made == nil || query.DryRun || made.template.DestType != reflect.PointerTo(dest) || made.template.Plan.Type() != dest {
		return
	}
	f.recents.Make()
	f.taken.Store(made)
}
