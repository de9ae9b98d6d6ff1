// Package coherence decides which answers a change can have made wrong.
//
// It keeps, for every answer that is stored or being loaded, a Guard: alive while the answer may be served
// or stored, dead for ever once a change could have touched it. Guards stand in Groups (all answers of one
// query shape) and a Group says on which tables, and on which kinds of change, its answers depend.
//
// A change is announced before the database can make it visible and finished after it has. Announcing kills
// the guards that it could touch; until it is finished no new guard that it could touch is given out. So:
//
//   - an answer that is served was alive at some moment at which no change that could touch it was under way
//     or done since it was read: it is what the database would have said at that moment;
//   - an answer read from the database while a change was becoming visible, which may be either the old or
//     the new one, is never kept.
//
// Killing only after the change would let one reader see the new value (from the database) and a later
// reader the old one (from memory).
//
// The one mutex of an Index is a leaf: nothing is called while it is held. Guards are checked without it.
package coherence

import (
	"sync"
	"sync/atomic"
	"time"
)

// Kind is a set of kinds of change.
type Kind uint8

// The kinds of change, as bits of a set.
const (
	Insert Kind = 1 << iota
	Update
	Delete
	Any = Insert | Update | Delete

	kinds = 3
)

// Change is what one write did to one table. The zero Table stands for every table.
type Change struct {
	Table string
	Kinds Kind
}

// Everything is the change that could have touched any answer.
var Everything = Change{Kinds: Any}

// Dependency says that changes of these kinds to a table can change an answer.
type Dependency struct {
	Table string
	Kinds Kind
}

// Group holds the guards of answers that depend on the same tables. Its fields belong to the Index.
type Group struct {
	dependencies []Dependency
	guards       Guard // head of a ring; an empty ring points to itself
	size         int
}

// NewGroup returns a group whose answers depend on these tables. A group is used with one Index only.
func NewGroup(dependencies []Dependency) *Group {
	g := &Group{dependencies: dependencies}
	g.guards.prev, g.guards.next = &g.guards, &g.guards
	return g
}

// Guard is the liveness of one answer: of a lease while it is being loaded, of an entry once it is stored.
type Guard struct {
	Owner any // whatever the caller wants back from Announce; not touched here

	dead       atomic.Bool
	group      *Group // nil when not linked
	prev, next *Guard
}

// Dead reports whether a change could have touched the answer, or its guard was released.
// It may be called at any time, by any goroutine.
func (g *Guard) Dead() bool { return g.dead.Load() }

// table is what the index knows of one table; it exists while some field of it is not zero.
type table struct {
	groups  map[*Group]Kind
	pending [kinds]int // changes announced and not finished, by kind
	held    [kinds]time.Time
}

// Index finds the guards that a change can touch. It is safe for concurrent use.
type Index struct {
	now func() time.Time

	mu     sync.Mutex
	tables map[string]*table // by name; "" counts for all
	groups map[*Group]struct{}
	sweep  int // how many tables there may be before those are looked for whose hold-out is over
}

// New returns an empty index that reads the end of hold-outs off now.
func New(now func() time.Time) *Index {
	return &Index{now: now, tables: map[string]*table{}, groups: map[*Group]struct{}{}}
}

// Lease gives out a guard for an answer that is about to be read, or nil while a change that could touch it
// is under way or its tables are held out: such an answer may be used but not kept.
func (x *Index) Lease(group *Group, owner any) *Guard {
	guard, now := &Guard{Owner: owner}, x.now()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.blocked(group, now) {
		return nil
	}
	if group.size == 0 {
		x.link(group)
	}
	group.size++
	guard.group = group
	head := &group.guards
	guard.prev, guard.next = head.prev, head
	head.prev.next, head.prev = guard, guard
	return guard
}

// Release ends a guard that will not be needed any more: it is dead afterwards.
func (x *Index) Release(guard *Guard) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.kill(guard)
}

// Depend gives a group other dependencies. Its guards, which were given out under the old ones, die.
func (x *Index) Depend(group *Group, dependencies []Dependency) (killed []*Guard) {
	x.mu.Lock()
	defer x.mu.Unlock()
	killed = x.empty(group, nil)
	group.dependencies = dependencies
	return killed
}

