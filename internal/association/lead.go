package association

import (
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/template"
)

const (
	// Hits of a shape of query are all noted where in the sample one in leadsFrom or more leads to
	// a load, until fewer than one in leadsTo do.
	leadsFrom, leadsTo = 8, 16
	// It is told of as many as enoughHits, and of the last lastHits more or less.
	enoughHits, lastHits = 32, 512
)

// lead is how often hits of a shape led to loads.
type lead struct{ hits, loads int64 }

// led counts the loads that a hit of a shape led to.
func (l *Learner) led(shape *cache.Tally, loads int64) {
	one := l.leads[shape]
	if one == nil {
		if len(l.leads) >= template.MaxTemplates {
			l.forgetLeads() // of shapes that are not asked any more, too
		}
		one = &lead{}
		l.leads[shape] = one
	}
	one.hits++
	one.loads += loads
	switch leads := shape.Leads.Load(); {
	case one.hits < enoughHits:
	case !leads && one.loads*leadsFrom >= one.hits, leads && one.loads*leadsTo < one.hits:
		shape.Leads.Store(!leads)
	}
	if one.hits >= lastHits {
		one.hits, one.loads = one.hits/2, one.loads/2
	}
}

// forgetLeads forgets how often hits led to loads.
func (l *Learner) forgetLeads() {
	for t := range l.leads {
		t.Leads.Store(false)
	}
	clear(l.leads)
}
