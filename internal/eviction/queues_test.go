package eviction

import (
	"container/list"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// cached is a cache of keys.
type cached struct {
	*Queues[uint64]
	nodes map[uint64]*Node[uint64]
}

func newCached(maxNodes int, maxWeight int64) *cached {
	return &cached{New[uint64](maxNodes, maxWeight), map[uint64]*Node[uint64]{}}
}

// hashOf returns a hash of a key.
func hashOf(key uint64) uint64 {
	key = (key ^ key>>33) * 0xff51afd7ed558ccd
	key = (key ^ key>>33) * 0xc4ceb9fe1a85ec53
	return key ^ key>>33
}

// access uses a key that is in, or puts it in. It reports whether the key was in.
func (c *cached) access(key uint64, weight int64) (hit bool) {
	if n := c.nodes[key]; n != nil {
		n.Use()
		return true
	}
	c.put(key, weight)
	return false
}

// put puts a key in, in place of itself if it is in, and returns what left.
func (c *cached) put(key uint64, weight int64) (left []uint64) {
	n := &Node[uint64]{Owner: key}
	victims, ok := c.Add(n, hashOf(key), weight, c.nodes[key])
	if !ok {
		return nil
	}
	c.nodes[key] = n
	for _, v := range victims {
		left = append(left, v.Owner)
		delete(c.nodes, v.Owner)
	}
	return left
}

func (c *cached) remove(key uint64) {
	c.Remove(c.nodes[key])
	delete(c.nodes, key)
}

// in returns the keys that are in a queue.
func (c *cached) in(p place) (keys []uint64) {
	for key, n := range c.nodes {
		if n.mark.place() == p {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// lru is a cache of the keys that were used last, to compare with.
type lru struct {
	maxNodes  int
	maxWeight int64
	order     *list.List
	at        map[uint64]*list.Element
	weights   map[uint64]int64
	weight    int64
}

func newLRU(maxNodes int, maxWeight int64) *lru {
	return &lru{maxNodes: maxNodes, maxWeight: maxWeight, order: list.New(), at: map[uint64]*list.Element{}, weights: map[uint64]int64{}}
}

func (l *lru) access(key uint64, weight int64) (hit bool) {
	if at := l.at[key]; at != nil {
		l.order.MoveToFront(at)
		return true
	}
	if weight > l.maxWeight {
		return false
	}
	for l.order.Len() >= l.maxNodes || l.weight+weight > l.maxWeight {
		left := l.order.Remove(l.order.Back()).(uint64)
		l.weight -= l.weights[left]
		delete(l.at, left)
	}
	l.at[key], l.weights[key] = l.order.PushFront(key), weight
	l.weight += weight
	return false
}

const unbound = math.MaxInt64

func TestUsesInTheNurseryDoNotCount(t *testing.T) {
	t.Parallel()
	c := newCached(1_000, unbound) // with a nursery of 10
	for key := range uint64(1_000) {
		c.access(key, 1)
		if key%2 == 0 {
			c.access(key, 1) // at once
		}
		if key >= 100 && key%10 == 5 {
			c.access(key-100, 1) // later
		}
	}
	for key := uint64(1_000); key < 2_000; key++ {
		c.access(key, 1)
	}
	main := c.in(inMain)
	for _, key := range main {
		if key%10 != 5 {
			t.Errorf("key %d is in the main queue, which was used in the nursery only", key)
		}
	}
	if len(main) != 90 {
		t.Errorf("%d keys are in the main queue, want the 90 that were used after the nursery", len(main))
	}
}

// TestAScanPushesNothingOutThatIsUsedAgain: however many keys come that are never asked for again.
func TestAScanPushesNothingOutThatIsUsedAgain(t *testing.T) {
	t.Parallel()
	const again = 700
	for _, maxWeight := range []int64{unbound, 1_000*100 + 20_000} { // the number binds, the weight does
		maxNodes := 1_000
		if maxWeight != unbound {
			maxNodes = 1 << 30
		}
		c := newCached(maxNodes, maxWeight)
		once := uint64(1 << 32)
		for range 10 {
			for key := range uint64(again) {
				c.access(key, 100)
				if key%4 == 0 {
					c.access(once, 100)
					once++
				}
			}
		}
		for range 100_000 {
			c.access(once, 100)
			once++
		}
		kept := 0
		for key := range uint64(again) {
			if c.nodes[key] != nil {
				kept++
			}
		}
		if kept != again {
			t.Errorf("at most %d nodes of weight %d: of %d keys that were used again and again a scan left %d", maxNodes, maxWeight, again, kept)
		}
		if err := c.Check(); err != nil {
			t.Error(err)
		}
	}
}

// filled returns a cache of 1,000 keys in which some are in the main queue: those up to 300.
func filled(t *testing.T) (c *cached, once uint64) {
	t.Helper()
	c, once = newCached(1_000, unbound), 1<<32
	for range 5 {
		for key := range uint64(300) {
			c.access(key, 1)
			c.access(once, 1)
			once++
		}
	}
	for range 2_000 {
		c.access(once, 1)
		once++
	}
	if main := c.in(inMain); len(main) != 300 || main[299] != 299 {
		t.Fatalf("in the main queue are %d", main)
	}
	return c, once
}

// TestWhatWasTakenOutComesBackToWhereItWas: a key of the main queue that a change of its value took
// out stands a scan once it is back. One that was in for the first time does not.
func TestWhatWasTakenOutComesBackToWhereItWas(t *testing.T) {
	t.Parallel()
	c, once := filled(t)
	young := once
	c.access(young, 1)
	for _, key := range []uint64{7, young} {
		c.remove(key)
	}
	c.put(7, 1)
	c.put(young, 1)
	for key := once + 1; key < once+5_000; key++ {
		c.access(key, 1)
	}
	if c.nodes[7] == nil || c.nodes[young] != nil {
		t.Errorf("after a scan the old key is in: %t, and the young one: %t", c.nodes[7] != nil, c.nodes[young] != nil)
	}
}

// TestAllThatWasTakenOutComesBack: a change of everything is not the end of what is known.
func TestAllThatWasTakenOutComesBack(t *testing.T) {
	t.Parallel()
	c, _ := filled(t)
	for key := range c.nodes {
		c.remove(key)
	}
	for key := range uint64(300) {
		c.put(key, 1)
	}
	if main := c.in(inMain); len(main) != 300 {
		t.Errorf("of 300 keys of the main queue %d came back to it", len(main))
	}
	c.Forget()
	for key := range uint64(300) {
		c.remove(key)
	}
	c.Forget()
	for key := range uint64(300) {
		c.put(key, 1)
	}
	if main := c.in(inMain); len(main) != 0 {
		t.Errorf("%d keys are in the main queue although all was to be forgotten", len(main))
	}
}

// TestWhatIsReplacedKeepsItsPlace: a key that is renewed all the time and never used leaves like
// one that is not renewed, and a used one keeps its uses; nothing else leaves for either.
func TestWhatIsReplacedKeepsItsPlace(t *testing.T) {
	t.Parallel()
	c := newCached(100, unbound)
	for key := range uint64(100) {
		c.put(key, 1)
	}
	c.access(51, 1)
	for range 5 {
		if left := append(c.put(50, 1), c.put(51, 1)...); left != nil {
			t.Fatalf("%d left for what was replaced", left)
		}
	}
	for key := uint64(100); key < 151; key++ {
		want := []uint64{key - 100}
		if left := c.put(key, 1); !slices.Equal(left, want) {
			t.Fatalf("%d left for key %d, want %d", left, key, want)
		}
		if key < 150 {
			c.put(50, 1)
		}
	}
	if left := c.put(151, 1); !slices.Equal(left, []uint64{52}) {
		t.Errorf("%d left, want 52: 51 was used before it was replaced", left)
	}
}

// TestTheHitRatioIsNotBelowThatOfLRU: on skewed accesses, half of which are of keys that come once,
// or none, whether the number binds or the weight, with weights that are all alike, or of which few
// are most of the sum.
func TestTheHitRatioIsNotBelowThatOfLRU(t *testing.T) {
	t.Parallel()
	const room, keys, accesses = 500, 20_000, 60_000
	weights := map[string]func(key uint64) int64{
		"alike": func(uint64) int64 { return 1_000 },
		"heavy-tailed": func(key uint64) int64 { // Pareto, of index 1.1
			return int64(min(1<<20, 300/math.Pow((float64(hashOf(key)>>11)+1)/(1<<53), 1/1.1)))
		},
		"of two kinds": func(key uint64) int64 {
			if hashOf(key)%20 == 0 {
				return 40_000
			}
			return 600
		},
	}
	for name, weight := range weights {
		mean := int64(0)
		for key := range uint64(keys) {
			mean += weight(key)
		}
		mean /= keys
		for _, bound := range []struct {
			name      string
			maxNodes  int
			maxWeight int64
		}{{"number", room, unbound}, {"weight", 1 << 30, room * mean}, {"both", room, room * mean}} {
			for _, once := range []float64{0, 0.5} {
				random := rand.New(rand.NewPCG(1, 2))
				often := rand.NewZipf(random, 1.1, 4, keys-1)
				c, l := newCached(bound.maxNodes, bound.maxWeight), newLRU(bound.maxNodes, bound.maxWeight)
				hits, lruHits := 0, 0
				for i := range uint64(accesses) {
					if random.Float64() < once {
						key := 1<<32 + i
						c.access(key, weight(key))
						l.access(key, weight(key))
					}
					key := often.Uint64()
					if c.access(key, weight(key)) {
						hits++
					}
					if l.access(key, weight(key)) {
						lruHits++
					}
					if n, w := c.Size(); n > bound.maxNodes || w > bound.maxWeight {
						t.Fatalf("%d nodes of weight %d, of %d of %d", n, w, bound.maxNodes, bound.maxWeight)
					}
				}
				ratio, lruRatio := float64(hits)/accesses, float64(lruHits)/accesses
				what := fmt.Sprintf("weights %s, bound by %s, %.0f %% of keys that come once", name, bound.name, 100*once)
				t.Logf("%s: hit ratio %.3f, LRU %.3f", what, ratio, lruRatio)
				if ratio < lruRatio || ratio == 0 {
					t.Errorf("%s: the hit ratio is %.3f, and LRU has %.3f", what, ratio, lruRatio)
				}
				if err := c.Check(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func TestWhatIsHeavierThanAllIsNotPutIn(t *testing.T) {
	t.Parallel()
	c := newCached(10, 1_000)
	c.put(1, 100)
	if _, ok := c.Add(&Node[uint64]{}, 2, 1_001, c.nodes[1]); ok {
		t.Error("a node heavier than all may be was put in")
	}
	if n, _ := c.Size(); n != 1 {
		t.Errorf("%d nodes are in, want the one before it", n)
	}
	for key := range uint64(3) {
		c.put(key, 1_000) // and is all that is in: nothing is remembered beside it
	}
	if n, weight := c.Size(); n != 1 || weight != 1_000 {
		t.Errorf("%d nodes of weight %d, want 1 of 1000", n, weight)
	}
	if c.put(2, 900); c.nodes[2] == nil {
		t.Error("the only node, which became lighter, left")
	}
}

// TestManyAtOnce: nodes are used, put in, replaced and taken out by all at the same time, and each
// is a victim or taken out once.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	const goroutines, rounds, keys = 8, 3_000, 400
	q := New[int](100, 20_000)
	var (
		mu      sync.Mutex
		current [keys]*Node[int]
		all     = map[*Node[int]]bool{} // whether it left
		wg      sync.WaitGroup
	)
	left := func(n *Node[int]) {
		mu.Lock()
		defer mu.Unlock()
		if all[n] {
			t.Error("a node left twice")
		}
		all[n] = true
	}
	for g := range goroutines {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 3))
			for range rounds {
				key := min(random.IntN(keys), random.IntN(keys))
				mu.Lock()
				before := current[key]
				mu.Unlock()
				switch random.IntN(8) {
				case 0:
					if before != nil && q.Remove(before) {
						left(before)
					}
				case 1, 2:
					n := &Node[int]{Owner: key}
					victims, _ := q.Add(n, hashOf(uint64(key)), random.Int64N(1_000), before)
					mu.Lock()
					if _, seen := all[n]; !seen {
						all[n] = false
					}
					current[key] = n
					mu.Unlock()
					for _, v := range victims {
						left(v)
					}
				default:
					if before != nil {
						before.Use()
					}
				}
				if random.IntN(500) == 0 {
					if err := q.Check(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if err := q.Check(); err != nil {
		t.Error(err)
	}
	in := 0
	for n, gone := range all {
		if n.next != nil {
			in++
			if gone {
				t.Error("a node that left is in")
			}
		}
	}
	if n, _ := q.Size(); n != in || n > 100 {
		t.Errorf("%d nodes are told of, %d are in", n, in)
	}
}
