package optin

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/template"
)

// How an answer is treated goes by the tables that it is read from, and not by what it is read
// into: a table may have several models, and what a query is read into may be of none of them.

// tableRule is what the models of one table say.
type tableRule struct {
	met    int64 // how many models were met when this was found out
	known  bool  // it has models
	opted  bool  // one of them is opted in
	off    bool  // one of them is opted out, or its tag is wrong
	limits template.Limits
}

// ofTable returns what the models of a table say, whose name is as changes have it.
func (ms *Models) ofTable(name string) *tableRule {
	met := ms.catalog.Met()
	if known, ok := ms.tables.Load(name); ok && known.(*tableRule).met == met {
		return known.(*tableRule)
	}
	rule := &tableRule{met: met}
	if !ms.catalog.Knows(name) {
		return rule
	}
	for _, s := range ms.catalog.Models(name) {
		m := ms.Of(s)
		rule.known = true
		switch {
		case m.Err != nil || m.Off:
			rule.off = true
		case m.Policy != nil && rule.opted:
			rule.limits = rule.limits.Least(m.Policy.Limits())
		case m.Policy != nil:
			rule.opted, rule.limits = true, m.Policy.Limits()
		}
	}
	if rule.known {
		ms.tables.Store(name, rule) // there are no more of these than tables
	}
	return rule
}

// Governs reports whether answers may be kept that are read from a table with this name, as a
// statement has it, into something that is not opted in: its models say so, or it has none.
func (ms *Models) Governs(table string) bool {
	rule := ms.ofTable(catalog.TableName(table))
	return rule.opted && !rule.off || !rule.known && ms.Default != nil
}

// Rule returns how answers are treated that are read from these tables, first of all from one of
// them: as the strictest of their models says. It reports false where they are not to be kept: the
// models of the first table are not opted in, or a model of any table is opted out. own is what the
// model of the query says, nil where it is not opted in: that counts where the first table has no
// model. asked says that the call asks for the answer to be kept.
func (ms *Models) Rule(from string, tables []string, own *template.Limits, asked bool) (limits template.Limits, ok bool) {
	first := ms.ofTable(from)
	if ok = first.opted || asked; !first.known {
		ok = ok || own != nil
	} else {
		own = nil
	}
	for _, name := range tables {
		rule := ms.ofTable(name)
		switch {
		case rule.off:
			return limits, false
		case rule.opted && own == nil:
			l := rule.limits
			own = &l
		case rule.opted:
			l := own.Least(rule.limits)
			own = &l
		}
	}
	if own == nil {
		return ms.Settings, ok
	}
	return *own, ok
}

// Fallback returns how answers are treated that are read from no model's table into no model; nil
// where they are not kept.
func (ms *Models) Fallback() *template.Limits {
	if ms.Default == nil {
		return nil
	}
	return ms.Default.inForce(ms.Settings).LimitsOrNone()
}

// TablesOf returns the tables of models, or with these names, as changes name them. The error names
// those that stand for none; who names the function in it.
func (ms *Models) TablesOf(who string, models []any) (tables []string, err error) {
	var errs []error
	for _, value := range models {
		name, ok := value.(string)
		switch {
		case ok && strings.TrimSpace(name) == "":
			errs = append(errs, fmt.Errorf(`preload: %s(""): want the name of a table`, who))
			continue
		case !ok:
			s, err := ms.Parse(value)
			if err != nil {
				errs = append(errs, fmt.Errorf("preload: %s: model %T: %w", who, value, err))
				continue
			}
			ms.Of(s) // so that it is not learned later, which forgets what was read of it
			name = s.Table
		}
		tables = append(tables, catalog.TableName(name))
	}
	return tables, errors.Join(errs...)
}
