package prediction

import (
	"fmt"
	"testing"
)

// life is what became of one answer that a write killed.
type life struct {
	reads          int64
	asked, loading bool
}

func TestAKeyIsLoadedAgainWhileItsAnswersAreRead(t *testing.T) {
	t.Parallel()
	var (
		once   = life{asked: true}            // by the one that it was loaded for
		more   = life{reads: 3, asked: true}  // and by others
		used   = life{reads: 1}               // after it had been loaded again
		unread = life{}                       // although it had been
		hasty  = life{loading: true}          // killed before it was there
		many   = func(n int, l life) []life { // so many of a kind
			all := make([]life, n)
			for i := range all {
				all[i] = l
			}
			return all
		}
		join = func(parts ...[]life) (all []life) {
			for _, part := range parts {
				all = append(all, part...)
			}
			return all
		}
	)
	for name, test := range map[string]struct {
		lives []life
		want  bool // after the last one
	}{
		"read once":                                 {many(1, once), false},
		"read once, twice":                          {many(2, once), true},
		"read more than once":                       {many(1, more), true},
		"loaded again, and read":                    {join(many(2, once), many(1, used)), true},
		"loaded again, and not read":                {join(many(2, once), many(1, unread)), false},
		"not read, and then read once":              {join(many(2, once), many(1, unread), many(livesTried-3, once)), false},
		"not read, and tried again after a while":   {join(many(2, once), many(1, unread), many(livesTried, once)), true},
		"two of three are read":                     {join(many(8, used), many(1, unread), many(2, used), many(1, unread), many(2, used), many(1, unread)), false},
		"five of six are read":                      {join(many(8, used), many(1, unread), many(5, used), many(1, unread), many(5, used)), true},
		"many reads of one do not outweigh the two": {[]life{{reads: 1_000, asked: true}, unread, unread}, false},
		"a few writes in a row":                     {join(many(4, used), many(3, hasty)), true},
		"many writes in a row":                      {join(many(4, used), many(20, hasty)), false},
		"read again":                                {join(many(20, unread), many(12, used)), true},
	} {
		var (
			l   Lives
			got bool
		)
		for _, one := range test.lives {
			got = l.Ended(one.reads, one.asked, one.loading)
		}
		if got != test.want {
			t.Errorf("%s: loaded again: %t, want %t", name, got, test.want)
		}
	}
}

// TestRenewalsLeaveOutShapesWhoseLoadsAreWasted but try whether they still are, and hold little.
func TestRenewalsLeaveOutShapesWhoseLoadsAreWasted(t *testing.T) {
	t.Parallel()
	var (
		r   Renewals
		now int64
	)
	taken := func(shape string, rounds int, o Outcome) (n int) {
		for range rounds {
			now += second / 100
			if r.Takes(shape, now) {
				n++
				r.Try(&load{outcome: o}, shape)
			}
		}
		return n
	}
	taken("wasted", 100, Wasted)
	if n := taken("wasted", 160, Wasted); n == 0 || n > 160/triedShare+2 {
		t.Errorf("%d of 160 are taken of a shape whose loads are wasted", n)
	}
	if n := taken("used", 160, Useful); n != 160 {
		t.Errorf("%d of 160 are taken of a shape whose loads are used", n)
	}
	taken("wasted", 500, Useful)
	if n := taken("wasted", 160, Useful); n != 160 {
		t.Errorf("%d of 160 are taken of a shape whose loads are used again", n)
	}
	for n := range 3 * maxTold {
		taken(fmt.Sprint(n), 1, Wasted)
	}
	if n := r.Bytes(); n == 0 || n > maxTold*rateBytes+2*maxAttempts*(loadBytes+100) {
		t.Errorf("%d bytes are held", n)
	}
	if r.Clear(); r.Bytes() != 0 {
		t.Error("something is held after Clear")
	}
}

func TestAnAnswerIsRenewedThatPromisesToBeRead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		reads  int64
		passed float64
		want   bool
	}{{0, 0.9, false}, {1, 0.9, false}, {2, 0.9, true}, {100, 1, true}} {
		if got := Renews(test.reads, test.passed); got != test.want {
			t.Errorf("%d reads in %v of the TTL: %t, want %t", test.reads, test.passed, got, test.want)
		}
	}
}
