// Package recognition makes a key out of a statement: whether the answer of a query can be kept, of
// which template it is, which key it has, and whether its answer is in memory.
//
// A query that GORM builds is known by its clauses, before it is rendered; one that is given as
// SQL, or has no model, by its text. Reasons not to keep an answer that the clauses show are found
// here, before there is a template; those that take the rendered SQL are of package template.
//
// What it guards: two queries have one key only if the database gives both the same answer, to
// whoever asks: what else decides an answer, such as the partition, what others have put around the
// connection, and the terms of a call, is part of the key. A statement is left as GORM's own
// callback would leave it, also where the package fails: then the query does not qualify.
//
// Keys is safe for concurrent use and has no lock of its own. A hit leaves nothing on the heap.
package recognition
