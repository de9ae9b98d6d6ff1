package preload_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"gorm.io/gorm"
)

// weighed has columns of all sorts that weigh.
type weighed struct {
	_              struct{} `preload:"ttl:1h;negative:1h"`
	ID             uint
	Tenant         string `gorm:"size:32"`
	Name           string `gorm:"size:64"`
	S1, S2, S3, S4 string
	N1, N2, N3, N4 int64
	F1, F2         float64
	B1, B2         bool
	T1, T2         time.Time
	P1, P2         *string
	P3             *int64
	P4             *time.Time
	Data           []byte
}

// TestBytesAreWhatTheHeapGrowsBy: it grows by 15 % more at most, and not much less, whatever the
// answers are. It is not parallel: it looks at the whole heap.
func TestBytesAreWhatTheHeapGrowsBy(t *testing.T) {
	const rows = 1_500
	db := unwatched(t)
	if err := db.AutoMigrate(&weighed{}); err != nil {
		t.Fatal(err)
	}
	var all []weighed
	for i := range rows {
		text, number, when := fmt.Sprint("text of ", i), int64(i), time.Unix(int64(i), 0)
		all = append(all, weighed{
			Tenant: "tenant", Name: fmt.Sprint("name", i), S1: "abc", S2: "some text of some length", S3: text, T1: when, T2: when,
			P1: &text, P3: &number, P4: &when, Data: []byte("0123456789"), N1: int64(i % (rows / 50)),
		})
	}
	if err := db.CreateInBatches(all, 500).Error; err != nil {
		t.Fatal(err)
	}
	p := preload.New(preload.WithoutWorker(), preload.WithMaxEntries(100_000), preload.WithMaxBytes(1<<30),
		preload.WithMaxPatterns(1), preload.WithMaxLoaders(1)) // so that nothing of an answer was there before
	if err := db.Use(p); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		entries int
		read    func(tx *gorm.DB, i int) error
	}{
		{"a row by two columns", rows, func(tx *gorm.DB, i int) error {
			return tx.Where("tenant = ? AND name = ?", "tenant", fmt.Sprint("name", i)).First(new(weighed)).Error
		}},
		{"a row by its key", rows, func(tx *gorm.DB, i int) error { return tx.First(new(weighed), i+1).Error }},
		{"rows by their keys", rows / 5, func(tx *gorm.DB, i int) error {
			var found []weighed
			return tx.Find(&found, []int{5*i + 1, 5*i + 2, 5*i + 3, 5*i + 4, 5*i + 5}).Error
		}},
		{"a list", rows / 50, func(tx *gorm.DB, i int) error {
			var found []weighed
			return tx.Where("n1 = ?", i).Order("id").Find(&found).Error
		}},
		{"a list of pointers", rows / 50, func(tx *gorm.DB, i int) error {
			var found []*weighed
			return tx.Where("n1 = ?", i).Order("id").Find(&found).Error
		}},
		{"a count", rows, func(tx *gorm.DB, i int) error {
			var n int64
			return tx.Model(&weighed{}).Where("name = ?", fmt.Sprint("name", i)).Count(&n).Error
		}},
		{"nothing", rows, func(tx *gorm.DB, i int) error {
			var found []weighed
			return tx.Where("tenant = ? AND name = ?", "nobody", fmt.Sprint("name", i)).Find(&found).Error
		}},
	} {
		if err := test.read(db, 0); err != nil { // with what a template costs
			t.Fatal(err)
		}
		if err := p.Invalidate(); err != nil {
			t.Fatal(err)
		}
		before := settledHeap()
		for i := range test.entries {
			if err := test.read(db, i); err != nil {
				t.Fatal(err)
			}
		}
		grown, s := settledHeap()-before, p.Stats()
		if s.Entries != test.entries {
			t.Fatalf("%s: %d entries, want %d", test.name, s.Entries, test.entries)
		}
		ratio := float64(s.Bytes) / float64(grown)
		t.Logf("%s: Bytes says %d an entry, the heap grew by %d (ratio %.2f)", test.name, s.Bytes/int64(s.Entries), grown/int64(s.Entries), ratio)
		if ratio < 1/1.15 || ratio > 1.25 {
			t.Errorf("%s: Bytes says %d, the heap grew by %d: a ratio of %.2f", test.name, s.Bytes, grown, ratio)
		}
		if err := p.Invalidate(); err != nil {
			t.Fatal(err)
		}
	}
}
