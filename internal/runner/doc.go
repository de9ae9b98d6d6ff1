// Package runner runs loads in the background: it decides when one runs, and ends them all. What is
// loaded is decided above it.
//
// What it guards: no more loads run at a time than are allowed, one load a key; each ends, or is
// left to itself, at its deadline; none takes a connection that the application needs; connections
// that loads have to themselves go back to the pool when there is nothing to load; and Stop waits
// for all that can be waited for.
//
// A Job is begun in the goroutine that hands it over, and runs in one of its own, where ConnOf
// gives it a connection. All types but Conn are safe for concurrent use. The locks of Runner, of
// its connections and of Gate are leaves.
package runner
