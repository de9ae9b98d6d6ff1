package preload_test

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"github.com/mattn/go-sqlite3"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

type oneItem struct {
	_    struct{} `preload:""`
	ID   int
	Name string
}

// opened are the ways to open a pool.
var opened = map[string]func(driver.Connector) *sql.DB{
	"in front of the pool":    sql.OpenDB,
	"on observed connections": func(c driver.Connector) *sql.DB { return sql.OpenDB(preload.Connector(c)) },
}

// openOne opens a database with the plugin, and one item in it. What comes before it is called
// before the plugin is put to use.
func openOne(t *testing.T, dialector gorm.Dialector, before ...func(*gorm.DB)) (*gorm.DB, *sql.DB, *preload.Plugin) {
	t.Helper()
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	worldtest.Must(t, err)
	pool, err := db.DB()
	worldtest.Must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	worldtest.Must(t, db.AutoMigrate(&oneItem{}))
	for _, f := range before {
		f(db)
	}
	plugin := preload.New(preload.WithLogger(worldtest.Quiet()))
	worldtest.Must(t, db.Use(plugin))
	t.Cleanup(func() { _ = plugin.Close() })
	worldtest.Must(t, db.Save(&oneItem{ID: 1}).Error)
	return db, pool, plugin
}

// oneAtATime reads and writes in turns, as an application does that has one goroutine, and calls
// check after each write. What is written is read more often than it is written, so that there is
// much to be loaded again. Some writes go past the plugin, by a pool, nil for none.
func oneAtATime(t *testing.T, db *gorm.DB, past *sql.DB, rounds int, check func(round int)) {
	t.Helper()
	writes := []func() error{
		func() error { return db.Model(&oneItem{ID: 1}).Update("name", "a").Error },
		func() error {
			return db.Session(&gorm.Session{SkipDefaultTransaction: true}).Model(&oneItem{ID: 1}).Update("name", "b").Error
		},
		func() error { return db.Exec("UPDATE one_items SET name = 'c' WHERE id = 1").Error },
		func() error {
			if past == nil {
				return nil
			}
			_, err := past.Exec("UPDATE one_items SET name = 'd' WHERE id = 1")
			return err
		},
		func() error {
			return db.Transaction(func(tx *gorm.DB) error { return tx.Save(&oneItem{ID: 1, Name: "e"}).Error })
		},
	}
	for round := range rounds {
		for range 5 {
			var item oneItem
			worldtest.Must(t, db.Find(&item, "id = ?", 1).Error)
		}
		worldtest.Must(t, writes[round%len(writes)]())
		check(round)
	}
}

