//go:build unix

package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/batch"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// kinds has a column of every kind.
type kinds struct {
	_         struct{} `preload:""`
	ID        uint
	Tiny      int8
	Small     int16
	Middle    int32
	Big       int64
	Unsigned  uint64
	Flag      bool
	MaybeFlag *bool
	Text      string
	Sized     string  `gorm:"size:300"`
	Fixed     string  `gorm:"type:char(300)"`
	UUID      *string `gorm:"type:uuid"`
	Amount    *string `gorm:"type:numeric"`
	Null      sql.NullString
	NullInt   sql.NullInt32
	NullBool  sql.NullBool
	Bytes     []byte
	Real      float64
	MaybeReal *float32
	At        time.Time
	MaybeAt   *time.Time
	DeletedAt gorm.DeletedAt
	List      []string `gorm:"serializer:json"`
	Quoted    string   `gorm:"column:Quoted Name"`
}

// spy is a feed whose batches a test reads, those that the plugin tells and those of the stream.
type spy struct {
	preload.Positioner
	mu              sync.Mutex
	written, stream [][]byte
}

func (s *spy) Open(ctx context.Context, m preload.Member) error {
	return s.Positioner.Open(ctx, spyMember{m, s})
}

func (s *spy) Announce(_ context.Context, batch []byte, _ string) (func(preload.End), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written = append(s.written, slices.Clone(batch))
	return func(preload.End) {}, nil
}

// take returns the changes that were told since it was called last.
func (s *spy) take(t testing.TB) (written, stream []batch.Change) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range []struct {
		from *[][]byte
		to   *[]batch.Change
	}{{&s.written, &written}, {&s.stream, &stream}} {
		for _, b := range *of.from {
			if len(b) == 0 {
				continue
			}
			changes, err := batch.Read(b)
			worldtest.Must(t, err)
			*of.to = append(*of.to, changes...)
		}
		*of.from = nil
	}
	return written, stream
}

type spyMember struct {
	preload.Member
	of *spy
}

func (m spyMember) Begin(batch []byte) func(preload.End) {
	m.of.mu.Lock()
	m.of.stream = append(m.of.stream, slices.Clone(batch))
	m.of.mu.Unlock()
	return m.Member.Begin(batch)
}

