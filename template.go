package preload

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"hash/maphash"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/clone"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// template is the shape of a query: all that decides its SQL and its result type, except the bind values.
type template struct {
	shape  string
	prefix string // of the keys of its queries
	reason string // why its answers cannot be kept; "" if they can
	// unknown are the references to tables if one was to the table of no model in use when the template was met. It may be a view.
	unknown []sqltext.Reference
	policy  *Policy
	stats   *modelStats

	// asks says that code of the application runs while the answer is scanned, and may ask the same.
	asks bool

	// What runs it again.
	sql      string
	proto    gorm.Statement // the fields that gorm.Scan looks at
	destType reflect.Type

	// plan copies what Statement.ReflectValue holds.
	plan   *clone.Plan
	tables []string
	query  *sqltext.Shape // nil where the SQL is not simple

	mu      sync.Mutex // held while the reading is worked out, so that an older one cannot replace a newer one
	reading atomic.Pointer[reading]

	// binds says how to run a query of which only the key is known; nil while that is not known. untold counts the queries that did not
	// tell.
	binds  atomic.Pointer[binds]
	untold atomic.Int32
	fields atomic.Pointer[[]*schema.Field]

	state atomic.Int32 // met, restored or refuted

	next *template // in the same bucket
}

// templates is the bounded set of templates, read without a lock.
type templates struct {
	seed    maphash.Seed
	buckets [templateBuckets]atomic.Pointer[template]
	mu      sync.Mutex
	// byPrefix has the templates in the buckets by the prefix of their keys.
	byPrefix sync.Map
}

const (
	templateBuckets = 1 << 10
	// A bucket that would hold more templates, or more bytes of text, than this is started anew: its templates are met
	// again if they are in use.
	templatesPerBucket = 8
	bytesPerBucket     = 32 << 10
	// prefixSum is how long the sum of the shape is in the prefix of keys.
	prefixSum = 16
	// maxUntold is how many queries of a template are looked at for how it is bound.
	maxUntold = 16
)

// plugins counts the plugins of the process, which may share a Store.
var plugins atomic.Int64

// keyPrefix returns what the keys of a shape begin with. It is the same again when a template was dropped and is met
// once more, and different in each plugin.
func (p *Plugin) keyPrefix(table, shape string) string {
	sum := sha256.Sum256([]byte(p.ownPrefix + shape))
	return keyPrefix + table + "#" + base64.RawURLEncoding.EncodeToString(sum[:12]) + ":"
}

func newTemplates() *templates { return &templates{seed: maphash.MakeSeed()} }

func (ts *templates) find(shape []byte) *template {
	for t := ts.bucket(shape).Load(); t != nil; t = t.next {
		if t.shape == string(shape) {
			return t
		}
	}
	return nil
}

func (ts *templates) bucket(shape []byte) *atomic.Pointer[template] {
	return &ts.buckets[maphash.Bytes(ts.seed, shape)%templateBuckets]
}

// add puts a template in, or returns the one of the same shape that is in already.
func (ts *templates) add(t *template) *template {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	bucket := ts.bucket([]byte(t.shape))
	n, bytes := 0, len(t.shape)+len(t.sql)
	for known := bucket.Load(); known != nil; known = known.next {
		if known.shape == t.shape {
			return known
		}
		n++
		bytes += len(known.shape) + len(known.sql)
	}
	if n < templatesPerBucket && bytes <= bytesPerBucket {
		t.next = bucket.Load()
	} else {
		ts.unname(bucket.Load())
	}
	bucket.Store(t)
	ts.byPrefix.Store(t.prefix, t)
	return t
}

// remove takes a template out, and with it those of its bucket.
func (ts *templates) remove(t *template) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	bucket := ts.bucket([]byte(t.shape))
	ts.unname(bucket.Load())
	bucket.Store(nil)
}

// unname makes the templates of a bucket be found by prefix no more.
func (ts *templates) unname(gone *template) {
	for ; gone != nil; gone = gone.next {
		ts.byPrefix.CompareAndDelete(gone.prefix, gone)
	}
}

