package runner

import "time"

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
	// BriefTime is how long a load may usually take while statements of the application wait for
	// it, and gateGrace how much later they do not wait for it any longer.
	BriefTime = 40 * time.Millisecond
	gateGrace = 10 * time.Millisecond
)

// Room is what the pool has for a load.
type Room uint8

const (
	// NoRoom: nothing is to be loaded now.
	NoRoom Room = iota
	// roomLater: a load would take the connection that the application is about to use, and so make
	// the pool open another one. That may be another database (":memory:" of SQLite), or one
	// without the settings that the application made on the first (PRAGMA, SET): what runs one
	// statement at a time may rely on them, whether it knows or not.
	roomLater
	roomNow
)

// Room tells what the pool has; others is how many statements of the application run besides those
// that the pool shows.
func (r *Runner) Room(others int) Room {
	if r.ctx.Err() != nil || r.paused.Load() {
		return NoRoom
	}
	stats, ok := r.Pool()
	if !ok {
		return roomNow
	}
	limit := stats.MaxOpenConnections
	used := stats.InUse - int(r.active.Load())
	switch {
	case limit > 0 && (stats.InUse >= limit || float64(used) >= busyShare*float64(limit)):
		return NoRoom
	case limit > 0 && stats.OpenConnections >= limit, stats.Idle >= spareConns, used+others >= 2:
		return roomNow
	case r.Direct():
		// Nothing of the plugin's is there to keep a transaction waiting that is about to begin.
		return NoRoom
	}
	return roomLater
}

// lastConn reports whether a job takes the last connection that the pool may open.
func (r *Runner) lastConn(j *Job) bool {
	if j.Own {
		return false // which may take none
	}
	stats, ok := r.Pool()
	return ok && stats.MaxOpenConnections > 0 && stats.InUse+1 >= stats.MaxOpenConnections
}

// makeRoom waits until there is room for a load; ok is false if there will be none soon. With shut,
// the gate keeps the application's statements out until the load ends.
func (r *Runner) makeRoom() (shut, ok bool) {
	for deadline := time.Now().Add(patience); ; {
		switch r.Room(0) {
		case NoRoom:
			return false, false
		case roomNow:
			return false, true
		}
		before := r.Gate.entered()
		timer := time.NewTimer(quiet)
		select {
		case <-r.ctx.Done():
			timer.Stop()
			return false, false
		case <-timer.C:
		}
		if r.Gate.entered() == before && r.Gate.close() {
			if stats, ok := r.Pool(); ok && stats.InUse == 0 {
				return true, true
			}
			r.Gate.open() // rows are open, or a transaction
		}
		if time.Now().After(deadline) {
			return false, false
		}
	}
}
