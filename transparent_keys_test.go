package preload_test

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// readSecret shows nothing of itself to fmt.
type readSecret struct{ v string }

func (readSecret) String() string                 { return "***" }
func (readSecret) GoString() string               { return "***" }
func (readSecret) Format(f fmt.State, _ rune)     { _, _ = f.Write([]byte("***")) }
func (s readSecret) Value() (driver.Value, error) { return s.v, nil }
func (readSecret) MarshalJSON() ([]byte, error)   { return []byte(`"***"`), nil }

type readHiddenString string

func (readHiddenString) String() string { return "***" }

type readNumber int

// A Valuer with a pointer receiver.
type readPointed struct{ v string }

func (p *readPointed) Value() (driver.Value, error) { return p.v, nil }

// readDistinct checks that queries, run one after the other in several orders without any being
// forgotten, each answer as plain GORM does, and from memory from the second time on.
func readDistinct(t *testing.T, b *worldtest.World, names []string, queries []worldtest.Query) {
	t.Helper()
	want := make([]worldtest.Answer, len(queries))
	for i, query := range queries {
		want[i] = query.Try(b.Plain)
		if want[i].Panic != nil {
			t.Fatalf("%s: plain GORM panics: %v", names[i], want[i].Panic)
		}
	}
	for turn := range 4 {
		for i := range queries {
			if turn%2 == 1 {
				i = len(queries) - 1 - i
			}
			var got worldtest.Answer
			reasons := b.Plugin.Stats().BypassReasons
			n := b.Queries(func() { got = queries[i].Try(b.DB) })
			if diff := want[i].Differs(got); diff != "" {
				t.Errorf("%s, turn %d: %s", names[i], turn, diff)
			}
			if turn > 0 && n > 0 && want[i].Err == nil {
				t.Errorf("%s, turn %d: %d queries reached the database; bypassed: %v", names[i], turn, n, worldtest.Since(reasons, b.Plugin.Stats().BypassReasons))
			}
		}
	}
}

func readArgs() (names []string, values []any) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 8000, time.UTC)
	one, empty := 1, ""
	values = []any{
		1, "1", 1.0, true, false, 0, "true", int8(2), uint64(3), int64(math.MaxInt64), nil, "<nil>", "NULL", "null", "nil", "",
		[]byte("1"), []byte("x"), []byte{0}, "x", "\x00", "x'", `x"`, "ü", "u\u0308", "🙂", "a b", "a  b", " a", "1:x;s1:x",
		readHiddenString("one"), readHiddenString("two"), readSecret{"one"}, readSecret{"two"}, worldtest.ReadLevel{N: 1}, worldtest.ReadLevel{N: 2},
		&readPointed{"p"}, &readPointed{"q"}, readNumber(10), readNumber(11), &one, &empty, (*string)(nil), (*int)(nil),
		at, at.In(time.FixedZone("east", 3600)), at.In(time.FixedZone("west", -3600)), at.Add(time.Nanosecond), time.Time{},
		math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0.1, float32(0.1), 1e300, math.SmallestNonzeroFloat64,
		json.RawMessage("1"), json.RawMessage("[1]"), time.Second, 1e9 + 1,
		strings.Repeat("x", 10_000), strings.Repeat("x", 9_999) + "y", strings.Repeat("x", 600), []byte(strings.Repeat("x", 600)),
	}
	for i, v := range values {
		name := fmt.Sprintf("#%d %T", i, v)
		names = append(names, name)
	}
	return names, values
}

// Bind values are told apart by type and content. The database shows what it was given.
func TestReadKeysTellBindValuesApart(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	names, values := readArgs()
	var queries []worldtest.Query
	for _, v := range values {
		queries = append(queries, func(db *gorm.DB) (any, *gorm.DB) {
			s := readSmall{}
			return &s, db.Model(&worldtest.ReadCompany{}).Select("id, quote(?) AS name", v).Take(&s)
		})
	}
	readDistinct(t, b, names, queries)

	// In conditions of each kind.
	for _, condition := range []string{"quote(?) = quote(?)", "name <> ? AND 1 = ?", "name IN (?) OR name = ?"} {
		names, queries = nil, nil
		for i, v := range values {
			for j := 0; j < len(values); j += 7 {
				w := values[j]
				names = append(names, fmt.Sprintf("%s of #%d and #%d", condition, i, j))
				queries = append(queries, worldtest.Pluck[uint]("id", func(db *gorm.DB) *gorm.DB {
					return db.Model(&worldtest.ReadCompany{}).Where(condition, v, w)
				}))
			}
		}
		readDistinct(t, b, names, queries)
	}
}

