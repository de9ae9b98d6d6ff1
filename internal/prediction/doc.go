// Package prediction learns what is asked for after what, and says what will be asked for next.
//
// It is told accesses: that in one session the query of some template was asked with some args,
// and, where it is known, what was the answer. From them it learns in two ways.
//
//   - Rules hold for a template, and so for values that were never seen: after template A comes
//     template B, and each arg of B is an arg of A, a column of A's answer, or always the same.
//   - The chain holds for single keys: after this key comes that one. It is a bounded graph whose
//     nodes remember four successors each, as in the Markov prefetcher of Joseph and Grunwald,
//     "Prefetching Using Markov Predictors" (ISCA 1997).
//
// The chain learns from all accesses that it is told; rules from those of sessions that are told
// whole, less often where a template is settled. Nodes hold their keys packed, and none is made
// for shapes whose keys do not come again. Values are compared by their hashes, so that no answer
// is held once it was observed.
//
// Both say how likely they hold it. A walk from what was asked follows them as long as the product
// of the likelihoods is high enough. What of it is loaded is up to the Governor, which sees what
// becomes of the loads: of each rule, and of the keys of each template that the chain expects, in a
// Trust of its own, so that what is useful in one shape of queries is not given up for another.
//
// Accesses get here through a Buffer, which never makes anybody wait, loses what it has no room
// for, and wakes its reader for what is urgent.
//
// The package knows no database and reads no clock. All memory is bounded. A Buffer may be written
// by any number of goroutines; everything else belongs to one.
package prediction
