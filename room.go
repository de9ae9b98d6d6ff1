package preload

import (
	"database/sql"
	"time"
)

const (
	// busyShare is the share of the pool's connections in the application's use from which on
	// nothing is loaded in the background.
	busyShare = 0.7
	// spareConns is how many idle connections a pool has of which a load can take one. An
	// application that has not said otherwise has two at most.
	spareConns = 3
	// quiet is for how long an application that uses one connection at a time sends no statement
	// before a load takes it.
	quiet = 10 * time.Millisecond
	// patience is how long a load waits for that before it is dropped.
	patience = time.Second
	// briefTime is how long a load may take while statements of the application wait for it, and
	// gateGrace how much later they do not wait for it any longer.
	briefTime = 40 * time.Millisecond
	gateGrace = 10 * time.Millisecond
)

// room is what the pool has for a load in the background.
type room uint8

const (
	noRoom room = iota
	// roomLater: a load would take the connection that the application is about to use, and so make
	// the pool open another one. That may be another database (":memory:" of SQLite), or one
	// without the settings that the application made on the first (PRAGMA, SET): what runs one
	// statement at a time may rely on them, whether it knows or not.
	roomLater
	roomNow
)

// room tells what the pool has; others is how many statements of the application run besides those
// that the pool shows.
func (w *worker) room(others int) room {
	if w.ctx.Err() != nil || w.failing.Load() {
		return noRoom
	}
	stats, ok := w.pool()
	if !ok {
		return roomNow
	}
	limit := stats.MaxOpenConnections
	used := stats.InUse - int(w.p.stats.active.Load())
	switch {
	case limit > 0 && (stats.InUse >= limit || float64(used) >= busyShare*float64(limit)):
		return noRoom
	case limit > 0 && stats.OpenConnections >= limit, stats.Idle >= spareConns, used+others >= 2:
		return roomNow
	case w.p.log.Direct():
		// Nothing of the plugin's is there to keep a transaction waiting that is about to begin.
		return noRoom
	}
	return roomLater
}

// lastConn reports whether the load of a key takes the last connection that the pool may open.
func (w *worker) lastConn(key string) bool {
	if kindOf(key) == 0 {
		return false // which may take none
	}
	stats, ok := w.pool()
	return ok && stats.MaxOpenConnections > 0 && stats.InUse+1 >= stats.MaxOpenConnections
}

func (w *worker) pool() (stats sql.DBStats, ok bool) {
	db, err := w.p.pool.GetDBConn()
	if err != nil || db == nil {
		return stats, false
	}
	return db.Stats(), true
}

// makeRoom waits until there is room for a load; ok is false if there will be none soon. With shut,
// the gate keeps the application's statements out until the load ends.
func (w *worker) makeRoom() (shut, ok bool) {
	gate := &w.p.gate
	for deadline := time.Now().Add(patience); ; {
		switch w.room(0) {
		case noRoom:
			return false, false
		case roomNow:
			return false, true
		}
		before := gate.entered()
		timer := time.NewTimer(quiet)
		select {
		case <-w.ctx.Done():
			timer.Stop()
			return false, false
		case <-timer.C:
		}
		if gate.entered() == before && gate.close() {
			if stats, ok := w.pool(); ok && stats.InUse == 0 {
				return true, true
			}
			gate.open() // rows are open, or a transaction
		}
		if time.Now().After(deadline) {
			return false, false
		}
	}
}
