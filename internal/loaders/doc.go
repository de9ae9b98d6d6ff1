// Package loaders has the loaders by which keys are loaded again, and tells which answers that a
// write killed are worth it.
//
// What it guards: how many loaders there are and how many bytes they hold is bounded; what leaves
// is what was registered longest ago. Loaders are safe for concurrent use; their lock is a leaf.
package loaders
