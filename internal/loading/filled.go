package loading

import (
	"reflect"

	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/replay"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// AskFor runs the query of a load for a reader, as Ask does. answer is a statement whose
// destination holds what the query found, and nothing else; nil where there is none that could be
// kept. It is the reader's own, unless the reader's destination was filled: then not all that it
// holds afterwards is of the query, which is recorded while GORM reads it. So is a query that is
// known by its text.
func (s *Source) AskFor(f *template.Load, db *gorm.DB, filled bool, next func(*gorm.DB)) (general bool, answer *gorm.DB) {
	t := f.Template()
	if !filled && !t.Text {
		return s.Ask(db, t, next), db
	}
	var recording *replay.Recording
	w := commit.Attend(db.Statement)
	w.Before = func() *commit.Token { return nil }
	recorder := s.recorder(&f.Flight, t, func(r *replay.Recording) { recording = r })
	recorder.First = !t.Text && db.Statement.ReflectValue.Kind() != reflect.Slice || t.First
	w.Recorder = &recorder
	vars := t.VarsOf(db.Statement)
	func() {
		defer w.Leave()
		general = s.Ask(db, t, next)
	}()
	if recording == nil || !template.Succeeded(db) {
		return general, nil
	}
	if f.Recorded = recording; t.Text {
		return general, db
	}
	return general, t.Replay(db.Statement.Context, vars, recording)
}
