//lint:file-ignore U1000 fields that nothing reads are there to be copied

package clone_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unique"
	"unsafe"

	"github.com/gorm-preload/preload/internal/clone"
)

func copyOf[T any](t testing.TB, src T) T {
	t.Helper()
	in, out := new(T), new(T)
	*in = src
	if err := clone.For(reflect.TypeFor[T]()).Copy(unsafe.Pointer(out), unsafe.Pointer(in)); err != nil {
		t.Fatalf("Copy(%T): %v", src, err)
	}
	return *out
}

func ptr[T any](v T) *T { return &v }

type node struct {
	val  int
	next *node
}

type embedded struct {
	hidden *int
	_      []byte
	Text   string
}

type mixed struct {
	embedded
	*node
	Arr    [2]*int
	Long   [12][]string
	M      map[string][]int
	PP     **string
	Err    error
	Stamp  time.Time
	Zero   struct{}
	ZP     *struct{}
	Fn     func()
	Ch     chan int
	U      unsafe.Pointer
	mu     sync.Mutex
	Any    any
	Single [1]*int
}

type one struct{ P *int }

func TestCopyIsWhatTheSourceWas(t *testing.T) {
	t.Parallel()
	tokyo := time.FixedZone("JST", 9*3600)
	for _, v := range []any{
		1, "s", true, 3.5, []byte("x"), []byte{}, []byte(nil), json.RawMessage(`{}`),
		map[string]any{"a": []any{1, "b", nil, map[string]any{}}, "n": map[string]any(nil), "e": []any{}},
		map[string]int(nil), map[string]int{}, map[[2]string]*int{{"a", "b"}: ptr(1)}, map[any]any{1: 2, "x": []int{1}, [1]any{1}: nil},
		map[string]string{"a": "b"}, map[int][]byte{1: []byte("x"), 2: nil},
		big.NewInt(1 << 60), *big.NewInt(77), big.NewRat(1, 3), sql.NullString{String: "x", Valid: true},
		sql.Null[[]byte]{V: []byte("x"), Valid: true}, sql.NullTime{Time: time.Now(), Valid: true},
		time.Now(), time.Now().In(tokyo), ptr(time.Now().UTC()), []*time.Time{nil, ptr(time.Now())},
		netip.MustParseAddr("10.0.0.1"), []netip.Prefix{netip.MustParsePrefix("::1/128")},
		[]string{"a"}, []string{}, [3][]int{{1}, {}, nil}, [0]*int{}, struct{}{}, []struct{}{{}, {}}, ptr(struct{}{}),
		ptr(ptr("x")), []*string{ptr("a"), nil, ptr("b")}, [][]string{{"a"}, nil, {}}, []error{errors.New("x"), nil},
		one{ptr(3)}, one{}, []any{one{ptr(3)}, [1]*int{ptr(4)}, [1]map[string]int{{"a": 1}}, (*int)(nil), (func())(nil), one{}},
		[]int8{1, 2, 3}, []int16{4}, [][3]int32{{1}, {2}}, []complex128{1i}, [][5]byte{{1}, {2}},
		[]fmt.Stringer{big.NewInt(5), time.Second, netip.MustParseAddr("::1"), nil},
		mixed{
			embedded: embedded{hidden: ptr(1), Text: "t"}, node: &node{1, &node{2, nil}},
			Arr: [2]*int{nil, ptr(2)}, Long: [12][]string{3: {"x"}}, M: map[string][]int{"a": {1}, "b": nil},
			PP: ptr(ptr("x")), Err: errors.New("e"), Stamp: time.Now(), ZP: &struct{}{},
			Any: map[string]any{"x": []byte("y")}, Single: [1]*int{ptr(1)},
		},
		[]mixed{{M: map[string][]int{}}, {Arr: [2]*int{ptr(1), ptr(2)}}, {}},
		reflect.TypeFor[int](), []reflect.Type{reflect.TypeFor[string]()}, reflect.Value{},
	} {
		t.Run(fmt.Sprintf("%T", v), func(t *testing.T) {
			t.Parallel()
			got, err := clone.Any(v)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, v) {
				t.Errorf("Any(%#v) = %#v", v, got)
			}
			// The same inside a slice of rows, whose columns are copied together.
			rows := reflect.MakeSlice(reflect.SliceOf(reflect.TypeOf(v)), 3, 5)
			rows.Index(0).Set(reflect.ValueOf(v))
			rows.Index(2).Set(reflect.ValueOf(v))
			many, err := clone.Any(rows.Interface())
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(many, rows.Interface()) {
				t.Errorf("Any(%#v) = %#v", rows, many)
			}
			if s := sharedMemory(rows, reflect.ValueOf(many)); s != "" {
				t.Errorf("source and copy share %s", s)
			}
			if clone.SizeAny(v) < 0 {
				t.Error("negative size")
			}
		})
	}
}

