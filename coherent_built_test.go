package preload_test

import (
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

type builtRow struct {
	_  struct{} `preload:""`
	ID uint
	N  int
}

type builtOther struct {
	_  struct{} `preload:""`
	ID uint
	N  int
}

// TestStatementsThatOthersBuilt: GORM sends the SQL that a callback before its own has built, as it
// is, so that it tells what changes, whatever the clauses of the statement say.
func TestStatementsThatOthersBuilt(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		worldtest.Must(t, plain.AutoMigrate(&builtRow{}, &builtOther{}))
		worldtest.Must(t, plain.Create(&builtRow{ID: 1}).Error)
		worldtest.Must(t, plain.Create(&builtOther{ID: 1}).Error)
		w := worldtest.Open(t, d, plain, nil)
		built := func(db *gorm.DB) {
			if s, ok := db.Get("built"); ok && db.Statement.SQL.Len() == 0 {
				db.Statement.SQL.WriteString(s.(string))
			}
		}
		worldtest.Must(t, w.DB.Callback().Create().Before("gorm:create").Register("built:create", built))
		worldtest.Must(t, w.DB.Callback().Update().Before("gorm:update").Register("built:update", built))
		worldtest.Must(t, w.DB.Callback().Delete().Before("gorm:delete").Register("built:delete", built))
		upsert := "INSERT INTO built_rows (id, n) VALUES (1, 7) ON CONFLICT (id) DO UPDATE SET n = 7"
		if d.Dialect == "mysql" {
			upsert = "INSERT INTO built_rows (id, n) VALUES (1, 7) ON DUPLICATE KEY UPDATE n = 7"
		}
		for _, c := range []struct {
			name  string
			write func(db *gorm.DB) *gorm.DB
		}{
			{"nothing", func(db *gorm.DB) *gorm.DB { return db }},
			{"a create that is an upsert", func(db *gorm.DB) *gorm.DB {
				return db.Set("built", upsert).Create(&builtRow{ID: 1, N: 7})
			}},
			{"an update of another table", func(db *gorm.DB) *gorm.DB {
				return db.Set("built", "UPDATE built_others SET n = 8 WHERE id IN (SELECT id FROM built_rows)").Model(&builtRow{}).Where("id = 1").Update("n", 8)
			}},
			{"a delete that is an update of another table", func(db *gorm.DB) *gorm.DB {
				return db.Set("built", "UPDATE built_others SET n = 9 WHERE id IN (SELECT id FROM built_rows)").Where("id = 1").Delete(&builtRow{})
			}},
			{"an update as GORM builds it", func(db *gorm.DB) *gorm.DB { return db.Model(&builtRow{}).Where("id = 1").Update("n", 10) }},
		} {
			worldtest.Must(t, c.write(w.DB).Error)
			for range 2 {
				got, want := [2]int{}, [2]int{}
				for db, into := range map[*gorm.DB]*[2]int{w.DB: &got, plain: &want} {
					var row builtRow
					var other builtOther
					worldtest.Must(t, db.Take(&row, 1).Error)
					worldtest.Must(t, db.Take(&other, 1).Error)
					*into = [2]int{row.N, other.N}
				}
				if got != want {
					t.Errorf("%s: %v is read, the database has %v", c.name, got, want)
				}
			}
		}
	})
}
