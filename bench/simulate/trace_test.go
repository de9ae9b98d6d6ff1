package simulate

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/bench/trace"
	"github.com/gorm-preload/preload/internal/dbtest"
)

var (
	// Not -trace: go test takes that for itself, and writes what the program did over the file.
	traceFile    = flag.String("accesses-in", "", "the file of the trace: big-endian 32-bit keys, gzip; accesses are made up where there is none")
	capacities   = flag.String("capacity", "1000", "how many answers are kept; several, with commas between them")
	latencies    = flag.String("latency", "5", "how many accesses a load takes; several, with commas between them")
	accesses     = flag.Int("accesses", 40_000, "play so many accesses from the beginning; 0 for all of a file")
	concurrency  = flag.Int("concurrency", 0, "background loads at a time; 0 for the plugin's default")
	verboseSteps = flag.Bool("progress", false, "show how far it is")
)

func numbers(t *testing.T, name, list string) (all []int) {
	t.Helper()
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n <= 0 {
			t.Fatalf("-%s %q: want positive numbers with commas between them", name, list)
		}
		all = append(all, n)
	}
	return all
}

// played is what came of a trace.
type played struct {
	hits, waiting, loads float64 // of the accesses; waiting weighs each by how long it waited, in loads
	expected             float64 // loads by association, of the accesses
	used                 float64 // of those
	stats                preload.Stats
}

// running are the loads of the plugin that run, by what they ask for.
type running struct {
	due     time.Time
	release chan struct{}
}

// play plays a trace. A load in the background takes so many accesses; one that is asked for is
// there at once, but counts as waiting.
func play(t *testing.T, name string, keys []trace.Key, capacity, latency int, worker bool) (result played) {
	t.Helper()
	inTime(t, func(t *testing.T) {
		opts := []preload.Option{
			preload.WithMaxEntries(capacity), preload.WithTTL(30 * 24 * time.Hour), preload.WithMaxBytes(1 << 40),
		}
		if !worker {
			opts = append(opts, preload.WithoutWorker())
		}
		if *concurrency > 0 {
			opts = append(opts, preload.WithConcurrency(*concurrency))
		}
		w := newWorld(t, 40, trace.Fill(keys), opts...)
		ctx := context.WithValue(context.Background(), demand{}, true)

		took := time.Duration(latency) * virtual
		var (
			mu          sync.Mutex
			loads       = map[string]*running{}
			all, waited float64
		)
		w.probe.Before(func(c dbtest.Call) error {
			mu.Lock()
			all++
			if isDemand(c.Context) {
				waited++
				mu.Unlock()
				return nil
			}
			r, object := &running{time.Now().Add(took), make(chan struct{})}, asked(c)
			loads[object] = r
			mu.Unlock()
			select {
			case <-time.After(took):
			case <-r.release:
			case <-c.Context.Done():
			}
			mu.Lock()
			delete(loads, object)
			mu.Unlock()
			return c.Context.Err()
		})
		p := &progress{what: name, total: len(keys)}
		for n, k := range keys {
			time.Sleep(virtual)
			mu.Lock()
			if r := loads[k.String()]; r != nil {
				waited += float64(time.Until(r.due)) / float64(took)
				// It is there once the reader waits for it.
				time.AfterFunc(time.Nanosecond, func() { close(r.release) })
			}
			mu.Unlock()
			if err := trace.Read(ctx, w.db, k); err != nil {
				t.Fatal(err)
			}
			if *verboseSteps {
				p.at(n + 1)
			}
		}
		s := w.plugin.Stats()
		if err := w.plugin.Close(); err != nil {
			t.Error(err)
		}
		n, outcomes := float64(len(keys)), s.Prediction
		expected := float64(outcomes.Useful + outcomes.Late + outcomes.Wasted)
		result = played{
			hits: float64(s.Hits) / n, waiting: waited / n, loads: all / n, expected: expected / n,
			used: share(float64(outcomes.Useful+outcomes.Late), expected), stats: s,
		}
	})
	return result
}

// asked returns what a query asks for, as trace.Key.String does.
func asked(c dbtest.Call) string {
	return fmt.Sprint(strings.Split(c.SQL, "`")[1], " ", c.Args[0].Value, " ", c.Args[1].Value)
}

func TestTrace(t *testing.T) {
	from, keys, err := trace.Open(*traceFile, *accesses)
	if err != nil {
		t.Fatal(err)
	}
	shuffled := append([]trace.Key(nil), keys...)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	rows := [][]string{{"capacity", "load takes", "", "hits", "waiting", "loads", "by association", "used", "late", "level", "lost", "other loads", "of them read"}}
	for _, capacity := range numbers(t, "capacity", *capacities) {
		for _, latency := range numbers(t, "latency", *latencies) {
			add := func(name string, r played) {
				s := r.stats.Prediction
				others := r.stats.PreloadCount - s.Useful - s.Late - s.Wasted
				rows = append(rows, []string{
					strconv.Itoa(capacity), strconv.Itoa(latency), name, fmt.Sprintf("%.3f", r.hits), fmt.Sprintf("%.3f", r.waiting),
					fmt.Sprintf("%.3f", r.loads), fmt.Sprintf("%.4f", r.expected), fmt.Sprintf("%.3f", r.used), strconv.FormatInt(s.Late, 10),
					strconv.Itoa(s.Level), strconv.FormatInt(s.Lost, 10), strconv.FormatInt(others, 10),
					strconv.FormatInt(r.stats.PreloadHits, 10),
				})
			}
			off := play(t, "off", keys, capacity, latency, false)
			add("off", off)
			on := play(t, "on", keys, capacity, latency, true)
			add("on", on)
			add("shuffled", play(t, "shuffled", shuffled, capacity, latency, true))
		}
	}
	t.Logf("%s, %d accesses:\n\n%s", from, len(keys), table(rows))
}
