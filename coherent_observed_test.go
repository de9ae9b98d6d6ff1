package preload_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// A raw write whose rows are read from the *sql.DB of an observed pool is under way until they were
// read, however long that takes.
func TestAWriteWhoseRowsAreReadFromAnObservedPoolIsUnderWay(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		clock := dbtest.NewClock()
		b := connOpen(t, d, &gorm.Config{}, preload.WithClock(clock))
		count := func(db *gorm.DB) (n int64) {
			worldtest.Must(t, db.Model(&connItem{}).Count(&n).Error)
			return n
		}
		const statement = "INSERT INTO conn_items (id, name) VALUES (3, 'late') RETURNING id"
		count(b.DB)
		row := b.pool.QueryRow(statement)
		for range 5 {
			clock.Advance(2 * time.Second)
			if got, want := count(b.DB), count(b.Plain); got != want {
				t.Errorf("before the row is read: %d, want %d", got, want)
			}
		}
		worldtest.Must(t, row.Scan(new(int)))
		for range 2 {
			if got, want := count(b.DB), count(b.Plain); got != want {
				t.Errorf("after the row was read: %d, want %d", got, want)
			}
		}
		// Its end is seen when its connection is used again.
		clock.Advance(2 * time.Second)
		count(b.DB)
		clock.Advance(2 * time.Second)
		count(b.DB)
		before := d.Probe.Queries()
		if count(b.DB); d.Probe.Queries() != before {
			t.Error("nothing is kept any more")
		}
	})
}

// MySQL commits a transaction that was left open on a connection when another one is begun there.
func TestATransactionThatIsBegunCommitsTheOneThatWasLeftOpen(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		for _, begin := range []string{"BEGIN", "SET autocommit=0"} {
			if d.Dialect != "mysql" && begin != "BEGIN" {
				continue
			}
			t.Run(begin, func(t *testing.T) {
				ctx := context.Background()
				clock := dbtest.NewClock()
				b := connOpen(t, d, &gorm.Config{}, preload.WithClock(clock))
				conn, err := b.pool.Conn(ctx)
				worldtest.Must(t, err)
				defer func() { _ = conn.Close() }()
				for _, statement := range []string{begin, "UPDATE conn_items SET name = 'left open' WHERE id = 1"} {
					_, err := conn.ExecContext(ctx, statement)
					worldtest.Must(t, err)
				}
				clock.Advance(2 * time.Second)
				b.name(t, 1)
				b.name(t, 1)
				tx, err := conn.BeginTx(ctx, nil)
				if err != nil {
					t.Logf("begin: %v", err)
					b.now(t, false)
					return
				}
				b.now(t, false)
				worldtest.Must(t, tx.Rollback())
				b.now(t, false)
			})
		}
	})
}

// With completion_type MySQL begins another transaction at each COMMIT.
func TestWhatIsWrittenInATransactionThatACommitBeganIsSeen(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, commit := range map[string]func(t *testing.T, conn *sql.Conn, statement string){
		"statement": func(t *testing.T, conn *sql.Conn, statement string) {
			for _, one := range []string{"BEGIN", statement, "COMMIT"} {
				_, err := conn.ExecContext(ctx, one)
				worldtest.Must(t, err)
			}
		},
		"transaction": func(t *testing.T, conn *sql.Conn, statement string) {
			tx, err := conn.BeginTx(ctx, nil)
			worldtest.Must(t, err)
			_, err = tx.Exec(statement)
			worldtest.Must(t, err)
			worldtest.Must(t, tx.Commit())
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock := dbtest.NewClock()
			b := connOpen(t, dbtest.MySQL(t), &gorm.Config{}, preload.WithClock(clock))
			conn, err := b.pool.Conn(ctx)
			worldtest.Must(t, err)
			defer func() { _ = conn.Close() }()
			exec := func(statement string) {
				t.Helper()
				_, err := conn.ExecContext(ctx, statement)
				worldtest.Must(t, err)
			}
			exec("SET completion_type = CHAIN")
			b.name(t, 1)
			commit(t, conn, "UPDATE conn_items SET name = 'first' WHERE id = 1")
			b.now(t, false)
			exec("UPDATE conn_items SET name = 'second' WHERE id = 1")
			clock.Advance(2 * time.Second)
			b.now(t, false)
			exec("COMMIT")
			b.now(t, false)
		})
	}
}
