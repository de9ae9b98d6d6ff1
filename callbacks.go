package preload

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// register puts the plugin around GORM's own callbacks, whatever they are: around, so that a panic in one is seen,
// and so that the statement is looked at when nobody else will change it any more. A handle without a dialect has no
// callbacks, and nothing to serve; one without some of them could write unseen.
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
		// displaced sees, when they are done, the writes of an application that replaced the callback later.
		displaced func(*gorm.DB)
	}{
		{"gorm:query", cb.Query(), p.aroundQuery, p.unbracketedRaw},
		{"gorm:row", cb.Row(), p.aroundRow, p.unbracketedRaw},
		{"gorm:raw", cb.Raw(), p.aroundRaw, p.unbracketedRaw},
		{"gorm:create", cb.Create(), p.aroundWrite(p.created, created), p.unbracketed(created)},
		{"gorm:update", cb.Update(), p.aroundWrite(p.updated, updated), p.unbracketed(updated)},
		{"gorm:delete", cb.Delete(), p.aroundWrite(p.deleted, deleted), p.unbracketed(deleted)},
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
				settle(db.Statement) // a read that was answered from memory
			case reflect.ValueOf(r.processor.Get(r.name)).Pointer() != code:
				r.displaced(db)
			}
		}
		err := errors.Join(r.processor.Replace(r.name, ours), r.processor.Register("preload:displaced:"+r.name, watch))
		if err != nil {
			return err
		}
		if r.name == "gorm:query" {
			p.chain.init(r.processor.(queryProcessor), code, "preload:displaced:"+r.name)
		}
	}
	return nil
}

// unbracketed kills, and holds out, what was changed by a write that the plugin's callback was not around.
func (p *Plugin) unbracketed(loosely func(*gorm.Statement) written) func(*gorm.DB) {
	return func(db *gorm.DB) {
		p.begin(db.Statement.ConnPool, p.recognizeWrite(db, loosely), true)(nil)
	}
}

func (p *Plugin) unbracketedRaw(db *gorm.DB) {
	p.guard("recognizing a raw statement", func() {
		if done := p.rawStatement(db.Statement, true); done != nil {
			done(nil)
		}
	})
}

// aroundQuery serves reads.
func (p *Plugin) aroundQuery(next func(*gorm.DB)) func(*gorm.DB) {
	p.query = next
	next = p.gated(next)
	return func(db *gorm.DB) {
		if !p.active() {
			next(db)
			return
		}
		ex := explaining(db.Statement)
		if stmt := db.Statement; stmt.SQL.Len() > 0 {
			inherit(stmt)
			if ex == nil {
				p.stats.bypass(reasonRaw)
			}
			p.around(db, next, false)
			return
		}
		q, reason := p.recognize(db, ex)
		if q.preparing {
			ex.shortcut = p.shortcut(db.Statement, &q, reason)
			return
		}
		if q.hit != nil && ex == nil {
			if p.serve(db, q.template, q.hit) {
				if p.chain.others() {
					settle(db.Statement)
				}
				p.hit(db.Statement.Context, q.hit, q.template.stats, q.now)
				return
			}
			reason = reasonFault
		}
		inherit(db.Statement)
		next := next
		if q.complete {
			render(db)
			next = completed(db.Statement, next)
		}
		if ex != nil {
			next(db)
			ex.query(p, db.Statement, &q, reason)
			return
		}
		if reason != "" {
			// What GORM renders as a subquery, with a logger of its own, is part of a query that is counted itself.
			if reason != reasonDryRun || db.Logger != logger.Discard || p.db.Logger == logger.Discard {
				p.stats.bypass(reason)
			}
			if reason == reasonNotPlain || unusual(db.Statement) {
				p.aroundUnusual(db, next, q.complete, false)
				return
			}
			next(db)
			ran(db.Statement.ConnPool, db.Error)
			return
		}
		missed := q // what escapes to the heap is made on a miss only
		p.answer(db, &missed, next)
	}
}

