// Package footprint works out what a query reads and what a write changes, in the terms of package
// coherence: tables, columns, and the values of columns that choose or show a row.
//
// What it guards: a footprint never leaves out what a statement touches. What is not understood, a
// name, a value, a clause, makes it wider: first all rows of a table, then all columns, then all
// tables. Only what the plugin has seen GORM build, or what package sqltext proves to be simple, is
// read more narrowly.
//
// Footprints is safe for concurrent use. A Reading does not change. The locks of what is remembered
// by text are leaves; the catalog's comes after them.
package footprint
