// Package restart hands the hot keys of one process to the next: it writes down which keys are
// hottest and how their queries are asked, and it loads the keys of a file of hot keys, hottest
// first, as far as memory goes.
//
// A Handover saves and loads. The format of the file is package hotfile's, and what asks the
// database is package loading's.
//
// What the package guards: no answer is ever written down; what comes from a file is only asked of
// the database if it is a plain read of a model that is in use and opted in, and is forgotten as
// soon as a statement of its shape shows that the file's SQL is another one now (Confirm); nothing
// that is in memory leaves for what is loaded; a query that fails again and again is left out, so
// that it costs a bounded number of queries; and loading takes time in proportion to the keys.
//
// A Handover is safe for concurrent use, and has neither locks nor state of its own. A queue is of
// the one goroutine that loads a file; progress is told in that goroutine.
package restart
