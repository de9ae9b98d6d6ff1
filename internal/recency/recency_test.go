package recency

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func owners(nodes []*Node[string]) (names []string) {
	for _, n := range nodes {
		names = append(names, n.Owner)
	}
	return names
}

func TestTheLeastRecentlyUsedLeave(t *testing.T) {
	t.Parallel()
	r := New[string](3, 100)
	nodes := map[string]*Node[string]{}
	add := func(name string, weight int64) []string {
		nodes[name] = &Node[string]{Owner: name}
		victims, _ := r.Add(nodes[name], weight)
		return owners(victims)
	}
	for _, name := range []string{"a", "b", "c"} {
		if left := add(name, 1); left != nil {
			t.Fatalf("%s pushed %v out of a ring with room", name, left)
		}
	}
	nodes["a"].Use()
	if left := fmt.Sprint(add("d", 1)); left != "[b]" {
		t.Errorf("d pushed %s out, want [b]: a was used", left)
	}
	if left := fmt.Sprint(add("heavy", 99)); left != "[c a]" && left != "[c d]" && left != "[a d]" && left != "[d a]" {
		t.Errorf("heavy pushed %s out, want two that were not used lately", left)
	}
	if _, ok := r.Add(&Node[string]{}, 101); ok {
		t.Error("a node heavier than the ring may be was put in")
	}
	n, weight := r.Size()
	if n > 3 || weight > 100 {
		t.Errorf("%d nodes of weight %d", n, weight)
	}
}

func TestRingAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		maxNodes, maxWeight := rapid.IntRange(1, 5).Draw(t, "nodes"), rapid.Int64Range(1, 20).Draw(t, "weight")
		r := New[int](maxNodes, maxWeight)
		in := map[*Node[int]]int64{}
		var all []*Node[int]
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				n, weight := &Node[int]{Owner: len(all)}, rapid.Int64Range(0, 25).Draw(t, "w")
				victims, ok := r.Add(n, weight)
				if ok != (weight <= maxWeight) {
					t.Fatalf("weight %d of %d: %t", weight, maxWeight, ok)
				}
				for _, v := range victims {
					if _, was := in[v]; !was {
						t.Fatal("a victim that was not in")
					}
					delete(in, v)
				}
				if ok {
					in[n] = weight
					all = append(all, n)
				}
			},
			"use": func(t *rapid.T) {
				if len(all) > 0 {
					rapid.SampledFrom(all).Draw(t, "n").Use()
				}
			},
			"remove": func(t *rapid.T) {
				if len(all) == 0 {
					t.Skip()
				}
				n := rapid.SampledFrom(all).Draw(t, "n")
				if _, was := in[n]; r.Remove(n) != was {
					t.Fatal("Remove does not know what is in")
				}
				delete(in, n)
			},
			"": func(t *rapid.T) {
				var sum int64
				for _, w := range in {
					sum += w
				}
				nodes, weight := r.Size()
				if nodes != len(in) || weight != sum || nodes > maxNodes || weight > maxWeight {
					t.Fatalf("%d nodes of %d, want %d of %d", nodes, weight, len(in), sum)
				}
				seen := map[int]bool{}
				r.Each(func(owner int) { seen[owner] = true })
				for n := range in {
					if !seen[n.Owner] || n.next.prev != n || n.prev.next != n {
						t.Fatal("the ring is broken")
					}
				}
			},
		})
	})
}

// TestHitRatioIsThatOfLRU: on a skewed sequence of keys CLOCK keeps about what an exact LRU keeps.
func TestHitRatioIsThatOfLRU(t *testing.T) {
	t.Parallel()
	const capacity, accesses = 200, 60_000
	r := New[int](capacity, 1<<40)
	clock := map[int]*Node[int]{}
	var lru []int
	clockHits, lruHits := 0, 0
	state := uint64(1)
	for range accesses {
		state = state*6364136223846793005 + 1442695040888963407
		u := float64(state>>11) / (1 << 53)
		key := int(2000 * u * u * u) // most accesses go to few keys
		if n, ok := clock[key]; ok {
			n.Use()
			clockHits++
		} else {
			n := &Node[int]{Owner: key}
			victims, _ := r.Add(n, 1)
			for _, v := range victims {
				delete(clock, v.Owner)
			}
			clock[key] = n
		}
		at := -1
		for i, k := range lru {
			if k == key {
				at = i
				break
			}
		}
		if at >= 0 {
			lruHits++
			lru = append(lru[:at], lru[at+1:]...)
		} else if len(lru) == capacity {
			lru = lru[:capacity-1]
		}
		lru = append([]int{key}, lru...)
	}
	got, want := float64(clockHits)/accesses, float64(lruHits)/accesses
	if got < want-0.02 {
		t.Errorf("hit ratio %.3f, LRU has %.3f", got, want)
	}
}
