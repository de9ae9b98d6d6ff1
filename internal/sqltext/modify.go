package sqltext

import "slices"

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
