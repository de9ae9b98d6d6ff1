// Package preloadtest helps the tests of an application that uses preload to say which reads are to
// be answered from memory.
//
//	preloadtest.MustHit(t, plugin, func() { service.Profile(ctx, 7) })
//
// What it counts is what the plugin counts meanwhile: of reads that others make at the same time,
// too, so that such a test shares its plugin with no other that runs in parallel.
package preloadtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gorm-preload/preload"
)

// Counts are the reads that were made.
type Counts struct {
	Hits          int64 // from memory; of these Joined by another reader's query
	Joined        int64
	Misses        int64
	MissCauses    map[preload.Cause]int64
	Bypassed      int64
	BypassReasons map[preload.Reason]int64
}

// Queries returns how many of the reads went to the database.
func (c Counts) Queries() int64 { return c.Misses + c.Bypassed }

// String says how many reads were answered how, and why not from memory.
func (c Counts) String() string {
	parts := []string{fmt.Sprintf("%d from memory", c.Hits)}
	for _, why := range slices.Sorted(maps.Keys(c.MissCauses)) {
		parts = append(parts, fmt.Sprintf("%d missed: %s", c.MissCauses[why], why))
	}
	for _, why := range slices.Sorted(maps.Keys(c.BypassReasons)) {
		parts = append(parts, fmt.Sprintf("%d bypassed: %s", c.BypassReasons[why], why))
	}
	return strings.Join(parts, ", ")
}

// Reads runs do, and returns the reads that were made meanwhile. Clear sets the counters to zero,
// and is not to be called in do.
func Reads(p *preload.Plugin, do func()) Counts {
	before := p.Stats()
	do()
	after := p.Stats()
	return Counts{
		Hits: after.Hits - before.Hits, Joined: after.Joined - before.Joined,
		Misses: after.Misses - before.Misses, MissCauses: more(after.MissCauses, before.MissCauses),
		Bypassed: after.Bypassed - before.Bypassed, BypassReasons: more(after.BypassReasons, before.BypassReasons),
	}
}

// more returns what came to counts.
func more[K comparable](after, before map[K]int64) map[K]int64 {
	came := map[K]int64{}
	for key, n := range after {
		if n -= before[key]; n != 0 {
			came[key] = n
		}
	}
	return came
}

// MustHit runs do, and fails the test unless it reads and all that it reads is answered from
// memory. The failure says why not. In a mode other than ModeOn, as PRELOAD=off in the environment
// sets it, do is run and nothing is looked at.
func MustHit(t testing.TB, p *preload.Plugin, do func()) {
	t.Helper()
	c := Reads(p, do)
	switch {
	case p.Mode() != preload.ModeOn:
	case c.Queries() > 0:
		t.Errorf("not all reads were answered from memory: %v", c)
	case c.Hits == 0:
		t.Error("nothing was read: want a read that is answered from memory")
	}
}

// MustNotQuery runs do, and fails the test if a read in it goes to the database. It may read
// nothing. Modes are as in MustHit.
func MustNotQuery(t testing.TB, p *preload.Plugin, do func()) {
	t.Helper()
	if c := Reads(p, do); c.Queries() > 0 && p.Mode() == preload.ModeOn {
		t.Errorf("%d reads went to the database: %v", c.Queries(), c)
	}
}
