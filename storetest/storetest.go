// Package storetest tests implementations of preload.Store: that of an application passes the same
// tests as the default one.
package storetest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorm-preload/preload"
)

// Run tests the stores that open returns, each of which has to be empty, as subtests of t. A store
// may forget a value at any time; what is tested is that it never answers with another one: not under
// another key, not one that Set has replaced or Delete has taken away once they have returned, and
// not half of one, whoever else uses it at the same time. Run it with the race detector.
func Run(t *testing.T, open func() preload.Store) {
	t.Helper()
	t.Run("a value is under its key", func(t *testing.T) { testKeys(t, open()) })
	t.Run("the last value is the one that is found", func(t *testing.T) { testReplaced(t, open()) })
	t.Run("what was deleted is not found", func(t *testing.T) { testDeleted(t, open()) })
	t.Run("values come back as they are", func(t *testing.T) { testValues(t, open()) })
	t.Run("several at once", func(t *testing.T) { testConcurrent(t, open()) })
}

// value is what the tests keep: a pointer, as the plugin does.
type value struct {
	key     string
	version int64
}

// keys are such as the plugin makes: of any bytes, and long ones that differ in one place.
func keys() []string {
	long := strings.Repeat("k", 4<<10)
	return []string{"", "a", "A", "a ", " a", "\x00", "\x00\x00", "\xff\xfe", "sql:users#abc:i1;", "sql:users#abc:i11;", "ключ", long, long + "1", long + "2"}
}

func testKeys(t *testing.T, s preload.Store) {
	for _, key := range keys() {
		if found, ok := s.Get(key); ok {
			t.Errorf("under %.40q there is %v in an empty store", key, found)
		}
	}
	for _, key := range keys() {
		s.Set(key, &value{key: key})
	}
	kept := 0
	for _, key := range keys() {
		found, ok := s.Get(key)
		if !ok {
			continue
		}
		if kept++; found.(*value).key != key {
			t.Errorf("under %.40q is what was set under %.40q", key, found.(*value).key)
		}
	}
	if kept == 0 {
		t.Error("the store forgets everything at once: it is of no use")
	}
}

func testReplaced(t *testing.T, s preload.Store) {
	for version := range int64(100) {
		for _, key := range keys() {
			s.Set(key, &value{key, version})
			if found, ok := s.Get(key); ok && found.(*value).version != version {
				t.Fatalf("under %.40q is version %d after version %d was set", key, found.(*value).version, version)
			}
		}
	}
}

func testDeleted(t *testing.T, s preload.Store) {
	for _, key := range keys() {
		s.Delete(key) // also of what is not there
		s.Set(key, &value{key: key})
		s.Delete(key)
		if found, ok := s.Get(key); ok {
			t.Errorf("under %.40q is still %v after Delete", key, found)
		}
		s.Set(key, &value{key, 1})
		if found, ok := s.Get(key); ok && found.(*value).version != 1 {
			t.Errorf("under %.40q is what was deleted before", key)
		}
	}
}

func testValues(t *testing.T, s preload.Store) {
	set := &value{"a", 1}
	s.Set("a", set)
	if found, ok := s.Get("a"); ok && found != any(set) {
		t.Errorf("what is found is not the pointer that was set, but %v", found)
	}
}

// testConcurrent has one goroutine write each key and others read it. A reader never finds a version
// that was replaced or deleted before it began, and none that was not set yet.
func testConcurrent(t *testing.T, s preload.Store) {
	const (
		writers = 8
		readers = 4
		rounds  = 2_000
	)
	var (
		all        sync.WaitGroup
		ended      atomic.Bool
		begun, old [writers]atomic.Int64 // the last version whose Set has begun, and the last one that must not be found
	)
	key := func(n int) string { return fmt.Sprint("key ", n) }
	for n := range writers {
		all.Go(func() {
			for version := int64(1); version <= rounds; version++ {
				begun[n].Store(version)
				s.Set(key(n), &value{key(n), version})
				old[n].Store(version - 1)
				if version%7 == 0 {
					s.Delete(key(n))
					old[n].Store(version)
				}
			}
		})
	}
	var reading sync.WaitGroup
	for range readers {
		reading.Go(func() {
			for n := 0; !ended.Load(); n = (n + 1) % writers {
				least := old[n].Load()
				found, ok := s.Get(key(n))
				most := begun[n].Load()
				if !ok {
					continue
				}
				v, is := found.(*value)
				if !is || v.key != key(n) || v.version <= least || v.version > most {
					t.Errorf("under %q is %+v, want one of the versions from %d to %d", key(n), found, least+1, most)
					return
				}
			}
		})
	}
	all.Wait()
	ended.Store(true)
	reading.Wait()
}