func TestNaNAndInfinity(t *testing.T) {
	t.Parallel()
	got := copyOf(t, []any{math.NaN(), math.Inf(-1), map[float64]int{math.NaN(): 1, math.Inf(1): 2}})
	if !math.IsNaN(got[0].(float64)) || !math.IsInf(got[1].(float64), -1) {
		t.Errorf("got %v", got)
	}
	if m := got[2].(map[float64]int); len(m) != 2 || m[math.Inf(1)] != 2 {
		t.Errorf("got map %v", m)
	}
}

func TestImmutablesAreShared(t *testing.T) {
	t.Parallel()
	type shared struct {
		Loc  *time.Location
		Re   *regexp.Regexp
		H    unique.Handle[string]
		Addr netip.Addr
		AP   netip.AddrPort
		Type reflect.Type
		Time time.Time
	}
	loc := time.FixedZone("X", 60)
	src := shared{loc, regexp.MustCompile("a+"), unique.Make("h"), netip.MustParseAddr("1.2.3.4"),
		netip.MustParseAddrPort("[fe80::1%eth0]:80"), reflect.TypeFor[shared](), time.Now().In(loc)}
	got := *copyOf(t, &src)
	if got != src {
		t.Errorf("got %+v, want %+v", got, src)
	}
	if !got.Addr.Is4() || got.AP.Addr().Zone() != "eth0" {
		t.Errorf("got addresses %v, %v", got.Addr, got.AP)
	}
	if got.Time.Location() != loc {
		t.Error("the time's location was copied")
	}
}

func TestMutatingTheCopyLeavesTheSource(t *testing.T) {
	t.Parallel()
	type row struct {
		B    []byte
		J    json.RawMessage
		M    map[string]any
		I    *big.Int
		S    *string
		Null sql.Null[[]int]
		A    any
	}
	build := func() []*row {
		var out []*row
		for i := range 4 {
			out = append(out, &row{[]byte("bytes"), json.RawMessage(`{"a":1}`), map[string]any{"k": []any{1, map[string]any{"x": 1}}},
				big.NewInt(int64(i)), ptr("s"), sql.Null[[]int]{V: []int{1}, Valid: true}, []byte("any")})
		}
		return out
	}
	src := build()
	for _, r := range copyOf(t, src) {
		r.B[0], r.J[0] = 'X', 'X'
		r.B = append(r.B, "overflow into a neighbour"...)
		r.M["k"].([]any)[1].(map[string]any)["x"] = 2
		r.M["new"] = 1
		r.I.SetInt64(99)
		r.I.Bits()[0] = 7
		*r.S = "changed"
		r.Null.V[0] = 2
		r.A.([]byte)[0] = 'X'
	}
	if !reflect.DeepEqual(src, build()) {
		t.Errorf("the source changed: %+v", src[0])
	}
	// An append to a copied empty slice must not write behind the source's.
	b := make([]byte, 0, 8)
	_ = append(copyOf(t, b), 'X')
	if b[:1][0] != 0 {
		t.Error("the copy of an empty slice kept the source's capacity")
	}
}

