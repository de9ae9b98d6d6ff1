package preload_test

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

type alteredShelf struct {
	_       struct{} `preload:""`
	ID      int64
	A, B, C string
	N       int64
}

func (alteredShelf) TableName() string { return "altered_shelves" }

const alteredConns = 4

// alteredWarm has each connection of a pool know the table as it is now, and leaves all of them
// idle.
func alteredWarm(t *testing.T, pool *sql.DB, query string) {
	t.Helper()
	pool.SetMaxIdleConns(alteredConns)
	for _, release := range alteredTake(t, pool, alteredConns, query) {
		release()
	}
}

// alteredTake takes some connections of a pool, and runs a query on each if there is one.
func alteredTake(t *testing.T, pool *sql.DB, n int, query string) (release []func()) {
	t.Helper()
	ctx := context.Background()
	for range n {
		conn, err := pool.Conn(ctx)
		worldtest.Must(t, err)
		release = append(release, func() { _ = conn.Close() })
		if query == "" {
			continue
		}
		rows, err := conn.QueryContext(ctx, query)
		worldtest.Must(t, err)
		rows.Next()
		worldtest.Must(t, rows.Close())
	}
	return release
}

var alteredSteps = []string{
	"ALTER TABLE altered_shelves DROP COLUMN a",
	"ALTER TABLE altered_shelves ADD COLUMN a TEXT DEFAULT 'again'",
	"ALTER TABLE altered_shelves RENAME COLUMN b TO x",
	"ALTER TABLE altered_shelves RENAME COLUMN c TO b",
	"ALTER TABLE altered_shelves RENAME COLUMN x TO c",
	"ALTER TABLE altered_shelves DROP COLUMN n",
	"DROP TABLE altered_shelves",
	"CREATE TABLE altered_shelves (c TEXT, id INTEGER PRIMARY KEY, b TEXT, n INTEGER)",
	"INSERT INTO altered_shelves SELECT 'c' || value, value, 'b' || value, value FROM (WITH RECURSIVE v(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM v WHERE value < 99) SELECT value FROM v)",
}

var alteredReads = []struct {
	name string
	read func(db *gorm.DB, id int) (any, error)
}{
	{"a row", func(db *gorm.DB, id int) (any, error) {
		var s alteredShelf
		return &s, db.First(&s, id).Error
	}},
	{"rows", func(db *gorm.DB, id int) (any, error) {
		var s []alteredShelf
		return &s, db.Where("id >= ?", id).Order("id").Limit(2).Find(&s).Error
	}},
	{"a map", func(db *gorm.DB, id int) (any, error) {
		s := map[string]any{}
		return &s, db.Model(&alteredShelf{}).Where("id = ?", id).Take(&s).Error
	}},
	{"a join", func(db *gorm.DB, id int) (any, error) {
		var s []map[string]any
		return &s, db.Model(&alteredShelf{}).Select("altered_shelves.*, o.id AS other").Where("o.id = ?", id).
			Joins("JOIN altered_shelves o ON o.id = altered_shelves.id + 1").Find(&s).Error
	}},
}