// TestValuesAreThoseOfWrites: what stands for a value that the stream tells is what stands for it
// where the plugin sees it written, in a column of every kind; and it is known wherever the plugin
// knows it, but in columns whose texts say less than they show.
func TestValuesAreThoseOfWrites(t *testing.T) {
	t.Parallel()
	for _, identity := range []string{"DEFAULT", "FULL", changeTable} {
		t.Run(identity, func(t *testing.T) {
			t.Parallel()
			b := common(t).bed(t)
			plain := b.d.Plain(t)
			worldtest.Must(t, plain.AutoMigrate(&kinds{}))
			full := identity != "DEFAULT"
			if identity != changeTable {
				b.write("ALTER TABLE kinds REPLICA IDENTITY " + identity)
			}
			b.write("ALTER DATABASE " + b.name + " SET bytea_output = escape; ALTER DATABASE " + b.name + " SET datestyle = German")
			s := &spy{Positioner: b.feed(WithBound(quick), WithLogger(worldtest.Quiet()))}
			if identity == changeTable {
				s.Positioner = b.changeTable()
			}
			p := &process{World: worldtest.Open(t, b.d.Again(), plain, nil, preload.WithFeed(s)), by: s.Positioner}
			all := worldtest.Named{Name: "kinds", Query: worldtest.List[kinds](worldtest.ByID)}
			p.serving(t, all)
			columns := reflect.TypeFor[kinds]()
			ask := func(column string, value any) {
				var rows []kinds
				worldtest.Must(t, p.DB.Where(map[string]any{column: value}).Find(&rows).Error)
			}
			for i := 1; i < columns.NumField(); i++ { // so that their values matter
				name := p.DB.NamingStrategy.ColumnName("", columns.Field(i).Name)
				if name == "quoted" {
					name = "Quoted Name"
				}
				if name != "list" {
					ask(name, nil)
				}
			}
			known := map[string]int{}
			compare := func(what string, written, stream []batch.Change, pins func(batch.Change) coherence.Pins) {
				t.Helper()
				find := func(all []batch.Change) coherence.Pins {
					for _, c := range all {
						if c.Table == "kinds" {
							return pins(c)
						}
					}
					t.Fatalf("%s: no change of the table in %v", what, all)
					return nil
				}
				told := find(stream)
				for _, pin := range find(written) {
					values, ok := told.Of(pin.Column)
					switch {
					case !ok && pin.Column == "amount":
					case !ok:
						t.Errorf("%s: %s is %q as written, and not known by the stream", what, pin.Column, pin.Values)
					case !slices.Equal(values, pin.Values):
						t.Errorf("%s: %s is %q as written, and %q by the stream", what, pin.Column, pin.Values, values)
					default:
						known[pin.Column]++
					}
				}
			}
			set := func(c batch.Change) coherence.Pins { // the values afterwards
				pins := slices.Clone(c.Set)
				for _, pin := range c.Where {
					if c.Kinds == coherence.Update && !c.Columns.Has(pin.Column) {
						pins = append(pins, pin)
					}
				}
				return pins
			}
			where := func(c batch.Change) coherence.Pins { return c.Where }
			texts := []string{"", "a", "Straße", "ÄÖ ü", " blanks  ", "2020-01-02", "07", "7", "1e3", `\x41`, "true", "t", "'", `a"b`, strings.Repeat("long ", 50), "1.50"}
			for i, text := range texts {
				yes := i%2 == 0
				real := float32(i) / 3
				at := time.Date(2020, 1, 2, 3, 4, i, 123456000, time.FixedZone("", 3600*i))
				row := kinds{
					ID: uint(i + 1), Tiny: int8(i) - 8, Small: math.MinInt16 + int16(i), Middle: math.MaxInt32 - int32(i), Big: math.MinInt64 + int64(i),
					Unsigned: uint64(i), Flag: yes, Text: text, Sized: text, Fixed: text, Bytes: []byte(text + "\x00\xff"), Real: float64(i) * 1e300, At: at, Quoted: text,
					List: []string{text},
				}
				if yes {
					id, amount := fmt.Sprintf("00000000-0000-0000-0000-%012X", i*999), fmt.Sprint(i, ".50")
					row.MaybeFlag, row.UUID, row.Amount, row.MaybeReal, row.MaybeAt = &yes, &id, &amount, &real, &at
					row.Null, row.NullInt, row.NullBool = sql.NullString{String: text, Valid: true}, sql.NullInt32{Int32: int32(i), Valid: true}, sql.NullBool{Bool: i%4 == 0, Valid: true}
					row.DeletedAt = gorm.DeletedAt{Time: at, Valid: true}
				}
				p.caughtUp(t)
				s.take(t)
				worldtest.Must(t, p.DB.Create(&row).Error)
				p.caughtUp(t)
				written, stream := s.take(t)
				compare(fmt.Sprintf("create %q", text), written, stream, set)
				if len(stream) != 1 || stream[0].Kinds != coherence.Insert {
					t.Fatalf("the stream tells %v", stream)
				}
				next := texts[(i+1)%len(texts)]
				worldtest.Must(t, p.DB.Unscoped().Model(&kinds{ID: row.ID}).Updates(map[string]any{"text": next, "flag": !yes, "bytes": []byte(next), "null": nil, "middle": i}).Error)
				p.caughtUp(t)
				written, stream = s.take(t)
				compare(fmt.Sprintf("update to %q", next), written, stream, set)
				compare(fmt.Sprintf("update to %q", next), written, stream, where)
				if set := stream[0].Columns; full && (set.All || set.Has("big") || set.Has("at") || !set.Has("middle")) {
					t.Errorf("the stream tells that %v were set", set)
				}
				worldtest.Must(t, p.DB.Unscoped().Delete(&kinds{ID: row.ID}).Error)
				p.caughtUp(t)
				written, stream = s.take(t)
				compare(fmt.Sprintf("delete %q", text), written, stream, where)
				if _, told := stream[0].Where.Of("flag"); told != full {
					t.Errorf("the stream tells of a deleted row %v", stream[0].Where)
				}
			}
			for _, column := range []string{"id", "tiny", "small", "middle", "big", "unsigned", "flag", "maybe_flag", "text", "sized", "fixed", "uuid",
				"null", "null_int", "null_bool", "bytes", "real", "maybe_real", "at", "maybe_at", "deleted_at", "quoted name"} {
				if known[column] == 0 {
					t.Errorf("%s was never compared", column)
				}
			}
		})
	}
}
