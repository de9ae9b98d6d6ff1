package template

import (
	"testing"

	"github.com/gorm-preload/preload/internal/cache"
)

// TestWhatIsNeverAskedAgainIsKeptSeldom while others have to leave for it, until something of it is
// asked again.
func TestWhatIsNeverAskedAgainIsKeptSeldom(t *testing.T) {
	t.Parallel()
	c := cache.New(cache.Config{Waits: cache.UsualWaits})
	tmpl := &Template{set: &Set{Config: Config{Cache: c}}, family: &family{Tally: new(cache.Tally)}}
	// ask asks so many queries, with so many hits after each hundred, and returns how many answers
	// are kept and how often it was news that most are not.
	ask := func(n, hits int, evicts bool) (kept, news int) {
		for i := range n {
			keep, isNews := tmpl.Keep()
			if keep {
				kept++
				if evicts {
					c.Counts.Evicted.Add(1)
				}
			}
			if isNews {
				news++
			}
			if i%100 == 99 {
				tmpl.Tally.Hits.Add(int64(hits))
			}
		}
		return kept, news
	}
	for _, step := range []struct {
		name                   string
		asked, hits            int
		evicts                 bool
		least, most, wantsNews int
	}{
		{"nothing has to leave", 5 * judgedAnswers, 0, false, 5 * judgedAnswers, 5 * judgedAnswers, 0},
		{"they are asked again", 5 * judgedAnswers, 2, true, 5 * judgedAnswers, 5 * judgedAnswers, 0},
		{"they are not", 2 * judgedAnswers, 0, true, judgedAnswers, 2*judgedAnswers - 1, 1},
		{"nor later", 16_000, 0, true, 1_000, 1_000, 0},
		{"they are asked again later", 400, 1, true, 300, 400, 0},
	} {
		if kept, news := ask(step.asked, step.hits, step.evicts); kept < step.least || kept > step.most || news != step.wantsNews {
			t.Errorf("%s: %d of %d are kept, want %d to %d; news %d times, want %d", step.name, kept, step.asked, step.least, step.most, news, step.wantsNews)
		}
	}
	// The counters are set to zero.
	c.ClearCounts()
	tmpl.Tally.Hits.Clear()
	if kept, _ := ask(100, 0, false); kept != 100 {
		t.Errorf("%d of 100 are kept after Clear, want all as before", kept)
	}
}
