// Package hotness keeps the access statistics of a bounded number of keys: how
// often and when each was last used, which are the hottest, and which is the
// coldest and gives way when a new key needs its place.
//
// Nothing is rescanned because time has passed. A [Scorer] gives every pattern
// a weight in log space whose order time does not change; for the score
//
//	count * decay^(hours since the last access)
//
// that is ln(count) + lambda*t_last with lambda = -ln(decay) per hour, and the
// score at t is exp(weight - lambda*t). Weights only grow, so the heap that
// finds the coldest pattern may lag behind: it is ordered by the weight each
// pattern had when it was last placed, and is repaired only at its root and
// only when a victim is needed.
//
// What holds at all times:
//
//   - An access takes no lock while its key is tracked, and [Table.Record]
//     never waits for one.
//   - No lock is held while a Scorer runs.
//   - The placed weight of a pattern is never above its weight.
//   - A pattern that forwards to another is never tracked again, and a tracked
//     pattern never forwards: chains of forwards have an end.
//   - An access is counted by exactly one pattern. It is lost only when nobody
//     kept the pattern after it lost its place, or by [Table.Clear].
package hotness
