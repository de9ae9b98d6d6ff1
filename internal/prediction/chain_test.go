package prediction

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// check proves the structure of a chain whole.
func (c *chain) check() error {
	found, live := 0, 0
	byShape := map[uint16]int{}
	for i := range uint32(c.made) {
		n := c.at(i)
		if n.sum() == 0 {
			continue
		}
		found++
		byShape[n.shape]++
		if at, ok := c.find(n.sum()); !ok || at != i {
			return fmt.Errorf("node %d of %q is not to be found: %d, %v", i, c.key(i), at, ok)
		}
		if n.text[0] == inTexts {
			live += int(n.text[2]) | int(n.text[3])<<8
		}
	}
	taken := 0
	for _, at := range c.index {
		if at != 0 {
			taken++
		}
	}
	if found != c.nodes() || taken != found || c.made > c.most {
		return fmt.Errorf("%d nodes, %d are counted, %d of %d places taken, at most %d", found, c.nodes(), taken, len(c.index), c.most)
	}
	if live != c.texts.live || int64(live)*4 > c.texts.most*fullTexts+4*maxChainKey*2 {
		return fmt.Errorf("texts of %d bytes are in use, %d are counted, at most %d", live, c.texts.live, c.texts.most)
	}
	for i, one := range c.shapes.all {
		if one.nodes != byShape[uint16(i)] {
			return fmt.Errorf("shape %d %q: %d nodes, %d are counted", i, one.prefix, byShape[uint16(i)], one.nodes)
		}
	}
	return nil
}

// touched touches a key as a predictor does.
func (c *chain) touched(seed maphash.Seed, key string, whole bool) (at uint32, ok bool) {
	hash := maphash.String(seed, key)
	if at, ok := c.find(hash); ok {
		c.touch(at, whole)
		return at, true
	}
	return c.add(hash, key, strings.IndexByte(key, ':')+1, whole)
}

// TestPackedTextsComeOutAsTheyWentIn draws texts of pieces that look like args of keys.
func TestPackedTextsComeOutAsTheyWentIn(t *testing.T) {
	t.Parallel()
	piece := rapid.OneOf(
		rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("i%d;", rapid.Int64().Draw(t, "integer")) }),
		rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("i%d;", rapid.Uint64().Draw(t, "integer")) }),
		rapid.StringMatching(`s36:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12};`),
		rapid.StringMatching(`s36:[0-9a-fA-F-]{36};`),
		rapid.StringMatching(`[isu]{0,2}[0-9]{0,25};?`),
		rapid.String(),
		rapid.SampledFrom([]string{"i;", "i0;", "i00;", "i-1;", "i9999999999999999999;", "i99999999999999999999;", "s36:", "i1", "\x80\x90", strings.Repeat("x", 300)}),
	)
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 5).Draw(t, "pieces"), "")
		packed := pack(nil, text)
		if got := string(unpack(nil, packed)); got != text {
			t.Fatalf("%q came out as %q", text, got)
		}
	})
	for text, want := range map[string]int{
		"i7;": 2, "i123456;": 4, "i0;": 1, "i1;i2;": 4, "s36:01234567-89ab-cdef-0123-456789abcdef;": 17, "s3:abc;": 8,
	} {
		if got := len(pack(nil, text)); got != want {
			t.Errorf("%q takes %d bytes, want %d", text, got, want)
		}
	}
}

// followed is a key and what came after it, as far as links tell that: by the lowest bits of its
// hash. A link may lead to another key that has these, in the node of the one before it; once in
// some 65,000 times, at the cost of a load.
type followed struct {
	from string
	to   uint16
}

func follows(seed maphash.Seed, from, to string) followed {
	return followed{from, uint16(maphash.String(seed, to))}
}

// TestALinkNeverLeadsToAnotherKey lets nodes take the places of others.
func TestALinkNeverLeadsToAnotherKey(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 8))
	c, seed := newChain(20, 1<<20), maphash.MakeSeed()
	came := map[followed]bool{}
	before := ""
	for range 20_000 {
		key := fmt.Sprint(random.IntN(60))
		if at, ok := c.touched(seed, key, true); ok && before != "" && key != before {
			if from, ok := c.find(maphash.String(seed, before)); ok {
				c.follow(from, at)
				came[follows(seed, before, key)] = true
			}
		}
		before = key
		at, _ := c.find(maphash.String(seed, key))
		for _, next := range c.after(at, 0, nil) {
			if to := c.key(next.node); !came[follows(seed, key, to)] {
				t.Fatalf("%s is said to come after %s, which it never did", to, key)
			}
			if next.probability <= 0 || next.probability > 1 {
				t.Fatalf("probability %v", next.probability)
			}
		}
	}
	if err := c.check(); err != nil {
		t.Error(err)
	}
}

