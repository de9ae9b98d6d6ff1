//go:build unix

package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/feedtest"
	"github.com/jackc/pgx/v5"
)

// BenchmarkTriggers is what an update of a row takes, by its key and in a transaction of its own,
// with and without the triggers of a change table, in turns.
func BenchmarkTriggers(b *testing.B) {
	d := dbtest.Postgres(b)
	conn, err := pgx.Connect(context.Background(), d.DSN())
	if err != nil {
		b.Fatal(err)
	}
	exec := func(sql string, args ...any) {
		b.Helper()
		if _, err := conn.Exec(context.Background(), sql, args...); err != nil {
			b.Fatal(err)
		}
	}
	schema := `"preload bench triggers"`
	b.Cleanup(func() {
		exec("DROP SCHEMA IF EXISTS " + schema + " CASCADE")
		_ = conn.Close(context.Background())
	})
	tables := []string{"plain_items", "told_items"}
	for _, name := range tables {
		exec("CREATE TABLE " + name + " (id int PRIMARY KEY, n int, name text, at timestamptz DEFAULT now())")
		exec("INSERT INTO " + name + " SELECT i, i, 'name ' || i FROM generate_series(1, 1000) i")
	}
	if _, err := conn.Exec(context.Background(), ChangeTableSQL("preload bench triggers", "told_items"), pgx.QueryExecModeSimpleProtocol); err != nil {
		b.Fatal(err)
	}
	took := map[string][]time.Duration{}
	for n := 0; b.Loop(); n++ {
		for i := range tables {
			name := tables[(i+n)%2]
			begun := time.Now()
			exec("UPDATE "+name+" SET n = n + 1 WHERE id = $1", 1+n%1000)
			took[name] = append(took[name], time.Since(begun))
		}
	}
	plain, told := feedtest.Half(took["plain_items"]), feedtest.Half(took["told_items"])
	b.ReportMetric(plain, "plain-µs/write")
	b.ReportMetric(told, "triggers-µs/write")
	b.ReportMetric(plain/told, "throughput-ratio")
}
