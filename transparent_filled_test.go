package preload_test

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// The second First into the same variable is another query, as GORM adds the primary key that the
// variable holds by then: the answer of the first one proves the answer of the second.
func TestTheSecondReadIntoTheSameVariableIsServed(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	var person, want worldtest.ReadUser
	for i := range 4 {
		before := b.Probe.Queries()
		tx := b.DB.Where("name = ?", "bob").First(&person)
		plain := b.Plain.Where("name = ?", "bob").First(&want)
		got := worldtest.Answer{Dest: person, Rows: tx.RowsAffected, Err: tx.Error}
		worldtest.Equal(t, "in turn", "First", got, worldtest.Answer{Dest: want, Rows: plain.RowsAffected, Err: plain.Error})
		if asked := b.Probe.Queries() - before; (asked > 0) != (i == 0) {
			t.Errorf("read %d: %d queries reached the database", i, asked)
		}
	}
}

// filledRow has columns behind an embedded pointer, a field that is no column, and NULLs.
type filledRow struct {
	_ struct{} `preload:""`
	*FilledBase
	Note  *string `gorm:"size:50"`
	Count sql.NullInt64
	At    *time.Time
	Day   time.Time
	Other string         `gorm:"-"`
	Sum   int            `gorm:"->;-:migration"` // no column of the table
	Level odd            `gorm:"size:50"`
	Parts map[string]int `gorm:"serializer:json"`
}

// FilledBase is embedded in a filledRow.
type FilledBase struct {
	ID    uint
	Name  string `gorm:"size:50"`
	Place int
	Nick  *string `gorm:"size:50"`
}

// odd reads NULL as well.
type odd struct{ Text string }

func (o odd) Value() (driver.Value, error) { return o.Text, nil }

func (o *odd) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		o.Text = "NULL"
	case []byte:
		o.Text = string(v)
	case string:
		o.Text = v
	}
	return nil
}

// fillSome fills some of what a value has room for, as the source says.
func fillSome(r *rand.Rand, rv reflect.Value, depth int) {
	if !rv.CanSet() || depth > 3 || r.IntN(3) == 0 {
		return
	}
	switch rv.Kind() {
	case reflect.Struct:
		if rv.Type() == reflect.TypeFor[time.Time]() {
			rv.Set(reflect.ValueOf(time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)))
			return
		}
		for i := range rv.NumField() {
			fillSome(r, rv.Field(i), depth+1)
		}
	case reflect.Pointer:
		rv.Set(reflect.New(rv.Type().Elem()))
		fillSome(r, rv.Elem(), depth+1)
	case reflect.Slice:
		rv.Set(reflect.MakeSlice(rv.Type(), 1, 2))
		fillSome(r, rv.Index(0), depth+1)
	case reflect.Map:
		rv.Set(reflect.MakeMap(rv.Type()))
		rv.SetMapIndex(reflect.ValueOf("before"), reflect.New(rv.Type().Elem()).Elem())
	case reflect.String:
		rv.SetString("before")
	case reflect.Bool:
		rv.SetBool(true)
	case reflect.Float64:
		rv.SetFloat(0.5)
	case reflect.Int, reflect.Int64:
		rv.SetInt(1 + r.Int64N(4))
	case reflect.Uint:
		rv.SetUint(1 + r.Uint64N(4)) // as it may be in a primary key
	}
}

