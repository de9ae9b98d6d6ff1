package recognition

import (
	"bytes"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/mode"
	"github.com/gorm-preload/preload/internal/optin"
	"github.com/gorm-preload/preload/internal/ordinary"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/shortcut"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// Config is what Keys look into.
type Config struct {
	Models     *optin.Models
	Templates  *template.Set
	Footprints *footprint.Footprints
	Cache      *cache.Cache
	Log        *commit.Log
	// Partition returns who asks; nil if there is but one partition.
	Partition func(context.Context) string
	KeepsKeys bool // the store may keep the keys that it is asked for
	Raw       bool // answers of queries that are given as SQL are kept
	Now       func() time.Time
	Report    failopen.Report
	Names     *ordinary.Tables
	// Confirm reports whether a template that was read from a file is that of a statement.
	Confirm func(t *template.Template, db *gorm.DB, own []byte) bool
	// Since returns what calls demand that say this, after it has waited for that where it has to.
	Since func(ctx context.Context, d *mode.Demand) cache.Since
	// Place tells the place of an argument that is not given yet from a value.
	Place func(value any) (n int, ok bool)
}

// Keys finds out whether a query qualifies, and its key.
type Keys struct {
	Config
	pool *commit.Pool
	pgx  bool
}

// New returns keys that recognize nothing before Serve is called.
func New(c Config) *Keys { return &Keys{Config: c} }

// Serve says which pool's queries qualify, and whether its driver may be pgx.
func (k *Keys) Serve(pool *commit.Pool, pgx bool) { k.pool, k.pgx = pool, pgx }

// Recognize finds out whether a query qualifies, and its key; otherwise it returns why not. It
// leaves the statement as GORM's own callback would, but for the SQL, which need not be there. to
// says whether it is given as SQL, and whether the application reads the rows itself. A statement
// that is not to be executed is recognized where it is observed; prepare is what of it is to be
// prepared, nil where arguments that are not given yet are values as any others.
func (k *Keys) Recognize(db *gorm.DB, to Dest, observed bool, prepare *shortcut.Preparation) (q Query, reason seen.Reason) {
	q.Dest, q.prepare = to, prepare
	switch {
	case db.Error != nil:
		return q, seen.ReasonError
	case db.DryRun && !observed:
		return q, seen.ReasonDryRun
	}
	defer func() {
		if fault := recover(); fault != nil {
			failopen.LogFault(k.Report, "recognizing a query", fault)
			reason, q.Hit = seen.ReasonFault, nil
			if q.Complete {
				// It may have been rendered in part.
				db.Statement.SQL.Reset()
				db.Statement.Vars = nil
			}
		}
	}()
	if db.Statement.Schema == nil || q.Raw {
		reason = k.recognizeText(db, &q)
	} else {
		m := k.Models.Of(db.Statement.Schema)
		var found shape.Clauses
		if reason = k.qualify(db, m, &q, &found); reason == "" {
			f := shape.New()
			reason = k.identify(db, m.Policy, &q, &found, f)
			f.Free()
		}
	}
	if q.View != nil && q.Hit != nil && q.View.Shows(&q.Hit.Guard) {
		q.Hit, reason = nil, seen.ReasonOwnWrites
	}
	return q, reason
}

// qualify finds out whether a query is of a kind whose answers can be kept, and completes its
// clauses if it is.
func (k *Keys) qualify(db *gorm.DB, m *optin.Model, q *Query, found *shape.Clauses) (reason seen.Reason) {
	stmt := db.Statement
	if m.Err != nil {
		_ = db.AddError(m.Err)
		return seen.ReasonBadTag
	}
	if m.Policy == nil && (m.Off || k.ungoverned(stmt)) {
		return seen.ReasonNoPolicy
	}
	if reason := k.admit(db, q, found); reason != "" {
		return reason
	}
	fits, filled := shape.Vacancy(stmt)
	if !fits && !q.Rows {
		return seen.ReasonDest
	}
	found.Complete(db, filled || q.Rows)
	q.Filled = filled && !q.Rows
	if q.Complete = true; db.Error != nil {
		return seen.ReasonError
	}
	return ""
}

// admit finds out whether a query is asked where answers are kept, and how it is to be treated.
func (k *Keys) admit(db *gorm.DB, q *Query, found *shape.Clauses) seen.Reason {
	stmt := db.Statement
	found.Find(stmt)
	asked, terms, demand := mode.Of(stmt, found)
	if q.demand = demand; terms != nil {
		if err := k.agree(q, terms); err != nil {
			_ = db.AddError(err)
			return seen.ReasonError
		}
	}
	var conn gorm.ConnPool
	conn, q.wrapper = commit.Reach(stmt.ConnPool)
	switch conn := conn.(type) {
	case *commit.Pool:
		if conn != k.pool {
			return seen.ReasonPool
		}
	case *sql.DB:
		if !k.Log.Direct() || k.pool.ConnPool != gorm.ConnPool(conn) {
			return seen.ReasonPool
		}
	case gorm.TxCommitter:
		if q.View = k.Log.View(stmt.ConnPool, k.pool, mode.AtOwnMoments(stmt.Context), k.Partition != nil); q.View == nil {
			return seen.ReasonTransaction
		}
	default:
		return seen.ReasonPool
	}
	if q.prepare != nil && (q.wrapper != "" || len(q.Tags) > 0) {
		return seen.ReasonPool // it may be there for one call and not for another
	}
	switch asked {
	case mode.Bypass:
		return seen.ReasonAsked
	case mode.Refresh:
		q.Refresh, q.Cause = true, seen.Refreshed
	}
	if stmt.Context.Err() != nil {
		return seen.ReasonContext
	}
	if shape.Resolved(stmt) {
		return seen.ReasonResolver
	}
	return ""
}

// optionsOf returns what else decides the key of a query.
func (k *Keys) optionsOf(stmt *gorm.Statement, q *Query) shape.Options {
	o := shape.Options{Rows: q.Rows, Row: q.Row, Prepared: commit.Prepares(stmt.ConnPool), PGX: k.pgx, Known: k.Footprints.Builders(), Paging: k.Footprints.Paging()}
	if q.terms != nil {
		o.Terms = q.terms.String()
	}
	return o
}

// identify finds the key of a query that qualifies, and its answer if that is in memory.
func (k *Keys) identify(db *gorm.DB, policy *optin.Policy, q *Query, found *shape.Clauses, f *shape.Fingerprint) (reason seen.Reason) {
	stmt := db.Statement
	o := k.optionsOf(stmt, q)
	if q.prepare != nil {
		o.Place = k.Place
	}
	// A clause of the model may have written the SQL itself.
	if stmt.SQL.Len() > 0 || !f.Statement(stmt, found, o) {
		if _, ok := stmt.Clauses["FOR"]; ok {
			return seen.ReasonLocking
		}
		if q.prepare != nil {
			return seen.ReasonArgs // which are not there yet
		}
		if shape.Render(db); db.Error != nil {
			return seen.ReasonError
		}
		if !f.Rendered(stmt, o) {
			return seen.ReasonArgs
		}
	}
	if f.Args.Moving && q.terms == nil {
		return seen.ReasonVolatile
	}
	if len(f.Shape) > shape.MaxLength {
		return seen.ReasonLong
	}
	t := k.Templates.Find(f.Shape)
	if t != nil && t.State.Load() != template.Met && (q.prepare != nil || !k.Confirm(t, db, f.Args.Bytes)) {
		if t = nil; db.Error != nil {
			return seen.ReasonError
		}
	}
	if q.prepare != nil {
		q.Template = t
		q.prepare.Args, q.prepare.Open = bytes.Clone(f.Args.Bytes), slices.Clone(f.Open)
		return ""
	}
	if t == nil {
		if shape.Render(db); db.Error != nil {
			return seen.ReasonError
		}
		if stmt.SQL.Len() > shape.MaxLength {
			return seen.ReasonLong
		}
		t = k.Templates.Add(k.Templates.Make(string(f.Shape), stmt, o, policy.LimitsOrNone(), q.terms))
		t.LocateMoments(string(f.Args.Bytes), stmt.Vars)
	}
	return k.locate(db, q, t, found, f, o)
}

// locate finds the key of a query of a template, and its answer if that is in memory.
func (k *Keys) locate(db *gorm.DB, q *Query, t *template.Template, found *shape.Clauses, f *shape.Fingerprint, o shape.Options) seen.Reason {
	stmt := db.Statement
	if reason := t.Refused(); reason != "" {
		// What is the table of no model may be a view: the database is asked, in the background.
		for _, ref := range t.Unidentified() {
			k.Names.Want(ref)
		}
		return seen.Reason(reason)
	}
	if f.Args.Moving && !t.Moves.Load() {
		t.Moves.Store(true)
	}
	if k.Partition != nil {
		q.partition = k.Partition(stmt.Context)
	}
	if q.Template, q.Said = t, f.Args.Said; q.demand != nil {
		q.Since = k.Since(stmt.Context, q.demand)
	}
	q.Now = k.Now()
	key := k.keyOfMoments(db, q, t, &f.Args)
	if db.Error != nil {
		return seen.ReasonError
	}
	if key == nil {
		key = k.keyOf(q, t, &f.Args)
	}
	q.Reloadable = q.partition == "" && q.wrapper == "" && q.Moments.None() && len(q.Tags) == 0
	if !q.Refresh {
		if q.Hit = k.Cache.Find(args.Lent(key, k.KeepsKeys), q.Now); q.MayAnswer(q.Hit, stmt) {
			return ""
		}
		if q.Hit != nil && !q.Since.Met(q.Hit) {
			q.Cause = seen.TooOld
		}
		if q.Hit = nil; found.Keyed && q.Filled && k.proved(stmt, q, found, o) {
			return ""
		}
		if reason := k.unkeptReason(t, key, q.Now); reason != "" {
			return reason
		}
	}
	q.Key = string(key)
	return ""
}

// proved looks for the answer of the query without the key that GORM takes from the destination.
func (k *Keys) proved(stmt *gorm.Statement, q *Query, found *shape.Clauses, o shape.Options) bool {
	f := shape.New()
	defer f.Free()
	if !f.Statement(stmt, found.Keyless(), o) {
		return false
	}
	t := k.Templates.Find(f.Shape)
	if t == nil || t.State.Load() != template.Met || t.Refused() != "" {
		return false
	}
	e := k.Cache.Find(args.Lent(k.keyOf(q, t, &f.Args), k.KeepsKeys), q.Now)
	if e == nil || !q.Since.Met(e) || !q.Template.Proves(stmt, t, e) || !t.Tells(stmt, e) {
		return false
	}
	stmt.SQL.Reset() // as after any read that is answered from memory
	stmt.Vars = nil
	q.Template, q.Hit = t, e
	return true
}

// keyOf returns the key of the query of a template with these args, in memory that they own.
func (k *Keys) keyOf(q *Query, t *template.Template, own *args.Text) []byte {
	if k.Partition != nil {
		own.AddTagged('p', q.partition)
	}
	if q.wrapper != "" {
		own.AddTagged('w', q.wrapper)
	}
	for _, tag := range q.Tags {
		own.AddTagged('l', tag)
	}
	return own.Key(t.Prefix)
}

// keyOfMoments returns the key of a query without the moments that it gives; nil where it gives
// none, or one that is older than that of the answer in memory: such a query has a key of its own.
func (k *Keys) keyOfMoments(db *gorm.DB, q *Query, t *template.Template, own *args.Text) []byte {
	if q.Rows || q.Filled || !t.GivesMoments() {
		return nil
	}
	text := string(own.Bytes)
	if stmt := db.Statement; stmt.SQL.Len() == 0 && t.Unlocated(text) {
		if shape.Render(db); db.Error != nil {
			return nil
		}
		t.LocateMoments(text, stmt.Vars)
		stmt.SQL.Reset() // it may be answered from memory
		stmt.Vars = nil
	}
	rest, given, ok := t.CutMoments(text, q.Now, q.partition == "" && q.wrapper == "")
	if !ok {
		return nil
	}
	full := own.Bytes
	own.Bytes = rest
	own.AddTagged('m', given.Which())
	key := k.keyOf(q, t, own)
	if e := k.Cache.Find(args.Lent(key, k.KeepsKeys), q.Now); e != nil && given.Before(t.SpansOf(e.Value)) {
		own.Bytes = full
		return nil
	}
	q.Moments = given
	return key
}

// unkeptReason returns why an answer of the template that is not in memory will not be kept either,
// "" if it may be.
func (k *Keys) unkeptReason(t *template.Template, key []byte, now time.Time) seen.Reason {
	if t.Uncopyable.Load() {
		return seen.ReasonNotKeepable
	}
	return seen.Reason(k.Cache.ObstacleOf(key, now))
}
