package preloadtest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/opentest"
	"github.com/gorm-preload/preload/preloadtest"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// book is what is read.
type book struct {
	_  struct{} `preload:""`
	ID int
}

func open(t testing.TB) (*gorm.DB, *preload.Plugin) {
	t.Helper()
	return opentest.Open(t, &book{ID: 1}, preload.WithoutWorker())
}

// failures is a testing.TB that notes what would fail a test.
type failures struct {
	testing.TB
	texts []string
}

func (f *failures) Helper()           {}
func (f *failures) Error(args ...any) { f.texts = append(f.texts, fmt.Sprint(args...)) }
func (f *failures) Errorf(text string, args ...any) {
	f.texts = append(f.texts, fmt.Sprintf(text, args...))
}

func TestWhatIsSaidOfReads(t *testing.T) {
	db, p := open(t)
	p.Clear()
	read := func() { _ = db.First(new(book), 1).Error }
	raw := func() { _ = db.Raw("SELECT 1").Scan(new(int)).Error }
	for _, c := range []struct {
		name  string
		check func(testing.TB, *preload.Plugin, func())
		do    func()
		want  string
	}{
		{"a cold read", preloadtest.MustHit, read, "1 missed: cold"},
		{"a warm read", preloadtest.MustHit, read, ""},
		{"no read", preloadtest.MustHit, func() {}, "nothing was read"},
		{"no read", preloadtest.MustNotQuery, func() {}, ""},
		{"a warm read", preloadtest.MustNotQuery, read, ""},
		{"a raw read", preloadtest.MustNotQuery, raw, "1 bypassed: raw SQL"},
		{"a write", preloadtest.MustNotQuery, func() { _ = db.Delete(&book{}, 1).Error }, ""},
		{"after the write", preloadtest.MustHit, read, "1 missed: invalidated"},
	} {
		f := &failures{TB: t}
		c.check(f, p, c.do)
		if said := strings.Join(f.texts, "\n"); (c.want == "") != (said == "") || !strings.Contains(said, c.want) {
			t.Errorf("%s: %q, want %q", c.name, said, c.want)
		}
	}
	if err := p.SetMode(preload.ModeOff); err != nil {
		t.Fatal(err)
	}
	f := &failures{TB: t}
	preloadtest.MustHit(f, p, read)
	if len(f.texts) > 0 {
		t.Errorf("in ModeOff: %q", f.texts)
	}
}

func ExampleReads() {
	db, err := gorm.Open(sqlite.Open("file:reads?mode=memory&cache=shared"), &gorm.Config{})
	if err != nil {
		panic(err)
	}
	plugin := preload.New()
	if err := db.Use(plugin); err != nil {
		panic(err)
	}
	defer plugin.Close()
	if err := db.AutoMigrate(&book{}); err != nil {
		panic(err)
	}
	counts := preloadtest.Reads(plugin, func() {
		for range 3 {
			_ = db.Find(new([]book)).Error
		}
	})
	fmt.Println(counts)
	// Output: 2 from memory, 1 missed: cold
}