// completed returns next for a statement whose clauses are complete: GORM adds those of the model once more, which only its own do not
// mind.
func completed(stmt *gorm.Statement, next func(*gorm.DB)) func(*gorm.DB) {
	if steadyClauses(stmt) {
		return next
	}
	return func(db *gorm.DB) {
		clauses := maps.Clone(db.Statement.Clauses)
		next(db)
		db.Statement.Clauses = clauses
	}
}

// read is a query that qualifies.
type read struct {
	template  *template
	key       string
	now       time.Time
	hit       *entry // the answer, if it is in memory
	refresh   bool
	partition string
	complete  bool // GORM completed the clauses of the statement, which it must not do twice
	// reloadable says that the query can be run again outside its request.
	reloadable bool
	// holds says that the destination holds a primary key; preset is what it held.
	holds  bool
	preset reflect.Value
	// preparing says that only the template is asked for, the args of the key and the places of Args in them.
	preparing bool
	args      []byte
	open      []opening
}

// recognize finds out whether a query qualifies, and its key; otherwise it returns why not. It leaves the statement as
// GORM's own callback would, but for the SQL, which need not be there.
func (p *Plugin) recognize(db *gorm.DB, ex *explainer) (q read, reason string) {
	q.preparing = ex != nil && ex.preparing
	switch {
	case db.Error != nil:
		return q, reasonError
	case db.DryRun && ex == nil:
		return q, reasonDryRun
	case db.Statement.Schema == nil:
		return q, reasonNoModel
	}
	defer func() {
		if fault := recover(); fault != nil {
			p.fault("recognizing a query", fault)
			reason, q.hit = reasonFault, nil
			if q.complete {
				// It may have been rendered in part.
				db.Statement.SQL.Reset()
				db.Statement.Vars = nil
			}
		}
	}()
	m := p.model(db.Statement.Schema)
	var found clauses
	if reason = p.qualify(db, m, &q, &found); reason == "" {
		f := newFingerprint()
		reason = p.identify(db, m.policy, &q, &found, f)
		f.free()
	}
	return q, reason
}

// qualify finds out whether a query is of a kind whose answers can be kept, and completes its clauses if it is.
func (p *Plugin) qualify(db *gorm.DB, m *model, q *read, found *clauses) (reason string) {
	stmt := db.Statement
	if m.err != nil {
		_ = db.AddError(m.err)
		return reasonBadTag
	}
	if m.policy == nil {
		return reasonNoPolicy
	}
	switch conn := unwrap(stmt.ConnPool).(type) {
	case *pool:
		if conn != p.pool {
			return reasonPool
		}
	case gorm.TxCommitter:
		return reasonTransaction
	default:
		return reasonPool
	}
	found.find(stmt)
	switch modeOf(stmt, found) {
	case bypass:
		return reasonAsked
	case refresh:
		q.refresh = true
	}
	if stmt.Context.Err() != nil {
		return reasonContext
	}
	if resolved(stmt) {
		return reasonResolver
	}
	var vacant bool
	if vacant, q.holds = vacancy(stmt); !vacant {
		return reasonDest
	}
	found.complete(db, q.holds)
	if q.complete = true; db.Error != nil {
		return reasonError
	}
	return ""
}

