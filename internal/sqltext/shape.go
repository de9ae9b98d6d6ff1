package sqltext

import (
	"reflect"
	"slices"
	"strings"
)

// Verb is what a statement of a Shape does.
type Verb uint8

const (
	Select Verb = iota + 1
	Insert
	Update
	Delete
)

// Name is the name of a column as it is written.
//
// A name that is no column of the table may stand for anything in its row, so it has to count as
// any column: the rowid of SQLite, a function without parentheses (current_date), a function that
// PostgreSQL calls as t.f, a word of the syntax that could have been a column, an alias, or
// wholeRow.
type Name struct {
	Text   string // without quotes
	Quoted bool
}

// wholeRow stands for all columns where an expression names the row as a whole, as PostgreSQL's
// to_json(t) and t.* IS NULL do.
var wholeRow = Name{Text: "*"}

// OperandKind is what is known of an Operand.
type OperandKind uint8

const (
	Unknown OperandKind = iota // an expression, DEFAULT, a literal whose value is not known here
	Bind                       // a bind value
	Number                     // a decimal literal without sign and exponent
	Text
	Null
	True
	False
)

// Operand is a value in a statement: a bind value or a literal. The zero Operand is one that is not
// known (an expression).
type Operand struct {
	Param int // the ordinal of a bind value, from 1; 0 if it is none
	Kind  OperandKind
	Text  string // of Number and Text: as the server reads it, without quotes
}

// Pin says that every row that a condition chooses has one of these values in these columns, by the
// equality of the server (types are converted, collations may fold case). IS NULL is a pin whose
// one value is Null. Most pins are of one column; `(a, b) IN ((?,?),(?,?))` is of two: each of
// Values is as long as Columns. A pin of a name that is no column of the table says nothing.
type Pin struct {
	Columns []Name
	Values  [][]Operand
}

// Assignment is a column that is set; Value is Unknown for an expression (such as n = n + 1),
// DEFAULT, ...
type Assignment struct {
	Column Name
	Value  Operand
}

// Conflict is what an Insert does with a row that is there already.
type Conflict uint8

const (
	NoConflict Conflict = iota // it fails
	Ignored                    // DO NOTHING
	Updated                    // DO UPDATE SET, ON DUPLICATE KEY UPDATE
)

// Shape is a statement on one table.
type Shape struct {
	Verb  Verb
	Table Reference // as written
	// Pins of the WHERE: every row that it chooses satisfies all of these; sound, not complete. For
	// Select, Update, Delete.
	Pins   []Pin
	Filter []Name // every column that the WHERE names, those of Pins included

	// Falling are bind values of the WHERE of a Select with which it only loses rows as they grow.
	Falling []Falling

	// Of a Select that is Joined: the other tables. All else is said of the first one; Filter has
	// what the conditions of the joins name, too, and the names of which it is not certain whose
	// they are count as those of the first one.
	Joined []Reference
	// Renamed says that something else than a column of another table has an alias.
	Renamed bool

	// Of a Select. ORDER BY and GROUP BY may mean what the list computes, and an alias that they
	// name: then Group and Order hold all of Selected as well, and so does Filter if it names an
	// alias.
	Selected []Name // the columns that the list names, also inside expressions and functions
	Star     bool   // an item of the list is * or table.*: all columns are selected, too
	Aliases  []Name // the names that the list defines
	Computed bool   // the list has more than columns and *: a row of the answer need not be a row of the table
	// Aggregate: each item of the list is made of count, sum, min, max, avg and total of all rows,
	// so that without Grouped the answer is one row, in whatever order the rows are read.
	Aggregate bool
	Distinct  bool
	Grouped   bool    // GROUP BY or HAVING
	Group     []Name  // columns named in GROUP BY and HAVING
	Ordered   bool    // ORDER BY
	Order     []Name  // columns named in ORDER BY
	Limited   bool    // LIMIT
	Limit     Operand // of LIMIT
	Offset    bool    // OFFSET, or LIMIT a, b

	// Of an Insert. The columns that are not among Columns get their defaults.
	Columns  []Name
	Rows     [][]Operand // each as long as Columns
	Conflict Conflict
	Target   []Name // of ON CONFLICT (a, b); nil if not given

	// Of an Update, and of what an Insert does on conflict. Each column is there once.
	Set []Assignment
}

