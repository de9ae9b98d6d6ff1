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

// registerCallbacks puts the plugin around GORM's own callbacks, whatever they are: around, so that
// a panic in one is seen, and so that the statement is looked at when nobody else will change it
// any more. Where a dialect has no callbacks at all there is nothing to serve; where it has some of
// them only it could write unseen.
func (p *Plugin) registerCallbacks(db *gorm.DB) error {
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
		// displaced is called after a statement whose callback the application has replaced since:
		// it announces what the statement wrote.
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
				shape.Settle(db.Statement) // a read without SQL was answered from memory
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
