package preload_test

import (
	"errors"
	"math/rand/v2"
	"time"

	"gorm.io/gorm"
)

// chaosUpdates bring one row of an owner to a version, or all of them.
var chaosUpdates = []struct {
	name  string
	whole bool
	do    func(db *gorm.DB, o *chaosOwner, slot int, v int64) error
}{
	{"Update by key", false, func(db *gorm.DB, o *chaosOwner, slot int, v int64) error {
		return db.Model(&chaosRow{ID: o.key(slot)}).Where("version < ?", v).Update("version", v).Error
	}},
	{"Update by name", false, func(db *gorm.DB, o *chaosOwner, slot int, v int64) error {
		return db.Model(&chaosRow{}).Where("name = ? AND version < ?", chaosName(o.id, slot), v).Update("version", v).Error
	}},
	{"Update by owner", true, func(db *gorm.DB, o *chaosOwner, slot int, v int64) error {
		return db.Model(&chaosRow{}).Where("owner = ? AND version < ?", o.id, v).Update("version", v).Error
	}},
	{"Update without transaction", false, func(db *gorm.DB, o *chaosOwner, slot int, v int64) error {
		return db.Session(&gorm.Session{SkipDefaultTransaction: true}).Model(&chaosRow{ID: o.key(slot)}).
			Where("version < ?", v).Update("version", v).Error
	}},
	{"Update in a prepared session", false, func(db *gorm.DB, o *chaosOwner, slot int, v int64) error {
		return db.Session(&gorm.Session{PrepareStmt: true, SkipDefaultTransaction: v%2 == 0}).Model(&chaosRow{}).
			Where("name = ? AND version < ?", chaosName(o.id, slot), v).Update("version", v).Error
	}},
	{"Exec", false, func(db *gorm.DB, o *chaosOwner, slot int, v int64) error {
		return db.Exec("UPDATE chaos_rows SET version = ? WHERE id = ? AND version < ?", v, o.key(slot), v).Error
	}},
	{"transaction of several rows", true, func(db *gorm.DB, o *chaosOwner, slot int, v int64) error {
		return db.Transaction(func(tx *gorm.DB) error {
			for slot := range chaosSlots {
				if err := tx.Model(&chaosRow{ID: o.key(slot)}).Where("version < ?", v).Update("version", v).Error; err != nil {
					return err
				}
			}
			var row chaosRow
			o.asked.Add(1)
			return tx.First(&row, o.key(slot)).Error
		})
	}},
	{"transaction with a savepoint rolled back", false, func(db *gorm.DB, o *chaosOwner, slot int, v int64) error {
		return db.Transaction(func(tx *gorm.DB) error {
			inner := tx.Transaction(func(tx *gorm.DB) error {
				return errors.Join(tx.Model(&chaosRow{ID: o.key(slot)}).Update("version", chaosPoison+v).Error, errTx)
			})
			if !errors.Is(inner, errTx) {
				return inner
			}
			return tx.Model(&chaosRow{ID: o.key(slot)}).Where("version < ?", v).Update("version", v).Error
		})
	}},
	{"transaction by hand", false, func(db *gorm.DB, o *chaosOwner, slot int, v int64) error {
		tx := db.Begin()
		if tx.Error != nil {
			return tx.Error
		}
		err := tx.Exec("UPDATE chaos_rows SET version = ? WHERE name = ? AND version < ?", v, chaosName(o.id, slot), v).Error
		if err != nil {
			tx.Rollback()
			return err
		}
		return tx.Commit().Error
	}},
	{"transaction rolled back", false, func(db *gorm.DB, o *chaosOwner, slot int, v int64) error {
		return db.Transaction(func(tx *gorm.DB) error {
			return errors.Join(tx.Model(&chaosRow{}).Where("owner = ?", o.id).Update("version", chaosPoison+v).Error,
				tx.Create(&chaosItem{ID: chaosPoison + o.item(v), Owner: o.id}).Error, errTx)
		})
	}},
}

// chaosWriter writes what its owner has.
type chaosWriter struct {
	world *chaosWorld
	owner *chaosOwner
	next  int64 // version
}

// step makes one write, and reports whether it was acknowledged.
func (w *chaosWriter) step(db *gorm.DB) error {
	if rand.IntN(3) == 0 {
		return w.items(db)
	}
	o := w.owner
	w.next++
	v, slot, write := w.next, rand.IntN(chaosSlots), chaosUpdates[rand.IntN(len(chaosUpdates))]
	slots := []int{slot}
	if write.whole {
		slots = []int{0, 1, 2}
		o.whole.Store(v, true)
	}
	for _, slot := range slots {
		chaosRaise(&o.rows[slot].started, v)
	}
	begun := time.Now()
	err := write.do(db, o, slot, v)
	o.note(w.world.begun, "after %v: %s, rows %v, version %d: %v", time.Since(begun).Round(time.Millisecond), write.name, slots, v, err)
	if err == nil {
		for _, slot := range slots {
			chaosRaise(&o.rows[slot].low, v)
		}
	}
	return err
}

// items makes an item or two, or deletes one.
func (w *chaosWriter) items(db *gorm.DB) (err error) {
	const most = 8
	o := w.owner
	made, gone := o.made.Load(), o.gone.Load()
	for gone < made && o.items[gone].low.Load() == 2 {
		gone++
	}
	o.gone.Store(gone)
	there := 0
	for n := gone; n < made; n++ {
		if o.items[n].low.Load() == 1 {
			there++
		}
	}
	begun := time.Now()
	if made < chaosMaxItems-2 && (there < 4 || there < most && rand.IntN(2) == 0) {
		count := 1 + rand.Int64N(2)
		var items []chaosItem
		for n := made; n < made+count; n++ {
			o.items[n].started.Store(1)
			items = append(items, o.newItem(n))
		}
		o.made.Store(made + count)
		err = db.Create(&items).Error
		o.note(w.world.begun, "after %v: Create items %d to %d: %v", time.Since(begun).Round(time.Millisecond), made, made+count-1, err)
		for n := made; err == nil && n < made+count; n++ {
			chaosRaise(&o.items[n].low, 1)
		}
		return err
	}
	for n := gone; n < made; n++ {
		item := &o.items[n]
		switch item.low.Load() {
		case 0, 2: // it is not known to be there, or gone
			continue
		}
		item.started.Store(2)
		if rand.IntN(2) == 0 {
			db = db.Unscoped()
		}
		err = db.Where("owner = ?", o.id).Delete(&chaosItem{ID: o.item(n)}).Error
		o.note(w.world.begun, "after %v: Delete item %d: %v", time.Since(begun).Round(time.Millisecond), n, err)
		if err == nil {
			chaosRaise(&item.low, 2)
		}
		return err
	}
	return nil
}
