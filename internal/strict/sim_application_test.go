package strict

import (
	"context"
	"slices"
	"strconv"
	"time"
)

// database is one that commits each transaction at one moment.
type database struct {
	versions [simKeys]int
	locks    [simKeys]int
	begun    int
	open     []*transaction
}

type transaction struct {
	id, key int
	dead    bool // its connection is gone: it is undone, unless its commit comes first
}

func (d *database) find(tx int) *transaction {
	for _, t := range d.open {
		if t.id == tx {
			return t
		}
	}
	return nil
}

func (d *database) begin(key int) int {
	d.begun++
	d.locks[key] = d.begun
	d.open = append(d.open, &transaction{id: d.begun, key: key})
	return d.begun
}

func (d *database) end(tx int, commit bool) (version int, ok bool) {
	t := d.find(tx)
	if t == nil {
		return 0, false
	}
	d.open = slices.DeleteFunc(d.open, func(o *transaction) bool { return o == t })
	d.locks[t.key] = 0
	if commit {
		d.versions[t.key]++
	}
	return d.versions[t.key], true
}

func (d *database) Over(_ context.Context, tx string) (bool, error) {
	id, err := strconv.Atoi(tx)
	return err == nil && d.find(id) == nil, nil
}

func (d *database) Mark(context.Context) (string, error) { return strconv.Itoa(d.begun), nil }

func (d *database) Passed(_ context.Context, mark string) (bool, error) {
	last, err := strconv.Atoi(mark)
	return !slices.ContainsFunc(d.open, func(t *transaction) bool { return t.id <= last }), err
}

// answers is the memory of a process.
type answers struct {
	p       *proc
	until   time.Time
	kept    [simKeys]int // versions; 0 where there is none
	blocked [simKeys]int
	loads   []*load

	noLease, fromReply, noReset, noBlock, sparesLoads, killsLater bool
}

type load struct {
	key            int
	returned, read int // what it must not be older than
	keeps          bool
}

func (a *answers) alive() bool { return a.p.Now().Before(a.until) }

func (a *answers) Serve(asked time.Time, n time.Duration) {
	switch {
	case a.noLease:
		n = time.Hour
	case a.fromReply:
		asked = a.p.Now()
	}
	a.until = asked.Add(n)
}

func (a *answers) Stop() {
	a.until = time.Time{}
	for _, l := range a.loads {
		l.keeps = false
	}
}

func (a *answers) Reset(string) {
	if a.noReset {
		return
	}
	for key := range simKeys {
		a.kill(key)
	}
}

func (a *answers) kill(key int) {
	a.kept[key] = 0
	if a.sparesLoads {
		return
	}
	for _, l := range a.loads {
		if l.key == key {
			l.keeps = false
		}
	}
}

// Begin reads a batch: the number of a key.
func (a *answers) Begin(batch []byte) func(End) {
	first, last := 0, simKeys-1
	if len(batch) == 1 {
		first, last = int(batch[0]), int(batch[0])
	}
	for key := first; key <= last; key++ {
		if a.killsLater {
			a.p.w.post(toProcess, a.p, false, func() { a.kill(key) })
		} else {
			a.kill(key)
		}
		if !a.noBlock {
			a.blocked[key]++
		}
	}
	if a.p.w.tracing {
		a.p.w.logf("p%d blocks %d to %d", a.p.n, first, last)
	}
	return func(End) {
		if a.p.w.tracing {
			a.p.w.logf("p%d unblocks %d to %d", a.p.n, first, last)
		}
		for key := first; key <= last && !a.noBlock; key++ {
			a.blocked[key]--
		}
	}
}

func (w *world) check(p *proc, how string, key, version, returned, read int) {
	if w.tracing {
		w.logf("p%d %s key %d = %d", p.n, how, key, version)
	}
	switch {
	case version < returned:
		w.violated("stale", "p%d %s version %d of key %d after the write of %d returned", p.n, how, version, key, returned)
	case version < read:
		w.violated("backwards", "p%d %s version %d of key %d after %d was read", p.n, how, version, key, read)
	}
	w.read[key] = max(w.read[key], version)
}

