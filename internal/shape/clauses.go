package shape

import (
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
)

// clauseNames are the clauses that a query renders, in the order in which they are looked up: the
// usual ones first, as the search ends when as many as there are were found.
var clauseNames = [...]string{"WHERE", "LIMIT", "ORDER BY", "SELECT", "FROM", "GROUP BY", "FOR"}

const (
	whereClause  = 0
	limitClause  = 1
	selectClause = 3
	fromClause   = 4
	forClause    = 6
)

// buildOrder is the order in which GORM renders them.
var buildOrder = [...]string{"SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "FOR"}

// Clauses are those of a statement that a query renders, each looked up once: that costs more than
// reading it.
type Clauses struct {
	of     [len(clauseNames)]found
	Others int // how many more the statement has
	// whole says that the query is of all columns of its table: SELECT and FROM are as complete set
	// them, and not in of.
	whole bool
	// Keyed says that WHERE got conditions of what the primary key of the destination holds;
	// keyless is the WHERE without these.
	Keyed   bool
	keyless found
}

// found is what decides how a clause is rendered.
type found struct {
	has        bool
	custom     bool // it has parts that GORM does not give it by itself
	name       string
	expression clause.Expression
}

// Find looks the clauses of a statement up.
func (c *Clauses) Find(stmt *gorm.Statement) {
	c.Others = len(stmt.Clauses)
	for i := range clauseNames {
		if c.Others == 0 {
			c.of[i].has = false
			continue
		}
		if c.look(stmt, i); c.of[i].has {
			c.Others--
		}
	}
}

func (c *Clauses) look(stmt *gorm.Statement, i int) {
	of, has := stmt.Clauses[clauseNames[i]]
	custom := of.Builder != nil || of.BeforeExpression != nil || of.AfterNameExpression != nil || of.AfterExpression != nil
	c.of[i] = found{has, custom, of.Name, of.Expression}
}

// Complete completes the clauses of a query as GORM does, but renders none. The primary key that a
// filled destination holds becomes a condition.
func (c *Clauses) Complete(db *gorm.DB, filled bool) {
	stmt := db.Statement
	if !c.ofItself(stmt) || !Steady(stmt) {
		CompleteByGORM(db)
		c.Find(stmt)
		return
	}
	c.completeItself(stmt)
	if !filled || stmt.ReflectValue.Kind() != reflect.Struct {
		return
	}
	for _, field := range stmt.Schema.PrimaryFields {
		if _, zero := field.ValueOf(stmt.Context, stmt.ReflectValue); !zero {
			c.look(stmt, whereClause)
			c.Keyed, c.keyless = true, c.of[whereClause]
			CompleteByGORM(db)
			c.look(stmt, whereClause)
			return
		}
	}
}

// Keyless returns the clauses without the conditions that the destination's primary key became.
func (c *Clauses) Keyless() *Clauses {
	without := *c
	without.of[whereClause] = c.keyless
	return &without
}

// completeItself completes a query for which ofItself holds.
func (c *Clauses) completeItself(stmt *gorm.Statement) {
	if own := stmt.Schema.QueryClauses; len(own) > 0 {
		for _, clause := range own {
			stmt.AddClause(clause)
		}
		c.look(stmt, whereClause)
	}
	stmt.Clauses["FROM"] = fromItself
	switch {
	case c.of[selectClause].has:
		c.look(stmt, fromClause)
		return
	case stmt.Distinct:
		stmt.Clauses["SELECT"] = selectDistinct
	default:
		stmt.Clauses["SELECT"] = selectAll
	}
	c.whole = true
}

// CompleteByGORM lets GORM complete them, in the one function in which it does.
func CompleteByGORM(db *gorm.DB) {
	stmt := db.Statement
	if !Steady(stmt) {
		// The model's own clauses may change what is built, and how: then it is built here.
		callbacks.BuildQuerySQL(db)
		return
	}
	build := stmt.BuildClauses
	defer func() { stmt.BuildClauses = build }()
	stmt.BuildClauses = build[:0:0]
	callbacks.BuildQuerySQL(db)
}

// ofItself reports whether a query is of the statement's own table only, and of all columns if it
// has no SELECT clause: then GORM completes its clauses in one way whatever they are.
func (c *Clauses) ofItself(stmt *gorm.Statement) bool {
	if len(stmt.Selects) > 0 || len(stmt.Omits) > 0 || len(stmt.Joins) > 0 || stmt.QueryFields || stmt.SQL.Len() > 0 || c.of[fromClause].has ||
		c.of[selectClause].has && c.of[selectClause].expression == nil {
		return false
	}
	switch rv := stmt.ReflectValue; rv.Kind() {
	case reflect.Struct:
		return rv.Type() == stmt.Schema.ModelType
	case reflect.Slice:
		return rv.Type().Elem() == stmt.Schema.ModelType
	}
	return true
}

// What GORM adds to the clauses of a query of all columns. All statements share them, as nothing in
// them can change.
var (
	fromItself     = clause.Clause{Name: "FROM", Expression: itself{}}
	fromNothing    = clause.Clause{Name: "FROM", Expression: clause.From{}}
	selectAll      = clause.Clause{Name: "SELECT", Expression: clause.Select{}}
	selectDistinct = clause.Clause{Name: "SELECT", Expression: clause.Select{Distinct: true}}
)

// itself is a FROM clause of the statement's own table, and renders as the empty clause.From. It is
// not one, because GORM makes a new clause of each clause.From after the query, to take the joins
// out that the query put in. This one has none. Settle puts an empty clause.From in its place when
// that is over.
type itself struct{}

func (itself) Build(builder clause.Builder) { clause.From{}.Build(builder) }

// Settle leaves a statement as GORM would have left it, as far as it shows.
func Settle(stmt *gorm.Statement) {
	if _, ok := stmt.Clauses["FROM"].Expression.(itself); ok {
		stmt.Clauses["FROM"] = fromNothing
	}
}

// usualSQL is for how many bytes of SQL there is room at first, as in GORM.
const usualSQL = 100

// Render writes the SQL of a statement whose clauses are complete. From here on it looks as GORM
// would have left it.
func Render(db *gorm.DB) {
	stmt := db.Statement
	Settle(stmt)
	if stmt.SQL.Len() == 0 && db.Error == nil {
		stmt.SQL.Grow(usualSQL)
		stmt.Build(stmt.BuildClauses...)
	}
}

// Unusual reports whether a statement has clauses, or parts of clauses, that GORM does not have by
// itself: such as a common table expression, which may write.
func Unusual(stmt *gorm.Statement) bool {
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

// Steady reports whether the clauses that a model adds to its queries are GORM's: others may look
// at the context.
func Steady(stmt *gorm.Statement) bool {
	if stmt.Schema == nil {
		return true
	}
	for _, c := range stmt.Schema.QueryClauses {
		if _, ok := c.(gorm.SoftDeleteQueryClause); !ok {
			return false
		}
	}
	return true
}
