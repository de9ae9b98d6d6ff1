package catalog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

type valuesColor string

func (valuesColor) String() string { return "red" }

type valuesRow struct {
	ID      uint
	Int     int64
	Small   int16
	Uint    uint32
	Bool    bool
	Text    string  `gorm:"size:20"`
	Long    *string `gorm:"type:text"`
	Char    string  `gorm:"type:char(8)"`
	Binary  string  `gorm:"type:varchar(20)"`
	Bytes   []byte
	Float   float64
	Time    time.Time
	Deleted gorm.DeletedAt
	Decimal string `gorm:"type:decimal(10,2)"`
}

// valuesOfAll are values that some database takes for another one of them.
var valuesOfAll = []any{
	nil, 0, 1, -1, 7, int8(7), uint16(7), int64(1 << 40), true, false, 7.0, 0.5, "7", "07", " 7", "7 ", "+7", "7.0", "7e0", "0x7", "1", "0", "true", "t",
	"a", "A", "a ", " a", "ä", "Ä", "ß", "ss", "", " ", "0", "-0", ".5", "0.5", "2020-01-02", "2020-01-02 00:00:00", []byte("a"), []byte("7"), []byte("a\x00"),
	"\x00", time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC), valuesColor("a"), valuesColor("red"), "red", gorm.DeletedAt{}, gorm.DeletedAt{Time: time.Unix(1, 0), Valid: true},
	"0.01", "1e-2", "1E-2", "-5", "-5.0", "-0", "-0.0", "20", "200e-1", "1.5" + strings.Repeat("0", 43), "1e999", "9e999", "1e-999", "0e5",
	"{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11",
}

// What a database takes for equal must not be told apart: of each value that it finds by another
// one, neither is known or both are the same. Columns that a migration of the application's own
// gave another type or collation are among them.
func TestValuesThatADatabaseTakesForEqualAreNotToldApart(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		db := d.Plain(t)
		if err := db.AutoMigrate(&valuesRow{}); err != nil {
			t.Fatal(err)
		}
		stmt := &gorm.Statement{DB: db}
		if err := stmt.Parse(&valuesRow{}); err != nil {
			t.Fatal(err)
		}
		declared := map[string][]string{
			"sqlite":   {"TEXT", "TEXT COLLATE NOCASE", "TEXT COLLATE RTRIM", "NUMERIC", "BLOB", "INTEGER"},
			"postgres": {"text", "char(12)", "varchar(30)"},
			"mysql":    {"varchar(30)", "varchar(30) collate utf8mb4_bin", "char(30) collate utf8mb4_bin", "varbinary(30)"},
		}[d.Dialect]
		found, known := 0, 0
		compare := func(f *schema.Field, table string) {
			col := newColumn(d.Dialect, f).AsRead()
			name := db.Statement.Quote(f.DBName)
			for _, stored := range valuesOfAll {
				if db.Exec("DELETE FROM "+table).Error != nil || db.Exec("INSERT INTO "+table+" (id, "+name+") VALUES (1, ?)", stored).Error != nil {
					continue // of a type that the column does not take
				}
				for _, asked := range valuesOfAll {
					var n int64
					condition, vars := name+" = ?", []any{asked}
					if asked == nil {
						condition, vars = name+" IS NULL", nil
					}
					if db.Table(table).Where(condition, vars...).Count(&n).Error != nil || n == 0 {
						continue
					}
					found++
					a, b := col.Value(stored), col.Value(asked)
					if asked == nil {
						// The parser of conditions has it that MySQL finds more than NULL by IS
						// NULL.
						if b = col.Operand(sqltext.Operand{Kind: sqltext.Null}, nil); d.Dialect == "mysql" {
							b = ""
						}
					}
					if a != "" && b != "" {
						known++
						if a != b {
							t.Errorf("%s %s in %s: %#v finds %#v, but they are %q and %q", f.Name, f.DataType, table, asked, stored, b, a)
						}
					}
				}
			}
		}
		for _, f := range stmt.Schema.Fields {
			if !f.PrimaryKey {
				compare(f, "values_rows")
			}
		}
		for i, kind := range declared {
			table := fmt.Sprint("values_text_", i)
			if err := db.Exec("CREATE TABLE " + table + " (id int, " + db.Statement.Quote("text") + " " + kind + ")").Error; err != nil {
				t.Fatal(err)
			}
			compare(stmt.Schema.LookUpField("Text"), table)
		}
		if found < 100 || known < 20 {
			t.Errorf("%d values were found, %d of them known: the test tests too little", found, known)
		}
		t.Logf("%d values were found by others or themselves, %d of them known", found, known)
	})
}

// What is told apart, so that it stays in memory.
func TestValuesThatAreToldApart(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t).Plain(t)
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(&valuesRow{}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		field string
		a, b  any
	}{
		{"Int", 1, 2}, {"Int", int8(7), uint64(8)}, {"Int", "7", 8}, {"Uint", 1, 2}, {"Bool", true, false}, {"Bool", 1, false},
		{"Text", "a", "b"}, {"Text", "a", []byte("b")}, {"Text", "10", "11"}, {"Text", "-5", "5"}, {"Text", "1e-2", "1e2"}, {"Long", "a", nil}, {"Bytes", []byte("a"), []byte("b")},
		{"Float", 1.5, nil}, {"Time", time.Unix(1, 0), nil}, {"Deleted", gorm.DeletedAt{Time: time.Unix(1, 0), Valid: true}, nil},
	} {
		col := newColumn("sqlite", stmt.Schema.LookUpField(test.field))
		a, b := col.Value(test.a), col.Value(test.b)
		if a == "" || b == "" || a == b {
			t.Errorf("%s: %#v is %q, %#v is %q: want two values", test.field, test.a, a, test.b, b)
		}
	}
	for _, dialect := range []string{"mysql", "oracle"} {
		col := newColumn(dialect, stmt.Schema.LookUpField("Text"))
		if v := col.Value("a"); v != "" {
			t.Errorf("%s: a text of a collation that is not known is %q", dialect, v)
		}
	}
}