// identify finds the key of a query that qualifies, and its answer if that is in memory.
func (p *Plugin) identify(db *gorm.DB, policy *Policy, q *read, found *clauses, f *fingerprint) (reason string) {
	stmt := db.Statement
	// A clause of the model may have written the SQL itself.
	if stmt.SQL.Len() > 0 || !f.statement(stmt, found, q.holds, p.builders) {
		if _, ok := stmt.Clauses["FOR"]; ok {
			return reasonLocking
		}
		if q.preparing {
			return reasonArgs // which are not there yet
		}
		if render(db); db.Error != nil {
			return reasonError
		}
		if !f.rendered(stmt, q.holds) {
			return reasonArgs
		}
	}
	if f.moving {
		return reasonVolatile
	}
	t := p.templates.find(f.shape)
	if t != nil && t.state.Load() != met && (q.preparing || !p.confirm(t, db, f.args)) {
		if t = nil; db.Error != nil {
			return reasonError
		}
	}
	if q.preparing {
		q.template, q.args, q.open = t, bytes.Clone(f.args), slices.Clone(f.open)
		return ""
	}
	if t == nil {
		if render(db); db.Error != nil {
			return reasonError
		}
		t = p.templates.add(p.newTemplate(string(f.shape), stmt, policy))
	}
	if reason := t.refusal(p); reason != "" {
		return reason
	}
	if p.config.partition != nil {
		q.partition = p.config.partition(stmt.Context)
		f.string('p', q.partition)
	}
	key := f.key(t.prefix)
	q.template, q.now = t, p.now()
	q.reloadable = q.partition == ""
	if !q.refresh {
		if q.hit = p.lookup(p.lookupKey(key), q.now); q.hit != nil {
			return ""
		}
	}
	q.key = string(key)
	return ""
}

// resolved reports whether dbresolver was told where to go.
func resolved(stmt *gorm.Statement) bool {
	if len(stmt.Plugins) == 1 {
		return false // the one that looks
	}
	if _, ok := stmt.Plugins["gorm:db_resolver"]; !ok {
		return false
	}
	_, write := stmt.Settings.Load("gorm:db_resolver:write")
	_, read := stmt.Settings.Load("gorm:db_resolver:read")
	_, use := stmt.Clauses["gorm:db_resolver:using"]
	return write || read || use
}

// lookupKey makes a string of a key that is in memory that will be used again. The default store looks at keys only;
// another one may keep them.
func (p *Plugin) lookupKey(key []byte) string {
	if p.config.keepsKeys {
		return string(key)
	}
	return unsafe.String(unsafe.SliceData(key), len(key))
}

// answer gives a query that qualifies, and whose answer is not in memory, its answer: from a load that is under way, or from the database.
func (p *Plugin) answer(db *gorm.DB, q *read, next func(*gorm.DB)) {
	flight, leader := p.board(q, db.Statement.Vars)
	var found *entry
	switch {
	case leader:
		p.lead(db, q, flight, next)
		return
	case flight == nil:
		found = q.hit
	case flight.wait(db.Statement.Context):
		found = flight.entry
	case db.Statement.Context.Err() == nil:
		found = p.lookup(q.key, p.now())
	default:
		// The database tells it in its own words.
	}
	if found != nil && p.serve(db, q.template, found) {
		p.hit(db.Statement.Context, found, q.template.stats, q.now)
		return
	}
	p.miss(q)
	next(db)
}

// board gets the reader of a key that is not in memory onto a flight: as its leader, as one who waits, or, where the
// answer could not be kept, onto none.
func (p *Plugin) board(q *read, vars []any) (f *flight, leader bool) {
	p.guard("boarding", func() {
		var self int64
		if q.template.asks {
			self = goroutine()
			defer func() {
				if f != nil && !leader && f.leader.Load() == self {
					f = nil
				}
			}()
		}
		if !q.refresh {
			if f = p.flights.join(q.key); f != nil {
				return
			}
		}
		mine := &flight{entry: newEntry(q.key, q.template.stats), done: make(chan struct{})}
		mine.leader.Store(self)
		if !q.template.lease(p, mine, vars) {
			p.giveUpRaw()
			if !p.sweepRows() || !q.template.lease(p, mine, vars) {
				return
			}
		}
		if f = p.start(mine, q.refresh); f != nil {
			return
		}
		if !q.refresh {
			// Another flight may have come and gone since the key was not in memory.
			q.hit = p.lookup(q.key, q.now)
		}
		if q.hit == nil {
			f, leader = mine, true
			return
		}
		// Those who wait for this one look, too.
		p.index.Release(&mine.entry.guard)
		p.flights.end(mine)
	})
	return f, leader
}

