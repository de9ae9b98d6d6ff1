package shape

import (
	"reflect"
	"strconv"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// A LIMIT and an OFFSET are args, so that the pages of a list have one shape. Some dialects write
// them into the SQL: the SQL of such a shape has bind values in their places, which come last, and
// what is sent has the numbers themselves.

// Page says which numbers of a query's LIMIT clause are args, the last ones of its key. Queries
// without a limit, those of no row, and those of one row without an offset, are shapes of their
// own.
type Page byte

// The pages. What is in a shape tells its own end.
const (
	NoPage    Page = '-'
	LimitPage Page = 'l'
	WholePage Page = 'b'
)

// Paging is how a dialect renders the numbers of a LIMIT clause.
type Paging byte

// The ways in which it does.
const (
	OddPaging     Paging = iota // in a way that is not known: pages are shapes of their own
	BoundPaging                 // as bind values
	WrittenPaging               // as part of the SQL
)

// PagingOf finds out how a handle renders the numbers of a LIMIT clause.
func PagingOf(db *gorm.DB) Paging {
	if db.Dialector == nil {
		return OddPaging
	}
	limit, offset := 7, 11
	stmt := db.Session(&gorm.Session{NewDB: true}).Limit(limit).Offset(offset).Statement
	stmt.Build("LIMIT")
	switch text := stmt.SQL.String(); {
	case len(stmt.Vars) == 0 && " "+text == WholePage.Written([]any{limit, offset}):
		return WrittenPaging
	case len(stmt.Vars) == 2 && stmt.Vars[0] == limit && stmt.Vars[1] == offset && strings.HasPrefix(text, "LIMIT ") && strings.Contains(text, " OFFSET "):
		return BoundPaging
	}
	return OddPaging
}

// pageOf returns which numbers of a LIMIT clause are args.
func pageOf(limit clause.Limit, paging Paging) Page {
	switch {
	case paging == OddPaging || limit.Limit == nil || *limit.Limit < 1:
		return NoPage
	case limit.Offset > 0:
		return WholePage
	case *limit.Limit == 1:
		return NoPage
	}
	return LimitPage
}

// PageIn returns which numbers of a LIMIT clause are args of a shape that head begins.
func PageIn(shape []byte) Page {
	_, _, at, ok := partsOf(shape)
	if at++; !ok || at >= len(shape) {
		return NoPage
	}
	switch page := Page(shape[at]); page {
	case LimitPage, WholePage:
		return page
	}
	return NoPage
}

// Numbers appends those numbers of a statement's LIMIT clause that are args.
func (p Page) Numbers(stmt *gorm.Statement, to []any) []any {
	limit, ok := stmt.Clauses["LIMIT"].Expression.(clause.Limit)
	if ok && p != NoPage && limit.Limit != nil {
		to = append(to, *limit.Limit)
	}
	if ok && p == WholePage {
		to = append(to, limit.Offset)
	}
	return to
}

// Marks is how the SQL of a shape ends where a dialect writes the numbers into it.
func (p Page) Marks() string {
	switch p {
	case LimitPage:
		return " LIMIT ?"
	case WholePage:
		return " LIMIT ? OFFSET ?"
	}
	return ""
}

// Written is how the SQL of a query with these numbers ends where a dialect writes them into it.
func (p Page) Written(numbers []any) string {
	text := p.Marks()
	for _, n := range numbers {
		text = strings.Replace(text, "?", strconv.FormatInt(reflect.ValueOf(n).Int(), 10), 1)
	}
	return text
}
