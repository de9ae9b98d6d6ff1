package prediction

import (
	"hash/maphash"
	"unsafe"
)

const (
	// successors is how many keys a node of the chain remembers that came after its own.
	successors = 4
	// chainWindow is how many accesses of a session, to different keys, an access counts as coming
	// right after: with it, four.
	chainWindow = 3
	// chainHalving is the count of a node at which it and those of its successors are halved, so
	// that what is new counts more.
	chainHalving = 32
	// chainSupport is how often one key must have come after another to be expected there.
	chainSupport = 2
	// maxChainKey is the length up to which keys have nodes.
	maxChainKey = 256
)

// nodeBytes is about what a node takes besides its key: itself, with what its slice has grown
// beyond need, and its place in the index.
const nodeBytes = int64(unsafe.Sizeof(node{}))*5/4 + 40

// chain is a graph of keys that follow each other. Its nodes are bounded: the least recently used
// leave, as CLOCK sees them.
type chain struct {
	limit int
	keys  int64 // bytes of the keys of all nodes
	seed  maphash.Seed
	index map[uint64]uint32 // by the hash of the key; of two keys with one hash, one has a node
	nodes []node
	hand  uint32
}

// node is a key, how often it was asked for, and what came then. It fills a cache line.
type node struct {
	key   string
	hash  uint64
	next  [successors]link
	count uint8
	used  bool // since the hand came by
}

// link leads to a node, if it still is the one it was.
type link struct {
	to    uint32
	hash  uint16 // the lowest bits of the node's
	count uint8
}

func newChain(limit int) *chain {
	return &chain{limit: max(limit, 1), seed: maphash.MakeSeed(), index: map[uint64]uint32{}}
}

func (c *chain) clear() {
	c.index = map[uint64]uint32{}
	c.nodes, c.hand, c.keys = nil, 0, 0
}

// bytes returns about how much memory the chain holds.
func (c *chain) bytes() int64 { return int64(len(c.nodes))*nodeBytes + c.keys }

// nodesIn returns how many nodes there can be in so much memory, whatever their keys are.
func nodesIn(bytes int64) int { return int(max(1, bytes/(nodeBytes+textBytes(maxChainKey)))) }

// textBytes is what the allocator uses for a text: it rounds up, by an eighth at most but for short
// ones.
func textBytes(length int) int64 { return int64(length) + int64(length)/16 + 8 }

// find returns where the node of a key is.
func (c *chain) find(key string) (at uint32, ok bool) {
	at, ok = c.index[maphash.String(c.seed, key)]
	return at, ok && c.nodes[at].key == key
}

// touch counts an access to a key and returns where its node is.
func (c *chain) touch(key string) (at uint32, ok bool) {
	if len(key) > maxChainKey {
		return 0, false
	}
	hash := maphash.String(c.seed, key)
	at, ok = c.index[hash]
	if ok && c.nodes[at].key != key {
		return 0, false
	}
	if !ok {
		at = c.place()
		c.index[hash] = at
		c.nodes[at] = node{key: key, hash: hash}
		c.keys += textBytes(len(key))
	}
	n := &c.nodes[at]
	n.used = true
	if n.count++; n.count >= chainHalving {
		n.count /= 2
		for i := range n.next {
			n.next[i].count /= 2
		}
	}
	return at, true
}

// is reports whether a node is still that of a key.
func (c *chain) is(at uint32, key string) bool {
	return int(at) < len(c.nodes) && c.nodes[at].key == key
}

// place returns where a new node may be: behind the others, or where one leaves.
func (c *chain) place() uint32 {
	if len(c.nodes) < c.limit {
		c.nodes = append(c.nodes, node{})
		return uint32(len(c.nodes) - 1)
	}
	for c.nodes[c.hand].used {
		c.nodes[c.hand].used = false
		c.hand = (c.hand + 1) % uint32(len(c.nodes))
	}
	at := c.hand
	c.hand = (c.hand + 1) % uint32(len(c.nodes))
	delete(c.index, c.nodes[at].hash)
	c.keys -= textBytes(len(c.nodes[at].key))
	return at
}

// follow counts that one key came after another.
func (c *chain) follow(from, to uint32) {
	f, hash := &c.nodes[from], uint16(c.nodes[to].hash)
	least := 0
	for i := range f.next {
		l := &f.next[i]
		if l.count > 0 && l.to == to && l.hash == hash {
			l.count = min(l.count+1, chainHalving)
			return
		}
		if l.count < f.next[least].count {
			least = i
		}
	}
	// What came least often loses its place, but not at once.
	if l := &f.next[least]; l.count <= 1 {
		*l = link{to, hash, 1}
	} else {
		l.count--
	}
}

// successor is a key that came after another, and how likely it comes again.
type successor struct {
	key         string
	probability float64
}

// after returns what usually comes after a key.
func (c *chain) after(key string, found []successor) []successor {
	at, ok := c.find(key)
	if !ok {
		return found
	}
	n := &c.nodes[at]
	for _, l := range n.next {
		if l.count < chainSupport || uint16(c.nodes[l.to].hash) != l.hash {
			continue
		}
		found = append(found, successor{c.nodes[l.to].key, min(1, float64(l.count)/float64(n.count))})
	}
	return found
}

// links counts what is remembered of what follows.
func (c *chain) links() (n int) {
	for i := range c.nodes {
		for _, l := range c.nodes[i].next {
			if l.count >= chainSupport {
				n++
			}
		}
	}
	return n
}
