package prediction

import "slices"

const (
	// HotShare is the share of what ticks load, because it is hot, that is to be used.
	HotShare = 0.75
	// The limit of a Heat is looked at after so many outcomes.
	hotOutcomes = 16
	// hotCooling is what the limit falls by at a tick while nothing speaks against it, to see
	// whether what is less hot is used, too.
	hotCooling = 0.93
	// maxHot bounds the loads whose outcome is waited for.
	maxHot = 1 << 10
)

// Heat chooses what is loaded at a tick by how hot was hot enough to be used. How hot a key is, is
// how many uses of its answer its score promises.
type Heat struct {
	limit        float64 // what promises fewer uses is not loaded
	used, wasted float64 // outcomes; halved each time that the limit is looked at
	promised     float64 // the sum of the uses that those promised that were wasted
	tried        []attempt
}

// attempt is the load of a hot key whose outcome is not known yet.
type attempt struct {
	Load
	uses float64 // that were promised
}

// Review looks what became of the loads of earlier ticks, and sets the limit of this one. It
// returns the share of them that was used, where there were enough of them to tell.
func (h *Heat) Review() (share float64, enough bool) {
	news := false
	late := len(h.tried) - maxHot
	h.tried = slices.DeleteFunc(h.tried, func(a attempt) bool {
		o, decided := a.Outcome()
		if late--; late >= 0 && !decided {
			o, decided = Wasted, true
		}
		switch {
		case !decided || o == Void:
			return decided
		case o == Wasted:
			h.wasted++
			h.promised += a.uses
		default:
			h.used++
		}
		news = true
		return true
	})
	all := h.used + h.wasted
	share, enough = h.used/max(1, all), all >= hotOutcomes
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

// Hottest says how many uses the hottest key of a tick promises. The limit is not far above that.
func (h *Heat) Hottest(uses float64) { h.limit = min(h.limit, 2*uses) }

// TooCold reports whether a key that promises so many uses is not to be loaded.
func (h *Heat) TooCold(uses float64) bool { return uses < h.limit }

// Try notes that a key is loaded that promises so many uses.
func (h *Heat) Try(l Load, uses float64) { h.tried = append(h.tried, attempt{l, uses}) }
