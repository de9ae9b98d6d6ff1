package catalog

import (
	"slices"
	"strings"

	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm/schema"
)

// Table is what the models of a table say of it, and the database of its texts. It does not change;
// what is learned replaces it.
type Table struct {
	Columns map[string]Column // by folded name
	Keys    [][]string        // the primary key, if it is known, then unique keys; folded names
	Primary bool              // whether the primary key is known
	// Unique are all unique keys, those among them whose values cannot be told apart.
	Unique  [][]string
	derived []string // columns that may change whenever the row does
	// Chosen are other columns by which writes choose rows: answers show the values of their rows
	// in them, too.
	Chosen []string
	// Asks is the name by which the database can be asked for the collations of the columns; ""
	// where none matters that is not known.
	Asks string
	said map[string]Column // Columns as the models say
}

// newTable returns what a schema says of its table: all its keys are among the keys.
func newTable(s *schema.Schema, dialect string) *Table {
	t := &Table{Columns: map[string]Column{}}
	vague := false
	for _, f := range s.Fields {
		if f.DBName == "" {
			continue
		}
		col := newColumn(dialect, f)
		if other, ok := t.Columns[col.Name]; ok && other.Exact != col.Exact {
			vague = true // "Name" and "name" are two columns to some databases
		}
		t.Columns[col.Name] = col
		if col.derived {
			t.derived = append(t.derived, col.Name)
		}
	}
	if vague {
		for name, col := range t.Columns {
			t.Columns[name] = col.blurred()
		}
		return t
	}
	var primary []string
	for _, f := range s.PrimaryFields {
		primary = append(primary, sqltext.Fold(f.DBName))
	}
	if len(primary) > 0 {
		t.Keys, t.Primary = append(t.Keys, primary), true
	}
	t.Unique = uniqueKeys(s)
	t.Keys = append(t.Keys, t.Unique...)
	return t
}

// maxKeysShown bounds the keys by which the rows of a table are told apart.
const maxKeysShown = 4

// limitKeys drops the keys whose values cannot be told apart, and those beyond the limit.
func (t *Table) limitKeys() {
	usable := func(key []string) bool {
		return !slices.ContainsFunc(key, func(name string) bool { col := t.Columns[name]; return !col.Distinct() })
	}
	t.Primary = t.Primary && usable(t.Keys[0])
	t.Keys = slices.DeleteFunc(t.Keys, func(key []string) bool { return !usable(key) })
	t.Keys = t.Keys[:min(len(t.Keys), maxKeysShown)]
}

// uniqueKeys returns the columns of the unique indexes that the fields of a schema name. They are
// where changes are likely to choose single rows; nothing rests on their being unique.
// (Schema.ParseIndexes writes to the schema, which others are reading.)
func uniqueKeys(s *schema.Schema) (keys [][]string) {
	byName := map[string]int{}
	for _, f := range s.Fields {
		if f.DBName == "" || f.PrimaryKey {
			continue
		}
		name := sqltext.Fold(f.DBName)
		if f.Unique {
			keys = append(keys, []string{name})
			continue
		}
		for _, setting := range []string{"UNIQUEINDEX", "INDEX"} {
			value, ok := f.TagSettings[setting]
			index, options, _ := strings.Cut(value, ",")
			if !ok || setting == "INDEX" && !strings.Contains(strings.ToLower(options), "unique") {
				continue
			}
			if at, known := byName[index]; known && index != "" && index != setting {
				keys[at] = append(keys[at], name)
				continue
			}
			byName[index] = len(keys)
			keys = append(keys, []string{name})
		}
	}
	return keys
}

// merge adds what another model said of the same table before.
func (t *Table) merge(before *Table) {
	for name, col := range before.Columns {
		if mine, ok := t.Columns[name]; ok {
			col = col.merge(mine)
		}
		t.Columns[name] = col
	}
	t.derived = nil
	for name, col := range t.Columns {
		if col.derived {
			t.derived = append(t.derived, name)
		}
	}
	slices.Sort(t.derived)
	primary := before.Primary && (!t.Primary || slices.Equal(before.Keys[0], t.Keys[0])) || t.Primary && !before.Primary
	keys := slices.Clone(before.Keys)
	for i, key := range t.Keys {
		switch {
		case slices.ContainsFunc(keys, func(known []string) bool { return slices.Equal(known, key) }):
		case i == 0 && t.Primary && !before.Primary:
			keys = slices.Insert(keys, 0, key)
		default:
			keys = append(keys, key)
		}
	}
	t.Keys, t.Primary = keys, primary
	unique := slices.Clone(before.Unique)
	for _, key := range t.Unique {
		if !slices.ContainsFunc(unique, func(other []string) bool { return slices.Equal(key, other) }) {
			unique = append(unique, key)
		}
	}
	t.Unique = unique
}

// TableName is how table names are compared.
func TableName(table string) string {
	if i := strings.LastIndexByte(table, '.'); i >= 0 {
		table = table[i+1:]
	}
	return sqltext.Fold(table)
}
