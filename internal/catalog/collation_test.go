package catalog

import (
	"strings"
	"sync"
	"testing"

	"gorm.io/gorm/schema"
	"pgregory.net/rapid"
)

type collatedRow struct {
	ID     int
	Name   string `gorm:"size:20"`
	Binary string `gorm:"type:varchar(20) collate utf8mb4_bin;primaryKey"`
	Short  string `gorm:"type:char(4);unique"`
	Kind   string `gorm:"type:enum('a','b')"`
	N      int
}

// collatedCatalog knows the table of such rows, of MySQL.
func collatedCatalog(t *testing.T) (c *Catalog, learn func(model any)) {
	t.Helper()
	c = New(Hooks{Dialect: func() string { return "mysql" }, Settle: func(*schema.Schema) {}, Depends: func(*schema.Schema) []string { return nil }, Changed: func(Learned) {}})
	learn = func(model any) {
		t.Helper()
		s, err := schema.Parse(model, &sync.Map{}, schema.NamingStrategy{})
		if err != nil {
			t.Fatal(err)
		}
		c.Learn(s)
	}
	learn(&collatedRow{})
	return c, learn
}

func always() bool { return true }

// TestTextsAreToldApartOnceTheCollationIsKnown, and no longer once it may be another one.
func TestTextsAreToldApartOnceTheCollationIsKnown(t *testing.T) {
	t.Parallel()
	said := map[string]int{"Name": 30, "binary": 20, "short": 8, "kind": 20, "n": 20, "other": 20}
	for _, test := range []struct {
		name  string
		do    func(c *Catalog)
		apart bool
	}{
		{"nothing is known", func(*Catalog) {}, false},
		{"it is known", func(c *Catalog) { c.Collate("collated_rows", said, always) }, true},
		{"it was about to be another one", func(c *Catalog) { c.Collate("collated_rows", said, func() bool { return false }) }, false},
		{"it is forgotten", func(c *Catalog) { c.Collate("collated_rows", said, always); c.Unsettle() }, false},
		{"it is known again", func(c *Catalog) {
			c.Collate("collated_rows", said, always)
			c.Unsettle()
			c.Collate("collated_rows", said, always)
		}, true},
		{"another table's is known", func(c *Catalog) { c.Collate("other.collated_rows", said, always) }, false},
		{"none of its columns has one", func(c *Catalog) { c.Collate("collated_rows", nil, always) }, false},
	} {
		c, _ := collatedCatalog(t)
		sum, version := c.Table("collated_rows").Sum("mysql"), c.Version()
		test.do(c)
		table := c.Table("collated_rows")
		for column, want := range map[string]bool{"name": test.apart, "short": test.apart, "binary": true, "kind": false} {
			col := table.Columns[column]
			a, b := col.Value("x"), col.Value("y")
			if got := a != "" && b != "" && a != b; got != want {
				t.Errorf("%s: x is %q and y is %q in %s: told apart: %t, want %t", test.name, a, b, column, got, want)
			}
			if col.Value("ä") != "" && column != "binary" || col.Value("x\x7f") != "" && column != "binary" || col.Value(strings.Repeat("x", 31)) != "" {
				t.Errorf("%s: texts are told apart in %s that may be ignored or cut off", test.name, column)
			}
		}
		if col := table.Columns["short"]; col.Value("abcde") != "" {
			t.Errorf("%s: a text of five counts in a column of four", test.name)
		}
		if got := len(table.Keys); got != map[bool]int{false: 1, true: 2}[test.apart] {
			t.Errorf("%s: rows are told apart by %d keys", test.name, got)
		}
		if table.Sum("mysql") != sum {
			t.Errorf("%s: the sum is another one, for processes that do not know it", test.name)
		}
		if test.apart && c.Version() == version {
			t.Errorf("%s: the version is the one of before", test.name)
		}
	}
}

// TestWhichTablesAreAskedAbout: those whose texts are compared in a way that no model tells, once.
func TestWhichTablesAreAskedAbout(t *testing.T) {
	t.Parallel()
	c, learn := collatedCatalog(t)
	asks := func() string { return c.Table("collated_rows").Asks }
	if asks() != "collated_rows" {
		t.Errorf("%q is asked about", asks())
	}
	c.Collate("collated_rows", nil, always)
	if asks() != "" {
		t.Error("it is asked about again though nothing is to be known of it")
	}
	c.Unsettle()
	if asks() != "collated_rows" {
		t.Errorf("%q is asked about once it may be another one", asks())
	}
	c.Collate("collated_rows", map[string]int{"name": 20}, always)
	learn(&collatedElsewhere{})
	if col := c.Table("collated_rows").Columns["name"]; asks() != "" || col.Value("x") != "" {
		t.Error("which of two tables is meant is not known, but its collation counts")
	}
}

// collatedElsewhere is a table of the same name in another database.
type collatedElsewhere struct {
	ID   int
	Name string `gorm:"size:20"`
}

func (collatedElsewhere) TableName() string { return "elsewhere.collated_rows" }

// TestTextsThatDifferInCaseAndBlanksHaveOneValue: what is proved of the known collations is that
// they take no others for equal.
func TestTextsThatDifferInCaseAndBlanksHaveOneValue(t *testing.T) {
	t.Parallel()
	c, _ := collatedCatalog(t)
	c.Collate("collated_rows", map[string]int{"name": 400}, always)
	col := c.Table("collated_rows").Columns["name"]
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ -~]{0,300}`).Draw(t, "text")
		other := []byte(text + strings.Repeat(" ", rapid.IntRange(0, 3).Draw(t, "blanks")))
		for i, c := range other {
			if up := strings.ToUpper(string(c)); rapid.Bool().Draw(t, "upper") {
				other[i] = up[0]
			} else {
				other[i] = strings.ToLower(string(c))[0]
			}
		}
		if a, b := col.Value(text), col.Value(string(other)); a != b {
			t.Fatalf("%q is %q, %q is %q", text, a, other, b)
		}
	})
}
