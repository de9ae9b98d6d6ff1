// Package seen counts what users are shown: of each shape of query how its reads were answered and
// why they were not answered from memory, of each key what became of its last answer, of each kind
// of read that went past the plugin what it cost and what would have it served, and which parts of
// the plugin failed lately.
//
// What the package guards: what it holds is bounded, however many shapes, keys and statements there
// are, and holds no value of an application's: a key is remembered by a part of its hash, and a
// statement without its literals. Counting a hit takes no lock, and processors that count at the
// same time get counters of their own.
//
// All types are safe for concurrent use, and their zero values are ready, but for those that have a
// function New. Their locks are leaves.
package seen
