package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"gorm.io/gorm"
)

// note is what the traffic beside reads and writes.
type note struct {
	_       struct{} `preload:""`
	ID      int64
	Version int64
}

const (
	noted = 500
	// wrote is of how many requests one writes.
	wrote = 10
	// busied is how long the traffic waits between two requests.
	busied = 5 * time.Millisecond
)

// notes are what the traffic beside reads and writes, with what each note must say at least: what
// was written, and had returned, before a read began.
type notes struct {
	*stand
	written [noted]atomic.Int64
	writing [noted]sync.Mutex // held by the one who writes a note
}

func fillNotes(db *gorm.DB) error {
	if err := db.AutoMigrate(&note{}); err != nil {
		return err
	}
	var all []note
	for i := range int64(noted) {
		all = append(all, note{ID: i + 1})
	}
	return db.CreateInBatches(all, noted).Error
}

// request reads a note, or writes one.
func (n *notes) request(ctx context.Context, r *rand.Rand) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	ctx, _ = ask(ctx)
	db := n.db.WithContext(ctx)
	i := r.IntN(noted)
	if r.IntN(wrote) == 0 {
		n.writing[i].Lock()
		defer n.writing[i].Unlock()
		version := n.written[i].Load() + 1
		if err := db.Model(&note{}).Where("id = ?", i+1).Update("version", version).Error; err != nil {
			n.fault("writing note %d: %v", i+1, err)
			return
		}
		n.written[i].Store(version)
		return
	}
	least := n.written[i].Load()
	var found note
	if err := db.Where("id = ?", i+1).Take(&found).Error; err != nil || found.Version < least {
		n.fault("note %d is stale: version %d after %d was written, %v", i+1, found.Version, least, err)
	}
}
