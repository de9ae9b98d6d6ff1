package catalog

import (
	"maps"
	"reflect"
	"regexp"
	"slices"

	"github.com/gorm-preload/preload/internal/sqltext"
)

// Collate takes in what the database said of a table, by the name that it was asked by: columns are
// those of text whose collations take no two texts of printable ASCII for equal that differ beyond
// case and blanks at the end, with how many characters of ASCII they hold at most. It is not taken
// in where still, which is called under the lock, says that it may not be so any more.
//
// Answers that were kept before are not wrong: they die by more changes than they would have to.
func (c *Catalog) Collate(table string, columns map[string]int, still func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := TableName(table)
	if c.spelled[name] != table || !still() {
		return
	}
	if columns == nil {
		columns = map[string]int{}
	}
	c.collated[name] = columns
	if c.compose(name) {
		c.version.Add(1)
	}
}

// Unsettle forgets what the database said of tables: they may be about to become others. It is
// called once still of Collate does not hold any more, and before anybody can see what became of
// them.
func (c *Catalog) Unsettle() {
	c.mu.RLock()
	known := len(c.collated) > 0
	c.mu.RUnlock()
	if !known {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := false
	for name := range c.collated {
		delete(c.collated, name)
		changed = c.compose(name) || changed
	}
	if changed {
		c.version.Add(1)
	}
}

// compose makes a table anew of what its models and the database say. It reports whether that is
// another one than before.
func (c *Catalog) compose(name string) (changed bool) {
	before, collated := c.tables[name], c.collated[name]
	now := c.said[name].with(collated)
	if before != nil {
		now.Chosen = slices.DeleteFunc(slices.Clone(before.Chosen), func(name string) bool { col := now.Columns[name]; return !col.Distinct() })
	}
	if collated == nil && plain.MatchString(c.spelled[name]) && now.folds() {
		now.Asks = c.spelled[name]
	}
	c.tables[name] = now
	return !reflect.DeepEqual(before, now)
}

// plain are names that mean the same table of the connection's database wherever they stand.
var plain = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// folds reports whether collations that the models do not tell decide what texts are equal.
func (t *Table) folds() bool {
	for _, col := range t.said {
		if col.folds {
			return true
		}
	}
	return false
}

// with returns a table of which the models say this, with what the database said of its columns,
// and with no keys but those whose values are told apart.
func (t *Table) with(collated map[string]int) *Table {
	of := *t
	of.Keys, of.said = slices.Clone(t.Keys), t.Columns
	if len(collated) > 0 {
		of.Columns = maps.Clone(t.Columns)
	}
	for exact, longest := range collated {
		name := sqltext.Fold(exact)
		col, ok := t.Columns[name]
		if !ok || !col.folds || longest < 1 {
			continue
		}
		if col.Class = Collated; col.longest == 0 || longest < col.longest {
			col.longest = longest
		}
		of.Columns[name] = col
	}
	of.limitKeys()
	return &of
}
