// Package agenda has what waits to be loaded: keys that are read, and keys that are only expected
// to be read. Who loads them, and when, is decided elsewhere.
//
// What it guards: the number of keys that wait is bounded, nobody who adds a key waits, and the
// trial of an expected key that does not fit in ends. An Agenda is safe for concurrent use; its
// lock is a leaf.
package agenda
