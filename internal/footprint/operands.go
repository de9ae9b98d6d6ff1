package footprint

import (
	"slices"

	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/sqltext"
)

// operands are one column of a list of rows.
type operands struct {
	Rows   [][]sqltext.Operand
	Column int
}

// bound reports whether there are bind values among them.
func (o operands) bound() bool {
	return slices.ContainsFunc(o.Rows, func(row []sqltext.Operand) bool { return row[o.Column].Kind == sqltext.Bind })
}

// values returns what stands for them in a column; nil if that is not known of all of them. numbers
// are those that others stand for.
func (o operands) values(c *catalog.Column, vars []any, numbers []string) []coherence.Value {
	if len(o.Rows) > maxPinned {
		return nil
	}
	values := make([]coherence.Value, 0, len(o.Rows))
	for _, row := range o.Rows {
		v := c.Operand(row[o.Column].With(numbers), vars)
		if v == "" {
			return nil
		}
		switch {
		case !slices.Contains(values, v):
			values = append(values, v)
		case c.Folds() || c.Class == catalog.Bytewise:
			return nil // they may be two that are not told apart: there can be a row for each
		}
	}
	return values
}
