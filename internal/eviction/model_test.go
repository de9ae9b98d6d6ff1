package eviction

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// plainNode is a node of the model.
type plainNode struct {
	id     int
	key    uint64
	weight int64
	uses   int
}

// plain is the policy as the documentation of the package tells it, in lists that are searched from
// their beginning.
type plain struct {
	maxNodes             int
	maxWeight            int64
	nursery, small, main []*plainNode
	ghost                []uint64 // keys; 0 where one was taken out
	slots                int      // of the ghost's memory
	room                 int
}

func (p *plain) all() []*plainNode { return slices.Concat(p.nursery, p.small, p.main) }

func (p *plain) weight() (sum int64) {
	for _, n := range p.all() {
		sum += n.weight
	}
	return sum + 12*int64(p.slots)
}

// find returns the list that a node is in, and where.
func (p *plain) find(id int) (in *[]*plainNode, at int) {
	for _, in := range []*[]*plainNode{&p.nursery, &p.small, &p.main} {
		if at := slices.IndexFunc(*in, func(n *plainNode) bool { return n.id == id }); at >= 0 {
			return in, at
		}
	}
	return nil, -1
}

func (p *plain) remember(key uint64) {
	p.ghost = append(p.ghost, key)
	p.forget(min(p.room, p.slots))
}

func (p *plain) forget(allBut int) {
	p.ghost = p.ghost[max(0, len(p.ghost)-allBut):]
}

func (p *plain) pop(list *[]*plainNode) *plainNode {
	n := (*list)[0]
	*list = slices.Clone((*list)[1:])
	return n
}

func (p *plain) evict() (victim int) {
	for {
		if len(p.nursery)+len(p.small) >= max(1, 15*p.room/100, min(64, 90*p.room/100)) || len(p.main) == 0 {
			if len(p.small) == 0 {
				n := p.pop(&p.nursery)
				p.remember(n.key)
				return n.id
			}
			n := p.pop(&p.small)
			if n.uses > 0 {
				n.uses = 0
				p.main = append(p.main, n)
				continue
			}
			p.remember(n.key)
			return n.id
		}
		n := p.pop(&p.main)
		if n.uses > 0 {
			n.uses--
			p.main = append(p.main, n)
			continue
		}
		return n.id
	}
}

func (p *plain) makeRoom(nodes int, weight int64) (victims []int) {
	for len(p.all())+nodes > p.maxNodes || p.weight()+weight > p.maxWeight {
		if len(p.all()) == 0 {
			p.ghost, p.slots = nil, 0
			break
		}
		if nodes := len(p.all()); p.slots < nodes || p.slots > 2*nodes+16 {
			p.slots = min(nodes+nodes/8+16, p.maxNodes)
			p.forget(p.slots)
		}
		victims = append(victims, p.evict())
	}
	if n := len(p.all()) + nodes; n > p.room || len(victims) > 0 {
		p.room = n
		p.forget(p.room)
	}
	return victims
}

func (p *plain) add(n *plainNode, before int) (victims []int) {
	if in, at := p.find(before); in != nil {
		n.uses = (*in)[at].uses
		(*in)[at] = n
		return p.makeRoom(0, 0)
	}
	at := len(p.ghost) - 1
	for at >= 0 && p.ghost[at] != n.key {
		at--
	}
	if at >= 0 {
		p.ghost[at] = 0
	}
	victims = p.makeRoom(1, n.weight)
	if at >= 0 {
		p.main = append(p.main, n)
		return victims
	}
	p.nursery = append(p.nursery, n)
	for len(p.nursery) > max(1, p.room/100) {
		n := p.pop(&p.nursery)
		n.uses = 0
		p.small = append(p.small, n)
	}
	return victims
}

func (p *plain) remove(id int) bool {
	in, at := p.find(id)
	if in == nil {
		return false
	}
	if in == &p.main {
		p.remember((*in)[at].key)
	}
	*in = slices.Delete(slices.Clone(*in), at, at+1)
	return true
}

