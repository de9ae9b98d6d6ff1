package template

import "testing"

// A question that takes too long is asked again once more answers were read from memory, twice as
// many each time.
func TestWhatTookLongIsAskedAgainLater(t *testing.T) {
	t.Parallel()
	var r trial
	var hits, before int64
	for range 4 {
		if !r.pays(hits) {
			t.Fatalf("after %d hits nothing is asked", hits)
		}
		r.asked.Add(1)
		r.tookLong()
		begun := hits
		for !r.pays(hits) {
			hits++
		}
		waited := hits - begun
		if waited <= before {
			t.Errorf("asked again after %d hits, want more than %d", waited, before)
		}
		before = waited
	}
	for range 100 {
		r.tookLong()
	}
	if !r.pays(100 * (triedFirsts << mostSlow)) {
		t.Error("nothing is asked any more")
	}
}
