package preload_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/mattn/go-sqlite3"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// Person opts in with a tag.
type Person struct {
	_    struct{} `preload:"ttl:10m"`
	ID   uint
	Name string
	City string
}

// open returns a database with one person and the plugin in use.
func open(opts ...preload.Option) (*gorm.DB, *preload.Plugin, func()) {
	dir, err := os.MkdirTemp("", "preload")
	check(err)
	db, err := gorm.Open(sqlite.Open(filepath.Join(dir, "example.db")), &gorm.Config{})
	check(err)
	check(db.AutoMigrate(&Person{}))
	check(db.Create(&Person{Name: "Ann", City: "Oslo"}).Error)
	p := preload.New(opts...)
	check(db.Use(p))
	return db, p, func() {
		check(p.Close())
		if pool, err := db.DB(); err == nil {
			_ = pool.Close()
		}
		_ = os.RemoveAll(dir)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// The second of two equal reads is answered from memory, until a write could have changed the answer.
func Example() {
	// Without the worker, which would load what was killed again at once.
	db, p, done := open(preload.WithoutWorker())
	defer done()

	var ann Person
	for range 2 {
		check(db.Where("name = ?", "Ann").First(&ann).Error)
		fmt.Println(ann.City, "hits:", p.Stats().Hits)
	}
	check(db.Model(&Person{}).Where("name = ?", "Ann").Update("city", "Bergen").Error)
	check(db.Where("name = ?", "Ann").First(&ann).Error)
	fmt.Println(ann.City, "hits:", p.Stats().Hits)
	// Output:
	// Oslo hits: 0
	// Oslo hits: 1
	// Bergen hits: 1
}

// What happens in a transaction reaches nobody before its commit.
func Example_transaction() {
	db, _, done := open()
	defer done()

	city := func(db *gorm.DB) string {
		var ann Person
		check(db.First(&ann, 1).Error)
		return ann.City
	}
	city(db)
	_ = db.Transaction(func(tx *gorm.DB) error {
		check(tx.Model(&Person{ID: 1}).Update("city", "Rome").Error)
		fmt.Println("inside:", city(tx))
		return fmt.Errorf("no")
	})
	fmt.Println("after the rollback:", city(db))
	// Output:
	// inside: Rome
	// after the rollback: Oslo
}

// Refresh asks the database although the answer is in memory, for what other processes may have written.
func ExampleRefresh() {
	db, p, done := open()
	defer done()

	for range 3 {
		var ann Person
		check(db.Clauses(preload.Refresh).First(&ann, 1).Error)
	}
	s := p.Stats()
	fmt.Println("hits:", s.Hits, "misses:", s.Misses)
	// Output:
	// hits: 0 misses: 3
}

// Bypass neither uses nor keeps answers; a context says the same for code that only passes one on.
func ExampleContextWithBypass() {
	db, p, done := open()
	defer done()

	var ann, again Person
	check(db.Clauses(preload.Bypass).First(&ann, 1).Error)
	ctx := preload.ContextWithBypass(context.Background())
	check(db.WithContext(ctx).First(&again, 1).Error)
	fmt.Println(p.Stats().BypassReasons["asked"], "went to the database")
	// Output:
	// 2 went to the database
}

// Load keeps data of the application's own warm, in the same way as the answers of queries.
func ExampleLoad() {
	_, p, done := open()
	defer done()

	fetch := func(context.Context) (string, error) {
		fmt.Println("fetched")
		return "sunny", nil
	}
	for range 2 {
		weather, err := preload.Load(context.Background(), p, "weather", fetch)
		fmt.Println(weather, err)
	}
	// Output:
	// fetched
	// sunny <nil>
	// sunny <nil>
}

// What was made of tables is forgotten when they are written to.
func ExampleLoadWith() {
	db, p, done := open(preload.WithoutWorker())
	defer done()

	count := func(context.Context) (n int64, err error) {
		fmt.Println("counted")
		err = db.Model(&Person{}).Count(&n).Error
		return n, err
	}
	people := func() {
		n, err := preload.LoadWith(context.Background(), p, "people", count, preload.Tables(&Person{}), preload.For(time.Minute))
		fmt.Println(n, err)
	}
	people()
	people()
	check(db.Create(&Person{Name: "Eve"}).Error)
	people()
	// Output:
	// counted
	// 1 <nil>
	// 1 <nil>
	// counted
	// 2 <nil>
}

// One query is kept, whatever its model says: for how long, with the tables that a view reads, and
// with a name by which it is forgotten.
func ExampleCache() {
	db, p, done := open(preload.WithoutWorker())
	defer done()
	check(db.Exec("CREATE VIEW v_cities AS SELECT city, count(*) AS n FROM people GROUP BY city").Error)

	report := preload.Cache(preload.For(time.Minute), preload.Tables(&Person{}, "v_cities"), preload.Tags("report"))
	oslo := func() (n int) {
		check(db.Clauses(report).Raw("SELECT n FROM v_cities WHERE city = ?", "Oslo").Scan(&n).Error)
		return n
	}
	fmt.Println(oslo(), oslo(), "hits:", p.Stats().Hits)
	check(db.Create(&Person{Name: "Eve", City: "Oslo"}).Error)
	fmt.Println(oslo(), "hits:", p.Stats().Hits)
	check(p.InvalidateTags("report"))
	fmt.Println(oslo(), "hits:", p.Stats().Hits)
	// Output:
	// 1 1 hits: 1
	// 2 hits: 1
	// 2 hits: 1
}

// A context says the same of all queries that run with it.
func ExampleContextWithCache() {
	db, p, done := open()
	defer done()

	check(p.Register(&Person{})) // SQL does not tell what a table is
	ctx := preload.ContextWithCache(context.Background(), preload.For(time.Minute))
	for range 3 {
		var names []string
		check(db.WithContext(ctx).Raw("SELECT name FROM people ORDER BY name").Scan(&names).Error)
	}
	fmt.Println("hits:", p.Stats().Hits)
	// Output:
	// hits: 2
}

// Raw SQL is kept like what GORM builds: the same SQL is found again, whatever it is read into.
func ExampleWithRaw() {
	db, p, done := open(preload.WithRaw())
	defer done()
	check(p.Register(&Person{}))

	for range 2 {
		var people []Person
		check(db.Raw("SELECT * FROM people WHERE city = ?", "Oslo").Find(&people).Error)
		var rows []map[string]any
		check(db.Raw("SELECT * FROM people WHERE city = ?", "Oslo").Scan(&rows).Error)
	}
	check(db.Exec("UPDATE people SET city = 'Rome' WHERE name = 'Ann'").Error)
	var people []Person
	check(db.Raw("SELECT * FROM people WHERE city = ?", "Oslo").Find(&people).Error)
	fmt.Println(len(people), "hits:", p.Stats().Hits)
	// Output:
	// 0 hits: 3
}

// Functions of the application's own keep nothing out of memory once they are known as pure.
func ExampleWithFunctions() {
	db, p, done := open(preload.WithFunctions("slugify"))
	defer done()

	e, err := p.Explain(func(tx *gorm.DB) *gorm.DB { return tx.Where("slugify(name) = ?", "ann").Find(&[]Person{}) })
	check(err)
	fmt.Println("slugify:", e.Cacheable)
	e, err = p.Explain(func(tx *gorm.DB) *gorm.DB { return tx.Where("other(name) = ?", "ann").Find(&[]Person{}) })
	check(err)
	fmt.Println("other:", e.Cacheable, e.Reason)
	_ = db
	// Output:
	// slugify: true
	// other: false unknown function
}

// Models that cannot be tagged are opted in by an option.
func ExampleWithPolicy() {
	type city struct {
		ID   uint
		Name string
	}
	db, p, done := open(preload.WithPolicy(&city{}, preload.Policy{TTL: time.Minute, Negative: -1}))
	defer done()

	check(db.AutoMigrate(&city{}))
	check(db.Create(&city{Name: "Oslo"}).Error)
	for range 3 {
		var c city
		check(db.First(&c, 1).Error)
	}
	fmt.Println("hits:", p.Stats().Models["cities"].Hits)
	// Output:
	// hits: 2
}

// Warm runs queries at the start of an application, so that its first users find their answers in memory.
func ExamplePlugin_Warm() {
	db, p, done := open()
	defer done()

	err := p.Warm(context.Background(),
		func(tx *gorm.DB) *gorm.DB { return tx.Where("city = ?", "Oslo").Find(&[]Person{}) },
	)
	var people []Person
	check(db.Where("city = ?", "Oslo").Find(&people).Error)
	fmt.Println(err, len(people), "hits:", p.Stats().Hits)
	// Output:
	// <nil> 1 hits: 1
}

// Hot tells which keys are asked most, and how hot they are now.
func ExamplePlugin_Hot() {
	_, p, done := open()
	defer done()

	for range 3 {
		p.RecordAccess("front page", "news")
	}
	p.RecordAccess("news")
	for _, pattern := range p.Hot(2) {
		fmt.Println(pattern.Key, pattern.Count, pattern.Related, p.ShouldPreload(pattern.Key))
	}
	// Output:
	// front page 3 [news] true
	// news 1 [] true
}

// A query that is asked for often is built once.
func ExamplePrepare() {
	db, p, done := open()
	defer done()

	byName, err := preload.Prepare[Person](db, func(tx *gorm.DB) *gorm.DB {
		return tx.Where("name = ? AND city = ?", preload.Arg(0), preload.Arg(1))
	})
	check(err)
	for range 3 {
		ann, err := byName.First(context.Background(), "Ann", "Oslo")
		check(err)
		fmt.Println(ann.Name, "hits:", p.Stats().Hits)
	}
	// The same query written out is served from the same memory.
	var ann Person
	check(db.Where("name = ? AND city = ?", "Ann", "Oslo").First(&ann).Error)
	fmt.Println(ann.Name, "hits:", p.Stats().Hits)
	// Output:
	// Ann hits: 0
	// Ann hits: 1
	// Ann hits: 2
	// Ann hits: 3
}

// What was hot before a restart is in memory again after it. The file holds queries, never what they found.
func ExamplePlugin_LoadHot() {
	db, before, done := open()
	defer done()
	for range 3 {
		var ann Person
		check(db.First(&ann, 1).Error)
	}
	var saved bytes.Buffer // a file
	check(before.SaveHot(&saved))

	// The next process.
	again, err := gorm.Open(db.Dialector, &gorm.Config{})
	check(err)
	after := preload.New()
	check(again.Use(after))
	defer after.Close()
	check(after.Register(&Person{})) // nothing has asked for a model yet
	check(after.LoadHot(context.Background(), &saved, func(loaded, total int) { fmt.Println(loaded, "of", total) }))

	var ann Person
	check(again.First(&ann, 1).Error)
	fmt.Println(ann.Name, "hits:", after.Stats().Hits, "misses:", after.Stats().Misses)
	// Output:
	// 0 of 1
	// 1 of 1
	// Ann hits: 1 misses: 0
}

// namedSource is the connector of a driver that opens connections by the name of a data source.
type namedSource struct {
	driver driver.Driver
	name   string
}

func (d namedSource) Connect(context.Context) (driver.Conn, error) { return d.driver.Open(d.name) }
func (d namedSource) Driver() driver.Driver                        { return d.driver }

// A pool that is opened with Connector stays a *sql.DB, and what is written through it directly is seen.
func ExampleConnector() {
	dir, err := os.MkdirTemp("", "preload")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	pool := sql.OpenDB(preload.Connector(namedSource{&sqlite3.SQLiteDriver{}, filepath.Join(dir, "example.db")}))
	defer func() { _ = pool.Close() }()
	db, err := gorm.Open(sqlite.New(sqlite.Config{Conn: pool}), &gorm.Config{})
	check(err)
	check(db.AutoMigrate(&Person{}))
	check(db.Create(&Person{Name: "Ann", City: "Oslo"}).Error)
	p := preload.New(preload.WithoutWorker())
	check(db.Use(p))
	defer func() { _ = p.Close() }()

	city := func() string {
		var ann Person
		check(db.Where("name = ?", "Ann").First(&ann).Error)
		return ann.City
	}
	fmt.Println(city(), city(), "hits:", p.Stats().Hits)
	_, err = pool.Exec("UPDATE people SET city = 'Bergen' WHERE name = 'Ann'")
	check(err)
	fmt.Println(city())

	_, isDB := db.ConnPool.(*sql.DB)
	check(db.Transaction(func(tx *gorm.DB) error {
		_, isTx := tx.Statement.ConnPool.(*sql.Tx)
		fmt.Println("*sql.DB:", isDB, "*sql.Tx:", isTx)
		return nil
	}))
	// Output:
	// Oslo Oslo hits: 1
	// Bergen
	// *sql.DB: true *sql.Tx: true
}

// In a snapshot, as all transactions of SQLite are, memory answers what may be as of its own moment.
func ExampleWithTransactionReads() {
	db, p, closeAll := open(preload.WithTransactionReads(), preload.WithoutWorker())
	defer closeAll()
	check(db.Create(&Person{Name: "Bob", City: "Rome"}).Error)
	check(db.First(&Person{}, 2).Error)

	err := db.Transaction(func(tx *gorm.DB) error {
		ctx := preload.ContextWithTransactionReads(context.Background())
		var bob Person
		if err := tx.WithContext(ctx).First(&bob, 2).Error; err != nil { // from memory, if it is there
			return err
		}
		return tx.Model(&Person{}).Where("id = ?", 1).Update("city", bob.City).Error
	})
	check(err)
	var ann Person
	check(db.First(&ann, 1).Error)
	fmt.Println(ann.City, "hits:", p.Stats().Hits)
	// Output: Rome hits: 1
}
