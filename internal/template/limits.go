package template

import (
	"cmp"
	"time"
)

// Limits are how long answers are kept, and how many rows they may have.
type Limits struct {
	TTL      time.Duration
	Negative time.Duration // of answers without rows; 0 does not keep them
	MaxRows  int
}

// Least returns what both allow.
func (l Limits) Least(other Limits) Limits {
	return Limits{TTL: min(l.TTL, other.TTL), Negative: min(l.Negative, other.Negative), MaxRows: min(l.MaxRows, other.MaxRows)}
}

// ruling is how answers of a template are treated, as far as the catalog has met models.
type ruling struct {
	met    int64
	limits Limits
	opted  bool
}

// ruling returns how answers of the template are treated: as the models of the tables say that they
// are read from, and as the call says.
func (t *Template) ruling() *ruling {
	met := t.set.Catalog.Met()
	if known := t.rules.Load(); known != nil && known.met == met {
		return known
	}
	r := &ruling{met: met}
	switch {
	case t.set.Rule != nil:
		r.limits, r.opted = t.set.Rule(t.from, t.tables, t.own, t.Terms != nil)
	case t.own != nil:
		r.limits, r.opted = *t.own, true
	}
	if t.Terms != nil {
		r.limits.TTL = cmp.Or(t.Terms.TTL, r.limits.TTL)
		r.limits.Negative = min(r.limits.Negative, r.limits.TTL)
	}
	t.rules.Store(r)
	return r
}

// Limits returns how long answers of the template are kept, and how large.
func (t *Template) Limits() Limits { return t.ruling().limits }
