package preload_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/models"
	"gorm.io/gorm"
)

// cheapRows is how many rows the tables of these benchmarks have.
const cheapRows = 1_000

// persons returns a database with rows, and a plugin if there are options for one.
func persons(b *testing.B, opts ...preload.Option) (*gorm.DB, *preload.Plugin) {
	db := dbtest.SQLite(b).Open(b)
	if err := db.AutoMigrate(&models.PersonInfo{}); err != nil {
		b.Fatal(err)
	}
	all := make([]models.PersonInfo, cheapRows)
	for n := range all {
		all[n] = models.PersonInfo{PersonID: fmt.Sprint("person ", n), Platform: "qq", UserID: fmt.Sprint("user ", n)}
	}
	if err := db.CreateInBatches(all, 200).Error; err != nil {
		b.Fatal(err)
	}
	if len(opts) == 0 {
		return db, nil
	}
	p := preload.New(opts...)
	if err := db.Use(p); err != nil {
		b.Fatal(err)
	}
	return db, p
}

// BenchmarkUpdateWithTemplates updates a row of a table of which no query was asked, and of one of
// which 1,000 queries of as many shapes were, in turns. The answers in memory do not show the row,
// which is told by its key alone. What is reported is the ratio of the medians.
func BenchmarkUpdateWithTemplates(b *testing.B) {
	const templates = 1_000
	columns := []string{"id", "person_id", "platform", "user_id", "nickname", "attitude", "person_name", "name_reason", "impression", "know_times"}
	plain, _ := persons(b)
	none, _ := persons(b, preload.WithoutWorker())
	many, p := persons(b, preload.WithoutWorker())
	conditions := []string{"id = ?", "platform = 'qq' AND id = ?", "id >= ?", "person_id <> 'x' AND id = ?"}
	for n := 1; p.Stats().Entries < templates; n++ {
		var selected []string
		for i, column := range columns {
			if n&(1<<i) != 0 {
				selected = append(selected, column)
			}
		}
		var found []models.PersonInfo
		if err := many.Select(strings.Join(selected, ", ")).Where(conditions[n%len(conditions)], n%(cheapRows/2-2)+1).Limit(2).Order("id").Find(&found).Error; err != nil {
			b.Fatal(err)
		}
	}
	for _, alone := range []bool{false, true} {
		b.Run(fmt.Sprintf("transaction=%t", !alone), func(b *testing.B) {
			var took [3][]time.Duration
			for n := range b.N {
				for i, db := range []*gorm.DB{plain, none, many} {
					db = db.Session(&gorm.Session{SkipDefaultTransaction: alone})
					start := time.Now()
					err := db.Model(&models.PersonInfo{}).Where("id = ?", cheapRows/2+n%(cheapRows/2)+1).Update("know_times", n).Error
					if took[i] = append(took[i], time.Since(start)); err != nil {
						b.Fatal(err)
					}
				}
			}
			var medians [3]float64
			for i := range took {
				slices.Sort(took[i])
				medians[i] = float64(took[i][len(took[i])/2])
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(medians[0], "ns-plain")
			b.ReportMetric(medians[1]/medians[0], "x-plain-with-none")
			b.ReportMetric(medians[2]/medians[1], "x-none-with-1000")
		})
	}
}

// BenchmarkLongTransaction runs 20,000 statements in one transaction, in portions that take turns
// with those of plain GORM in another database. What is reported is the ratio of the medians of the
// portions.
func BenchmarkLongTransaction(b *testing.B) {
	const statements, portion = 20_000, 200
	made := cheapRows
	for name, statement := range map[string]func(tx *gorm.DB, n int) error{
		"update": func(tx *gorm.DB, n int) error {
			return tx.Model(&models.PersonInfo{}).Where("id = ?", n%cheapRows+1).Update("know_times", n).Error
		},
		"create": func(tx *gorm.DB, n int) error {
			made++
			return tx.Create(&models.PersonInfo{PersonID: fmt.Sprint("made ", made), Platform: "qq", UserID: fmt.Sprint("made ", made)}).Error
		},
		"exec": func(tx *gorm.DB, n int) error {
			return tx.Exec("UPDATE person_info SET know_times = ? WHERE id = ?", n, n%cheapRows+1).Error
		},
		"exec text": func(tx *gorm.DB, n int) error {
			return tx.Exec(fmt.Sprintf("UPDATE person_info SET know_times = %d WHERE id = %d", n, n%cheapRows+1)).Error
		},
	} {
		b.Run(name, func(b *testing.B) {
			var ratios, whole []float64
			for range b.N {
				plain, _ := persons(b)
				with, _ := persons(b, preload.WithoutWorker())
				dbs := []*gorm.DB{plain.Begin(), with.Begin()}
				var took [2][]time.Duration
				var sum [2]time.Duration
				for n := 0; n < statements; n += portion {
					for i, tx := range dbs {
						start := time.Now()
						for j := range portion {
							if err := statement(tx, n+j); err != nil {
								b.Fatal(err)
							}
						}
						took[i] = append(took[i], time.Since(start))
					}
				}
				for i, tx := range dbs {
					start := time.Now()
					if err := tx.Commit().Error; err != nil {
						b.Fatal(err)
					}
					for _, d := range took[i] {
						sum[i] += d
					}
					sum[i] += time.Since(start)
					slices.Sort(took[i])
				}
				ratios = append(ratios, float64(took[1][len(took[1])/2])/float64(took[0][len(took[0])/2]))
				whole = append(whole, float64(sum[1])/float64(sum[0]))
			}
			slices.Sort(ratios)
			slices.Sort(whole)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(ratios[len(ratios)/2], "x-plain-median")
			b.ReportMetric(whole[len(whole)/2], "x-plain-whole")
		})
	}
}
