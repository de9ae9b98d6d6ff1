package preload_test

import (
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// Models of the policies of tables.
type (
	ruledCity struct {
		_    struct{} `preload:"ttl:10m;rows:3"`
		ID   int
		Name string `gorm:"size:50"`
	}
	ruledHouse struct {
		_      struct{} `preload:"ttl:1m;rows:2"`
		ID     int
		CityID int
	}
	ruledPlain struct {
		ID     int
		CityID int
	}
	ruledSecret struct {
		_      struct{} `preload:"-"`
		ID     int
		CityID int
	}
	// ruledOther is another model of a table.
	ruledOther struct {
		ID   int
		Name string `gorm:"size:50"`
	}
	// ruledCount is of no table.
	ruledCount struct {
		Name string
		N    int
	}
)

func (ruledOther) TableName() string { return "ruled_cities" }

// ruledWorld is a world of these models.
func ruledWorld(t *testing.T, d *dbtest.Database, options ...preload.Option) *worldtest.World {
	t.Helper()
	b := readOpen(t, d, append([]preload.Option{preload.WithoutWorker(), preload.WithRaw(), preload.WithTTL(time.Hour)}, options...)...)
	models := []any{&ruledCity{}, &ruledHouse{}, &ruledPlain{}, &ruledSecret{}}
	worldtest.Must(t, b.Plain.AutoMigrate(models...))
	worldtest.Must(t, b.Plain.Create(&[]ruledCity{{ID: 1, Name: "a"}, {ID: 2, Name: "b"}, {ID: 3, Name: "c"}}).Error)
	worldtest.Must(t, b.Plain.Create(&[]ruledHouse{{ID: 1, CityID: 1}, {ID: 2, CityID: 1}}).Error)
	worldtest.Must(t, b.Plain.Create(&[]ruledPlain{{ID: 1, CityID: 1}}).Error)
	worldtest.Must(t, b.Plain.Create(&[]ruledSecret{{ID: 1, CityID: 1}}).Error)
	worldtest.Must(t, b.Plugin.Register(models...))
	return b
}

// TestPoliciesGoByTheTablesThatAreRead: and not by the type of the destination.
func TestPoliciesGoByTheTablesThatAreRead(t *testing.T) {
	t.Parallel()
	counts := func(db *gorm.DB) *gorm.DB { return db.Select("name, count(*) AS n").Group("name").Order("name") }
	cities := func(db *gorm.DB) *gorm.DB { return db.Table("ruled_cities") }
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		for _, byDefault := range []bool{false, true} {
			var options []preload.Option
			name, of, none := "opted in", "no policy", "no policy"
			if byDefault {
				name, of, none = "by default", "", ""
				options = append(options, preload.WithDefaultPolicy(preload.Policy{}))
			}
			t.Run(name, func(t *testing.T) {
				b := ruledWorld(t, d, options...)
				defer func() {
					worldtest.Must(t, b.Plain.Migrator().DropTable(&ruledCity{}, &ruledHouse{}, &ruledPlain{}, &ruledSecret{}))
				}()
				for _, c := range []readCase{
					{"into a type of no table", "", worldtest.Find[[]ruledCount](func(db *gorm.DB) *gorm.DB { return counts(cities(db)) })},
					{"by its alias", "", worldtest.Find[[]ruledCount](func(db *gorm.DB) *gorm.DB { return counts(db.Table("ruled_cities AS c")) })},
					{"into maps", "", worldtest.Find[[]map[string]any](func(db *gorm.DB) *gorm.DB { return counts(cities(db)) })},
					{"into a map", "", func(db *gorm.DB) (any, *gorm.DB) {
						dest := map[string]any{}
						return &dest, cities(db).Where("id = ?", 2).Take(&dest)
					}},
					{"count", "", worldtest.Count(cities)},
					{"pluck", "", worldtest.Pluck[string]("name", func(db *gorm.DB) *gorm.DB { return cities(db).Order("id") })},
					{"scan", "", scanInto[[]ruledCount](func(db *gorm.DB) *gorm.DB { return counts(cities(db)) })},
					{"scan of a number", "", scanInto[int](func(db *gorm.DB) *gorm.DB { return cities(db).Select("max(id)") })},
					{"another model of the table", "", worldtest.Find[[]ruledOther](worldtest.ByID)},
					{"its model into a type of no table", "", worldtest.Find[[]ruledCount](func(db *gorm.DB) *gorm.DB { return counts(db.Model(&ruledCity{})) })},
					{"a table of a model that is not opted in", of, worldtest.Find[[]ruledCount](func(db *gorm.DB) *gorm.DB { return db.Table("ruled_plains").Select("'x' AS name, count(*) AS n") })},
					{"a model on a table of one that is not opted in", of, worldtest.Find[[]ruledCity](func(db *gorm.DB) *gorm.DB { return db.Table("ruled_plains").Order("id") })},
					{"joined with one that is not opted in", "", worldtest.Find[[]ruledCount](func(db *gorm.DB) *gorm.DB {
						return counts(db.Table("ruled_cities").Joins("JOIN ruled_plains p ON p.city_id = ruled_cities.id"))
					})},
					{"one that is not opted in first", none, worldtest.Find[[]ruledCount](func(db *gorm.DB) *gorm.DB {
						return counts(db.Table("ruled_plains").Joins("JOIN ruled_cities c ON c.id = ruled_plains.city_id"))
					})},
					{"opted out", "no policy", worldtest.Find[[]ruledCount](func(db *gorm.DB) *gorm.DB { return db.Table("ruled_secrets").Select("'x' AS name, count(*) AS n") })},
					{"opted out, into a model", "no policy", worldtest.Find[[]ruledCity](func(db *gorm.DB) *gorm.DB { return db.Table("ruled_secrets").Select("id").Order("id") })},
					{"joined with what is opted out", "no policy", worldtest.Find[[]ruledCity](func(db *gorm.DB) *gorm.DB {
						return db.Joins("JOIN ruled_secrets s ON s.city_id = ruled_cities.id").Order("ruled_cities.id")
					})},
					{"what is opted out in a condition", "no policy", worldtest.Find[[]ruledCity](func(db *gorm.DB) *gorm.DB {
						return db.Where("id IN (SELECT city_id FROM ruled_secrets)").Order("id")
					})},
					{"raw, what is opted out", "no policy", rawQuery[int](readScan, "SELECT count(*) FROM ruled_cities WHERE id IN (SELECT city_id FROM ruled_secrets)")},
				} {
					b.AsPlain(t, c.name, c.reason, c.query)
				}
			})
		}
	})
}

// The shortest time and the smallest answer of the tables that are read count.
func TestTheStrictestPolicyOfTheTablesCounts(t *testing.T) {
	t.Parallel()
	b := ruledWorld(t, dbtest.SQLite(t))
	ask := func(query string) int64 {
		return b.Queries(func() {
			var rows []map[string]any
			worldtest.Must(t, b.DB.Raw(query).Scan(&rows).Error)
		})
	}
	const (
		cities = "SELECT * FROM ruled_cities"
		both   = "SELECT c.id FROM ruled_cities c JOIN ruled_houses h ON h.city_id = c.id"
		many   = "SELECT c.id FROM ruled_cities c, ruled_houses h"
	)
	for _, query := range []string{cities, both, many} {
		ask(query)
	}
	if ask(cities) != 0 || ask(both) != 0 {
		t.Error("not served")
	}
	if ask(many) == 0 {
		t.Error("an answer of six rows is kept, where a table allows two")
	}
	b.Clock.Advance(2 * time.Minute)
	if ask(cities) != 0 || ask(both) == 0 {
		t.Error("after two minutes the one should be kept, and not the other")
	}
	b.Clock.Advance(9 * time.Minute)
	if ask(cities) == 0 {
		t.Error("kept for longer than ten minutes")
	}
}
