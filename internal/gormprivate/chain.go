package gormprivate

import (
	"reflect"
	"sync/atomic"
	"unsafe"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
)

// Processor is GORM's list of the callbacks of queries.
type Processor interface {
	Get(name string) func(*gorm.DB)
}

// QueryChain looks at the callbacks that GORM runs for a query. GORM has no function that names
// them: their number, and whether they are still the same, are read off the fields of its
// processor. Where the processor has not these fields, no chain is known.
type QueryChain struct {
	processor Processor
	compiled  reflect.Value      // the slice of functions, made anew at each change of the callbacks
	ours      map[string]uintptr // the code of those that are known
	Order     *[]string          // in which GORM builds clauses
	// plain are the steps of which known was true last.
	plain atomic.Pointer[byte]
}

// Init says in which processor the plugin has these callbacks.
func (c *QueryChain) Init(processor Processor, around uintptr, watch string) {
	c.processor, c.Order = processor, new([]string)
	c.ours = map[string]uintptr{
		"gorm:query":       around,
		"gorm:preload":     reflect.ValueOf(callbacks.Preload).Pointer(),
		"gorm:after_query": reflect.ValueOf(callbacks.AfterQuery).Pointer(),
		watch:              reflect.ValueOf(processor.Get(watch)).Pointer(),
	}
	v := reflect.Indirect(reflect.ValueOf(processor))
	if v.Kind() != reflect.Struct {
		return
	}
	if order := v.FieldByName("Clauses"); order.IsValid() && order.CanAddr() {
		if order, ok := order.Addr().Interface().(*[]string); ok {
			c.Order = order
		}
	}
	if fns := v.FieldByName("fns"); fns.IsValid() && fns.Kind() == reflect.Slice {
		c.compiled = fns
	}
}

// Others reports whether there may be callbacks of others in it.
func (c *QueryChain) Others() bool {
	if steps := c.Steps(); steps != nil && steps == unsafe.Pointer(c.plain.Load()) {
		return false
	}
	steps, known := c.Known()
	if known {
		c.plain.Store((*byte)(steps))
	}
	return !known
}

// Steps tells whether the chain is still the same: after any change it returns another pointer, as
// long as the old one is kept. nil means that it cannot be told.
func (c *QueryChain) Steps() unsafe.Pointer {
	if !c.compiled.IsValid() {
		return nil
	}
	return c.compiled.UnsafePointer()
}

// Known reports whether the chain is of GORM's own callbacks and the plugin's only, and its steps.
func (c *QueryChain) Known() (steps unsafe.Pointer, known bool) {
	steps = c.Steps()
	if steps == nil || c.compiled.Len() != len(c.ours) {
		return steps, false
	}
	for name, code := range c.ours {
		callback := c.processor.Get(name)
		if callback == nil || reflect.ValueOf(callback).Pointer() != code {
			return steps, false
		}
	}
	return steps, true
}
