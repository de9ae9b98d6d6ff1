// Package puresqlite has an error that is shaped as those of the SQLite drivers in pure Go,
// modernc.org/sqlite and github.com/glebarez/go-sqlite: a method Code in a package of SQLite.
package puresqlite

import "fmt"

// Error is an extended result code of SQLite.
type Error int

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("SQLite: result code %d", int(*e)) }

// Code returns the extended result code.
func (e *Error) Code() int { return int(*e) }
