package preload_test

import (
	"database/sql/driver"
	"fmt"
	"math/big"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"github.com/jackc/pgx/v5/pgtype"
	"gorm.io/gorm"
)

func valuesOpen(t *testing.T, d *dbtest.Database, models ...any) *worldtest.World {
	t.Helper()
	b := &worldtest.World{Database: d, DB: d.Open(t), Plain: d.Plain(t), Plugin: preload.New(preload.WithoutWorker())}
	worldtest.Must(t, b.DB.Use(b.Plugin))
	t.Cleanup(func() { _ = b.Plugin.Close() })
	worldtest.Must(t, b.Plain.AutoMigrate(models...))
	return b
}

// valuesAsked returns how many queries reach the database when a query is asked once more.
func valuesAsked[T any](t *testing.T, b *worldtest.World, query func(*gorm.DB) *gorm.DB) int64 {
	t.Helper()
	before := b.Probe.Queries()
	worldtest.Must(t, query(b.DB).Find(new(T)).Error)
	return b.Probe.Queries() - before
}

type boundPrice struct {
	_      struct{} `preload:""`
	ID     int64
	Amount string `gorm:"type:decimal(20,4)"`
}

// boundDecimal has the methods of a decimal number as they are known from libraries.
type boundDecimal struct{ r *big.Rat }

func (d boundDecimal) Value() (driver.Value, error)               { return d.r.FloatString(4), nil }
func (d boundDecimal) MarshalBSONValue() (byte, []byte, error)    { return 1, nil, nil }
func (d boundDecimal) RawValue() []byte                           { return nil }
func (d boundDecimal) StringValue() string                        { return d.r.FloatString(4) }
func (d boundDecimal) String() string                             { return d.r.FloatString(4) }
func (d boundDecimal) MarshalJSON() ([]byte, error)               { return []byte(d.r.FloatString(4)), nil }
func (d *boundDecimal) UnmarshalBSONValue(_ byte, _ []byte) error { return nil }

// boundInt is one of the values that pgx asks in a way of its own.
type boundInt struct{ n, pgx int64 }

func (i boundInt) Value() (driver.Value, error) { return i.n, nil }
func (i boundInt) Int64Value() (pgtype.Int8, error) {
	return pgtype.Int8{Int64: i.pgx, Valid: true}, nil
}

type boundBytes struct{ s, pgx string }

func (b boundBytes) Value() (driver.Value, error) { return []byte(b.s), nil }
func (b boundBytes) BytesValue() ([]byte, error)  { return []byte(b.pgx), nil }

type boundBlob struct {
	_    struct{} `preload:""`
	ID   int64
	Data []byte
}

// TestValuersAreServed: a value that says by its Valuer what it is, and says it to the driver in no
// other way, is served from memory.
func TestValuersAreServed(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := valuesOpen(t, d, &boundPrice{}, &boundBlob{})
		worldtest.Must(t, b.Plain.Create(&[]boundPrice{{ID: 1, Amount: "1.5"}, {ID: 2, Amount: "2.5"}}).Error)
		worldtest.Must(t, b.Plain.Create(&[]boundBlob{{ID: 1, Data: []byte("a")}, {ID: 2, Data: []byte("b")}}).Error)
		decimal := func(n int64) func(*gorm.DB) *gorm.DB {
			return func(tx *gorm.DB) *gorm.DB { return tx.Where("amount >= ?", boundDecimal{big.NewRat(n, 2)}).Order("id") }
		}
		for _, n := range []int64{3, 5} {
			worldtest.Alike[[]boundPrice](t, b.DB, b.Plain, fmt.Sprintf("decimal of %d/2", n), decimal(n))
			if asked := valuesAsked[[]boundPrice](t, b, decimal(n)); asked != 0 {
				t.Errorf("decimal of %d/2: %d queries for what is in memory", n, asked)
			}
		}
		served := int64(0)
		if d.Dialect == "postgres" {
			served = 1
		}
		for _, n := range []int64{1, 2} {
			ints := func(tx *gorm.DB) *gorm.DB { return tx.Where("id = ?", boundInt{1, n}) }
			worldtest.Alike[[]boundPrice](t, b.DB, b.Plain, fmt.Sprintf("1, and %d to pgx", n), ints)
			if asked := valuesAsked[[]boundPrice](t, b, ints); asked != served {
				t.Errorf("1, and %d to pgx: %d queries, want %d", n, asked, served)
			}
			blobs := func(tx *gorm.DB) *gorm.DB { return tx.Where("data = ?", boundBytes{"a", string(rune('a' + n - 1))}) }
			worldtest.Alike[[]boundBlob](t, b.DB, b.Plain, fmt.Sprintf("a, and text %d to pgx", n), blobs)
			if asked := valuesAsked[[]boundBlob](t, b, blobs); asked != served {
				t.Errorf("a, and text %d to pgx: %d queries, want %d", n, asked, served)
			}
		}
	})
}

type boundMoment struct {
	_  struct{} `preload:""`
	ID int64
	At string `gorm:"size:60"`
}

