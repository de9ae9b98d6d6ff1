package association

import (
	"context"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/template"
)

// MaxExpected is how many of those that are expected may wait for their turn to be loaded; of more,
// those that are expected last stay.
const MaxExpected = 64

// Expected is a key that is loaded because it is expected to be asked for: by association, or
// because it is hot.
type Expected struct {
	Key        string
	Hot        bool                  // nothing is expected on account of it
	Walk       int64                 // that expects it; later ones have higher numbers
	Prediction prediction.Prediction // that expects it; without its query
	// Origin is what is kept of the context of the read that it is expected after; nil for nothing.
	// Who has the key loaded takes it, since an answer that nobody has read yet holds its Expected.
	Origin context.Context
	of     int32 // the number of Clears before it
	busy   atomic.Bool
	cache.Trial
}

// Crowded notes that the processors are busy while it is loaded.
func (x *Expected) Crowded() { x.busy.Store(true) }

// Busy implements prediction.Load.
func (x *Expected) Busy() bool { return x.busy.Load() }

// Outcome implements prediction.Load.
func (x *Expected) Outcome() (prediction.Outcome, bool) {
	switch x.Fate() {
	case cache.Void:
		return prediction.Void, true
	case cache.Late:
		return prediction.Late, true
	case cache.Failed, cache.Wasted:
		return prediction.Wasted, true
	case cache.Used:
		return prediction.Useful, true
	}
	return 0, false
}

// group returns the group of the key of a hash, which is that of cache.Hash. One in
// prediction.Groups is the control group: it is never loaded by association, to tell whether that
// helps.
func group(hash uint64) int { return int(hash % prediction.Groups) }

// Control reports whether the key of a hash is of the control group.
func Control(hash uint64) bool { return group(hash) == 0 }

// walk has loaded what is expected after a query. origin is that of the read that asked it.
func (l *Learner) walk(from prediction.Prediction, origin context.Context) {
	if l.Context.Err() != nil {
		return
	}
	now := l.Now()
	l.walks++
	l.predictor.Walk(from, l.governor.Reach(), func(next *prediction.Prediction) bool {
		stored := template.StoreKey(l.OwnPrefix, next.Key)
		if e := l.Cache.Find(stored, now); e != nil {
			next.Query = l.query(next.Key, e)
			return false
		}
		if x := l.pending[next.Key]; x != nil && !x.Over() || Control(cache.Hash(next.Key)) || l.Cache.Loading(stored) {
			return false
		}
		if !l.Loadable(next.Key) {
			return false
		}
		trust := l.trust(next)
		if !l.governor.Allows(next, trust, now.UnixNano()) {
			return false
		}
		x := &Expected{Key: next.Key, Prediction: *next, Walk: l.walks, Origin: origin, of: l.forgot}
		x.Prediction.Query = prediction.Query{}
		if !l.Expect(x) {
			return false
		}
		l.pending[next.Key] = x
		l.governor.Begin(x, next, trust, now.UnixNano())
		return true
	})
}

// trust returns the account that a key is expected on.
func (l *Learner) trust(next *prediction.Prediction) *prediction.Trust {
	if next.Trust != nil {
		return next.Trust
	}
	if f := l.form(next.Key); f != nil {
		return &f.Trust
	}
	return &l.governor.Keys
}
