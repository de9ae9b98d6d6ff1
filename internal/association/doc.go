// Package association learns what usually follows what is asked, and has it loaded. What is
// learned is in package prediction; this package tells it of accesses, of keys and of answers, and
// takes its predictions to whoever loads.
//
// A Learner is told of accesses (Note), of what an application says (Declare), and of what became
// of the loads that it asked for: each is an Expected, whose life is that of its cache.Trial. The
// learner looks at the answer of one that was loaded, and goes on from there to what follows.
//
// A learner does not learn from every access. It does from those that found nothing in memory or
// what was loaded ahead, from hits of tables where these lead to loads, and from all accesses of a
// sample of sessions: of all sessions at first and where loading ahead is worth it, of 1 in 16
// otherwise, and of fewer where it does not keep up. What is compared with the control group is
// that sample. An access that is not learned from writes nothing.
//
// What the package guards: nobody who notes an access ever waits for the learner, and what it has
// no room for is lost; learning takes a bounded share of the time of the processors, by how long
// it runs and not by how long it waits for one; all memory is bounded, and no answer stays in
// memory because something was learned of it; what was noted before a Clear is not learned from
// after it; keys of the control group are never loaded; and each Expected that a learner was told
// of while it ran is heard, also when it ends.
//
// The one goroutine of a Learner is Run, which the caller starts. All that is learned belongs to
// that goroutine (mind); others reach it through channels and a buffer (mailbox), and read what it
// publishes (published). All methods but Run are safe for concurrent use, and hold no lock.
package association
