package association

import (
	"runtime"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/prediction"
)

// TestLearningIsPacedByProcessorTime has most turns stand still for a while, as they do where
// others have the processors.
func TestLearningIsPacedByProcessorTime(t *testing.T) {
	t.Parallel()
	const each, n = 3 * time.Microsecond, 100
	share := max(1, learningShare/time.Duration(runtime.GOMAXPROCS(0)))
	var p pace
	var now, begun time.Time
	var stood, ran time.Duration
	for turn := range 1_000 {
		took := n * each
		if turn%3 > 0 {
			took += 5 * time.Millisecond
			stood += 5 * time.Millisecond
		}
		now = now.Add(took)
		now = now.Add(p.rest(n, took, now, false))
		ran += n*each + waking
	}
	if passed, least, most := now.Sub(begun), share*ran*8/10, share*ran*5/2; passed < least || passed > most || passed < stood {
		t.Errorf("%v passed with turns that ran for %v, want %v to %v", passed, ran, least, most)
	}
}

// TestLearningRestsOnceItTookTooMuch has a learner wake for each of some accesses, and for too many.
func TestLearningRestsOnceItTookTooMuch(t *testing.T) {
	t.Parallel()
	const each, some = 10 * time.Microsecond, 200
	share := max(1, learningShare/time.Duration(runtime.GOMAXPROCS(0)))
	costs := share * (each + waking)
	for name, c := range map[string]struct {
		apart       time.Duration
		busy, rests bool
	}{
		"as many as there is time for":      {costs + time.Microsecond, false, false},
		"twice as many":                     {costs / 2, false, true},
		"as many, and others are held up":   {costs + time.Microsecond, true, true},
		"a quarter, and others are held up": {busyShare*costs + time.Microsecond, true, false},
	} {
		p := pace{usual: each}
		var now time.Time
		first := -1
		for turn := range 100 * some {
			now = now.Add(c.apart)
			rest := p.rest(1, each, now, c.busy)
			if now = now.Add(rest); rest > 0 && first < 0 {
				first = turn
			}
		}
		if rests := first >= 0; rests != c.rests {
			t.Errorf("%s: rests: %t, want %t", name, rests, c.rests)
		}
		if least := int(burst / costs / busyShare); first >= 0 && first < least {
			t.Errorf("%s: it rests after %d turns, want none in the first %d", name, first, least)
		}
	}
}

// TestTheSampleIsWhatThereIsTimeFor follows a learner from its first accesses on.
func TestTheSampleIsWhatThereIsTimeFor(t *testing.T) {
	t.Parallel()
	var p pace
	if got := p.rarity(false); got != 0 {
		t.Errorf("rarity %d at first, want that all is learned", got)
	}
	for range usualRarity * firstAccesses / 64 {
		p.rest(64, 64*time.Microsecond, time.Time{}, false)
	}
	if usual, worth := p.rarity(false), p.rarity(true); usual != usualRarity || worth != 0 || !p.timely() {
		t.Errorf("rarity %d, and %d where it is worth it; want %d and 0", usual, worth, usualRarity)
	}
	for range 4 * crowd {
		p.rest(learnedAtOnce, learnedAtOnce*time.Microsecond, time.Time{}, false)
	}
	if got := p.rarity(false); got != usualRarity+4 {
		t.Errorf("rarity %d where it does not keep up, want %d", got, usualRarity+4)
	}
	walks := 0
	for range 160 {
		if p.timely() {
			walks++
		}
	}
	if walks != 10 {
		t.Errorf("it walks from %d of 160 accesses, want 10", walks)
	}
	for range 4 * calm {
		p.rest(1, time.Microsecond, time.Time{}, false)
	}
	if got := p.rarity(false); got != usualRarity {
		t.Errorf("rarity %d where it keeps up again, want %d", got, usualRarity)
	}
}

// TestSessionsAreSampledWhole draws many.
func TestSessionsAreSampledWhole(t *testing.T) {
	t.Parallel()
	const second, sessions = int64(time.Second), 1 << 14
	open := make(chan struct{})
	for name, session := range map[string]func(n int) (uint64, prediction.Session){
		"named": func(n int) (uint64, prediction.Session) {
			return uint64(n) << 32, prediction.Session{ID: uint64(n) << 32}
		},
		"of a context": func(n int) (uint64, prediction.Session) {
			return 0xc000_0000 + uint64(n), prediction.Session{Done: open}
		},
	} {
		rare := 0
		for n := range sessions {
			spread, s := session(n + 1)
			rarity := rarityOf(spread, s, 1_000*second)
			if again := rarityOf(spread, s, 1_000*second+second/100); again != rarity && s.ID != 0 {
				t.Fatalf("%s: session %d is of a rarity of %d and then of %d", name, n, rarity, again)
			}
			if rarity >= usualRarity {
				rare++
			}
		}
		if rare < sessions/16*8/10 || rare > sessions/16*12/10 {
			t.Errorf("%s: %d of %d sessions are sampled, want 1 in 16", name, rare, sessions)
		}
	}
	// Accesses without a session are of one, whoever makes them, for about a second.
	rare := 0
	for n := range int64(sessions) {
		at := n << unnamedTurn
		rarity := rarityOf(1, prediction.Session{}, at)
		if rarityOf(2, prediction.Session{}, at+1<<unnamedTurn-1) != rarity {
			t.Fatal("accesses without a session are sampled by halves")
		}
		if rarity >= usualRarity {
			rare++
		}
	}
	if rare < sessions/16*8/10 || rare > sessions/16*12/10 {
		t.Errorf("%d of %d stretches are sampled, want 1 in 16", rare, sessions)
	}
}
