package catalog

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm/schema"
)

// Catalog knows the tables of the models in use, their columns, and which changes of other tables
// reach a table: through foreign keys that cascade, and through what policies declare. It grows as
// models are met. Names are folded.
type Catalog struct {
	hooks Hooks

	// version counts what was learned. What was worked out from an older one has to be worked out
	// again.
	version atomic.Int64

	// met counts the schemas that were met, also where there was nothing to learn of them.
	met atomic.Int64

	mu     sync.RWMutex
	seen   map[*schema.Schema]int          // how many relations it had: GORM adds some later
	tables map[string]*Table               // by folded name
	said   map[string]*Table               // the same, as the models say, with all keys
	exact  map[string]bool                 // as the models name them
	edges  map[string][]edge               // by table: what its changes change, too
	owners map[reflect.Type]*schema.Schema // of join tables without a model of their own
	// wanted are, by table, the columns whose values changes are told by: those that answers pin or
	// show, and those that foreign keys reference. The inner maps do not change. A change that was
	// worked out without one kills more.
	wanted map[string]map[string]bool
	// spelled is, by table, how all models of it spell its name; "" where that differs. collated
	// is, by table, what the database said of its columns. The inner maps do not change.
	spelled  map[string]string
	collated map[string]map[string]int
}

// New returns a catalog that knows no models yet.
func New(hooks Hooks) *Catalog {
	return &Catalog{
		hooks:    hooks,
		seen:     map[*schema.Schema]int{},
		tables:   map[string]*Table{},
		said:     map[string]*Table{},
		exact:    map[string]bool{},
		edges:    map[string][]edge{},
		wanted:   map[string]map[string]bool{},
		spelled:  map[string]string{},
		collated: map[string]map[string]int{},
		owners:   map[reflect.Type]*schema.Schema{},
	}
}

// Version returns how many times something was learned.
func (c *Catalog) Version() int64 { return c.version.Load() }

// Met returns how many schemas were met.
func (c *Catalog) Met() int64 { return c.met.Load() }

// Models returns the schemas of a table that were met.
func (c *Catalog) Models(name string) (of []*schema.Schema) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for s := range c.seen {
		if TableName(s.Table) == name {
			of = append(of, s)
		}
	}
	return of
}

// Knows reports whether a folded name is that of a table of a model in use.
func (c *Catalog) Knows(name string) bool { return c.Table(name) != nil }

// Table returns what is known of a table, nil if it is of no model in use.
func (c *Catalog) Table(name string) *Table {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.tables[name]
}

// Written returns what is known of a table, and the columns of it that are wanted.
func (c *Catalog) Written(name string) (*Table, map[string]bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if wanted := c.wanted[name]; wanted != nil {
		return c.tables[name], wanted
	}
	return c.tables[name], noColumns
}

var noColumns = map[string]bool{}

// Want notes the columns by which answers that are read in a certain way are found.
func (c *Catalog) Want(r *coherence.Reading) {
	columns := slices.Clone(r.Pinned)
	for _, pin := range r.Fixed {
		columns = append(columns, pin.Column)
	}
	for _, key := range r.Keys {
		columns = append(columns, key...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wantAll(r.Table, columns)
}

func (c *Catalog) wantAll(table string, columns []string) {
	known := c.wanted[table]
	if !slices.ContainsFunc(columns, func(name string) bool { return !known[name] }) {
		return
	}
	wanted := maps.Clone(known)
	if wanted == nil {
		wanted = map[string]bool{}
	}
	for _, name := range columns {
		wanted[name] = true
	}
	c.wanted[table] = wanted
}

// Identifies reports whether each reference is to the table of a model in use. What is spelled in
// another way may be another table, or a view: one of another schema, or, where the database tells
// them apart, in another case.
func (c *Catalog) Identifies(dialect string, references []sqltext.Reference) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, ref := range references {
		switch {
		case c.exact[ref.Name]:
		case dialect == "sqlite" && !strings.Contains(ref.Name, ".") && c.tables[sqltext.Fold(ref.Name)] != nil:
		case dialect == "postgres" && !ref.Quoted && c.exact[strings.ToLower(ref.Name)]:
		default:
			return false
		}
	}
	return true
}

// HasColumns reports whether each name behind a dot in a statement is a column, where its qualifier
// stands for a table of a model in use. Where it stands for none of these, a row of a subquery or
// an expression, it has to be a column of each of the others, or, with loosely, counts as one. A
// column that no model has counts as a function: it may be one.
func (c *Catalog) HasColumns(attributes []sqltext.Attribute, others []string, loosely bool) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, a := range attributes {
		tables := a.Tables
		if len(tables) == 0 && !loosely {
			tables = others
		}
		for _, name := range tables {
			if t := c.tables[name]; t != nil {
				if _, ok := t.Columns[a.Name]; !ok {
					return false
				}
			}
		}
	}
	return true
}

