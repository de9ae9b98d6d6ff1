package shortcut

import (
	"context"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// shortcut is how a prepared query gets from its args to its key.
type shortcut struct {
	template *template.Template
	args     []byte          // of the key, but for the values that each call gives
	open     []shape.Opening // where these go
	steps    unsafe.Pointer  // of the chain for which that holds
	builders shape.Builders  // of clauses, likewise
	order    []string        // in which they are built, likewise
}

// Preparation makes a shortcut of a query in which Args are open: of the args of its key, and the
// places of the Args in them.
type Preparation struct {
	Args []byte
	Open []shape.Opening

	set  *Set
	made *shortcut // nil if the key does not depend on the Args alone
}

// Preparation returns one of no query yet.
func (s *Set) Preparation() *Preparation { return &Preparation{set: s} }

// Query makes the shortcut of a query, whose args and places were found before, unless something
// else than the Args decides its answer.
func (p *Preparation) Query(stmt *gorm.Statement, t *template.Template) {
	steps, known := p.set.Chain.Known()
	switch {
	case !known || shape.CountsGroups(stmt):
		return // Count then returns how many groups there are
	case stmt.Schema.AfterFind || len(stmt.Preloads) > 0 || stmt.Result != nil:
		return // GORM does more with the answer
	case !shape.Steady(stmt):
		return
	}
	if _, ok := stmt.Dest.(gorm.StatementModifier); ok {
		return
	}
	p.made = &shortcut{template: t, args: p.Args, open: p.Open, steps: steps, builders: shape.AllBuilders(stmt.DB), order: stmt.BuildClauses}
}

// fromStore looks for the answer of a call in the store.
func (s *Set) fromStore(ctx context.Context, by *shortcut, values []any) (found Hit) {
	defer func() {
		if fault := recover(); fault != nil {
			failopen.LogFault(s.Report, "looking for the answer of a prepared query", fault)
			found = Hit{}
		}
	}()
	text := args.NewText()
	defer text.Free()
	if !by.key(text, values) || text.Moving {
		return Hit{}
	}
	if s.Partition != nil {
		text.AddTagged('p', s.Partition(ctx))
	}
	now := s.Clock.Now()
	key := args.Lent(text.Key(by.template.Prefix), s.KeepsKeys)
	return Hit{by.template, s.Cache.Find(key, now), now}
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
