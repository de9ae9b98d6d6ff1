package preload_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/models"
	"gorm.io/gorm"
)

// BenchmarkLists asks for rows by lists of ids, and updates the table when lists of 100 lengths are
// in memory, in turns with plain GORM in another database and with a plugin of which no list was
// asked. What is reported are ratios of medians.
func BenchmarkLists(b *testing.B) {
	const lengths = 100
	// The length of the second list is another one each time in "new length".
	ask := func(db *gorm.DB, length, other, not int) error {
		ids, users := make([]int, length), make([]string, other)
		for i := range ids {
			ids[i] = i + 1
		}
		for i := range users {
			users[i] = fmt.Sprint("nobody ", not)
		}
		var found []models.PersonInfo
		return db.Where("id IN ?", ids).Where("user_id NOT IN ?", users).Find(&found).Error
	}
	for _, of := range []struct {
		name string
		do   func(db *gorm.DB, n int) error
	}{
		{"new length", func(db *gorm.DB, n int) error { return ask(db, n%20+1, n/20%50+2, n) }},
		{"known length", func(db *gorm.DB, n int) error { return ask(db, n%20+1, 25, n) }},
		{"hit", func(db *gorm.DB, n int) error { return ask(db, n%20+1, 25, 0) }},
		{"update", func(db *gorm.DB, n int) error {
			return db.Model(&models.PersonInfo{}).Where("id = ?", cheapRows/2+n%(cheapRows/2)+1).Update("know_times", n).Error
		}},
	} {
		b.Run(of.name, func(b *testing.B) {
			plain, _ := persons(b)
			none, _ := persons(b, preload.WithoutWorker())
			with, _ := persons(b, preload.WithoutWorker())
			for n := range lengths {
				if err := ask(with, n+1, 25, 0); err != nil {
					b.Fatal(err)
				}
			}
			dbs := []*gorm.DB{plain, with, none}
			if of.name != "update" {
				dbs = dbs[:2]
			}
			took := make([][]time.Duration, len(dbs))
			b.ResetTimer()
			for n := range b.N {
				for i, db := range dbs {
					start := time.Now()
					err := of.do(db, n)
					if took[i] = append(took[i], time.Since(start)); err != nil {
						b.Fatal(err)
					}
				}
			}
			var medians []float64
			for i := range took {
				slices.Sort(took[i])
				medians = append(medians, float64(took[i][b.N/2]))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(medians[0], "plain-ns")
			b.ReportMetric(medians[1]/medians[0], "x-plain")
			if len(dbs) > 2 {
				b.ReportMetric(medians[1]/medians[2], "x-none")
			}
		})
	}
}