// Owner returns the model that declared a join table which has no model of its own.
func (c *Catalog) Owner(t reflect.Type) *schema.Schema {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.owners[t]
}

// Hooks are what the catalog asks of its owner about a schema.
type Hooks struct {
	// Dialect returns the name of the dialect. It is called when there are models, and not before.
	Dialect func() string
	// Settle waits until a schema is parsed whole: GORM hands out those that other goroutines are
	// still parsing.
	Settle func(*schema.Schema)
	// Depends returns the tables that the policy of a schema's model names.
	Depends func(*schema.Schema) []string
	// Changed is called with what was learned that was not known before. Answers of tables that are
	// now seen in another way, and those that are reached in a way that was not known, are wrong
	// from then on.
	Changed func(Learned)
}

// Learned is what the catalog did not know before.
type Learned struct {
	Tables  []string // seen in another way than before
	Reached []Reach
}

// Reach says that changes of one table change another one.
type Reach struct{ From, To string }

func (l Learned) empty() bool { return len(l.Tables)+len(l.Reached) == 0 }

// Learn takes in a schema and all that it is related to.
func (c *Catalog) Learn(s *schema.Schema) {
	c.mu.RLock()
	_, seen := c.seen[s]
	c.mu.RUnlock()
	if seen {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var l Learned
	c.visit(s, &l)
	c.count(l)
}

// Update takes in the relations that GORM has added to known schemas when it met other models.
func (c *Catalog) Update() {
	c.mu.RLock()
	grown := false
	for s, had := range c.seen {
		grown = grown || relationCount(s) != had
	}
	c.mu.RUnlock()
	if !grown {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var l Learned
	for s, had := range maps.Clone(c.seen) {
		if relationCount(s) != had {
			delete(c.seen, s)
			c.visit(s, &l)
		}
	}
	c.count(l)
}

// count makes what was learned count.
func (c *Catalog) count(l Learned) {
	if l.empty() {
		return
	}
	// What reaches a table reaches those that it reaches.
	for i := 0; i < len(l.Reached); i++ {
		for _, e := range c.edges[l.Reached[i].To] {
			if further := (Reach{l.Reached[i].From, e.to}); !slices.Contains(l.Reached, further) {
				l.Reached = append(l.Reached, further)
			}
		}
	}
	c.version.Add(1)
	c.hooks.Changed(l)
}

func (c *Catalog) visit(s *schema.Schema, l *Learned) {
	if _, seen := c.seen[s]; s == nil || seen {
		return
	}
	c.hooks.Settle(s)
	related := Relations(s)
	c.seen[s] = len(related)
	c.met.Add(1)
	c.describe(s, c.hooks.Dialect(), l)
	for _, other := range c.hooks.Depends(s) {
		c.reach(TableName(other), edge{to: TableName(s.Table), onDelete: unclear, onUpdate: unclear}, l)
	}
	for _, relation := range related {
		if parent, e := constraintOf(relation); parent != "" {
			c.reach(parent, e, l)
		}
		c.visit(relation.FieldSchema, l)
		c.visit(relation.Schema, l)
		if join := relation.JoinTable; join != nil {
			if join.ModelType.Name() == "" && c.owners[join.ModelType] == nil {
				c.owners[join.ModelType] = s
			}
			c.visit(join, l)
		}
	}
}

// describe takes in what a schema says of its table. Where it does not agree with what another one
// said, it is no longer known how values compare.
func (c *Catalog) describe(s *schema.Schema, dialect string, l *Learned) {
	name := TableName(s.Table)
	now := newTable(s, dialect)
	c.exact[s.Table] = true
	if before := c.said[name]; before != nil {
		now.merge(before)
	}
	if spelled, ok := c.spelled[name]; !ok {
		c.spelled[name] = s.Table
	} else if spelled != s.Table {
		c.spelled[name] = ""
		delete(c.collated, name)
	}
	c.said[name] = now
	if c.compose(name) {
		l.Tables = append(l.Tables, name)
	}
}
