package template

import (
	"cmp"
	"slices"
	"time"

	"github.com/gorm-preload/preload/internal/seen"
)

// Reads are what was counted of the reads of one shape, or of several.
type Reads struct {
	Label, Table string    // "" of several
	Of           *Template // one of the shape; nil of several
	seen.Figures
	Hits, Misses, Entries int64
	Saved                 time.Duration // that the hits would have taken, as far as the misses tell
}

// Costliest returns the reads of at most so many shapes, those first that the most database time
// was saved or spent on, and what the others have in all, nil where there are no others. A shape of
// which nothing was read is not told.
func (ts *Set) Costliest(limit int) (all []Reads, others *Reads) {
	ts.EachFamily(func(t *Template) {
		if r := t.reads(); r.Hits+r.Misses > 0 || r.Entries > 0 {
			all = append(all, r)
		}
	})
	slices.SortFunc(all, func(a, b Reads) int {
		return cmp.Or(cmp.Compare(b.Saved+b.DBTime, a.Saved+a.DBTime), cmp.Compare(b.Hits+b.Misses, a.Hits+a.Misses), cmp.Compare(a.Label, b.Label))
	})
	if len(all) <= limit {
		return all, nil
	}
	others = &Reads{}
	for i := range all[limit:] {
		others.add(&all[limit+i])
	}
	return all[:limit], others
}

// reads returns what was counted of the reads of a template's family.
func (t *Template) reads() Reads {
	r := Reads{
		Label: t.Tally.Label, Table: t.Table, Of: t,
		Hits: t.Tally.Hits.Load(), Misses: t.Tally.Misses.Load(), Entries: t.Tally.Entries.Load(),
	}
	t.Tally.Seen.Into(&r.Figures)
	asked := int64(0)
	for _, n := range r.Queries {
		asked += n
	}
	if asked > 0 {
		r.Saved = time.Duration(float64(r.DBTime) / float64(asked) * float64(r.Hits))
	}
	return r
}

func (r *Reads) add(o *Reads) {
	r.Figures.Add(&o.Figures)
	r.Hits, r.Misses, r.Entries, r.Saved = r.Hits+o.Hits, r.Misses+o.Misses, r.Entries+o.Entries, r.Saved+o.Saved
}
