// Package strict keeps the memories of several processes from serving what any of them has changed.
//
// It has one job: once a write has returned, no process serves from memory what was there before;
// and once a read anywhere returned what a write made, no later read returns what was there before
// it. It knows nothing of what is in memory and of who carries the messages: a Member is the state
// machine of one process, a Broker what the processes share, a Memory what holds the answers, a
// Database what knows which transactions are over. LocalBroker is the description of what each step
// of a Broker does; stricttest has the tests that each Broker passes.
//
//	join      take a seat with the broker. Block what is pending. Keep nothing until the
//	          transactions are over that were open then.
//	renew     each quarter of a lease. If the seat was given up: forget all, join again. Otherwise
//	          take in what is pending, end what is not, and serve on for a lease.
//	announce  before a commit: have it pending, wait until each member has acknowledged that it has
//	          forgotten what is changed, and keeps nothing of it. A member that neither acknowledges
//	          nor renews is given up when its lease must have ended.
//	finish    after the commit: have it pending no longer. If the run of the broker is another one
//	          by then, announce it again.
//
// # What it guards, and how
//
// Nobody serves on a lease that has ended for others. A lease counts from before the request that
// was answered with it; others wait for its end from after the answer that told them of it. Only
// durations by a process's own clock are compared, of clocks that run fast or slow by a margin at
// most. Serving is for Memory to stop, by each clock that may stand still while a machine is
// suspended.
//
// A lost, late, doubled or reordered message does no harm. No two seats are equal, and a request to
// join takes no seat away but one that the process has left. An acknowledgement counts for its
// process in one run of the broker. What a renewal lists repairs what notices failed to tell, in
// both directions: but an announcement that came, or came again, after a renewal was asked for is
// not ended by it, because its answer may be older. A write is repeated until it is acknowledged.
//
// A dead process leaves its writes pending, which block what they change. Who renews and finds that
// the writer has no seat ends them once the database says that their transactions are over. No
// write is ended by time: a stopped process may commit whenever it wakes. An end that its own
// process does not know, because a connection was lost inside the commit, is asked for in the same
// way.
//
// A broker may lose what it knows: it starts empty or from an old state, or is emptied. Then its
// run has another name. All members forget everything and join, and nobody commits in the new run
// until the leases of members have ended that may not have noticed. Transactions that were
// announced in the old run are open when a member joins the new one, or over: so it waits for them.
//
// # Limits
//
//   - Two brokers at a time, each of which some processes take for the only one, break it. A broker
//     that has lost its replica must refuse to write before another one takes its place.
//   - A statement without a transaction has no name that the database knows. If the broker loses
//     what it knows while such a statement is under way, a process that joins meanwhile may serve
//     what was there before it until the write returns, or, where the caller was let go because the
//     broker did not answer, until the process has reached it; and if the process dies, what the
//     statement changes is blocked until Database.Over says otherwise.
//   - Without Config.Fail, a process that reaches nobody commits nevertheless: others serve what
//     was there before until it has reached them, and if it dies before, for as long as they keep
//     answers.
//
// # Concurrency
//
// A Member takes no lock, starts no goroutine and never waits: whoever has it calls one method at a
// time. It asks others through a Scheduler, whose answers come back as calls. So a simulation can
// decide when and whether each step happens. Teller is the one that runs a Member in real time: one
// goroutine calls it, each step has a goroutine of its own, and Memory is called by the first. The
// locks of Teller and LocalBroker are leaves: nothing is called with one of them held.
//
// # Sources
//
// Leases are those of Gray and Cheriton, "Leases: An Efficient Fault-Tolerant Mechanism for
// Distributed File Cache Consistency" (SOSP 1989), with the approval of a write by the holders of
// leases; seats that are given up and runs that are told apart follow the sessions and epochs of
// Burrows, "The Chubby Lock Service for Loosely-Coupled Distributed Systems" (OSDI 2006).
package strict