func TestColumnNeighboursDoNotOverlap(t *testing.T) {
	t.Parallel()
	src := [][]byte{[]byte("aa"), []byte("bb"), make([]byte, 5000), []byte("cc")}
	got := copyOf(t, src)
	_ = append(got[0], "XXXX"...)
	if !reflect.DeepEqual(got, src) {
		t.Errorf("got %q", got)
	}
}

func TestUncopyableNamesTheFieldPath(t *testing.T) {
	t.Parallel()
	type hook struct{ Fn func() }
	type model struct {
		ID    int
		Hooks map[string][]*hook
		Next  *model
	}
	for _, c := range []struct {
		v    any
		want []string
	}{
		{model{Hooks: map[string][]*hook{"a": {nil, {func() {}}}}}, []string{"clone_test.model", `.Hooks[...][1].Fn`, "func()"}},
		{&model{Next: &model{Hooks: map[string][]*hook{"b": {{func() {}}}}}}, []string{".Next.Hooks", ".Fn"}},
		{make(chan int), []string{"chan int"}},
		{[]any{1, func() {}}, []string{"[1].(func())"}},
		{unsafe.Pointer(new(int)), []string{"unsafe.Pointer"}},
		{reflect.ValueOf(1), []string{"reflect.Value"}},
		{reflect.ValueOf((*int)(nil)), []string{"reflect.Value"}},
		{[]any{reflect.ValueOf(1)}, []string{"reflect.Value"}},
		{time.NewTimer(time.Hour), []string{".C"}},
		{map[any]int{make(chan int): 1}, []string{"chan int"}},
	} {
		_, err := clone.Any(c.v)
		if !errors.Is(err, clone.ErrUncopyable) {
			t.Errorf("Any(%T) = %v, want ErrUncopyable", c.v, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("Any(%T): %q does not say %q", c.v, err, w)
			}
		}
	}
	var long *node2
	for range 1000 {
		long = &node2{next: long, fn: nil}
	}
	tail := long
	for tail.next != nil {
		tail = tail.next
	}
	tail.fn = func() {}
	if _, err := clone.Any(long); !errors.Is(err, clone.ErrUncopyable) || len(err.Error()) > 1000 {
		t.Errorf("a deep refusal: %v", err)
	}
}

type node2 struct {
	next *node2
	fn   func()
}

type tree struct {
	Name     string
	Parent   *tree
	Children []tree
	Any      any
}

