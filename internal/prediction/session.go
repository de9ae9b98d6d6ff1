package prediction

import (
	"container/list"
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
	bytes  int64     // what they hold
}

const (
	// sessionBytes is about what a session takes besides its window.
	sessionBytes = 240
	// maxSeenArgs bounds the args of an access that others are looked for among.
	maxSeenArgs = 32
)

// session is the accesses of a session that are recent, the oldest first.
type session struct {
	name   Session
	window []seen
	all    *sessions
}

func newSessions(limit int) *sessions {
	return &sessions{limit: max(limit, 1), byName: map[Session]*list.Element{}}
}

func (s *sessions) clear() {
	s.byName, s.bytes = map[Session]*list.Element{}, 0
	s.order.Init()
}

// of returns a session, whose window is what is recent at a time.
func (s *sessions) of(name Session, at int64) *session {
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
func (s *session) push(a Access) *seen {
	had := cap(s.window)
	if len(s.window) < had {
		s.window = s.window[:len(s.window)+1]
	} else {
		s.window = append(s.window, seen{})
	}
	now := &s.window[len(s.window)-1]
	now.template, now.key, now.answer, now.at = a.Template, a.Key, a.Answer, a.At
	args := cap(now.args)
	now.args = append(now.args, a.Args[:min(len(a.Args), maxSeenArgs)]...)
	s.all.bytes += int64(cap(s.window)-had)*int64(unsafe.Sizeof(seen{})) + int64(cap(now.args)-args)*int64(unsafe.Sizeof(Value(""))) + textBytes(len(now.key))
	return now
}

// forget takes a key out of the window: of one that is asked again only the last access counts.
func (s *session) forget(key string) {
	for i := range s.window {
		if s.window[i].key == key {
			s.drop(i, i+1)
			return
		}
	}
}

// drop takes accesses out of the window. Their memory goes to the end, where the next ones take it.
func (s *session) drop(from, to int) {
	var spare [windowLimit]seen
	n := copy(spare[:], s.window[from:to])
	copy(s.window[from:], s.window[to:])
	left := len(s.window) - n
	for i := range spare[:n] {
		s.all.bytes -= textBytes(len(spare[i].key))
		s.window[left+i] = seen{args: spare[i].args[:0], credits: spare[i].credits[:0]}
	}
	s.window = s.window[:left]
}