// Simple returns the shape of a statement, and false for one that is not simple: one that touches
// more than one table, or has a part that is not understood for certain. It does not tell what runs
// beside the statement (Classify, Analyze).
func Simple(dialect, sql string) (Shape, bool) {
	if shape, ok := shapeOf(dialect, sql); ok && len(shape.Joined) == 0 {
		return shape, true
	}
	return Shape{}, false
}

// shapeOf returns the shape of a statement that is simple, or would be but for the tables that it
// joins.
func shapeOf(dialect, sql string) (Shape, bool) {
	if dialect != sqlite && dialect != mysql && dialect != postgres || foreign(sql) {
		return Shape{}, false
	}
	var shape Shape
	found := false
	for _, r := range quoteReadings(dialect, sql) {
		tokens, doubt := r.tokens(sql)
		if doubt && r.spare {
			continue // no server runs this reading
		}
		s, ok := parse(dialect, tokens)
		if doubt || !ok || found && !reflect.DeepEqual(s, shape) {
			return Shape{}, false
		}
		shape, found = s, true
	}
	return shape, found
}

// quoteReadings are the readings of sql. MySQL's "b" is a text in all of those, but `a = "b"`
// compares two columns under ANSI_QUOTES, so each is taken with names in these quotes, too.
func quoteReadings(dialect, sql string) []reading {
	all := readings(dialect, sql)
	if strings.IndexByte(sql, '"') < 0 {
		return all
	}
	for _, r := range slices.Clone(all) {
		if r.dqText {
			r.dqText, r.dqBackslash, r.spare = false, false, true
			all = append(all, r)
		}
	}
	return all
}

// parser takes one statement from left to right. A part that it does not understand makes it fail
// for good, so that callers need not look.
type parser struct {
	dialect string
	rest    []piece // what was not taken yet
	shape   Shape
	table   []Name // the components of the table's name
	alias   []Name // one name, or none
	failed  bool
	others  [][]Name // the qualifiers that stand for tables which are joined
	foreign int      // how many columns of these were named
	bare    []Name   // names without a qualifier
	upsert  bool     // in ON DUPLICATE KEY UPDATE, where VALUES(a) is the value that a was to get
	cases   bool     // each END belongs to a CASE, so none is a column
}

func parse(dialect string, tokens []token) (Shape, bool) {
	all := statements(tokens)
	// A function that is not built in may read or write other tables.
	if len(all) != 1 || findUnknown(dialect, tokens) != "" {
		return Shape{}, false
	}
	pieces, ok := nest(dialect, all[0])
	if !ok {
		return Shape{}, false
	}
	p := parser{dialect: dialect, rest: pieces, cases: count(tokens, "case") == count(tokens, "end")}
	switch {
	case p.take("select"):
		p.selects()
	case p.take("insert", "into"):
		p.inserts()
	case p.take("update"):
		p.updates()
	case p.take("delete", "from"):
		p.deletes()
	default:
		return Shape{}, false
	}
	if p.failed || len(p.rest) > 0 {
		return Shape{}, false
	}
	return p.shape, true
}

func count(tokens []token, low string) (n int) {
	for _, t := range tokens {
		if t.is(low) {
			n++
		}
	}
	return n
}

// clauses are the words that start a part of a statement. A column may have some of these names:
// RETURNING in MySQL, FOR in SQLite, SET in PostgreSQL. A statement that uses one as a name falls
// apart at it, and fails; inside of parentheses, where nothing is cut, these are forbidden.
var clauses = words(`from where group having order limit returning on set for`)

