package preload

import (
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/recognition"
	"github.com/gorm-preload/preload/internal/shortcut"
	"gorm.io/gorm"
)

// observer sees what is made of the statements of one *gorm.DB in GORM's DryRun mode, which are
// built and not executed: Explain and Prepare are observers.
type observer interface {
	// prepares returns what is to be prepared; nil where args that are not given yet are values as
	// any others.
	prepares() *shortcut.Preparation
	// query sees a query that was recognized, and runs GORM's own callback if it needs what that
	// builds.
	query(db *gorm.DB, q *recognition.Query, reason Reason, next func(*gorm.DB))
	// Raw sees a statement that is given as SQL.
	Raw(stmt *gorm.Statement)
	// Write sees a statement of GORM's that changes something.
	Write(stmt *gorm.Statement, w footprint.Write)
}

// observerSetting is a Setting of the statement: GORM hands those on to the statements that it
// adds.
const observerSetting = "preload:observer"

// observing returns the observer of a statement, nil where there is none. Only what is not executed
// can have one, so that no other statement pays for looking.
func observing(stmt *gorm.Statement) observer {
	if !stmt.DryRun {
		return nil
	}
	value, ok := stmt.Settings.Load(observerSetting)
	if !ok {
		return nil
	}
	o, _ := value.(observer)
	return o
}
