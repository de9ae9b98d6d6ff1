package gormprivate

import (
	"reflect"

	"gorm.io/gorm"
)

// HasScopes reports whether a statement has scopes, which may look at the context of each call.
func HasScopes(stmt *gorm.Statement) bool {
	scopes := reflect.ValueOf(stmt).Elem().FieldByName("scopes")
	return !scopes.IsValid() || scopes.Kind() != reflect.Slice || scopes.Len() > 0
}
