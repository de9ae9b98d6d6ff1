package catalog

import (
	"maps"
	"slices"
	"strings"

	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm/schema"
)

// edge says that changes of one table change another one.
type edge struct {
	to string
	// pairs are the columns of a foreign key: of the table that it references, and of the one that
	// it is in. There are none where any change changes all.
	pairs              []pair
	onDelete, onUpdate action
}

// pair is a column that a foreign key references, and the one of the key itself.
type pair struct{ from, to string }

// action is what a foreign key's constraint does.
type action uint8

const (
	nothing action = iota
	cascade
	setNull
	unclear // SET DEFAULT, and what is not known
)

// Relations returns the relations of a schema. GORM adds to those of a schema when it parses
// another one that leads to it.
func Relations(s *schema.Schema) []*schema.Relationship {
	s.Relationships.Mux.RLock()
	defer s.Relationships.Mux.RUnlock()
	all := map[*schema.Relationship]bool{}
	eachRelation(&s.Relationships, func(r *schema.Relationship) { all[r] = true })
	return slices.Collect(maps.Keys(all))
}

// eachRelation calls do for each relation, for some twice: two embedded structs may have one of the
// same name each, of which only one stands among the others.
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

// constraintOf returns what the constraint of a relation's foreign key does to the table that the
// key is in when rows of the parent, which it references, change.
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
			e.to, parent = TableName(ref.ForeignKey.Schema.Table), TableName(relation.Schema.Table)
		default:
			e.to, parent = TableName(relation.Schema.Table), TableName(ref.PrimaryKey.Schema.Table)
		}
		e.pairs = append(e.pairs, pair{sqltext.Fold(ref.PrimaryKey.DBName), sqltext.Fold(ref.ForeignKey.DBName)})
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

func (c *Catalog) reach(from string, e edge, l *Learned) {
	if slices.ContainsFunc(c.edges[from], e.equal) {
		return
	}
	c.edges[from] = append(c.edges[from], e)
	for _, pair := range e.pairs {
		c.wantAll(from, []string{pair.from})
	}
	l.Reached = append(l.Reached, Reach{from, e.to})
}

func (e edge) equal(other edge) bool {
	return e.to == other.to && e.onDelete == other.onDelete && e.onUpdate == other.onUpdate && slices.Equal(e.pairs, other.pairs)
}