// A connection that has not noticed yet that a table was altered answers its first SELECT * under
// the names of before. What it answers is not kept.
func TestAnAnswerUnderTheNamesOfBeforeAnAlterTableIsNotKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config func() *gorm.Config
		open   func(t *testing.T, d *dbtest.Database) *gorm.DB
		alter  func(db *gorm.DB, step string) error
	}{
		"by Exec": {alter: func(db *gorm.DB, step string) error { return db.Exec(step).Error }},
		"in a transaction": {alter: func(db *gorm.DB, step string) error {
			return db.Transaction(func(tx *gorm.DB) error { return tx.Exec(step).Error })
		}},
		"prepared": {
			config: func() *gorm.Config { return &gorm.Config{PrepareStmt: true} },
			alter:  func(db *gorm.DB, step string) error { return db.Exec(step).Error },
		},
		"with Connector": {
			open: func(t *testing.T, d *dbtest.Database) *gorm.DB {
				pool := sql.OpenDB(preload.Connector(d.Connector()))
				t.Cleanup(func() { _ = pool.Close() })
				db, err := gorm.Open(d.Dialector(pool), &gorm.Config{Logger: d.Plain(t).Logger})
				worldtest.Must(t, err)
				return db
			},
			alter: func(db *gorm.DB, step string) error { return db.Exec(step).Error },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := dbtest.SQLite(t)
			config := func() *gorm.Config { return &gorm.Config{} }
			if c.config != nil {
				config = c.config
			}
			plain := d.Plain(t)
			worldtest.Must(t, plain.AutoMigrate(&alteredShelf{}))
			for id := range 99 {
				worldtest.Must(t, plain.Create(&alteredShelf{ID: int64(id + 1), A: "a", B: fmt.Sprint("b", id), C: fmt.Sprint("c", id), N: 7}).Error)
			}
			var db *gorm.DB
			if c.open != nil {
				db = c.open(t, d)
			} else {
				db = d.Open(t, config())
			}
			clock := dbtest.NewClock()
			p := preload.New(preload.WithoutWorker(), preload.WithClock(clock))
			worldtest.Must(t, db.Use(p))
			t.Cleanup(func() { _ = p.Close() })
			pool, err := db.DB()
			worldtest.Must(t, err)
			for _, step := range alteredSteps {
				if step[0] != 'I' {
					alteredWarm(t, pool, "SELECT * FROM sqlite_master")
					alteredReadAll(db)
				}
				worldtest.Must(t, c.alter(db, step))
				clock.Advance(time.Minute) // beyond hold-outs
				if step[:4] == "DROP" {
					continue
				}
				id := 0
				for held := range alteredConns {
					taken := alteredTake(t, pool, held, "")
					for _, r := range alteredReads {
						id++
						_, _ = r.read(db, id)
					}
					for _, release := range taken {
						release()
					}
				}
				fresh := d.Plain(t)
				for id > 0 {
					for i := len(alteredReads) - 1; i >= 0; i-- {
						got, gotErr := alteredReads[i].read(db, id)
						want, wantErr := alteredReads[i].read(fresh, id)
						if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) || !reflect.DeepEqual(got, want) {
							t.Errorf("%s, %s: got %v %v, want %v %v", step, alteredReads[i].name, got, gotErr, want, wantErr)
						}
						id--
					}
				}
				before := p.Stats().Hits
				for _, r := range alteredReads {
					_, _ = r.read(db, 1)
					_, _ = r.read(db, 1)
				}
				if hits := p.Stats().Hits - before; hits < int64(len(alteredReads)) {
					t.Errorf("%s: %d hits, want %d: answers under the new names are kept", step, hits, len(alteredReads))
				}
			}
		})
	}
}

func alteredReadAll(db *gorm.DB) {
	for i, r := range alteredReads {
		_, _ = r.read(db, 50+i)
	}
}

// Where another process altered the table, the first load that comes under new names forgets what
// others were wrong about before.
func TestTheFirstLoadUnderNewNamesForgetsWhatCameUnderThoseOfBefore(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	plain, db := d.Plain(t), d.Open(t)
	worldtest.Must(t, plain.AutoMigrate(&alteredShelf{}))
	for id := range 9 {
		worldtest.Must(t, plain.Create(&alteredShelf{ID: int64(id + 1), A: "a", B: "b", C: "c", N: 7}).Error)
	}
	p := preload.New(preload.WithoutWorker())
	worldtest.Must(t, db.Use(p))
	t.Cleanup(func() { _ = p.Close() })
	pool, err := db.DB()
	worldtest.Must(t, err)
	var s alteredShelf
	worldtest.Must(t, db.First(&s, 9).Error) // how the names were
	alteredWarm(t, pool, "SELECT * FROM altered_shelves")
	worldtest.Must(t, plain.Exec(alteredSteps[0]).Error)
	wrong := 0
	for held := range alteredConns {
		taken := alteredTake(t, pool, held, "")
		var s alteredShelf
		worldtest.Must(t, db.First(&s, held+1).Error)
		if s.A != "" {
			wrong++
		}
		for _, release := range taken {
			release()
		}
	}
	if wrong == 0 {
		t.Fatal("no connection was late to notice")
	}
	s = alteredShelf{}
	worldtest.Must(t, db.First(&s, 8).Error) // by a connection that has noticed
	for id := range alteredConns {
		var got, want alteredShelf
		worldtest.Must(t, db.First(&got, id+1).Error)
		worldtest.Must(t, plain.First(&want, id+1).Error)
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}
