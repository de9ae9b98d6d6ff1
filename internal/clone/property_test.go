//lint:file-ignore U1000 fields that nothing reads are there to be copied

package clone_test

import (
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"regexp"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/clone"
	"pgregory.net/rapid"
)

// sharedMemory names memory that can be changed through both values, or is
// empty. It works on reflect alone, apart from the plans that it checks.
func sharedMemory(a, b reflect.Value) string {
	x, y := memoryOf(a), memoryOf(b)
	for _, r := range x {
		for _, s := range y {
			if r.from < s.to && s.from < r.to {
				return fmt.Sprintf("a %s with a %s", r.typ, s.typ)
			}
		}
	}
	return ""
}

type memory struct {
	from, to uintptr
	typ      reflect.Type
}

func memoryOf(v reflect.Value) []memory {
	var out []memory
	seen := map[memory]bool{}
	add := func(m memory) bool {
		if m.from == m.to || seen[m] {
			return false
		}
		seen[m] = true
		out = append(out, m)
		return true
	}
	var walk func(reflect.Value)
	walk = func(v reflect.Value) {
		if !v.IsValid() {
			return
		}
		switch v.Type() {
		case reflect.TypeFor[*time.Location](), reflect.TypeFor[*regexp.Regexp](), reflect.TypeOf(reflect.TypeFor[int]()):
			return
		}
		if v.Type().PkgPath() == "unique" {
			return
		}
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() && add(memory{v.Pointer(), v.Pointer() + v.Type().Elem().Size(), v.Type()}) {
				walk(v.Elem())
			}
		case reflect.Interface:
			walk(v.Elem())
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		case reflect.Array:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Slice:
			add(memory{v.Pointer(), v.Pointer() + uintptr(v.Cap())*v.Type().Elem().Size(), v.Type()})
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Map:
			if !v.IsNil() && add(memory{v.Pointer(), v.Pointer() + 1, v.Type()}) {
				for it := v.MapRange(); it.Next(); {
					walk(it.Key())
					walk(it.Value())
				}
			}
		}
	}
	walk(v)
	return out
}

type family struct {
	tree
	hidden   map[string]*node
	big      *big.Int
	Model    model20
	Models   []*model20
	addr     netip.Addr
	anything any
	Err      fmt.Stringer
	Nested   map[[1]string][][]*string
	grid     [10]*[]int8
	_        []string
	list     *family
	more     []family
}

// leaves are types that random types are built of.
var leaves = []reflect.Type{
	reflect.TypeFor[int](), reflect.TypeFor[uint8](), reflect.TypeFor[int16](), reflect.TypeFor[string](), reflect.TypeFor[bool](),
	reflect.TypeFor[float64](), reflect.TypeFor[time.Time](), reflect.TypeFor[any](), reflect.TypeFor[node](), reflect.TypeFor[tree](),
	reflect.TypeFor[family](), reflect.TypeFor[embedded](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[struct{}](), reflect.TypeFor[big.Int](),
	reflect.TypeFor[one](), reflect.TypeFor[model20](), reflect.TypeFor[func()](), reflect.TypeFor[fmt.Stringer](),
}

func drawType(t *rapid.T, depth int) reflect.Type {
	kind := rapid.IntRange(0, 6).Draw(t, "kind")
	if depth == 0 || kind == 0 {
		return rapid.SampledFrom(leaves).Draw(t, "leaf")
	}
	switch kind {
	case 1:
		return reflect.PointerTo(drawType(t, depth-1))
	case 2:
		return reflect.SliceOf(drawType(t, depth-1))
	case 3:
		return reflect.ArrayOf(rapid.SampledFrom([]int{0, 1, 2, 9}).Draw(t, "len"), drawType(t, depth-1))
	case 4:
		key := rapid.SampledFrom([]reflect.Type{reflect.TypeFor[string](), reflect.TypeFor[int](), reflect.TypeFor[[1]any](), reflect.TypeFor[netip.Addr]()}).Draw(t, "key")
		return reflect.MapOf(key, drawType(t, depth-1))
	}
	var fields []reflect.StructField
	for i := range rapid.IntRange(0, 5).Draw(t, "fields") {
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: drawType(t, depth-1)})
	}
	return reflect.StructOf(fields)
}

