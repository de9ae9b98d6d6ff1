// Package worker decides what is loaded in the background: keys that are read and expire or were
// killed, keys that are expected to be read, and, at each tick, keys that are hot. Package agenda
// has what waits for its turn; package runner decides when a load runs; package loading knows how.
//
// What it guards: a load is begun for one reason and counted by it; the trial of a key that is
// expected ends, whatever becomes of the load; one goroutine decides what is loaded, but for
// answers that a write killed, which are loaded at once where there is room; and nothing waits for
// the worker. An answer that was read from memory is compared in the background, too, where the
// application wants that.
//
// A Worker is safe for concurrent use. Its lock is taken before those of package runner.
package worker
