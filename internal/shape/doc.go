// Package shape reads a GORM statement before it is rendered: rendering costs more than everything
// else that an answer from memory takes.
//
// A Fingerprint of a statement has two parts. Its shape is all that decides the SQL and the type of
// the result; its args are the bind values. Equal shapes render to equal SQL with the same number
// of bind values: that is what the package guards. A clause, a type of value or a builder that it
// does not know makes it report false, and the shape is then the SQL itself, once it is rendered.
//
// Before that, Clauses completes the clauses of a statement as GORM's own callback would, Vacancy
// tells whether its destination is one that a copied answer may be put into, and OrCreates,
// Resolved and CountsGroups tell whether it has a form that GORM or dbresolver treats in a way of
// its own.
//
// Nothing here is shared between statements but a pool of memory, so that there are no locks. A
// Fingerprint is one goroutine's at a time.
package shape
