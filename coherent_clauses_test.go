package preload_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// clauseStale warms a query, writes, and compares the answer with a plain handle's.
func clauseStale[T any](t *testing.T, b *worldtest.World, ask func(*gorm.DB) (T, error), write func(*gorm.DB) error) {
	t.Helper()
	for range 2 {
		if _, err := ask(b.DB); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(b.DB); err != nil {
		t.Log("the write returned", err)
	}
	got, _ := ask(b.DB)
	want, _ := ask(b.Plain)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("stale: got %+v, want %+v", got, want)
	}
}

func clauseFind[T any](scope func(*gorm.DB) *gorm.DB) func(*gorm.DB) ([]T, error) {
	return func(db *gorm.DB) (rows []T, err error) {
		err = scope(db).Find(&rows).Error
		return rows, err
	}
}

// TestASavepointOutsideOfATransaction: begins one in SQLite, which only some of its statements
// show.
func TestASavepointOutsideOfATransaction(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	pool, _ := b.DB.DB()
	pool.SetMaxOpenConns(1)
	worldtest.Must(t, b.DB.SavePoint("sp").Error)
	worldtest.Must(t, b.DB.Session(&gorm.Session{SkipDefaultTransaction: true}).Create(&worldtest.ReadCompany{ID: 77, Name: "never"}).Error)
	var n int64
	worldtest.Must(t, b.DB.Model(&worldtest.ReadCompany{}).Count(&n).Error) // stored: uncommitted
	worldtest.Must(t, b.DB.RollbackTo("sp").Error)
	worldtest.Must(t, b.DB.Exec("RELEASE sp").Error)
	var got, want int64
	worldtest.Must(t, b.DB.Model(&worldtest.ReadCompany{}).Count(&got).Error)
	worldtest.Must(t, b.Plain.Model(&worldtest.ReadCompany{}).Count(&want).Error)
	if got != want {
		t.Errorf("a rolled-back row is served: count %d, want %d", got, want)
	}
}

// TestOpenedOnATransaction: reads are part of it, and it is left as it is.
func TestOpenedOnATransaction(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	worldtest.Must(t, d.Plain(t).AutoMigrate(&worldtest.ReadCompany{}, &worldtest.ReadPlace{}))
	for _, with := range []bool{false, true} {
		sqlTx, err := d.Pool(t).BeginTx(context.Background(), nil)
		worldtest.Must(t, err)
		db, err := gorm.Open(d.Dialector(sqlTx), &gorm.Config{})
		worldtest.Must(t, err)
		if with {
			p := preload.New(preload.WithoutWorker())
			worldtest.Must(t, db.Use(p))
			t.Cleanup(func() { _ = p.Close() })
		}
		if err := db.Transaction(func(tx *gorm.DB) error { return tx.Create(&worldtest.ReadCompany{Name: "a"}).Error }); err != nil {
			t.Errorf("plugin %v: Transaction: %v", with, err)
		}
		var before, after int64
		worldtest.Must(t, db.Model(&worldtest.ReadCompany{}).Count(&before).Error)
		worldtest.Must(t, db.SavePoint("a").Error)
		worldtest.Must(t, db.Create(&worldtest.ReadCompany{Name: "b"}).Error)
		worldtest.Must(t, db.Model(&worldtest.ReadCompany{}).Count(new(int64)).Error)
		worldtest.Must(t, db.RollbackTo("a").Error)
		worldtest.Must(t, db.Model(&worldtest.ReadCompany{}).Count(&after).Error)
		if before != after {
			t.Errorf("plugin %v: count %d before the savepoint, %d after the rollback to it", with, before, after)
		}
		worldtest.Must(t, sqlTx.Rollback())
	}
}

type clauseParent struct {
	_    struct{} `preload:""`
	ID   uint
	Kids []clauseKid `gorm:"foreignKey:ParentID;constraint:OnDelete:CASCADE"`
}
type clauseKid struct {
	_        struct{} `preload:""`
	ID       uint
	ParentID uint
}

