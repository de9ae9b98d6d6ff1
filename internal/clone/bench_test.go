package clone_test

import (
	"reflect"
	"testing"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/clone"
)

type flatRow struct {
	ID        uint
	CreatedAt time.Time
	UpdatedAt time.Time
	Name      string
	Email     string
	Age       int
	Score     float64
	Active    bool
}

type model20 struct {
	ID                            uint
	CreatedAt, UpdatedAt          time.Time
	DeletedAt                     *time.Time
	Name, Email, City, Zip, Phone string
	Nick, Note                    *string
	Age, Level                    int
	Score                         float64
	Active, Banned                bool
	Avatar, Token                 []byte
	Parent                        *int64
	Rank                          *int
}

type model30 struct {
	model20
	A, B, C, D string
	E, F       *string
	G, H       int64
	I          *time.Time
	J          []byte
}

func newModel20() model20 {
	now, s, n, i := time.Now(), "some nickname", int64(7), 3
	t := "a note"
	return model20{ID: 1, CreatedAt: now, UpdatedAt: now, DeletedAt: &now, Name: "name", Email: "a@b.c",
		Nick: &s, Note: &t, Age: 3, Avatar: []byte("0123456789abcdef"), Token: []byte("token"), Parent: &n, Rank: &i}
}

func newModel30() model30 {
	m := model30{model20: newModel20(), A: "a", B: "b"}
	e, f, i := "e", "f", time.Now()
	m.E, m.F, m.I, m.J = &e, &f, &i, []byte("json")
	return m
}

func benchCopy[T any](b *testing.B, src T) {
	p := clone.For(reflect.TypeFor[T]())
	in, out := new(T), new(T)
	*in = src
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Copy(unsafe.Pointer(out), unsafe.Pointer(in)); err != nil {
			b.Fatal(err)
		}
	}
}

func rowsOf[T any](n int, row func() T) (rows []T, ptrs []*T) {
	for range n {
		r, q := row(), row()
		rows, ptrs = append(rows, r), append(ptrs, &q)
	}
	return rows, ptrs
}

type loopRow struct {
	model30
	Manager *loopRow
	Friends []loopRow
	Extra   any
}

func BenchmarkCopy(b *testing.B) {
	flat := flatRow{ID: 1, Name: "n", CreatedAt: time.Now()}
	b.Run("flat struct", func(b *testing.B) { benchCopy(b, flat) })
	b.Run("struct of 20 columns", func(b *testing.B) { benchCopy(b, newModel20()) })
	rows, ptrs := rowsOf(50, newModel30)
	b.Run("50 rows []T", func(b *testing.B) { benchCopy(b, rows) })
	b.Run("50 rows []*T", func(b *testing.B) { benchCopy(b, ptrs) })
	loops, loopPtrs := rowsOf(50, func() loopRow { return loopRow{model30: newModel30()} })
	b.Run("50 rows []T of a cyclic type", func(b *testing.B) { benchCopy(b, loops) })
	b.Run("50 rows []*T of a cyclic type", func(b *testing.B) { benchCopy(b, loopPtrs) })
	flats, _ := rowsOf(50, func() flatRow { return flat })
	b.Run("50 flat rows []T", func(b *testing.B) { benchCopy(b, flats) })
	b.Run("50 flat rows []T by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sink = append([]flatRow(nil), flats...)
		}
	})
	b.Run("JSON tree", func(b *testing.B) {
		benchCopy[any](b, map[string]any{"a": 1.0, "b": "x", "c": []any{1.0, "y", nil}, "d": map[string]any{"e": true}})
	})
	b.Run("50 rows by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sink30 = make([]model30, len(rows))
			copy(sink30, rows)
			for i := range sink30 {
				r := &sink30[i]
				again(&r.DeletedAt)
				again(&r.Nick)
				again(&r.Note)
				again(&r.Parent)
				again(&r.Rank)
				again(&r.E)
				again(&r.F)
				again(&r.I)
				r.Avatar = append([]byte(nil), r.Avatar...)
				r.Token = append([]byte(nil), r.Token...)
				r.J = append([]byte(nil), r.J...)
			}
		}
	})
}

func again[T any](p **T) {
	v := **p
	*p = &v
}

var (
	sink   []flatRow
	sink30 []model30
)

func BenchmarkCopyInto(b *testing.B) {
	rows, _ := rowsOf(50, newModel30)
	p := clone.For(reflect.TypeOf(rows))
	out := new([]model30)
	in := new([]model30)
	*in = rows
	b.ReportAllocs()
	for b.Loop() {
		if err := p.CopyInto(unsafe.Pointer(out), unsafe.Pointer(in)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSize(b *testing.B) {
	rows, _ := rowsOf(50, newModel30)
	p := clone.For(reflect.TypeOf(rows))
	in := new([]model30)
	*in = rows
	b.ReportAllocs()
	for b.Loop() {
		p.Size(unsafe.Pointer(in))
	}
}
