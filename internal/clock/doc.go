// Package clock tells a time that never goes back: what is kept for a while is kept for no longer
// than that, whoever sets the clock of the machine, and whether the machine sleeps meanwhile.
//
// A System is safe for concurrent use, and takes no lock.
package clock
