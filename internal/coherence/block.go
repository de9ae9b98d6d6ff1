package coherence

import "slices"

// Block says that these changes are about to become visible, of which more will be known once they
// are. It holds back what Announce would kill: Serves says no to these answers, and none that is
// like them is leased, until Finish. Before that, Announce is called with what the changes were,
// for the answers that these touched; the others are served again.
func (x *Index) Block(changes ...Change) *Announcement {
	a := &Announcement{blocks: true}
	a.mu.Lock()
	defer a.mu.Unlock()
	x.blocks.Add(1)
	for _, change := range changes {
		x.pend(a, change)
	}
	return a
}

// Blocks reports whether any answers are held back.
func (x *Index) Blocks() bool { return x.blocks.Load() > 0 }

// Serves reports whether the answer of a guard may be served: it is alive, and not held back. What
// held it back kills it first and lets go of it then, so that it is asked the other way round.
func (x *Index) Serves(guard *Guard) bool {
	return (x.blocks.Load() == 0 || !x.holdsBack(guard)) && !guard.Dead()
}

// holdsBack reports whether a change that a Block announced could touch the answer of a guard.
func (x *Index) holdsBack(guard *Guard) bool {
	group := guard.group.Load()
	if group == nil {
		return false // it was never leased
	}
	if x.blocksTable("") || slices.ContainsFunc(group.others, x.blocksTable) {
		return true
	}
	if !x.blocksTable(group.home) {
		return false
	}
	t := x.find(group.home)
	if t == nil {
		return false
	}
	defer x.unlock(t)
	if !guard.linked || group.loosely {
		return true
	}
	return t.pends(x, group, guard, func(p *pending) bool { return p.of.blocks })
}

// blocksTable reports whether answers that read a table are held back. Nobody waits for it: most
// answers read other tables.
func (x *Index) blocksTable(name string) bool {
	t, ok := x.tables.Load(name)
	return ok && t.(*table).blocks.Load() > 0
}
