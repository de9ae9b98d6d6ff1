package preload_test

import (
	"bytes"
	"context"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// lostRow is what writes change whose connection is lost.
type lostRow struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:50"`
}

// lostMark is in the arguments of every write of these tests: its text may be sent before the
// statement runs, to be prepared.
const lostMark = "the-mark"

func lostRows(t testing.TB, db *gorm.DB) (names []string) {
	t.Helper()
	var rows []lostRow
	if err := db.Order("id").Find(&rows).Error; err != nil {
		t.Errorf("reading: %v", err)
	}
	for _, row := range rows {
		names = append(names, row.Name)
	}
	return names
}

var lostSeed = []string{"one", "two"}

func lostReset(t testing.TB, plain *gorm.DB) {
	t.Helper()
	plain.Exec("DELETE FROM lost_rows")
	if err := plain.Create([]lostRow{{ID: 1, Name: "one"}, {ID: 2, Name: "two"}}).Error; err != nil {
		t.Fatal(err)
	}
}

// lostLands waits until the database shows another answer than the seed, if it will.
func lostLands(t testing.TB, plain *gorm.DB) {
	t.Helper()
	for end := time.Now().Add(txPatience); reflect.DeepEqual(lostRows(t, plain), lostSeed); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the write did not land")
		}
	}
}

// lostCancel reports whether a packet is a request to cancel what PostgreSQL runs on another
// connection: pgx sends one, too, when a connection is lost.
func lostCancel(p dbtest.Packet) bool {
	return p.Up && bytes.HasPrefix(p.Data, []byte{0, 0, 0, 16, 4, 0xd2, 0x16, 0x2e})
}

// lostReads reads while the write may be under way, which is when an old answer could be kept.
func lostReads(t testing.TB, w *worldtest.World) {
	t.Helper()
	for range 2 {
		lostRows(t, w.DB)
		w.Clock.Advance(5 * worldtest.HoldOut)
	}
}

func TestAWriteWhoseConnectionIsLostLeavesNoStaleAnswer(t *testing.T) {
	t.Parallel()
	// What is loaded in the background may be answered with the mark at any time.
	statement := func(p dbtest.Packet) bool { return p.Up && p.Has(lostMark) }
	commit := func(p dbtest.Packet) bool { return p.Up && bytes.Contains(bytes.ToLower(p.Data), []byte("commit")) }
	writes := []struct {
		name string
		do   func(db *gorm.DB) error
	}{
		{"create", func(db *gorm.DB) error { return db.Create(&lostRow{ID: 3, Name: lostMark}).Error }},
		{"update", func(db *gorm.DB) error { return db.Model(&lostRow{ID: 1}).Update("name", lostMark).Error }},
		{"delete", func(db *gorm.DB) error { return db.Where("name <> ?", lostMark).Delete(&lostRow{ID: 1}).Error }},
		{"upsert", func(db *gorm.DB) error {
			on := clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"name"})}
			return db.Clauses(on).Create(&lostRow{Name: lostMark}).Error
		}},
		{"Exec", func(db *gorm.DB) error { return db.Exec("UPDATE lost_rows SET name = ? WHERE id = 1", lostMark).Error }},
	}
	forms := []struct {
		name    string
		session *gorm.Session
		tx      bool
		on      func(dbtest.Packet) bool
	}{
		{"no transaction", &gorm.Session{SkipDefaultTransaction: true}, false, statement},
		{"prepared", &gorm.Session{SkipDefaultTransaction: true, PrepareStmt: true}, false, statement},
		{"statement in a transaction", &gorm.Session{}, true, statement},
		{"commit", &gorm.Session{}, true, commit},
		{"commit, prepared", &gorm.Session{PrepareStmt: true}, true, commit},
	}
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		behind, proxy := d.Behind(t)
		plain := d.Plain(t)
		if err := plain.AutoMigrate(&lostRow{}); err != nil {
			t.Fatal(err)
		}
		for _, write := range writes {
			for _, form := range forms {
				for _, when := range []string{"before", "during", "after", "cancelled during"} {
					if write.name != "update" && write.name != "upsert" && when != "during" {
						continue // one statement stands for those that are announced alike
					}
					t.Run(write.name+"/"+form.name+"/"+when, func(t *testing.T) {
						if when == "cancelled during" && strings.HasPrefix(form.name, "commit") && d.Dialect == "mysql" {
							t.Skip("the MySQL driver does not cancel a COMMIT")
						}
						lostReset(t, plain)
						w := writeOpen(t, behind, plain, nil)
						lostRows(t, w.DB)
						ctx, cancel := context.WithCancel(context.Background())
						defer cancel()
						release := make(chan struct{})
						var met atomic.Bool
						proxy.Rule(func(p dbtest.Packet) dbtest.Verdict {
							switch {
							case lostCancel(p):
								return dbtest.Cut // it could come when the write has just been let through
							case !form.on(p) || met.Swap(true):
								return dbtest.Pass
							}
							switch when {
							case "before":
								return dbtest.Cut
							case "during":
								return dbtest.Late(release)
							case "after":
								return dbtest.LoseAfter
							default:
								cancel()
								<-release
								return dbtest.Pass
							}
						})
						defer proxy.CutAll() // the server ends transactions whose client is gone
						defer proxy.Rule(nil)
						db := w.DB.Session(form.session).WithContext(ctx)
						var err error
						if form.tx {
							err = db.Transaction(func(tx *gorm.DB) error { return write.do(tx) })
						} else {
							err = write.do(db)
						}
						if err == nil || !met.Load() {
							t.Fatalf("the write succeeded; its packet was seen: %v", met.Load())
						}
						lostReads(t, w)
						close(release)
						lands := when != "before" && !(form.tx && form.name == "statement in a transaction")
						if lands {
							lostLands(t, plain)
						}
						for range 2 {
							if got, want := lostRows(t, w.DB), lostRows(t, plain); !reflect.DeepEqual(got, want) {
								t.Errorf("after %v: got %q, want %q", err, got, want)
							}
						}
					})
				}
			}
		}
	})
}

