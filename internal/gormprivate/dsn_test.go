package gormprivate_test

import (
	"slices"
	"testing"

	"github.com/gorm-preload/preload/internal/gormprivate"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

func TestTheNameOfADataSourceShows(t *testing.T) {
	t.Parallel()
	const memory = "file:shows?mode=memory"
	db, err := gorm.Open(sqlite.Open(memory), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for name, test := range map[string]struct {
		got  []string
		want []string
	}{
		"SQLite, and its pool": {gormprivate.DSNs(db.Dialector, pool), []string{memory, memory}},
		"a pool of SQLite":     {gormprivate.DSNs(sqlite.Dialector{Conn: pool}, pool), []string{memory}},
		"PostgreSQL":           {gormprivate.DSNs(postgres.Open("host=a"), nil), []string{"host=a"}},
		"MySQL":                {gormprivate.DSNs(mysql.Open("tcp(a)/b"), nil), []string{"tcp(a)/b"}},
		"nothing":              {gormprivate.DSNs(nil, nil), nil},
	} {
		if !slices.Equal(test.got, test.want) {
			t.Errorf("%s: %q, want %q", name, test.got, test.want)
		}
	}
}
