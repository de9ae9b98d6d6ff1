package replay

import (
	"context"
	"database/sql/driver"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var zone = time.FixedZone("somewhere", 3600)

func drawValue(t *rapid.T) driver.Value {
	switch rapid.IntRange(0, 17).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.Int64().Draw(t, "int64")
	case 3:
		return rapid.Float64().Draw(t, "float64")
	case 4:
		return rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Copysign(0, -1)}).Draw(t, "odd float64")
	case 5:
		return rapid.String().Draw(t, "string")
	case 6:
		return rapid.SampledFrom([]string{"", "true", "12", "-1", "1.50", `{"a": 1}`, "{1,2}", "2026-01-02"}).Draw(t, "text")
	case 7:
		return rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
	case 8:
		return []byte(rapid.SampledFrom([]string{"", "1", "7.25", "null", "0"}).Draw(t, "number"))
	case 9:
		return []byte(nil)
	case 10:
		at := time.Unix(rapid.Int64Range(-1<<36, 1<<36).Draw(t, "time"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns"))
		return at.In(rapid.SampledFrom([]*time.Location{time.UTC, time.Local, zone}).Draw(t, "zone"))
	case 11:
		return time.Time{}
	case 12:
		return rapid.Uint64().Draw(t, "uint64")
	case 13:
		return rapid.Float32().Draw(t, "float32")
	case 14:
		return rapid.Int32().Draw(t, "int32")
	case 15:
		return rapid.Int16().Draw(t, "int16")
	case 16:
		return rapid.Uint8().Draw(t, "uint8")
	}
	return rapid.Int().Draw(t, "int")
}

func drawType(t *rapid.T) columnType {
	return columnType{
		scan:              rapid.SampledFrom([]reflect.Type{nil, reflect.TypeFor[any](), reflect.TypeFor[string](), reflect.TypeFor[time.Time]()}).Draw(t, "scan"),
		database:          rapid.SampledFrom([]string{"", "TEXT", "DECIMAL"}).Draw(t, "database"),
		length:            rapid.Int64().Draw(t, "length"),
		precision:         rapid.Int64().Draw(t, "precision"),
		scale:             rapid.Int64().Draw(t, "scale"),
		nullable:          rapid.Bool().Draw(t, "nullable"),
		hasLength:         rapid.Bool().Draw(t, "has length"),
		hasPrecisionScale: rapid.Bool().Draw(t, "has precision"),
		hasNullable:       rapid.Bool().Draw(t, "has nullable"),
	}
}

func drawSet(t *rapid.T) *set {
	s := &set{columns: rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "", "COUNT(*)"}), 0, 4).Draw(t, "columns")}
	for range s.columns {
		s.types = append(s.types, drawType(t))
	}
	for range rapid.IntRange(0, 4).Draw(t, "rows") {
		row := make([]driver.Value, len(s.columns))
		for i := range row {
			row[i] = drawValue(t)
		}
		s.rows = append(s.rows, row)
	}
	return s
}

// TestReplayedRowsAreThoseOfTheDatabase draws what a driver gives, and reads it plainly, while it is
// recorded, and from the recording.
func TestReplayedRowsAreThoseOfTheDatabase(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		s := drawSet(rt)
		variant := rapid.SampledFrom([]string{"none", "scan types", "database types", "lengths", "nullables", "precisions", "result sets", "all"}).Draw(rt, "driver")
		rows := func() driver.Rows { return variants[variant](&fake{set: s}) }
		want := reading(plain(ctx, t, rows))
		first := firstOf(opener(t, func(context.Context) driver.Rows { return rows() }).QueryRow(""), len(s.columns))
		for _, w := range ways {
			k := &take{}
			if got := reading(w.open(ctx, t, k.recorder(), rows)); got != want {
				rt.Fatalf("%s, recorded: %s", w.name, differ(got, want))
			}
			recording := k.recording(t)
			if recording.Len() != len(s.rows) || fmt.Sprint(recording.Columns()) != fmt.Sprint(s.columns) {
				rt.Fatalf("%s: %d rows of %q", w.name, recording.Len(), recording.Columns())
			}
			for range 2 {
				if got := reading(must(Rows(ctx, recording))(t)); got != want {
					rt.Fatalf("%s, replayed: %s", w.name, differ(got, want))
				}
				if got := firstOf(Row(ctx, recording), len(s.columns)); got != first {
					rt.Fatalf("%s, first row: got %s, want %s", w.name, got, first)
				}
			}
		}
		k := &take{}
		if got := firstOf(k.recorder().Row(ctx, plain(ctx, t, rows), nil), len(s.columns)); got != first {
			rt.Fatalf("first row, recorded: got %s, want %s", got, first)
		}
		if got := firstOf(Row(ctx, k.recording(t)), len(s.columns)); got != first {
			rt.Fatalf("first row, replayed: got %s, want %s", got, first)
		}
	})
}
