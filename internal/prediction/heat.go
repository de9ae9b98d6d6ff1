package prediction

import (
	"maps"
	"math"
	"unsafe"
)

const (
	// HotShare is the share of what ticks load, because it is hot, that is to be used.
	HotShare = 0.75
	// The limit of a Heat is looked at after so many outcomes.
	hotOutcomes = 16
	// hotCooling is what the limit falls by at a tick while nothing speaks against it, to see
	// whether what is less hot is used, too.
	hotCooling = 0.93

	// A read counts for about as many ticks as an answer is kept, and for hotMemory at least.
	hotMemory = 8
	// A key that was not hot for so many ticks is forgotten.
	hotForgotten = 16
	// Of a shape whose loads are wasted 1 in shapeTried is loaded, to see whether they still are.
	shapeTried = 8
)

// hotEnough are the uses that are expected of what is used at least once with a probability of
// HotShare, as those of events that come at a steady rate.
var hotEnough = -math.Log(1 - HotShare)

// Heat chooses what is loaded at a tick. It is what promises to be used while its answer is kept,
// by the rate at which it was read; where what promised as much was not, only what promises more;
// and of a shape whose loads are wasted, only something now and then to see whether they still are.
type Heat struct {
	limit        float64 // what promises fewer uses is not loaded; nor what promises fewer than hotEnough
	used, wasted float64 // outcomes; halved each time that the limit is looked at
	promised     float64 // the sum of the uses that those promised that were wasted
	accounts

	now     int // ticks
	rates   map[string]*rate
	evicted int64   // answers that had left for want of room at the last tick
	staying float64 // ticks that an answer stays before it leaves for want of room
}

// rate is how often a key is read.
type rate struct {
	count       int64   // of reads, when it was looked at last
	at          int     // the tick of then
	reads, over float64 // recent reads, and the ticks in which they were
}

// rateBytes is about what is held for a key or a shape, besides its text, which others hold.
const rateBytes = int64(unsafe.Sizeof(rate{})) + 64

// Bytes returns about how much memory is held.
func (h *Heat) Bytes() int64 {
	return int64(len(h.rates))*rateBytes + h.bytes()
}

// Review begins a tick. It looks what became of the loads of earlier ones, and sets the limit of
// this one. It is told how many answers there are, and how many have left for want of room so far.
// It returns the share of the loads that was used, where there were enough of them to tell.
func (h *Heat) Review(entries int, evicted int64) (share float64, enough bool) {
	h.now++
	h.staying = math.Inf(1)
	if left := evicted - h.evicted; left > 0 {
		h.staying = float64(entries) / float64(left)
	}
	h.evicted = evicted
	maps.DeleteFunc(h.rates, func(_ string, r *rate) bool { return h.now-r.at > hotForgotten })
	news := false
	h.settle(func(a attempt, o Outcome) {
		if o == Wasted {
			h.wasted++
			h.promised += a.uses
		} else {
			h.used++
		}
		news = true
	})
	all := h.used + h.wasted
	share, enough = h.used/max(1, all), all >= hotOutcomes
	h.limit = max(h.limit, hotEnough)
	if enough && share < HotShare {
		h.limit = max(2*h.limit, h.promised/h.wasted)
	} else if all < 1 || share >= HotShare {
		h.limit *= hotCooling
	}
	if enough || !news {
		h.used, h.wasted, h.promised = h.used/2, h.wasted/2, h.promised/2
	}
	return share, enough
}

// Uses returns how many uses a key promises while its answer is kept, which is so many ticks at
// most. It is told how often the key was read so far, and how many ticks ago for the last time:
// what was not read for longer than its answer is kept promises none.
func (h *Heat) Uses(key string, count int64, kept, silent float64) float64 {
	r := h.rates[key]
	if r == nil || count < r.count {
		// All reads count as those of the last tick.
		r = &rate{at: h.now - 1}
		if h.rates == nil {
			h.rates = map[string]*rate{}
		}
		h.rates[key] = r
	}
	kept = min(kept, h.staying)
	for fading := 1 - 1/max(hotMemory, kept); r.at < h.now; r.at++ {
		r.reads, r.over = fading*r.reads, fading*r.over+1
	}
	r.reads += float64(count - r.count)
	r.count = count
	if silent > kept {
		return 0
	}
	return Uses(r.reads, r.over, kept)
}

// Uses returns how many uses an answer promises while it is kept, from the reads that came over a
// time. Where events came at a rate that is known by so many of them only, the probability that
// none comes is that of as many successes in a row, of which each has over/(over+kept).
func Uses(reads, over, kept float64) float64 { return reads * math.Log1p(kept/over) }

// Hottest says how many uses a tick expects of one key at most. The limit is not far above that.
func (h *Heat) Hottest(uses float64) { h.limit = min(h.limit, 2*uses) }

// Takes reports whether a key of a shape that promises so many uses is to be loaded.
func (h *Heat) Takes(shape string, uses float64) bool {
	if uses < max(h.limit, hotEnough) {
		return false
	}
	t := h.of(shape)
	if t.open(0) || t.sum(0) <= hopeful {
		return true
	}
	if t.untried++; t.untried < shapeTried {
		return false
	}
	t.untried = 0
	return true
}

// Try notes that a key of a shape is loaded that promises so many uses.
func (h *Heat) Try(l Load, shape string, uses float64) { h.try(l, shape, uses) }