// startsClause: OFFSET is a name to MySQL and SQLite unless it follows a LIMIT.
func (p *parser) startsClause(t token) bool {
	return t.in(clauses) || p.dialect == postgres && t.is("offset")
}

// noTable are the words that stand before the name of a table, or in the place of one.
var noTable = words(`only lateral low_priority high_priority delayed ignore quick dual`)

func (p *parser) selects() {
	s := &p.shape
	s.Verb = Select
	params := map[int]int{}
	counted(p.rest, params)
	if p.take("distinct") {
		s.Distinct = true
	} else {
		p.take("all")
	}
	list := p.part()
	p.expect("from")
	if !p.reference(true) {
		return
	}
	p.joins()
	p.list(list)
	if p.take("where") {
		condition := p.where()
		p.falling(condition, params)
	}
	p.bare = nil
	if p.take("group", "by") {
		s.Grouped = true
		for _, term := range split(p.part()) {
			p.term(term, &s.Group)
		}
	}
	if p.take("having") {
		s.Grouped = true
		p.names(p.part(), &s.Group)
	}
	if p.take("order", "by") {
		s.Ordered = true
		for _, term := range split(p.part()) {
			p.term(p.direction(term), &s.Order)
		}
	}
	p.limits()

	if s.Computed || slices.ContainsFunc(p.bare, p.isAlias) {
		// SELECT a AS b ... ORDER BY b; in PostgreSQL also SELECT lower(a) ... ORDER BY lower, in
		// MySQL SELECT a+1 ... ORDER BY `a+1`. A name behind a dot is that of a column.
		if s.Grouped {
			add(&s.Group, s.Selected...)
		}
		if s.Ordered {
			add(&s.Order, s.Selected...)
		}
	}
	// In SQLite's WHERE, b is an alias if the table has no such column.
	if slices.ContainsFunc(s.Filter, p.isAlias) {
		add(&s.Filter, s.Selected...)
		s.Pins = slices.DeleteFunc(s.Pins, func(pin Pin) bool { return slices.ContainsFunc(pin.Columns, p.isAlias) })
	}
}

func (p *parser) limits() {
	offset := func() {
		p.shape.Offset = true
		p.amount()
	}
	first := p.dialect == postgres && p.take("offset") // which may come before LIMIT there
	if first {
		offset()
	}
	if !p.take("limit") {
		return
	}
	p.shape.Limited = true
	p.shape.Limit = p.amount()
	if !first && p.take("offset") {
		offset()
	} else if p.dialect != postgres && p.takeMark(",") {
		p.shape.Offset = true
		p.shape.Limit = p.amount() // what came first was the offset
	}
}

// amount takes the value of a LIMIT or OFFSET. That of a negative one is not known.
func (p *parser) amount() (value Operand) {
	negative := p.takeMark("-")
	if len(p.rest) == 0 || p.rest[0].kind != number && p.rest[0].param == 0 {
		p.failed = true
		return Operand{}
	}
	if value = p.operand(p.rest[:1]); negative {
		value = Operand{}
	}
	p.rest = p.rest[1:]
	return value
}

// list reads the select list.
func (p *parser) list(list []piece) {
	s := &p.shape
	s.Aggregate = true
	for _, item := range split(list) {
		named := len(s.Aliases)
		item = p.aliased(item)
		found, outside := p.aggregated(item)
		s.Aggregate = s.Aggregate && found && !outside
		path, n := p.path(item)
		star := len(item) == 1 && item[0].mark("*") ||
			n > 0 && n == len(item)-2 && item[n].mark(".") && item[n+1].mark("*") && p.qualifies(path)
		if star {
			s.Star = true
			s.Computed = s.Computed || len(s.Joined) > 0 && n == 0
			continue
		}
		plain := n > 0 && n == len(item) && !p.namesRow(path)
		other := plain && p.ofOther(path[:len(path)-1])
		s.Renamed = s.Renamed || len(s.Aliases) > named && !other
		// Where two tables have a column of a name, the answer has two of that name.
		if len(s.Joined) > 0 && plain {
			plain = other && len(s.Aliases) > named || !other && n > 1
		}
		s.Computed = s.Computed || !plain
		p.failed = p.failed || len(item) == 0
		p.names(item, &s.Selected)
	}
}

