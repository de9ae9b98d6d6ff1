package template

import (
	"log/slog"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/footprint"
	"gorm.io/gorm"
)

// Load is a load of the answer of a template's query.
type Load struct {
	cache.Flight
	template *Template
	reading  *footprint.Reading // what the answer depends on
	found    int                // by how many values changes find it
}

// NewLoad returns a load into an entry.
func (t *Template) NewLoad(e *cache.Entry) *Load {
	l := &Load{template: t}
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
		f.found = footprint.Count(pins)
		if !set.Index.Lease(f.reading.Group, &f.Entry.Guard, pins) {
			return false
		}
		// What was learned meanwhile killed the guards it knew of; this one may have come after
		// that.
		known := set.Catalog.Version() == version
		if known && t.State.Load() != Refuted {
			return true
		}
		set.Index.Release(&f.Entry.Guard)
		if known {
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
	ttl := t.Limits.TTL
	if db.RowsAffected == 0 {
		ttl = t.Limits.Negative
	}
	e, answer := f.Entry, addressable(db.Statement.ReflectValue)
	keep, weighs := ttl > 0 && !e.Guard.Dead(), int64(0)
	switch {
	case !keep:
	case db.RowsAffected > int64(t.Limits.MaxRows):
		set.Cache.Refuse(&f.Flight, cache.TooLarge)
	default:
		weighs = t.Weigh(answer)
		set.Cache.Weigh(&f.Flight, weighs, f.found)
	}
	// Those who wait share one copy: each asking the database for much at the same time costs more.
	if keep = keep && f.Unkept == ""; !keep && !f.Awaited() {
		return false
	}
	image, err := t.Image(answer)
	if err != nil {
		t.Uncopyable.Store(t.Plan.Refuses())
		set.Cache.Refuse(&f.Flight, cache.NotKeepable)
		set.Report(slog.LevelWarn, "preload: an answer that cannot be copied is not kept", Label(e.Key), "type", t.Plan.Type().String(), "err", err)
		return false
	}
	if rows, keys, ok := f.reading.Keys(db.Statement.Context, image, db.RowsAffected); ok {
		set.Index.Fill(&e.Guard, rows, keys)
		f.found += footprint.Count(keys)
	}
	set.Cache.Fill(&f.Flight, cache.Content{Value: image.Addr().UnsafePointer(), Rows: db.RowsAffected, Weighs: weighs, Found: f.found, TTL: ttl})
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
	r := t.set.Footprints.Reading(footprint.Query{
		Shape: t.query, Tables: t.tables, Dest: t.DestType, Schema: t.Proto.Schema, Mapped: len(t.Proto.ColumnMapping) > 0,
	}, version, before)
	t.reading.Store(r)
	return r
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
