// Package commit knows when a change counts. What a statement writes is announced before anybody
// can see it, and finished when everybody does, or nobody ever will: in between nothing that
// depends on it is kept.
//
// A Log does that for the statements of one *gorm.DB. It learns of them in three places, of which a
// Token tells one another: around GORM's callbacks (Begin, RecognizeRaw, Attend); in front of the
// connection pool (Pool, Transaction), where GORM has no hook for the end of a transaction; and on
// the connections of a pool that was opened to be observed. What is written in a transaction is
// held by it until its commit, and dropped by a rollback, to a savepoint too.
//
// A View is what a read in a transaction needs to know where memory may answer it: whether
// something that the transaction holds could show in an answer, by the rules by which its commit
// would kill the answer, and whether an answer of the database is one that anybody may have.
//
// What it guards: a write is announced before it can be seen, by whichever path it takes; where its
// outcome is not known, its tables stay out for as long as a server may go on with it; and what is
// not recognized counts as a change of everything. Where there are other processes, they are told
// of each announcement before it can be seen, and of its end.
//
// All types are safe for concurrent use, but a Witness, which is one statement's. Lock order: what
// a transaction holds (held), its standing, the raw transactions and the open rows are each a lock
// of their own, of which no two are held at once; the catalog's lock and the index's come after
// them.
package commit
