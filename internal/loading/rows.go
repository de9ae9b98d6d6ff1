package loading

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/replay"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// Rows runs the query of a load whose rows the application reads itself. They are recorded while
// it does, and are its answer if it reads them to their end. fit is asked when the query has run
// whether the answer may be kept, and kept is called when it is; nil where it may not be anyway.
// The load ends with the rows.
func (s *Source) Rows(f *template.Load, db *gorm.DB, fit func() bool, kept func(), next func(*gorm.DB)) {
	recorded := false
	defer func() {
		if !recorded {
			s.Cache.Land(&f.Flight)
		}
	}()
	general := s.askOpen(f.Template(), db, next)
	ctx := db.Statement.Context
	f.Ran(ctx, db.Error)
	rows, ok := db.Statement.Dest.(*sql.Rows)
	if !ok || rows == nil || db.Error != nil || !general || !fit() {
		return
	}
	recorder := s.rowsRecorder(ctx, f, kept)
	recorder.One = f.Template().OneRow(db.Statement)
	recorded = true
	db.Statement.Dest = recorder.Rows(ctx, rows)
}

// Row does what Rows does for a query of which the application reads the first row alone: GORM's
// own callback next has it ask for rows.
func (s *Source) Row(f *template.Load, db *gorm.DB, fit func() bool, kept func(), next func(*gorm.DB)) {
	recorded := false
	defer func() {
		if !recorded {
			s.Cache.Land(&f.Flight)
		}
	}()
	stmt := db.Statement
	general := s.askOpen(f.Template(), db, func(db *gorm.DB) {
		db.Statement.Settings.Store("rows", true)
		defer db.Statement.Settings.Store("rows", false)
		next(db)
	})
	err := db.Error
	f.Ran(stmt.Context, err)
	rows, ok := stmt.Dest.(*sql.Rows)
	if err == nil && (!ok || rows == nil) {
		return
	}
	db.Error = nil // a row tells it itself
	recorder := replay.Recorder{}
	if recorded = err == nil && general && fit(); recorded {
		recorder = s.rowsRecorder(stmt.Context, f, kept)
	}
	stmt.Dest = recorder.Row(stmt.Context, rows, err)
}

// rowsRecorder returns a recorder of rows that the application reads, which ends their load.
func (s *Source) rowsRecorder(ctx context.Context, f *template.Load, kept func()) replay.Recorder {
	recorder := s.recorder(&f.Flight, f.Template(), func(r *replay.Recording) {
		defer s.Cache.Land(&f.Flight)
		failopen.Guard(s.Log.Report, "keeping rows", func() {
			if f.Template().Partial.Store(false); f.FillRecording(r) && s.Cache.Keep(&f.Flight) {
				kept()
			} else {
				s.Cache.Outdate(&f.Flight)
			}
		})
	})
	refused := recorder.Refused
	recorder.Refused = func(err error) {
		defer s.Cache.Land(&f.Flight)
		refused(err)
		switch {
		case ctx.Err() != nil:
			f.Left = true
		case errors.Is(err, replay.ErrUnread):
			f.Template().Partial.Store(true)
		}
	}
	return recorder
}

// recorder returns a recorder of what the query of a flight gives.
func (s *Source) recorder(f *cache.Flight, t *template.Template, kept func(*replay.Recording)) replay.Recorder {
	return replay.Recorder{
		MaxRows: t.Limits().MaxRows, MaxBytes: s.Cache.MaxBytes, Budget: s.Recordings, Kept: kept,
		Refused: func(err error) {
			if errors.Is(err, replay.ErrTooLarge) {
				s.Cache.Refuse(f, cache.TooLarge)
				s.Cache.Outdate(f)
			}
		},
	}
}

// reloadRows runs the query of a load in the background whose rows applications read themselves,
// and reads them to their end.
func (s *Source) reloadRows(ctx context.Context, f *template.Load, tx *gorm.DB) {
	recording, general := s.readRows(ctx, f.Template(), tx, s.recorder(&f.Flight, f.Template(), nil))
	f.Ran(ctx, tx.Error)
	if general && tx.Error == nil && recording != nil {
		f.ArrivedRecording(recording)
	}
}

// askOpen is Ask for a query whose rows are open afterwards: nothing can be asked beside them, as
// they may have the only connection that there is.
func (s *Source) askOpen(t *template.Template, db *gorm.DB, next func(*gorm.DB)) (general bool) {
	if !t.Starred {
		return s.Log.Ask(db, next)
	}
	ctx, alterations := db.Statement.Context, s.Log.AlteredSoFar()
	known := t.Shown.Load()
	unknown := known == nil || known.Alterations != alterations
	if unknown && s.silent() {
		known = &template.Shown{Alterations: alterations}
	} else if unknown {
		unknown = false
		names, err := s.namesNow(ctx, db.Statement.SQL.String(), db.Statement.Vars)
		if err != nil {
			next(db)
			return false
		}
		known = &template.Shown{Names: names, Alterations: alterations}
		t.Shown.Store(known)
	}
	w := commit.Attend(db.Statement)
	defer w.Leave()
	w.Before = func() *commit.Token { return nil }
	w.WantNames(known.Names)
	general = s.Log.Ask(db, next)
	switch {
	case !general || !w.Named() || s.Log.AlteredSoFar() != alterations:
		return false
	case !unknown && slices.Equal(w.Names, known.Names):
		return true
	case unknown || s.silent():
		return s.shown(t, w.Names, template.Shown{Names: w.Names, Alterations: alterations})
	}
	return false
}