// lead runs the query of a flight and stores its answer if the lease still lives.
func (p *Plugin) lead(db *gorm.DB, q *read, f *flight, next func(*gorm.DB)) {
	// Also when the query panics: those who wait run their own, and the panic goes its way.
	defer func() {
		if !f.filled {
			p.index.Release(&f.entry.guard)
		}
		p.flights.end(f)
	}()
	p.miss(q)
	vars := db.Statement.Vars
	steady := steady(vars)
	if rv := db.Statement.ReflectValue; q.holds {
		q.preset, _ = q.template.image(rv)
		q.reloadable = q.reloadable && q.preset.IsValid()
	}
	next(db)
	p.guard("keeping an answer", func() {
		f.entry.pattern = p.record(q.key, q.now)
		f.entry.before = f.entry.pattern.Count() - 1
		if steady && p.fill(db, q.template, f) {
			if p.store(f) && q.reloadable {
				p.remember(q, vars)
			}
		}
		p.note(db.Statement.Context, f.entry, q.now, false)
	})
}

// fill copies what a query found into the entry of its flight, if the answer may be kept or others wait for it.
func (p *Plugin) fill(db *gorm.DB, t *template, f *flight) bool {
	if db.Error != nil && (db.Error != gorm.ErrRecordNotFound || db.RowsAffected != 0) {
		return false
	}
	ttl := t.policy.TTL
	if db.RowsAffected == 0 {
		ttl = t.policy.Negative
	}
	keep := ttl > 0 && db.RowsAffected <= int64(t.policy.MaxRows) && !f.entry.guard.Dead()
	if !keep && f.waiters.Load() == 0 {
		return false
	}
	e := f.entry
	image, err := t.image(db.Statement.ReflectValue)
	if err != nil {
		p.config.logger.Warn("preload: an answer that cannot be copied is not kept", "key", e.key, "err", err)
		return false
	}
	e.value, e.rows = image.Addr().UnsafePointer(), db.RowsAffected
	if rows, keys, ok := f.reading.keys(db.Statement.Context, image, e.rows); ok {
		p.index.Fill(&e.guard, rows, keys)
		f.found += count(keys)
	}
	f.weight = t.weigh(image) + int64(len(e.key)) + entryOverhead + int64(f.found)*valueOverhead
	e.live(p.now(), ttl)
	f.filled = true
	if !keep {
		p.index.Release(&e.guard)
	}
	return keep
}

// store stores the entry of a flight that is filled.
func (p *Plugin) store(f *flight) (kept bool) {
	if kept = p.keep(f.entry, f.weight); !kept {
		p.index.Release(&f.entry.guard)
	}
	return kept
}

// hit notes that an entry was read. stats are the entry's, which the caller has at hand.
func (p *Plugin) hit(ctx context.Context, e *entry, stats *modelStats, now time.Time) {
	e.node.Use()
	stats.hits.Add(1)
	if e.preloaded.Load() && e.counted.Load() && e.preloaded.Swap(false) {
		p.stats.preloadHits.Add(1)
		e.fate(used)
	}
	if e.pattern != nil {
		p.recordAgain(e.pattern, now)
	} else {
		p.record(e.publicKey(p), now)
	}
	p.note(ctx, e, now, true)
	if now.UnixNano() >= e.stale {
		p.worker.reload(e)
	}
}

func (p *Plugin) miss(q *read) {
	q.template.stats.misses.Add(1)
}

// vacancy reports whether a destination is of a kind that can be copied into and holds nothing, or nothing but a primary
// key that GORM turns into a condition; holds says that it is the latter.
func vacancy(stmt *gorm.Statement) (vacant, holds bool) {
	rv := stmt.ReflectValue
	switch dest := stmt.Dest.(type) {
	case map[string]any:
		return dest != nil && len(dest) == 0, false
	case *map[string]any:
		return dest != nil && len(*dest) == 0, false
	case *[]map[string]any:
		// GORM appends to it.
		return dest != nil && len(*dest) == 0, false
	}
	if !rv.CanSet() {
		return false, false
	}
	switch rv.Kind() {
	case reflect.Slice, reflect.Array, reflect.String, reflect.Bool,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64:
		return true, false
	case reflect.Struct:
		if blank(rv) {
			return true, false
		}
		holds := !rv.IsZero()
		return !holds || rv.Type() == stmt.Schema.ModelType && onlyPrimaryKey(stmt, rv), holds
	}
	return false, false
}