// TestMomentsAreToldApartByTheNameOfTheirZone: where a text is asked for, pgx sends a time as Go
// writes it, with the name of its zone.
func TestMomentsAreToldApartByTheNameOfTheirZone(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := valuesOpen(t, d, &boundMoment{})
		at := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
		zones := []*time.Location{time.UTC, time.FixedZone("GMT", 0), time.FixedZone("", 0), time.FixedZone("CET", 3600), time.FixedZone("WAT", 3600), time.FixedZone("", 3600),
			time.FixedZone("a;b", 3600), time.FixedZone("a;c", 3600)}
		for i, zone := range zones {
			worldtest.Must(t, b.Plain.Create(&boundMoment{ID: int64(i + 1), At: at.In(zone).String()}).Error)
		}
		for _, zone := range zones {
			query := func(tx *gorm.DB) *gorm.DB { return tx.Where("at = ?", at.In(zone)) }
			worldtest.Alike[[]boundMoment](t, b.DB, b.Plain, at.In(zone).String(), query)
			if asked := valuesAsked[[]boundMoment](t, b, query); asked != 0 && len(zone.String()) == 3 && zone.String()[1] != 59 {
				t.Errorf("%v: %d queries for what is in memory", at.In(zone), asked)
			}
		}
	})
}

// boundWord has, as a pointer only, what pgx asks for a text.
type boundWord string

func (w *boundWord) String() string { return strings.ToUpper(string(*w)) }

// TestValuesThatPgxAsksItselfAreToldApart: pgx asks pointers for their text, and its own types for
// what the database wants, neither of which a driver value shows.
func TestValuesThatPgxAsksItselfAreToldApart(t *testing.T) {
	t.Parallel()
	b := valuesOpen(t, dbtest.Postgres(t), &boundMoment{})
	worldtest.Must(t, b.Plain.Create(&[]boundMoment{{ID: 5, At: "a"}, {ID: 6, At: "A"}}).Error)
	word, number := boundWord("a"), pgtype.Numeric{Int: big.NewInt(50), Exp: -1, Valid: true}
	for _, test := range []struct {
		condition string
		values    []any
	}{
		{"at = ?", []any{word, &word, word}},
		{"at = ?", []any{&word, word, &word}},
		{"id = ?", []any{number, "5.0", number, &number}},
		{"id <> ?", []any{"5.0", number, "5.0"}},
	} {
		for _, v := range test.values {
			worldtest.Alike[[]boundMoment](t, b.DB, b.Plain, fmt.Sprintf("%s with %T", test.condition, v), func(tx *gorm.DB) *gorm.DB { return tx.Where(test.condition, v).Order("id") })
			worldtest.Alike[[]boundMoment](t, b.DB, b.Plain, fmt.Sprintf("%s with %T in a map", test.condition, v), func(tx *gorm.DB) *gorm.DB {
				return tx.Where(map[string]any{strings.Fields(test.condition)[0]: v}).Order("id")
			})
		}
	}
	same := func(tx *gorm.DB) *gorm.DB { return tx.Where("id = ?", number).Order("id") }
	if asked := valuesAsked[[]boundMoment](t, b, same); asked != 0 {
		t.Errorf("a number of pgtype: %d queries for what is in memory", asked)
	}
}

// boundTurning is 1 until it was asked so many times, and 2 from then on.
type boundTurning struct{ left *int }

func (v boundTurning) Value() (driver.Value, error) {
	if *v.left--; *v.left >= 0 {
		return int64(1), nil
	}
	return int64(2), nil
}

// TestAValueThatChangesIsNoOtherOnesAnswer: what a Valuer says may change between the moment at
// which it is asked for the key and that at which the driver asks it. Nobody who asks for the
// earlier value gets the answer of the later one.
func TestAValueThatChangesIsNoOtherOnesAnswer(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := valuesOpen(t, d, &boundPrice{})
		worldtest.Must(t, b.Plain.Create(&[]boundPrice{{ID: 1, Amount: "1"}, {ID: 2, Amount: "2"}}).Error)
		for calls := range 12 {
			for _, form := range []string{"id = ?", "id in ?", "id > 0 and id = @x"} {
				worldtest.Must(t, b.Plugin.Invalidate())
				left := calls
				var row boundPrice
				arg := any(boundTurning{&left})
				switch form {
				case "id in ?":
					arg = []any{boundTurning{&left}}
				case "id > 0 and id = @x":
					arg = map[string]any{"x": boundTurning{&left}}
				}
				worldtest.Must(t, b.DB.First(&row, form, arg).Error)
				for id := range int64(2) {
					var got boundPrice
					arg := any(id + 1)
					switch form {
					case "id in ?":
						arg = []any{id + 1}
					case "id > 0 and id = @x":
						arg = map[string]any{"x": id + 1}
					}
					if err := b.DB.First(&got, form, arg).Error; err != nil || got.ID != id+1 {
						t.Errorf("%s: a value that changes after %d calls: row %d is answered with %d, %v", form, calls, id+1, got.ID, err)
					}
				}
			}
		}
	})
}

