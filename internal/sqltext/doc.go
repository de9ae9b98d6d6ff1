// Package sqltext tells from the text of a statement alone which tables it may
// write, which tables it reads, and whether its answer can be kept.
//
// It is meant for a cache that must never be wrong, so it errs in one direction
// only: it may name a table that the statement does not touch, and it may call
// a harmless statement dangerous, but never the reverse. Two things make that
// hold:
//
//   - The text is read as the server of the dialect reads it. Where a server
//     setting decides how (whether a backslash escapes a quote, say), or where
//     the dialect is not known, every reading is taken and the worst counts
//     (reading.go).
//   - Nothing is harmless by default. A first keyword, a function or a token
//     that is not on a list here counts as one that does anything at all.
//
// A text is cut into tokens (token.go). What a statement may do is told by its first keyword
// (statement.go, keyword.go, transaction.go). What a simple statement reads and writes is told by a
// parser (shape.go, parser.go), which takes a group in parentheses as one piece (piece.go), and
// knows queries (select.go), writes (modify.go), expressions and conditions.
//
// What the text does not show stays out of sight: the triggers, cascades, views
// and rules behind a name, functions behind casts, and a function or operator of
// the user's own that has the name of a built-in one. Whether a name behind a
// dot is a column, or a function in PostgreSQL, is left to the caller, who knows
// the tables.
package sqltext
