package preload_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"pgregory.net/rapid"
)

// momentWorld is where moments are compared, and which.
type momentWorld struct {
	database   func(testing.TB) *dbtest.Database
	parameters map[string]string // of the connections to MySQL
	alter      string            // what has both columns be of another type, if the model's is not meant
	start      time.Time         // when the moments begin; momentStart if it is zero
	scale      float64           // how many seconds a step has; 1 if it is 0
	unserved   bool              // nothing but equal moments is served
	// odd are values of columns that the driver does not write, by the moment that they stand for.
	odd []func(at time.Time) any
}

func momentLayout(layout string) func(time.Time) any {
	return func(at time.Time) any { return at.Format(layout) }
}

// momentOdds are what may be in a column of SQLite.
var momentOdds = []func(time.Time) any{
	momentLayout("2006-01-02T15:04:05.999999999Z07:00"), momentLayout("2006-01-02 15:04:05"), momentLayout("2006-01-02 15:04"),
	momentLayout("2006-01-02 15:04:05Z"), momentLayout("2006-01-02 15:04:05.000000-07:00"), momentLayout("2006-01-02 15:04:05.999999999-07:00 "),
	momentLayout("2006-01-02"), momentLayout("2006-01-02 15:04:05.999999999 -0700 MST"),
	func(at time.Time) any { return at.Unix() },
	func(at time.Time) any { return at.Add(-time.Hour).In(time.FixedZone("", 3600)) },
	func(at time.Time) any { return at.Add(time.Hour).In(time.FixedZone("", -3600)) },
	func(at time.Time) any { return at.Add(3 * time.Hour).UTC().Format("2006-01-02 15:04:05+03:00") },
	func(time.Time) any { return "unknown" },
	func(time.Time) any { return "" },
	func(time.Time) any { return "9999-12-31 23:59:59+00:00" },
}

var (
	berlin     = map[string]string{"loc": "Europe/Berlin"}
	springTime = time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC) // half an hour before the clocks of Berlin go forward
	autumnTime = time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)
)

// wallClocks are values that DATETIME columns hold whatever the zone: there is no such moment in
// spring, and there are two in autumn.
var wallClocks = []func(time.Time) any{
	momentLayout("2006-01-02 15:04:05"),
	func(at time.Time) any { return at.Add(time.Hour).Format("2006-01-02 15:04:05") },
	func(at time.Time) any { return at.Add(2 * time.Hour).Format("2006-01-02 15:04:05.999999") },
}

var momentWorlds = map[string]momentWorld{
	"postgres/timestamptz": {database: dbtest.Postgres, alter: "ALTER TABLE moment_tokens ALTER expires TYPE timestamptz, ALTER until TYPE timestamptz"},
	// Columns without a zone compare the wall clock; the model does not tell.
	"postgres/timestamp": {database: dbtest.Postgres, alter: "ALTER TABLE moment_tokens ALTER expires TYPE timestamp, ALTER until TYPE timestamp"},

	"mysql/datetime":     {database: dbtest.MySQL, alter: momentType("datetime")},
	"mysql/datetime(3)":  {database: dbtest.MySQL, odd: wallClocks},
	"mysql/datetime(6)":  {database: dbtest.MySQL, alter: momentType("datetime(6)"), parameters: map[string]string{"interpolateParams": "false"}},
	"mysql/timestamp":    {database: dbtest.MySQL, alter: momentType("timestamp(6)"), unserved: true},
	"mysql/date":         {database: dbtest.MySQL, alter: momentType("date"), unserved: true},
	"mysql/truncated":    {database: dbtest.MySQL, parameters: map[string]string{"timeTruncate": "100ms"}},
	"mysql/spring":       {database: dbtest.MySQL, parameters: berlin, start: springTime, scale: 180, odd: wallClocks},
	"mysql/autumn":       {database: dbtest.MySQL, parameters: berlin, start: autumnTime, scale: 180, odd: wallClocks},
	"mysql/autumn, near": {database: dbtest.MySQL, parameters: berlin, start: autumnTime.Add(29*time.Minute + 40*time.Second), odd: wallClocks},
	"mysql/autumn, timestamp": {database: dbtest.MySQL, parameters: map[string]string{"loc": "Europe/Berlin", "time_zone": "'+05:00'"},
		alter: momentType("timestamp(6)"), start: autumnTime, scale: 180, unserved: true},

	"sqlite/datetime": {database: dbtest.SQLite},
	"sqlite/odd":      {database: dbtest.SQLite, odd: momentOdds},
	"sqlite/spring":   {database: dbtest.SQLite, start: springTime.In(zoneOf("Europe/Berlin")), scale: 180, odd: momentOdds},
}

func zoneOf(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}

// momentType has both columns of MySQL be of a type.
func momentType(of string) string {
	return "ALTER TABLE moment_tokens MODIFY expires " + of + " NULL, MODIFY until " + of + " NULL"
}

// Whatever moments a query gives, in whatever order, while rows expire and writers write: its answer
// is plain GORM's.
func TestDifferentialMoments(t *testing.T) {
	t.Parallel()
	for name, of := range momentWorlds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			momentDifferential(t, of)
		})
	}
}

