package preload_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// scanInto asks with Scan for a T.
func scanInto[T any](chain func(*gorm.DB) *gorm.DB) worldtest.Query {
	return worldtest.Into[T](chain, func(db *gorm.DB, dest any) *gorm.DB { return db.Scan(dest) })
}

// scanCases are queries whose rows GORM's Scan, or the application, reads itself.
func scanCases() []readCase {
	type (
		users = []worldtest.ReadUser
		m     = map[string]any
		stats struct {
			N      int64
			Oldest sql.NullInt64
			Mean   *float64
		}
	)
	model := func(db *gorm.DB) *gorm.DB { return db.Model(&worldtest.ReadUser{}) }
	by := func(id int) func(*gorm.DB) *gorm.DB {
		return func(db *gorm.DB) *gorm.DB { return model(db).Select("id", "name").Where("id = ?", id) }
	}
	ordered := func(db *gorm.DB) *gorm.DB { return model(db).Select("id", "name").Order("id") }
	statistics := func(db *gorm.DB) *gorm.DB {
		return model(db).Select("count(*) AS n, max(age) AS oldest, avg(score) AS mean")
	}
	read := func(rows *sql.Rows, err error) (any, *gorm.DB) {
		if err != nil {
			return nil, &gorm.DB{Error: err}
		}
		defer rows.Close()
		all, columns := []any{}, []string{}
		types, err := rows.ColumnTypes()
		for _, c := range types {
			columns = append(columns, fmt.Sprint(c.Name(), c.DatabaseTypeName(), c.ScanType()))
		}
		for err == nil && rows.Next() {
			var (
				id   sql.RawBytes
				name any
			)
			err = rows.Scan(&id, &name)
			all = append(all, string(id), name)
		}
		return []any{all, columns}, &gorm.DB{Error: errors.Join(err, rows.Err())}
	}
	return []readCase{
		{"rows of the model", "", scanInto[users](func(db *gorm.DB) *gorm.DB { return model(db).Order("id") })},
		{"a row of the model", "", scanInto[worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return model(db).Where("id = ?", 2) })},
		{"smaller structs", "", scanInto[[]readSmall](ordered)},
		{"a smaller struct by the key", "", scanInto[readSmall](by(2))},
		{"a smaller struct, one of many", worldtest.AnyReason, scanInto[readSmall](ordered)},
		{"a smaller struct, limited", "", scanInto[readSmall](func(db *gorm.DB) *gorm.DB { return ordered(db).Limit(1) })},
		{"a smaller struct, none", "", scanInto[readSmall](by(1000))},
		{"pointers", "", scanInto[[]*readSmall](ordered)}, {"an array", "", scanInto[[2]readSmall](ordered)},
		{"statistics", "", scanInto[stats](statistics)}, {"statistics by pointer", "", scanInto[*stats](statistics)},
		{"statistics as a map", "", func(db *gorm.DB) (any, *gorm.DB) { dest := m{"before": 1}; return dest, statistics(db).Scan(&dest) }},
		{"a struct that holds values", "", func(db *gorm.DB) (any, *gorm.DB) {
			dest := readSmall{ID: 7, Name: "before"}
			return &dest, by(1)(db).Scan(&dest)
		}},
		{"the model holds its key", "", func(db *gorm.DB) (any, *gorm.DB) {
			var dest readSmall
			return &dest, db.Model(&worldtest.ReadUser{Model: gorm.Model{ID: 2}}).Scan(&dest)
		}},
		{"the model holds another key", "", func(db *gorm.DB) (any, *gorm.DB) {
			var dest readSmall
			return &dest, db.Model(&worldtest.ReadUser{Model: gorm.Model{ID: 1}}).Scan(&dest)
		}},
		{"a number", "", scanInto[int64](func(db *gorm.DB) *gorm.DB { return model(db).Select("sum(age)") })},
		{"no number", "", scanInto[sql.NullInt64](func(db *gorm.DB) *gorm.DB { return model(db).Select("sum(age)").Where("id > 1000") })},
		{"a text", "", scanInto[string](func(db *gorm.DB) *gorm.DB { return model(db).Select("name").Where("id = ?", 1) })},
		{"a time", "", scanInto[*time.Time](func(db *gorm.DB) *gorm.DB { return model(db).Select("birthday").Where("id = ?", 1) })},
		{"numbers", "", scanInto[[]int](func(db *gorm.DB) *gorm.DB { return model(db).Select("age").Order("id") })},
		{"maps", "", scanInto[[]m](func(db *gorm.DB) *gorm.DB {
			return model(db).Select("id", "name", "email", "birthday", "data").Order("id")
		})},
		{"groups", "", scanInto[[]stats](func(db *gorm.DB) *gorm.DB { return statistics(db).Group("active").Order("active") })},
		{"joins", "", scanInto[[]readSmall](func(db *gorm.DB) *gorm.DB {
			return model(db).Select("read_users.id, c.name").Joins("JOIN read_companies c ON c.id = read_users.company_id").Order("read_users.id")
		})},
		{"a wrong type", worldtest.AnyReason, scanInto[[]int](func(db *gorm.DB) *gorm.DB { return model(db).Select("name").Order("id") })},
		{"a wrong column", worldtest.AnyReason, scanInto[[]int](func(db *gorm.DB) *gorm.DB { return model(db).Select("nothing") })},
		{"Rows", "", func(db *gorm.DB) (any, *gorm.DB) { return read(ordered(db).Rows()) }},
		{"Rows of nothing", "", func(db *gorm.DB) (any, *gorm.DB) { return read(by(1000)(db).Rows()) }},
		{"Rows closed early", worldtest.AnyReason, func(db *gorm.DB) (any, *gorm.DB) {
			rows, err := ordered(db).Where("age > 0").Rows()
			if err != nil {
				return nil, &gorm.DB{Error: err}
			}
			return rows.Next(), &gorm.DB{Error: rows.Close()}
		}},
		{"ScanRows", "", func(db *gorm.DB) (any, *gorm.DB) {
			rows, err := model(db).Order("id").Rows()
			if err != nil {
				return nil, &gorm.DB{Error: err}
			}
			defer rows.Close()
			var all users
			for rows.Next() {
				var u worldtest.ReadUser
				err = errors.Join(err, db.ScanRows(rows, &u))
				all = append(all, u)
			}
			return all, &gorm.DB{Error: err}
		}},
	}
}

