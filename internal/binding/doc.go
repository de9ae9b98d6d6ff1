// Package binding puts values in the places of Args of a statement: wherever GORM takes a bind
// value, an Arg may stand for one that is given later. The caller tells an Arg from a value; this
// package knows where in a statement values are.
//
// What it guards: parts of a statement may be shared with others, so that whatever a Binding
// changes it copies before, but the Statement that it is given; and what holds no Arg stays what it
// was.
//
// There are no locks, and a Binding is of one goroutine.
package binding
