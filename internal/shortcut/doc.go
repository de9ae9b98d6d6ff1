// Package shortcut takes the calls of a prepared query from their args to their answer in memory,
// without a statement: where nothing that GORM or others would do on the way can make a difference.
//
// A Set makes the shortcuts of one handle. A Finisher is one way to ask a prepared query, and has
// the shortcut of it, if there is one: Look finds the answer, Take copies it. A Preparation makes
// the shortcut, of a statement with Args in the places of values that is built and not executed.
//
// What the package guards: a call has the key that its statement would have; what is asked of a
// handle whose callbacks or builders of clauses have changed, or in a mode of its own, goes the
// whole way; and no two readers share memory. A hit takes no lock, and allocates nothing but the
// copy.
//
// A Set and a Finisher are safe for concurrent use; a Preparation is of one goroutine.
package shortcut
