package loading

import (
	"context"
	"database/sql"
	"errors"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/replay"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// Check is what the database gave for a query that was asked once more, of which nothing is kept.
type Check struct {
	// Answer is the statement; its destination holds what the query found, unless there is a
	// Recording.
	Answer *gorm.DB
	// Recording has the rows of a template whose answers are recordings; nil where they could not
	// be recorded.
	Recording *replay.Recording
	// General says that the database answered as it would have answered anybody.
	General bool
	Err     error // of the database
}

// Check returns the template of a key, and what asks the database for the answer of its query once
// more: as the key tells, or, where it does not, as the loader that was registered for it knows;
// false where neither does. load is nil where there is none.
func (s *Source) Check(key string, load cache.Loader) (t *template.Template, ask func(context.Context) Check, ok bool) {
	t, vars, ok := s.readOff(key)
	if ok {
		return t, func(ctx context.Context) Check { return s.check(ctx, t, vars) }, true
	}
	if t = s.Templates.Of(key); t == nil || load == nil {
		return nil, nil, false
	}
	return t, func(ctx context.Context) (c Check) {
		if run := load(context.WithValue(ctx, checkKey{}, &c)); run != nil {
			_, _ = run() // whose error is that of the answer
		}
		return c
	}, true
}

type checkKey struct{}

// checkIn returns the check that a loader is called for; nil where it is called to load.
func checkIn(ctx context.Context) *Check {
	c, _ := ctx.Value(checkKey{}).(*Check)
	return c
}

// check asks the database for the answer of a query once more.
func (s *Source) check(ctx context.Context, t *template.Template, vars []any) (c Check) {
	c.Answer = t.Statement(ctx, vars)
	if err := s.onOwn(ctx, c.Answer, t.Prepared); err != nil {
		c.Err = err
		return c
	}
	if t.RecordsRows() {
		c.Recording, c.General = s.readRows(ctx, t, c.Answer, s.watcher(t))
	} else {
		c.General = s.Ask(c.Answer, t, s.Query)
	}
	c.Err = c.Answer.Error
	return c
}

// watcher returns a recorder of the rows of a query of which nothing is kept.
func (s *Source) watcher(t *template.Template) replay.Recorder {
	return replay.Recorder{MaxRows: t.Limits().MaxRows, MaxBytes: s.Cache.MaxBytes, Budget: s.Recordings, First: t.First}
}

// readRows runs a query whose rows applications read themselves, and reads them to their end.
func (s *Source) readRows(ctx context.Context, t *template.Template, tx *gorm.DB, recorder replay.Recorder) (recording *replay.Recording, general bool) {
	recorder.Kept, recorder.First = func(r *replay.Recording) { recording = r }, t.First
	tx.Statement.Settings.Store("rows", true)
	general = s.Ask(tx, t, func(db *gorm.DB) {
		s.Config.Rows(db)
		rows, ok := db.Statement.Dest.(*sql.Rows)
		if !ok || rows == nil || db.Error != nil {
			return
		}
		rows = recorder.Rows(ctx, rows)
		for rows.Next() && !recorder.First {
		}
		_ = db.AddError(errors.Join(rows.Err(), rows.Close()))
	})
	return recording, general
}

// Watch has the database answer a query whose rows the application reads itself, or with one the
// first of them. seen is called once: with what the application read of them when it has read them
// to their end, or with nil and perhaps the error of the database.
func (s *Source) Watch(t *template.Template, db *gorm.DB, one bool, seen func(*replay.Recording, error), next func(*gorm.DB)) {
	stmt := db.Statement
	general := s.askOpen(t, db, func(db *gorm.DB) {
		if one {
			stmt.Settings.Store("rows", true)
			defer stmt.Settings.Store("rows", false)
		}
		next(db)
	})
	err := db.Error
	s.Log.Ran(stmt.ConnPool, err)
	s.Log.Passed(stmt)
	rows, ok := stmt.Dest.(*sql.Rows)
	recorder := s.watcher(t)
	if err != nil || !ok || rows == nil || !general {
		seen(nil, err)
	} else {
		recorder.One = t.OneRow(stmt)
		recorder.Kept, recorder.Refused = func(r *replay.Recording) { seen(r, nil) }, func(error) { seen(nil, nil) }
	}
	switch {
	case one && (err != nil || ok && rows != nil):
		db.Error = nil // a row tells it itself
		stmt.Dest = recorder.Row(stmt.Context, rows, err)
	case one:
	case err == nil && ok && rows != nil && general:
		stmt.Dest = recorder.Rows(stmt.Context, rows)
	}
}
