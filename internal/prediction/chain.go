package prediction

import (
	"encoding/binary"
	"strings"
	"unsafe"
)

const (
	// successors is how many keys a node of the chain remembers that came after its own.
	successors = 4
	// chainWindow is how many accesses of a session, to different keys, an access counts as coming
	// right after; wholeWindow, of a session that is told whole.
	chainWindow = 3
	wholeWindow = 4
	// chainHalving is the count of a node at which it and those of its successors are halved, so
	// that what is new counts more.
	chainHalving = 32
	// chainSupport is how often one key must have come after another to be expected there.
	chainSupport = 2
	// maxChainKey is the length up to which keys have nodes.
	maxChainKey = 256

	// chunkNodes is how many nodes are made at a time. They fill whole pages.
	chunkNodes = 1 << 11
	// Of the places by which nodes are found, at most so many fifths are taken.
	fullIndex = 4
	// smallestIndex is how many places there are at first.
	smallestIndex = 1 << 6
)

// chain is a graph of keys that follow each other. Its nodes are bounded, and so is what they hold:
// the least recently used leave, as CLOCK sees them. What the keys of one prefix have in common is
// kept once.
type chain struct {
	most   int // nodes
	index  []uint32
	chunks [][]node
	free   []uint32 // nodes that have no key
	made   int      // nodes, with those that are free
	hand   uint32
	texts  texts
	shapes shapes
	packed []byte // memory for one key
}

// node is a key, how often it was asked for, and what came then.
type node struct {
	hash  [2]uint32 // of the key; a node that is free has none
	next  [successors]link
	check [successors]uint16 // the lowest bits of the hashes of those
	// text is the key behind its prefix, packed: the first byte is its length if the rest is here,
	// or else inTexts.
	text  [8]byte
	shape uint16
	count uint8
	used  bool // since the hand came by
}

// inTexts says that the text of a node is among the texts: its length is in the bytes 2 and 3, and
// its place in the last 4.
const inTexts = 0xff

// link leads to a node, if it still is the one it was, and counts how often it was come by. The
// number of the node is in the upper bits.
type link uint32

const (
	linkCount = 6 // bits
	mostNodes = 1 << (32 - linkCount)
)

func (l link) to() uint32 { return uint32(l >> linkCount) }
func (l link) count() int { return int(l & (1<<linkCount - 1)) }

func (n *node) sum() uint64 { return uint64(n.hash[0]) | uint64(n.hash[1])<<32 }
func (n *node) low() uint16 { return uint16(n.hash[0]) }

func newChain(nodes int, bytes int64) *chain {
	c := &chain{most: max(1, min(nodes, mostNodes-1, int(bytes*3/4/nodeBytes)))}
	c.texts.most = max(1, bytes-int64(c.most)*nodeBytes)
	c.clear()
	return c
}

func (c *chain) clear() {
	*c = chain{most: c.most, texts: texts{most: c.texts.most}}
	c.shapes.clear()
}

// nodeBytes is what a node takes besides its text, at most.
const nodeBytes = int64(unsafe.Sizeof(node{})) + 10

// bytes returns how much memory the chain holds.
func (c *chain) bytes() int64 {
	n := int64(cap(c.index)+cap(c.free))*4 + int64(cap(c.texts.log)) + c.shapes.bytes
	for _, chunk := range c.chunks {
		n += int64(cap(chunk)) * int64(unsafe.Sizeof(node{}))
	}
	return n
}

func (c *chain) at(i uint32) *node { return &c.chunks[i/chunkNodes][i%chunkNodes] }

// nodes returns how many keys have nodes.
func (c *chain) nodes() int { return c.made - len(c.free) }

// find returns where the node of a key is.
func (c *chain) find(hash uint64) (at uint32, ok bool) {
	if len(c.index) == 0 {
		return 0, false
	}
	mask := uint64(len(c.index) - 1)
	for place := hash & mask; c.index[place] != 0; place = (place + 1) & mask {
		if at := c.index[place] - 1; c.at(at).sum() == hash {
			return at, true
		}
	}
	return 0, false
}

// put makes a node be found.
func (c *chain) put(hash uint64, at uint32) {
	mask := uint64(len(c.index) - 1)
	place := hash & mask
	for c.index[place] != 0 {
		place = (place + 1) & mask
	}
	c.index[place] = at + 1
}

// lose makes a node be found no more. Those behind it move up, so that there is no gap before any.
func (c *chain) lose(hash uint64) {
	mask := uint64(len(c.index) - 1)
	gap := hash & mask
	for c.at(c.index[gap]-1).sum() != hash {
		gap = (gap + 1) & mask
	}
	for place := (gap + 1) & mask; c.index[place] != 0; place = (place + 1) & mask {
		home := c.at(c.index[place]-1).sum() & mask
		if (place-home)&mask >= (place-gap)&mask {
			c.index[gap] = c.index[place]
			gap = place
		}
	}
	c.index[gap] = 0
}

