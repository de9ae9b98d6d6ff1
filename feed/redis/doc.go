// Package redis connects the processes of an application that use package preload and the same
// database: by way of Redis each of them is told what the others write.
//
//	client := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:6379"})
//	p := preload.New(preload.WithFeed(redis.Bounded(client)))
//
// There are two kinds of feed. All processes of an application take the same one.
//
// Bounded: no process serves an answer that is older than a bound (WithBound, one second), counted
// from when a write was told to Redis, which is usually less than a millisecond after it was
// announced. A write waits for nothing. A process that cannot reach Redis serves nothing from
// memory once the bound has passed; what it writes meanwhile, the others are told of when it is
// back. If it dies before, they may serve what was there before that for as long as they keep
// answers.
//
// Strict: once a write has returned, no process serves what was there before it. Each write waits,
// before its commit, until all processes have said that they serve nothing of what it changes: one
// round trip to Redis and back from each of them. A process that does not answer is waited for
// until its lease has ended (WithLease, two seconds). Where Redis cannot be reached within a lease,
// WhenCutOff says whether a write goes on. With a database other than PostgreSQL, and for
// statements outside of transactions, WithPatience says how long the write of a process that has
// died is blocked: that is weaker where a process is stopped for longer than that.
//
// Strict wants one Redis, or, with replicas, min-replicas-to-write 1: two servers at a time of
// which each is taken for the only one break it. Neither kind keeps anything in Redis that would
// have to outlive it, and no answers: a Redis that has lost all costs the processes what is in
// their memory.
//
// A Redis that refuses what a feed does is an error of db.Use, which names the access rules that
// would be right; what it refuses later is in the log (WithLogger). Strict needs channels: a user of
// Redis 7 has none unless a rule gives them.
//
// With preload.WithSharedHot processes leave lists of their hot keys in Redis, sealed, for an hour:
// what is lost of them costs a process that starts no more than the queries.
//
// Writers that do not use the package are not seen by either; package feed/postgres sees them. Relay
// is for that package: with it one process reads the server's log, and tells the others through
// Redis.
package redis