// Whatever a destination holds, in whatever order it is asked in: each field is, afterwards, what
// plain GORM leaves there.
func TestFilledDestinationsAreFilledAsByGORM(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		worldtest.SeedReads(t, plain)
		worldtest.Must(t, plain.AutoMigrate(&filledRow{}))
		day := time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC)
		for i, row := range []filledRow{
			{FilledBase: &FilledBase{Name: "a", Place: 1}, Note: worldtest.Ptr("x"), Count: sql.NullInt64{Int64: 3, Valid: true}, At: &day, Day: day, Level: odd{"l"}, Parts: map[string]int{"p": 1}},
			{FilledBase: &FilledBase{Name: ""}, Note: worldtest.Ptr(""), Count: sql.NullInt64{Valid: true}, Day: day},
			{FilledBase: &FilledBase{Name: "c"}, Day: day},
		} {
			worldtest.Must(t, plain.Create(&row).Error)
			if i == 2 {
				worldtest.Must(t, plain.Exec("UPDATE filled_rows SET name = NULL, place = NULL, level = NULL, day = NULL, parts = NULL WHERE id = ?", row.ID).Error)
			}
		}
		b := readOpen(t, d)
		worldtest.Must(t, b.Plugin.Register(append([]any{&filledRow{}}, worldtest.ReadModels...)...))
		type small struct {
			ID     uint
			Name   string
			Place  int
			Count  sql.NullInt64
			Day    *time.Time
			hidden int
		}
		dests := map[string]func() any{
			"row": func() any { return new(filledRow) }, "small": func() any { return &small{hidden: 1} },
			"user": func() any { return new(worldtest.ReadUser) }, "hooked": func() any { return new(worldtest.ReadHooked) },
			"line": func() any { return new(worldtest.ReadLine) }, "language": func() any { return new(worldtest.ReadLanguage) },
			"map": func() any { return &map[string]any{} }, "map itself": func() any { return map[string]any{} },
			"maps": func() any { return &[]map[string]any{} }, "rows": func() any { return &[]filledRow{} }, "array": func() any { return &[2]filledRow{} },
			"time": func() any { return new(time.Time) }, "count": func() any { return new(sql.NullInt64) }, "pointer": func() any { return new(*filledRow) },
		}
		models := map[string]any{
			"user": &worldtest.ReadUser{}, "hooked": &worldtest.ReadHooked{}, "line": &worldtest.ReadLine{}, "language": &worldtest.ReadLanguage{},
		}
		chains := map[string]func(*gorm.DB) *gorm.DB{
			"all": worldtest.All, "id 1": func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 1) },
			"id 2": func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 2) }, "id 3": func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 3) },
			"id 3, twice": func(db *gorm.DB) *gorm.DB { return db.Where("id = ? OR id = 77", 3) },
			"name":        func(db *gorm.DB) *gorm.DB { return db.Where("name = ?", "a").Or("name IS NULL") }, "none": func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 77) },
			"name or\nid":  func(db *gorm.DB) *gorm.DB { return db.Where("name = 'a' or\n id = ?", 3) },
			"some columns": func(db *gorm.DB) *gorm.DB { return db.Select("name", "place") }, "an alias": func(db *gorm.DB) *gorm.DB { return db.Select("id, place + 1 AS sum") },
			"second": func(db *gorm.DB) *gorm.DB { return db.Offset(1) }, "unscoped": func(db *gorm.DB) *gorm.DB { return db.Unscoped() },
			"joined":        func(db *gorm.DB) *gorm.DB { return db.Joins("Company").Joins("Manager") },
			"nick":          func(db *gorm.DB) *gorm.DB { return db.Select("nick") },
			"joined struct": func(db *gorm.DB) *gorm.DB { return db.Joins("Account") },
			"xor":           func(db *gorm.DB) *gorm.DB { return db.Where("place = 1 XOR id > 0") },
			"loaded":        func(db *gorm.DB) *gorm.DB { return db.Preload("Company").Preload("Pets") },
			"by order":      func(db *gorm.DB) *gorm.DB { return db.Order("name DESC, id") },
			"no alias":      func(db *gorm.DB) *gorm.DB { return db.Select("NULL AS \"other\", name") }, "day": func(db *gorm.DB) *gorm.DB { return db.Select("day").Where("id = 2") },
			"count": func(db *gorm.DB) *gorm.DB { return db.Select("count") }, "omit": func(db *gorm.DB) *gorm.DB { return db.Omit("id") },
		}
		finish := map[string]func(*gorm.DB, any) *gorm.DB{
			"First": func(db *gorm.DB, dest any) *gorm.DB { return db.First(dest) }, "Take": func(db *gorm.DB, dest any) *gorm.DB { return db.Take(dest) },
			"Last": func(db *gorm.DB, dest any) *gorm.DB { return db.Last(dest) }, "Find": func(db *gorm.DB, dest any) *gorm.DB { return db.Find(dest) },
		}
		rounds, served, filled := 4_000, 0, 0
		if testing.Short() || d.Dialect != "sqlite" {
			rounds = 1_500
		}
		start := rand.Uint64()
		for round := range rounds {
			seed := start + uint64(round)
			r := rand.New(rand.NewPCG(seed, 0))
			name, chain, end := pickOne(r, dests), pickOne(r, chains), pickOne(r, finish)
			if r.IntN(3) == 0 {
				name = "row" // of which most is asked
			}
			query := worldtest.Query(func(db *gorm.DB) (any, *gorm.DB) {
				r := rand.New(rand.NewPCG(seed%8, 1)) // few fillings, so that they meet
				dest := dests[name]()
				if rv := reflect.Indirect(reflect.ValueOf(dest)); rv.Kind() == reflect.Map {
					rv.SetMapIndex(reflect.ValueOf("before"), reflect.ValueOf(1))
				} else {
					fillSome(r, rv, 0)
				}
				model := models[name]
				if model == nil {
					model = &filledRow{}
				}
				return dest, finish[end](chains[chain](db.Model(model)), dest)
			})
			before := b.Probe.Queries()
			got := query.Try(b.DB)
			if b.Probe.Queries() == before {
				served++
			}
			want := query.Try(b.Plain)
			if want.Err != nil && !errors.Is(want.Err, gorm.ErrRecordNotFound) {
				// Where a row could not be scanned GORM leaves in it what was in memory that it uses again.
				want.Dest, got.Dest = nil, nil
			} else {
				filled++
			}
			if want.Differs(got) != "" {
				t.Fatalf("%s of %s into %s, seed %d: %s", end, chain, name, seed, want.Differs(got))
			}
		}
		t.Logf("%d of %d reads from memory", served, filled)
		if served < filled/3 {
			t.Error("too few")
		}
	})
}

