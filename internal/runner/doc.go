// Package runner runs loads in the background: it decides when one runs, and ends them all. What is
// loaded is decided above it.
//
// What it guards: no more loads run at a time than are allowed, one load a key; each ends, or is
// left to itself, at its deadline; none takes a connection that the application needs, or has the
// pool open one that the application would not have; and Stop waits for all that can be waited for.
//
// A Job is begun in the goroutine that hands it over, and runs in one of its own. All types are
// safe for concurrent use. The locks of Runner and Gate are leaves.
package runner
