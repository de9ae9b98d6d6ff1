package prediction

// bands are how likely something is expected, and how many steps ahead, the surest first. They come
// from the levels of eagerness in Srinath et al., "Feedback Directed Prefetching" (HPCA 2007).
var bands = [...]struct {
	probability float64
	depth       int
}{
	{0.95, 1},
	{0.8, 2},
	{0.6, 3},
	{0.5, 4},
	{0.35, 4},
}

// bandOf returns the first band that something belongs to, len(bands) where it belongs to none.
func bandOf(p *Prediction) int {
	for b := range bands {
		if p.Probability >= bands[b].probability && p.Depth <= bands[b].depth {
			return b
		}
	}
	return len(bands)
}

const (
	// Whether the loads of a band are used often enough is told by a sum that does not fall below
	// 0, after Page, "Continuous Inspection Schemes" (Biometrika 1954). It rises while fewer than 1
	// of 3 loads is used: quickly where none is, slowly where it is hard to tell.
	wastedRises = 2
	usedFalls   = 4
	// usedLateFalls is in place of usedFalls where lateMuch of what is used is late: then something
	// is to be loaded earlier, at the cost of being used less.
	usedLateFalls = 5
	lateMuch      = 0.25
	lateOf        = 16
	// Where the processors are busy, a load that is wasted costs the application what it takes, and
	// one that is used takes from nobody but gives nothing either: there, the sum rises while fewer
	// than 4 of 5 are used.
	wastedRisesBusy = 8
	usedFallsBusy   = 2
	// A band whose sum is distrusted is not loaded any more. Its sum goes on from closed, and where
	// it has fallen to distrusted again, from mended.
	distrusted = 20
	closed     = 32
	mended     = 8

	// triedShare: of what is not loaded for want of trust 1 in so many is, to see whether it is
	// used, and one a second; but of all accounts together no more than triedMost a second of the
	// latter. Once the sum has fallen to hopeful again, all is tried.
	triedShare = 16
	triedMost  = 2
	hopeful    = closed - 2*usedFalls

	// A load that is unread is wasted after several times as long as it takes until 4 of 5 of those
	// that are used are read, within bounds.
	several       = 4
	firstUsual    = 0.5 // seconds, while nothing was read
	leastUsual    = 0.125
	leastPatience = 1
	mostPatience  = 60
	usualRises    = 1.5
	usualFalls    = 0.9 // usualFalls^4 * usualRises is about 1
)

// Trust is how much is loaded of what is expected on one account: that of a rule, or that of the
// template of what the chain expects. It follows what becomes of these loads.
type Trust struct {
	sums  [len(bands)]int8
	late  float32 // the share of what is used that is late
	usual float32 // seconds until 4 of 5 of what is used are read; 0 while nothing was
	// What was not tried since something was at last, and when that was.
	untried int8
	tried   int64
}

func (t *Trust) sum(band int) int8 { return t.sums[band] }

// open reports whether what is in a band is loaded.
func (t *Trust) open(band int) bool { return t.sum(band) < distrusted }

// level returns how many bands are loaded, the surest first.
func (t *Trust) level() (n int) {
	for n < len(bands) && t.open(n) {
		n++
	}
	return n
}

// outcome notes what became of a load in a band, and whether the processors were busy then. What is
// less likely cannot be expected to be used more, nor what is likelier to be used less.
func (t *Trust) outcome(o Outcome, band int, busy bool) {
	if o == Wasted {
		for b := band; b < len(bands); b++ {
			t.add(b, rises(busy))
		}
		return
	}
	late := float32(0)
	if o == Late {
		late = 1
	}
	t.late += (late - t.late) / lateOf
	falls := int8(usedFalls)
	switch {
	case busy:
		falls = usedFallsBusy
	case t.late >= lateMuch:
		falls = usedLateFalls
	}
	for b := range band + 1 {
		t.add(b, -falls)
	}
}

// mend takes back that a load counted as wasted.
func (t *Trust) mend(band int, busy bool) {
	for b := band; b < len(bands); b++ {
		t.add(b, -rises(busy))
	}
}

// rises returns what a sum rises by for a load that was wasted.
func rises(busy bool) int8 {
	if busy {
		return wastedRisesBusy
	}
	return wastedRises
}

func (t *Trust) add(band int, n int8) {
	before := t.sum(band)
	after := min(max(0, before+n), closed)
	switch {
	case before < distrusted && after >= distrusted:
		after = closed
	case before >= distrusted && after <= distrusted:
		after = mended
	}
	t.sums[band] = after
}

// tries reports whether something is loaded that is not trusted, to see whether it is used.
// last is when any account tried something because a second had passed.
func (t *Trust) tries(band int, now int64, last *int64) bool {
	t.untried++
	switch {
	case !t.open(band) && t.sum(band) <= hopeful:
	case t.untried >= triedShare:
	case now-t.tried >= second && now-*last >= second/triedMost:
		*last = now
	default:
		return false
	}
	t.untried, t.tried = 0, now
	return true
}

// patience returns after how many seconds a load that is unread is wasted.
func (t *Trust) patience() float32 {
	usual := t.usual
	if usual == 0 {
		usual = firstUsual
	}
	return min(max(leastPatience, several*usual), mostPatience)
}

// read notes after how many seconds a load was read. None that took very long counts for much.
func (t *Trust) read(age float32) {
	if t.usual == 0 {
		t.usual = firstUsual
	}
	if age > t.usual {
		t.usual = min(t.usual*usualRises, age, mostPatience/several)
	} else {
		t.usual = max(t.usual*usualFalls, age, leastUsual)
	}
}
