package commit

import (
	"context"
	"errors"
	"slices"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/footprint"
)

// announce says that what was written is about to become visible. The returned function is called
// once, after it has, or will not; with how long the tables stay out of the cache from then on.
func (l *Log) announce(writes []footprint.Write) (finish func(Hold)) {
	finish, err := l.announceAs(context.Background(), writes, "", nil)
	l.goesOn(err)
	return finish
}

// announceBy does what announce does for a statement that is not sent if its context ends before
// others are told: late is the error of the context then. It is nil where the statement is to be
// sent, though it may be too late for that.
func (l *Log) announceBy(ctx context.Context, writes []footprint.Write, later *hindsight) (finish func(Hold), late error) {
	finish, err := l.announceAs(ctx, writes, "", later)
	if late = ctx.Err(); late != nil && errors.Is(err, late) {
		return finish, late
	}
	l.goesOn(err)
	return finish, nil
}

// announceAs does what announce does for a transaction by the name that the database has for it. An
// error says that others cannot be told of it, or were not before the context ended, and it should
// not become visible; finish is to be called all the same.
//
// With hindsight nothing is killed before finish: until then the answers that the writes could
// touch are held back.
func (l *Log) announceAs(ctx context.Context, writes []footprint.Write, tx string, later *hindsight) (finish func(Hold), err error) {
	altered := l.altered(writes)
	announced, told, dead := l.announced(writes, later != nil)
	l.wrote(told, false)
	// What is asked here meanwhile is blocked already.
	end, err := l.tell(ctx, told, tx)
	return func(hold Hold) {
		if altered {
			l.altered(writes)
		}
		end(hold)
		l.wrote(told, false)
		if later != nil {
			var killing *coherence.Announcement
			killing, _, dead = l.announced(later.of(writes, hold), false)
			l.Index.Finish(killing, 0) // what is held back is not leased yet
		}
		l.Index.Finish(announced, hold.For)
		l.keepOut(told, hold)
		l.Killed(dead)
	}, err
}

// wrote tells of a write.
func (l *Log) wrote(w footprint.Write, elsewhere bool) {
	if l.Wrote != nil {
		l.Wrote(w.Changes, elsewhere)
	}
}

// announced announces what was written, with all that the database changes on account of it. It
// returns what it announced, and what that killed: nothing, where it holds back.
func (l *Log) announced(writes []footprint.Write, holdsBack bool) (announced *coherence.Announcement, all footprint.Write, dead []cache.Killed) {
	for {
		version := l.Catalog.Version()
		var changes []coherence.Change
		for _, w := range writes {
			if w.Version != version {
				w.Changes = footprint.Loosen(w.Changes)
			}
			changes = append(changes, w.Changes...)
		}
		all = footprint.Write{Changes: l.Catalog.Expand(changes), Version: version}
		if everywhere(all) {
			l.redefined()
		}
		if holdsBack {
			announced = l.Index.Block(all.Changes...)
		} else {
			var kills []coherence.Kill
			announced, kills = l.Index.Announce(all.Changes...)
			dead = append(dead, l.Cache.Forget(kills)...)
		}
		// What was learned meanwhile was applied to what was under way, among which this may not
		// have been yet.
		if l.Catalog.Version() == version {
			return announced, all, dead
		}
		l.Index.Finish(announced, 0)
	}
}

// Invalidate kills what depends on the changes, loads in flight too: here, and in no other process.
func (l *Log) Invalidate(changes []coherence.Change) {
	announced, _, _ := l.announced([]footprint.Write{{Changes: changes}}, false)
	l.Index.Finish(announced, 0)
}

// Changed kills the answers that were kept before something was learned that they depend on. The
// catalog is locked while it does, so that nobody sees a model as learned whose answers of before
// are still served.
func (l *Log) Changed(learned catalog.Learned) {
	for _, table := range learned.Tables {
		l.Cache.Forget(l.Index.Widen(table, table))
	}
	for _, pair := range learned.Reached {
		l.Cache.Forget(l.Index.Widen(pair.From, pair.To))
	}
}

// everywhere reports whether a write may have changed anything.
func everywhere(w footprint.Write) bool {
	return slices.ContainsFunc(w.Changes, func(c coherence.Change) bool { return c.Table == coherence.Everything.Table })
}

// altered counts what may have altered a table, or made one of another thing. It is called before
// and after that.
func (l *Log) altered(writes []footprint.Write) bool {
	if !slices.ContainsFunc(writes, everywhere) {
		return false
	}
	l.redefined()
	if l.dialect == "sqlite" {
		l.alterations.Add(1)
	}
	return true
}

// redefined notes that something else may be behind a name.
func (l *Log) redefined() {
	l.definitions.Add(1)
	l.Catalog.Unsettle()
}
