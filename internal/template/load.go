package template

import (
	"cmp"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/replay"
	"gorm.io/gorm"
)

// Load is a load of the answer of a template's query.
type Load struct {
	cache.Flight
	template *Template
	reading  *footprint.Reading // what the answer depends on
	Tags     []string           // by which it is forgotten, too, as changes name them
	found    int                // by how many values changes find it
	limit    int64              // how many rows it shows at most; 0 if that is not known
	asked    time.Time          // when the query was asked, by the clock of the cache
	// Recorded is what the query gave, where that was recorded.
	Recorded *replay.Recording
	// Moments are what the query gives, where the key is one without them.
	Moments Moments
	saids   *saids // when the first row may come in or leave, as the database says; nil where it does not
}

// Template returns the template of the query.
func (f *Load) Template() *Template { return f.template }

// NewLoad returns a load into an entry.
func (t *Template) NewLoad(e *cache.Entry) *Load {
	l := &Load{template: t, asked: t.set.Cache.Now()}
	e.Unwatched = t.Moves.Load()
	t.set.Cache.Prepare(&l.Flight, e, &t.Pace)
	return l
}

// Lease gives a load the right to keep the answer of a query with these bind values; false where it
// could not be kept.
func (f *Load) Lease(vars []any) bool {
	t, set := f.template, f.template.set
	for {
		version := set.Catalog.Version()
		f.reading = t.ReadingOf(version)
		pins := f.reading.Facts(vars)
		f.found, f.limit = footprint.Count(pins), f.reading.Limit(vars)
		if !set.Index.Lease(t.groupOf(f.reading, f.Tags), &f.Entry.Guard, pins) {
			return false
		}
		// What was learned meanwhile killed the guards it knew of; this one may have come after
		// that.
		known := set.Catalog.Version() == version
		// Who shuts the gate to forget all kills the guards that it knows of, and then likewise.
		open := set.Cache.Open()
		// What a name stands for may have changed since the query was found to qualify.
		if known && open && t.State.Load() != Refuted && t.identified() {
			if info := f.reading.Info; info != nil && info.Asks != "" && set.Collated != nil {
				set.Collated(info.Asks)
			}
			return true
		}
		set.Index.Release(&f.Entry.Guard)
		if known || !open {
			return false
		}
	}
}

// Fill copies what a query found into the entry of its flight, if the answer may be kept or others
// wait for it. What cannot be kept is measured, and not copied.
func (f *Load) Fill(db *gorm.DB) bool {
	if !Succeeded(db) {
		return false
	}
	t, set := f.template, f.template.set
	if t.Text {
		return f.Recorded != nil && f.FillRecording(f.Recorded)
	}
	limits := t.Limits()
	ttl := limits.TTL
	if db.RowsAffected == 0 {
		ttl = limits.Negative
	}
	if t.Terms != nil {
		ttl -= set.Cache.Now().Sub(f.asked) // it may hold the time at which its query began
	}
	e, answer := f.Entry, addressable(db.Statement.ReflectValue)
	keep, weighs := ttl > 0 && !e.Guard.Dead(), int64(0)
	switch {
	case !keep:
	case db.RowsAffected > int64(limits.MaxRows):
		set.Cache.Refuse(&f.Flight, cache.TooLarge)
	default:
		weighs = t.Weigh(answer)
		if f.Recorded != nil {
			weighs += f.Recorded.Bytes()
		}
		set.Cache.Weigh(&f.Flight, weighs, f.found)
	}
	// Those who wait share one copy: each asking the database for much at the same time costs more.
	if keep = keep && f.Unkept == ""; !keep && !f.Awaited() {
		return false
	}
	var inFront any
	switch {
	case f.Recorded != nil:
		inFront = f.Recorded
	case !f.Moments.None():
		inFront = f.spansFrom(db.Statement.Context, answer, db.RowsAffected)
		weighs += int64(unsafe.Sizeof(Spans{}))
	}
	image, err := t.image(answer, inFront)
	if err != nil {
		t.Uncopyable.Store(t.Plan.Refuses())
		set.Cache.Refuse(&f.Flight, cache.NotKeepable)
		set.Report(slog.LevelWarn, "preload: an answer that cannot be copied is not kept", Label(e.Key), "type", t.Plan.Type().String(), "err", err)
		return false
	}
	if rows, keys, ok := f.reading.Keys(db.Statement.Context, image, db.RowsAffected); ok {
		set.Index.Fill(&e.Guard, rows, keys, db.RowsAffected < f.limit)
		f.found += footprint.Count(keys)
	}
	set.Cache.Fill(&f.Flight, cache.Content{Value: image.Addr().UnsafePointer(), Rows: db.RowsAffected, Weighs: weighs, Found: f.found, TTL: ttl, Recorded: f.Recorded != nil})
	return keep
}

