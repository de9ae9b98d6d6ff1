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
func readDistinct(t *testing.T, b *readBench, names []string, queries []readQuery) {
	t.Helper()
	want := make([]readAnswer, len(queries))
	for i, query := range queries {
		want[i] = readRun(b.plain, query)
		if want[i].panic != nil {
			t.Fatalf("%s: plain GORM panics: %v", names[i], want[i].panic)
		}
	}
	for turn := range 4 {
		for i := range queries {
			if turn%2 == 1 {
				i = len(queries) - 1 - i
			}
			var got readAnswer
			reasons := b.p.Stats().BypassReasons
			n := b.queries(func() { got = readRun(b.db, queries[i]) })
			if diff := want[i].differs(got); diff != "" {
				t.Errorf("%s, turn %d: %s", names[i], turn, diff)
			}
			if turn > 0 && n > 0 && want[i].err == nil {
				t.Errorf("%s, turn %d: %d queries reached the database; bypassed: %v", names[i], turn, n, readNew(reasons, b.p.Stats().BypassReasons))
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
		readHiddenString("one"), readHiddenString("two"), readSecret{"one"}, readSecret{"two"}, readLevel{1}, readLevel{2},
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
	var queries []readQuery
	for _, v := range values {
		queries = append(queries, func(db *gorm.DB) (any, *gorm.DB) {
			s := readSmall{}
			return &s, db.Model(&readCompany{}).Select("id, quote(?) AS name", v).Take(&s)
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
				queries = append(queries, readPluck[uint]("id", func(db *gorm.DB) *gorm.DB {
					return db.Model(&readCompany{}).Where(condition, v, w)
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
		queries []readQuery
	)
	for _, args := range [][]any{
		{"a;sb", "c"}, {"a", "b;sc"}, {"a b", "c"}, {"a", "b c"}, {"a b c", ""}, {"", "a b c"}, {"a;", "b"}, {"a", ";b"}, {"a;s1:b", "c"}, {"a", "s1:b;c"},
		{1, 23}, {12, 3}, {"1", 23}, {1, "23"}, {nil, "x"}, {"x", nil}, {"n", nil}, {nil, "n"}, {nil, nil},
		{[]byte("a b"), "c"}, {"a b", []byte("c")},
	} {
		names = append(names, fmt.Sprintf("%q", args))
		queries = append(queries, func(db *gorm.DB) (any, *gorm.DB) {
			s := readSmall{}
			return &s, db.Model(&readCompany{}).Select("id, quote(?) || '|' || quote(?) AS name", args...).Take(&s)
		})
	}
	for _, list := range [][]string{{}, {""}, {"a"}, {"a", "b"}, {"a", "b", "c"}, {"a,b"}, {"ann"}, {"ann", "bob"}, {"bob", "ann"}, {"ann,bob"}} {
		names = append(names, fmt.Sprintf("IN %q", list), fmt.Sprintf("map IN %q", list), fmt.Sprintf("NOT IN %q", list))
		queries = append(queries,
			readPluck[string]("name", func(db *gorm.DB) *gorm.DB { return db.Model(&readUser{}).Where("name IN ?", list).Order("id") }),
			readPluck[string]("name", func(db *gorm.DB) *gorm.DB {
				return db.Model(&readUser{}).Where(map[string]any{"name": list}).Order("id")
			}),
			readPluck[string]("name", func(db *gorm.DB) *gorm.DB {
				return db.Model(&readUser{}).Not(map[string]any{"name": list}).Order("id")
			}))
	}
	long := make([]int, 5_000)
	for i := range long {
		long[i] = i
	}
	for _, n := range []int{1, 2, 4_999, 5_000} {
		names = append(names, fmt.Sprint("IN of ", n))
		queries = append(queries, readCount(func(db *gorm.DB) *gorm.DB { return db.Model(&readUser{}).Where("id IN ?", long[:n]) }))
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
		readSeed(t, d.Plain(t))
		b := readOpen(t, d)
		readMust(t, b.p.Register(readModels...))
		where := func(db *gorm.DB) *gorm.DB { return db.Model(&readUser{}).Where("age = ?", 40).Order("id") }
		names := []string{}
		queries := []readQuery{}
		add := func(name string, query readQuery) {
			names, queries = append(names, name), append(queries, query)
		}
		flat := func(db *gorm.DB) *gorm.DB { return where(db).Select("id", "name") }
		add("struct", readTake[readUser](where))
		add("structs", readFind[[]readUser](where))
		add("pointers", readFind[[]*readUser](where))
		add("array", readFind[[2]readUser](where))
		add("smaller", readTake[readSmall](where))
		add("smaller structs", readFind[[]readSmall](where))
		add("map", readTake[map[string]any](func(db *gorm.DB) *gorm.DB { return flat(db) }))
		add("maps", readFind[[]map[string]any](flat))
		add("count", readCount(where))
		add("pluck name", readPluck[string]("name", where))
		add("pluck id", readPluck[int]("id", where))
		add("pluck id uint", readPluck[uint]("id", where))
		add("pluck id string", readPluck[string]("id", where))
		add("pluck age", readPluck[int]("age", where))
		for _, local := range []func() (any, func(any) any){readLocalA, readLocalB} {
			add("twin", func(db *gorm.DB) (any, *gorm.DB) {
				dest, show := local()
				tx := where(db).Select("id", "name").Take(dest)
				return show(dest), tx
			})
		}
		add("first", readFirst[readUser](where))
		add("last", func(db *gorm.DB) (any, *gorm.DB) { var u readUser; return &u, where(db).Last(&u) })
		add("unscoped", readFind[[]readUser](func(db *gorm.DB) *gorm.DB { return db.Unscoped().Order("id") }))
		add("scoped", readFind[[]readUser](func(db *gorm.DB) *gorm.DB { return db.Order("id") }))
		add("desc", readFind[[]readUser](func(db *gorm.DB) *gorm.DB { return db.Order("id desc") }))
		add("select id", readFind[[]readUser](func(db *gorm.DB) *gorm.DB { return db.Select("id").Order("id") }))
		add("select id, name", readFind[[]readUser](func(db *gorm.DB) *gorm.DB { return db.Select("id", "name").Order("id") }))
		add("select id,name", readFind[[]readUser](func(db *gorm.DB) *gorm.DB { return db.Select("id,age").Order("id") }))
		add("omit name", readFind[[]readUser](func(db *gorm.DB) *gorm.DB { return db.Omit("name").Order("id") }))
		for limit := range 4 {
			for offset := range 3 {
				add(fmt.Sprint("limit ", limit, " offset ", offset), readPluck[string]("name", func(db *gorm.DB) *gorm.DB {
					return db.Model(&readUser{}).Order("id").Limit(limit).Offset(offset)
				}))
			}
		}
		add("mapped", readFind[[]readSmall](func(db *gorm.DB) *gorm.DB {
			return db.Model(&readUser{}).Select("id", "home_city").MapColumns(map[string]string{"home_city": "name"}).Order("id")
		}))
		add("not mapped", readFind[[]readSmall](func(db *gorm.DB) *gorm.DB { return db.Model(&readUser{}).Select("id", "home_city").Order("id") }))
		add("or", readFind[[]readUser](func(db *gorm.DB) *gorm.DB { return db.Where("age = ?", 40).Or("age = ?", 30).Order("id") }))
		add("and", readFind[[]readUser](func(db *gorm.DB) *gorm.DB { return db.Where("age = ?", 40).Where("age = ?", 30).Order("id") }))
		add("not", readFind[[]readUser](func(db *gorm.DB) *gorm.DB { return db.Not("age = ?", 40).Order("id") }))
		add("(a or b) and c", readFind[[]readUser](func(db *gorm.DB) *gorm.DB {
			return db.Where(b.plain.Session(&gorm.Session{NewDB: true}).Where("age = ?", 40).Or("age = ?", 30)).Where("name = ?", "ann").Order("id")
		}))
		add("a or (b and c)", readFind[[]readUser](func(db *gorm.DB) *gorm.DB {
			return db.Where("age = ?", 40).Or(b.plain.Session(&gorm.Session{NewDB: true}).Where("age = ?", 30).Where("name = ?", "ann")).Order("id")
		}))
		add("joined", readFind[[]readUser](func(db *gorm.DB) *gorm.DB { return db.Joins("Company").Order("read_users.id") }))
		add("joined otherwise", readFind[[]readUser](func(db *gorm.DB) *gorm.DB { return db.Joins("Manager").Order("read_users.id") }))
		add("inner joined", readFind[[]readUser](func(db *gorm.DB) *gorm.DB { return db.InnerJoins("Company").Order("read_users.id") }))
		add("pets", readFind[[]readPet](func(db *gorm.DB) *gorm.DB { return db.Order("id") }))
		add("toys", readFind[[]readToy](func(db *gorm.DB) *gorm.DB { return db.Order("id") }))
		add("companies as small", readFind[[]readSmall](func(db *gorm.DB) *gorm.DB { return db.Model(&readCompany{}).Order("id") }))
		add("users as small", readFind[[]readSmall](func(db *gorm.DB) *gorm.DB { return db.Model(&readUser{}).Order("id") }))
		add("distinct", readPluck[int]("age", func(db *gorm.DB) *gorm.DB { return db.Model(&readUser{}).Distinct().Order("age") }))
		add("not distinct", readPluck[int]("age", func(db *gorm.DB) *gorm.DB { return db.Model(&readUser{}).Order("age") }))
		for _, id := range []uint{0, 1, 2, 3, 1000} {
			add(fmt.Sprint("key ", id), func(db *gorm.DB) (any, *gorm.DB) {
				u := readUser{Model: gorm.Model{ID: id}}
				return &u, db.Find(&u)
			})
		}
		for _, l := range []readLine{{}, {OrderID: 1}, {No: 1}, {OrderID: 1, No: 2}, {OrderID: 2, No: 1}} {
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
		return b.queries(func() {
			var u []readUser
			ctx := context.WithValue(context.Background(), tenant{}, name)
			readMust(t, b.db.WithContext(ctx).Where("name = ?", arg).Find(&u).Error)
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
		b.same(t, fmt.Sprintf("expression, panics %v", broken.panics), readAny, readFind[[]readUser](func(db *gorm.DB) *gorm.DB { return db.Where("name = ?", broken) }))
		b.same(t, fmt.Sprintf("map, panics %v", broken.panics), readAny, readFind[[]readUser](func(db *gorm.DB) *gorm.DB {
			return db.Where(map[string]any{"name": broken})
		}))
	}
	// The connection is not lost to a panic in between.
	turn := &atomic.Int64{}
	for range 12 {
		func() {
			defer func() { _ = recover() }()
			var u []readUser
			if err := b.db.Where("name = ?", readFault{turn}).Find(&u).Error; err == nil && len(u) != 1 {
				t.Errorf("%d rows", len(u))
			}
		}()
	}
	readWithin(t, 10*time.Second, "a query after Valuers that panicked", func() {
		var u []readUser
		if err := b.db.Where("name = ?", "ann").Find(&u).Error; err != nil || len(u) != 1 {
			t.Errorf("%d rows, %v", len(u), err)
		}
	})
}
