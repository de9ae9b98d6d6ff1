package oracle_test

import (
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/bench/database"
	"github.com/gorm-preload/preload/bench/shop/oracle"
	"github.com/gorm-preload/preload/examples/shop/service"
	"gorm.io/gorm"
)

// watched returns a small shop's database and its oracle. plugin says whether it has the plugin.
func watched(t *testing.T, plugin bool) (*gorm.DB, *oracle.Oracle) {
	t.Helper()
	d, err := database.Server{Dialect: "sqlite", Dir: t.TempDir()}.New()
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	plain, err := d.Open(&database.Counts{}, gorm.Config{})
	must(t, err)
	must(t, service.Seed(plain, service.Size{Users: 3, Products: 5, Categories: 2, Tags: 3, ReviewsEach: 1, OrdersEach: 1}))
	db, err := d.Open(&database.Counts{Seen: oracle.Asked}, gorm.Config{})
	must(t, err)
	if plugin {
		p := preload.New(preload.WithoutWorker())
		must(t, db.Use(p))
		t.Cleanup(func() { must(t, p.Close()) })
	}
	o, err := oracle.Watch(db, plain)
	must(t, err)
	return db, o
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The reads are such that it is plain which of them could have been served.
func TestTheOracleCountsWhatWasAskedBeforeAndIsStillTrue(t *testing.T) {
	t.Parallel()
	product := func(id int) func(*gorm.DB) error {
		return func(db *gorm.DB) error { return db.First(new(service.Product), id).Error }
	}
	price := func(id, to int) func(*gorm.DB) error {
		return func(db *gorm.DB) error {
			return db.Model(&service.Product{}).Where("id = ?", id).UpdateColumn("price", to).Error
		}
	}
	smaller := func(db *gorm.DB) error {
		return db.Model(&service.Product{}).Where("id = ?", 1).Find(new(service.Card)).Error
	}
	scan := func(db *gorm.DB) error {
		var n int
		return db.Model(&service.Product{}).Select("SUM(price)").Scan(&n).Error
	}
	raw := func(db *gorm.DB) error {
		var n int
		return db.Raw("SELECT COUNT(*) FROM users WHERE id > ?", 1).Scan(&n).Error
	}
	inside := func(db *gorm.DB) error { return db.Transaction(product(2)) }
	now := func(db *gorm.DB) error {
		return db.Where("valid_until > ?", time.Now()).Find(new([]service.Coupon)).Error
	}
	preloaded := func(db *gorm.DB) error { return db.Preload("Items").First(new(service.Order), 1).Error }
	none := func(db *gorm.DB) error {
		return db.Where("email = ?", "nobody").Limit(1).Find(new([]service.User)).Error
	}
	for _, c := range []struct {
		name  string
		do    []func(*gorm.DB) error
		class oracle.Class
		reads int
		known int
	}{
		{"the first time", []func(*gorm.DB) error{product(1)}, oracle.Tagged, 1, 0},
		{"again, and again", []func(*gorm.DB) error{product(1), product(1), product(1)}, oracle.Tagged, 3, 2},
		{"other args", []func(*gorm.DB) error{product(1), product(2)}, oracle.Tagged, 2, 0},
		{"another destination", []func(*gorm.DB) error{product(1), smaller}, oracle.Tagged, 2, 0},
		{"changed meanwhile", []func(*gorm.DB) error{product(1), price(1, -1), product(1), product(1)}, oracle.Tagged, 3, 1},
		{"another row changed meanwhile", []func(*gorm.DB) error{product(1), price(2, -1), product(1)}, oracle.Tagged, 2, 1},
		{"set to what it was", []func(*gorm.DB) error{price(1, 5), product(1), price(1, 5), product(1)}, oracle.Tagged, 2, 1},
		{"no rows", []func(*gorm.DB) error{none, none}, oracle.Tagged, 2, 1},
		{"with what it preloads", []func(*gorm.DB) error{preloaded, preloaded}, oracle.Tagged, 4, 2},
		{"Scan", []func(*gorm.DB) error{scan, scan, price(1, -1), scan}, oracle.Scanned, 3, 1},
		{"raw SQL", []func(*gorm.DB) error{raw, raw}, oracle.Raw, 2, 1},
		{"in transactions", []func(*gorm.DB) error{inside, inside}, oracle.Transaction, 2, 1},
		{"asked outside before", []func(*gorm.DB) error{product(2), inside}, oracle.Transaction, 1, 1},
		{"the time of now", []func(*gorm.DB) error{now, now}, oracle.Volatile, 2, 1},
	} {
		for _, plugin := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				db, o := watched(t, plugin)
				for _, do := range c.do {
					must(t, do(db))
				}
				got := o.Count(c.class)
				served := 0
				if plugin && (c.class == oracle.Tagged || c.class == oracle.Scanned) {
					served = c.known // all of these the plugin keeps
				}
				if c.name == "set to what it was" {
					served = 0 // a write that the plugin takes for a change
				}
				want := oracle.Count{Reads: c.reads, Oracle: c.known, Served: served, Both: served}
				if got != want {
					t.Errorf("with the plugin %v: got %+v, want %+v", plugin, got, want)
				}
				all := o.All()
				if all.Wrong > 0 || all.Reads < got.Reads {
					t.Errorf("all: %+v", all)
				}
			})
		}
	}
}

func TestTheOracleSeesAnAnswerThatIsNotTrue(t *testing.T) {
	t.Parallel()
	db, o := watched(t, true)
	must(t, db.First(new(service.Product), 1).Error)
	// The plugin cannot see what is written by another way.
	pool, err := db.DB()
	must(t, err)
	_, err = pool.Exec("UPDATE products SET price = -1 WHERE id = 1")
	must(t, err)
	must(t, db.First(new(service.Product), 1).Error)
	if got, want := o.Count(oracle.Tagged), (oracle.Count{Reads: 2, Served: 1, Wrong: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTheTablesOfAStatementAreFound(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"SELECT * FROM `a` LEFT JOIN `b` `B` ON 1":                         "a b",
		`INSERT INTO "a" ("x") VALUES (1) ON CONFLICT DO UPDATE SET "x"=1`: "a SET",
		"UPDATE a SET x = 1":      "a",
		`DELETE FROM "a" WHERE 1`: "a",
	} {
		got := ""
		for i, name := range oracle.Tables(sql) {
			if i > 0 {
				got += " "
			}
			got += name
		}
		if got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
}
