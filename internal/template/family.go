package template

import (
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/footprint"
)

// family is what templates share whose SQL is the same but for the lengths of its lists and the
// numbers of its limits: GORM writes `id IN (?,?)` for two values and `id IN (?,?,?)` for three,
// and to an application both are one query. Each length is a template of its own, with its SQL and
// its keys. What happened to the answers, and what is learned of that, is of all of them; and they
// depend on the same things, so that a write looks for them in one place.
type family struct {
	// Tally is what happened to the answers of the templates; repeats judges by it whether their
	// queries are asked again, and trial whether it pays to ask for the moments of more.
	Tally   *cache.Tally
	repeats repeats
	trial   trial
	// depends is what the answers of that template depend on which found it out last.
	depends atomic.Pointer[footprint.Reading]

	templates int // in the set; guarded by its mu
}

// join returns the family of a template that is put in. mu is held.
func (ts *Set) join(t *Template) *family {
	label := Label(t.Prefix)
	f := ts.families[label]
	if f == nil {
		f = &family{Tally: ts.Cache.Counts.NewTally(t.Table, label)}
		ts.families[label] = f
	}
	f.templates++
	return f
}

// leave takes a template out of its family. mu is held.
func (ts *Set) leave(t *Template) {
	if t.templates--; t.templates == 0 {
		delete(ts.families, t.Tally.Label)
		ts.Cache.Counts.Over(t.Table, t.Tally)
	}
}

// EachFamily calls do with the longest template of each family.
func (ts *Set) EachFamily(do func(*Template)) {
	longest := map[*family]*Template{}
	ts.Each(func(t *Template) {
		if of := longest[t.family]; of == nil || len(of.SQL) < len(t.SQL) {
			longest[t.family] = t
		}
	})
	for _, t := range longest {
		do(t)
	}
}