// generator makes one random value. It keeps the pointers that it made, to use
// some again: the value then has aliases, and cycles.
type generator struct {
	made map[reflect.Type][]reflect.Value
}

// fill sets v to a random value; unexported fields too.
func (g generator) fill(t *rapid.T, v reflect.Value, depth int) {
	some := func() bool { return depth > 0 && rapid.IntRange(0, 3).Draw(t, "some") > 0 }
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(rapid.Int64Range(0, 1<<32).Draw(t, "time"), 0).In(time.FixedZone("Z", 3600))))
		return
	case reflect.TypeFor[netip.Addr]():
		v.Set(reflect.ValueOf(rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("1.2.3.4"), netip.MustParseAddr("::1%z")}).Draw(t, "addr")))
		return
	case reflect.TypeFor[big.Int]():
		v.Set(reflect.ValueOf(*big.NewInt(rapid.Int64().Draw(t, "big"))))
		return
	case reflect.TypeFor[fmt.Stringer]():
		if some() {
			v.Set(reflect.ValueOf(rapid.SampledFrom([]fmt.Stringer{big.NewInt(7), time.Second, netip.MustParseAddr("::2")}).Draw(t, "stringer")))
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rapid.Int64Range(-100, 100).Draw(t, "int"))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(rapid.Uint64Range(0, 100).Draw(t, "uint"))
	case reflect.Float64:
		v.SetFloat(rapid.Float64Range(-1e9, 1e9).Draw(t, "float"))
	case reflect.String:
		v.SetString(rapid.StringN(0, 4, 8).Draw(t, "string"))
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			g.fill(t, reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem(), depth-1)
		}
	case reflect.Array:
		for i := range v.Len() {
			g.fill(t, v.Index(i), depth)
		}
	case reflect.Pointer:
		if old := g.made[v.Type()]; len(old) > 0 && rapid.IntRange(0, 3).Draw(t, "alias") == 0 {
			v.Set(old[rapid.IntRange(0, len(old)-1).Draw(t, "old")])
		} else if some() {
			v.Set(reflect.New(v.Type().Elem()))
			g.made[v.Type()] = append(g.made[v.Type()], reflect.ValueOf(v.Interface()))
			g.fill(t, v.Elem(), depth-1)
		}
	case reflect.Slice:
		if some() {
			n := rapid.IntRange(0, 3).Draw(t, "len")
			v.Set(reflect.MakeSlice(v.Type(), n, n+rapid.IntRange(0, 2).Draw(t, "spare")))
			for i := range n {
				g.fill(t, v.Index(i), depth-1)
			}
		}
	case reflect.Map:
		if some() {
			v.Set(reflect.MakeMap(v.Type()))
			for range rapid.IntRange(0, 3).Draw(t, "len") {
				k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				if k.Type() == reflect.TypeFor[[1]any]() {
					k.Index(0).Set(reflect.ValueOf(rapid.IntRange(0, 9).Draw(t, "key")))
				} else {
					g.fill(t, k, 1)
				}
				g.fill(t, e, depth-1)
				v.SetMapIndex(k, e)
			}
		}
	case reflect.Interface:
		if some() {
			e := reflect.New(drawType(t, 1)).Elem()
			g.fill(t, e, depth-1)
			if e.Kind() != reflect.Interface || !e.IsNil() {
				v.Set(e)
			}
		}
	}
}

func TestRandomValues(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		typ := drawType(t, 3)
		src, dst := reflect.New(typ), reflect.New(typ)
		generator{map[reflect.Type][]reflect.Value{}}.fill(t, src.Elem(), 4)
		generator{map[reflect.Type][]reflect.Value{}}.fill(t, dst.Elem(), 2) // to be overwritten
		p := clone.For(typ)
		if err := p.Copy(dst.UnsafePointer(), src.UnsafePointer()); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(dst.Interface(), src.Interface()) {
			t.Fatalf("the copy of a %s differs from it", typ)
		}
		if s := sharedMemory(src, dst); s != "" {
			t.Fatalf("copy and source of a %s share %s", typ, s)
		}
		if p.Size(src.UnsafePointer()) < int64(typ.Size()) {
			t.Fatalf("Size of a %s is less than the value itself", typ)
		}
	})
}
