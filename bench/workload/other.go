package workload

import (
	"fmt"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/bench/otterstore"
	"gorm.io/gorm"
)

// misses asks for what is not in memory: each row in turn, where few have room.
func misses() Workload {
	return Workload{"W5-miss", "`First(&x, id)` of what is not in memory, and pushes another out", "plain", 2 * people, func(p *Place) ([]Variant, error) {
		plain, err := p.file(gorm.Config{})
		if err != nil {
			return nil, err
		}
		db, _, err := p.plugged(preload.WithoutWorker(), preload.WithMaxEntries(people/10))
		if err != nil {
			return nil, err
		}
		read := func(db *gorm.DB) func(i int) (Person, error) {
			return func(i int) (p Person, err error) {
				err = db.First(&p, i%people+1).Error
				return p, err
			}
		}
		return []Variant{finding("plain", read(plain)), finding("preload", read(db)).of(db)}, nil
	}}
}

// bypassed asks for a model that no policy is for.
func bypassed() Workload {
	return Workload{"W5-bypass", "`First(&x, id)` of a model that is not opted in", "plain", people, func(p *Place) ([]Variant, error) {
		plain, err := p.file(gorm.Config{})
		if err != nil {
			return nil, err
		}
		db, _, err := p.plugged(preload.WithoutWorker())
		if err != nil {
			return nil, err
		}
		read := func(db *gorm.DB) func(i int) (Unlisted, error) {
			return func(i int) (u Unlisted, err error) {
				err = db.First(&u, i%people+1).Error
				return u, err
			}
		}
		return []Variant{finding("plain", read(plain)), finding("preload", read(db)).of(db)}, nil
	}}
}

// entries is how many others there are when a row is updated.
const entries = 10_000

// updates sets a column of a row, without and with many entries of other rows in memory.
func updates() Workload {
	return Workload{"W11", "a column of a row is set, its key known; 10,000 answers of the same table in memory, or none", "plain", 500, func(p *Place) ([]Variant, error) {
		p.rows = entries + people
		defer func() { p.rows = 0 }()
		plain, err := p.file(gorm.Config{})
		if err != nil {
			return nil, err
		}
		none, _, err := p.plugged(preload.WithoutWorker())
		if err != nil {
			return nil, err
		}
		full, plugin, err := p.plugged(preload.WithoutWorker())
		if err != nil {
			return nil, err
		}
		for i := range entries {
			if err := full.First(new(Person), i+1).Error; err != nil {
				return nil, err
			}
		}
		update := func(db *gorm.DB) func(i int) (int64, error) {
			return func(i int) (int64, error) {
				tx := db.Model(&Person{ID: uint(entries + i%people + 1)}).Update("karma", i)
				return tx.RowsAffected, tx.Error
			}
		}
		filled := update(full)
		return []Variant{finding("plain", update(plain)), finding("preload-none", update(none)), finding("preload-10000", func(i int) (int64, error) {
			if i%1_000 == 0 && plugin.Stats().Entries < entries {
				return 0, fmt.Errorf("%d entries are left", plugin.Stats().Entries)
			}
			return filled(i)
		})}, nil
	}}
}

// Stores are the implementations of preload.Store that are compared.
var Stores = []struct {
	Name string
	New  func() (preload.Store, error)
}{
	{"go-cache", func() (preload.Store, error) { return preload.NewStore(), nil }},
	{"otter", otterstore.New},
}

// stores asks the stores themselves.
func stores() Workload {
	return Workload{"S1", "`Store.Get` of a key that is there, zipf over 1,000", "go-cache", 1 << 14, func(*Place) ([]Variant, error) {
		drawn := draws(people)
		var all []Variant
		for _, s := range Stores {
			store, err := s.New()
			if err != nil {
				return nil, err
			}
			for _, key := range users {
				store.Set(key, new(Person))
			}
			all = append(all, finding(s.Name, func(i int) (bool, error) {
				_, ok := store.Get(users[drawn[i%len(drawn)]])
				return ok, nil
			}))
		}
		return all, nil
	}}
}
