package preload

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

// catalog knows the tables of the models in use, and which changes of other tables reach a table: through
// foreign keys that cascade, and through what policies declare. It grows as models are met. Names are folded.
type catalog struct {
	// version counts what was learned. A template whose dependencies are older has to work them out again.
	version atomic.Int64

	mu      sync.RWMutex
	seen    map[*schema.Schema]int            // how many relations it had: GORM adds some later
	tables  map[string]bool                   // by folded name
	exact   map[string]bool                   // as the models name them
	reached map[string][]coherence.Dependency // by table: whose changes change it too
	owners  map[reflect.Type]*schema.Schema   // of join tables without a model of their own
}

func newCatalog() *catalog {
	return &catalog{
		seen:    map[*schema.Schema]int{},
		tables:  map[string]bool{},
		exact:   map[string]bool{},
		reached: map[string][]coherence.Dependency{},
		owners:  map[reflect.Type]*schema.Schema{},
	}
}

// knows reports whether a folded name is that of a table of a model in use.
func (c *catalog) knows(name string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.tables[name]
}

// identifies reports whether each reference is to the table of a model in use. What is spelled in another way may be
// another table, or a view: one of another schema, or, where the database tells them apart, in another case.
func (c *catalog) identifies(dialect string, references []sqltext.Reference) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, ref := range references {
		switch {
		case c.exact[ref.Name]:
		case dialect == "sqlite" && !strings.Contains(ref.Name, ".") && c.tables[sqltext.Fold(ref.Name)]:
		case dialect == "postgres" && !ref.Quoted && c.exact[strings.ToLower(ref.Name)]:
		default:
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

// models is what the catalog asks of the plugin about a schema.
type models struct {
	// settle waits until a schema is parsed whole: GORM hands out those that other goroutines are still parsing.
	settle func(*schema.Schema)
	// depends returns the tables that the policy of a schema's model names.
	depends func(*schema.Schema) []string
	// changed is called with the tables that changes now reach in a way that was not known before: answers that depend
	// on them were stored with too few dependencies.
	changed func(tables []string)
}

// learn takes in a schema and all that it is related to.
func (c *catalog) learn(s *schema.Schema, m models) {
	c.mu.RLock()
	_, seen := c.seen[s]
	c.mu.RUnlock()
	if seen {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(c.visit(s, m, nil), m)
}

// update takes in the relations that GORM has added to known schemas when it met other models.
func (c *catalog) update(m models) {
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
	var reached []string
	for s, had := range maps.Clone(c.seen) {
		if relationCount(s) != had {
			delete(c.seen, s)
			reached = c.visit(s, m, reached)
		}
	}
	c.count(reached, m)
}

// count makes what was learned count.
func (c *catalog) count(reached []string, m models) {
	if len(reached) > 0 {
		c.version.Add(1)
		m.changed(reached)
	}
}

func (c *catalog) visit(s *schema.Schema, m models, reached []string) []string {
	if _, seen := c.seen[s]; s == nil || seen {
		return reached
	}
	m.settle(s)
	related := relations(s)
	c.seen[s] = len(related)
	table := fold(s.Table)
	c.tables[table] = true
	c.exact[s.Table] = true
	for _, other := range m.depends(s) {
		if c.reach(table, coherence.Dependency{Table: fold(other), Kinds: coherence.Any}) {
			reached = append(reached, table)
		}
	}
	for _, relation := range related {
		if child, by := cascade(relation); by.Kinds != 0 && c.reach(child, by) {
			reached = append(reached, child)
		}
		reached = c.visit(relation.FieldSchema, m, reached)
		reached = c.visit(relation.Schema, m, reached)
		if join := relation.JoinTable; join != nil {
			if join.ModelType.Name() == "" && c.owners[join.ModelType] == nil {
				c.owners[join.ModelType] = s
			}
			reached = c.visit(join, m, reached)
		}
	}
	return reached
}

// relations returns the relations of a schema. GORM adds to those of a schema when it parses another one that leads to it.
func relations(s *schema.Schema) []*schema.Relationship {
	s.Relationships.Mux.RLock()
	defer s.Relationships.Mux.RUnlock()
	return slices.Collect(maps.Values(s.Relationships.Relations))
}

func relationCount(s *schema.Schema) int {
	s.Relationships.Mux.RLock()
	defer s.Relationships.Mux.RUnlock()
	return len(s.Relationships.Relations)
}

// cascade returns the table that the foreign key of a relation is in, and which changes of the table that it
// references the key's constraint passes on.
func cascade(relation *schema.Relationship) (child string, by coherence.Dependency) {
	constraint := relation.Field.TagSettings["CONSTRAINT"]
	if constraint == "-" {
		return "", by
	}
	settings := schema.ParseTagSetting(constraint, ",")
	if cascades(settings["ONDELETE"]) {
		by.Kinds |= coherence.Delete
	}
	if cascades(settings["ONUPDATE"]) {
		by.Kinds |= coherence.Update
	}
	for _, ref := range relation.References {
		switch {
		case ref.PrimaryKey == nil || relation.JoinTable != nil && !ref.OwnPrimaryKey:
			// A join table has relations of its own.
		case ref.OwnPrimaryKey:
			child, by.Table = fold(ref.ForeignKey.Schema.Table), fold(relation.Schema.Table)
		default:
			child, by.Table = fold(relation.Schema.Table), fold(ref.PrimaryKey.Schema.Table)
		}
	}
	if child == "" {
		by.Kinds = 0
	}
	return child, by
}

// cascades reports whether a referential action changes rows of the referencing table.
func cascades(action string) bool {
	switch strings.ToUpper(strings.TrimSpace(action)) {
	case "", "NO ACTION", "RESTRICT":
		return false
	}
	return true
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