// TestScanAnswersAsPlainGORM holds promises 1 and 6 against the rows that applications read.
func TestScanAnswersAsPlainGORM(t *testing.T) {
	t.Parallel()
	for _, config := range []struct {
		name string
		make func() *gorm.Config
	}{
		{"default", func() *gorm.Config { return &gorm.Config{} }},
		{"prepared", func() *gorm.Config { return &gorm.Config{PrepareStmt: true, TranslateError: true, QueryFields: true} }},
	} {
		t.Run(config.name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
				worldtest.SeedReads(t, d.Plain(t))
				b := readOpenWith(t, d, config.make)
				worldtest.Must(t, b.Plugin.Register(worldtest.ReadModels...))
				for _, c := range scanCases() {
					b.AsPlain(t, c.name, c.reason, c.query)
				}
			})
		})
	}
}

// Scan tells its logger of a query how long it took: also of one that is answered from memory.
func TestAScanFromMemoryIsLoggedAsOne(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	d := dbtest.SQLite(t)
	worldtest.SeedReads(t, d.Plain(t))
	b := readOpenWith(t, d, func() *gorm.Config {
		return &gorm.Config{Logger: logger.New(log.New(&text, "", 0), logger.Config{SlowThreshold: time.Hour, LogLevel: logger.Info})}
	})
	for range 3 {
		text.Reset()
		var n int64
		worldtest.Must(t, b.DB.Model(&worldtest.ReadUser{}).Select("sum(age)").Scan(&n).Error)
		if got := text.String(); strings.Contains(got, "SLOW") || !strings.Contains(got, "SELECT sum(age)") {
			t.Errorf("logged %q", got)
		}
	}
	if b.Plugin.Stats().Hits != 2 {
		t.Errorf("%d hits, want 2", b.Plugin.Stats().Hits)
	}
}

// Rows that the application reads are not what GORM reads of the same query, and one that it reads
// is not all of them.
func TestWhatIsReadOfAQueryIsNotMixedUp(t *testing.T) {
	t.Parallel()
	chain := func(db *gorm.DB) *gorm.DB {
		return db.Model(&worldtest.ReadUser{}).Where("age >= ?", 30).Order("id")
	}
	one := func(db *gorm.DB) (any, *gorm.DB) { var u worldtest.ReadUser; return &u, chain(db).Scan(&u) }
	all := func(db *gorm.DB) (any, *gorm.DB) { var u []worldtest.ReadUser; return &u, chain(db).Scan(&u) }
	find := func(db *gorm.DB) (any, *gorm.DB) { var u worldtest.ReadUser; return &u, chain(db).Find(&u) }
	for name, order := range map[string][]worldtest.Query{
		"one first": {one, all, find, all, one, find}, "found first": {find, one, find, all}, "all first": {all, find, one, all},
	} {
		b := readSQLite(t)
		for i, query := range order {
			if diff := query.Try(b.Plain).Differs(query.Try(b.DB)); diff != "" {
				t.Errorf("%s, query %d: %s", name, i, diff)
			}
		}
	}
}
