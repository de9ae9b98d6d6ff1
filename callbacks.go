package preload

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/gormprivate"
	"github.com/gorm-preload/preload/internal/shape"
	"gorm.io/gorm"
)

// register puts the plugin around GORM's own callbacks, whatever they are: around, so that a panic
// in one is seen, and so that the statement is looked at when nobody else will change it any more.
// A handle without a dialect has no callbacks, and nothing to serve; one without some of them could
// write unseen.
func (p *Plugin) register(db *gorm.DB) error {
	cb := db.Callback()
	var missing []string
	all := []struct {
		name      string
		processor interface {
			Get(string) func(*gorm.DB)
			Replace(string, func(*gorm.DB)) error
			Register(string, func(*gorm.DB)) error
		}
		around func(next func(*gorm.DB)) func(*gorm.DB)
		// displaced sees, when they are done, the writes of an application that replaced the
		// callback later.
		displaced func(*gorm.DB)
	}{
		{"gorm:query", cb.Query(), p.reader.aroundQuery, p.writer.unbracketedRaw},
		{"gorm:row", cb.Row(), p.reader.aroundRow, p.writer.unbracketedRaw},
		{"gorm:raw", cb.Raw(), p.writer.aroundRaw, p.writer.unbracketedRaw},
		{"gorm:create", cb.Create(), p.writer.aroundWrite(p.footprints.Created, footprint.LooselyCreated), p.writer.unbracketed(footprint.LooselyCreated)},
		{"gorm:update", cb.Update(), p.writer.aroundWrite(p.footprints.Updated, footprint.LooselyUpdated), p.writer.unbracketed(footprint.LooselyUpdated)},
		{"gorm:delete", cb.Delete(), p.writer.aroundWrite(p.footprints.Deleted, footprint.LooselyDeleted), p.writer.unbracketed(footprint.LooselyDeleted)},
	}
	for _, r := range all {
		if r.processor.Get(r.name) == nil {
			missing = append(missing, r.name)
		}
	}
	if len(missing) > 0 && len(missing) < len(all) {
		return fmt.Errorf("the dialect %s has no callback named %s", db.Name(), strings.Join(missing, ", "))
	}
	for _, r := range all {
		next := r.processor.Get(r.name)
		if next == nil {
			continue
		}
		ours := r.around(next)
		code := reflect.ValueOf(ours).Pointer()
		watch := func(db *gorm.DB) {
			switch {
			case !p.active() || db.DryRun:
			case db.Statement.SQL.Len() == 0:
				shape.Settle(db.Statement) // a read that was answered from memory
			case reflect.ValueOf(r.processor.Get(r.name)).Pointer() != code:
				r.displaced(db)
			}
		}
		err := errors.Join(r.processor.Replace(r.name, ours), r.processor.Register("preload:displaced:"+r.name, watch))
		if err != nil {
			return err
		}
		if r.name == "gorm:query" {
			p.chain.Init(r.processor.(gormprivate.Processor), code, "preload:displaced:"+r.name)
		}
	}
	return nil
}

// observer sees what is made of the statements of one *gorm.DB in GORM's DryRun mode, which are
// built and not executed: Explain and Prepare are observers.
type observer interface {
	// prepares returns what is to be prepared; nil where args that are not given yet are values as
	// any others.
	prepares() *preparation
	// query sees a query that was recognized, and runs GORM's own callback if it needs what that
	// builds.
	query(db *gorm.DB, q *read, reason Reason, next func(*gorm.DB))
	// raw sees a statement that is given as SQL.
	raw(stmt *gorm.Statement)
	// write sees a statement of GORM's that changes something.
	write(stmt *gorm.Statement, w footprint.Write)
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
