package cache

import (
	"sync/atomic"
	"time"
)

// How long a reader waits for what another one loads: four times as long as such a load usually
// takes, within bounds. It is the bound of all that one reader waits; half of it after a load began
// one of those who wait for it takes it over, so that the others still have time to wait for that
// one.
const (
	WaitFactor = 4
	leastWait  = 20 * time.Millisecond
	mostWait   = time.Second
	// firstWait is for loads of which none was seen to end.
	firstWait = 250 * time.Millisecond
	// A load that usually takes longer than mostWait is waited for all the same, in three times
	// that: to run it once for each reader costs most where it is slow.
	waitSlow = 3
)

// Waits are the bounds.
type Waits struct{ Least, Most, First time.Duration }

// UsualWaits are the bounds that the package is made for.
var UsualWaits = Waits{Least: leastWait, Most: mostWait, First: firstWait}

// Pace is a moving estimate of how long a load usually takes, in nanoseconds; 0 while none is
// known. It rises quickly and falls slowly, so that a load is seldom thought to be late.
type Pace struct {
	Usual atomic.Int64
	slow  atomic.Int64 // what one of a hundred takes longer than
}

// An estimate of a quantile settles where what raises it, one time in a hundred, is as much as what
// lowers it the other times.
const (
	slowUp   = 1.25
	slowDown = 0.99775 // the 99th root of 1/1.25
)

// Took notes how long a load took that was answered. A single one that was stuck for a while says
// little, so that none counts for much more than is usual. A note that is lost to another one at
// the same time does not matter.
func (p *Pace) Took(d time.Duration) {
	slow := float64(p.slow.Load())
	switch took := max(1, float64(d)); {
	case slow == 0:
		slow = took * slowUp
	case took > slow:
		slow = max(slow*slowUp, min(took, 2*slow))
	default:
		slow = max(1, slow*slowDown)
	}
	p.slow.Store(int64(slow))
	usual := p.Usual.Load()
	most := max(WaitFactor*usual, int64(leastWait))
	if usual == 0 {
		most = int64(mostWait)
	}
	last := max(1, min(int64(d), most))
	switch {
	case usual == 0:
		usual = last
	case last > usual:
		usual += (last - usual + 1) / 2
	default:
		usual -= (usual - last) / 8
	}
	p.Usual.Store(usual)
}

// Slow returns what about one of a hundred such loads takes longer than, 0 while that is not known.
func (p *Pace) Slow() time.Duration { return time.Duration(p.slow.Load()) }

// patience is how long a reader waits for such a load.
func (p *Pace) patience(w *Waits) time.Duration {
	usual := time.Duration(p.Usual.Load())
	if usual == 0 {
		return w.First
	}
	return max(w.Least, min(WaitFactor*usual, w.Most), waitSlow*usual)
}

// OwnPaces has the paces of own data, of which there are no templates: keys share places.
type OwnPaces [256]Pace

// Of returns the pace of a key.
func (ps *OwnPaces) Of(key string) *Pace { return &ps[Hash(key)%uint64(len(ps))] }