// TestAnApplicationKeepsTheConnectionThatItDependsOn: where the pool may open one only, or where
// reads find something else on another connection, loads in the background have the pool open none.
func TestAnApplicationKeepsTheConnectionThatItDependsOn(t *testing.T) {
	t.Parallel()
	set := func(statements map[string]string) func(*testing.T, string, *gorm.DB, *sql.DB) {
		return func(t *testing.T, dialect string, db *gorm.DB, _ *sql.DB) {
			if statements[dialect] == "" {
				t.Skip("there is no such thing that could be asked for")
			}
			worldtest.Must(t, db.Exec(statements[dialect]).Error)
		}
	}
	reads := map[string]string{"sqlite": "PRAGMA case_sensitive_like = 1", "postgres": "SET DateStyle = 'SQL'", "mysql": "SET sql_mode = 'ANSI'"}
	writes := map[string]string{"sqlite": "PRAGMA foreign_keys = OFF", "postgres": "SET session_replication_role = 'replica'", "mysql": "SET foreign_key_checks = 0"}
	temporary := map[string]string{
		"sqlite": "CREATE TEMPORARY TABLE mine (id int)", "postgres": "CREATE TEMPORARY TABLE mine (id int)",
		"mysql": "SET @mine = 1", // nobody can ask MySQL whether there are temporary tables
	}
	for name, test := range map[string]struct {
		before bool // the plugin is put to use
		depend func(t *testing.T, dialect string, db *gorm.DB, pool *sql.DB)
	}{
		"a limit of one":                {false, func(_ *testing.T, _ string, _ *gorm.DB, pool *sql.DB) { pool.SetMaxOpenConns(1) }},
		"a setting of reads":            {false, set(reads)},
		"a setting of writes":           {false, set(writes)},
		"a temporary table":             {false, set(temporary)},
		"a setting of reads, before":    {true, set(reads)},
		"a setting of writes, before":   {true, set(writes)},
		"a temporary table, before":     {true, set(map[string]string{"sqlite": temporary["sqlite"], "postgres": temporary["postgres"]})},
		"a database of another, before": {true, set(map[string]string{"sqlite": "ATTACH ':memory:' AS other"})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
				for way, open := range opened {
					t.Run(way, func(t *testing.T) {
						var early []func(*gorm.DB)
						if test.before {
							early = append(early, func(db *gorm.DB) {
								if db.Dialector.Name() == "sqlite" {
									worldtest.Must(t, db.Exec("PRAGMA journal_mode = WAL").Error)
								}
								test.depend(t, d.Dialect, db, nil)
							})
						}
						db, pool, _ := openOne(t, d.Dialector(open(d.Connector())), early...)
						if !test.before {
							test.depend(t, d.Dialect, db, pool)
						}
						past := pool
						if way == "in front of the pool" {
							past = nil // what goes past the plugin waits for no load there
						}
						oneAtATime(t, db, past, 200, func(round int) {
							if n := pool.Stats().OpenConnections; n != 1 {
								t.Fatalf("%d connections are open after round %d", n, round)
							}
						})
					})
				}
			})
		})
	}
}

// TestLoadsLeaveFilesOfSQLiteAloneThatWritersNeed: where a reader delays or fails a commit loads
// have no connections of their own. No connection waits for a lock here, so that a commit fails
// while anybody reads.
func TestLoadsLeaveFilesOfSQLiteAloneThatWritersNeed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		parameters string
		wal        bool // set after the plugin is in use
		shares     bool
	}{
		"a rollback journal":       {"_journal_mode=DELETE&_busy_timeout=0", false, false},
		"a shared cache":           {"_journal_mode=WAL&cache=shared&_busy_timeout=0", false, false},
		"WAL":                      {"_journal_mode=WAL&_busy_timeout=0", false, true},
		"WAL, after a while":       {"_busy_timeout=0", true, true},
		"in memory":                {"mode=memory", false, false},
		"in memory, and it is WAL": {"mode=memory&_journal_mode=WAL", false, false},
	} {
		for _, observed := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				dsn := "file:" + (&url.URL{Path: filepath.Join(t.TempDir(), "test.db")}).EscapedPath() + "?" + test.parameters
				dialector := sqlite.Open(dsn)
				if observed {
					connector, err := preload.Driver(&sqlite3.SQLiteDriver{}).(driver.DriverContext).OpenConnector(dsn)
					worldtest.Must(t, err)
					dialector = &sqlite.Dialector{Conn: sql.OpenDB(connector), DSN: dsn}
				}
				db, pool, _ := openOne(t, dialector)
				if test.wal {
					worldtest.Must(t, db.Exec("PRAGMA journal_mode = WAL").Error)
				}
				most := 1
				oneAtATime(t, db, pool, 200, func(int) { most = max(most, pool.Stats().OpenConnections) })
				for deadline := time.Now().Add(time.Minute); test.shares && most == 1 && time.Now().Before(deadline); {
					oneAtATime(t, db, pool, 10, func(int) { most = max(most, pool.Stats().OpenConnections) })
				}
				if test.shares != (most > 1) {
					t.Errorf("up to %d connections were open, want more than one: %t", most, test.shares)
				}
			})
		}
	}
}

