package clone

import "unsafe"

// place names a reference that was copied: its target's address and plan, and
// kind, which tells a pointer's target from a slice and from what an interface
// keeps at one address.
type place struct {
	ptr  unsafe.Pointer
	plan *Plan
	kind int
}

const (
	kindPointer = 0 // maps too: their plan is the map's own
	kindBox     = -1
	kindSlice   = 1 // plus the length
)

type entry struct {
	place
	copy unsafe.Pointer
}

// memo finds the copy of a place. It is a table of its own, as a Go map's cost
// would be most of the cost of copying a small tree: up to fewEntries they are
// compared one by one, then found by hash.
type memo struct {
	entries []entry
	table   []uint32 // position in entries plus one; a power of two of them
}

const (
	fewEntries = 8
	// keepEntries bounds what a memo keeps allocated for its next use.
	keepEntries = 4096
)

func (m *memo) find(at place) (unsafe.Pointer, bool) {
	if len(m.table) == 0 {
		for i := range m.entries {
			if m.entries[i].place == at {
				return m.entries[i].copy, true
			}
		}
		return nil, false
	}
	for h := at.hash(); ; h++ {
		i := m.table[h&uint64(len(m.table)-1)]
		if i == 0 {
			return nil, false
		}
		if e := &m.entries[i-1]; e.place == at {
			return e.copy, true
		}
	}
}

// put adds a place that find did not find.
func (m *memo) put(at place, copy unsafe.Pointer) {
	m.entries = append(m.entries, entry{at, copy})
	switch n := len(m.entries); {
	case n <= fewEntries:
	case 2*n > len(m.table):
		size := max(64, 2*len(m.table))
		if cap(m.table) >= size {
			m.table = m.table[:size]
			clear(m.table)
		} else {
			m.table = make([]uint32, size)
		}
		for i := range m.entries {
			m.place(i)
		}
	default:
		m.place(n - 1)
	}
}

func (m *memo) place(i int) {
	h := m.entries[i].hash()
	for m.table[h&uint64(len(m.table)-1)] != 0 {
		h++
	}
	m.table[h&uint64(len(m.table)-1)] = uint32(i + 1)
}

func (p place) hash() uint64 {
	h := (uint64(uintptr(p.ptr)) + uint64(p.kind)*0x9e3779b97f4a7c15) * 0xff51afd7ed558ccd
	return h ^ h>>32
}

func (m *memo) reset() {
	if cap(m.entries) > keepEntries {
		*m = memo{}
		return
	}
	clear(m.entries)
	m.entries, m.table = m.entries[:0], m.table[:0]
}