// blank reports whether all memory of a value is zero, which is quicker to tell than whether it is the zero value.
func blank(rv reflect.Value) bool {
	memory := unsafe.Slice((*byte)(unsafe.Pointer(rv.UnsafeAddr())), rv.Type().Size())
	for len(memory) > len(zeros) {
		if string(memory[:len(zeros)]) != zeros {
			return false
		}
		memory = memory[len(zeros):]
	}
	return string(memory) == zeros[:len(memory)]
}

var zeros = string(make([]byte, 256))

// plainKey reports whether values of a key's type can be told apart by what they hold.
func plainKey(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	case reflect.Array:
		return t.Elem().Kind() == reflect.Uint8
	}
	return false
}

func onlyPrimaryKey(stmt *gorm.Statement, rv reflect.Value) bool {
	rest := reflect.New(rv.Type()).Elem()
	rest.Set(rv)
	for _, field := range stmt.Schema.PrimaryFields {
		for _, i := range field.StructField.Index {
			if i < 0 {
				// Behind a pointer, which rest shares with the destination.
				return false
			}
		}
		key, err := rest.FieldByIndexErr(field.StructField.Index)
		if err != nil || !plainKey(key.Type()) {
			return false
		}
		key.SetZero()
	}
	return rest.IsZero()
}

// live sets from when to when an entry is served.
func (e *entry) live(now time.Time, ttl time.Duration) {
	e.expires = after(now, ttl)
	e.stale = after(now, ttl-ttl/reloadFraction)
}

// after is now+d in nanoseconds since 1970, or the last moment that can be told so.
func after(now time.Time, d time.Duration) int64 {
	if start := now.UnixNano(); start <= math.MaxInt64-int64(d) {
		return start + int64(d)
	}
	return math.MaxInt64
}

// around runs a raw statement, or one that is not known, between the announcement of what it may change and its finish.
func (p *Plugin) around(db *gorm.DB, next func(*gorm.DB), unseenEnd bool) {
	if ex := explaining(db.Statement); ex != nil {
		ex.raw(p, db.Statement)
	}
	var done func(error)
	if db.Error == nil && !db.DryRun {
		p.guard("recognizing a raw statement", func() { done = p.rawStatement(db.Statement, unseenEnd) })
	}
	if done == nil {
		next(db)
		ran(db.Statement.ConnPool, db.Error)
		return
	}
	outcome := errUnknownOutcome
	defer func() {
		ran(db.Statement.ConnPool, outcome)
		if rows, ok := db.Statement.Dest.(*sql.Rows); ok && rows != nil && unseenEnd {
			p.stayOpen(db.Statement, rows)
		}
		done(outcome)
	}()
	next(db)
	outcome = db.Error
}

// stayOpen announces what a raw write changes once more, until its rows are closed.
func (p *Plugin) stayOpen(stmt *gorm.Statement, rows *sql.Rows) {
	if _, held := unwrap(stmt.ConnPool).(*transaction); held {
		return
	}
	p.guard("watching the rows of a write", func() {
		w := everything()
		if meaning := p.classify(stmt); meaning.Kind == sqltext.Write {
			w = p.wrote(stmt, meaning.Names)
		}
		held, _ := p.announced([]written{w})
		p.openRows.add(openWrite{rows, p.now(), held})
	})
}

// unusual reports whether a statement has clauses, or parts of clauses, that GORM does not have by itself: such as a common
// table expression, which may write.
func unusual(stmt *gorm.Statement) bool {
	for _, name := range stmt.BuildClauses {
		c, ok := stmt.Clauses[name]
		if ok && (!clausesOfGORM[name] || c.Builder != nil || c.BeforeExpression != nil || c.AfterNameExpression != nil || c.AfterExpression != nil) {
			return true
		}
	}
	return false
}

