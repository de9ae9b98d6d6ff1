package catalog

import (
	"reflect"
	"strings"

	"gorm.io/gorm/schema"
)

// TypeName names a type that has a name.
func TypeName(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }

// DestName names the type of a destination by what it is made of.
func DestName(t reflect.Type) string {
	switch {
	case t.Name() != "":
		return TypeName(t)
	case t.Kind() == reflect.Pointer:
		return "*" + DestName(t.Elem())
	case t.Kind() == reflect.Slice:
		return "[]" + DestName(t.Elem())
	}
	return t.String()
}

// Type returns the type that has a name of destName, if it is made of models in use and of what
// every process has.
func (c *Catalog) Type(name string) reflect.Type {
	if rest, ok := strings.CutPrefix(name, "*"); ok {
		if t := c.Type(rest); t != nil {
			return reflect.PointerTo(t)
		}
		return nil
	}
	if rest, ok := strings.CutPrefix(name, "[]"); ok {
		if t := c.Type(rest); t != nil {
			return reflect.SliceOf(t)
		}
		return nil
	}
	for _, t := range plainTypes {
		if DestName(t) == name {
			return t
		}
	}
	if s := c.Model(name); s != nil {
		return s.ModelType
	}
	return nil
}

var plainTypes = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[string](), reflect.TypeFor[float32](), reflect.TypeFor[float64](),
	reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
	reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
	timeType, reflect.TypeFor[map[string]any](),
}

// Model returns the schema of a model in use by the name of its type; nil if there is none, or
// several.
func (c *Catalog) Model(name string) (found *schema.Schema) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for s := range c.seen {
		if s.ModelType.Name() == "" || TypeName(s.ModelType) != name {
			continue
		}
		if found != nil && found.ModelType != s.ModelType {
			return nil
		}
		found = s
	}
	return found
}

// StructType returns the type of what pointers, slices and arrays lead to: of a destination, that
// of one row.
func StructType(t reflect.Type) reflect.Type {
	for t != nil && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		t = t.Elem()
	}
	return t
}
