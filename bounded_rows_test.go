package preload_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// report counts users, which is what reports do with Scan.
func report(db *gorm.DB) *gorm.DB {
	return db.Model(&worldtest.ReadUser{}).Select("count(*) AS n, max(age) AS oldest")
}

type reported struct {
	N      int64
	Oldest sql.NullInt64
}

// reportOfRows reads what report asks for, as an application does.
func reportOfRows(db *gorm.DB) (got reported, err error) {
	rows, err := report(db).Rows()
	if err != nil {
		return got, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&got.N, &got.Oldest); err != nil {
			return got, err
		}
	}
	return got, rows.Err()
}

// TestOneQueryForAllWhoScan: N who ask at a time for what Scan reads send one query, those who read
// the rows themselves among them.
func TestOneQueryForAllWhoScan(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		worldtest.SeedReads(t, d.Plain(t))
		b := readOpen(t, d, preload.WithWaits(time.Hour))
		scan := func(db *gorm.DB) (got reported, err error) { return got, report(db).Scan(&got).Error }
		want, err := scan(b.Plain)
		worldtest.Must(t, err)
		_, err = scan(b.DB)
		worldtest.Must(t, err)
		worldtest.Must(t, b.Plugin.Invalidate())
		gate := b.Gate(func(c dbtest.Call) bool { return strings.Contains(c.SQL, "max(age)") })
		defer gate.Release()
		before := b.Probe.Queries()
		var all sync.WaitGroup
		check := func(who string, ask func(*gorm.DB) (reported, error), db *gorm.DB) {
			all.Go(func() {
				if got, err := ask(db); err != nil || got != want {
					t.Errorf("%s: got %+v (%v), want %+v", who, got, err, want)
				}
			})
		}
		check("the first", scan, b.DB)
		<-gate.Arrived
		for i := range 20 {
			ask := scan
			if i%2 == 1 {
				ask = reportOfRows
			}
			w := worldtest.NewWaiting(context.Background())
			check(fmt.Sprint("reader ", i), ask, b.DB.WithContext(w))
			<-w.Begun
		}
		gate.Release()
		worldtest.Within(t, worldtest.Patience, "the readers", all.Wait)
		if n := b.Probe.Queries() - before; n != 1 {
			t.Errorf("%d queries for 21 readers, want 1: %q", n, worldtest.Tail(b.Probe.Log(), n))
		}
		if s := b.Plugin.Stats(); s.Hits != 20 || s.Misses != 2 {
			t.Errorf("%d hits, %d misses, want 20 and 2", s.Hits, s.Misses)
		}
	})
}

// TestWhoReadsRowsSlowlyKeepsNobodyWaiting: rows that an application has open are not waited for,
// nor is a Scan that leaves rows unread.
func TestWhoReadsRowsSlowlyKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		worldtest.SeedReads(t, d.Plain(t))
		b := readOpen(t, d, preload.WithWaits(time.Hour))
		slow, err := report(b.DB).Rows()
		worldtest.Must(t, err)
		defer slow.Close()
		worldtest.Within(t, worldtest.Patience, "other readers", func() {
			_, err := reportOfRows(b.DB)
			worldtest.Must(t, err)
			var got reported
			worldtest.Must(t, report(b.DB).Scan(&got).Error)
		})
		if s := b.Plugin.Stats(); s.Hits != 1 {
			t.Errorf("%d hits, want 1: who came after a reader that was quicker", s.Hits)
		}

		first := func(db *gorm.DB) {
			worldtest.Must(t, db.Model(&worldtest.ReadUser{}).Select("id").Where("age > 0").Order("id").Scan(&struct{ ID uint }{}).Error)
		}
		first(b.DB)
		gate := b.Gate(func(c dbtest.Call) bool { return strings.Contains(c.SQL, "age > 0") })
		defer gate.Release()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { first(b.DB) })
		}
		for range 3 {
			<-gate.Arrived // each with a query of its own
		}
		gate.Release()
		all.Wait()
	})
}

// TestWhatOpenRowsRecordIsBoundedAndTold: however many rows are open, what is recorded of them is
// half of what answers may take, and part of what Stats tells.
func TestWhatOpenRowsRecordIsBoundedAndTold(t *testing.T) {
	t.Parallel()
	const most = 256 << 10
	b := readSQLite(t, preload.WithMaxBytes(most))
	text := strings.Repeat("x", 60<<10)
	var open []*sql.Rows
	for i := range 8 {
		rows, err := b.DB.Model(&worldtest.ReadUser{}).Select("id, ? AS text, ? AS n", text, i).Order("id").Limit(2).Rows()
		worldtest.Must(t, err)
		open = append(open, rows)
		if !rows.Next() {
			t.Fatal("there is no row")
		}
		if m := b.Plugin.Stats().Memory; m.Recordings > most/2 || m.Recordings < min(int64(i+1)*60<<10, 120<<10) || m.Sum() < m.Recordings {
			t.Errorf("%d rows are open: %+v", i+1, m)
		}
	}
	for i, rows := range open {
		n := 1
		for rows.Next() {
			n++
		}
		if err := rows.Err(); n != 2 || err != nil {
			t.Errorf("rows %d: %d of them, %v", i, n, err)
		}
	}
	if m := b.Plugin.Stats().Memory; m.Recordings != 0 {
		t.Errorf("no rows are open: %+v", m)
	}
}

// TestTheAgeOfRowsCountsFromTheirQuery: however long an application takes to read, what it read is
// not served for longer than the TTL after the database was asked.
func TestTheAgeOfRowsCountsFromTheirQuery(t *testing.T) {
	t.Parallel()
	b := readSQLite(t, preload.WithTTL(time.Minute))
	rows, err := report(b.DB).Rows()
	worldtest.Must(t, err)
	b.Clock.Advance(40 * time.Second)
	for rows.Next() {
	}
	worldtest.Must(t, rows.Close())
	for _, when := range []struct {
		later   time.Duration
		queries int64
	}{{19 * time.Second, 0}, {2 * time.Second, 1}} {
		b.Clock.Advance(when.later)
		if n := b.Queries(func() { worldtest.Must(t, report(b.DB).Scan(&reported{}).Error) }); n != when.queries {
			t.Errorf("%v later: %d queries, want %d", when.later, n, when.queries)
		}
	}
}