// Where one value ends and the next begins is part of the key.
func TestReadKeysTellBoundariesApart(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	var (
		names   []string
		queries []worldtest.Query
	)
	for _, args := range [][]any{
		{"a;sb", "c"}, {"a", "b;sc"}, {"a b", "c"}, {"a", "b c"}, {"a b c", ""}, {"", "a b c"}, {"a;", "b"}, {"a", ";b"}, {"a;s1:b", "c"}, {"a", "s1:b;c"},
		{1, 23}, {12, 3}, {"1", 23}, {1, "23"}, {nil, "x"}, {"x", nil}, {"n", nil}, {nil, "n"}, {nil, nil},
		{[]byte("a b"), "c"}, {"a b", []byte("c")},
	} {
		names = append(names, fmt.Sprintf("%q", args))
		queries = append(queries, func(db *gorm.DB) (any, *gorm.DB) {
			s := readSmall{}
			return &s, db.Model(&worldtest.ReadCompany{}).Select("id, quote(?) || '|' || quote(?) AS name", args...).Take(&s)
		})
	}
	for _, list := range [][]string{{}, {""}, {"a"}, {"a", "b"}, {"a", "b", "c"}, {"a,b"}, {"ann"}, {"ann", "bob"}, {"bob", "ann"}, {"ann,bob"}} {
		names = append(names, fmt.Sprintf("IN %q", list), fmt.Sprintf("map IN %q", list), fmt.Sprintf("NOT IN %q", list))
		queries = append(queries,
			worldtest.Pluck[string]("name", func(db *gorm.DB) *gorm.DB {
				return db.Model(&worldtest.ReadUser{}).Where("name IN ?", list).Order("id")
			}),
			worldtest.Pluck[string]("name", func(db *gorm.DB) *gorm.DB {
				return db.Model(&worldtest.ReadUser{}).Where(map[string]any{"name": list}).Order("id")
			}),
			worldtest.Pluck[string]("name", func(db *gorm.DB) *gorm.DB {
				return db.Model(&worldtest.ReadUser{}).Not(map[string]any{"name": list}).Order("id")
			}))
	}
	long := make([]int, 5_000)
	for i := range long {
		long[i] = i
	}
	for _, n := range []int{1, 2, 4_999, 5_000} {
		names = append(names, fmt.Sprint("IN of ", n))
		queries = append(queries, worldtest.Count(func(db *gorm.DB) *gorm.DB { return db.Model(&worldtest.ReadUser{}).Where("id IN ?", long[:n]) }))
	}
	readDistinct(t, b, names, queries)
}

func readLocalA() (any, func(any) any) {
	type twin struct{ Name string }
	return &twin{}, func(v any) any { return v.(*twin).Name }
}

func readLocalB() (any, func(any) any) {
	type twin struct {
		ID   uint
		Name string
	}
	return &twin{}, func(v any) any { return fmt.Sprint(v.(*twin).ID, v.(*twin).Name) }
}