// TestUpdateOrReplace: deletes rows, and what depends on them.
func TestUpdateOrReplace(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(*gorm.DB) (int64, error){
		"parents": func(db *gorm.DB) (n int64, err error) { err = db.Model(&clauseParent{}).Count(&n).Error; return },
		"kids":    func(db *gorm.DB) (n int64, err error) { err = db.Model(&clauseKid{}).Count(&n).Error; return },
	} {
		t.Run(name, func(t *testing.T) {
			b := readOpen(t, dbtest.SQLite(t))
			worldtest.Must(t, b.Plain.AutoMigrate(&clauseParent{}, &clauseKid{}))
			worldtest.Must(t, b.Plain.Create(&[]clauseParent{{ID: 1}, {ID: 2, Kids: []clauseKid{{ID: 1}}}}).Error)
			worldtest.Must(t, b.Plugin.Register(&clauseParent{}))
			clauseStale(t, b, ask, func(db *gorm.DB) error {
				return db.Clauses(clause.Update{Modifier: "OR REPLACE"}).Model(&clauseParent{}).Where("id = ?", 1).Update("id", 2).Error
			})
		})
	}
}

type clauseCounter struct {
	_    struct{} `preload:""`
	ID   int64
	Name string `gorm:"size:20"`
	N    int
}

// TestDoUpdatesOfAColumnTwice: the last one counts, in SQLite and MySQL.
func TestDoUpdatesOfAColumnTwice(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"DoUpdates", "UpdateAll besides"} {
		for _, open := range map[string]func(testing.TB) *dbtest.Database{"sqlite": dbtest.SQLite, "mysql": dbtest.MySQL} {
			t.Run(form, func(t *testing.T) {
				b := readOpen(t, open(t))
				worldtest.Must(t, b.Plain.AutoMigrate(&clauseCounter{}))
				worldtest.Must(t, b.Plain.Create(&clauseCounter{ID: 1, Name: "a", N: 1}).Error)
				clauseStale(t, b, clauseFind[clauseCounter](func(db *gorm.DB) *gorm.DB { return db.Where("n = ?", 5) }), func(db *gorm.DB) error {
					on := clause.OnConflict{Columns: []clause.Column{{Name: "id"}}}
					row := clauseCounter{ID: 1, Name: "a", N: 1}
					if form == "DoUpdates" {
						on.DoUpdates = append(clause.AssignmentColumns([]string{"name", "n"}), clause.Assignments(map[string]any{"n": 5})...)
					} else {
						on.UpdateAll, on.DoUpdates, row.N = true, clause.Assignments(map[string]any{"n": 9}), 5
					}
					return db.Clauses(on).Create(&row).Error
				})
			})
		}
	}
}

type clauseBin struct {
	_    struct{} `preload:""`
	ID   int64
	Name string `gorm:"type:varchar(50) collate utf8mb4_bin"`
}

// TestTextComparedWithANumber: MySQL compares numbers then.
func TestTextComparedWithANumber(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) *worldtest.World {
		b := readOpen(t, dbtest.MySQL(t))
		worldtest.Must(t, b.Plain.AutoMigrate(&clauseBin{}))
		worldtest.Must(t, b.Plain.Create(&[]clauseBin{{ID: 1, Name: "7"}, {ID: 2, Name: "x"}, {ID: 3, Name: "7c"}}).Error)
		return b
	}
	t.Run("in the query", func(t *testing.T) {
		clauseStale(t, setup(t), clauseFind[clauseBin](func(db *gorm.DB) *gorm.DB { return db.Where("name = 7") }), func(db *gorm.DB) error {
			return db.Model(&clauseBin{ID: 2}).Update("name", "7abc").Error
		})
	})
	t.Run("in the write", func(t *testing.T) {
		clauseStale(t, setup(t), clauseFind[clauseBin](func(db *gorm.DB) *gorm.DB { return db.Where("name = ?", "7c") }), func(db *gorm.DB) error {
			return db.Where("name = 7").Delete(&clauseBin{}).Error
		})
	})
}

type clauseCountry struct {
	_  struct{} `preload:""`
	ID uint
}
type clauseAddress struct {
	CountryID *uint
	Country   *clauseCountry `gorm:"constraint:OnDelete:SET NULL"`
}
type clausePerson struct {
	_    struct{} `preload:""`
	ID   uint
	Home clauseAddress `gorm:"embedded;embeddedPrefix:home_"`
	Work clauseAddress `gorm:"embedded;embeddedPrefix:work_"`
}

