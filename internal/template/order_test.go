package template

import (
	"cmp"
	"database/sql"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("this machine does not know the time zone: ", err)
	}
	return zone
}

// Until when a database compares moments as it compared the first of these.
func TestUntilWhenMomentsAreComparedAlike(t *testing.T) {
	t.Parallel()
	zone := berlin(t)
	text := func(s string) sql.NullString { return sql.NullString{String: s, Valid: true} }
	read := func(at time.Time) sql.NullTime { return sql.NullTime{Time: at, Valid: true} }
	at := time.Date(2026, 10, 24, 12, 0, 0, 500_000_000, time.FixedZone("", 7200))
	given := text("2026-10-24 12:00:00.5+02:00")
	changed := time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC) // the clocks of Berlin
	for _, c := range []struct {
		name  string
		of    string
		said  said
		until time.Time // zero where that is not known
	}{
		{"a text", "sqlite", said{Proved: true, Given: given, Text: text("2026-10-24 12:00:07.25+02:00")}, at.Add(6750 * time.Millisecond)},
		{"no text", "sqlite", said{Proved: true, Given: given}, lastMoment},
		{"another collation", "sqlite", said{Given: given, Text: text("2026-10-24 12:00:07.25+02:00")}, time.Time{}},
		{"another driver", "sqlite", said{Proved: true, Given: text("2026-10-24 12:00:00.5 +0200 +0200"), Text: text("2026-10-24 12:00:07.25+02:00")}, time.Time{}},
		{"another driver, in UTC", "sqlite", said{Proved: true, Given: text("2026-10-24 10:00:00.5+00:00"), Text: text("2026-10-24 12:00:07.25+02:00")}, time.Time{}},
		{"a text of another zone", "sqlite", said{Proved: true, Given: given, Text: text("2026-10-24 12:00:07.25-05:00")}, time.Time{}},
		{"a text without a zone", "sqlite", said{Proved: true, Given: given, Text: text("2026-10-24 12:00:07")}, time.Time{}},
		{"a text of zeros", "sqlite", said{Proved: true, Given: given, Text: text("2026-10-24 12:00:07.250+02:00")}, time.Time{}},
		{"any text", "sqlite", said{Proved: true, Given: given, Text: text("unknown")}, time.Time{}},

		{"a wall clock", "mysql", said{Proved: true, Read: read(at.In(zone)), Text: text("2026-10-24 12:00:07.250000")}, at.Add(6750 * time.Millisecond)},
		{"none", "mysql", said{Proved: true, Read: read(at.In(zone))}, changed},
		{"none, in UTC", "mysql", said{Proved: true, Read: read(at.UTC())}, lastMoment},
		{"one behind the change", "mysql", said{Proved: true, Read: read(at.In(zone)), Text: text("2026-10-25 04:00:00")}, changed},
		{"one that is there twice", "mysql", said{Proved: true, Read: read(at.In(zone)), Text: text("2026-10-25 02:30:00")}, changed.Add(-30 * time.Minute)},
		{"another type", "mysql", said{Read: read(at.In(zone)), Text: text("2026-10-24 12:00:07")}, time.Time{}},
		{"a zone that is not sent", "mysql", said{Proved: true, Read: read(at.Add(time.Hour).In(zone)), Text: text("2026-10-24 12:00:07")}, time.Time{}},
		{"nothing read", "mysql", said{Proved: true, Text: text("2026-10-24 12:00:07")}, time.Time{}},
		{"no moment", "mysql", said{Proved: true, Read: read(at.In(zone)), Text: text("2026-10-00 00:00:00")}, time.Time{}},

		{"a moment", "postgres", said{Proved: true, First: read(at.Add(time.Hour))}, at.Add(time.Hour)},
		{"nothing said", "postgres", said{}, time.Time{}},
		{"a moment of another zone", "postgres", said{Proved: true, First: read(at.Add(time.Hour).UTC())}, time.Time{}},
	} {
		got, known := orders[c.of].until(at, c.said)
		if want := !c.until.IsZero(); known != want || known && !got.Equal(c.until) {
			t.Errorf("%s, %s: until %v, known %t, want %v", c.of, c.name, got, known, c.until)
		}
	}
}

// Texts of one offset, as drivers of SQLite write them, are in the order of their moments.
func TestTextsOfMomentsAreInTheirOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		zone := time.FixedZone("", rapid.IntRange(-14*3600, 14*3600).Draw(t, "offset"))
		moment := func(label string) time.Time {
			at := time.Unix(rapid.Int64Range(1, 3).Draw(t, label+" seconds"), 0)
			digits := rapid.SampledFrom([]int64{1, 10, 1e3, 1e6, 1e8}).Draw(t, label+" digits")
			return at.Add(time.Duration(rapid.Int64Range(0, 11).Draw(t, label+" fraction") * digits)).In(zone)
		}
		a, b := moment("a"), moment("b")
		if got, want := cmp.Compare(a.Format(textOfMoment), b.Format(textOfMoment)), a.Compare(b); got != want {
			t.Fatalf("%s and %s: %d, want %d", a.Format(textOfMoment), b.Format(textOfMoment), got, want)
		}
	})
}