// aggregates are functions whose value does not depend on the order of the rows; min and max of
// several arguments are none in SQLite.
var aggregates = words(`count sum min max avg total`)

// ofValues are functions of one value for one.
var ofValues = words(`coalesce ifnull nullif round abs`)

// aggregated reports whether an expression calls an aggregate, and whether it names anything
// outside of those that may be the column of one row, or make several rows of one.
func (p *parser) aggregated(item []piece) (found, outside bool) {
	for i := 0; i < len(item); i++ {
		t, follows := item[i], piece{token: token{kind: mark}}
		if i+1 < len(item) {
			follows = item[i+1]
		}
		switch {
		case t.in(aggregates) && follows.mark("(") && (i == 0 || !item[i-1].mark(".")) && (t.is("count") || len(split(follows.inside)) == 1):
			found = true
			i++
		case t.isGroup():
			in, out := p.aggregated(t.inside)
			found, outside = found || in, outside || out
		case p.isCast(item, i) && follows.kind == word:
			i++ // a type
		case p.isName(t) && !(t.in(ofValues) && follows.mark("(")):
			outside = true
		}
	}
	return found, outside
}

// aliased cuts the alias off an item of the select list.
//
// Without AS, b may be an alias in `a b`, but `binary b` is the column b to MySQL: it counts as
// both, unless what stands before it is certain to be an operand.
func (p *parser) aliased(item []piece) []piece {
	n := len(item)
	if as := slices.IndexFunc(item, func(t piece) bool { return t.is("as") }); as >= 0 {
		if as != n-2 || !item[n-1].isName() {
			p.failed = true
			return item
		}
		add(&p.shape.Aliases, item[n-1].name())
		return item[:as]
	}
	if n < 2 || !p.isName(item[n-1]) && item[n-1].kind != text {
		return item
	}
	before := item[n-2]
	if before.kind == mark && !before.isGroup() {
		return item
	}
	add(&p.shape.Aliases, item[n-1].name())
	if before.isGroup() || before.kind == quotedID || before.kind == word && n > 2 && item[n-3].mark(".") {
		return item[:n-1]
	}
	return item
}

// direction cuts ASC, DESC, NULLS FIRST and NULLS LAST off a term of an ORDER BY. In SQLite these
// may be columns, so they are syntax only behind an operand: `ORDER BY desc`, `ORDER BY NOT desc`
// and `ORDER BY -desc` order by a column.
func (p *parser) direction(term []piece) []piece {
	directed := func(t []piece) bool {
		n := len(t)
		return n > 1 && (t[n-1].is("asc") || t[n-1].is("desc")) && p.operandEnds(t, n-2)
	}
	if n := len(term); n > 2 && term[n-2].is("nulls") && (term[n-1].is("first") || term[n-1].is("last")) &&
		(directed(term[:n-2]) || p.operandEnds(term, n-3)) {
		term = term[:n-2]
	}
	if directed(term) {
		term = term[:len(term)-1]
	}
	return term
}

// groupings are lists of terms that look like calls.
var groupings = words(`rollup cube sets`)

