package footprint

import (
	"slices"
	"strings"

	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/sqltext"
)

// namer finds the columns of a table by the names in a statement on it.
type namer struct {
	dialect string
	info    *catalog.Table
	shape   *sqltext.Shape
	numbers []string // for which others stand in the shape
	// wanted are the columns whose values matter to anybody; nil for all.
	wanted map[string]bool
}

func (n *namer) wants(column string) bool { return n.wanted == nil || n.wanted[column] }

// columns returns the columns that names may stand for: all of them for a name that is that of
// none.
func (n *namer) columns(lists ...[]sqltext.Name) (columns coherence.Columns) {
	for _, list := range lists {
		for _, name := range list {
			folded := sqltext.Fold(name.Text)
			_, known := n.info.Columns[folded]
			if n.alias(name) {
				columns = union(columns, n.selected())
			} else if !known {
				return coherence.Columns{All: true}
			}
			if known && !slices.Contains(columns.Names, folded) {
				columns.Names = append(columns.Names, folded)
			}
		}
	}
	return columns
}

// alias reports whether a name is one that the select list makes.
func (n *namer) alias(name sqltext.Name) bool {
	return slices.ContainsFunc(n.shape.Aliases, func(alias sqltext.Name) bool { return strings.EqualFold(alias.Text, name.Text) })
}

// selected returns the columns in the select list.
func (n *namer) selected() (columns coherence.Columns) {
	if n.shape.Star {
		return coherence.Columns{All: true}
	}
	for _, name := range n.shape.Selected {
		folded := sqltext.Fold(name.Text)
		if _, known := n.info.Columns[folded]; !known {
			return coherence.Columns{All: true}
		}
		columns.Names = append(columns.Names, folded)
	}
	return columns
}

// exact returns the one column that a name stands for.
func (n *namer) exact(name sqltext.Name) (catalog.Column, bool) {
	col, ok := n.info.Columns[sqltext.Fold(name.Text)]
	if n.dialect == "postgres" {
		text := name.Text
		if !name.Quoted {
			text = strings.ToLower(text)
		}
		ok = ok && text == col.Exact
	}
	return col, ok
}

func union(sets ...coherence.Columns) (all coherence.Columns) {
	for _, set := range sets {
		if set.All {
			return coherence.Columns{All: true}
		}
		for _, name := range set.Names {
			if !slices.Contains(all.Names, name) {
				all.Names = append(all.Names, name)
			}
		}
	}
	return all
}

// namer finds the columns of a table in a statement that writes to it; nil if the table is of no
// model in use.
func (f *Footprints) namer(table string, all bool) *namer {
	info, wanted := f.catalog.Written(table)
	if info == nil {
		return nil
	}
	if all || f.whole {
		wanted = nil
	}
	return &namer{dialect: f.db.Name(), info: info, wanted: wanted}
}
