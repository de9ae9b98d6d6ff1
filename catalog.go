package preload

import (
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/coherence"
	"gorm.io/gorm/schema"
)

// catalog knows the tables of the models in use, and which changes of other tables reach a table: through
// foreign keys that cascade, and through what policies declare. It grows as models are met. Names are folded.
type catalog struct {
	// version counts what was learned. A template whose dependencies are older has to work them out again.
	version atomic.Int64

	mu      sync.RWMutex
	seen    map[*schema.Schema]bool
	tables  map[string]bool
	reached map[string][]coherence.Dependency // by table: whose changes change it too
	owners  map[reflect.Type]*schema.Schema   // of join tables without a model of their own
}

func newCatalog() *catalog {
	return &catalog{
		seen:    map[*schema.Schema]bool{},
		tables:  map[string]bool{},
		reached: map[string][]coherence.Dependency{},
		owners:  map[reflect.Type]*schema.Schema{},
	}
}

// knows reports whether names are tables of models in use.
func (c *catalog) knows(names ...string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, name := range names {
		if !c.tables[name] {
			return false
		}
	}
	return true
}

// owner returns the model that declared a join table which has no model of its own.
func (c *catalog) owner(t reflect.Type) *schema.Schema {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.owners[t]
}

// learn takes in a schema and all that it is related to. It returns the tables that changes now reach in a way
// that was not known before: answers that depend on them were stored with too few dependencies.
func (c *catalog) learn(s *schema.Schema) (reached []string) {
	c.mu.RLock()
	seen := c.seen[s]
	c.mu.RUnlock()
	if seen {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if reached = c.visit(s, nil); len(reached) > 0 {
		c.version.Add(1)
	}
	return reached
}

func (c *catalog) visit(s *schema.Schema, reached []string) []string {
	if s == nil || c.seen[s] {
		return reached
	}
	c.seen[s] = true
	c.tables[fold(s.Table)] = true
	for _, relation := range s.Relationships.Relations {
		if constraint := relation.ParseConstraint(); constraint != nil && constraint.Schema != nil && constraint.ReferenceSchema != nil {
			var on coherence.Kind
			if cascades(constraint.OnDelete) {
				on |= coherence.Delete
			}
			if cascades(constraint.OnUpdate) {
				on |= coherence.Update
			}
			child := fold(constraint.Schema.Table)
			if c.reach(child, coherence.Dependency{Table: fold(constraint.ReferenceSchema.Table), Kinds: on}) {
				reached = append(reached, child)
			}
		}
		reached = c.visit(relation.FieldSchema, reached)
		if join := relation.JoinTable; join != nil {
			if join.ModelType.Name() == "" && c.owners[join.ModelType] == nil {
				c.owners[join.ModelType] = s
			}
			reached = c.visit(join, reached)
		}
	}
	return reached
}

// cascades reports whether a referential action changes rows of the referencing table.
func cascades(action string) bool {
	switch strings.ToUpper(strings.TrimSpace(action)) {
	case "", "NO ACTION", "RESTRICT":
		return false
	}
	return true
}

// depend notes that a table's answers change with writes to others. Like learn it returns what was reached anew.
func (c *catalog) depend(table string, on []string) (reached []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range on {
		if c.reach(fold(table), coherence.Dependency{Table: fold(other), Kinds: coherence.Any}) {
			reached = append(reached, fold(table))
		}
	}
	if len(reached) > 0 {
		c.version.Add(1)
	}
	return reached
}

func (c *catalog) reach(table string, by coherence.Dependency) bool {
	if by.Kinds == 0 || slices.Contains(c.reached[table], by) {
		return false
	}
	c.reached[table] = append(c.reached[table], by)
	return true
}

// dependencies returns all changes that can reach answers read from these tables, directly or through others.
func (c *catalog) dependencies(tables []string) []coherence.Dependency {
	c.mu.RLock()
	defer c.mu.RUnlock()
	kinds := map[string]coherence.Kind{}
	var add func(coherence.Dependency)
	add = func(d coherence.Dependency) {
		if kinds[d.Table]|d.Kinds == kinds[d.Table] {
			return
		}
		kinds[d.Table] |= d.Kinds
		for _, by := range c.reached[d.Table] {
			add(by)
		}
	}
	for _, table := range tables {
		add(coherence.Dependency{Table: table, Kinds: coherence.Any})
	}
	all := make([]coherence.Dependency, 0, len(kinds))
	for table, on := range kinds {
		all = append(all, coherence.Dependency{Table: table, Kinds: on})
	}
	slices.SortFunc(all, func(a, b coherence.Dependency) int { return strings.Compare(a.Table, b.Table) })
	return all
}