// Announce says that these changes are about to become visible. It returns the guards that it killed.
// Each Announce is followed by exactly one Finish with the same changes.
func (x *Index) Announce(changes ...Change) (killed []*Guard) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, change := range changes {
		t := x.table(change.Table)
		for i := range kinds {
			if change.Kinds&(1<<i) != 0 {
				t.pending[i]++
			}
		}
		if change.Table == "" {
			for group := range x.groups {
				killed = x.empty(group, killed)
			}
			continue
		}
		for group, on := range t.groups {
			if on&change.Kinds != 0 {
				killed = x.empty(group, killed)
			}
		}
	}
	return killed
}

// Finish says that announced changes are visible now, or never will be. Where the end of a write cannot be
// seen, hold keeps what it could touch from being stored for that long; 0 means not at all.
func (x *Index) Finish(hold time.Duration, changes ...Change) {
	now := x.now()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, change := range changes {
		t := x.table(change.Table)
		for i := range kinds {
			if change.Kinds&(1<<i) == 0 {
				continue
			}
			t.pending[i]--
			if hold <= 0 {
				continue
			}
			if until := now.Add(hold); until.After(t.held[i]) {
				t.held[i] = until
			}
		}
		x.drop(change.Table, t)
	}
	if len(x.tables) > x.sweep {
		for name, t := range x.tables {
			x.settle(t, now)
			x.drop(name, t)
		}
		x.sweep = 2*len(x.tables) + 64
	}
}

// Size returns how many guards are alive.
func (x *Index) Size() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	for group := range x.groups {
		n += group.size
	}
	return n
}

func (x *Index) blocked(group *Group, now time.Time) bool {
	if t := x.tables[""]; t != nil && x.blocks("", t, Any, now) {
		return true
	}
	for _, d := range group.dependencies {
		if t := x.tables[d.Table]; t != nil && x.blocks(d.Table, t, d.Kinds, now) {
			return true
		}
	}
	return false
}

func (x *Index) blocks(name string, t *table, on Kind, now time.Time) bool {
	x.settle(t, now)
	for i := range kinds {
		if on&(1<<i) != 0 && (t.pending[i] > 0 || !t.held[i].IsZero()) {
			return true
		}
	}
	x.drop(name, t)
	return false
}

// settle ends the hold-outs of a table that are over.
func (x *Index) settle(t *table, now time.Time) {
	for i := range kinds {
		if !now.Before(t.held[i]) {
			t.held[i] = time.Time{}
		}
	}
}

func (x *Index) table(name string) *table {
	t := x.tables[name]
	if t == nil {
		t = &table{groups: map[*Group]Kind{}}
		x.tables[name] = t
	}
	return t
}

// drop forgets a table of which nothing is left to know, so that names in raw SQL cannot pile up.
func (x *Index) drop(name string, t *table) {
	if len(t.groups) == 0 && t.pending == [kinds]int{} && t.held == [kinds]time.Time{} {
		delete(x.tables, name)
	}
}

func (x *Index) link(group *Group) {
	x.groups[group] = struct{}{}
	for _, d := range group.dependencies {
		x.table(d.Table).groups[group] |= d.Kinds
	}
}

func (x *Index) unlink(group *Group) {
	delete(x.groups, group)
	for _, d := range group.dependencies {
		if t := x.tables[d.Table]; t != nil {
			delete(t.groups, group)
			x.drop(d.Table, t)
		}
	}
}

func (x *Index) empty(group *Group, killed []*Guard) []*Guard {
	for group.size > 0 {
		guard := group.guards.next
		x.kill(guard)
		killed = append(killed, guard)
	}
	return killed
}

func (x *Index) kill(guard *Guard) {
	guard.dead.Store(true)
	group := guard.group
	if group == nil {
		return
	}
	guard.prev.next, guard.next.prev = guard.next, guard.prev
	guard.prev, guard.next, guard.group = nil, nil, nil
	group.size--
	if group.size == 0 {
		x.unlink(group)
	}
}
