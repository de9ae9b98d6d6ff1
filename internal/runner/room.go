package runner

import "time"

const (
	// quiet is for how long an application sends no statement before a load takes a connection that
	// it is about to use, and patience is how long a load waits for that before it is dropped.
	quiet    = 10 * time.Millisecond
	patience = time.Second
	// fewConns is the limit of a pool up to which a load waits for such a moment where there is no
	// connection to spare. An application with more has a use for all of them.
	fewConns = 2
	// Brisk is how long the slowest of a hundred loads may take where statements of the application
	// wait for them, BriefTime is when such a load is cancelled, and gateGrace is how much later
	// they do not wait for it any longer.
	Brisk     = 5 * time.Millisecond
	BriefTime = 40 * time.Millisecond
	gateGrace = 10 * time.Millisecond
)

// Room is how a load may reach the database.
type Room uint8

const (
	// NoRoom: nothing is to be loaded now.
	NoRoom Room = iota
	// roomLater: on the connection that the application is about to use, at a moment at which it
	// uses none. Another one may be another database (":memory:" of SQLite), or one without the
	// settings that the application made on the first (PRAGMA, SET); or the pool has none to spare.
	roomLater
	// roomNow: on a connection that loads have to themselves, or where there is no pool that could
	// be spoken of, as the application does.
	roomNow
)

// Room tells what there is for a load.
func (r *Runner) Room() Room {
	if r.ctx.Err() != nil || r.paused() {
		return NoRoom
	}
	pool := r.Pool()
	if pool == nil {
		return roomNow
	}
	if r.Alike() {
		if allowed := r.conns.look(pool); allowed > 0 {
			// A load that began without a connection would hold up readers who wait for it.
			if allowed < r.Concurrency && r.Active() >= allowed {
				return NoRoom
			}
			return roomNow
		}
		if pool.Stats().MaxOpenConnections > fewConns {
			return NoRoom // until the application uses fewer
		}
	}
	if !r.Quiet() || r.Gate.heldUp() {
		return NoRoom
	}
	return roomLater
}

// line returns how a job gets to a connection of its own; nil where there is no pool.
func (r *Runner) line() *line {
	pool := r.Pool()
	if pool == nil {
		return nil
	}
	return &line{runner: r, pool: pool}
}

// makeRoom waits until there is room for a load; ok is false if there will be none soon. With shut,
// the gate keeps the application's statements out until the load ends.
func (r *Runner) makeRoom() (shut, ok bool) {
	for deadline := time.Now().Add(patience); ; {
		switch r.Room() {
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
			if pool := r.Pool(); pool != nil && pool.Stats().InUse == 0 {
				return true, true
			}
			r.Gate.open() // rows are open, or a transaction
		}
		if time.Now().After(deadline) {
			return false, false
		}
	}
}

// The database is left alone for a while after a load failed, for longer each time, until one does
// not.
const (
	firstPause = time.Second
	lastPause  = 8 * time.Second
)

// Pause has nothing begun for a while, since the database failed a load. It reports whether that is
// the first one since a load was answered.
func (r *Runner) Pause() (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first = r.pause == 0
	if now := time.Now(); now.After(r.resumes) {
		r.pause = max(firstPause, min(2*r.pause, lastPause))
		r.resumes = now.Add(r.pause)
	}
	return first
}

// Resume ends a pause.
func (r *Runner) Resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resumes, r.pause = time.Time{}, 0
}

// fared notes that the database answered a load.
func (r *Runner) fared() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pause = 0
}

func (r *Runner) paused() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Before(r.resumes)
}