func TestCyclesEndAndAliasingIsKept(t *testing.T) {
	t.Parallel()
	n := &node{val: 1}
	n.next = n
	if got := copyOf(t, n); got == n || got.next != got || got.val != 1 {
		t.Error("a pointer to itself")
	}
	m := map[string]any{}
	m["self"] = m
	if got := copyOf(t, m); reflect.ValueOf(got).Pointer() != reflect.ValueOf(got["self"]).Pointer() ||
		reflect.ValueOf(got).Pointer() == reflect.ValueOf(m).Pointer() {
		t.Error("a map in itself")
	}
	s := []any{nil}
	s[0] = s
	if got := copyOf(t, s); &got[0].([]any)[0] != &got[0] || &got[0] == &s[0] {
		t.Error("a slice in itself")
	}
	var i any
	i = &i
	if got := copyOf(t, i).(*any); *got != any(got) {
		t.Error("an interface that holds its own address")
	}
	type holder struct{ A any }
	h := &holder{}
	h.A = h
	if got := copyOf(t, h); got.A != any(got) || got == h {
		t.Error("a struct in its own interface")
	}
	x := &node{val: 5}
	if got := copyOf(t, []*node{x, nil, x, {1, x}}); got[0] != got[2] || got[3].next != got[0] || got[0] == x {
		t.Errorf("aliased rows: %v", got)
	}
	root := tree{Name: "root", Children: []tree{{Name: "a"}, {Name: "b", Children: []tree{{Name: "c"}}}}}
	for k := range root.Children {
		root.Children[k].Parent = &root
	}
	root.Children[1].Children[0].Parent = &root.Children[1]
	root.Children[0].Any = &root.Children[1]
	got := copyOf(t, &root)
	if got.Children[0].Parent != got || got.Children[1].Children[0].Parent != &got.Children[1] ||
		got.Children[0].Any != any(&got.Children[1]) {
		t.Error("parents in a tree of values")
	}
	var in, out struct {
		b strings.Builder
		n int
	}
	in.b.WriteString("hello")
	if err := clone.For(reflect.TypeOf(&in).Elem()).Copy(unsafe.Pointer(&out), unsafe.Pointer(&in)); err != nil {
		t.Fatal(err)
	}
	out.b.WriteString(" world")
	if in.b.String() != "hello" || out.b.String() != "hello world" {
		t.Errorf("builders hold %q and %q", in.b.String(), out.b.String())
	}
	// The builder's pointer to itself leads inside of what a pointer leads to.
	type outer struct {
		n int
		b strings.Builder
	}
	o := []*outer{{}, {}}
	o[1].b.WriteString("hello")
	for _, got := range []*outer{copyOf(t, o[1]), copyOf(t, o)[1]} {
		if got.b.WriteString(" world"); got.b.String() != "hello world" || o[1].b.String() != "hello" {
			t.Errorf("builders hold %q and %q", o[1].b.String(), got.b.String())
		}
	}
	for _, v := range []any{n, m, s, i, h, &root} {
		if size := clone.SizeAny(v); size <= 0 || size > 10_000 {
			t.Errorf("SizeAny of a cyclic %T = %d", v, size)
		}
	}
	// Shared boxes must not be unfolded: that would be 2^60 of them.
	type pair struct{ a, b any }
	var p any = []int{1}
	for range 60 {
		p = pair{p, p}
	}
	if _, err := clone.Any(p); err != nil {
		t.Error(err)
	}
}

func TestDeepLists(t *testing.T) {
	t.Parallel()
	const depth = 100_000
	var list *node
	var boxes any = []byte("x")
	var maps any
	for k := range depth {
		list = &node{k, list}
		boxes = struct{ next any }{boxes}
		maps = map[string]any{"next": maps}
	}
	got := copyOf(t, list)
	count := 0
	for a, b := list, got; a != nil; a, b = a.next, b.next {
		if a == b || a.val != b.val {
			t.Fatalf("element %d differs or is shared", count)
		}
		count++
	}
	if count != depth {
		t.Errorf("copied %d elements", count)
	}
	for _, v := range []any{boxes, maps} {
		if _, err := clone.Any(v); err != nil {
			t.Error(err)
		}
	}
	if size := clone.SizeAny(list); size != depth*16 {
		t.Errorf("SizeAny = %d, want %d", size, depth*16)
	}
}

func TestCopyInto(t *testing.T) {
	t.Parallel()
	into := func(dst, src []tree) []tree {
		t.Helper()
		if err := clone.For(reflect.TypeOf(src)).CopyInto(unsafe.Pointer(&dst), unsafe.Pointer(&src)); err != nil {
			t.Fatal(err)
		}
		return dst
	}
	src := []tree{{Name: "a", Any: []byte("x")}, {Name: "b", Children: []tree{}}}
	src[0].Parent = &src[1]
	room := make([]tree, 5, 10)
	got := into(room, src)
	if &got[0] != &room[0] || cap(got) != 10 || !reflect.DeepEqual(got, src) || got[0].Parent != &got[1] {
		t.Errorf("into a roomy slice: %+v", got)
	}
	if got := into(make([]tree, 1), src); !reflect.DeepEqual(got, src) || &got[0] == &src[0] {
		t.Errorf("into a short slice: %+v", got)
	}
	if got := into(src, src); !reflect.DeepEqual(got, src) || &got[0] == &src[0] {
		t.Error("into itself: the source must not become the copy")
	}
	if got := into(room, nil); got != nil {
		t.Errorf("a nil source gave %v", got)
	}
	if got := into(nil, []tree{}); got == nil || len(got) != 0 {
		t.Errorf("an empty source gave %v", got)
	}
	if got := into(room, []tree{}); len(got) != 0 || cap(got) != 10 {
		t.Errorf("an empty source gave %v", got)
	}
	if err := clone.For(reflect.TypeFor[int]()).CopyInto(nil, nil); err == nil {
		t.Error("CopyInto of an int succeeded")
	}
}

