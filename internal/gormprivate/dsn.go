package gormprivate

import (
	"database/sql"
	"reflect"

	"gorm.io/gorm"
)

// DSNs returns the names of data sources by which a handle and its pool were opened, as far as they
// show: that of GORM's dialector, and that of a pool that database/sql opened by a name, which it
// keeps to itself.
func DSNs(dialector gorm.Dialector, pool *sql.DB) (names []string) {
	if name := textIn(reflect.ValueOf(dialector), "DSN"); name != "" {
		names = append(names, name)
	}
	if name := textIn(reflect.ValueOf(pool), "connector", "dsn"); name != "" {
		names = append(names, name)
	}
	return names
}

// textIn returns the text in a field of a field, "" where there is none.
func textIn(rv reflect.Value, path ...string) string {
	for _, name := range path {
		for rv.Kind() == reflect.Pointer || rv.Kind() == reflect.Interface {
			rv = rv.Elem()
		}
		if rv.Kind() != reflect.Struct {
			return ""
		}
		rv = rv.FieldByName(name)
	}
	if rv.Kind() != reflect.String {
		return ""
	}
	return rv.String()
}
