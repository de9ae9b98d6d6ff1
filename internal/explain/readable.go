package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
)

func kindsOf(kinds coherence.Kind) string {
	var names []string
	for i, name := range []string{"insert", "update", "delete"} {
		if kinds&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " or ")
}

func listed(columns coherence.Columns) []string {
	if columns.All {
		return []string{"*"}
	}
	return slices.Sorted(slices.Values(columns.Names))
}

func readablePins(pins coherence.Pins) map[string][]string {
	all := map[string][]string{}
	for _, pin := range pins {
		all[pin.Column] = readable(pin.Values)
	}
	return all
}

// readable writes out values as they are compared: texts in lower case, and without blanks.
func readable(values []coherence.Value) []string {
	texts := make([]string, len(values))
	for i, v := range values {
		switch {
		case v == coherence.Null:
			texts[i] = "NULL"
		case v == catalog.SomeValue:
			texts[i] = "NOT NULL"
		case v[0] == 'i':
			texts[i] = string(v[1:])
		case v[0] == 'b':
			texts[i] = fmt.Sprintf("x'%x'", string(v[1:]))
		default:
			texts[i] = "'" + strings.TrimPrefix(string(v[1:]), "#") + "'"
		}
	}
	return texts
}