// add makes a node for a key that has none, and counts an access to it; false where the key gets
// none: it is too long, or of a shape whose keys do not come again. prefix is how much of the key
// it shares with others. Accesses that are told whole tell whether keys come again.
func (c *chain) add(hash uint64, key string, prefix int, whole bool) (at uint32, ok bool) {
	if len(key) > maxChainKey {
		return 0, false
	}
	shape := c.shapes.of(key[:prefix])
	if c.shapes.refuses(shape, hash) {
		return 0, false
	}
	if whole {
		c.shapes.saw(shape, false)
	}
	if shape == 0 {
		prefix = 0
	}
	at = c.make(hash, key[prefix:], shape)
	n := c.at(at)
	n.used, n.count = true, 1
	return at, true
}

// touch counts an access to the key of a node.
func (c *chain) touch(at uint32, whole bool) {
	n := c.at(at)
	if whole {
		c.shapes.saw(n.shape, true)
	}
	n.used = true
	if n.count++; n.count >= chainHalving {
		n.count /= 2
		for i, l := range n.next {
			n.next[i] = l&^(1<<linkCount-1) | link(l.count()/2)
		}
	}
}

// make makes a node.
func (c *chain) make(hash uint64, text string, shape uint16) uint32 {
	c.packed = pack(c.packed[:0], text)
	at := c.place()
	n := c.at(at)
	*n = node{hash: [2]uint32{uint32(hash), uint32(hash >> 32)}, shape: shape}
	c.shapes.all[shape].nodes++
	if len(c.packed) < len(n.text) {
		n.text[0] = byte(len(c.packed))
		copy(n.text[1:], c.packed)
	} else {
		// Others leave until there is room, and this one is found later than they are.
		for !c.texts.room(len(c.packed)) && c.nodes() > 1 {
			c.evict(at)
		}
		if c.texts.full(len(c.packed)) {
			c.compact(at)
		}
		n.text[0] = inTexts
		binary.LittleEndian.PutUint16(n.text[2:], uint16(len(c.packed)))
		binary.LittleEndian.PutUint32(n.text[4:], c.texts.add(c.packed))
	}
	if c.nodes()*5 > len(c.index)*fullIndex {
		c.grow(at)
	}
	c.put(hash, at)
	return at
}

// grow doubles the places by which nodes are found; one node is not to be found yet.
func (c *chain) grow(but uint32) {
	c.index = make([]uint32, max(smallestIndex, 2*len(c.index)))
	for i := range uint32(c.made) {
		if n := c.at(i); i != but && n.sum() != 0 {
			c.put(n.sum(), i)
		}
	}
}

// place returns where a new node may be: where one was before, behind the others, or where one
// leaves.
func (c *chain) place() uint32 {
	if len(c.free) == 0 && c.made >= c.most {
		c.evict(uint32(c.most))
	}
	if last := len(c.free) - 1; last >= 0 {
		at := c.free[last]
		c.free = c.free[:last]
		return at
	}
	if c.made%chunkNodes == 0 {
		c.chunks = append(c.chunks, make([]node, min(chunkNodes, c.most-c.made)))
	}
	c.made++
	return uint32(c.made - 1)
}

// evict has a node leave, but for one.
func (c *chain) evict(but uint32) {
	for {
		at := c.hand
		if c.hand++; int(c.hand) >= c.made {
			c.hand = 0
		}
		n := c.at(at)
		if at == but || n.sum() == 0 {
			continue
		}
		if n.used {
			n.used = false
			continue
		}
		c.lose(n.sum())
		c.shapes.all[n.shape].nodes--
		if n.text[0] == inTexts {
			c.texts.live -= int(binary.LittleEndian.Uint16(n.text[2:]))
		}
		*n = node{}
		c.free = append(c.free, at)
		return
	}
}

// compact makes the texts anew of those that are still those of nodes; one has none yet.
func (c *chain) compact(but uint32) {
	old := c.texts.renew()
	for i := range uint32(c.made) {
		if n := c.at(i); i != but && n.text[0] == inTexts {
			length, from := binary.LittleEndian.Uint16(n.text[2:]), binary.LittleEndian.Uint32(n.text[4:])
			binary.LittleEndian.PutUint32(n.text[4:], c.texts.add(old[from:from+uint32(length)]))
		}
	}
}

// key returns the key of a node.
func (c *chain) key(at uint32) string {
	n := c.at(at)
	packed := n.text[1 : 1+min(n.text[0], 7)]
	if n.text[0] == inTexts {
		length, from := binary.LittleEndian.Uint16(n.text[2:]), binary.LittleEndian.Uint32(n.text[4:])
		packed = c.texts.log[from : from+uint32(length)]
	}
	c.packed = unpack(append(c.packed[:0], c.shapes.all[n.shape].prefix...), packed)
	return string(c.packed)
}

// is reports whether a node is still that of a key.
func (c *chain) is(at uint32, hash uint64) bool { return int(at) < c.made && c.at(at).sum() == hash }

