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
	var rested, ran time.Duration
	for turn := range 1_000 {
		took := n * each
		if turn%3 > 0 {
			took += 20 * time.Millisecond
		}
		rested += p.rest(n, took)
		ran += n*each + waking
	}
	if least, most := share*ran*8/10, share*ran*5/2; rested < least || rested > most {
		t.Errorf("rested for %v after turns that ran for %v, want %v to %v", rested, ran, least, most)
	}
	if p := (&pace{}); p.rest(0, 0) < waking {
		t.Errorf("a turn without accesses is followed by a rest of %v", p.rest(0, 0))
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
		p.rest(64, 64*time.Microsecond)
	}
	if usual, worth := p.rarity(false), p.rarity(true); usual != usualRarity || worth != 0 || !p.timely() {
		t.Errorf("rarity %d, and %d where it is worth it; want %d and 0", usual, worth, usualRarity)
	}
	for range 4 * crowd {
		p.rest(learnedAtOnce, learnedAtOnce*time.Microsecond)
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
		p.rest(1, time.Microsecond)
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
