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

// What a write costs on top of plain GORM, with no answers of its table in memory, with 1,000 and
// with 50,000. All take turns in one run, a write each; what is reported are ratios of medians.
// Updates change a row whose answer is in memory, if there is one, so that they pay for killing it
// as well; it is read again outside of what is measured.
func BenchmarkWrite(b *testing.B) {
	const rows = 50_000
	name := func(n int) string { return fmt.Sprint("user ", n) }
	read := func(db *gorm.DB, n int) {
		var person models.PersonInfo
		if err := models.Person(db, "qq", name(n)).First(&person).Error; err != nil {
			b.Fatal(err)
		}
	}
	variants := []string{"plain", "0", "1000", "50000"}
	entries := []int{0, 0, 1_000, rows}
	dbs := make([]*gorm.DB, len(variants))
	for i := range variants {
		db := dbtest.SQLite(b).Open(b)
		if err := db.AutoMigrate(models.All()...); err != nil {
			b.Fatal(err)
		}
		persons := make([]models.PersonInfo, rows)
		for n := range persons {
			persons[n] = models.PersonInfo{PersonID: fmt.Sprint("person ", n), Platform: "qq", UserID: name(n)}
		}
		if err := db.CreateInBatches(persons, 500).Error; err != nil {
			b.Fatal(err)
		}
		if dbs[i] = db; variants[i] == "plain" {
			continue
		}
		p := preload.New(preload.WithoutWorker(), preload.WithMaxEntries(2*rows), preload.WithMaxBytes(1<<30))
		if err := db.Use(p); err != nil {
			b.Fatal(err)
		}
		for n := range entries[i] {
			read(db, n)
		}
		if got := p.Stats().Entries; got != entries[i] {
			b.Fatalf("%d entries, want %d", got, entries[i])
		}
	}
	made, set := rows, 0
	writes := map[string]func(db *gorm.DB, n int) error{
		"update": func(db *gorm.DB, n int) error {
			set++ // no row has the value yet, so that each update changes one
			return db.Model(&models.PersonInfo{}).Where("id = ?", n+1).Update("attitude", set).Error
		},
		"create": func(db *gorm.DB, n int) error {
			made++
			return db.Create(&models.PersonInfo{PersonID: fmt.Sprint("made ", made), Platform: "qq", UserID: fmt.Sprint("made ", made)}).Error
		},
		"delete": func(db *gorm.DB, n int) error { return db.Delete(&models.PersonInfo{}, 10*rows+n).Error },
	}
	for _, kind := range []string{"update", "create", "delete"} {
		for _, alone := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/transaction=%t", kind, !alone), func(b *testing.B) {
				took := make([][]time.Duration, len(dbs))
				for n := range b.N {
					for i, db := range dbs {
						db = db.Session(&gorm.Session{SkipDefaultTransaction: alone})
						row := n * 7 % max(entries[i], 1_000)
						start := time.Now()
						err := writes[kind](db, row)
						took[i] = append(took[i], time.Since(start))
						if err != nil {
							b.Fatal(err)
						}
						if kind == "update" && entries[i] > 0 {
							read(db, row)
						}
					}
				}
				medians := make([]float64, len(dbs))
				for i := range took {
					slices.Sort(took[i])
					medians[i] = float64(took[i][len(took[i])/2])
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(medians[0], "ns-plain")
				for i := 1; i < len(dbs); i++ {
					b.ReportMetric(medians[i]/medians[0], "x-plain-with-"+variants[i])
				}
				b.ReportMetric(medians[3]/medians[2], "x-1000-with-50000")
			})
		}
	}
}
