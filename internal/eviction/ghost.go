package eviction

import "unsafe"

// fingerprint is what is remembered of a key. Two keys have the same one by chance in a billion,
// which makes of a node that is new one that is known.
type fingerprint uint32

// fingerprintOf returns the fingerprint of a key with this hash: never 0, and its lower two bits
// are.
func fingerprintOf(hash uint64) fingerprint {
	return max(places+1, fingerprint(hash>>32)&^places)
}

// ghost remembers the last keys of nodes that left, by their fingerprints. The zero value is ready,
// and remembers nothing until fit has made room in it.
//
// It is a ring of slots, each of which is in a chain with those whose fingerprints begin alike.
type ghost struct {
	slots  []slot
	chains []uint32 // where each begins: 1 + the slot that was written last; 0 for none
	next   int      // the slot that is written next
	count  int      // how many of the slots before that are remembered, with those taken out since
}

type slot struct {
	key   fingerprint // 0 if it was taken out
	older uint32      // 1 + the next slot of its chain; 0 for none
}

// fit sees to it that there is a slot for each of so many nodes, of which there may be most, and
// that there are not many more. It leaves some room where the number changes.
func (g *ghost) fit(nodes, most int) {
	if n := len(g.slots); n < nodes || n > 2*nodes+leastSlots {
		g.resize(min(nodes+nodes/8+leastSlots, most))
	}
}

// leastSlots keeps few nodes from changing the size of the ghost all the time.
const leastSlots = 16

// keep forgets all but the last so many.
func (g *ghost) keep(n int) { g.count = min(g.count, n) }

func (g *ghost) resize(n int) {
	old := *g
	*g = ghost{slots: make([]slot, n), chains: make([]uint32, n)}
	for age := min(n, old.count); age > 0; age-- {
		at := (old.next - age + len(old.slots)) % len(old.slots)
		g.write(old.slots[at].key, n)
	}
}

// add remembers a fingerprint, and forgets all but the last additions, limit of them.
func (g *ghost) add(key fingerprint, limit int) {
	if len(g.slots) > 0 {
		g.write(key, limit)
	}
}

func (g *ghost) write(key fingerprint, limit int) {
	if g.slots[g.next].key != 0 {
		g.unlink(g.next)
	}
	if key != 0 {
		chain := g.chain(key)
		g.slots[g.next] = slot{key, *chain}
		*chain = uint32(g.next) + 1
	}
	g.next = (g.next + 1) % len(g.slots)
	g.count = min(g.count+1, limit, len(g.slots))
}

// remove forgets a fingerprint. It reports whether that was remembered.
func (g *ghost) remove(key fingerprint) bool {
	if len(g.slots) == 0 {
		return false
	}
	for at := *g.chain(key); at != 0; at = g.slots[at-1].older {
		if g.slots[at-1].key != key {
			continue
		}
		if age := (g.next - int(at) + len(g.slots)) % len(g.slots); age >= g.count {
			return false
		}
		g.unlink(int(at) - 1)
		return true
	}
	return false
}

// chain returns where the chain of a fingerprint begins.
func (g *ghost) chain(key fingerprint) *uint32 {
	return &g.chains[uint64(key)*uint64(len(g.chains))>>32]
}

// unlink takes the fingerprint in a slot out.
func (g *ghost) unlink(at int) {
	link := g.chain(g.slots[at].key)
	for *link != uint32(at)+1 {
		link = &g.slots[*link-1].older
	}
	*link = g.slots[at].older
	g.slots[at] = slot{}
}

// bytes is what the ghost holds.
func (g *ghost) bytes() int64 {
	return int64(len(g.slots)) * int64(unsafe.Sizeof(slot{})+unsafe.Sizeof(uint32(0)))
}
