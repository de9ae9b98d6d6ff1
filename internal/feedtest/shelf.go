package feedtest

import (
	"context"
	"slices"
	"sync"
)

// Shelf has the lists that feeds leave for each other.
type Shelf struct {
	mu    sync.Mutex // a leaf
	lists map[string][]byte
	away  error
}

// Away has nothing left or read, until it is called with nil.
func (s *Shelf) Away(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = err
}

// Put leaves a list in place of the last one of a process.
func (s *Shelf) Put(process string, list []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return s.away
	}
	if s.lists == nil {
		s.lists = map[string][]byte{}
	}
	s.lists[process] = slices.Clone(list)
	return nil
}

// All returns what was left.
func (s *Shelf) All() (all [][]byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.lists {
		all = append(all, list)
	}
	return all, s.away
}

// PutHot implements preload.Shelf.
func (f *strictFeed) PutHot(_ context.Context, list []byte) error { return f.of.Shelf.Put(f.id, list) }

// HotLists implements preload.Shelf.
func (f *strictFeed) HotLists(context.Context) ([][]byte, error) { return f.of.Shelf.All() }

// PutHot implements preload.Shelf.
func (f *boundedFeed) PutHot(_ context.Context, list []byte) error {
	return f.of.Shelf.Put(f.m.ID(), list)
}

// HotLists implements preload.Shelf.
func (f *boundedFeed) HotLists(context.Context) ([][]byte, error) { return f.of.Shelf.All() }
