package template

import (
	"reflect"
	"slices"
	"strings"

	"github.com/gorm-preload/preload/internal/shape"
	"gorm.io/gorm"
)

// Where a dialect writes the numbers of a LIMIT clause into the SQL, that of a template has bind
// values in their places, and what is sent has the numbers. All that takes bind values of a
// template's queries takes those numbers, too, behind the others.

// paged returns the SQL of a statement's shape; false where it does not end in its page.
func (t *Template) paged(stmt *gorm.Statement) (sql string, ok bool) {
	sql = stmt.SQL.String()
	if !t.writesPage || strings.HasSuffix(sql, t.page.Marks()) { // as it is in a file
		return sql, true
	}
	before, ok := strings.CutSuffix(sql, t.page.Written(t.page.Numbers(stmt, nil)))
	return before + t.page.Marks(), ok
}

// VarsOf returns the bind values of a statement of the template that is rendered.
func (t *Template) VarsOf(stmt *gorm.Statement) []any {
	if !t.writesPage {
		return stmt.Vars
	}
	return t.page.Numbers(stmt, slices.Clip(stmt.Vars))
}

// Pages reports whether the numbers of a LIMIT clause among bind values are some that queries of
// the shape have: what is expected may be a page of no row.
func (t *Template) Pages(vars []any) bool {
	page := strings.Count(t.page.Marks(), "?")
	if len(vars) < page {
		return false
	}
	for _, n := range vars[len(vars)-page:] {
		if v := reflect.ValueOf(n); !v.IsValid() || !v.CanInt() || v.Int() < 1 {
			return false
		}
	}
	return true
}

// sent returns the SQL that a query with these bind values is sent as, and those with which it is.
func (t *Template) sent(vars []any) (sql string, rest []any) {
	page := strings.Count(t.page.Marks(), "?")
	if !t.writesPage || len(vars) < page {
		return t.SQL, vars
	}
	rest = vars[:len(vars)-page]
	return strings.TrimSuffix(t.SQL, t.page.Marks()) + t.page.Written(vars[len(rest):]), rest
}

// writes reports whether a dialect writes the numbers into the SQL that are args of a shape.
func writes(page shape.Page, paging shape.Paging) bool {
	return page != shape.NoPage && paging == shape.WrittenPaging
}