// term reads a term of GROUP BY or ORDER BY. One without names may be the number of an item of the
// select list (also `(1)`, `1 COLLATE x`, SQLite's `likely(1)`, and `?` where the driver writes the
// values into the text); count(*) is none. PostgreSQL takes GROUP BY (1, a) for GROUP BY 1, a.
func (p *parser) term(term []piece, part *[]Name) {
	if len(term) == 1 && term[0].mark("(") {
		for _, t := range split(term[0].inside) {
			p.term(t, part)
		}
		return
	}
	var named []Name
	before := p.foreign
	p.names(term, &named)
	if len(named) == 0 && p.foreign == before && !slices.ContainsFunc(term, piece.isStar) ||
		slices.ContainsFunc(term, func(t piece) bool { return t.in(groupings) }) {
		p.failed = true
	}
	add(part, named...)
}

func (p *parser) inserts() {
	s := &p.shape
	s.Verb = Insert
	if !p.reference(false) {
		return
	}
	if p.next("(") {
		s.Columns = p.columns()
	}
	switch {
	case p.take("default", "values"):
		s.Rows = [][]Operand{{}}
		if s.Columns != nil {
			p.failed = true
		}
	case p.take("values"):
		p.row()
		for p.takeMark(",") {
			p.row()
		}
	default:
		p.failed = true
	}
	p.conflict()
	p.returning()
}

// row takes one row of VALUES. Without a list of columns their order is that of the table, which is
// not known here: only MySQL's empty VALUES () needs none.
func (p *parser) row() {
	if !p.next("(") {
		p.failed = true
		return
	}
	inside := p.rest[0].inside
	p.rest = p.rest[1:]
	p.check(inside)
	row := []Operand{}
	if len(inside) > 0 {
		for _, value := range split(inside) {
			row = append(row, p.operand(value))
			p.failed = p.failed || len(value) == 0
		}
	}
	if len(row) != len(p.shape.Columns) {
		p.failed = true
	}
	p.shape.Rows = append(p.shape.Rows, row)
}

// columns takes a list of columns in parentheses, each of which may be there once: of two values
// SQLite takes the first.
func (p *parser) columns() (list []Name) {
	inside := p.rest[0].inside
	p.rest = p.rest[1:]
	if len(inside) == 0 {
		return nil // MySQL's INSERT INTO t () VALUES ()
	}
	for _, item := range split(inside) {
		if len(item) != 1 || !p.isName(item[0]) || slices.ContainsFunc(list, item[0].name().same) {
			p.failed = true
			break
		}
		list = append(list, item[0].name())
	}
	return list
}

// conflict takes what an INSERT does with a row that is there already. The conditions in it only
// make it do less.
func (p *parser) conflict() {
	s := &p.shape
	switch {
	case p.dialect == mysql && p.take("on", "duplicate", "key", "update"):
		s.Conflict, p.upsert = Updated, true
		p.set()
	case p.dialect != mysql && p.take("on", "conflict"):
		if p.next("(") {
			s.Target = p.columns()
			if p.take("where") {
				p.part("do")
			}
		}
		switch {
		case p.take("do", "nothing"):
			s.Conflict = Ignored
		case p.take("do", "update", "set"):
			s.Conflict = Updated
			p.set()
			if p.take("where") {
				p.part()
			}
		default:
			p.failed = true
		}
	}
}

func (p *parser) updates() {
	p.shape.Verb = Update
	if !p.reference(true) {
		return
	}
	p.expect("set")
	p.set()
	if p.take("where") {
		p.where()
	}
	p.returning()
}

func (p *parser) deletes() {
	p.shape.Verb = Delete
	if !p.reference(true) {
		return
	}
	if p.take("where") {
		p.where()
	}
	p.returning()
}

// returning takes RETURNING, which reads what was written.
func (p *parser) returning() {
	if p.take("returning") {
		p.part()
	}
}

