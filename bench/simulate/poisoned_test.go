package simulate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
)

var poisonSeeds = flag.Int("poisons", 1, "how many seeds each poison is given with")

// A page of the journal shows a topic, the story that usually comes after it (nothing in the topic
// says which), the story's editor and the editor's desk.

type topic struct {
	_    struct{} `preload:""`
	ID   int64
	Name string
}

type story struct {
	_        struct{} `preload:""`
	ID       int64
	EditorID int64
}

type editor struct {
	_      struct{} `preload:""`
	ID     int64
	DeskID int64
}

type desk struct {
	_    struct{} `preload:""`
	ID   int64
	Name string
}

const (
	journalRows    = 600 // of each
	journalEntries = 300 // that are kept
	journalReaders = 5
	turning        = 300 * time.Millisecond // a page
	journalQuery   = 2 * time.Millisecond
	interval       = 5 * time.Second

	soundFor    = 8 // intervals before the poison
	poisonedFor = 10
	mendedFor   = 3 // after it has to be back
	goesOff     = 2 // within so many intervals
	isBack      = 3 // within so many intervals
	// leftAlone is for how many more intervals loads leave a pool alone that was full: for a minute.
	leftAlone = 12
	started   = 3 // the level at which the plugin starts
	// vainMost is how many loads a read there may be, once it is off, of what the poison makes vain:
	// those that are made to see whether it still does.
	vainMost = 0.1
)

func fillJournal(db *gorm.DB) error {
	if err := db.AutoMigrate(&topic{}, &story{}, &editor{}, &desk{}); err != nil {
		return err
	}
	var (
		topics  []topic
		stories []story
		editors []editor
		desks   []desk
	)
	for i := range int64(journalRows) {
		topics = append(topics, topic{ID: 1_000 + i, Name: fmt.Sprint("topic", i)})
		stories = append(stories, story{ID: 10_000 + i, EditorID: 100_000 + (i*7+3)%journalRows})
		editors = append(editors, editor{ID: 100_000 + i, DeskID: 1_000_000 + (i*11+5)%journalRows})
		desks = append(desks, desk{ID: 1_000_000 + i, Name: fmt.Sprint("desk", i)})
	}
	for _, rows := range []any{topics, stories, editors, desks} {
		if err := db.CreateInBatches(rows, 500).Error; err != nil {
			return err
		}
	}
	return nil
}

// poison is what goes wrong.
type poison struct {
	name        string
	connections int
	// scattered: what is read has nothing to do with what was read before.
	scattered bool
	// failing: loads in the background fail.
	failing bool
	// outdated: what comes next is written just before it is read.
	outdated bool
	// full: so many more readers use the pool.
	full int
}

// journal is the world, and what was measured in it.
type journal struct {
	*world
	poison
	poisoned atomic.Bool
	closed   atomic.Bool
	writing  chan struct{}

	mu         sync.Mutex
	took       [3][]time.Duration // of reads: before, with and after the poison
	phase      int
	levels     []int
	loads      []int  // by intervals
	outcomes   int64  // of loads that were expected, while it is off
	background [3]int // queries
	off        bool   // the poison works for goesOff intervals
	vain       int    // background queries of what it makes vain, since then
	reads      int    // since then
	wrong      []string
}

func read[T any](j *journal, ctx context.Context, id int64) (found T) {
	begun := time.Now()
	err := j.db.WithContext(ctx).Where("id = ?", id).Take(&found).Error
	j.mu.Lock()
	defer j.mu.Unlock()
	j.took[j.phase] = append(j.took[j.phase], time.Since(begun))
	if j.off {
		j.reads++
	}
	if err != nil && len(j.wrong) < 5 {
		j.wrong = append(j.wrong, err.Error())
	}
	return found
}

// write changes a row to what it is.
func write[T any](j *journal, ctx context.Context, id int64, column string, value any) {
	j.writing <- struct{}{}
	defer func() { <-j.writing }()
	if err := j.db.WithContext(ctx).Model(new(T)).Where("id = ?", id).Update(column, value).Error; err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.wrong = append(j.wrong, err.Error())
	}
}

// back returns within how many intervals after the poison it has to be back.
func (p poison) back() int {
	if p.full > 0 {
		return leftAlone + isBack
	}
	return isBack
}

func sum(all []int) (n int) {
	for _, one := range all {
		n += one
	}
	return n
}

// outcomesOf returns how many loads that were expected have had an outcome.
func outcomesOf(s preload.PredictionStats) int64 { return s.Useful + s.Late + s.Wasted }

// page shows a page.
func (j *journal) page(r *rand.Rand, session string, pause time.Duration) {
	ctx := preload.ContextWithSession(context.WithValue(context.Background(), demand{}, true), session)
	n := r.Int64N(journalRows)
	read[topic](j, ctx, 1_000+n)
	next := func(usual int64, from int64) int64 {
		time.Sleep(pause / 10)
		if j.scattered && j.poisoned.Load() {
			return from + r.Int64N(journalRows)
		}
		return usual
	}
	outdated := j.outdated && j.poisoned.Load()
	s := read[story](j, ctx, next(10_000+(n*13+1)%journalRows, 10_000))
	at := next(s.EditorID, 100_000)
	if outdated {
		write[editor](j, ctx, at, "desk_id", 1_000_000+((at-100_000)*11+5)%journalRows)
	}
	e := read[editor](j, ctx, at)
	at = next(e.DeskID, 1_000_000)
	if outdated {
		write[desk](j, ctx, at, "name", fmt.Sprint("desk", at-1_000_000))
	}
	read[desk](j, ctx, at)
}

