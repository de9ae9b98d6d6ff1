package prediction

import (
	"container/list"
	"slices"
	"unsafe"
)

const (
	// An access counts as coming after the recentAccesses before it in its session, and after those
	// of the last recentTime, windowLimit at most.
	recentAccesses = 4
	recentTime     = 300e6 // nanoseconds
	windowLimit    = 16
)

// sessions holds the windows of the sessions that were active last.
type sessions struct {
	limit  int
	byName map[Session]*list.Element
	order  list.List // of *session, the most recent first
	bytes  int64     // what they hold besides values
	values int64     // bytes of the values of accesses
	spare  [][]uint64
}

const (
	// sessionBytes is about what a session takes besides its window.
	sessionBytes = int64(unsafe.Sizeof(session{})) + 160
	// maxSeenArgs bounds the args of an access that others are looked for among.
	maxSeenArgs = 32
	// maxValues bounds the values of an access, and maxValueBytes those of all windows: of more
	// accesses no values are kept.
	maxValues     = 1 << 10
	maxValueBytes = 1 << 20
	// maxLed is how many of the keys are remembered that rules led to last.
	maxLed = 16
)

// session is the accesses of a session that are recent, the oldest first.
type session struct {
	name   Session
	window []seen
	all    *sessions
	// led are hashes of keys that rules lead to from what was asked last.
	led  [maxLed]uint64
	next int
}

func newSessions(limit int) *sessions {
	return &sessions{limit: max(limit, 1), byName: map[Session]*list.Element{}}
}

func (s *sessions) clear() {
	s.byName, s.bytes, s.values, s.spare = map[Session]*list.Element{}, 0, 0, nil
	s.order.Init()
}

// of returns a session, whose window is what is recent at a time.
func (s *sessions) of(name Session, at int64) *session {
	if front := s.order.Front(); front != nil && front.Value.(*session).name == name {
		one := front.Value.(*session)
		one.age(at)
		return one
	}
	if e, ok := s.byName[name]; ok {
		s.order.MoveToFront(e)
		one := e.Value.(*session)
		one.age(at)
		return one
	}
	var one *session
	if s.order.Len() < s.limit {
		one = &session{all: s}
		s.bytes += sessionBytes
	} else {
		// Its memory serves the next one.
		oldest := s.order.Back()
		s.order.Remove(oldest)
		one = oldest.Value.(*session)
		delete(s.byName, one.name)
		one.drop(0, len(one.window))
		one.led, one.next = [maxLed]uint64{}, 0
	}
	one.name = name
	s.byName[name] = s.order.PushFront(one)
	return one
}

// age drops what is not recent any more.
func (s *session) age(at int64) {
	drop := max(0, len(s.window)-windowLimit+1) // one more will come
	for drop < len(s.window)-recentAccesses && s.window[drop].at < at-recentTime {
		drop++
	}
	s.drop(0, drop)
}

// push appends an access to the window.
func (s *session) push(hash uint64, at int64) *seen {
	had := cap(s.window)
	s.window = append(s.window, seen{hash: hash, at: at})
	s.all.bytes += int64(cap(s.window)-had) * int64(unsafe.Sizeof(seen{}))
	return &s.window[len(s.window)-1]
}

// keep returns memory for so many values; nil where all is in use.
func (s *sessions) keep(n int) (values []uint64) {
	if last := len(s.spare) - 1; last >= 0 && cap(s.spare[last]) >= n {
		values, s.spare = s.spare[last], s.spare[:last]
		return values[:0]
	}
	if s.values+int64(n)*8 > maxValueBytes {
		return nil
	}
	s.values += int64(n) * 8
	return make([]uint64, 0, n)
}

// release takes back what keep returned.
func (s *sessions) release(values []uint64) {
	const most = 32
	if cap(values) == 0 {
		return
	}
	if len(s.spare) < most {
		s.spare = append(s.spare, values)
		return
	}
	s.values -= int64(cap(values)) * 8
}

// forget takes a key out of the window: of one that is asked again only the last access counts.
func (s *session) forget(hash uint64) {
	for i := range s.window {
		if s.window[i].hash == hash {
			s.drop(i, i+1)
			return
		}
	}
}

// drop takes accesses out of the window.
func (s *session) drop(from, to int) {
	if from == to {
		return
	}
	for i := range s.window[from:to] {
		s.all.release(s.window[from+i].values)
	}
	s.window = slices.Delete(s.window, from, to)
}

// lead notes that a rule leads to a key.
func (s *session) lead(hash uint64) {
	s.led[s.next] = hash
	s.next = (s.next + 1) % maxLed
}

// leads reports whether a rule led to a key lately.
func (s *session) leads(hash uint64) bool { return slices.Contains(s.led[:], hash) }
