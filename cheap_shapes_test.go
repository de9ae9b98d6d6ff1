package preload_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/models"
	"gorm.io/gorm"
)

// BenchmarkNewShape measures a query of a form that is known with an OFFSET or a length of its list
// that are not, beside the same with plain GORM: what is reported are ratios of medians.
func BenchmarkNewShape(b *testing.B) {
	forms := map[string]func(db *gorm.DB, n int) error{
		"offset": func(db *gorm.DB, n int) error {
			var found []models.PersonInfo
			return db.Where("platform = ?", "qq").Order("id").Limit(5 + n/97).Offset(n % 97).Find(&found).Error
		},
		"list": func(db *gorm.DB, n int) error {
			var found []models.PersonInfo
			ids, platforms, users := make([]int, 1+n%20), make([]string, 1+n/20%20), make([]string, 1+n/400)
			for i := range ids {
				ids[i] = i + n
			}
			for i := range platforms {
				platforms[i] = "qq"
			}
			for i := range users {
				users[i] = "user"
			}
			return db.Where("id IN ?", ids).Where("platform IN ?", platforms).Where("user_id NOT IN ?", users).Order("id").Limit(5).Find(&found).Error
		},
	}
	for name, open := range map[string]func(testing.TB) *dbtest.Database{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres, "mysql": dbtest.MySQL} {
		b.Run(name, func(b *testing.B) { newShapes(b, open, forms) })
	}
}

func newShapes(b *testing.B, open func(testing.TB) *dbtest.Database, forms map[string]func(db *gorm.DB, n int) error) {
	const rows = 300
	dbs := make([]*gorm.DB, 2)
	for i := range dbs {
		db := open(b).Open(b)
		if err := db.AutoMigrate(models.All()...); err != nil {
			b.Fatal(err)
		}
		persons := make([]models.PersonInfo, rows)
		for n := range persons {
			persons[n] = models.PersonInfo{PersonID: fmt.Sprint("person ", n), Platform: "qq", UserID: fmt.Sprint("user ", n)}
		}
		if err := db.CreateInBatches(persons, 500).Error; err != nil {
			b.Fatal(err)
		}
		if dbs[i] = db; i > 0 {
			if err := db.Use(preload.New(preload.WithoutWorker())); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, name := range []string{"offset", "list"} {
		b.Run(name, func(b *testing.B) {
			took := make([][]time.Duration, len(dbs))
			for n := range b.N {
				for i, db := range dbs {
					start := time.Now()
					err := forms[name](db, n)
					took[i] = append(took[i], time.Since(start))
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			for i := range took {
				slices.Sort(took[i])
			}
			middle := len(took[0]) / 2
			b.ReportMetric(float64(took[1][middle])/float64(took[0][middle]), "x-plain")
			b.ReportMetric(float64(took[0][middle].Nanoseconds()), "plain-ns")
		})
	}
}
