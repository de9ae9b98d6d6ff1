package worldtest

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gorm-preload/preload"
	"gorm.io/gorm"
)

// Read draws a read, with everything in it: one that GORM builds, or one that is given as SQL, on
// terms of its own or on none.
func (g *Draw) Read() Named {
	q := g.read()
	if !g.Chance("kept by the call", 15) {
		return q
	}
	inner, ttl, tag := q.Query, time.Duration(1+g.Below("hours", 2))*time.Hour, OneOf(g, "tag", "", "a", "b")
	options := []preload.CacheOption{preload.For(ttl)}
	if tag != "" {
		options = append(options, preload.Tags(tag))
	}
	return Named{Name: fmt.Sprintf("kept for %v, tag %q: %s", ttl, tag, q.Name), Query: func(db *gorm.DB) (any, *gorm.DB) {
		return inner(db.Clauses(preload.Cache(options...)).Session(&gorm.Session{}))
	}}
}

// rawRead draws a read that is given as SQL.
func (g *Draw) rawRead(s *Table) Named {
	c := g.cond(s, false)
	column := g.column("raw", s).DBName
	from := " FROM " + s.name() + " WHERE " + c.sql
	ordered := from + " ORDER BY " + s.byKey()
	q := func(form, query string, read func(db *gorm.DB) (any, *gorm.DB)) Named {
		return Named{Name: fmt.Sprintf("Raw %s %q %v", form, query, c.vars), Query: func(db *gorm.DB) (any, *gorm.DB) {
			return read(db.Raw(query, c.vars...))
		}}
	}
	switch g.Below("raw form", 9) {
	case 0:
		return q("Find", "SELECT *"+ordered, func(db *gorm.DB) (any, *gorm.DB) { dest := s.rows(); return dest, db.Find(dest) })
	case 1:
		return q("Scan", "SELECT *"+ordered, func(db *gorm.DB) (any, *gorm.DB) { dest := s.rows(); return dest, db.Scan(dest) })
	case 2:
		return q("First", "SELECT *"+ordered, func(db *gorm.DB) (any, *gorm.DB) { dest := s.model(); return dest, db.First(dest) })
	case 3:
		text, vars := g.byKeyOrUnique(s, false)
		c.sql, c.vars = text, vars
		return q("Scan of one", "SELECT * FROM "+s.name()+" WHERE "+text, func(db *gorm.DB) (any, *gorm.DB) { dest := s.model(); return dest, db.Scan(dest) })
	case 4:
		return q("count", "SELECT COUNT("+column+")"+from, func(db *gorm.DB) (any, *gorm.DB) { var n int64; return &n, db.Scan(&n) })
	case 5:
		return q("count with Find", "SELECT COUNT(*)"+from, func(db *gorm.DB) (any, *gorm.DB) { var n int64; return &n, db.Find(&n) })
	case 6:
		return q("Row", "SELECT "+column+ordered, func(db *gorm.DB) (any, *gorm.DB) {
			var text sql.NullString
			err := scanRow(db.Row(), &text)
			return text, &gorm.DB{Error: err}
		})
	case 7:
		return q("maps", "SELECT "+s.keys()[0]+", "+column+ordered, func(db *gorm.DB) (any, *gorm.DB) {
			dest := &[]map[string]any{}
			return dest, db.Find(dest)
		})
	}
	return q("Rows", "SELECT "+column+ordered, func(db *gorm.DB) (any, *gorm.DB) {
		rows, err := db.Rows()
		if err != nil {
			return nil, &gorm.DB{Error: err}
		}
		defer rows.Close()
		all := []string{}
		for rows.Next() {
			var text sql.NullString
			err = errors.Join(err, rows.Scan(&text))
			all = append(all, fmt.Sprint(text))
		}
		return all, &gorm.DB{Error: errors.Join(err, rows.Err())}
	})
}

// ErrNoRow is of a row of nothing.
var ErrNoRow = errors.New("a row of nothing")

// scanRow scans a row. GORM returns one of nothing, which panics, for a statement that cannot be
// prepared.
func scanRow(row *sql.Row, dest any) (err error) {
	defer func() {
		if recover() != nil {
			err = ErrNoRow
		}
	}()
	return row.Scan(dest)
}
