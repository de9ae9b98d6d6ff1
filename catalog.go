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

// catalog knows the tables of the models in use, their columns, and which changes of other tables reach a table: through
// foreign keys that cascade, and through what policies declare. It grows as models are met. Names are folded.
type catalog struct {
	// version counts what was learned. What was worked out from an older one has to be worked out again.
	version atomic.Int64

	mu     sync.RWMutex
	seen   map[*schema.Schema]int          // how many relations it had: GORM adds some later
	tables map[string]*tableInfo           // by folded name
	exact  map[string]bool                 // as the models name them
	edges  map[string][]edge               // by table: what its changes change, too
	owners map[reflect.Type]*schema.Schema // of join tables without a model of their own
	// wanted are, by table, the columns whose values changes are told by: those that answers pin or show, and those that
	// foreign keys reference. The inner maps do not change. A change that was worked out without one kills more.
	wanted map[string]map[string]bool
}

// tableInfo is what the models of a table say of it. It does not change; what is learned replaces it.
type tableInfo struct {
	columns map[string]column // by folded name
	keys    [][]string        // the primary key, if it is known, then unique keys; folded names
	primary bool              // whether the primary key is known
	derived []string          // columns that may change whenever the row does
}

// edge says that changes of one table change another one.
type edge struct {
	to string
	// pairs are the columns of a foreign key: of the table that it references, and of the one that it is in. There
	// are none where any change changes all.
	pairs              []columnPair
	onDelete, onUpdate action
}

type columnPair struct{ from, to string }

// action is what a foreign key's constraint does.
type action uint8

const (
	nothing action = iota
	cascade
	setNull
	unclear // SET DEFAULT, and what is not known
)

func newCatalog() *catalog {
	return &catalog{
		seen:   map[*schema.Schema]int{},
		tables: map[string]*tableInfo{},
		exact:  map[string]bool{},
		edges:  map[string][]edge{},
		wanted: map[string]map[string]bool{},
		owners: map[reflect.Type]*schema.Schema{},
	}
}

// knows reports whether a folded name is that of a table of a model in use.
func (c *catalog) knows(name string) bool { return c.table(name) != nil }

// table returns what is known of a table, nil if it is of no model in use.
func (c *catalog) table(name string) *tableInfo {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.tables[name]
}

// written returns what is known of a table, and the columns of it that are wanted.
func (c *catalog) written(name string) (*tableInfo, map[string]bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if wanted := c.wanted[name]; wanted != nil {
		return c.tables[name], wanted
	}
	return c.tables[name], noColumns
}

var noColumns = map[string]bool{}