func (p *proc) doRead() {
	w, a := p.w, p.memory
	key := w.r.IntN(simKeys)
	if a.kept[key] != 0 && a.alive() {
		w.counts[countHits]++
		w.check(p, "served", key, a.kept[key], w.returned[key], w.read[key])
		return
	}
	if len(a.loads) > 3 {
		return
	}
	l := &load{key, w.returned[key], w.read[key], a.alive() && a.blocked[key] == 0}
	a.loads = append(a.loads, l)
	w.post(toDatabase, p, false, func() {
		version := w.db.versions[key]
		w.post(toProcess, p, false, func() {
			w.counts[countLoads]++
			a.loads = slices.DeleteFunc(a.loads, func(o *load) bool { return o == l })
			w.check(p, "loaded", key, version, l.returned, l.read)
			if l.keeps {
				w.counts[countKept]++
				a.kept[key] = version
				if w.tracing {
					w.logf("p%d keeps key %d = %d", p.n, key, version)
				}
			}
		})
	})
}

// edit is one write of the application.
type edit struct {
	p       *proc
	key, tx int // 0: a statement of its own
	write   *Write
	ready   bool // it may be committed
	sent    bool
	unblock func(End)
	version int
	end     End
}

func (p *proc) doWrite() {
	w := p.w
	key := w.r.IntN(simKeys)
	if len(p.edits) >= 2 || w.db.locks[key] != 0 {
		return
	}
	e := &edit{p: p, key: key}
	tx := ""
	if !w.v.autocommit {
		e.tx = w.db.begin(key)
		tx = strconv.Itoa(e.tx)
	}
	p.edits = append(p.edits, e)
	if w.tracing {
		w.logf("p%d writes key %d, tx %d", p.n, key, e.tx)
	}
	if w.v.late {
		e.ready = true
		return
	}
	e.announce(tx, func(err error) {
		if w.tracing {
			w.logf("p%d may commit %s: %v", p.n, e.write.a.ID, err)
		}
		if err == nil {
			e.ready = true
			return
		}
		e.rollBack()
	})
}

func (e *edit) announce(tx string, granted func(error)) {
	batch := []byte{byte(e.key)}
	e.unblock = e.p.memory.Begin(batch)
	e.write = e.p.member.Announce(batch, tx, granted)
}

func (e *edit) rollBack() {
	w := e.p.w
	e.sent = true
	w.post(toDatabase, e.p, false, func() {
		w.db.end(e.tx, false)
		w.post(toProcess, e.p, false, func() { e.over(EndUndone) })
	})
}

func (e *edit) commit() {
	w, p := e.p.w, e.p
	e.sent = true
	fails := e.tx != 0 && !w.quiet && w.fails(100)
	w.post(toDatabase, p, false, func() {
		version, ok := 0, true
		if e.tx == 0 {
			w.db.versions[e.key]++
			version = w.db.versions[e.key]
		} else {
			version, ok = w.db.end(e.tx, true)
		}
		if w.tracing {
			w.logf("database: tx %d of p%d commits: %v, key %d = %d", e.tx, p.n, ok, e.key, version)
		}
		if fails {
			return
		}
		w.post(toProcess, p, false, func() {
			if !ok {
				e.over(EndUndone)
				return
			}
			e.version = version
			e.over(EndVisible)
		})
	})
	if fails {
		w.post(toProcess, p, false, func() {
			if t := w.db.find(e.tx); t != nil {
				t.dead = true
			}
			w.counts[countUnknown]++
			e.over(EndUnknown)
		})
	}
}

func (e *edit) over(end End) {
	e.end = end
	if e.p.w.v.late {
		e.announce(strconv.Itoa(e.tx), func(error) { e.write.Finish(end, e.returns) })
		return
	}
	e.write.Finish(end, e.returns)
}

func (e *edit) returns() {
	w, p := e.p.w, e.p
	e.unblock(e.end)
	p.edits = slices.DeleteFunc(p.edits, func(o *edit) bool { return o == e })
	if told := e.write.phase != over; e.end == EndVisible && !(told && w.v.autocommit) {
		w.counts[countWrites]++
		w.returned[e.key] = max(w.returned[e.key], e.version)
	}
	if w.tracing {
		w.logf("p%d: the write of key %d returns: %d, end %d", p.n, e.key, e.version, e.end)
	}
}

func (p *proc) advance() {
	if len(p.edits) == 0 {
		return
	}
	w, e := p.w, p.edits[p.w.r.IntN(len(p.edits))]
	switch {
	case !e.ready || e.sent:
	case e.tx != 0 && w.chance(80):
		w.counts[countRolledBack]++
		e.rollBack()
	default:
		e.commit()
	}
}
