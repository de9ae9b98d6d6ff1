// Package catalog knows what the models of an application say of its tables: their columns, how the
// database compares the values of each, the keys by which rows are told apart, and which changes of
// one table change another: over foreign keys that cascade or set null, and through what a policy
// declares. It grows as models are met, and says so: what was worked out under one Version has to
// be worked out again under the next.
//
// It guards against two kinds of error. A value (coherence.Value) stands for all values that some
// database may take for equal to it; where that cannot be told there is none, and whoever asks has
// to assume any. And what is learned counts before anybody sees that it was learned: Hooks.Changed
// is called while the catalog is locked.
//
// All methods are safe for concurrent use. Lock order: the catalog's one lock comes before those
// that Hooks.Changed and Hooks.Settle take; neither may call the catalog.
package catalog