// TestTheChainIsAsItsModel compares a chain with maps, while nodes leave by their number and by
// what their texts take.
func TestTheChainIsAsItsModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 40).Draw(t, "nodes")
		bytes := int64(most)*nodeBytes*4/3 + rapid.Int64Range(0, 2_000).Draw(t, "bytes")
		c, seed := newChain(most, bytes), maphash.MakeSeed()
		hashes := map[uint64]string{}
		counts := map[followed]int{} // the most that a link can have
		before := ""
		for range rapid.IntRange(1, 300).Draw(t, "accesses") {
			n := rapid.IntRange(0, 80).Draw(t, "key")
			key := []string{
				fmt.Sprintf("a:i%d;", n), fmt.Sprintf("b:s36:%08x-0000-0000-0000-000000000000;", n), fmt.Sprintf("c:%s%d", strings.Repeat("x", 2*n), n), fmt.Sprint(n),
			}[n%4]
			hash := maphash.String(seed, key)
			hashes[hash] = key
			at, ok := c.touched(seed, key, rapid.Bool().Draw(t, "whole"))
			if !ok || c.key(at) != key || !c.is(at, hash) {
				t.Fatalf("the node of %q: %v, of %q", key, ok, c.key(at))
			}
			if from, ok := c.find(maphash.String(seed, before)); ok && before != key {
				c.follow(from, at)
				counts[follows(seed, before, key)]++
			}
			before = key
			for i := range uint32(c.made) {
				if n := c.at(i); n.sum() != 0 && c.key(i) != hashes[n.sum()] {
					t.Fatalf("a node has the key %q, want %q", c.key(i), hashes[n.sum()])
				}
			}
			for _, next := range c.after(at, 0, nil) {
				if n := counts[follows(seed, key, c.key(next.node))]; n < chainSupport {
					t.Fatalf("%q came after %q %d times", c.key(next.node), key, n)
				}
			}
			if err := c.check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestKeysThatDoNotComeAgainTakeNoPlace has one shape whose keys do, and one whose keys are times.
func TestKeysThatDoNotComeAgainTakeNoPlace(t *testing.T) {
	t.Parallel()
	c, seed := newChain(4_000, 1<<20), maphash.MakeSeed()
	times := 0
	round := func(again bool) (nodes int) {
		for n := range 1_000 {
			c.touched(seed, fmt.Sprintf("users:i%d;", n), true)
			for range 10 {
				if times++; again {
					times %= 500
				}
				c.touched(seed, fmt.Sprintf("times:i%d;", times), true)
			}
		}
		return c.shapes.all[c.shapes.of("times:")].nodes
	}
	for range 5 {
		round(false)
	}
	if n := round(false); n > 4_000-1_000 {
		t.Errorf("%d keys that do not come again have nodes", n)
	}
	if n := c.shapes.all[c.shapes.of("users:")].nodes; n != 1_000 {
		t.Errorf("%d of 1,000 keys that come again have nodes", n)
	}
	round(true)
	round(true)
	for n := range 500 {
		if _, ok := c.find(maphash.String(seed, fmt.Sprintf("times:i%d;", n))); !ok {
			t.Fatalf("the keys come again by now, and %d has no node", n)
		}
	}
}

// TestANodeTakes64Bytes measures what the heap grows by.
func TestANodeTakes64Bytes(t *testing.T) { //nolint:paralleltest // others would allocate meanwhile
	const nodes, prefix = 100_000, "sql:people#0123456789abcdef:"
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name string
		key  func(n int) string
		most float64
	}{
		{"an integer", func(n int) string { return fmt.Sprintf("%si%d;", prefix, 1_000_000+n) }, 64},
		{"two integers", func(n int) string { return fmt.Sprintf("%si%d;i%d;", prefix, n, n%500) }, 64},
		{"a UUID", func(int) string {
			return fmt.Sprintf("%ss36:%08x-%04x-4%03x-8%03x-%012x;", prefix, random.Uint32(), random.Uint32N(1<<16), random.Uint32N(1<<12), random.Uint32N(1<<12), random.Uint64N(1<<48))
		}, 84},
		{"a platform and an id", func(n int) string { return fmt.Sprintf("%ss7:discord;s18:%018d;", prefix, 100_000_000_000_000_000+n) }, 110},
	} {
		for _, filled := range []int{nodes * 2 / 3, nodes, 3 * nodes} {
			before := heap()
			chain, seed := newChain(nodes, 64<<20), maphash.MakeSeed()
			for n := range filled {
				key := c.key(n)
				chain.add(maphash.String(seed, key), key, len(prefix), false)
			}
			took := heap() - before
			each := float64(took) / float64(chain.nodes())
			t.Logf("%s, %d of at most %d nodes after %d keys: %.1f bytes each", c.name, chain.nodes(), nodes, filled, each)
			if each > c.most {
				t.Errorf("%s: %.1f bytes a node, want at most %.0f", c.name, each, c.most)
			}
			if counted := float64(chain.bytes()); counted < 0.95*float64(took) || counted > 1.1*float64(took) {
				t.Errorf("%s: %.0f bytes are counted, the heap grew by %d", c.name, counted, took)
			}
			runtime.KeepAlive(chain)
		}
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
