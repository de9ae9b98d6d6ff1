package catalog

import "slices"

// maxChosen bounds the columns of a table by which answers are found besides keys.
const maxChosen = 4

// Choose notes that a write chose rows by the values that they have in these columns. Answers that
// are read from then on show the values of their rows in them, so that such a write leaves those
// alone that show none of its rows. It reports whether that was not known.
func (c *Catalog) Choose(table string, columns []string) (learned bool) {
	if t := c.Table(table); t == nil || len(t.unchosen(columns)) == 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tables[table]
	columns = t.unchosen(columns)
	if len(columns) == 0 {
		return false
	}
	more := *t // tables do not change
	more.Chosen = slices.Concat(t.Chosen, columns)
	c.tables[table] = &more
	c.wantAll(table, columns)
	c.version.Add(1)
	return true
}

// unchosen returns those of the columns that can be taken in, and are not. There are none where
// they hold a whole key: rows are found by that.
func (t *Table) unchosen(columns []string) (more []string) {
	for _, key := range t.Keys {
		if !slices.ContainsFunc(key, func(name string) bool { return !slices.Contains(columns, name) }) {
			return nil
		}
	}
	for _, name := range columns {
		if col := t.Columns[name]; col.Distinct() && len(t.Chosen)+len(more) < maxChosen && !slices.Contains(t.Chosen, name) {
			more = append(more, name)
		}
	}
	return more
}
