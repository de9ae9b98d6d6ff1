package feeds

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/strict"
)

// slow is a feed that answers when a test says.
type slow struct {
	told        int
	begin, over chan struct{}
}

func (s *slow) Announce(context.Context, []byte, string) (func(strict.End), error) {
	s.told++
	<-s.begin
	return func(strict.End) { <-s.over }, nil
}

// TestLeave: nothing is told any more, and who is being told is waited for: at the beginning of a
// write, at its end, and not for ever.
func TestLeave(t *testing.T) {
	for _, c := range []struct {
		name       string
		begun, end bool // the feed answers of the write's begin, and of its end
		over       bool // the write ends
	}{
		{"of nothing", true, true, true}, {"at the begin of a write", false, true, true}, {"at its end", true, false, true},
		{"before its end", true, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const within = time.Minute
				s := &slow{begin: make(chan struct{}), over: make(chan struct{})}
				f := New(Config{Catalog: catalog.New(catalog.Hooks{}), Report: func(slog.Level, string, string, ...any) {}})
				f.Add(s, &Member{Feeds: f})
				w := footprint.Write{Changes: []coherence.Change{coherence.Everything}}
				if c.begun {
					close(s.begin)
				}
				if c.end {
					close(s.over)
				}
				over := make(chan struct{})
				if c.over {
					close(over)
				}
				results := make(chan error, 1)
				go func() {
					finish, err := f.Tell(context.Background(), w, "")
					if finish == nil {
						err = errors.Join(err, errors.New("nobody was told"))
					} else {
						<-over
						finish(strict.EndVisible)
					}
					results <- err
				}()
				synctest.Wait()
				leave := func() (took time.Duration) {
					began := time.Now()
					f.Leave(within)
					return time.Since(began)
				}
				switch took := leave(); {
				case c.begun && c.end && c.over && took > 0:
					t.Errorf("it waited %v for nothing", took)
				case !(c.begun && c.end && c.over) && took != within:
					t.Errorf("it waited %v for what is not over, want %v", took, within)
				}
				if finish, err := f.Tell(context.Background(), w, ""); finish != nil || err != nil || s.told != 1 {
					t.Errorf("told after it: %v, %d in all", err, s.told)
				}
				left := make(chan time.Duration, 1)
				go func() { left <- leave() }()
				synctest.Wait()
				if !c.begun {
					close(s.begin)
				}
				if !c.end {
					close(s.over)
				}
				if !c.over {
					close(over)
				}
				if took := <-left; took > 0 {
					t.Errorf("it waited %v longer than the feed", took)
				}
				if err := <-results; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
