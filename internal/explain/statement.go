package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gorm-preload/preload/internal/template"
)

// Statement is what was found out of one statement. What is said of the columns and values of a
// query, of its Key or of a write is as users read it.
type Statement struct {
	SQL    string
	Hidden bool // no values are to be shown

	// Of a query.
	Cacheable bool
	Reason    string // why not
	Key       string
	Stored    bool
	Tables    []string
	Columns   []string
	Pinned    map[string][]string
	KilledBy  []string

	// Of a write.
	Changes []Change
	Kills   []Killed
}

// Change is what a write does to one table.
type Change struct {
	Table   string
	Kind    string
	Where   map[string][]string
	Columns []string
	Set     map[string][]string
}

// Killed is an answer that a write would kill.
type Killed struct {
	Key   string
	Table string
	Rule  string
}

// hide puts "?" in place of the values that are not to be shown.
func (s *Statement) hide() {
	hideValues(s.Pinned)
	for _, change := range s.Changes {
		hideValues(change.Where)
		hideValues(change.Set)
	}
}

func hideValues(of map[string][]string) {
	for column := range of {
		of[column] = []string{"?"}
	}
}

// String writes down what was found out, a fact a line. Labels stand for keys where no values are
// to be shown.
func (s Statement) String() string {
	var b strings.Builder
	fmt.Fprintln(&b, s.SQL)
	line := func(name, text string) { fmt.Fprintf(&b, "  %-14s %s\n", name, text) }
	key := func(key string) string {
		if s.Hidden {
			return template.Label(key)
		}
		return key
	}
	switch {
	case len(s.Changes) > 0:
		for _, c := range s.Changes {
			line("change", c.String())
		}
		if len(s.Kills) == 0 {
			line("invalidates", "nothing that is in memory now")
		}
		for _, k := range s.Kills {
			line("invalidates", key(k.Key)+" by "+k.Rule)
		}
	case s.Cacheable:
		line("cacheable", "yes")
		line("key", key(s.Key))
		line("stored", map[bool]string{true: "yes", false: "no"}[s.Stored])
		line("tables", strings.Join(s.Tables, ", "))
		line("columns", strings.Join(s.Columns, ", "))
		if len(s.Pinned) > 0 {
			line("pinned", conditions(s.Pinned))
		}
		for _, write := range s.KilledBy {
			line("invalidated by", write)
		}
	case s.Reason != "":
		line("cacheable", "no: "+s.Reason)
	default:
		line("change", "none")
	}
	return b.String()
}

// String writes the change out: "update users set name where id = 7".
func (c Change) String() string {
	text := c.Kind + " " + cmp.Or(c.Table, "any table")
	if len(c.Columns) > 0 {
		text += " set " + strings.Join(c.Columns, ", ")
	}
	if len(c.Set) > 0 {
		text += " to " + conditions(c.Set)
	}
	if len(c.Where) > 0 {
		text += " where " + conditions(c.Where)
	}
	return text
}

func conditions(pins map[string][]string) string {
	var all []string
	for column, values := range pins {
		if len(values) == 1 && (values[0] == "NULL" || values[0] == "NOT NULL") {
			all = append(all, column+" is "+strings.ToLower(values[0]))
		} else if len(values) == 1 {
			all = append(all, column+" = "+values[0])
		} else {
			all = append(all, column+" in ("+strings.Join(values, ", ")+")")
		}
	}
	slices.Sort(all)
	return strings.Join(all, " and ")
}
