package coherence

import (
	"slices"
	"sync"
	"time"
)

// table is what the index knows of one table; it exists while some field of it is not zero.
type table struct {
	groups  map[*Group]struct{} // whose answers read it as their Reading says
	loose   map[*Group]struct{} // whose answers read it in a way that is not known
	pending []*pending
	held    time.Time
}

// pending is a change that was announced and is not finished.
type pending struct {
	Change
	of *Announcement
}

// Announcement is a list of changes that are under way. Its fields belong to the Index.
type Announcement struct{ changes []*pending }

// wide reports whether a change is among them of which no more is known than its table.
func (a *Announcement) wide(table string) bool {
	return slices.ContainsFunc(a.changes, func(p *pending) bool { return p.Table == table && p.Kinds == Any })
}

// Kill is an answer that a change killed.
type Kill struct {
	Guard  *Guard
	Table  string // of the change
	Reason Reason
}

// Index finds the guards that a change can touch. It is safe for concurrent use.
type Index struct {
	now func() time.Time

	mu     sync.Mutex
	tables map[string]*table // by name; "" counts for all
	groups map[*Group]struct{}
	probe  probe  // of the search under way
	search uint64 // counts them, to know the guards that the one under way has seen
	sweep  int    // how many tables there may be before those are looked for whose hold-out is over
}

// New returns an empty index that reads the end of hold-outs off now.
func New(now func() time.Time) *Index {
	return &Index{now: now, tables: map[string]*table{}, groups: map[*Group]struct{}{}}
}

// Lease brings to life the guard, a new or a released one, of an answer that is about to be read,
// with its values in the group's pinned columns, as in a Pin (nil where it pins none). It reports
// false while a change that could touch the answer is under way or its tables are held out: such an
// answer may be used but not kept. The values are not retained.
func (x *Index) Lease(group *Group, guard *Guard, pins [][]Value) bool {
	now := x.now()
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(group.guards) == 0 {
		x.link(group)
	}
	group.link(guard, pins)
	if x.blocked(group, guard, now) {
		x.drop(guard)
		return false
	}
	return true
}

// Fill notes, once for each guard, how many rows its answer shows and, by Reading.Keys, their keys;
// nil where they are not known. Of a group without Reading.Rows it notes nothing. The keys are not
// retained.
func (x *Index) Fill(guard *Guard, rows int, keys [][]Value) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if guard.group != nil {
		guard.group.fill(guard, rows, keys)
	}
}

// Release ends a guard that will not be needed any more: it is dead afterwards.
func (x *Index) Release(guard *Guard) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.kill(guard)
}

// Announce says that these changes are about to become visible, in this order if at once. It
// returns the answers that it killed. Each Announce is followed by exactly one Finish.
func (x *Index) Announce(changes ...Change) (*Announcement, []Kill) {
	a := &Announcement{}
	var killed []Kill
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, change := range changes {
		killed = x.announce(a, change, killed)
	}
	return a, killed
}

func (x *Index) announce(a *Announcement, change Change, killed []Kill) []Kill {
	p := &pending{change.sure(), a}
	a.changes = append(a.changes, p)
	t := x.table(change.Table)
	t.pending = append(t.pending, p)
	first := len(killed)
	killed = x.find(&p.Change, killed)
	for _, kill := range killed[first:] {
		x.kill(kill.Guard)
	}
	return killed
}

// Touching returns the live answers that a change would kill, and why.
func (x *Index) Touching(change Change) []Kill {
	x.mu.Lock()
	defer x.mu.Unlock()
	change = change.sure()
	return x.find(&change, nil)
}

// find adds the guards that a change can touch. They are to be killed after it only: the sets must
// stand still here.
func (x *Index) find(change *Change, found []Kill) []Kill {
	x.search++
	add := func(guard *Guard, reason Reason) {
		found = append(found, Kill{guard, change.Table, reason})
	}
	if change.Table == "" {
		for group := range x.groups {
			for _, guard := range group.guards {
				add(guard, ByEverything)
			}
		}
		return found
	}
	t := x.tables[change.Table]
	if t == nil {
		return found
	}
	for group := range t.loose {
		for _, guard := range group.guards {
			guard.seen = x.search
			add(guard, ByTable)
		}
	}
	probe := &x.probe
	for group := range t.groups {
		if probe.look(change, group) {
			probe.candidates(func(guard *Guard, reason Reason) {
				if guard.seen != x.search {
					if guard.seen = x.search; probe.touches(guard) {
						add(guard, reason)
					}
				}
			})
		}
	}
	return found
}

