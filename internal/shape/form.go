package shape

import (
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// OrCreates reports whether a query is of the form in which FirstOrCreate and FirstOrInit look for
// a row: Find into one thing, with a limit of one, and ordered by the primary key in the end.
func OrCreates(stmt *gorm.Statement) bool {
	if stmt.RaiseErrorOnNotFound || stmt.ReflectValue.Kind() == reflect.Slice {
		return false
	}
	limit, ok := stmt.Clauses["LIMIT"].Expression.(clause.Limit)
	if !ok || limit.Limit == nil || *limit.Limit != 1 {
		return false
	}
	order, ok := stmt.Clauses["ORDER BY"].Expression.(clause.OrderBy)
	if !ok || len(order.Columns) == 0 {
		return false
	}
	last := order.Columns[len(order.Columns)-1]
	return !last.Desc && last.Column == clause.Column{Table: clause.CurrentTable, Name: clause.PrimaryKey}
}

// Resolved reports whether dbresolver was told where to go.
func Resolved(stmt *gorm.Statement) bool {
	if len(stmt.Plugins) == 1 {
		return false // there is no dbresolver beside this plugin
	}
	if _, ok := stmt.Plugins["gorm:db_resolver"]; !ok {
		return false
	}
	_, write := stmt.Settings.Load("gorm:db_resolver:write")
	_, read := stmt.Settings.Load("gorm:db_resolver:read")
	_, use := stmt.Clauses["gorm:db_resolver:using"]
	return write || read || use
}

// CountsGroups reports whether a query asks for one number, of rows that are grouped: the answer
// has a row for each group.
func CountsGroups(stmt *gorm.Statement) bool {
	_, ok := stmt.Clauses["GROUP BY"]
	_, number := stmt.Dest.(*int64)
	return ok && number
}
