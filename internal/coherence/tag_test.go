package coherence

import (
	"slices"
	"testing"
	"time"
)

// TestTagsAreHeldOutUnderOneName: what stands for a tag holds a value of the application's.
func TestTagsAreHeldOutUnderOneName(t *testing.T) {
	x := New(time.Now)
	a, _ := x.Announce(Loose(OfTag("user:1"), Any), Loose(OfTag("user:2"), Any), Loose("users", Any))
	x.Finish(a, time.Minute)
	if tables, _ := x.HeldOut(); !slices.Equal(tables, []string{Tags, "users"}) {
		t.Errorf("held out: %q", tables)
	}
	if told := AllTold([]string{OfTag("user:1"), "users", ""}); !slices.Equal(told, []string{Tags, "users", ""}) {
		t.Errorf("told: %q", told)
	}
}
