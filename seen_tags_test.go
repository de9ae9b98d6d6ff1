package preload_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
)

// TestTagsAreToldUnderOneName: tags are names that an application makes of its values, so that they
// are neither shown nor told apart.
func TestTagsAreToldUnderOneName(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var events []preload.Event
	w := seenWorld(t, dbtest.SQLite(t), preload.WithObserver(func(_ context.Context, e preload.Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Kind == preload.EventInvalidation {
			events = append(events, e)
		}
	}))
	const users = 50
	for i := range users {
		tag := fmt.Sprint("user:jane", i, "@example.com")
		for range 2 {
			_, err := preload.LoadWith(t.Context(), w.Plugin, tag, func(context.Context) (int, error) { return i, nil }, preload.Tags(tag))
			worldtest.Must(t, err)
			worldtest.Must(t, w.DB.Clauses(preload.Cache(preload.Tags(tag))).Where("shelf = ?", i).Find(new([]seenItem)).Error)
		}
		worldtest.Must(t, w.Plugin.InvalidateTags(tag))
	}
	s := w.Plugin.Stats()
	if len(s.InvalidatedBy) != 1 || s.InvalidatedBy["tag"]["table"] != 2*users || s.Invalidated != 2*users {
		t.Errorf("%d answers were invalidated, by %v: want %d, by tag", s.Invalidated, s.InvalidatedBy, 2*users)
	}
	if len(events) != 2*users || events[0].Table != "tag" {
		t.Errorf("%d events, such as %+v", len(events), events)
	}
	if shown := fmt.Sprintf("%+v %+v %+v", s, w.Plugin.Shapes(10), events); strings.Contains(shown, "jane") {
		t.Errorf("a tag is shown: %s", shown)
	}
}
