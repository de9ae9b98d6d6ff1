package coherence

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// table is what the index knows of one table; it exists while some field of it is not zero. Its
// lock guards its fields, and the groups whose home it is with all of their guards.
type table struct {
	name string

	mu       sync.Mutex
	gone     bool           // the index knows it no more: whoever comes late looks for another one
	groups   []*Group       // whose home it is, and that have answers; a group knows its place
	others   map[*Group]int // that have another home and read this one, too: how many answers
	pending  []*pending
	blocks   atomic.Int64 // how many of pending hold answers back; read without the lock, too
	held     time.Time
	searches int              // that are under way, and have let the lock go maybe
	numbers  map[string]uint8 // of lists of columns, for glances
}

// pending is a change that was announced and is not finished.
type pending struct {
	Change
	of *Announcement
}

// Announcement is a list of changes that are under way. Its fields belong to the Index.
type Announcement struct {
	blocks  bool // it holds answers back; it does not change
	mu      sync.Mutex
	over    bool // it was finished
	changes []*pending
}

// wide reports whether a change is among them of which no more is known than its table.
func (a *Announcement) wide(table string) bool {
	return slices.ContainsFunc(a.changes, func(p *pending) bool { return p.Table == table && p.Kinds == Any })
}

// find returns a table, locked; nil if the index does not know it.
func (x *Index) find(name string) *table {
	for {
		known, ok := x.tables.Load(name)
		if !ok {
			return nil
		}
		t := known.(*table)
		if t.mu.Lock(); !t.gone {
			return t
		}
		t.mu.Unlock()
	}
}

// lock returns a table, locked, that is made where the index does not know it.
func (x *Index) lock(name string) *table {
	for {
		if t := x.find(name); t != nil {
			return t
		}
		if _, known := x.tables.LoadOrStore(name, &table{name: name}); !known {
			x.known.Add(1)
		}
	}
}

// unlock lets a table go. It is forgotten if nothing is left to know of it, so that names in raw
// SQL cannot pile up.
func (x *Index) unlock(t *table) {
	if !t.gone && len(t.groups)+len(t.others)+len(t.pending)+t.searches == 0 && t.held.IsZero() {
		t.gone = true
		x.tables.Delete(t.name)
		x.known.Add(-1)
	}
	t.mu.Unlock()
}

// eachTable calls do with each table, locked.
func (x *Index) eachTable(do func(*table)) {
	x.tables.Range(func(_, known any) bool {
		t := known.(*table)
		if t.mu.Lock(); !t.gone {
			do(t)
		}
		x.unlock(t)
		return true
	})
}

// homeOf returns the home of a guard's group, locked; nil if the guard has none that is known.
func (x *Index) homeOf(guard *Guard) (*table, *Group) {
	group := guard.group.Load()
	if group == nil {
		return nil, nil
	}
	return x.find(group.home), group
}

// settle ends the hold-out of a table if it is over.
func (t *table) settle(now time.Time) {
	if !now.Before(t.held) {
		t.held = time.Time{}
	}
}

// hold keeps a table held out until then at least.
func (t *table) hold(until time.Time) {
	if until.After(t.held) {
		t.held = until
	}
}

// busy reports whether any change is under way or held out.
func (t *table) busy(now time.Time) bool {
	t.settle(now)
	return len(t.pending) > 0 || !t.held.IsZero()
}

// blocked reports whether a change of its home that is under way, or a hold-out, keeps an answer
// from being kept.
func (t *table) blocked(x *Index, group *Group, guard *Guard, now time.Time) bool {
	if !t.busy(now) {
		return false
	}
	if group.loosely || !t.held.IsZero() {
		return true
	}
	return t.pends(x, group, guard, func(*pending) bool { return true })
}

// pends reports whether one of some changes of a home that are under way could touch an answer.
func (t *table) pends(x *Index, group *Group, guard *Guard, some func(*pending) bool) bool {
	probe := x.probe()
	defer x.done(probe)
	return slices.ContainsFunc(t.pending, func(p *pending) bool {
		return some(p) && probe.look(&p.Change, group) && probe.touches(guard)
	})
}

// count says that there are so many answers more of a group that has another home.
func (t *table) count(group *Group, n int) {
	if t.others == nil {
		t.others = map[*Group]int{}
	}
	if t.others[group] += n; t.others[group] == 0 {
		delete(t.others, group)
	}
}

// link takes a guard into a group whose home the table is.
func (t *table) link(group *Group, guard *Guard, pins [][]Value) {
	if len(group.guards) == 0 {
		if group.numbered != t {
			t.number(group)
		}
		group.place = len(t.groups)
		t.groups = append(t.groups, group)
	}
	group.link(guard, pins)
}

// kill ends a guard of a group whose home the table is. It reports whether the guard was in it.
func (t *table) kill(guard *Guard) bool {
	guard.dead.Store(true)
	if !guard.linked {
		return false
	}
	group := guard.group.Load()
	group.unlink(guard)
	if len(group.guards) == 0 {
		last := t.groups[len(t.groups)-1]
		t.groups[group.place], last.place = last, group.place
		t.groups[len(t.groups)-1] = nil
		t.groups = t.groups[:len(t.groups)-1]
	}
	return true
}
