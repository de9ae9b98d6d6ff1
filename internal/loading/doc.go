// Package loading asks the database for the answer of a template's query: for a reader, or in the
// background with bind values that were kept or are read off the key, alone or many keys at a time.
// What is loaded, and when, is decided above it.
//
// A Source asks. Kept are the bind values of a query that is to be run again. A Batch gathers the
// keys that one query can load.
//
// What the package guards: an answer is only taken for that of its query if it came by the
// statement that GORM built, outside any transaction, and under the names that its columns have
// now; each key that is loaded in the background has a lease, a flight and an entry of its own, and
// a Run lands all flights that were begun for it, whatever becomes of the query; of what one query
// for many keys finds, each key gets what its own query would have found, or nothing is kept for
// it.
//
// A Source also knows on which connections of the application's pool loads may run: on any, where
// one is as good as another; on none but the application's own, or on none at all, elsewhere.
//
// A Source is safe for concurrent use, and has no lock: what it knows of columns is the template's,
// and is replaced as a whole. A Kept and a Batch are of one goroutine; the loader of a Batch is
// called once nothing is added to it any more.
package loading
