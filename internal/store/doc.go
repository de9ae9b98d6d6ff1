// Package store is where answers are kept by key where the application brings no store of its own.
//
// What the package guards: readers take no lock but that of one of many maps; and a map that has
// become much smaller gives its memory back, which a map of Go does not do by itself.
//
// A Sharded store is safe for concurrent use. Its locks are leaves.
package store
