package coherence

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Kill is an answer that a change killed.
type Kill struct {
	Guard  *Guard
	Table  string // of the change, as Told has it
	Reason Reason
}

// Index finds the guards that a change can touch. It is safe for concurrent use.
type Index struct {
	now    func() time.Time
	tables sync.Map     // name -> *table; "" counts for all
	known  atomic.Int64 // how many tables there are
	holds  atomic.Int64 // how many writes had tables held out
	sweep  atomic.Int64 // how many there may be before those are looked for whose hold-out is over
	blocks atomic.Int64 // how many announcements hold answers back
	spare  atomic.Pointer[probe]

	// between is called where a lock has been let go for others to come in; nil but in tests.
	between func(moment)
}

// moment is where others may come in.
type moment uint8

const (
	counted  moment = iota // a lease: its answer is counted at the other tables, and not linked yet
	linked                 // a lease: the answer is linked, and the other tables are not asked yet
	searched               // a search: a portion is done
)

// pause lets others come in, in tests.
func (x *Index) pause(at moment) {
	if x.between != nil {
		x.between(at)
	}
}

// New returns an empty index that reads the end of hold-outs off now.
func New(now func() time.Time) *Index { return &Index{now: now} }

// Lease brings to life the guard, a new or a released one, of an answer that is about to be read,
// with its values in the group's pinned columns, as in a Pin (nil where it pins none). It reports
// false while a change that could touch the answer is under way or its tables are held out: such an
// answer may be used but not kept. The values are not retained.
func (x *Index) Lease(group *Group, guard *Guard, pins [][]Value) bool {
	now := x.now()
	for _, name := range group.others {
		t := x.lock(name)
		t.count(group, 1)
		x.unlock(t)
	}
	x.pause(counted)
	t := x.lock(group.home)
	t.link(group, guard, pins)
	blocked := t.blocked(x, group, guard, now)
	if blocked {
		t.kill(guard)
	}
	x.unlock(t)
	if blocked {
		x.uncount(group, 1)
		return false
	}
	x.pause(linked)
	if x.blockedElsewhere(group, now) {
		x.Release(guard)
		return false
	}
	return true
}

// blockedElsewhere reports whether a change of a table that is not the group's home is under way or
// held out.
func (x *Index) blockedElsewhere(group *Group, now time.Time) bool {
	return group.home != "" && x.busy("", now) ||
		slices.ContainsFunc(group.others, func(name string) bool { return x.busy(name, now) })
}

// busy reports whether any change of a table is under way or held out.
func (x *Index) busy(name string, now time.Time) bool {
	t := x.find(name)
	if t == nil {
		return false
	}
	defer x.unlock(t)
	return t.busy(now)
}

// Fill notes, once for each guard, how many rows its answer shows, by Reading.Keys their keys (nil
// where they are not known), and whether these are all, so that no limit cut any off. Of a group
// without Reading.Rows it notes nothing. The keys are not retained.
func (x *Index) Fill(guard *Guard, rows int, keys [][]Value, all bool) {
	t, group := x.homeOf(guard)
	if t == nil {
		return
	}
	defer x.unlock(t)
	if guard.linked {
		group.fill(guard, rows, keys, all)
	}
}

// Release ends a guard that will not be needed any more: it is dead afterwards.
func (x *Index) Release(guard *Guard) {
	t, group := x.homeOf(guard)
	if t == nil {
		guard.dead.Store(true)
		return
	}
	killed := t.kill(guard)
	x.unlock(t)
	if killed {
		x.uncount(group, 1)
	}
}

// uncount says at the other tables of a group that it has so many answers less. It comes after
// these have left their home: a table never counts fewer than there are.
func (x *Index) uncount(group *Group, n int) {
	for _, name := range group.others {
		t := x.lock(name)
		t.count(group, -n)
		x.unlock(t)
	}
}

// Announce says that these changes are about to become visible, in this order if at once. It
// returns the answers that it killed. Each Announce is followed by exactly one Finish.
func (x *Index) Announce(changes ...Change) (*Announcement, []Kill) {
	a := &Announcement{}
	var killed []Kill
	for _, change := range changes {
		a.mu.Lock()
		p := x.pend(a, change)
		a.mu.Unlock()
		killed = x.killed(p, killed)
	}
	return a, killed
}

// pend makes a change pending. The announcement is locked.
func (x *Index) pend(a *Announcement, change Change) *pending {
	p := &pending{Change: change.sure(), of: a}
	a.changes = append(a.changes, p)
	t := x.lock(p.Table)
	t.pending = append(t.pending, p)
	if a.blocks {
		t.blocks.Add(1)
	}
	x.unlock(t)
	return p
}