// Whatever decides the answer besides the bind values is part of the key.
func TestReadKeysTellShapesApart(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		worldtest.SeedReads(t, d.Plain(t))
		b := readOpen(t, d)
		worldtest.Must(t, b.Plugin.Register(worldtest.ReadModels...))
		where := func(db *gorm.DB) *gorm.DB { return db.Model(&worldtest.ReadUser{}).Where("age = ?", 40).Order("id") }
		names := []string{}
		queries := []worldtest.Query{}
		add := func(name string, query worldtest.Query) {
			names, queries = append(names, name), append(queries, query)
		}
		flat := func(db *gorm.DB) *gorm.DB { return where(db).Select("id", "name") }
		add("struct", worldtest.Take[worldtest.ReadUser](where))
		add("structs", worldtest.Find[[]worldtest.ReadUser](where))
		add("pointers", worldtest.Find[[]*worldtest.ReadUser](where))
		add("array", worldtest.Find[[2]worldtest.ReadUser](where))
		add("smaller", worldtest.Take[readSmall](where))
		add("smaller structs", worldtest.Find[[]readSmall](where))
		add("map", worldtest.Take[map[string]any](func(db *gorm.DB) *gorm.DB { return flat(db) }))
		add("maps", worldtest.Find[[]map[string]any](flat))
		add("count", worldtest.Count(where))
		add("pluck name", worldtest.Pluck[string]("name", where))
		add("pluck id", worldtest.Pluck[int]("id", where))
		add("pluck id uint", worldtest.Pluck[uint]("id", where))
		add("pluck id string", worldtest.Pluck[string]("id", where))
		add("pluck age", worldtest.Pluck[int]("age", where))
		for _, local := range []func() (any, func(any) any){readLocalA, readLocalB} {
			add("twin", func(db *gorm.DB) (any, *gorm.DB) {
				dest, show := local()
				tx := where(db).Select("id", "name").Take(dest)
				return show(dest), tx
			})
		}
		add("first", worldtest.First[worldtest.ReadUser](where))
		add("last", func(db *gorm.DB) (any, *gorm.DB) { var u worldtest.ReadUser; return &u, where(db).Last(&u) })
		add("unscoped", worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Unscoped().Order("id") }))
		add("scoped", worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Order("id") }))
		add("desc", worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Order("id desc") }))
		add("select id", worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Select("id").Order("id") }))
		add("select id, name", worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Select("id", "name").Order("id") }))
		add("select id,name", worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Select("id,age").Order("id") }))
		add("omit name", worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Omit("name").Order("id") }))
		for limit := range 4 {
			for offset := range 3 {
				add(fmt.Sprint("limit ", limit, " offset ", offset), worldtest.Pluck[string]("name", func(db *gorm.DB) *gorm.DB {
					return db.Model(&worldtest.ReadUser{}).Order("id").Limit(limit).Offset(offset)
				}))
			}
		}
		add("mapped", worldtest.Find[[]readSmall](func(db *gorm.DB) *gorm.DB {
			return db.Model(&worldtest.ReadUser{}).Select("id", "home_city").MapColumns(map[string]string{"home_city": "name"}).Order("id")
		}))
		add("not mapped", worldtest.Find[[]readSmall](func(db *gorm.DB) *gorm.DB {
			return db.Model(&worldtest.ReadUser{}).Select("id", "home_city").Order("id")
		}))
		add("or", worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Where("age = ?", 40).Or("age = ?", 30).Order("id") }))
		add("and", worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Where("age = ?", 40).Where("age = ?", 30).Order("id") }))
		add("not", worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Not("age = ?", 40).Order("id") }))
		add("(a or b) and c", worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB {
			return db.Where(b.Plain.Session(&gorm.Session{NewDB: true}).Where("age = ?", 40).Or("age = ?", 30)).Where("name = ?", "ann").Order("id")
		}))
		add("a or (b and c)", worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB {
			return db.Where("age = ?", 40).Or(b.Plain.Session(&gorm.Session{NewDB: true}).Where("age = ?", 30).Where("name = ?", "ann")).Order("id")
		}))
		add("joined", worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Joins("Company").Order("read_users.id") }))
		add("joined otherwise", worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Joins("Manager").Order("read_users.id") }))
		add("inner joined", worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.InnerJoins("Company").Order("read_users.id") }))
		add("pets", worldtest.Find[[]worldtest.ReadPet](func(db *gorm.DB) *gorm.DB { return db.Order("id") }))
		add("toys", worldtest.Find[[]worldtest.ReadToy](func(db *gorm.DB) *gorm.DB { return db.Order("id") }))
		add("companies as small", worldtest.Find[[]readSmall](func(db *gorm.DB) *gorm.DB { return db.Model(&worldtest.ReadCompany{}).Order("id") }))
		add("users as small", worldtest.Find[[]readSmall](func(db *gorm.DB) *gorm.DB { return db.Model(&worldtest.ReadUser{}).Order("id") }))
		add("distinct", worldtest.Pluck[int]("age", func(db *gorm.DB) *gorm.DB { return db.Model(&worldtest.ReadUser{}).Distinct().Order("age") }))
		add("not distinct", worldtest.Pluck[int]("age", func(db *gorm.DB) *gorm.DB { return db.Model(&worldtest.ReadUser{}).Order("age") }))
		for _, id := range []uint{0, 1, 2, 3, 1000} {
			add(fmt.Sprint("key ", id), func(db *gorm.DB) (any, *gorm.DB) {
				u := worldtest.ReadUser{Model: gorm.Model{ID: id}}
				return &u, db.Find(&u)
			})
		}
		for _, l := range []worldtest.ReadLine{{}, {OrderID: 1}, {No: 1}, {OrderID: 1, No: 2}, {OrderID: 2, No: 1}} {
			add(fmt.Sprint("line ", l.OrderID, l.No), func(db *gorm.DB) (any, *gorm.DB) { dest := l; return &dest, db.Find(&dest) })
		}
		readDistinct(t, b, names, queries)
	})
}