// TestAWriteOfAValueThatChangesOutdatesWhatItChanged: the driver may be told another value than the
// one that the change was read off.
func TestAWriteOfAValueThatChangesOutdatesWhatItChanged(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := valuesOpen(t, d, &boundPrice{})
		for name, write := range map[string]func(tx *gorm.DB, v any) error{
			"update where": func(tx *gorm.DB, v any) error {
				return tx.Model(&boundPrice{}).Where("id = ?", v).Update("amount", "7").Error
			},
			"delete where": func(tx *gorm.DB, v any) error { return tx.Where("id = ?", v).Delete(&boundPrice{}).Error },
			"exec": func(tx *gorm.DB, v any) error {
				return tx.Exec("UPDATE bound_prices SET amount = 7 WHERE id = ?", v).Error
			},
			"set": func(tx *gorm.DB, v any) error {
				return tx.Model(&boundPrice{}).Where("id = 3").Update("amount", v).Error
			},
			"create map": func(tx *gorm.DB, v any) error {
				return tx.Model(&boundPrice{}).Create(map[string]any{"id": 9, "amount": v}).Error
			},
		} {
			for calls := range 14 {
				for _, within := range []bool{false, true} {
					worldtest.Must(t, b.Plain.Where("1 = 1").Delete(&boundPrice{}).Error)
					worldtest.Must(t, b.Plain.Create(&[]boundPrice{{ID: 1, Amount: "1"}, {ID: 2, Amount: "2"}, {ID: 3, Amount: "3"}}).Error)
					worldtest.Must(t, b.Plugin.Invalidate())
					check := func(written bool) {
						for id := range int64(9) {
							var got, want []boundPrice
							worldtest.Must(t, b.DB.Find(&got, "id = ?", id+1).Error)
							worldtest.Must(t, b.Plain.Find(&want, "id = ?", id+1).Error)
							if written && (len(got) != len(want) || len(got) > 0 && got[0] != want[0]) {
								t.Errorf("%s, a value that changes after %d calls, in a transaction %v: id %d: got %v, want %v", name, calls, within, id+1, got, want)
							}
							got, want = nil, nil
							worldtest.Must(t, b.DB.Find(&got, "amount = ?", id+1).Error)
							worldtest.Must(t, b.Plain.Find(&want, "amount = ?", id+1).Error)
							if written && len(got) != len(want) {
								t.Errorf("%s, a value that changes after %d calls, in a transaction %v: amount %d: got %v, want %v", name, calls, within, id+1, got, want)
							}
						}
					}
					check(false)
					left := calls
					if within {
						worldtest.Must(t, b.DB.Transaction(func(tx *gorm.DB) error { return write(tx, boundTurning{&left}) }))
					} else {
						worldtest.Must(t, write(b.DB, boundTurning{&left}))
					}
					check(true)
				}
			}
		}
	})
}

// boundShy is a value that panics where the plugin asks it, and says a number to everybody else.
type boundShy int64

func (v boundShy) Value() (driver.Value, error) {
	var at [32]uintptr
	frames := runtime.CallersFrames(at[:runtime.Callers(1, at[:])])
	for more := true; more; {
		var frame runtime.Frame
		if frame, more = frames.Next(); strings.Contains(frame.Function, "/preload/internal/args.") {
			panic("asked by the plugin")
		}
	}
	return int64(v), nil
}

// TestAValueThatPanicsForThePluginChangesNoResult: the query and the write go on as without the
// plugin, and what the write changes counts as not known.
func TestAValueThatPanicsForThePluginChangesNoResult(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := &worldtest.World{Database: d, DB: d.Open(t), Plain: d.Plain(t), Plugin: preload.New(preload.WithoutWorker(), preload.WithLogger(worldtest.Quiet()))}
		worldtest.Must(t, b.DB.Use(b.Plugin))
		t.Cleanup(func() { _ = b.Plugin.Close() })
		worldtest.Must(t, b.Plain.AutoMigrate(&boundPrice{}))
		for name, write := range map[string]func(v any) error{
			"exec":   func(v any) error { return b.DB.Exec("UPDATE bound_prices SET amount = 7 WHERE id = ?", v).Error },
			"update": func(v any) error { return b.DB.Model(&boundPrice{}).Where("id = ?", v).Update("amount", "7").Error },
			"delete": func(v any) error { return b.DB.Where("id = ?", v).Delete(&boundPrice{}).Error },
		} {
			worldtest.Must(t, b.Plain.Where("1 = 1").Delete(&boundPrice{}).Error)
			worldtest.Must(t, b.Plain.Create(&boundPrice{ID: 1, Amount: "1"}).Error)
			worldtest.Must(t, b.Plugin.Invalidate())
			compare := func(when string, id any) {
				var got, want []boundPrice
				worldtest.Must(t, b.DB.Find(&got, "id = ?", id).Error)
				worldtest.Must(t, b.Plain.Find(&want, "id = ?", id).Error)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s %s: got %v, want %v", when, name, got, want)
				}
			}
			compare("before", 1)
			compare("before", boundShy(1))
			worldtest.Must(t, write(boundShy(1)))
			compare("after", 1)
			compare("after", boundShy(1))
		}
	})
}