// Widen says that changes of a table are now known to change another table, too: what is under way
// or held out for the one is so for the other from now on, and all answers that read the other die.
func (x *Index) Widen(from, to string) (killed []Kill) {
	x.mu.Lock()
	defer x.mu.Unlock()
	under := &Announcement{}
	killed = x.announce(under, Loose(to, Any), nil)
	x.end(under, time.Time{})
	t := x.tables[from]
	if t == nil {
		return killed
	}
	for _, p := range slices.Clone(t.pending) {
		// Once each: tables that reach one another would have theirs doubled by every call.
		if !p.of.wide(to) {
			x.announce(p.of, Loose(to, Any), nil)
		}
	}
	if t.held.After(x.table(to).held) {
		x.table(to).held = t.held
	}
	x.forget(to, x.table(to))
	return killed
}

// Finish says that announced changes are visible now, or never will be. Where the end of a write
// cannot be seen, hold keeps answers from its tables from being stored for that long; 0 means not
// at all.
func (x *Index) Finish(a *Announcement, hold time.Duration) {
	now := x.now()
	x.mu.Lock()
	defer x.mu.Unlock()
	var until time.Time
	if hold > 0 {
		until = now.Add(hold)
	}
	x.end(a, until)
	if len(x.tables) > x.sweep {
		for name, t := range x.tables {
			x.settle(t, now)
			x.forget(name, t)
		}
		x.sweep = 2*len(x.tables) + 64
	}
}

func (x *Index) end(a *Announcement, until time.Time) {
	for _, p := range a.changes {
		t := x.table(p.Table)
		if i := slices.Index(t.pending, p); i >= 0 {
			t.pending = slices.Delete(t.pending, i, i+1)
		}
		if until.After(t.held) {
			t.held = until
		}
		x.forget(p.Table, t)
	}
	a.changes = nil
}

// Size returns how many guards are alive.
func (x *Index) Size() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	for group := range x.groups {
		n += len(group.guards)
	}
	return n
}

// blocked reports whether a change that is under way, or a hold-out, keeps an answer from being
// kept.
func (x *Index) blocked(group *Group, guard *Guard, now time.Time) bool {
	if x.busy("", now) {
		return true
	}
	for _, name := range group.loose {
		if x.busy(name, now) {
			return true
		}
	}
	if !group.hasTable {
		return false
	}
	t := x.tables[group.reading.Table]
	if t == nil {
		return false
	}
	if x.settle(t, now); !t.held.IsZero() {
		return true
	}
	for _, p := range t.pending {
		if x.probe.look(&p.Change, group) && x.probe.touches(guard) {
			return true
		}
	}
	x.forget(group.reading.Table, t)
	return false
}

// busy reports whether any change of a table is under way or held out.
func (x *Index) busy(name string, now time.Time) bool {
	t := x.tables[name]
	if t == nil {
		return false
	}
	if x.settle(t, now); len(t.pending) > 0 || !t.held.IsZero() {
		return true
	}
	x.forget(name, t)
	return false
}

// settle ends the hold-out of a table if it is over.
func (x *Index) settle(t *table, now time.Time) {
	if !now.Before(t.held) {
		t.held = time.Time{}
	}
}

func (x *Index) table(name string) *table {
	t := x.tables[name]
	if t == nil {
		t = &table{groups: map[*Group]struct{}{}, loose: map[*Group]struct{}{}}
		x.tables[name] = t
	}
	return t
}

// forget forgets a table of which nothing is left to know, so that names in raw SQL cannot pile up.
func (x *Index) forget(name string, t *table) {
	if len(t.groups)+len(t.loose)+len(t.pending) == 0 && t.held.IsZero() {
		delete(x.tables, name)
	}
}

func (x *Index) link(group *Group) {
	x.groups[group] = struct{}{}
	if group.hasTable {
		x.table(group.reading.Table).groups[group] = struct{}{}
	}
	for _, name := range group.loose {
		x.table(name).loose[group] = struct{}{}
	}
}

func (x *Index) unlink(group *Group) {
	delete(x.groups, group)
	if group.hasTable {
		t := x.table(group.reading.Table)
		delete(t.groups, group)
		x.forget(group.reading.Table, t)
	}
	for _, name := range group.loose {
		t := x.table(name)
		delete(t.loose, group)
		x.forget(name, t)
	}
}

func (x *Index) kill(guard *Guard) {
	guard.dead.Store(true)
	x.drop(guard)
}

// drop takes a guard out of its group.
func (x *Index) drop(guard *Guard) {
	group := guard.group
	if group == nil {
		return
	}
	group.unlink(guard)
	if len(group.guards) == 0 {
		x.unlink(group)
	}
}
