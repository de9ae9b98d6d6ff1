package scenario

import (
	"reflect"
	"testing"
)

func TestEventsComeFromTheSeed(t *testing.T) {
	s := Size{Users: 30, Streams: 5, Seed: 3}
	first := s.Events(100)
	if !reflect.DeepEqual(first, s.Events(100)) {
		t.Error("equal sizes gave different events")
	}
	s.Seed = 4
	if reflect.DeepEqual(first, s.Events(100)) {
		t.Error("another seed gave the same events")
	}
	if one := (Size{Users: 1, Streams: 1}).Events(3); one[2].User != userID(0) || one[2].Stream != streamID(0) {
		t.Errorf("got %+v, want the only user and conversation", one[2])
	}
}