// want notes the columns by which answers that are read in a certain way are found.
func (c *catalog) want(r *coherence.Reading) {
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

func (c *catalog) wantAll(table string, columns []string) {
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

// identifies reports whether each reference is to the table of a model in use. What is spelled in another way may be
// another table, or a view: one of another schema, or, where the database tells them apart, in another case.
func (c *catalog) identifies(dialect string, references []sqltext.Reference) bool {
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

// owner returns the model that declared a join table which has no model of its own.
func (c *catalog) owner(t reflect.Type) *schema.Schema {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.owners[t]
}

// models is what the catalog asks of the plugin about a schema.
type models struct {
	dialect string
	// settle waits until a schema is parsed whole: GORM hands out those that other goroutines are still parsing.
	settle func(*schema.Schema)
	// depends returns the tables that the policy of a schema's model names.
	depends func(*schema.Schema) []string
	// changed is called with what was learned that was not known before. Answers of tables that are now seen in another way, and
	// those that are reached in a way that was not known, are wrong from then on.
	changed func(learned)
}

// learned is what the catalog did not know before.
type learned struct {
	tables  []string     // seen in another way than before
	reached []columnPair // tables: changes of the first reach the second
}

func (l learned) empty() bool { return len(l.tables)+len(l.reached) == 0 }

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
	var l learned
	c.visit(s, m, &l)
	c.count(l, m)
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
	var l learned
	for s, had := range maps.Clone(c.seen) {
		if relationCount(s) != had {
			delete(c.seen, s)
			c.visit(s, m, &l)
		}
	}
	c.count(l, m)
}

// count makes what was learned count.
func (c *catalog) count(l learned, m models) {
	if l.empty() {
		return
	}
	// What reaches a table reaches those that it reaches.
	for i := 0; i < len(l.reached); i++ {
		for _, e := range c.edges[l.reached[i].to] {
			if further := (columnPair{l.reached[i].from, e.to}); !slices.Contains(l.reached, further) {
				l.reached = append(l.reached, further)
			}
		}
	}
	c.version.Add(1)
	m.changed(l)
}

func (c *catalog) visit(s *schema.Schema, m models, l *learned) {
	if _, seen := c.seen[s]; s == nil || seen {
		return
	}
	m.settle(s)
	related := relations(s)
	c.seen[s] = len(related)
	c.describe(s, m.dialect, l)
	for _, other := range m.depends(s) {
		c.reach(fold(other), edge{to: fold(s.Table), onDelete: unclear, onUpdate: unclear}, l)
	}
	for _, relation := range related {
		if parent, e := constraintOf(relation); parent != "" {
			c.reach(parent, e, l)
		}
		c.visit(relation.FieldSchema, m, l)
		c.visit(relation.Schema, m, l)
		if join := relation.JoinTable; join != nil {
			if join.ModelType.Name() == "" && c.owners[join.ModelType] == nil {
				c.owners[join.ModelType] = s
			}
			c.visit(join, m, l)
		}
	}
}

// describe takes in what a schema says of its table. Where it does not agree with what another one said, it is no
// longer known how values compare.
func (c *catalog) describe(s *schema.Schema, dialect string, l *learned) {
	name := fold(s.Table)
	before := c.tables[name]
	now := newTableInfo(s, dialect)
	c.exact[s.Table] = true
	if before == nil {
		c.tables[name] = now
		l.tables = append(l.tables, name)
		return
	}
	if now.merge(before) {
		l.tables = append(l.tables, name)
	}
	c.tables[name] = now
}

// maxKeysShown bounds the keys by which the rows of a table are told apart.
const maxKeysShown = 4

func newTableInfo(s *schema.Schema, dialect string) *tableInfo {
	t := &tableInfo{columns: map[string]column{}}
	vague := false
	for _, f := range s.Fields {
		if f.DBName == "" {
			continue
		}
		col := newColumn(dialect, f)
		if other, ok := t.columns[col.name]; ok && other.exact != col.exact {
			vague = true // "Name" and "name" are two columns to some databases
		}
		t.columns[col.name] = col
		if col.derived {
			t.derived = append(t.derived, col.name)
		}
	}
	if vague {
		for name, col := range t.columns {
			t.columns[name] = col.blurred()
		}
		return t
	}
	var primary []string
	for _, f := range s.PrimaryFields {
		primary = append(primary, sqltext.Fold(f.DBName))
	}
	if len(primary) > 0 {
		t.keys, t.primary = append(t.keys, primary), true
	}
	t.keys = append(t.keys, uniqueKeys(s)...)
	t.limitKeys()
	return t
}

// limitKeys drops the keys whose values cannot be told apart, and those beyond the limit.
func (t *tableInfo) limitKeys() {
	usable := func(key []string) bool {
		return !slices.ContainsFunc(key, func(name string) bool { return t.columns[name].class <= nullness })
	}
	t.primary = t.primary && usable(t.keys[0])
	t.keys = slices.DeleteFunc(t.keys, func(key []string) bool { return !usable(key) })
	t.keys = t.keys[:min(len(t.keys), maxKeysShown)]
}

// uniqueKeys returns the columns of the unique indexes that the fields of a schema name. They are where changes are likely to
// choose single rows; nothing rests on their being unique. (Schema.ParseIndexes writes to the schema, which others are reading.)
func uniqueKeys(s *schema.Schema) (keys [][]string) {
	byName := map[string]int{}
	for _, f := range s.Fields {
		if f.DBName == "" || f.PrimaryKey {
			continue
		}
		name := sqltext.Fold(f.DBName)
		if f.Unique {
			keys = append(keys, []string{name})
			continue
		}
		for _, setting := range []string{"UNIQUEINDEX", "INDEX"} {
			value, ok := f.TagSettings[setting]
			index, options, _ := strings.Cut(value, ",")
			if !ok || setting == "INDEX" && !strings.Contains(strings.ToLower(options), "unique") {
				continue
			}
			if at, known := byName[index]; known && index != "" && index != setting {
				keys[at] = append(keys[at], name)
				continue
			}
			byName[index] = len(keys)
			keys = append(keys, []string{name})
		}
	}
	return keys
}

// merge adds what another model said of the same table before. It reports whether the two together say another thing than
// the other one did.
func (t *tableInfo) merge(before *tableInfo) (changed bool) {
	for name, col := range before.columns {
		if mine, ok := t.columns[name]; ok {
			col = col.merge(mine)
		}
		t.columns[name] = col
	}
	t.derived = nil
	for name, col := range t.columns {
		if col.derived {
			t.derived = append(t.derived, name)
		}
	}
	slices.Sort(t.derived)
	primary := before.primary && (!t.primary || slices.Equal(before.keys[0], t.keys[0])) || t.primary && !before.primary
	keys := slices.Clone(before.keys)
	for i, key := range t.keys {
		switch {
		case slices.ContainsFunc(keys, func(known []string) bool { return slices.Equal(known, key) }):
		case i == 0 && t.primary && !before.primary:
			keys = slices.Insert(keys, 0, key)
		default:
			keys = append(keys, key)
		}
	}
	t.keys, t.primary = keys, primary
	t.limitKeys()
	return !reflect.DeepEqual(t, before)
}

// relations returns the relations of a schema. GORM adds to those of a schema when it parses another one that leads to it.
func relations(s *schema.Schema) []*schema.Relationship {
	s.Relationships.Mux.RLock()
	defer s.Relationships.Mux.RUnlock()
	all := map[*schema.Relationship]bool{}
	eachRelation(&s.Relationships, func(r *schema.Relationship) { all[r] = true })
	return slices.Collect(maps.Keys(all))
}

// eachRelation calls do for each relation, for some twice: two embedded structs may have one of the same name each, of which only one
// stands among the others.
func eachRelation(rs *schema.Relationships, do func(*schema.Relationship)) {
	for _, r := range rs.Relations {
		do(r)
	}
	for _, embedded := range rs.EmbeddedRelations {
		eachRelation(embedded, do)
	}
}

// relationCount returns a number that grows with the relations.
func relationCount(s *schema.Schema) (n int) {
	s.Relationships.Mux.RLock()
	defer s.Relationships.Mux.RUnlock()
	eachRelation(&s.Relationships, func(*schema.Relationship) { n++ })
	return n
}

// constraintOf returns what the constraint of a relation's foreign key does to the table that the key is in when rows of the
// parent, which it references, change.
func constraintOf(relation *schema.Relationship) (parent string, e edge) {
	constraint := relation.Field.TagSettings["CONSTRAINT"]
	if constraint == "-" {
		return "", e
	}
	settings := schema.ParseTagSetting(constraint, ",")
	e.onDelete, e.onUpdate = actionOf(settings["ONDELETE"]), actionOf(settings["ONUPDATE"])
	if e.onDelete == nothing && e.onUpdate == nothing {
		return "", e
	}
	for _, ref := range relation.References {
		switch {
		case ref.PrimaryKey == nil || relation.JoinTable != nil && !ref.OwnPrimaryKey:
			// A join table has relations of its own.
			continue
		case ref.OwnPrimaryKey:
			e.to, parent = fold(ref.ForeignKey.Schema.Table), fold(relation.Schema.Table)
		default:
			e.to, parent = fold(relation.Schema.Table), fold(ref.PrimaryKey.Schema.Table)
		}
		e.pairs = append(e.pairs, columnPair{sqltext.Fold(ref.PrimaryKey.DBName), sqltext.Fold(ref.ForeignKey.DBName)})
	}
	return parent, e
}

func actionOf(name string) action {
	switch strings.ToUpper(strings.TrimSpace(name)) {
	case "", "NO ACTION", "RESTRICT":
		return nothing
	case "CASCADE":
		return cascade
	case "SET NULL":
		return setNull
	}
	return unclear
}

func (c *catalog) reach(from string, e edge, l *learned) {
	if slices.ContainsFunc(c.edges[from], e.equal) {
		return
	}
	c.edges[from] = append(c.edges[from], e)
	for _, pair := range e.pairs {
		c.wantAll(from, []string{pair.from})
	}
	l.reached = append(l.reached, columnPair{from, e.to})
}

func (e edge) equal(other edge) bool {
	return e.to == other.to && e.onDelete == other.onDelete && e.onUpdate == other.onUpdate && slices.Equal(e.pairs, other.pairs)
}

// maxExpanded bounds the changes that one write is made of.
const maxExpanded = 4 << 10

// expand returns changes together with those that the database makes on their account: to columns that it derives from
// others, and over foreign keys.
func (c *catalog) expand(changes []coherence.Change) []coherence.Change {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if !slices.ContainsFunc(changes, c.expands) {
		return changes
	}
	changes = slices.Clone(changes)
	for i := 0; i < len(changes); i++ {
		if len(changes) > maxExpanded {
			return []coherence.Change{coherence.Everything}
		}
		if changes[i].Kinds&coherence.Update != 0 {
			changes[i].Columns = c.withDerived(changes[i].Table, changes[i].Columns)
		}
		for _, e := range c.edges[changes[i].Table] {
			for _, further := range c.follow(&changes[i], e) {
				if !slices.ContainsFunc(changes, func(known coherence.Change) bool { return covers(&known, &further) }) {
					changes = append(changes, further)
				}
			}
		}
	}
	return changes
}

// expands reports whether the database may make more of a change.
func (c *catalog) expands(change coherence.Change) bool {
	t := c.tables[change.Table]
	return len(c.edges[change.Table]) > 0 || t != nil && len(t.derived) > 0 && change.Kinds&coherence.Update != 0
}

// covers reports whether all that a change touches is touched by another one, where that is plain to see.
func covers(wide, narrow *coherence.Change) bool {
	if wide.Table != narrow.Table || wide.Kinds&narrow.Kinds != narrow.Kinds || len(wide.Set) > 0 && !samePins(wide.Set, narrow.Set) {
		return false
	}
	if !wide.Columns.All && narrow.Kinds&coherence.Update != 0 &&
		(narrow.Columns.All || slices.ContainsFunc(narrow.Columns.Names, func(name string) bool { return !wide.Columns.Has(name) })) {
		return false
	}
	return len(wide.Where) == 0 || samePins(wide.Where, narrow.Where)
}

func samePins(a, b coherence.Pins) bool {
	return slices.EqualFunc(a, b, func(a, b coherence.Pin) bool {
		return a.Column == b.Column && slices.Equal(a.Values, b.Values)
	})
}

// follow returns what a change changes over an edge.
func (c *catalog) follow(change *coherence.Change, e edge) (further []coherence.Change) {
	if len(e.pairs) == 0 {
		return []coherence.Change{coherence.Loose(e.to, coherence.Any)}
	}
	columns := coherence.Columns{}
	for _, pair := range e.pairs {
		columns.Names = append(columns.Names, pair.to)
	}
	update := func(set coherence.Pins) coherence.Change {
		return coherence.Change{
			Table: e.to, Kinds: coherence.Update, Columns: columns, Where: c.over(change.Table, e, change.Where), Set: set,
		}
	}
	if change.Kinds&coherence.Delete != 0 {
		switch e.onDelete {
		case nothing:
		case cascade:
			further = append(further, coherence.Change{Table: e.to, Kinds: coherence.Delete, Where: c.over(change.Table, e, change.Where)})
		case setNull:
			further = append(further, update(c.nulls(e)))
		default:
			further = append(further, coherence.Loose(e.to, coherence.Any))
		}
	}
	if change.Kinds&coherence.Update != 0 && slices.ContainsFunc(e.pairs, func(p columnPair) bool { return change.Columns.Has(p.from) }) {
		switch e.onUpdate {
		case nothing:
		case cascade:
			further = append(further, update(c.over(change.Table, e, change.Set)))
		case setNull:
			further = append(further, update(c.nulls(e)))
		default:
			further = append(further, coherence.Loose(e.to, coherence.Any))
		}
	}
	return further
}

// over translates what is known of the referenced columns into the columns of the foreign key, where both compare alike.
func (c *catalog) over(table string, e edge, pins coherence.Pins) (over coherence.Pins) {
	from, to := c.tables[table], c.tables[e.to]
	if from == nil || to == nil {
		return nil
	}
	for _, pair := range e.pairs {
		values, ok := pins.Of(pair.from)
		a, b := from.columns[pair.from], to.columns[pair.to]
		if ok && a.class != opaque && a.class == b.class {
			over = append(over, coherence.Pin{Column: pair.to, Values: values})
		}
	}
	return over
}

func (c *catalog) nulls(e edge) (set coherence.Pins) {
	to := c.tables[e.to]
	for _, pair := range e.pairs {
		if to != nil && to.columns[pair.to].nullable {
			set = append(set, coherence.Pin{Column: pair.to, Values: []coherence.Value{coherence.Null}})
		}
	}
	return set
}

// withDerived adds the columns that may change with any others.
func (c *catalog) withDerived(table string, columns coherence.Columns) coherence.Columns {
	if t := c.tables[table]; t != nil && len(t.derived) > 0 && !columns.All {
		columns.Names = slices.Concat(columns.Names, t.derived)
	}
	return columns
}
