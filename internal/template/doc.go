// Package template knows the shapes of queries: for each what its SQL is, how it is run again with
// other bind values, what its answers depend on, how they are copied, and how several are run as
// one.
//
// A Template is made of the first statement of its shape and does not change but for what is
// learned of it (Binds, State, Pace, Shown). A Set holds a bounded number of them; one that was
// dropped is the same again when it is met once more, with the same keys. A Load is a load of the
// answer of one query: with its lease, its flight, and what its answer depends on.
//
// What the package guards: an answer is only kept if it depended on what its lease says all the
// time, also where the catalog learned something meanwhile; what a reader gets shares no memory
// with what is kept; and what is run as one query is proved, by reading its SQL back, to be those
// that it stands for.
//
// All types are safe for concurrent use, but a Load, which is its leader's. Lock order: the lock of
// a template, then the catalog's, then the leaves of packages cache and coherence; the lock of a
// Set is a leaf.
package template