// The partition is part of every key, and no part of any other.
func TestReadKeysTellPartitionsApart(t *testing.T) {
	t.Parallel()
	type tenant struct{}
	b := readSQLite(t, preload.WithPartition(func(ctx context.Context) string { s, _ := ctx.Value(tenant{}).(string); return s }))
	query := func(name, arg string) int64 {
		return b.Queries(func() {
			var u []worldtest.ReadUser
			ctx := context.WithValue(context.Background(), tenant{}, name)
			worldtest.Must(t, b.DB.WithContext(ctx).Where("name = ?", arg).Find(&u).Error)
		})
	}
	tenants := []string{"", "a", "b", "p1:a;", "a;p1:a"}
	for turn, want := range []int64{1, 0} {
		for _, name := range tenants {
			for _, arg := range []string{"ann", "annp1:a;", "a"} {
				if n := query(name, arg); n != want {
					t.Errorf("turn %d: tenant %q, arg %q: %d queries, want %d", turn, name, arg, n, want)
				}
			}
		}
	}
}

type readFault struct{ turn *atomic.Int64 }

// Value panics each third time.
func (f readFault) Value() (driver.Value, error) {
	if f.turn.Add(1)%3 == 0 {
		panic("a Valuer that panics")
	}
	return "ann", nil
}

type readBroken struct{ panics bool }

func (b readBroken) Value() (driver.Value, error) {
	if b.panics {
		panic("a Valuer that panics")
	}
	return nil, fmt.Errorf("a Valuer that fails")
}

// A Valuer that fails or panics does what it does with plain GORM.
func TestReadValuerThatFails(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	for _, broken := range []readBroken{{false}, {true}} {
		b.AsPlain(t, fmt.Sprintf("expression, panics %v", broken.panics), worldtest.AnyReason, worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Where("name = ?", broken) }))
		b.AsPlain(t, fmt.Sprintf("map, panics %v", broken.panics), worldtest.AnyReason, worldtest.Find[[]worldtest.ReadUser](func(db *gorm.DB) *gorm.DB {
			return db.Where(map[string]any{"name": broken})
		}))
	}
	// The connection is not lost to a panic in between.
	turn := &atomic.Int64{}
	for range 12 {
		func() {
			defer func() { _ = recover() }()
			var u []worldtest.ReadUser
			if err := b.DB.Where("name = ?", readFault{turn}).Find(&u).Error; err == nil && len(u) != 1 {
				t.Errorf("%d rows", len(u))
			}
		}()
	}
	worldtest.Within(t, 10*time.Second, "a query after Valuers that panicked", func() {
		var u []worldtest.ReadUser
		if err := b.DB.Where("name = ?", "ann").Find(&u).Error; err != nil || len(u) != 1 {
			t.Errorf("%d rows, %v", len(u), err)
		}
	})
}