// pickOne returns one of the keys of a map.
func pickOne[V any](r *rand.Rand, of map[string]V) string {
	return slices.Sorted(maps.Keys(of))[r.IntN(len(of))]
}

// What a joined row has not stays in a struct that is joined, as its fields are set one by one.
func TestAFilledStructThatIsJoinedIsFilledByField(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	worldtest.Must(t, b.Plain.Exec("UPDATE read_accounts SET number = NULL").Error)
	for i, held := range []worldtest.ReadAccount{{}, {Number: "before"}, {Number: "before"}} {
		query := worldtest.Query(func(db *gorm.DB) (any, *gorm.DB) {
			u := worldtest.ReadUser{Account: held}
			return &u, db.Joins("Account").Where("read_users.name = ?", "ann").Take(&u)
		})
		if diff := query.Try(b.Plain).Differs(query.Try(b.DB)); diff != "" {
			t.Errorf("read %d: %s", i, diff)
		}
	}
}

// An embedded struct that the query leaves empty is there afterwards, as GORM makes it.
func TestAFilledStructGetsWhatIsEmbedded(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	plain := d.Plain(t)
	worldtest.Must(t, plain.AutoMigrate(&filledRow{}))
	worldtest.Must(t, plain.Create(&filledRow{FilledBase: &FilledBase{Name: "a"}}).Error)
	b := readOpen(t, d)
	for i, held := range []string{"", "before", "before"} {
		query := worldtest.Query(func(db *gorm.DB) (any, *gorm.DB) {
			row := filledRow{Other: held}
			return &row, db.Select("nick").Take(&row)
		})
		before := b.Probe.Queries()
		if diff := query.Try(b.Plain).Differs(query.Try(b.DB)); diff != "" || (b.Probe.Queries() > before) != (i == 0) {
			t.Errorf("read %d, %d queries: %s", i, b.Probe.Queries()-before, diff)
		}
	}
}
