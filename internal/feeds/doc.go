// Package feeds connects one process with the others that use the same database: what is written
// here is told to feeds, and what feeds tell of writes elsewhere is taken in.
//
// A Member is what this process is to one feed. It keeps a latch of the cache's gate: nothing is
// served or kept from before the feed is opened until the feed says, by Serve, that all is known
// that was done before some moment. Feeds tells each feed that wants to hear it of each write, as a
// batch (package batch) of all that the write changes, cascades with it. A token is what of that
// feeds have told by some moment, for another process to wait until it has taken in as much.
//
// What a replication stream tells of rows (Row) becomes a batch, too, by what the catalog knows of
// their tables.
//
// What the package guards: a batch that is not understood, in whole or in the part of one table, is
// taken for more than it may have meant and never for less; a feed that panics costs a log line; a
// feed that says nothing has everything come from the database.
//
// All methods are safe for concurrent use. There are no locks but those of the packages below.
package feeds