// follow counts that one key came after another.
func (c *chain) follow(from, to uint32) {
	f, check := c.at(from), c.at(to).low()
	least := 0
	for i, l := range f.next {
		if l.count() > 0 && l.to() == to && f.check[i] == check {
			if l.count() < chainHalving {
				f.next[i]++
			}
			return
		}
		if l.count() < f.next[least].count() {
			least = i
		}
	}
	// What came least often loses its place, but not at once.
	if f.next[least].count() <= 1 {
		f.next[least], f.check[least] = link(to<<linkCount|1), check
	} else {
		f.next[least]--
	}
}

// successor is a key that came after another, and how likely it comes again.
type successor struct {
	node        uint32
	hash        uint64
	probability float64
}

// after returns what usually comes after the key of a node, if it is at least so likely.
func (c *chain) after(at uint32, least float64, found []successor) []successor {
	n := c.at(at)
	for i, l := range n.next {
		p := min(1, float64(l.count())/float64(n.count))
		if l.count() < chainSupport || p < least {
			continue
		}
		if to := c.at(l.to()); to.low() == n.check[i] && to.sum() != 0 {
			found = append(found, successor{l.to(), to.sum(), p})
		}
	}
	return found
}

// links counts what is remembered of what follows.
func (c *chain) links() (n int) {
	for _, chunk := range c.chunks {
		for i := range chunk {
			for _, l := range chunk[i].next {
				if l.count() >= chainSupport {
					n++
				}
			}
		}
	}
	return n
}

// texts are those that do not fit into nodes, one behind the other.
type texts struct {
	most int64
	log  []byte
	live int // bytes of those that are still in use
}

const (
	// leastTexts is how much memory texts have at first.
	leastTexts = 4 << 10
	// Of the memory of texts, at most so many quarters are in use.
	fullTexts = 3
)

// room reports whether there may be so many bytes more.
func (t *texts) room(n int) bool { return int64(t.live+n)*4 <= t.most*fullTexts }

// full reports whether there is no place for so many bytes more until texts are made anew.
func (t *texts) full(n int) bool { return len(t.log)+n > cap(t.log) }

// renew makes memory for the texts in use and as much as half of that, and returns what there was.
func (t *texts) renew() (old []byte) {
	old = t.log
	size := max(leastTexts, int64(t.live)*3/2)
	t.log, t.live = make([]byte, 0, max(int64(t.live)+maxChainKey*2, min(size, t.most))), 0
	return old
}

// add returns where a text is from now on.
func (t *texts) add(text []byte) (at uint32) {
	at = uint32(len(t.log))
	t.log = append(t.log, text...)
	t.live += len(text)
	return at
}

// shapes are the prefixes that keys share, by their numbers. Number 0 is of keys that share none.
type shapes struct {
	all      []shape
	byPrefix map[string]uint16
	bytes    int64
}

// shape is a prefix of keys, and whether they come again.
type shape struct {
	prefix     string
	nodes      int // that have it
	fresh, old int // of the accesses that were seen whole, those of keys without a node and with one
}

const (
	// maxShapes bounds the prefixes that are kept; keys of others are kept as a whole.
	maxShapes = 1 << 12
	// shapeBytes is about what a prefix takes besides its text.
	shapeBytes = int64(unsafe.Sizeof(shape{}))*3/2 + 64
	// A shape is held out whose keys had a node less than once in neverAgain accesses, of enough
	// that were seen. Of its keys 1 in stillSeen has a node, and tells when that ends.
	neverAgain  = 32
	enoughFresh = 1 << 10
	stillSeen   = 16
)

func (s *shapes) clear() {
	s.all, s.byPrefix, s.bytes = make([]shape, 1), map[string]uint16{}, 0
}

// of returns the number of a prefix.
func (s *shapes) of(prefix string) uint16 {
	if prefix == "" {
		return 0
	}
	if i, ok := s.byPrefix[prefix]; ok {
		return i
	}
	i := len(s.all)
	if i < maxShapes {
		s.all = append(s.all, shape{})
	} else {
		for i = 1; i < maxShapes && s.all[i].nodes > 0; i++ {
		}
		if i == maxShapes {
			return 0
		}
		s.bytes -= shapeBytes + textBytes(len(s.all[i].prefix))
		delete(s.byPrefix, s.all[i].prefix)
	}
	own := strings.Clone(prefix)
	s.all[i] = shape{prefix: own}
	s.byPrefix[own] = uint16(i)
	s.bytes += shapeBytes + textBytes(len(own))
	return uint16(i)
}

// saw counts an access that was seen whole.
func (s *shapes) saw(i uint16, old bool) {
	one := &s.all[i]
	if old {
		one.old++
	} else {
		one.fresh++
	}
	if one.fresh+one.old >= 4*enoughFresh {
		one.fresh, one.old = one.fresh/2, one.old/2
	}
}

// refuses reports whether a key gets no node because those of its shape do not come again.
func (s *shapes) refuses(i uint16, hash uint64) bool {
	one := &s.all[i]
	return i != 0 && one.fresh >= enoughFresh && one.old*neverAgain < one.fresh && hash>>40%stillSeen != 0
}

// textBytes is what the allocator uses for a text: it rounds up, by an eighth at most but for short
// ones.
func textBytes(length int) int64 { return int64(length) + int64(length)/16 + 8 }
