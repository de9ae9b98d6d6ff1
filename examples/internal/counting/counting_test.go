package counting_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/gorm-preload/preload/examples/internal/counting"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

type note struct {
	ID   uint
	Text string `gorm:"default:(upper('none'))"` // read back with RETURNING
}

func TestStatementsAreCountedByWhatTheyDo(t *testing.T) {
	conn, err := sql.Open("sqlite3", filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	pool := counting.New(conn)
	db, err := gorm.Open(sqlite.Dialector{Conn: pool}, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.AutoMigrate(&note{}); err != nil {
		t.Fatal(err)
	}
	undo := errors.New("undo")
	for _, tt := range []struct {
		name          string
		do            func() error
		want          error
		reads, writes int64
	}{
		{"find", func() error { return db.Find(&[]note{}).Error }, nil, 1, 0},
		{"count", func() error { return db.Model(&note{}).Count(new(int64)).Error }, nil, 1, 0},
		{"scan a row", func() error { return db.Raw("select 1").Row().Scan(new(int)) }, nil, 1, 0},
		{"create", func() error { return db.Create(&note{}).Error }, nil, 0, 1},
		{"update", func() error { return db.Model(&note{}).Where("id = 1").Update("text", "x").Error }, nil, 0, 1},
		{"exec", func() error { return db.Exec("DELETE FROM notes").Error }, nil, 0, 1},
		{"transaction", func() error {
			return db.Transaction(func(tx *gorm.DB) error {
				tx.Create(&note{Text: "x"})
				tx.Take(&note{})
				return undo
			})
		}, undo, 1, 1},
		{"nothing is left of it", func() error { return db.Take(&note{}).Error }, gorm.ErrRecordNotFound, 1, 0},
	} {
		pool.Reset()
		if err := tt.do(); !errors.Is(err, tt.want) {
			t.Errorf("%s: got error %v, want %v", tt.name, err, tt.want)
		}
		if pool.Reads() != tt.reads || pool.Writes() != tt.writes {
			t.Errorf("%s: counted %d reads and %d writes, want %d and %d", tt.name, pool.Reads(), pool.Writes(), tt.reads, tt.writes)
		}
	}
}
