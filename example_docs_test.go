package preload_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"time"

	"github.com/gorm-preload/preload"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/mattn/go-sqlite3"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// What README.md and docs show, as it is shown there.

// noon is a clock that stands still.
type noon struct{}

func (noon) Now() time.Time { return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC) }

// quietly has GORM log nothing, until what it returns is called.
func quietly() (again func()) {
	before := logger.Default
	logger.Default = logger.Discard
	return func() { logger.Default = before }
}

// elsewhere goes to an empty directory, and back with what it returns.
func elsewhere() (back func()) {
	from, err := os.Getwd()
	check(err)
	dir, err := os.MkdirTemp("", "preload")
	check(err)
	check(os.Chdir(dir))
	return func() {
		check(os.Chdir(from))
		_ = os.RemoveAll(dir)
	}
}

func Example_everyDay() {
	ctx := context.Background()
	db, p, done := open(preload.WithoutWorker())
	defer done()

	var person Person
	var people []Person
	var err error
	db.Clauses(preload.Bypass).First(&person)  // the database, nothing is kept
	db.Clauses(preload.Refresh).First(&person) // the database, the answer is kept
	ctx = preload.ContextWithRefresh(ctx)      // the same for code that only passes a context on

	err = p.Warm(ctx, func(tx *gorm.DB) *gorm.DB { return tx.Find(&people) }) // at the start
	check(err)
	err = p.Invalidate(&Person{}) // or p.Invalidate() for everything
	check(err)
	fmt.Println(p.Stats().Hits, p.Stats().BypassReasons) // what was answered from memory, and why the rest was not
	// Output:
	// 0 map[asked:1]
}

// TestExplainIsPrinted is no Example: what it prints holds a sum that is another one in each process.
func TestExplainIsPrinted(t *testing.T) {
	db, p, done := open(preload.WithoutWorker())
	defer done()

	var ann Person
	check(db.First(&ann, "id = ?", 1).Error)
	e, err := p.Explain(func(tx *gorm.DB) *gorm.DB { // what the plugin makes of a statement, without running it
		return tx.Model(&Person{}).Where("id = ?", 1).Update("city", "Rome")
	})
	fmt.Println(e)
	check(err)
	want := regexp.MustCompile("^UPDATE `people` SET `city`=\"Rome\" WHERE id = 1\n" +
		"  change         update people set city to city = 'rome' where id = 1\n  invalidates    sql:people#[0-9A-Za-z_-]{16}:[0-9A-Za-z_-]{16}:i1; by row$")
	if !want.MatchString(strings.TrimSpace(e.String())) {
		t.Errorf("got %s", e)
	}
}

func ExamplePlugin_InvalidateTags() {
	ctx := context.Background()
	db, p, done := open(preload.WithoutWorker())
	defer done()

	countPeople := func(context.Context) (n int64, err error) {
		fmt.Println("counted")
		err = db.Model(&Person{}).Count(&n).Error
		return n, err
	}
	for range 3 {
		people, err := preload.LoadWith(ctx, p, "people", countPeople, // loaded once for all who ask
			preload.Tables(&Person{}), preload.For(time.Minute), preload.Tags("reports"))
		fmt.Println(people, err)
	}
	err := p.InvalidateTags("reports")
	check(err)
	// Output:
	// counted
	// 1 <nil>
	// 1 <nil>
	// 1 <nil>
}

func ExamplePlugin_RecordAccess() {
	_, p, done := open(preload.WithClock(noon{})) // a score falls with time
	defer done()

	p.RecordAccess("stream:7", "weather") // an access of your own, and what usually follows it
	for _, pattern := range p.Hot(10) {   // the hottest keys
		fmt.Println(pattern.Key, pattern.Count, pattern.Score)
	}
	// Output:
	// stream:7 1 1
}

func ExamplePlugin_SaveHotFile() {
	ctx := context.Background()
	db, before, done := open()
	defer done()
	defer elsewhere()()
	var ann Person
	err := db.First(&ann, 1).Error
	check(err)
	err = before.SaveHotFile("hot.json") // which keys are hot, never what they hold; before Close, or now and then
	check(err)
	again, err := gorm.Open(db.Dialector, &gorm.Config{})
	check(err)
	after := preload.New()
	check(again.Use(after))
	defer after.Close()
	check(after.Register(&Person{}))
	err = after.LoadHotFile(ctx, "hot.json") // after a restart (and Register): in memory again
	check(err)
	fmt.Println(after.Stats().Entries, "in memory")
	// Output:
	// 1 in memory
}

func ExamplePrepared_WithTx() {
	ctx := context.Background()
	db, _, done := open()
	defer done()

	byName, err := preload.Prepare[Person](db, func(tx *gorm.DB) *gorm.DB {
		return tx.Where("name = ? AND city = ?", preload.Arg(0), preload.Arg(1))
	})
	check(err)
	check(db.Transaction(func(tx *gorm.DB) error {
		ann, err := byName.First(ctx, "Ann", "Oslo") // and Find, Count
		check(err)
		ann, err = byName.WithTx(tx).First(ctx, "Ann", "Oslo")
		fmt.Println(ann.Name, ann.City)
		return err
	}))
	// Output:
	// Ann Oslo
}

func ExampleConnector_postgres() {
	defer quietly()()
	config, err := pgx.ParseConfig("postgres://127.0.0.1:1/nowhere")
	check(err)
	connector := stdlib.GetConnector(*config) // or mysql.NewConnector(config), or any other driver's
	pool := sql.OpenDB(preload.Connector(connector))
	db, err := gorm.Open(postgres.New(postgres.Config{Conn: pool}))
	if err != nil {
		fmt.Println("there is no server")
		return
	}
	fmt.Println(db.Name())
	// Output:
	// there is no server
}

func ExampleDriver() {
	defer elsewhere()()

	sql.Register("sqlite3+preload", preload.Driver(&sqlite3.SQLiteDriver{})) // the same by the name of a driver
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite3+preload", DSN: "people.db"}))
	check(err)
	pool, err := db.DB()
	check(err)
	defer func() { _ = pool.Close() }()
	fmt.Println(db.Name(), err)
	// Output:
	// sqlite <nil>
}

func Example_fresh() {
	ctx := context.Background()
	db, p, done := open(preload.WithoutWorker())
	defer done()

	ctx = preload.ContextWithFreshness(ctx, 100*time.Millisecond) // reads with it take nothing from memory that is older
	var ann Person
	check(db.WithContext(ctx).First(&ann, 1).Error)

	token, err := p.Position(ctx) // in the process that has written
	check(err)
	ctx = preload.ContextWithAtLeast(ctx, token) // in the one that reads
	check(db.WithContext(ctx).First(&ann, 1).Error)
	fmt.Println(ann.ID, token != "")
	// Output:
	// 1 true
}
