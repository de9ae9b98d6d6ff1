package cache

import "sync/atomic"

// Trial is a load that nobody asked for, made because its key is expected to be asked for. It waits
// for its turn and runs; it ends void, late or failed, or it is loaded, and its answer is used or
// wasted. Each step is taken once, whoever comes first. It is safe for concurrent use.
type Trial struct {
	state  atomic.Int32
	entry  atomic.Pointer[Entry] // once it is loaded, until it was heard of
	trials *trials
	// Used counts that what was loaded was asked for; nil for nobody. It is set before the trial
	// begins.
	Used *atomic.Int64
}

// trials counts those that wait for their turn, run, or were loaded and not heard of yet.
type trials struct{ awaited atomic.Int64 }

// Fate is what became of a trial.
type Fate int32

const (
	waiting Fate = iota // for its turn, or for its load
	Void                // not loaded: there was no room for it
	Late                // asked for before it was there
	loaded
	Failed
	Used
	Wasted // left unread
)

// begin has a trial count as awaited until it has ended or, if it was loaded, until it was heard
// of.
func (ts *trials) begin(t *Trial) {
	t.trials = ts
	ts.awaited.Add(1)
}

// Fate returns what has become of the trial so far.
func (t *Trial) Fate() Fate { return Fate(t.state.Load()) }

// Over reports whether it is not going to be loaded any more.
func (t *Trial) Over() bool { return t.Fate() != waiting }

// End notes that a trial is not going to be loaded; nothing where it ended before.
func (t *Trial) End(o Fate) {
	if t.state.CompareAndSwap(int32(waiting), int32(o)) {
		t.trials.awaited.Add(-1)
	}
}

// Load notes that a trial was loaded into an entry. Where it reports true, the caller sees to it
// that heard is called.
func (t *Trial) Load(e *Entry) bool {
	o := loaded
	if e.awaited {
		o = Late
	}
	if !t.state.CompareAndSwap(int32(waiting), int32(o)) {
		return false
	}
	if o == Late {
		t.used()
	}
	e.trial.Store(t)
	switch {
	case !e.preloaded.Load():
		e.settle(Used) // it came before the trial was here to be told
	case !e.counted.Load():
		e.settle(Wasted)
	}
	t.entry.Store(e)
	return true
}

// Heard returns the entry that a trial was loaded into, and lets it go: the trial is not awaited
// any more.
func (t *Trial) Heard() *Entry {
	t.trials.awaited.Add(-1)
	return t.entry.Swap(nil)
}

// settle tells the trial of an entry, if it has one, that it was used or wasted.
func (e *Entry) settle(o Fate) {
	if t := e.trial.Load(); t != nil {
		if t.state.CompareAndSwap(int32(loaded), int32(o)) && o == Used {
			t.used()
		}
		e.trial.Store(nil)
	}
}

// used counts that the answer was asked for.
func (t *Trial) used() {
	if t.Used != nil {
		t.Used.Add(1)
	}
}