func TestFlat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ  reflect.Type
		flat bool
	}{
		{reflect.TypeFor[flatRow](), true}, {reflect.TypeFor[netip.Addr](), true}, {reflect.TypeFor[[3]string](), true},
		{reflect.TypeFor[*time.Location](), true}, {reflect.TypeFor[[]byte](), false}, {reflect.TypeFor[*int](), false},
		{reflect.TypeFor[any](), false}, {reflect.TypeFor[struct{ F func() }](), false}, {reflect.TypeFor[[0]*int](), true},
	} {
		if got := clone.For(c.typ).Flat(); got != c.flat {
			t.Errorf("Flat of %s = %v", c.typ, got)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	var full map[int64]int64 = map[int64]int64{}
	for i := range int64(10_000) {
		full[i] = i
	}
	for _, c := range []struct {
		v        any
		low, hig int64
	}{
		{nil, 0, 0}, {int64(1), 8, 8}, {"hello", 24, 24}, {make([]byte, 3, 100), 24 + 112, 24 + 112}, {ptr(5), 8, 8},
		{[]string{"0123456789abcdef", ""}, 24 + 32 + 16, 24 + 32 + 16}, {make([]byte, 40_000), 24 + 40_960, 24 + 40_960},
		{full, 280_000, 320_000}, {[]*int{ptr(1), nil}, 24 + 16 + 8, 24 + 16 + 8}, {time.Local, 0, 0},
	} {
		if got := clone.SizeAny(c.v); got < c.low || got > c.hig {
			t.Errorf("SizeAny(%T) = %d, want %d to %d", c.v, got, c.low, c.hig)
		}
	}
}

func TestConcurrentCopiesOfOneSource(t *testing.T) {
	t.Parallel()
	type fresh struct {
		Rows []*tree
		M    map[string]any
		Name *string
	}
	src := &fresh{[]*tree{{Name: "a", Any: map[string]any{"x": []any{1}}}}, map[string]any{"y": []byte("z")}, ptr("n")}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if got, err := clone.Any(src); err != nil || !reflect.DeepEqual(got, any(src)) {
					t.Errorf("Any = %+v, %v", got, err)
				}
				clone.SizeAny(src)
			}
		})
	}
	wg.Wait()
}

func TestCopyAllocatesOnlyWhatTheCopyNeeds(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector drops pooled objects")
	}
	rows, ptrs := rowsOf(50, newModel30)
	for _, c := range []struct {
		name string
		most float64
		run  func()
	}{
		// The array; eight columns of pointers and three of bytes.
		{"[]T", 12, func() { copyIn(&rows) }},
		{"[]*T", 13, func() { copyIn(&ptrs) }},
	} {
		if got := testing.AllocsPerRun(50, c.run); got > c.most+1 {
			t.Errorf("%s: %v allocations, want %v", c.name, got, c.most)
		}
	}
}

func copyIn[T any](src *T) {
	out := new(T)
	_ = clone.For(reflect.TypeFor[T]()).Copy(unsafe.Pointer(out), unsafe.Pointer(src))
}

// TestSizeOfACopiedEmptySlice: the elements that an empty slice does not have are not looked at.
func TestSizeOfACopiedEmptySlice(t *testing.T) {
	t.Parallel()
	type row struct {
		A, B int
		S    string
	}
	from, to := []row{}, []row(nil)
	p := clone.For(reflect.TypeFor[[]row]())
	if err := p.Copy(unsafe.Pointer(&to), unsafe.Pointer(&from)); err != nil {
		t.Fatal(err)
	}
	if size := p.Size(unsafe.Pointer(&to)); size < int64(unsafe.Sizeof(to)) || size > 64 {
		t.Errorf("an empty slice weighs %d bytes", size)
	}
}
