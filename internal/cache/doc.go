// Package cache has the answers by key: which are there, which are being loaded, and which leave.
//
// An Entry is made with the lease of a load, filled by the load, and kept if its lease still lives;
// after that its value does not change. A Flight is a load and the readers who wait for it: however
// it ends, Land ends it, and is the only place that releases the lease of what was not kept. A
// Trial is a load that nobody asked for, and tells whether it was of use. A Loader is what begins a
// load in the background. A Recent is an entry that a prepared query finds by its args, without a
// key.
//
// What the package guards: no entry is found whose guard is dead (package coherence), or that has
// outlived its TTL; what a newer load stored is not replaced by an older one; an entry is counted
// while it can be found and as long as its memory is held for that; a reader waits for others no
// longer than its patience, and never for itself; while the Gate is closed no entry is found, no
// flight joined, and no lease is to be taken, but what is there stays.
//
// All types are safe for concurrent use, but a Waiter, which is one reader's. Lock order: the lock
// of a key (keyLocks), then the leaves: the index of guards (whose own locks package coherence
// orders), the queues by which entries leave, the
// flights. A Store is called under the lock of a key only.
package cache