func momentDifferential(t *testing.T, of momentWorld) {
	d := of.database(t)
	w := momentOpen(t, momentDatabase(t, d, of.parameters))
	if of.alter != "" {
		worldtest.Must(t, w.Plain.Exec(of.alter).Error)
	}
	if of.scale == 0 {
		of.scale = 1
	}
	if of.start.IsZero() {
		of.start = momentStart
	}
	after := func(seconds float64) time.Time {
		return of.start.Add(time.Duration(seconds * of.scale * float64(time.Second)))
	}
	forms := slices.Sorted(maps.Keys(momentForms))
	deadline := time.Now().Add(worldtest.Budget(t, 3*time.Second))
	reads, served, come, cases := 0, 0, 0, 0
	property := func(rt *rapid.T) {
		if time.Now().After(deadline) && !t.Failed() && cases > 0 {
			return
		}
		cases++
		var history []string
		number := func(label string, most int) int { return rapid.IntRange(0, most).Draw(rt, label) }
		zoned := func(at time.Time) time.Time {
			switch number("zone", 9) {
			case 0:
				return at.UTC()
			case 1:
				return at.In(time.FixedZone("", 3600))
			}
			return at
		}
		moment := func(label string) time.Time {
			at := after(float64(number(label, 40)))
			switch number("fraction", 3) {
			case 0:
				at = at.Add(time.Duration(number("nanoseconds", 999_999_999)))
			case 1:
				at = at.Add(time.Duration(number("tenths", 9)) * 100 * time.Millisecond)
			}
			return zoned(at)
		}
		write := func(db *gorm.DB, id uint) {
			row := momentToken{ID: id, Rank: number("rank", 2), Until: moment("until")}
			if number("expires", 4) > 0 {
				at := moment("expires at")
				row.Expires = &at
			}
			history = append(history, fmt.Sprintf("save %v %v %v %v", row.ID, row.Rank, row.Expires, row.Until))
			worldtest.Must(t, db.Save(&row).Error)
			if len(of.odd) > 0 && number("odd", 3) == 0 {
				column := rapid.SampledFrom([]string{"expires", "until"}).Draw(rt, "column")
				value := rapid.SampledFrom(of.odd).Draw(rt, "value")(after(float64(number("odd at", 40))))
				history = append(history, fmt.Sprintf("%s of %d is %v", column, id, value))
				worldtest.Must(t, db.Exec("UPDATE moment_tokens SET "+column+" = ? WHERE id = ?", value, id).Error)
			}
		}
		worldtest.Must(t, w.Plain.Exec("DELETE FROM moment_tokens").Error)
		worldtest.Must(t, w.Plugin.Invalidate())
		for i := range uint(5) {
			write(w.Plain, i+1)
		}
		var asked []string
		for range 2 {
			asked = append(asked, rapid.SampledFrom(forms).Draw(rt, "form"))
		}
		n, now := number("n", 2), 0.0
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch number("step", 9) {
			case 0:
				write(w.DB, uint(1+number("row", 6)))
				continue
			case 1:
				worldtest.Must(t, w.DB.Delete(&momentToken{}, 1+number("row", 6)).Error)
			case 2, 3:
				now += float64(number("later", 30)) / 4
			default:
				now += float64(number("a little later", 4)) / 16
			}
			at := zoned(after(now - []float64{0, 0, 0, 0, 3}[number("earlier", 4)]))
			name := asked[number("asked", len(asked)-1)]
			ask := func(db *gorm.DB) string {
				if name == "limited" && n == 0 {
					var row momentToken
					err := momentForms[name](db, at, n).First(&row).Error
					return fmt.Sprintf("%d %v", row.ID, err)
				}
				var rows []momentToken
				err := momentForms[name](db, at, n).Find(&rows).Error
				if err != nil {
					return err.Error() // GORM leaves anything in the rows that it could not read
				}
				text := ""
				for _, row := range rows {
					text += fmt.Sprintf(" %d/%d/%v/%v", row.ID, row.Rank, row.Expires != nil, row.Until.Unix())
				}
				return text
			}
			before := w.Probe.Queries()
			got, want := ask(w.DB), ask(w.Plain)
			reads++
			if w.Probe.Queries() == before {
				if served++; strings.Contains(name, "come") {
					come++
				}
			}
			history = append(history, fmt.Sprintf("%s at %v: %s", name, at, got))
			if got != want {
				rt.Fatalf("%s at %v:\n got %s\nwant %s\nafter\n%s", name, at, got, want, strings.Join(history, "\n"))
			}
		}
	}
	for time.Now().Before(deadline) && !t.Failed() {
		rapid.Check(t, property)
	}
	t.Logf("%d cases, %d reads of which %d from memory, %d with rows to come", cases, reads, served, come)
	if reads > 500 && !of.unserved && (served < reads/30 || come < reads/100) {
		t.Errorf("%d of %d reads were answered from memory, %d with rows to come", served, reads, come)
	}
}
