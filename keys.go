package preload

import (
	"bytes"
	"database/sql"
	"slices"
	"time"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/mode"
	"github.com/gorm-preload/preload/internal/optin"
	"github.com/gorm-preload/preload/internal/ordinary"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/shortcut"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// keys finds out whether a query qualifies, and its key.
type keys struct {
	config     *config
	host       *host
	models     *optin.Models
	templates  *template.Set
	footprints *footprint.Footprints
	cache      *cache.Cache
	log        *commit.Log
	names      *ordinary.Tables
	// confirm reports whether a template of LoadHot is that of a statement.
	confirm func(t *template.Template, db *gorm.DB, own []byte) bool
}

// read is a query that qualifies.
type read struct {
	template *template.Template
	key      string
	said     uint64 // a sum of what the Valuers among its bind values returned for the key
	now      time.Time
	hit      *cache.Entry // the answer, if it is in memory
	call
	origin
	complete bool // GORM completed the clauses of the statement, which it must not do twice
	dest
	prepare *shortcut.Preparation // of a query of which only the template is asked for; nil for others
}

// call is how the answer of one query is to be treated.
type call struct {
	refresh bool
	cause   Cause           // of a miss, where that is known
	terms   *template.Terms // on which it is kept, nil where the call has none
	tags    []string        // by which it is forgotten, as changes name them
}

// origin is where a query comes from, and as of when it is asked. Its texts are parts of the key.
type origin struct {
	moment    time.Time // that it gives, if that is not part of the key; zero otherwise
	partition string
	wrapper   string       // names what others have put around the connection
	view      *commit.View // of the transaction that it is asked in; nil outside of any
}

// dest is where an answer goes.
type dest struct {
	filled     bool // it holds values, of which those stay that the query does not select
	rows       bool // the application reads the rows itself
	row        bool // and no more than the first
	raw        bool // the query is given as SQL
	reloadable bool // the query can be run outside its request, into another one
}

// recognize finds out whether a query qualifies, and its key; otherwise it returns why not. It
// leaves the statement as GORM's own callback would, but for the SQL, which need not be there. to
// says whether it is given as SQL, and whether the application reads the rows itself.
func (k *keys) recognize(db *gorm.DB, o observer, to dest) (q read, reason Reason) {
	if q.dest = to; o != nil {
		q.prepare = o.prepares()
	}
	switch {
	case db.Error != nil:
		return q, ReasonError
	case db.DryRun && o == nil:
		return q, ReasonDryRun
	}
	defer func() {
		if fault := recover(); fault != nil {
			k.config.fault("recognizing a query", fault)
			reason, q.hit = ReasonFault, nil
			if q.complete {
				// It may have been rendered in part.
				db.Statement.SQL.Reset()
				db.Statement.Vars = nil
			}
		}
	}()
	if db.Statement.Schema == nil || q.raw {
		reason = k.recognizeText(db, &q)
	} else {
		m := k.models.Of(db.Statement.Schema)
		var found shape.Clauses
		if reason = k.qualify(db, m, &q, &found); reason == "" {
			f := shape.New()
			reason = k.identify(db, m.Policy, &q, &found, f)
			f.Free()
		}
	}
	if q.view != nil && q.hit != nil && q.view.Shows(&q.hit.Guard) {
		q.hit, reason = nil, ReasonOwnWrites
	}
	return q, reason
}

// qualify finds out whether a query is of a kind whose answers can be kept, and completes its
// clauses if it is.
func (k *keys) qualify(db *gorm.DB, m *optin.Model, q *read, found *shape.Clauses) (reason Reason) {
	stmt := db.Statement
	if m.Err != nil {
		_ = db.AddError(m.Err)
		return ReasonBadTag
	}
	if m.Policy == nil && (m.Off || k.ungoverned(stmt)) {
		return ReasonNoPolicy
	}
	if reason := k.admit(db, q, found); reason != "" {
		return reason
	}
	fits, filled := shape.Vacancy(stmt)
	if !fits && !q.rows {
		return ReasonDest
	}
	found.Complete(db, filled || q.rows)
	q.filled = filled && !q.rows
	if q.complete = true; db.Error != nil {
		return ReasonError
	}
	return ""
}

// admit finds out whether a query is asked where answers are kept, and how it is to be treated.
func (k *keys) admit(db *gorm.DB, q *read, found *shape.Clauses) Reason {
	stmt := db.Statement
	found.Find(stmt)
	asked, terms := mode.Of(stmt, found)
	if terms != nil {
		if err := k.agree(q, terms); err != nil {
			_ = db.AddError(err)
			return ReasonError
		}
	}
	var conn gorm.ConnPool
	conn, q.wrapper = commit.Reach(stmt.ConnPool)
	switch conn := conn.(type) {
	case *commit.Pool:
		if conn != k.host.pool {
			return ReasonPool
		}
	case *sql.DB:
		if !k.log.Direct() || k.host.pool.ConnPool != gorm.ConnPool(conn) {
			return ReasonPool
		}
	case gorm.TxCommitter:
		word, _ := stmt.Context.Value(transactionReadsKey{}).(bool)
		if q.view = k.log.View(stmt.ConnPool, k.host.pool, word, k.config.partition != nil); q.view == nil {
			return ReasonTransaction
		}
	default:
		return ReasonPool
	}
	if q.prepare != nil && (q.wrapper != "" || len(q.tags) > 0) {
		return ReasonPool // it may be there for one call and not for another
	}
	switch asked {
	case bypass:
		return ReasonAsked
	case refresh:
		q.refresh, q.cause = true, CauseRefreshed
	}
	if stmt.Context.Err() != nil {
		return ReasonContext
	}
	if shape.Resolved(stmt) {
		return ReasonResolver
	}
	return ""
}

// optionsOf returns what else decides the key of a query.
func (k *keys) optionsOf(stmt *gorm.Statement, q *read) shape.Options {
	o := shape.Options{Rows: q.rows, Row: q.row, Prepared: commit.Prepares(stmt.ConnPool), PGX: k.host.pgx, Known: k.footprints.Builders(), Paging: k.footprints.Paging()}
	if q.terms != nil {
		o.Terms = q.terms.String()
	}
	return o
}

// identify finds the key of a query that qualifies, and its answer if that is in memory.
func (k *keys) identify(db *gorm.DB, policy *optin.Policy, q *read, found *shape.Clauses, f *shape.Fingerprint) (reason Reason) {
	stmt := db.Statement
	o := k.optionsOf(stmt, q)
	if q.prepare != nil {
		o.Place = placeOfArg
	}
	// A clause of the model may have written the SQL itself.
	if stmt.SQL.Len() > 0 || !f.Statement(stmt, found, o) {
		if _, ok := stmt.Clauses["FOR"]; ok {
			return ReasonLocking
		}
		if q.prepare != nil {
			return ReasonArgs // which are not there yet
		}
		if shape.Render(db); db.Error != nil {
			return ReasonError
		}
		if !f.Rendered(stmt, o) {
			return ReasonArgs
		}
	}
	if f.Args.Moving && q.terms == nil {
		return ReasonVolatile
	}
	if len(f.Shape) > shape.MaxLength {
		return ReasonLong
	}
	t := k.templates.Find(f.Shape)
	if t != nil && t.State.Load() != template.Met && (q.prepare != nil || !k.confirm(t, db, f.Args.Bytes)) {
		if t = nil; db.Error != nil {
			return ReasonError
		}
	}
	if q.prepare != nil {
		q.template = t
		q.prepare.Args, q.prepare.Open = bytes.Clone(f.Args.Bytes), slices.Clone(f.Open)
		return ""
	}
	if t == nil {
		if shape.Render(db); db.Error != nil {
			return ReasonError
		}
		if stmt.SQL.Len() > shape.MaxLength {
			return ReasonLong
		}
		t = k.templates.Add(k.templates.Make(string(f.Shape), stmt, o, policy.LimitsOrNone(), q.terms))
		t.LocateMoment(string(f.Args.Bytes), stmt.Vars)
	}
	return k.locate(db, q, t, found, f, o)
}

// locate finds the key of a query of a template, and its answer if that is in memory.
func (k *keys) locate(db *gorm.DB, q *read, t *template.Template, found *shape.Clauses, f *shape.Fingerprint, o shape.Options) Reason {
	stmt := db.Statement
	if reason := Reason(t.Refused()); reason != "" {
		if reason == ReasonTable {
			k.askOf(t)
		}
		return reason
	}
	if k.config.partition != nil {
		q.partition = k.config.partition(stmt.Context)
	}
	q.template, q.said, q.now = t, f.Args.Said, k.config.now()
	key := k.keyOfMoment(q, t, &f.Args)
	if key == nil {
		key = k.keyOf(q, t, &f.Args)
	}
	q.reloadable = q.partition == "" && q.wrapper == "" && q.moment.IsZero() && len(q.tags) == 0
	if !q.refresh {
		if q.hit = k.cache.Find(args.Lent(key, k.config.keepsKeys), q.now); q.mayAnswer(q.hit, stmt) {
			return ""
		}
		if q.hit = nil; found.Keyed && q.filled && k.proved(stmt, q, found, o) {
			return ""
		}
		if reason := k.unkeptReason(t, key, q.now); reason != "" {
			return reason
		}
	}
	q.key = string(key)
	return ""
}

// proved looks for the answer of the query without the key that GORM takes from the destination.
func (k *keys) proved(stmt *gorm.Statement, q *read, found *shape.Clauses, o shape.Options) bool {
	f := shape.New()
	defer f.Free()
	if !f.Statement(stmt, found.Keyless(), o) {
		return false
	}
	t := k.templates.Find(f.Shape)
	if t == nil || t.State.Load() != template.Met || t.Refused() != "" {
		return false
	}
	e := k.cache.Find(args.Lent(k.keyOf(q, t, &f.Args), k.config.keepsKeys), q.now)
	if e == nil || !q.template.Proves(stmt, t, e) || !t.Tells(stmt, e) {
		return false
	}
	stmt.SQL.Reset() // as after any read that is answered from memory
	stmt.Vars = nil
	q.template, q.hit = t, e
	return true
}

// keyOf returns the key of the query of a template with these args, in memory that they own.
func (k *keys) keyOf(q *read, t *template.Template, own *args.Text) []byte {
	if k.config.partition != nil {
		own.AddTagged('p', q.partition)
	}
	if q.wrapper != "" {
		own.AddTagged('w', q.wrapper)
	}
	for _, tag := range q.tags {
		own.AddTagged('l', tag)
	}
	return own.Key(t.Prefix)
}

// keyOfMoment returns the key of a query without the moment that it gives; nil where it gives none,
// or one that is older than that of the answer in memory: such a query has a key of its own.
func (k *keys) keyOfMoment(q *read, t *template.Template, own *args.Text) []byte {
	if q.rows || q.filled || !t.GivesMoment() {
		return nil
	}
	rest, at, ok := t.CutMoment(string(own.Bytes))
	if !ok {
		return nil
	}
	full := own.Bytes
	own.Bytes = rest
	own.AddTagged('m', "")
	key := k.keyOf(q, t, own)
	if e := k.cache.Find(args.Lent(key, k.config.keepsKeys), q.now); e != nil && at.Before(t.SpanOf(e.Value).From) {
		own.Bytes = full
		return nil
	}
	q.moment = at
	return key
}

// mayAnswer reports whether an entry may answer a statement. One without rows does not answer
// FirstOrCreate: it would create what another process created since, and all who waited for one
// query would create at once what they did not find. Nor does one that does not hold for the moment
// that the statement gives.
func (q *read) mayAnswer(e *cache.Entry, stmt *gorm.Statement) bool {
	if e != nil && !q.moment.IsZero() && !q.template.SpanOf(e.Value).Covers(q.moment) {
		return false
	}
	return e != nil && (e.Rows > 0 || !shape.OrCreates(stmt)) && (!q.filled || q.template.Tells(stmt, e))
}

// unkeptReason returns why an answer of the template that is not in memory will not be kept either,
// "" if it may be.
func (k *keys) unkeptReason(t *template.Template, key []byte, now time.Time) Reason {
	if t.Uncopyable.Load() {
		return ReasonNotKeepable
	}
	return Reason(k.cache.ObstacleOf(key, now))
}