var clausesOfGORM = map[string]bool{
	"SELECT": true, "FROM": true, "WHERE": true, "GROUP BY": true, "ORDER BY": true, "LIMIT": true, "FOR": true,
	"INSERT": true, "VALUES": true, "ON CONFLICT": true, "RETURNING": true, "UPDATE": true, "SET": true, "DELETE": true,
}

// aroundUnusual runs a query that GORM builds as if it were raw: what it does is read off its SQL.
func (p *Plugin) aroundUnusual(db *gorm.DB, next func(*gorm.DB), completed, unseenEnd bool) {
	if db.Error == nil && !db.DryRun {
		if !completed {
			completeByGORM(db)
		}
		render(db)
	}
	p.around(db, next, unseenEnd)
}

// ran notes that a statement ended with this error on a connection. A transaction in which one failed may be over: databases
// roll back at deadlocks, and where a conflict clause says so.
func ran(conn gorm.ConnPool, err error) {
	if err == nil || errors.Is(err, gorm.ErrRecordNotFound) {
		return
	}
	if tx, ok := unwrap(conn).(*transaction); ok {
		tx.lose()
	}
}

func (p *Plugin) aroundRaw(next func(*gorm.DB)) func(*gorm.DB) {
	next = p.gated(next)
	return func(db *gorm.DB) {
		if !p.active() {
			next(db)
			return
		}
		p.around(db, next, false)
	}
}

func (p *Plugin) aroundRow(next func(*gorm.DB)) func(*gorm.DB) {
	next = p.gated(next)
	return func(db *gorm.DB) {
		if !p.active() {
			next(db)
			return
		}
		p.stats.bypass(reasonRows)
		switch {
		case db.Statement.SQL.Len() > 0:
			p.around(db, next, true)
		case unusual(db.Statement):
			p.aroundUnusual(db, next, false, true)
		default:
			next(db)
			ran(db.Statement.ConnPool, db.Error)
		}
	}
}

// aroundWrite announces and finishes what a create, an update or a delete changes: exactly, where GORM's own callback
// runs it; else loosely, by what the statement shows before.
func (p *Plugin) aroundWrite(exactly, loosely func(*gorm.Statement) written) func(func(*gorm.DB)) func(*gorm.DB) {
	return func(next func(*gorm.DB)) func(*gorm.DB) {
		own := ownCallback(next)
		next = p.gated(next)
		return func(db *gorm.DB) {
			if !p.active() || db.Error != nil || db.DryRun {
				next(db)
				if ex := explaining(db.Statement); ex != nil && db.Error == nil && db.Statement.SQL.Len() > 0 {
					by := loosely
					if own {
						by = exactly
					}
					ex.write(p, db.Statement, p.recognizeWrite(db, by))
				}
				return
			}
			conn := db.Statement.ConnPool
			outcome := errUnknownOutcome
			var done func(error)
			defer func() {
				ran(conn, outcome)
				if done != nil {
					done(outcome)
				}
			}()
			if own {
				w := attend(db.Statement)
				defer w.leave()
				w.before = func() { done = p.begin(conn, p.recognizeWrite(db, exactly), false) }
			} else {
				done = p.begin(conn, p.recognizeWrite(db, loosely), false)
			}
			next(db)
			outcome = db.Error
		}
	}
}

// recognizeWrite finds out what a statement changes.
func (p *Plugin) recognizeWrite(db *gorm.DB, by func(*gorm.Statement) written) (w written) {
	defer func() {
		if fault := recover(); fault != nil {
			p.fault("recognizing a write", fault)
			w = everything()
		}
	}()
	if db.Statement.Schema != nil {
		p.model(db.Statement.Schema)
	} else {
		p.catalog.update(p.catalogued())
	}
	return by(db.Statement)
}
