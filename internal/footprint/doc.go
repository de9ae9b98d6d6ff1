// Package footprint works out what a query reads and what a write changes, in the terms of package
// coherence: tables, columns, and the values of columns that choose or show a row.
//
// What it guards: a footprint never leaves out what a statement touches. What is not understood, a
// name, a value, a clause, makes it wider: first all rows of a table, then all columns, then all
// tables. Only what the plugin has seen GORM build, or what package sqltext proves to be simple, is
// read more narrowly.
//
// Of a query that joins tables the first one is read as narrowly as if it were alone, and any
// change of the others counts. What a create statement updated on conflict is known by the keys
// that it returned, once it has run.
//
// Footprints is safe for concurrent use. A Reading does not change. The locks of what is remembered
// by text are leaves; the catalog's comes after them.
package footprint
