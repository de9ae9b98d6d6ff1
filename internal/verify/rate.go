package verify

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// Sampler chooses a share of what it is asked about, and no more than so many a second. It is safe
// for concurrent use, and takes no lock for what it does not choose.
type Sampler struct {
	below uint64 // of the random numbers, those that are chosen
	most  float64

	mu   sync.Mutex // a leaf
	left float64
	last time.Time
}

// NewSampler returns one that chooses a share of 0 to 1, and so many a second at most.
func NewSampler(share, most float64) *Sampler {
	below := uint64(math.MaxUint64)
	if share < 1 {
		below = uint64(share * math.MaxUint64)
	}
	return &Sampler{below: below, most: most, left: max(1, most)}
}

// Takes reports whether one is chosen.
func (s *Sampler) Takes() bool { return s != nil && rand.Uint64() <= s.below && s.allowed(time.Now()) }

func (s *Sampler) allowed(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if passed := now.Sub(s.last); !s.last.IsZero() && passed > 0 {
		s.left = min(max(1, s.most), s.left+passed.Seconds()*s.most)
	}
	s.last = now
	if s.left < 1 {
		return false
	}
	s.left--
	return true
}
