package workload

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/bench/measure"
	"gorm.io/gorm"
)

// Study is a workload that is not an operation: what it finds out are figures.
type Study struct {
	Name  string
	About string
	// Run finds them out, with about so many rounds where it measures time.
	Run func(p *Place, rounds int) ([]Figure, error)
}

// Figure is a number that a study found out.
type Figure struct {
	Name  string
	Value float64
	Unit  string
}

// Studies are all of them.
func Studies() []Study {
	return []Study{
		{"W1-parallel", "W1 by several goroutines at once: operations a second, as multiples of those of one", parallel},
		{"learning", "W1 in sessions, by as many goroutines as processors: operations a second where what follows what is learned, of those where it is not", learning},
		{"W7", "95 % reads and 5 % updates of the same 1,000 rows", mixed},
		{"W8", "64 readers of one key that is not in memory", crowd},
		{"W9", "10,000 rows in memory, each an answer of W1", memory},
		{"S2", "W1 by several goroutines, with another store", otherStores},
	}
}

// parallel measures how W1 scales, next to how a callback that does nothing does, and a cache
// written by hand.
func parallel(p *Place, rounds int) ([]Figure, error) {
	variants, err := reads()[0].Open(p)
	if err != nil {
		return nil, err
	}
	var figures []Figure
	for _, name := range []string{"callback", "aside-go-cache", "preload", "prepared"} {
		v := variants[slices.IndexFunc(variants, func(v Variant) bool { return v.Name == name })]
		rates, err := scale(v, rounds)
		if err != nil {
			return nil, err
		}
		for _, n := range goroutines[1:] {
			figures = append(figures, Figure{fmt.Sprintf("%s, %d goroutines", name, n), rates[n] / rates[1], "x"})
		}
	}
	return figures, nil
}

var goroutines = []int{1, 2, 32}

// scale returns how many operations a nanosecond so many goroutines do, the medians of slices in
// turns.
func scale(v Variant, rounds int) (map[int]float64, error) {
	for i := range 1 << 14 {
		if err := v.Do(i); err != nil {
			return nil, err
		}
	}
	rates := map[int][]float64{}
	for round := range max(3, rounds/10) {
		for i := range goroutines {
			n := goroutines[(round+i)%len(goroutines)]
			rate, err := rate(v.Do, n, 10*time.Millisecond)
			if err != nil {
				return nil, err
			}
			rates[n] = append(rates[n], rate)
		}
	}
	medians := map[int]float64{}
	for n, all := range rates {
		slices.Sort(all)
		medians[n] = measure.Quantile(all, .5)
	}
	return medians, nil
}

