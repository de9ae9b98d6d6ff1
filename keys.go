package preload

import (
	"bytes"
	"database/sql"
	"reflect"
	"slices"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// keys finds out whether a query qualifies, and its key.
type keys struct {
	config     *config
	host       *host
	models     *models
	templates  *template.Set
	footprints *footprint.Footprints
	cache      *cache.Cache
	log        *commit.Log
	// confirm reports whether a template of LoadHot is that of a statement.
	confirm func(t *template.Template, db *gorm.DB, own []byte) bool
}

// read is a query that qualifies.
type read struct {
	template  *template.Template
	key       string
	said      uint64 // a sum of what the Valuers among its bind values returned for the key
	now       time.Time
	hit       *cache.Entry // the answer, if it is in memory
	refresh   bool
	cause     Cause // of its miss, where that is known
	partition string
	wrapper   string // names what others have put around the connection; a part of the key
	complete  bool   // GORM completed the clauses of the statement, which it must not do twice
	rerun
	prepare *preparation // of a query of which only the template is asked for; nil for others
}

// rerun is what it takes to run a query again.
type rerun struct {
	reloadable bool // it can be run outside its request
	// holds says that the destination holds a primary key; preset is what it held.
	holds  bool
	preset reflect.Value
}

// recognize finds out whether a query qualifies, and its key; otherwise it returns why not. It
// leaves the statement as GORM's own callback would, but for the SQL, which need not be there.
func (k *keys) recognize(db *gorm.DB, o observer) (q read, reason Reason) {
	if o != nil {
		q.prepare = o.prepares()
	}
	switch {
	case db.Error != nil:
		return q, ReasonError
	case db.DryRun && o == nil:
		return q, ReasonDryRun
	case db.Statement.Schema == nil:
		return q, ReasonNoModel
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
	m := k.models.of(db.Statement.Schema)
	var found shape.Clauses
	if reason = k.qualify(db, m, &q, &found); reason == "" {
		f := shape.New()
		reason = k.identify(db, m.policy, &q, &found, f)
		f.Free()
	}
	return q, reason
}

// qualify finds out whether a query is of a kind whose answers can be kept, and completes its
// clauses if it is.
func (k *keys) qualify(db *gorm.DB, m *model, q *read, found *shape.Clauses) (reason Reason) {
	stmt := db.Statement
	if m.err != nil {
		_ = db.AddError(m.err)
		return ReasonBadTag
	}
	if m.policy == nil {
		return ReasonNoPolicy
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
		return ReasonTransaction
	default:
		return ReasonPool
	}
	if q.prepare != nil && q.wrapper != "" {
		return ReasonPool // it may be there for one call and not for another
	}
	found.Find(stmt)
	switch modeOf(stmt, found) {
	case bypass:
		return ReasonAsked
	case refresh:
		q.refresh, q.cause = true, CauseRefreshed
	}
	if stmt.Context.Err() != nil {
		return ReasonContext
	}
	if resolved(stmt) {
		return ReasonResolver
	}
	var vacant bool
	if vacant, q.holds = shape.Vacancy(stmt); !vacant {
		return ReasonDest
	}
	found.Complete(db, q.holds)
	if q.complete = true; db.Error != nil {
		return ReasonError
	}
	return ""
}

// identify finds the key of a query that qualifies, and its answer if that is in memory.
func (k *keys) identify(db *gorm.DB, policy *Policy, q *read, found *shape.Clauses, f *shape.Fingerprint) (reason Reason) {
	stmt := db.Statement
	o := shape.Options{Holds: q.holds, Prepared: commit.Prepares(stmt.ConnPool), PGX: k.host.pgx, Known: k.footprints.Builders()}
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
	if f.Args.Moving {
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
		q.prepare.args, q.prepare.open = bytes.Clone(f.Args.Bytes), slices.Clone(f.Open)
		return ""
	}
	if t == nil {
		if shape.Render(db); db.Error != nil {
			return ReasonError
		}
		if stmt.SQL.Len() > shape.MaxLength {
			return ReasonLong
		}
		t = k.templates.Add(k.templates.Make(string(f.Shape), stmt, policy.limits()))
	}
	if reason := t.Refused(); reason != "" {
		return Reason(reason)
	}
	if k.config.partition != nil {
		q.partition = k.config.partition(stmt.Context)
		f.Args.AddTagged('p', q.partition)
	}
	if q.wrapper != "" {
		f.Args.AddTagged('w', q.wrapper)
	}
	key := f.Args.Key(t.Prefix)
	q.template, q.said, q.now = t, f.Args.Said, k.config.now()
	q.reloadable = q.partition == "" && q.wrapper == ""
	if !q.refresh {
		if q.hit = k.cache.Find(k.lookupKey(key), q.now); mayAnswer(q.hit, stmt) {
			return ""
		}
		q.hit = nil
		if reason := k.unkeptReason(t, key, q.now); reason != "" {
			return reason
		}
	}
	q.key = string(key)
	return ""
}

// mayAnswer reports whether an entry may answer a statement. One without rows does not answer
// FirstOrCreate: it would create what another process created since, and all who waited for one
// query would create at once what they did not find.
func mayAnswer(e *cache.Entry, stmt *gorm.Statement) bool {
	return e != nil && (e.Rows > 0 || !orCreates(stmt))
}

// orCreates reports whether a query is of the form in which FirstOrCreate and FirstOrInit look for
// a row: Find into one thing, with a limit of one, and ordered by the primary key in the end.
func orCreates(stmt *gorm.Statement) bool {
	if stmt.RaiseErrorOnNotFound || stmt.ReflectValue.Kind() == reflect.Slice {
		return false
	}
	limit, ok := stmt.Clauses["LIMIT"].Expression.(clause.Limit)
	if !ok || limit.Limit == nil || *limit.Limit != 1 {
		return false
	}
	order, ok := stmt.Clauses["ORDER BY"].Expression.(clause.OrderBy)
	if !ok || len(order.Columns) == 0 {
		return false
	}
	last := order.Columns[len(order.Columns)-1]
	return !last.Desc && last.Column == clause.Column{Table: clause.CurrentTable, Name: clause.PrimaryKey}
}

// resolved reports whether dbresolver was told where to go.
func resolved(stmt *gorm.Statement) bool {
	if len(stmt.Plugins) == 1 {
		return false // there is no dbresolver beside this plugin
	}
	if _, ok := stmt.Plugins["gorm:db_resolver"]; !ok {
		return false
	}
	_, write := stmt.Settings.Load("gorm:db_resolver:write")
	_, read := stmt.Settings.Load("gorm:db_resolver:read")
	_, use := stmt.Clauses["gorm:db_resolver:using"]
	return write || read || use
}

// lookupKey returns a key as a string that shares its memory, which the caller will use again. The
// default store only looks at keys; another store may keep them, and gets a copy.
func (k *keys) lookupKey(key []byte) string {
	if k.config.keepsKeys {
		return string(key)
	}
	return unsafe.String(unsafe.SliceData(key), len(key))
}

// unkeptReason returns why an answer of the template that is not in memory will not be kept either,
// "" if it may be.
func (k *keys) unkeptReason(t *template.Template, key []byte, now time.Time) Reason {
	if t.Uncopyable.Load() {
		return ReasonNotKeepable
	}
	return Reason(k.cache.ObstacleOf(key, now))
}
