// Package mode has how one call is treated: as any other, past the answers that are kept, or in
// their place; the terms on which the answer of one query is kept; how old one may be that comes
// from memory; and whether the reads of a transaction may be as of their own moments. A statement
// says the first two by a clause of its own, or its context says them; the clause comes first. The
// others the context alone says; who says twice how old an answer may be demands both.
//
// What the package guards: the queries that preload the associations of a statement are treated as
// the statement is, though they do not get its clauses; terms that a clause has are those of its
// own query alone, as other queries read other tables. It has neither locks nor state, but that a
// Token knows when it was waited for first.
package mode