// set takes the assignments of SET.
func (p *parser) set() {
	for _, item := range split(p.part()) {
		path, n := p.path(item)
		switch {
		case n == 0, n+1 >= len(item), !item[n].mark("="),
			// In PostgreSQL t.a is the field a of the column t.
			len(path) > 1 && p.dialect != mysql, !p.qualifies(path[:len(path)-1]):
			p.failed = true
			return
		}
		column := path[len(path)-1]
		for _, other := range p.shape.Set {
			// One of the two values counts, but which?
			p.failed = p.failed || column.same(other.Column)
		}
		p.shape.Set = append(p.shape.Set, Assignment{column, p.operand(item[n+1:])})
	}
}

// reference takes the table, with its schema and its alias. Until it did, no name can be read.
func (p *parser) reference(bareAlias bool) (ok bool) {
	path, n := p.path(p.rest)
	if n == 0 || len(path) > 2 || len(path) == 1 && p.rest[0].in(noTable) {
		p.failed = true
		return false
	}
	ref := &p.shape.Table
	for i, name := range path {
		if i > 0 {
			ref.Name += "."
		}
		ref.Name += name.Text
		ref.Quoted = ref.Quoted || name.Quoted
	}
	p.table = path
	p.rest = p.rest[n:]
	if p.take("as") {
		bareAlias = true
		p.failed = p.failed || len(p.rest) == 0 || !p.isName(p.rest[0]) || p.rest[0].in(joining)
	}
	if bareAlias && len(p.rest) > 0 && p.isName(p.rest[0]) && !p.rest[0].in(joining) {
		p.alias = []Name{p.rest[0].name()}
		p.rest = p.rest[1:]
	}
	return true
}

// qualifies reports whether a column with this qualifier is one of the table: none, the alias if
// there is one, or the name of the table with or without its schema.
func (p *parser) qualifies(qualifier []Name) bool {
	switch {
	case len(qualifier) == 0:
		return true
	case len(p.alias) > 0:
		return slices.EqualFunc(qualifier, p.alias, Name.same)
	}
	return slices.EqualFunc(qualifier, p.table, Name.same) ||
		slices.EqualFunc(qualifier, p.table[len(p.table)-1:], Name.same)
}

// namesRow reports whether a name may be that of the row as a whole: PostgreSQL reads the table's
// name, or its alias, so if it has no such column.
func (p *parser) namesRow(path []Name) bool {
	return len(path) == 1 && (path[0].same(p.table[len(p.table)-1]) || len(p.alias) > 0 && path[0].same(p.alias[0]))
}

func (p *parser) isAlias(n Name) bool { return slices.ContainsFunc(p.shape.Aliases, n.same) }

// take takes the words if all of them come next.
func (p *parser) take(low ...string) bool {
	if len(p.rest) < len(low) {
		return false
	}
	for i, w := range low {
		if !p.rest[i].is(w) {
			return false
		}
	}
	p.rest = p.rest[len(low):]
	return true
}

func (p *parser) expect(low string) {
	if !p.take(low) {
		p.failed = true
	}
}

func (p *parser) next(m string) bool { return len(p.rest) > 0 && p.rest[0].mark(m) }

func (p *parser) takeMark(m string) bool {
	if !p.next(m) {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// part takes what comes before the next clause, or before one of the words. It is not empty, and
// holds nothing that could read another table.
func (p *parser) part(stops ...string) []piece {
	n := 0
	for ; n < len(p.rest); n++ {
		t := p.rest[n]
		if t.is("from") && n > 1 && p.rest[n-1].is("distinct") && (p.rest[n-2].is("is") || p.rest[n-2].is("not")) {
			continue // IS [NOT] DISTINCT FROM
		}
		if p.startsClause(t.token) || slices.ContainsFunc(stops, t.is) {
			break
		}
	}
	part := p.rest[:n]
	p.rest = p.rest[n:]
	// MySQL has no RETURNING, but a column may have that name, as in `WHERE a = 1 OR returning`.
	// MariaDB has it.
	if n == 0 || p.dialect == mysql && len(p.rest) > 0 && p.rest[0].is("returning") && !p.operandEnds(part, n-1) {
		p.failed = true
	}
	p.check(part)
	return part
}