// template works out what a rendered statement of this shape is.
func (p *Plugin) newTemplate(shape string, stmt *gorm.Statement, policy *Policy) *template {
	t := &template{
		shape:    shape,
		prefix:   p.keyPrefix(stmt.Schema.Table, shape),
		policy:   policy,
		stats:    p.stats.model(stmt.Schema.Table),
		sql:      stmt.SQL.String(),
		destType: reflect.TypeOf(stmt.Dest),
		plan:     clone.For(stmt.ReflectValue.Type()),
		proto: gorm.Statement{
			Table:         stmt.Table,
			Schema:        stmt.Schema,
			Joins:         slices.Clone(stmt.Joins),
			ColumnMapping: maps.Clone(stmt.ColumnMapping),
			SkipHooks:     true,
		},
	}
	// gorm.Scan looks at names and aliases; the rest holds the values of this request.
	for i := range t.proto.Joins {
		join := &t.proto.Joins[i]
		join.Conds, join.On, join.Expression, join.Selects, join.Omits = nil, nil, nil, nil, nil
	}
	t.asks = asks(stmt.ReflectValue.Type(), map[reflect.Type]bool{}) || slices.ContainsFunc(stmt.Schema.Fields, func(f *schema.Field) bool { return f.Serializer != nil })
	text := sqltext.Analyze(stmt.Dialector.Name(), t.sql)
	switch {
	case !text.Reads:
		t.reason = reasonNotPlain
	case text.Volatile != "":
		t.reason = reasonVolatile
	case text.Unknown != "":
		t.reason = reasonFunction
	}
	t.tables = append(t.tables, text.Tables...)
	if !p.catalog.identifies(stmt.Dialector.Name(), text.References) {
		t.unknown = text.References
	}
	// Any name that is a table in use counts as read, wherever it stands.
	for _, name := range text.Names {
		if !slices.Contains(t.tables, name) && p.catalog.knows(name) {
			t.tables = append(t.tables, name)
		}
	}
	if table := fold(stmt.Table); !slices.Contains(t.tables, table) && p.catalog.knows(table) {
		t.tables = append(t.tables, table)
	}
	if len(t.sql) <= maxText {
		if query, ok := sqltext.Simple(stmt.Dialector.Name(), t.sql); ok && query.Verb == sqltext.Select {
			t.query = &query
		}
	}
	return t
}

// asks reports whether scanning into a type runs code of the application. seen holds the types that were looked at.
func asks(t reflect.Type, seen map[reflect.Type]bool) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array {
		t = t.Elem()
	}
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.PkgPath() {
	case "time", "database/sql", "gorm.io/gorm":
		return false
	}
	if reflect.PointerTo(t).Implements(scannerType) {
		return true
	}
	for i := 0; t.Kind() == reflect.Struct && i < t.NumField(); i++ {
		if asks(t.Field(i).Type, seen) {
			return true
		}
	}
	return false
}

var scannerType = reflect.TypeFor[sql.Scanner]()

// refusal returns why answers of the template cannot be kept, "" if they can.
func (t *template) refusal(p *Plugin) string {
	if t.reason == "" && t.unknown != nil && !p.catalog.identifies(p.db.Dialector.Name(), t.unknown) {
		return reasonTable
	}
	return t.reason
}

// lease gives a flight the right to load the answer of a query with these bind values; false where it could not be kept.
func (t *template) lease(p *Plugin, f *flight, vars []any) bool {
	for {
		version := p.catalog.version.Load()
		f.reading = t.readingOf(p, version)
		pins := f.reading.facts(vars)
		f.found = count(pins)
		if !p.index.Lease(f.reading.group, &f.entry.guard, pins) {
			return false
		}
		// What was learned meanwhile killed the guards it knew of; this one may have come after that.
		known := p.catalog.version.Load() == version
		if known && t.state.Load() != refuted {
			return true
		}
		p.index.Release(&f.entry.guard)
		if known {
			return false
		}
	}
}

// readingOf returns what the template's answers depend on, as far as the catalog knew at a version or later.
func (t *template) readingOf(p *Plugin, version int64) *reading {
	if r := t.reading.Load(); r != nil && r.version >= version {
		return r
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.reading.Load()
	if before != nil && before.version >= version {
		return before
	}
	r := p.newReading(t, version)
	if before != nil && before.same(r) {
		r.group = before.group
	} else {
		r.group = coherence.NewGroup(r.about, r.loose...)
	}
	t.reading.Store(r)
	return r
}

// statement returns a statement that runs the template with these bind values, into a destination of its own that
// holds what was preset, if anything.
func (t *template) statement(ctx context.Context, db *gorm.DB, vars []any, preset reflect.Value) *gorm.DB {
	tx := db.Session(&gorm.Session{NewDB: true, Context: ctx, SkipHooks: true, Initialized: true})
	stmt := tx.Statement
	stmt.Table, stmt.Schema, stmt.Joins, stmt.ColumnMapping = t.proto.Table, t.proto.Schema, t.proto.Joins, t.proto.ColumnMapping
	stmt.SQL.WriteString(t.sql)
	stmt.Vars = slices.Clone(vars)
	if t.destType.Kind() == reflect.Map {
		dest := reflect.MakeMap(t.destType)
		stmt.Dest, stmt.ReflectValue = dest.Interface(), dest
	} else {
		dest := reflect.New(t.destType.Elem())
		stmt.Dest = dest.Interface()
		for dest.Kind() == reflect.Pointer {
			if dest.IsNil() {
				dest.Set(reflect.New(dest.Type().Elem()))
			}
			dest = dest.Elem()
		}
		if preset.IsValid() {
			dest.Set(preset)
		}
		stmt.ReflectValue = dest
	}
	stmt.Model = stmt.Dest
	return tx
}

// schemaOf parses a model, or takes the name of a table as it is.
func (p *Plugin) schemaOf(value any) (*schema.Schema, error) {
	stmt := &gorm.Statement{DB: p.db}
	if err := stmt.Parse(value); err != nil {
		return nil, err
	}
	return stmt.Schema, nil
}
