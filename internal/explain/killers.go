package explain

import (
	"strings"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/footprint"
)

// killers says in words which writes kill an answer that depends on what a reading says: a sentence
// for each kind of write. It names columns, and no values.
func killers(r *footprint.Reading) (all []string) {
	about := &r.About
	if about.Table == "" {
		for _, table := range r.Loose {
			all = append(all, "any write of "+table+": the query has a part that is not understood")
		}
		return all
	}
	for _, table := range r.Loose {
		all = append(all, "any write of "+table+": it is joined")
	}
	var names []string
	for _, pin := range about.Fixed {
		names = append(names, pin.Column)
	}
	with := with(append(names, about.Pinned...))
	table := about.Table
	if about.Cutting.All {
		return append(all, "any write of "+table+with+": LIMIT without ORDER BY")
	}
	sets := columnsOf(about.Columns, about.Cutting)
	if r.Coarse != "" {
		return append(all,
			"an insert into "+table+with+", or a delete from it: "+r.Coarse,
			"an update of "+table+with+" that sets "+sets+": "+r.Coarse)
	}
	insert := "an insert into " + table + with
	if about.Primary && r.Pins(about.Keys[0]) {
		insert += ", while the answer has no row"
	}
	all = append(all, insert,
		"a delete from "+table+" that may reach a row of the answer",
		"an update of "+table+" that sets "+sets+" and may reach a row of the answer")
	if choosing := columnsOf(about.Choosing, about.Cutting); choosing != "" {
		all = append(all, "an update of "+table+" that sets "+choosing+" so that another row may come in")
	}
	return all
}

func with(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " with " + strings.Join(names, " and ") + " as in the query"
}

// columnsOf lists columns, "" where there are none.
func columnsOf(sets ...coherence.Columns) string {
	seen := map[string]bool{}
	var names []string
	for _, set := range sets {
		if set.All {
			return "any column"
		}
		for _, name := range listed(set) {
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return strings.Join(names, " or ")
}
