package eviction

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkUse is what a hit costs: of nodes that were used often, and of one that was not yet.
func BenchmarkUse(b *testing.B) {
	b.Run("often", func(b *testing.B) {
		n := &Node[int]{}
		for b.Loop() {
			n.Use()
		}
	})
	b.Run("first", func(b *testing.B) {
		nodes := make([]Node[int], 1<<12)
		for i := 0; b.Loop(); i++ {
			n := &nodes[i%len(nodes)]
			n.uses.Store(0)
			n.Use()
		}
	})
	b.Run("parallel", func(b *testing.B) {
		n := &Node[int]{}
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				n.Use()
			}
		})
	})
}

// BenchmarkAdd is what it costs to put a node in: while there is room for all, when each pushes
// another one out, of which none is used or all are, and with the hits between, where few of the
// keys are used often.
func BenchmarkAdd(b *testing.B) {
	const room = 10_000
	b.Run("room", func(b *testing.B) {
		b.ReportAllocs()
		q := New[int](1<<40, 1<<40)
		for i := 0; b.Loop(); i++ {
			if i%room == 0 {
				q = New[int](1<<40, 1<<40)
			}
			q.Add(&Node[int]{}, uint64(i)*0x9e3779b97f4a7c15, 1, nil)
		}
	})
	for _, used := range []bool{false, true} {
		name := "full/unused"
		if used {
			name = "full/used"
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			q := New[int](room, 1<<40)
			for i := 0; b.Loop(); i++ {
				n := &Node[int]{}
				q.Add(n, uint64(i)*0x9e3779b97f4a7c15, 1, nil)
				if used {
					n.Use()
				}
			}
		})
	}
	b.Run("skewed", func(b *testing.B) {
		b.ReportAllocs()
		q, nodes := New[int](room, 1<<40), make([]*Node[int], 20*room)
		random := rand.New(rand.NewPCG(1, 2))
		often := rand.NewZipf(random, 1.1, 4, 20*room-1)
		keys := make([]int, 1<<20)
		for i := range keys {
			keys[i] = int(often.Uint64())
		}
		misses := 0
		for i := 0; b.Loop(); i++ {
			key := keys[i%len(keys)]
			if n := nodes[key]; n != nil {
				n.Use()
				continue
			}
			misses++
			n := &Node[int]{Owner: key}
			victims, _ := q.Add(n, uint64(key)*0x9e3779b97f4a7c15, 1, nil)
			nodes[key] = n
			for _, v := range victims {
				nodes[v.Owner] = nil
			}
		}
		b.ReportMetric(float64(misses)/float64(b.N), "misses/op")
	})
}

// BenchmarkRemove is what it costs to take a node out and to put it in again.
func BenchmarkRemove(b *testing.B) {
	q, nodes := New[int](10_000, 1<<40), make([]*Node[int], 10_000)
	for i := range nodes {
		nodes[i] = &Node[int]{}
		q.Add(nodes[i], uint64(i)*0x9e3779b97f4a7c15, 1, nil)
	}
	for i := 0; b.Loop(); i++ {
		at := i * 7919 % len(nodes)
		q.Remove(nodes[at])
		q.Add(nodes[at], uint64(at)*0x9e3779b97f4a7c15, 1, nil)
	}
}