// TestQueuesAgainstModel: the same nodes leave in the same order as in lists that are written down
// as the policy is told, whatever binds: the number of nodes, their weight, or one and then the
// other.
func TestQueuesAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		maxNodes := rapid.SampledFrom([]int{1, 2, 5, 20, 150, 1_000}).Draw(t, "most nodes")
		maxWeight := rapid.SampledFrom([]int64{1, 300, 2_000, 20_000, 200_000, 1 << 40}).Draw(t, "most weight")
		keys := rapid.SampledFrom([]int{3, 30, 300, 5_000}).Draw(t, "keys")
		q, p := New[int](maxNodes, maxWeight), &plain{maxNodes: maxNodes, maxWeight: maxWeight}
		var nodes []*Node[int] // by id
		byKey := map[uint64]*Node[int]{}
		some := func(r *rand.Rand) uint64 { return uint64(1 + min(r.IntN(keys), r.IntN(keys))) } // few of them often
		seed := rapid.Custom(func(t *rapid.T) *rand.Rand { return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)) })
		heaviest := rapid.SampledFrom([]int64{10, 300, 20_000})
		add := func(t *rapid.T, k uint64, before *Node[int], weight int64) {
			n := &Node[int]{Owner: len(nodes)}
			nodes = append(nodes, n)
			model := &plainNode{id: n.Owner, key: k, weight: weight}
			replaced := -1
			if before != nil {
				replaced = before.Owner
			}
			left, ok := q.Add(n, k<<34, model.weight, before)
			if want := model.weight <= maxWeight; ok != want {
				t.Fatalf("a node of weight %d of %d was put in: %t", model.weight, maxWeight, ok)
			}
			if !ok {
				return
			}
			byKey[k] = n
			var got []int
			for _, v := range left {
				got = append(got, v.Owner)
			}
			if want := p.add(model, replaced); !slices.Equal(got, want) {
				t.Fatalf("node %d, key %d, of weight %d pushed %v out, want %v", n.Owner, k, model.weight, got, want)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"access": func(t *rapid.T) {
				r, heavy := seed.Draw(t, "random"), heaviest.Draw(t, "heaviest")
				for range rapid.IntRange(1, 3_000).Draw(t, "accesses") {
					k := some(r)
					n := byKey[k]
					if n == nil || n.next == nil {
						add(t, k, nil, r.Int64N(heavy+1))
						continue
					}
					n.Use()
					in, at := p.find(n.Owner)
					(*in)[at].uses = min(3, (*in)[at].uses+1)
				}
			},
			"renew": func(t *rapid.T) {
				r, heavy := seed.Draw(t, "random"), heaviest.Draw(t, "heaviest")
				for range rapid.IntRange(1, 10).Draw(t, "keys") {
					k := some(r)
					add(t, k, byKey[k], r.Int64N(heavy+1))
				}
			},
			"remove": func(t *rapid.T) {
				if len(nodes) == 0 {
					t.Skip("there is no node to remove")
				}
				n := nodes[len(nodes)-1-rapid.IntRange(0, min(500, len(nodes)-1)).Draw(t, "node")]
				if got, want := q.Remove(n), p.remove(n.Owner); got != want {
					t.Fatalf("node %d was in: %t, want %t", n.Owner, got, want)
				}
			},
			"remove all": func(*rapid.T) {
				q.Each(func(id int) {
					if !q.Remove(nodes[id]) || !p.remove(id) {
						t.Fatalf("node %d is listed and not in", id)
					}
				})
			},
			"forget": func(*rapid.T) {
				q.Forget()
				p.ghost, p.slots, p.room = nil, 0, len(p.all())
			},
			"": func(t *rapid.T) {
				if err := q.Check(); err != nil {
					t.Fatal(err)
				}
				var got, want []int
				q.Each(func(id int) { got = append(got, id) })
				for _, n := range p.all() {
					want = append(want, n.id)
				}
				if !slices.Equal(got, want) {
					t.Fatalf("in are %v, want %v", got, want)
				}
				if n, weight := q.Size(); n != len(want) || weight != p.weight() {
					t.Fatalf("%d nodes of weight %d, want %d of %d", n, weight, len(want), p.weight())
				}
			},
		})
	})
}

// TestGhostAgainstModel: it knows the last additions and no others, also where fingerprints share
// chains, and while it grows and shrinks.
func TestGhostAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var g ghost
		var model []fingerprint // 0 where one was taken out
		limit := 0
		keys := rapid.SampledFrom([]fingerprint{1, 1 << 14, 1 << 28}).Draw(t, "how far apart they are")
		key := rapid.Custom(func(t *rapid.T) fingerprint { return 4 * keys * fingerprint(rapid.IntRange(1, 12).Draw(t, "key")) })
		t.Repeat(map[string]func(*rapid.T){
			"fit": func(t *rapid.T) {
				limit = rapid.IntRange(0, 80).Draw(t, "room")
				g.keep(limit)
				model = model[max(0, len(model)-limit):]
				g.fit(limit, rapid.IntRange(limit, 100).Draw(t, "most"))
			},
			"add": func(t *rapid.T) {
				k := max(4, key.Draw(t, "key"))
				g.add(k, limit)
				model = append(model, k)
				model = model[max(0, len(model)-limit):]
			},
			"remove": func(t *rapid.T) {
				k, at := max(4, key.Draw(t, "key")), len(model)-1
				for at >= 0 && model[at] != k {
					at--
				}
				if got := g.remove(k); got != (at >= 0) {
					t.Fatalf("%#x is known: %t; the last ones are %#x", k, got, model)
				}
				if at >= 0 {
					model[at] = 0
				}
			},
			"": func(t *rapid.T) {
				if err := g.check(); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
}
