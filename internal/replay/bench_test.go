package replay

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"
)

// thing is a row of a usual table, as SQLite gives it, and asBytes as MySQL gives its texts.
func things(n int, asBytes bool) *set {
	s := &set{columns: []string{"id", "name", "n", "f", "at"}, types: make([]columnType, 5)}
	for i := range n {
		var name driver.Value = fmt.Sprint("name of ", i)
		if asBytes {
			name = []byte(name.(string))
		}
		s.rows = append(s.rows, []driver.Value{int64(i), name, int64(i) * 1000, float64(i) / 3, time.Unix(int64(i), 0)})
	}
	return s
}

func readThings(tb testing.TB, rows *sql.Rows, err error) {
	var id, n int64
	var name string
	var f float64
	var at time.Time
	if err != nil {
		tb.Fatal(err)
	}
	into := []any{&id, &name, &n, &f, &at}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			tb.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkHit reads a recording, which is what an answer from memory costs.
func BenchmarkHit(b *testing.B) {
	cancellable, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, n := range []int{0, 1, 100} {
		for _, texts := range []string{"string", "bytes"} {
			recording := recorded(b, things(n, texts == "bytes"))
			for name, ctx := range map[string]context.Context{"background": context.Background(), "cancellable": cancellable} {
				b.Run(fmt.Sprintf("rows=%d/texts=%s/%s", n, texts, name), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						rows, err := Rows(ctx, recording)
						readThings(b, rows, err)
					}
				})
			}
		}
	}
}

// BenchmarkHitParallel reads one recording from as many goroutines as there are processors.
func BenchmarkHitParallel(b *testing.B) {
	recording := recorded(b, things(1, false))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			rows, err := Rows(context.Background(), recording)
			readThings(b, rows, err)
		}
	})
}

// BenchmarkMiss reads rows of SQLite plainly, and while they are recorded.
func BenchmarkMiss(b *testing.B) {
	ctx := context.Background()
	db, err := sql.Open("sqlite3", filepath.Join(b.TempDir(), "bench.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT, n BIGINT, f REAL, at DATETIME)"); err != nil {
		b.Fatal(err)
	}
	for _, row := range things(100, false).rows {
		if _, err := db.Exec("INSERT INTO things VALUES (?, ?, ?, ?, ?)", row[0], row[1], row[2], row[3], row[4]); err != nil {
			b.Fatal(err)
		}
	}
	for _, n := range []int{1, 100} {
		query := func() (*sql.Rows, error) { return db.Query("SELECT * FROM things LIMIT ?", n) }
		b.Run(fmt.Sprintf("rows=%d/plain", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rows, err := query()
				readThings(b, rows, err)
			}
		})
		b.Run(fmt.Sprintf("rows=%d/recorded", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rows, err := query()
				if err != nil {
					b.Fatal(err)
				}
				readThings(b, Recorder{}.Rows(ctx, rows), nil)
			}
		})
	}
}
