// Package association learns what usually follows what is asked, and has it loaded. What is learned
// is in package prediction; this package tells it of accesses, of keys and of answers, and takes
// its predictions to whoever loads.
//
// A Learner is told of accesses (Note), of what an application says (Declare), and of what became
// of the loads that it asked for: each is an Expected, whose life is that of its cache.Trial. The
// learner looks at the answer of one that was loaded, and goes on from there to what follows.
//
// What the package guards: nobody who notes an access ever waits for the learner, and what it has
// no room for is lost; learning takes a bounded share of the processors; all memory is bounded, and
// no answer stays in memory because something was learned of it; what was noted before a Clear is
// not learned from after it; keys of the control group are never loaded; and each Expected that a
// learner was told of while it ran is heard, also when it ends.
//
// The one goroutine of a Learner is Run, which the caller starts. All that is learned belongs to
// that goroutine (mind); others reach it through channels and a buffer (mailbox), and read what it
// publishes (published). All methods but Run are safe for concurrent use, and hold no lock.
package association