// killed kills what a pending change can touch, and adds it to what others killed.
func (x *Index) killed(p *pending, before []Kill) []Kill {
	s := search{Index: x, change: &p.Change, kills: true, found: before}
	s.run()
	return s.found
}

// Touching returns the live answers that a change would kill, and why.
func (x *Index) Touching(change Change) []Kill {
	change = change.sure()
	s := search{Index: x, change: &change}
	s.run()
	seen := make(map[*Guard]bool, len(s.found))
	return slices.DeleteFunc(s.found, func(k Kill) bool {
		defer func() { seen[k.Guard] = true }()
		return seen[k.Guard]
	})
}

// Touches reports whether one of some changes could touch the answer of a guard, by the rules by
// which they would kill it. One that is dead counts as touched.
func (x *Index) Touches(guard *Guard, changes []Change) bool {
	t, group := x.homeOf(guard)
	if t == nil {
		return true
	}
	defer x.unlock(t)
	if !guard.linked {
		return true
	}
	probe := x.probe()
	defer x.done(probe)
	return slices.ContainsFunc(changes, func(c Change) bool {
		switch c = c.sure(); {
		case c.Table == "", slices.Contains(group.others, c.Table), c.Table == group.home && group.loosely:
			return true
		case c.Table != group.home:
			return false
		}
		return probe.look(&c, group) && probe.touches(guard)
	})
}

// Widen says that changes of a table are now known to change another table, too: what is under way
// or held out for the one is so for the other from now on, and all answers that read the other die.
func (x *Index) Widen(from, to string) []Kill {
	under := &Announcement{}
	under.mu.Lock()
	all := x.pend(under, Loose(to, Any))
	under.mu.Unlock()
	for _, p := range x.pendingOf(from) {
		x.widen(p.of, to)
	}
	// What has finished meanwhile has left its hold-out.
	if held := x.heldOf(from); !held.IsZero() {
		t := x.lock(to)
		t.hold(held)
		x.unlock(t)
	}
	killed := x.killed(all, nil)
	x.end(under, time.Time{})
	return killed
}

// widen adds a change of a table to what an announcement says, if it has not ended.
func (x *Index) widen(a *Announcement, to string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	// Once each: tables that reach one another would have theirs doubled by every call.
	if !a.over && !a.wide(to) {
		x.pend(a, Loose(to, Any)) // Widen searches for it
	}
}

// pendingOf returns what is pending for a table.
func (x *Index) pendingOf(name string) []*pending {
	t := x.find(name)
	if t == nil {
		return nil
	}
	defer x.unlock(t)
	return slices.Clone(t.pending)
}

// heldOf returns until when a table is held out.
func (x *Index) heldOf(name string) time.Time {
	t := x.find(name)
	if t == nil {
		return time.Time{}
	}
	defer x.unlock(t)
	return t.held
}

// HeldOut returns the tables that are held out now, "" for all, and how many writes had some held
// out so far.
func (x *Index) HeldOut() (tables []string, writes int64) {
	now := x.now()
	x.tables.Range(func(name, known any) bool {
		t := known.(*table)
		t.mu.Lock()
		held := !t.gone && now.Before(t.held)
		x.unlock(t)
		if held {
			tables = append(tables, Told(name.(string)))
		}
		return true
	})
	slices.Sort(tables)
	return slices.Compact(tables), x.holds.Load()
}

// Finish says that announced changes are visible now, or never will be. Where the end of a write
// cannot be seen, hold keeps answers from its tables from being stored for that long; 0 means not
// at all.
func (x *Index) Finish(a *Announcement, hold time.Duration) {
	now := x.now()
	var until time.Time
	if hold > 0 {
		until = now.Add(hold)
		x.holds.Add(1)
	}
	x.end(a, until)
	if x.known.Load() > x.sweep.Load() {
		x.eachTable(func(t *table) { t.settle(now) })
		x.sweep.Store(2*x.known.Load() + 64)
	}
}

func (x *Index) end(a *Announcement, until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	for _, p := range a.changes {
		t := x.lock(p.Table)
		if i := slices.Index(t.pending, p); i >= 0 {
			t.pending = slices.Delete(t.pending, i, i+1)
			if a.blocks {
				t.blocks.Add(-1)
			}
		}
		t.hold(until)
		x.unlock(t)
	}
	a.changes = nil
	if a.blocks {
		x.blocks.Add(-1)
	}
}

// Size returns how many guards are alive.
func (x *Index) Size() (n int) {
	x.eachTable(func(t *table) {
		for _, group := range t.groups {
			n += len(group.guards)
		}
	})
	return n
}
