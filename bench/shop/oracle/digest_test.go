package oracle

import (
	"testing"
	"time"
)

func TestDigestsAreOfWhatValuesHold(t *testing.T) {
	t.Parallel()
	type row struct {
		_    struct{}
		ID   int
		Name *string
		At   time.Time
		Rows []row
		seen int
	}
	text := func(s string) *string { return &s }
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	of := func(value any) digest {
		d := newDigester()
		d.add(value)
		return d.sum()
	}
	base := func() row { return row{ID: 1, Name: text("a"), At: at, Rows: []row{{ID: 2}}} }
	for name, change := range map[string]func(*row){
		"a number":          func(r *row) { r.ID = 2 },
		"a text":            func(r *row) { r.Name = text("b") },
		"nil":               func(r *row) { r.Name = nil },
		"a time":            func(r *row) { r.At = at.Add(1) },
		"a time's zone":     func(r *row) { r.At = at.In(time.FixedZone("", 3600)) },
		"a row":             func(r *row) { r.Rows[0].ID = 3 },
		"how many rows":     func(r *row) { r.Rows = append(r.Rows, row{}) },
		"no rows":           func(r *row) { r.Rows = nil },
		"rows that are not": func(r *row) { r.Rows = []row{} },
	} {
		other := base()
		change(&other)
		if of(base()) == of(other) {
			t.Errorf("%s is another one, but the digest is the same", name)
		}
	}
	same := base()
	same.seen = 1
	if of(base()) != of(same) {
		t.Error("equal values have different digests, or different ones the same")
	}
	if of(int64(1)) == of(1) || of("1") == of(1) {
		t.Error("values of different types have the same digest")
	}
}