// TestLoadsKeepTheirConnectionsOverABurst: with the default of two idle connections the pool closes
// none that comes back from a load, however many loads there are.
func TestLoadsKeepTheirConnectionsOverABurst(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		for way, open := range opened {
			t.Run(way, func(t *testing.T) {
				db, pool, plugin := openOne(t, d.Dialector(open(d.Connector())))
				oneAtATime(t, db, pool, 300, func(round int) {
					if n := pool.Stats().OpenConnections; n > 3 {
						t.Fatalf("%d connections are open after round %d: want the application's and two for loads at most", n, round)
					}
					// A reader who comes at once sends the query itself.
					for loads := plugin.Stats(); loads.Prediction.Waiting > 0; loads = plugin.Stats() {
						runtime.Gosched()
					}
				})
				if s, loads := pool.Stats(), plugin.Stats().PreloadCount; s.MaxIdleClosed > 3+loads/20 || loads == 0 {
					t.Errorf("%d connections were closed because they were too many, with %d loads", s.MaxIdleClosed, loads)
				}
			})
		}
	})
}

// TestThePoolKeepsTheConnectionsThatAreUsed where the application left it at database/sql's default,
// unless that is not wanted; and only for as long as there is the plugin.
func TestThePoolKeepsTheConnectionsThatAreUsed(t *testing.T) {
	t.Parallel()
	// Connections are closed in bursts, and looked at in between: bursts are what takes time. As many
	// as are allowed are ten times as many as it takes.
	const used, usual, bursts, between = 4, 2, 1000, 12
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		for way, open := range opened {
			for most, want := range map[int]int{10: used, 3: 3, 0: usual} {
				if most != 10 && (way == "on observed connections" || d.Dialect == "postgres") || way == "on observed connections" && d.Dialect == "postgres" {
					continue // a server takes its time to open connections
				}
				t.Run(fmt.Sprint(way, ", at most ", most), func(t *testing.T) {
					pool := open(d.Connector())
					t.Cleanup(func() { _ = pool.Close() })
					db, err := gorm.Open(d.Dialector(pool), &gorm.Config{Logger: logger.Discard})
					worldtest.Must(t, err)
					worldtest.Must(t, db.AutoMigrate(&oneItem{}))
					plugin := preload.New(preload.WithLogger(worldtest.Quiet()), preload.WithMaxIdleConns(most), preload.WithoutWorker())
					worldtest.Must(t, db.Use(plugin))
					t.Cleanup(func() { _ = plugin.Close() })
					together := func() {
						var all []*sql.Rows
						for range used {
							rows, err := db.Model(&oneItem{}).Rows()
							worldtest.Must(t, err)
							all = append(all, rows)
						}
						for _, rows := range all {
							worldtest.Must(t, rows.Close())
						}
					}
					asked := 0
					idle := func() int {
						together()
						n := pool.Stats().Idle
						for range between {
							asked++
							worldtest.Must(t, db.Find(&[]oneItem{}, "id = ?", asked).Error)
						}
						return n
					}
					n := idle()
					for left := bursts; n != want && left > 0; left-- {
						n = idle()
					}
					for turns := 40; most == 0 && turns > 0; turns-- {
						n = idle()
					}
					if n != want {
						t.Errorf("%d connections are idle, want %d", n, want)
					}
					worldtest.Must(t, plugin.Close())
					if n := pool.Stats().Idle; n != usual {
						t.Errorf("%d connections are idle after the end, want %d", n, usual)
					}
				})
			}
		}
	})
}

// TestNothingIsAskedAtTheStartWithoutAWorker, and little with one: only loads in the background
// need to know what connections there are.
func TestNothingIsAskedAtTheStartWithoutAWorker(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		for _, opts := range [][]preload.Option{{preload.WithoutWorker()}, nil} {
			db := d.Open(t)
			most := int64(0)
			if opts == nil {
				most = map[string]int64{"sqlite": 4, "postgres": 1, "mysql": 2}[d.Dialect]
			}
			before := d.Probe.Queries()
			plugin := preload.New(append(opts, preload.WithLogger(worldtest.Quiet()))...)
			worldtest.Must(t, db.Use(plugin))
			if n := d.Probe.Queries() - before; n > most {
				t.Errorf("with %d options %d queries were sent, want %d at most", len(opts), n, most)
			}
			worldtest.Must(t, plugin.Close())
		}
	})
}
