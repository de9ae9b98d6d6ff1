package preload_test

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"
)

type sendingRow struct {
	_  struct{} `preload:""`
	ID int64
	F  float32   `gorm:"type:float"`
	At time.Time `gorm:"type:timestamp"`
}

// sendingShown shows the digits and the zone of an answer.
func sendingShown(rows []map[string]any) string {
	shown := ""
	for _, row := range rows {
		at, _ := row["at"].(time.Time)
		shown += fmt.Sprintf("%T %v, %v; ", row["f"], row["f"], at.Location())
	}
	return shown
}

func sendingRead(t *testing.T, db *gorm.DB, prepared bool) string {
	t.Helper()
	var rows []map[string]any
	worldtest.Must(t, db.Session(&gorm.Session{PrepareStmt: prepared}).Model(&sendingRow{}).Order("id").Find(&rows).Error)
	return sendingShown(rows)
}

// sendingDatabases are databases whose answers differ by how a statement is sent.
func sendingDatabases(t *testing.T, test func(t *testing.T, d *dbtest.Database)) {
	t.Run("mysql", func(t *testing.T) {
		t.Parallel()
		test(t, dbtest.MySQL(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, dbtest.Postgres(t).With(t, map[string]string{"default_query_exec_mode": "simple_protocol", "timezone": "Asia/Tokyo"}))
	})
}

func sendingOpen(t *testing.T, d *dbtest.Database, clock preload.Clock, options ...preload.Option) *worldtest.World {
	b := &worldtest.World{Database: d, DB: d.Open(t), Plain: d.Plain(t), Plugin: preload.New(append(options, preload.WithClock(clock))...)}
	worldtest.Must(t, b.DB.Use(b.Plugin))
	t.Cleanup(func() { _ = b.Plugin.Close() })
	worldtest.Must(t, b.Plain.Exec("CREATE TABLE sending_rows (id bigint PRIMARY KEY, f float, at "+map[string]string{"mysql": "datetime", "postgres": "timestamptz"}[d.Dialect]+")").Error)
	worldtest.Must(t, b.Plain.Exec("INSERT INTO sending_rows VALUES (1, 1234567, '2026-01-02 03:04:05')").Error)
	return b
}

// TestPreparedStatementsHaveKeysOfTheirOwn: a read whose statement is prepared gets what a prepared
// statement gets, and another one what that one gets, whichever came first.
func TestPreparedStatementsHaveKeysOfTheirOwn(t *testing.T) {
	t.Parallel()
	sendingDatabases(t, func(t *testing.T, d *dbtest.Database) {
		b := sendingOpen(t, d, dbtest.NewClock(), preload.WithoutWorker())
		for i := range 3 {
			for _, prepared := range []bool{false, true} {
				// A connection of its own: pgx sends what was prepared on a connection as such ever
				// after.
				if got, want := sendingRead(t, b.DB, prepared), sendingRead(t, d.Plain(t), prepared); got != want {
					t.Errorf("prepared %t, read %d: got %s, want %s", prepared, i+1, got, want)
				}
			}
		}
		if b.Probe.Queries() > 3 {
			t.Errorf("%d queries for two answers", b.Probe.Queries())
		}
	})
}

// TestLoadsInTheBackgroundAreSentAsTheirReaderDid: an answer that was loaded ahead is the one that
// the reader would have got.
func TestLoadsInTheBackgroundAreSentAsTheirReaderDid(t *testing.T) {
	t.Parallel()
	for _, config := range []bool{false, true} {
		t.Run(fmt.Sprintf("PrepareStmt %t in the configuration", config), func(t *testing.T) {
			t.Parallel()
			sendingDatabases(t, func(t *testing.T, d *dbtest.Database) {
				clock := dbtest.NewClock()
				b := sendingOpen(t, d, clock, preload.WithTTL(time.Minute), preload.WithBrief(time.Second))
				handle := b.DB
				if config {
					handle = d.Open(t, &gorm.Config{PrepareStmt: true})
					b.Plugin = preload.New(preload.WithTTL(time.Minute), preload.WithClock(clock), preload.WithBrief(time.Second))
					worldtest.Must(t, handle.Use(b.Plugin))
					t.Cleanup(func() { _ = b.Plugin.Close() })
				}
				for _, prepared := range []bool{false, true} {
					if config && !prepared {
						continue
					}
					want := sendingRead(t, d.Plain(t), prepared)
					before := b.Plugin.Stats().PreloadCount
					sendingRead(t, handle, prepared)
					clock.Advance(55 * time.Second) // in the last fifth
					sendingRead(t, handle, prepared)
					sendingRead(t, handle, prepared)
					deadline := time.Now().Add(time.Minute)
					for b.Plugin.Stats().PreloadCount == before && time.Now().Before(deadline) {
						time.Sleep(time.Millisecond)
					}
					asked := d.Probe.Queries()
					got := sendingRead(t, handle, prepared)
					if loaded := b.Plugin.Stats().PreloadCount - before; loaded != 1 || d.Probe.Queries() != asked {
						t.Errorf("prepared %t: %d loads in the background, %d queries after", prepared, loaded, d.Probe.Queries()-asked)
					}
					if got != want {
						t.Errorf("prepared %t: got %s, want %s", prepared, got, want)
					}
				}
			})
		})
	}
}

// TestHotKeysAreSentAsTheirReaderDid: a query that was hot before a restart is sent after it as it
// was before.
func TestHotKeysAreSentAsTheirReaderDid(t *testing.T) {
	t.Parallel()
	sendingDatabases(t, func(t *testing.T, d *dbtest.Database) {
		clock := dbtest.NewClock()
		b := sendingOpen(t, d, clock, preload.WithoutWorker())
		read := func(db *gorm.DB, id int) string {
			var rows []map[string]any
			worldtest.Must(t, db.Session(&gorm.Session{PrepareStmt: true}).Model(&sendingRow{}).Where("id = ?", id).Find(&rows).Error)
			return sendingShown(rows)
		}
		want := read(d.Plain(t), 1)
		for range 3 {
			read(b.DB, 1)
		}
		var saved bytes.Buffer
		worldtest.Must(t, b.Plugin.SaveHot(&saved))
		again := d.Open(t)
		p := preload.New(preload.WithClock(clock))
		worldtest.Must(t, again.Use(p))
		t.Cleanup(func() { _ = p.Close() })
		worldtest.Must(t, p.Register(&sendingRow{}))
		if err := p.LoadHot(context.Background(), &saved); err != nil || p.Stats().PreloadCount == 0 {
			t.Fatalf("%d keys were loaded, %v", p.Stats().PreloadCount, err)
		}
		asked := d.Probe.Queries()
		got := read(again, 1)
		if got != want || d.Probe.Queries() != asked {
			t.Errorf("got %s by %d queries, want %s by none", got, d.Probe.Queries()-asked, want)
		}
	})
}

// TestOptionsOfPgxAmongValuesAreNoValues: a mode of pgx's that stands before the values is not
// taken for one of them.
func TestOptionsOfPgxAmongValuesAreNoValues(t *testing.T) {
	t.Parallel()
	d := dbtest.Postgres(t)
	b := valuesOpen(t, d, &boundPrice{})
	mode := pgx.QueryExecModeSimpleProtocol
	worldtest.Must(t, b.Plain.Create(&[]boundPrice{{ID: int64(mode), Amount: "1"}, {ID: 77, Amount: "1"}}).Error)
	query := func(tx *gorm.DB) *gorm.DB { return tx.Where("id = $1", mode, 77) }
	worldtest.Alike[[]boundPrice](t, b.DB, b.Plain, "before", query)
	worldtest.Must(t, b.DB.Model(&boundPrice{}).Where("id = ?", 77).Update("amount", "2").Error)
	worldtest.Alike[[]boundPrice](t, b.DB, b.Plain, "after", query)
	if got := reflect.TypeOf(mode).PkgPath(); got != "github.com/jackc/pgx/v5" {
		t.Errorf("the mode is of the package %s", got)
	}
}