// TestRelationsOfOneNameInTwoEmbeddedStructs: each has a constraint of its own.
func TestRelationsOfOneNameInTwoEmbeddedStructs(t *testing.T) {
	t.Parallel()
	for _, column := range []string{"home_country_id", "work_country_id"} {
		t.Run(column, func(t *testing.T) {
			b := readOpen(t, dbtest.SQLite(t))
			worldtest.Must(t, b.Plain.AutoMigrate(&clauseCountry{}))
			// GORM's migration makes one of both constraints only.
			worldtest.Must(t, b.Plain.Exec(`CREATE TABLE clause_people (id integer PRIMARY KEY,
				home_country_id integer REFERENCES clause_countries (id) ON DELETE SET NULL,
				work_country_id integer REFERENCES clause_countries (id) ON DELETE SET NULL)`).Error)
			worldtest.Must(t, b.Plain.Create(&clauseCountry{ID: 1}).Error)
			worldtest.Must(t, b.Plain.Exec("INSERT INTO clause_people VALUES (1, 1, 1)").Error)
			worldtest.Must(t, b.Plugin.Register(&clausePerson{}))
			clauseStale(t, b, clauseFind[clausePerson](func(db *gorm.DB) *gorm.DB { return db.Select("id", column) }), func(db *gorm.DB) error {
				return db.Delete(&clauseCountry{}, 1).Error
			})
		})
	}
}

type clauseGenerated struct {
	_     struct{} `preload:""`
	ID    uint
	Qty   int
	Twice int `gorm:"type:bigint AS(qty*2) STORED;default:(-)"`
}

// TestAGeneratedColumnWithoutBlanks: it changes with others as any does.
func TestAGeneratedColumnWithoutBlanks(t *testing.T) {
	t.Parallel()
	b := readOpen(t, dbtest.SQLite(t))
	worldtest.Must(t, b.Plain.AutoMigrate(&clauseGenerated{}))
	worldtest.Must(t, b.Plain.Create(&clauseGenerated{ID: 1, Qty: 3}).Error)
	clauseStale(t, b, clauseFind[clauseGenerated](func(db *gorm.DB) *gorm.DB { return db.Select("id", "twice") }), func(db *gorm.DB) error {
		return db.Model(&clauseGenerated{ID: 1}).Update("qty", 5).Error
	})
}

// TestBeginAmongOtherStatements: what was read in between is not kept.
func TestBeginAmongOtherStatements(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	worldtest.Must(t, b.DB.Exec("BEGIN; INSERT INTO read_companies (id, name) VALUES (77, 'dirty')").Error)
	var got worldtest.ReadCompany
	b.DB.Find(&got, 77) // on the connection of the transaction
	pool, _ := b.DB.DB()
	conn, err := pool.Conn(context.Background()) // takes that connection
	worldtest.Must(t, err)
	got = worldtest.ReadCompany{}
	b.DB.Find(&got, 77) // any other reader
	if got.ID != 0 {
		t.Errorf("an uncommitted row is served: %+v", got)
	}
	worldtest.Must(t, conn.Close())
	worldtest.Must(t, b.DB.Exec("ROLLBACK").Error)
}

// TestASavepointIsATransaction in SQLite: nothing is kept until it is released, however long that
// takes.
func TestASavepointIsATransaction(t *testing.T) {
	t.Parallel()
	clock := dbtest.NewClock()
	b := readSQLite(t, preload.WithClock(clock))
	pool, _ := b.DB.DB()
	pool.SetMaxOpenConns(1)
	ask := func() (queries int64) {
		return int64(b.Queries(func() { worldtest.Must(t, b.DB.First(&worldtest.ReadCompany{}, 1).Error) }))
	}
	worldtest.Must(t, b.DB.SavePoint("sp").Error)
	clock.Advance(5 * time.Second)
	if first, again := ask(), ask(); first != 1 || again != 1 {
		t.Errorf("%d and %d queries within, want one each", first, again)
	}
	worldtest.Must(t, b.DB.Exec("RELEASE sp").Error)
	clock.Advance(5 * time.Second)
	if first, again := ask(), ask(); first != 1 || again != 0 {
		t.Errorf("%d and %d queries after it, want 1 and 0", first, again)
	}
}

// TestSetLocal changes nothing that is kept.
func TestSetLocal(t *testing.T) {
	t.Parallel()
	b := readOpen(t, dbtest.Postgres(t))
	worldtest.Must(t, b.Plain.AutoMigrate(&clauseCounter{}))
	ask := clauseFind[clauseCounter](func(db *gorm.DB) *gorm.DB { return db })
	_, _ = ask(b.DB)
	worldtest.Must(t, b.DB.Transaction(func(tx *gorm.DB) error { return tx.Exec("SET LOCAL statement_timeout = '5s'").Error }))
	_, _ = ask(b.DB)
	if n := b.Queries(func() { _, _ = ask(b.DB) }); n != 0 {
		t.Errorf("%d queries: nothing is kept after SET LOCAL", n)
	}
}
