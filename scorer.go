package preload

import (
	"math"
	"time"

	"github.com/gorm-preload/preload/internal/hotness"
)

// Scorer says how hot a key is. Implementations must be safe for concurrent use.
//
// A key has a weight in log space, whose order among keys does not change as time passes, so that
// nothing has to be scanned again; and a score at a moment, which is what WithThreshold is compared
// with.
type Scorer interface {
	// Weigh returns the weight of a key after one more access at now. weight is the one before,
	// -Inf before the first access; count is the number of accesses, this one included. A weight
	// never falls.
	Weigh(weight float64, count int64, now time.Time) float64
	// Score returns the score at now of a key with this weight and count, last accessed at last.
	Score(weight float64, count int64, last, now time.Time) float64
}

// Pattern is the access statistics of a key.
type Pattern struct {
	Key        string
	Count      int64     // accesses since the key was first tracked
	LastAccess time.Time // by the plugin's clock
	Score      float64   // when Hot was called
	Related    []string  // what RecordAccess declared to follow this key
}

// epoch is where hours are counted from, in seconds of Unix time: near enough that a weight keeps
// its precision.
const epoch = 1_577_836_800

func hours(t time.Time) float64 {
	return (float64(t.Unix()-epoch) + float64(t.Nanosecond())*1e-9) * (1. / 3600)
}

// NewCountScorer returns the scorer whose score is count * decay^(hours since the last access).
// decay is in (0, 1].
//
// With lambda = -ln(decay) per hour the order of two such scores is that of ln(count) +
// lambda*last, whatever the time.
func NewCountScorer(decay float64) Scorer {
	return &countScorer{decay: decay, lambda: -math.Log(decay)}
}

type countScorer struct{ decay, lambda float64 }

func (s *countScorer) Weigh(_ float64, count int64, now time.Time) float64 {
	return hotness.Log(count) + s.lambda*hours(now)
}

func (s *countScorer) Score(_ float64, count int64, last, now time.Time) float64 {
	return float64(count) * math.Pow(s.decay, max(0, now.Sub(last).Hours()))
}

// NewFrequencyScorer returns the scorer whose score is the number of accesses, each counted
// decay^(hours since it happened) times: the exponentially decayed frequency (Cormode et al.,
// "Forward Decay", ICDE 2009). decay is in (0, 1].
func NewFrequencyScorer(decay float64) *FrequencyScorer {
	return &FrequencyScorer{lambda: -math.Log(decay)}
}

// FrequencyScorer scores by decayed frequency. See NewFrequencyScorer.
type FrequencyScorer struct{ lambda float64 }

// Weigh implements Scorer.
func (s *FrequencyScorer) Weigh(weight float64, _ int64, now time.Time) float64 {
	access := s.lambda * hours(now)
	if weight < access {
		weight, access = access, weight
	}
	return weight + math.Log1p(math.Exp(access-weight))
}

// Score implements Scorer.
func (s *FrequencyScorer) Score(weight float64, _ int64, _, now time.Time) float64 {
	return math.Exp(weight - s.lambda*hours(now))
}

// Expected returns how many accesses to expect within d, from a score: accesses that come evenly at
// r per hour have a score of r/lambda. With a decay of 1 nothing is ever forgotten and no rate can
// be told: 0.
func (s *FrequencyScorer) Expected(score float64, d time.Duration) float64 {
	return score * s.lambda * d.Hours()
}