// publish has the journal read while it is sound, poisoned, and mended.
func publish(t *testing.T, p poison, seed uint64, worker bool) (j *journal) {
	t.Helper()
	inTime(t, func(t *testing.T) {
		opts := []preload.Option{preload.WithMaxEntries(journalEntries), preload.WithInterval(interval), preload.WithTTL(time.Hour)}
		if !worker {
			opts = append(opts, preload.WithoutWorker())
		}
		j = &journal{world: newWorld(t, p.connections, fillJournal, opts...), poison: p, writing: make(chan struct{}, 1)}
		j.probe.Before(func(c dbtest.Call) error {
			if c.Op != "query" && c.Op != "exec" {
				return nil
			}
			if !isDemand(c.Context) {
				j.mu.Lock()
				j.background[j.phase]++
				if j.off && (!j.outdated || !strings.Contains(c.SQL, "stories")) {
					j.vain++
				}
				j.mu.Unlock()
			}
			time.Sleep(journalQuery)
			if !isDemand(c.Context) && j.failing && j.poisoned.Load() {
				return errors.New("a load failed")
			}
			return nil
		})
		var readers sync.WaitGroup
		start := func(i uint64, open func() bool, pause time.Duration) {
			r := rand.New(rand.NewPCG(seed, i))
			readers.Go(func() {
				time.Sleep(time.Duration(r.Int64N(int64(turning))))
				for page := 0; open(); page++ {
					j.page(r, fmt.Sprint("reader ", i, " ", page/20), pause)
					time.Sleep(pause)
				}
			})
		}
		for i := range uint64(journalReaders) {
			start(i, func() bool { return !j.closed.Load() }, turning)
		}
		for phase, intervals := range []int{soundFor, poisonedFor, p.back() + mendedFor} {
			j.mu.Lock()
			j.phase = phase
			j.mu.Unlock()
			j.poisoned.Store(phase == 1)
			if phase == 1 {
				for i := range p.full {
					start(uint64(1_000+i), j.poisoned.Load, 0)
				}
			}
			for n := range intervals {
				before := j.plugin.Stats().Prediction
				j.mu.Lock()
				j.off = phase == 1 && n >= goesOff
				loads := j.background[phase]
				j.mu.Unlock()
				time.Sleep(interval)
				now := j.plugin.Stats().Prediction
				j.mu.Lock()
				j.levels, j.loads = append(j.levels, now.Level), append(j.loads, j.background[phase]-loads)
				if j.off {
					j.outcomes += outcomesOf(now) - outcomesOf(before)
				}
				j.mu.Unlock()
			}
		}
		j.closed.Store(true)
		readers.Wait()
		if len(j.wrong) > 0 {
			t.Errorf("%s: %s", p.name, strings.Join(j.wrong, "; "))
		}
		if err := j.plugin.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func TestPoisoned(t *testing.T) {
	rows := [][]string{{"poison", "seed", "p99 (without), loads a read", "with the poison", "after it", "levels", "loads", "in vain"}}
	for _, p := range []poison{
		{name: "associations end", connections: 20, scattered: true},
		{name: "loads fail", connections: 20, failing: true},
		{name: "written before read", connections: 20, outdated: true},
		{name: "pool full", connections: 6, full: 7},
	} {
		for seed := range uint64(*poisonSeeds) {
			off, on := publish(t, p, seed, false), publish(t, p, seed, true)
			row := []string{p.name, fmt.Sprint(seed)}
			for phase := range on.took {
				queries := len(off.took[phase])
				slowest, without := percentile(on.took[phase], .99), percentile(off.took[phase], .99)
				row = append(row, fmt.Sprintf("%v (%v), %.4f", slowest, without, share(float64(on.background[phase]), float64(queries))))
				if float64(slowest) > 1.1*float64(without) && slowest > without+journalQuery/2 { // of so few reads chance can change the latter
					t.Errorf("%s: the slowest of 100 reads takes %v, without loads ahead %v", p.name, slowest, without)
				}
			}
			rows = append(rows, append(row, fmt.Sprint(on.levels), fmt.Sprint(on.loads), fmt.Sprintf("%.4f", share(float64(on.vain), float64(on.reads)))))
			if on.levels[soundFor-1] < started || on.background[0] < len(on.took[0])/10 {
				t.Errorf("%s: before, the level is %d, with %d loads for %d reads", p.name, on.levels[soundFor-1], on.background[0], len(on.took[0]))
			}
			most := vainMost
			if p.full > 0 {
				most = 0.01
			}
			if vain := share(float64(on.vain), float64(on.reads)); vain > most || on.reads == 0 {
				t.Errorf("%s: it is not off after %d intervals: %.4f loads a read that are in vain", p.name, goesOff, vain)
			}
			if p.full > 0 && on.outcomes > 0 {
				t.Errorf("%s: %d loads have outcomes, but none was made", p.name, on.outcomes)
			}
			if back := soundFor + poisonedFor + p.back(); slices.Max(on.levels[soundFor+poisonedFor:back]) < started ||
				share(float64(sum(on.loads[back:])), mendedFor) < share(float64(sum(on.loads[:soundFor])), 2*soundFor) {
				t.Errorf("%s: it is not back within %d intervals: levels %v, loads %v", p.name, p.back(), on.levels, on.loads)
			}
		}
	}
	t.Logf("\n\n%s", table(rows))
}
