package preload_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
)

type spelledValue struct {
	_  struct{} `preload:""`
	ID int
	V  string
}

// TestTextsThatStandForOtherValues: the table is a migration of the application's own, and the
// model says nothing of the column but that it is a string. A write that spells a value in another
// way than the read did changes the answer.
func TestTextsThatStandForOtherValues(t *testing.T) {
	t.Parallel()
	kinds := map[string][]struct{ kind, read, written string }{
		"sqlite": {{"numeric", "0.01", "1e-2"}, {"numeric", "20", "200e-1"}, {"text collate nocase", "a", "A"}},
		"postgres": {
			{"numeric", "0.01", "1e-2"}, {"numeric(10,4)", "0.1235", "0.12345"}, {"time", "09:00", "09:00:00"}, {"time", "09:00:00", "09:00 AM"},
			{"inet", "::1", "0:0:0:0:0:0:0:1"}, {"inet", "10.0.0.1", "10.0.0.1/32"}, {"macaddr", "08:00:2b:01:02:03", "08002b010203"}, {"interval", "1 day", "24:00:00"},
			{"boolean", "true", "t"}, {"jsonb", `{"a":1,"b":2}`, `{"b":2,"a":1}`}, {"date", "20240102", "Jan 2 2024"}, {"bytea", `\x61`, "a"}, {"int4range", "[1,3]", "[1,4)"},
		},
		"mysql": {{"decimal(10,4)", "0.01", "1e-2"}, {"time", "09:00", "09:00:00"}, {"date", "2024-01-02", "20240102"}, {"varchar(20)", "a", "Á"}},
	}
	for dialect, open := range map[string]func(testing.TB) *dbtest.Database{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres, "mysql": dbtest.MySQL} {
		for _, c := range kinds[dialect] {
			t.Run(dialect+"/"+c.kind, func(t *testing.T) {
				t.Parallel()
				d := open(t)
				plain, db := d.Plain(t), d.Open(t)
				p := preload.New(preload.WithoutWorker())
				err := errors.Join(db.Use(p), plain.Exec(fmt.Sprintf("CREATE TABLE spelled_values (id int PRIMARY KEY, v %s)", c.kind)).Error)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = p.Close() })
				count := func(db *gorm.DB, v string) (n int64) {
					if err := db.Model(&spelledValue{}).Where("v = ?", v).Count(&n).Error; err != nil {
						t.Fatal(err)
					}
					return n
				}
				right := func(when string) {
					t.Helper()
					for range 2 {
						if got, want := count(db, c.read), count(plain, c.read); got != want {
							t.Errorf("%s: %d rows, and there are %d", when, got, want)
						}
					}
				}
				write := func(when string, do func() error) {
					t.Helper()
					if err := do(); err != nil {
						t.Fatal(err)
					}
					right(when)
				}
				right("at first")
				write("after an insert", func() error { return db.Create(&spelledValue{ID: 1, V: c.written}).Error })
				if count(plain, c.read) != 1 {
					t.Fatalf("%q is not %q", c.written, c.read)
				}
				write("after a delete by value", func() error { return db.Where("v = ?", c.written).Delete(&spelledValue{}).Error })
				write("after the insert as it was read", func() error { return db.Create(&spelledValue{ID: 2, V: c.read}).Error })
				write("after an update by value", func() error {
					return db.Model(&spelledValue{}).Where("v = ?", c.written).Update("v", nil).Error
				})
				if p.Stats().Hits == 0 {
					t.Error("nothing was served from memory")
				}
			})
		}
	}
}
