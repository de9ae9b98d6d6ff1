package coherence

import "maps"

// search looks for the answers that one change can touch, a portion at a time: in between it lets
// the lock of the table go. The package's documentation says why nobody slips through.
type search struct {
	*Index
	change *Change
	kills  bool // what is found dies at once
	found  []Kill

	table *table // that is locked
	probe *probe
	work  int // since the lock was taken
	died  int // of the group that is looked at
}

// What a search does before it lets the lock go, and how much of that the parts of it are.
const (
	portion   = 4_000
	groupWork = 1  // a glance at a group
	lookWork  = 20 // a look at one
	guardWork = 2  // a look at a guard
	linkWork  = 10 // a link that is taken out
)

// did counts work, and lets the lock go for a moment when it was enough.
func (s *search) did(work int) {
	if s.work += work; s.work < portion {
		return
	}
	s.work = 0
	s.table.mu.Unlock()
	s.pause(searched)
	s.table.mu.Lock()
}

// in does something to a table that is locked, and let go and locked again in portions.
func (s *search) in(t *table, do func()) {
	if t == nil {
		return
	}
	s.table, s.work = t, 0
	t.searches++
	do()
	t.searches--
	s.unlock(t)
}

// run searches.
func (s *search) run() {
	if s.change.Table == "" {
		s.tables.Range(func(name, _ any) bool {
			s.in(s.find(name.(string)), func() { s.each(func(group *Group) { s.all(group, ByEverything) }) })
			return true
		})
		return
	}
	var others map[*Group]int
	s.in(s.find(s.change.Table), func() {
		others = maps.Clone(s.table.others)
		if len(s.table.groups) == 0 {
			return
		}
		s.probe = s.Index.probe()
		defer s.done(s.probe)
		s.probe.begin(s.change)
		s.each(func(group *Group) {
			if s.probe.glance(group) || group.loosely {
				s.look(group)
			}
		})
	})
	for group := range others {
		s.in(s.find(group.home), func() {
			s.all(group, ByTable)
			s.pay(group)
		})
	}
}

// each calls do with each group whose home the table is.
func (s *search) each(do func(*Group)) {
	for i := len(s.table.groups) - 1; i >= 0; i = min(i, len(s.table.groups)) - 1 {
		group := s.table.groups[i]
		do(group)
		s.pay(group)
		s.did(groupWork)
	}
}

// look searches a group.
func (s *search) look(group *Group) {
	switch {
	case group.loosely:
		s.all(group, ByTable)
	case s.probe.look(s.change, group):
		s.work += lookWork
		s.probe.candidates(s.visit)
	}
}

// all finds all answers of a group.
func (s *search) all(group *Group, reason Reason) {
	group.every(func(guard *Guard) {
		s.take(guard, reason)
		s.did(guardWork)
	})
}

// visit finds an answer if the change can touch it.
func (s *search) visit(guard *Guard, reason Reason) {
	if s.probe.touches(guard) {
		s.take(guard, reason)
	}
	s.did(guardWork)
}

// take finds an answer.
func (s *search) take(guard *Guard, reason Reason) {
	s.found = append(s.found, Kill{guard, Told(s.change.Table), reason})
	if s.kills {
		group := guard.group.Load()
		before := group.used
		s.table.kill(guard)
		s.work += linkWork * (before - group.used)
		s.died++
	}
}

// pay says at the other tables of a group how many of its answers died. The lock of the table is
// let go for that: locks of tables are leaves.
func (s *search) pay(group *Group) {
	died := s.died
	s.died = 0
	if died == 0 || len(group.others) == 0 {
		return
	}
	s.table.mu.Unlock()
	s.uncount(group, died)
	s.work = 0
	s.table.mu.Lock()
}
