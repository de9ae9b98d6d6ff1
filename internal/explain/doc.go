// Package explain finds out what would become of a statement that is built and not executed, and
// writes it down for people.
//
// An Explainer looks at the statements that one function builds: at a query as it was recognized,
// at a write as its footprint says. Each becomes a Statement: texts alone, which String writes out,
// a fact a line.
//
// What the package guards: nothing is counted, loaded or killed; and where the logger of the
// application shows no values, none is shown here.
//
// An Explainer is of one goroutine. A Statement shares no memory with what is kept.
package explain
