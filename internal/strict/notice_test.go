package strict

import (
	"fmt"
	"reflect"
	"testing"
)

// hearer notes what it is told.
type hearer struct{ heard []any }

func (h *hearer) Announced(a Announcement)       { h.heard = append(h.heard, a) }
func (h *hearer) Finished(write string, end End) { h.heard = append(h.heard, write, end) }
func (h *hearer) Acknowledged(a Acknowledgement) { h.heard = append(h.heard, a) }
func (h *hearer) Gone(seat Seat)                 { h.heard = append(h.heard, seat) }
func (h *hearer) has(t *testing.T, want ...any) {
	t.Helper()
	if !reflect.DeepEqual(h.heard, want) {
		t.Errorf("heard %q, want %q", h.heard, want)
	}
}

// TestWhatIsToldIsHeard, with any bytes in it.
func TestWhatIsToldIsHeard(t *testing.T) {
	t.Parallel()
	seat := Seat{"a run", "a process with blanks\x00", 1 << 60}
	a := Announcement{ID: "\xff/1", Process: "p", Tx: "", Batch: []byte{0, 1, 0xff}}
	acknowledged := Acknowledgement{Write: "w", Seat: seat}
	for _, c := range []struct {
		notice string
		want   []any
	}{
		{a.Notice(), []any{a}},
		{acknowledged.Notice(), []any{acknowledged}},
		{FinishedNotice("w", EndUnknown), []any{"w", EndUnknown}},
		{fmt.Sprint(GonePrefix, "run ", seat.Place()), []any{Seat{"run", seat.Process, seat.Number}}},
	} {
		h := &hearer{}
		Tell(h, c.notice)
		h.has(t, c.want...)
		for n := range len(c.notice) { // cut off, it is not understood, or as what it is
			Tell(&hearer{}, c.notice[:n])
		}
	}
}

// FuzzTell: nothing that comes from elsewhere is a panic, and what is understood is written alike.
func FuzzTell(f *testing.F) {
	f.Add(Announcement{ID: "1", Process: "p", Batch: []byte("x")}.Notice())
	f.Add(FinishedNotice("w", EndVisible))
	f.Add("G run 1 p")
	f.Add("B\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
	f.Fuzz(func(t *testing.T, notice string) {
		h := &hearer{}
		Tell(h, notice)
		if len(h.heard) == 0 {
			return
		}
		if a, ok := h.heard[0].(Announcement); ok {
			again := &hearer{}
			Tell(again, a.Notice())
			again.has(t, a)
		}
	})
}