// A server goes on with a statement that waits for a row's lock, whether its client is there or
// not.
func TestAWriteThatWaitsForALockIsOnItsWayWhenItsClientIsGone(t *testing.T) {
	t.Parallel()
	// The server is not told: PostgreSQL's requests to cancel are lost, too.
	through := func(t *testing.T, d *dbtest.Database, verdict dbtest.Verdict) *dbtest.Database {
		behind, proxy := d.Behind(t)
		proxy.Rule(func(p dbtest.Packet) dbtest.Verdict {
			switch {
			case p.Has(lostMark):
				return verdict
			case lostCancel(p):
				return dbtest.Cut
			}
			return dbtest.Pass
		})
		return behind
	}
	for name, loses := range map[string]func(t *testing.T, d *dbtest.Database) (lossy *dbtest.Database, timeout time.Duration){
		"connection lost": func(t *testing.T, d *dbtest.Database) (*dbtest.Database, time.Duration) {
			return through(t, d, dbtest.LoseAfter), txPatience
		},
		"readTimeout": func(t *testing.T, d *dbtest.Database) (*dbtest.Database, time.Duration) {
			if d.Dialect != "mysql" {
				t.Skip("a parameter of the MySQL driver")
			}
			return d.With(t, map[string]string{"readTimeout": "300ms"}), txPatience
		},
		"cancelled": func(t *testing.T, d *dbtest.Database) (*dbtest.Database, time.Duration) {
			return through(t, d, dbtest.SilenceAfter), time.Second
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
				lossy, timeout := loses(t, d)
				plain := d.Plain(t)
				if err := plain.AutoMigrate(&lostRow{}); err != nil {
					t.Fatal(err)
				}
				lostReset(t, plain)
				w := writeOpen(t, lossy, plain, &gorm.Config{SkipDefaultTransaction: true})
				lostRows(t, w.DB)
				locked := plain.Begin()
				if err := locked.Exec("UPDATE lost_rows SET name = name WHERE id = 1").Error; err != nil {
					t.Fatal(err)
				}
				if d.Dialect == "mysql" {
					locked.Exec("SELECT * FROM lost_rows WHERE id = 1 FOR UPDATE") // an update that changes nothing may take no lock
				}
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				if err := w.DB.WithContext(ctx).Exec("UPDATE lost_rows SET name = ? WHERE id = 1", lostMark).Error; err == nil {
					t.Fatal("the write did not wait")
				}
				lostReads(t, w)
				locked.Rollback()
				lostLands(t, plain)
				for range 2 {
					if got, want := lostRows(t, w.DB), lostRows(t, plain); !reflect.DeepEqual(got, want) {
						t.Errorf("got %q, want %q", got, want)
					}
				}
			})
		})
	}
}

// What the database refused, and what was never sent, has ended: nothing is held out for it.
func TestAWriteThatWasRefusedIsNotHeldOut(t *testing.T) {
	t.Parallel()
	for _, translate := range []bool{false, true} {
		dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
			plain := d.Plain(t)
			if err := plain.AutoMigrate(&lostRow{}); err != nil {
				t.Fatal(err)
			}
			lostReset(t, plain)
			w := writeOpen(t, d, plain, &gorm.Config{SkipDefaultTransaction: true, TranslateError: translate})
			done, cancel := context.WithCancel(context.Background())
			cancel()
			for name, write := range map[string]func() error{
				"create of a key that is there": func() error { return w.DB.Create(&lostRow{ID: 1}).Error },
				"Exec of a key that is there":   func() error { return w.DB.Exec("INSERT INTO lost_rows (id, name) VALUES (1, 'x')").Error },
				"Exec of a column that is not":  func() error { return w.DB.Exec("UPDATE lost_rows SET nothing = 1").Error },
				"an argument of no use":         func() error { return w.DB.Exec("UPDATE lost_rows SET name = ?", make(chan int)).Error },
				"a context that is done":        func() error { return w.DB.WithContext(done).Model(&lostRow{ID: 1}).Update("name", "x").Error },
				"Row of a key that is there": func() error {
					var id int
					return w.DB.Raw("INSERT INTO lost_rows (id, name) VALUES (1, 'x') RETURNING id").Row().Scan(&id)
				},
			} {
				if write() == nil {
					t.Errorf("%s: succeeded", name)
				}
				// Whether rows are closed is found out by a goroutine, which is not waited for for
				// long: for much less than a table is held out.
				for begun := time.Now(); ; time.Sleep(time.Millisecond) {
					before := d.Probe.Queries()
					if lostRows(t, w.DB); d.Probe.Queries() == before {
						break
					}
					if time.Since(begun) > 500*time.Millisecond {
						t.Fatalf("%s: the table is held out", name)
					}
				}
			}
		})
	}
}
