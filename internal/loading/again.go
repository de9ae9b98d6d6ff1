package loading

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/clone"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// maxKept bounds the bind values of a query that can be run again, in bytes.
const maxKept = 8 << 10

// Kept are copies of the bind values of a query, to run it again with.
type Kept struct {
	vars []any
	size int64 // of what they lead to, in bytes
}

// Keep copies the bind values of a query; false where they cannot be copied, or are too large.
func Keep(vars []any) (k Kept, ok bool) {
	k.vars = make([]any, len(vars))
	for i, v := range vars {
		if k.vars[i], ok = args.Kept(v); !ok {
			return k, false
		}
		k.size += clone.SizeAny(k.vars[i])
	}
	return k, k.size <= maxKept
}

// Again returns the loader that runs a query of a template again, and how many bytes it holds
// besides the key.
func (s *Source) Again(t *template.Template, key string, kept Kept) (load cache.Loader, held int64) {
	held = kept.size + int64(len(kept.vars))*int64(unsafe.Sizeof(any(nil)))
	prefix, vars := t.Prefix, kept.vars
	return func(ctx context.Context) cache.Run {
		// The template may have been dropped, and met again.
		t, ok := s.Templates.Named(prefix)
		if !ok {
			return nil
		}
		if c := checkIn(ctx); c != nil {
			return func() ([]*cache.Entry, error) {
				*c = s.check(ctx, t, vars)
				return nil, c.Err
			}
		}
		return s.reload(ctx, t, key, vars)
	}, held
}

// LoaderOf returns a loader that reads off a key how its query is to be run; false where the key
// does not tell.
func (s *Source) LoaderOf(key string) (load cache.Loader, ok bool) {
	if _, _, ok := s.readOff(key); !ok {
		return nil, false
	}
	return func(ctx context.Context) cache.Run {
		t, vars, ok := s.readOff(key)
		if !ok {
			return nil
		}
		return s.reload(ctx, t, key, vars)
	}, true
}

// readOff reads off a key how its query is to be run.
func (s *Source) readOff(key string) (t *template.Template, vars []any, ok bool) {
	if t = s.Templates.Of(key); t == nil || t.Refused() != "" {
		return nil, nil, false
	}
	b := t.Binds.Load()
	if b == nil {
		return nil, nil, false
	}
	vars, ok = b.Vars(key[len(t.Prefix):])
	return t, vars, ok && t.Pages(vars)
}

// begin returns the load of an answer in the background, with its lease and the only flight of its
// key that can be joined; nil if it cannot be kept, or another flight came first.
func (s *Source) begin(t *template.Template, key string, vars []any) *template.Load {
	f := t.NewLoad(s.entry(key, t.Tally))
	if !f.Lease(vars) || !s.Cache.StartAhead(&f.Flight) {
		return nil
	}
	return f
}

// entry returns the entry of an answer that is about to be loaded in the background.
func (s *Source) entry(key string, tally *cache.Tally) *cache.Entry {
	e := cache.NewEntry(key, tally)
	e.Background = true
	if e.Pattern = s.Patterns.Lookup(key); e.Pattern == nil {
		if before := s.Cache.Find(key, s.Cache.Now()); before != nil {
			e.Pattern = before.Pattern
		}
	}
	if e.Pattern != nil {
		e.Before = e.Pattern.Count()
	}
	return e
}

// load runs the query of a load in the background, and stores its answer if that may be kept.
func (s *Source) load(ctx context.Context, f *template.Load, tx *gorm.DB) {
	if f.Template().RecordsRows() {
		s.reloadRows(ctx, f, tx)
		return
	}
	general := s.Ask(tx, f.Template(), s.Query)
	f.Ran(ctx, tx.Error)
	if general {
		f.Arrived(tx)
	}
}

// reload begins to run the query of a key in the background, and to store its answer in place of
// one that is there.
func (s *Source) reload(ctx context.Context, t *template.Template, key string, vars []any) cache.Run {
	f := s.begin(t, key, vars)
	if f == nil {
		return nil
	}
	return func() ([]*cache.Entry, error) {
		defer func() { s.Cache.Land(&f.Flight) }()
		if t.Asks {
			f.Leader.Store(cache.Goroutine())
		}
		tx := t.Statement(ctx, vars)
		if err := s.onOwn(ctx, tx, t.Prepared); err != nil {
			return nil, err
		}
		if !s.Cache.Send(&f.Flight) {
			return nil, nil
		}
		s.load(ctx, f, tx)
		asked := []*cache.Entry{f.Entry}
		if tx.Error != nil && !errors.Is(tx.Error, gorm.ErrRecordNotFound) {
			return asked, fmt.Errorf("%w: %w", failopen.ErrDatabase, tx.Error)
		}
		return asked, nil
	}
}
