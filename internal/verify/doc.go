// Package verify compares an answer that is in memory with what the database gave for the same
// query, and bounds how often that is done. A Verifier drops an answer that was wrong, and
// withdraws a model of which too many were.
//
// What the package guards: what differs for another reason than that memory was wrong is no
// mismatch. Rows are compared as a set in which one can be several times, since the order of rows
// that are equal by ORDER BY is the database's choice; numbers with a fraction are compared up to
// rounding, since the sum of them depends on the order in which they are added. A pair of answers
// that differs although the database may give either is skipped, and so is an answer that a write
// has killed by then.
//
// All is safe for concurrent use.
package verify
