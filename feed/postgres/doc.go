// Package postgres tells package preload of every writer of a PostgreSQL database, whatever writes:
// other processes of the application, psql, triggers, services in other languages.
//
//	p := preload.New(preload.WithFeed(postgres.New("postgres://app@db.example.com/shop")))
//
// Strict returns another feed: by that, once a write of the application itself has returned, no
// process serves what was there before it. ChangeTable returns one that sees every writer, too, on a
// server that does not replicate. What follows is about New.
//
// The feed reads the server's write-ahead log by logical replication. No process serves an answer
// that is older than a bound (WithBound, one second), whoever wrote; usually some milliseconds pass
// between a commit and the moment from which on nobody serves what was there before it. A write
// waits for nothing.
//
// It takes a server of version 13 or later with wal_level=logical, a role that may replicate (ALTER
// ROLE app REPLICATION), and for each process one replication slot, one WAL sender and one more
// connection. The slots are temporary: the server drops them when the process is gone. The
// connections lead to the server itself, not to a pooler, and to the one that the plugin's handle
// reads from: what a replica shows later than its primary is not known here.
//
// The publication (WithPublication) has the tables of which changes are told. If it is missing, the
// feed makes it, of the tables that the role owns and that have a primary key or another replica
// identity, and adds those that come later. One of an administrator's own is left as it is. A table
// that is not in it, or is unlogged, foreign or a materialized view, is not served from memory; the
// log says which. A publication FOR ALL TABLES has them all, but the server then refuses updates
// and deletes of tables without a replica identity.
//
// So it does for a table of the feed's own publication that loses its key: until the feed takes it
// out, which it does when it looks at the tables, four times in the bound, and says so in the log.
// While no process runs nobody does. ALTER PUBLICATION ... DROP TABLE in the transaction that drops
// the key leaves no such moment; SET UNLOGGED, which the server refuses for a table of any
// publication, takes it anyway.
//
// With many processes one reads the log for all of them, and tells the others by way of a relay, such
// as that of package feed/redis (Through). Then there is one slot, one WAL sender and one more
// connection for all processes together. That pays from about five processes on: each slot costs the
// server the decoding of its whole log.
//
// While the server cannot be reached, or lets nobody replicate, nothing is served from memory. The
// feed tries again for ever, and logs what is wrong once a minute. After that it waits, before
// anything is served, until all transactions are over that were writing when it came back.
package postgres
