// Package mode has how one call is treated: as any other, past the answers that are kept, or in
// their place; the terms on which the answer of one query is kept; and whether the reads of a
// transaction may be as of their own moments. A statement says each by a
// clause of its own, or its context says it; the clause comes first.
//
// What the package guards: the queries that preload the associations of a statement are treated as
// the statement is, though they do not get its clauses; terms that a clause has are those of its
// own query alone, as other queries read other tables. It has neither locks nor state.
package mode