// Arrived stores the answer to a query that was run in the background.
func (f *Load) Arrived(tx *gorm.DB) (stored bool) {
	cache := f.template.set.Cache
	if f.Fill(tx) {
		f.Ahead()
		stored = cache.Keep(&f.Flight)
	}
	if !stored && Succeeded(tx) {
		cache.Outdate(&f.Flight)
	}
	return stored
}

// Succeeded reports whether a query has an answer, also if that is that there are no rows.
func Succeeded(db *gorm.DB) bool {
	return db.Error == nil || db.Error == gorm.ErrRecordNotFound && db.RowsAffected == 0
}

// ReadingOf returns what the template's answers depend on, as far as the catalog knew at a version
// or later.
func (t *Template) ReadingOf(version int64) *footprint.Reading {
	if r := t.reading.Load(); r != nil && r.Version >= version {
		return r
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.reading.Load()
	if before != nil && before.Version >= version {
		return before
	}
	// Answers of the family stand in one group where they depend on the same.
	r := t.set.Footprints.Reading(footprint.Query{
		Shape: cmp.Or(t.query, t.joined), Tables: t.tables, Dest: t.DestType, Rows: t.rows, Schema: t.Proto.Schema, Mapped: len(t.Proto.ColumnMapping) > 0,
		First: t.First, Further: t.further(),
	}, version, t.depends.Load(), before)
	t.reading.Store(r)
	t.depends.Store(r)
	return r
}

// further returns the tables that the answers depend on besides those in the SQL.
func (t *Template) further() []string {
	if t.Terms == nil {
		return nil
	}
	return t.Terms.Tables
}

// taggedGroup is the group of answers that are read in a way and have the same tags.
type taggedGroup struct {
	of    *coherence.Group // of those without tags
	group *coherence.Group
}

// maxTagged bounds the sets of tags for which a group is remembered. Where there are more, equal
// sets may have several.
const maxTagged = 256

// groupOf returns the group of answers that are read in a way and have these tags.
func (t *Template) groupOf(r *footprint.Reading, tags []string) *coherence.Group {
	if len(tags) == 0 {
		return r.Group
	}
	set := strings.Join(tags, "\x00")
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.tagged[set]; known.of == r.Group {
		return known.group
	}
	if t.tagged == nil || len(t.tagged) >= maxTagged {
		t.tagged = map[string]taggedGroup{}
	}
	made := taggedGroup{r.Group, coherence.NewGroup(r.About, slices.Concat(r.Loose, tags)...)}
	t.tagged[set] = made
	return made.group
}

// PinnedBy returns the name of the column in which answers are found by an arg of their query, ""
// where there is none.
func (t *Template) PinnedBy(arg int) (column string) {
	for _, pinned := range t.ReadingOf(t.set.Catalog.Version()).Pinned {
		if o := pinned.Values; len(o.Rows) == 1 && o.Rows[0][o.Column].Param == arg+1 {
			column = pinned.Column.Name
		}
	}
	return column
}