// rate returns how many operations a nanosecond so many goroutines do.
func rate(do func(i int) error, goroutines int, slice time.Duration) (float64, error) {
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	start := time.Now()
	for g := range goroutines {
		wg.Go(func() {
			i := g * 1_000
			for ; time.Since(start) < slice; i += 16 {
				for j := range 16 {
					if err := do(i + j); err != nil {
						failed.Store(&err)
						return
					}
				}
			}
			done.Add(int64(i - g*1_000))
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(done.Load()) / float64(time.Since(start)), nil
}

// learning measures what it costs to record accesses and to learn from them. The slices are long,
// so that in each the learner is as busy as it may be.
func learning(p *Place, rounds int) ([]Figure, error) {
	sessions := make([]context.Context, 1_000)
	for i := range sessions {
		sessions[i] = preload.ContextWithSession(context.Background(), fmt.Sprint(i))
	}
	drawn := draws(people)
	var ways [2]func(i int) error
	for i, options := range [][]preload.Option{{preload.WithoutWorker()}, nil} {
		db, _, err := p.plugged(options...)
		if err != nil {
			return nil, err
		}
		ways[i] = func(i int) error {
			var found Person
			user := users[drawn[i%len(drawn)]]
			return db.WithContext(sessions[i/8%len(sessions)]).Where("platform = ? AND user_id = ?", platform, user).First(&found).Error
		}
		for n := range 1 << 14 {
			if err := ways[i](n); err != nil {
				return nil, err
			}
		}
	}
	var shares []float64
	for range max(10, rounds/20) {
		var rates [2]float64
		for i, do := range ways {
			var err error
			if rates[i], err = rate(do, runtime.GOMAXPROCS(0), 100*time.Millisecond); err != nil {
				return nil, err
			}
		}
		shares = append(shares, rates[1]/rates[0])
	}
	slices.Sort(shares)
	return []Figure{{"with the worker, of without", measure.Quantile(shares, .5), "x"}}, nil
}

// mixed reads and updates, and looks whether each read sees the last write.
func mixed(p *Place, rounds int) ([]Figure, error) {
	plain, err := p.file(gorm.Config{})
	if err != nil {
		return nil, err
	}
	db, plugin, err := p.plugged()
	if err != nil {
		return nil, err
	}
	drawn := draws(people)
	// One after the other, for the time that it takes of the processor.
	stale := 0
	run := func(db *gorm.DB, from, n int, karma []int64) error {
		for i := range n {
			at := drawn[(from+i)%len(drawn)]
			person := Person{ID: uint(at + 1)}
			if (from+i)%20 == 0 {
				karma[at]++
				if err := db.Model(&person).Update("karma", karma[at]).Error; err != nil {
					return err
				}
				continue
			}
			if err := db.First(&person).Error; err != nil {
				return err
			}
			if person.Karma != karma[at] {
				stale++
			}
		}
		return nil
	}
	karma, plainKarma := make([]int64, people), make([]int64, people)
	if err := errors.Join(run(db, 0, len(drawn), karma), run(plain, 0, 1_000, plainKarma)); err != nil {
		return nil, err
	}
	before := plugin.Stats()
	const ops = 400
	var used, plainUsed time.Duration
	for round := range max(10, rounds/4) {
		for _, turn := range []struct {
			db    *gorm.DB
			karma []int64
			used  *time.Duration
		}{{db, karma, &used}, {plain, plainKarma, &plainUsed}} {
			start, err := measure.ProcessorTime()
			if err != nil {
				return nil, err
			}
			if err := run(turn.db, round*ops, ops, turn.karma); err != nil {
				return nil, err
			}
			end, err := measure.ProcessorTime()
			if err != nil {
				return nil, err
			}
			*turn.used += end - start
		}
	}
	after := plugin.Stats()
	hits, misses := float64(after.Hits-before.Hits), float64(after.Misses-before.Misses)

	// And at once: no reader may see less than what was written before it began.
	var written [people]atomic.Int64
	for i := range written {
		written[i].Store(karma[i])
	}
	var concurrent atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 5_000 {
				at := drawn[(g*4_000+i)%len(drawn)]
				if g == 0 && i%4 == 0 {
					next := written[at].Load() + 1 // this goroutine alone writes
					if err := db.Model(&Person{ID: uint(at + 1)}).Update("karma", next).Error; err != nil {
						failed.Store(&err)
						return
					}
					written[at].Store(next)
					continue
				}
				least := written[at].Load()
				person := Person{ID: uint(at + 1)}
				if err := db.First(&person).Error; err != nil {
					failed.Store(&err)
					return
				}
				if person.Karma < least {
					concurrent.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return []Figure{
		{"hit ratio", hits / (hits + misses), ""},
		{"time of the processor, of that of plain GORM", used.Seconds() / plainUsed.Seconds(), "x"},
		{"stale reads", float64(stale) + float64(concurrent.Load()), ""},
	}, nil
}

// crowd has many ask for one key at once.
func crowd(p *Place, _ int) ([]Figure, error) {
	db, err := p.file(gorm.Config{})
	if err != nil {
		return nil, err
	}
	const readers = 64
	var queries, ready atomic.Int64
	query := db.Callback().Query().Get("gorm:query")
	err = db.Callback().Query().Replace("gorm:query", func(db *gorm.DB) {
		queries.Add(1)
		// The database answers when all have come.
		for start := time.Now(); ready.Load() < readers && time.Since(start) < 5*time.Second; {
			runtime.Gosched()
		}
		time.Sleep(2 * time.Millisecond)
		query(db)
	})
	if err != nil {
		return nil, err
	}
	plugin := preload.New(preload.WithoutWorker())
	if err := db.Use(plugin); err != nil {
		return nil, err
	}
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			ready.Add(1)
			var person Person
			if err := db.WithContext(context.Background()).First(&person, 7).Error; err != nil {
				failed.Store(&err)
			} else if person.UserID != userID(6) {
				err = fmt.Errorf("a reader was given %s", person.UserID)
				failed.Store(&err)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return []Figure{{"queries", float64(queries.Load()), ""}}, nil
}

// memory weighs entries.
func memory(p *Place, _ int) ([]Figure, error) {
	p.rows = entries
	defer func() { p.rows = 0 }()
	db, plugin, err := p.plugged(preload.WithoutWorker())
	if err != nil {
		return nil, err
	}
	names := make([]string, entries)
	for i := range names {
		names[i] = userID(i)
	}
	read := func(i int) (person Person, err error) {
		err = db.Where("platform = ? AND user_id = ?", platform, names[i]).First(&person).Error
		return person, err
	}
	// What there is of everything else.
	for i := range 2_000 {
		if _, err := read(i); err != nil {
			return nil, err
		}
	}
	if err := plugin.Invalidate(); err != nil {
		return nil, err
	}
	empty := heap()
	for i := range entries {
		if _, err := read(i); err != nil {
			return nil, err
		}
	}
	kept := heap() - empty
	stats := plugin.Stats()
	if stats.Entries != entries {
		return nil, fmt.Errorf("%d entries, want %d", stats.Entries, entries)
	}
	bare := make([]*Person, entries)
	before := heap()
	for i := range bare {
		person := row(i)
		bare[i] = &person
	}
	alone := heap() - before
	runtime.KeepAlive(bare)
	return []Figure{
		{"heap an entry", kept / entries, "B"},
		{"heap a bare struct", alone / entries, "B"},
		{"entry, of the bare struct", kept / alone, "x"},
		{"`Stats().Bytes`, of the heap", float64(stats.Bytes) / kept, "x"},
	}, nil
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// otherStores measures W1 with each store.
func otherStores(p *Place, rounds int) ([]Figure, error) {
	drawn := draws(people)
	rates := map[string]map[int]float64{}
	for _, s := range Stores {
		store, err := s.New()
		if err != nil {
			return nil, err
		}
		db, _, err := p.plugged(preload.WithoutWorker(), preload.WithStore(store))
		if err != nil {
			return nil, err
		}
		rates[s.Name], err = scale(finding(s.Name, func(i int) (person Person, err error) {
			err = db.Where("platform = ? AND user_id = ?", platform, users[drawn[i%len(drawn)]]).First(&person).Error
			return person, err
		}), rounds)
		if err != nil {
			return nil, err
		}
	}
	var figures []Figure
	for _, n := range goroutines {
		ratio := rates["otter"][n] / rates["go-cache"][n]
		if math.IsNaN(ratio) {
			return nil, errors.New("nothing was measured")
		}
		figures = append(figures, Figure{fmt.Sprintf("otter, of go-cache, %d goroutines", n), ratio, "x"})
	}
	return figures, nil
}
