package oracle

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
)

// source is a connection pool by which the database is asked around the plugin.
type source struct{ gorm.ConnPool }

// Watch makes an oracle of the reads of db, which uses the plugin. It asks the database through
// plain, another handle of it, which does not. The pool of db has to call Asked with each
// statement.
func Watch(db, plain *gorm.DB) (*Oracle, error) {
	pool, err := plain.DB()
	if err != nil {
		return nil, err
	}
	o := &Oracle{source: source{pool}, last: map[digest]digest{}, shapes: map[Shape]*Count{}}
	query, row := db.Callback().Query(), db.Callback().Row()
	return o, errors.Join(
		query.Before("gorm:query").Register("oracle:before", o.before(find)),
		query.After("gorm:query").Before("gorm:preload").Register("oracle:after", o.after),
		row.Before("gorm:row").Register("oracle:before", o.before(rows)),
		row.After("gorm:row").Register("oracle:after", o.after),
	)
}

// watched is a read that is under way.
type watched struct {
	Read
	outer context.Context
	asked atomic.Bool // a statement of it reached the database
}

type watchedKey struct{}

// Asked notes that a statement reaches the database.
func Asked(ctx context.Context, _ string) error {
	if w, _ := ctx.Value(watchedKey{}).(*watched); w != nil {
		w.asked.Store(true)
	}
	return nil
}

// form is how a read gets what it finds.
type form int

const (
	find form = iota // GORM scans it into the destination
	rows             // the application, or Scan, reads rows
)

func (o *Oracle) before(f form) func(*gorm.DB) {
	return func(db *gorm.DB) {
		if db.Error != nil || db.DryRun {
			return
		}
		w := &watched{Read: o.ask(db, f), outer: db.Statement.Context}
		db.Statement.Context = context.WithValue(w.outer, watchedKey{}, w)
	}
}

func (o *Oracle) after(db *gorm.DB) {
	w, _ := db.Statement.Context.Value(watchedKey{}).(*watched)
	if w == nil {
		return
	}
	db.Statement.Context = w.outer
	w.Served = !w.asked.Load()
	if _, open := db.Statement.Dest.(interface{ Next() bool }); !open {
		w.Wrong = answer(db) != w.Answer
	}
	o.note(w.Read)
}

// ask asks the database what the statement of db asks.
func (o *Oracle) ask(db *gorm.DB, f form) (r Read) {
	_, inside := db.Statement.ConnPool.(gorm.TxCommitter)
	raw := db.Statement.SQL.Len() > 0
	tx := db.Session(&gorm.Session{}).Set("oracle", true) // a statement of its own
	stmt := tx.Statement
	stmt.BuildClauses = db.Statement.BuildClauses // which GORM does not copy
	stmt.Context = context.WithValue(stmt.Context, watchedKey{}, (*watched)(nil))
	if !inside {
		stmt.ConnPool = o.source
	}
	kind := ""
	if f == find {
		stmt.Dest = fresh(stmt.Dest)
		stmt.ReflectValue = reflect.ValueOf(stmt.Dest).Elem()
		kind = fmt.Sprintf("%T", stmt.Dest)
		callbacks.Query(tx)
		r.Answer = answer(tx)
	} else {
		callbacks.BuildQuerySQL(tx)
		d := newDigester()
		found, err := stmt.ConnPool.QueryContext(stmt.Context, stmt.SQL.String(), stmt.Vars...)
		if err == nil {
			err = d.rows(found)
		}
		if err != nil {
			d.text(err.Error())
		}
		r.Answer = d.sum()
	}
	sql := stmt.SQL.String()
	key, volatile := digestKey(kind, sql, stmt.Vars)
	r.Key, r.Shape, r.Tables = key, lists.ReplaceAllString(sql, "(..)"), Tables(sql)
	switch {
	case inside:
		r.Class = Transaction
	case raw:
		r.Class = Raw
	case f == rows:
		r.Class = Scanned
	case volatile:
		r.Class = Volatile
	}
	return r
}

// fresh returns a destination that holds what dest holds.
func fresh(dest any) any {
	v := reflect.ValueOf(dest).Elem()
	made := reflect.New(v.Type())
	if v.Kind() == reflect.Struct {
		made.Elem().Set(v)
	}
	return made.Interface()
}

// answer is what a query found.
func answer(db *gorm.DB) digest {
	d := newDigester()
	d.value(reflect.ValueOf(db.Statement.Dest))
	d.number(uint64(db.RowsAffected))
	if db.Error != nil {
		d.text(db.Error.Error())
	}
	return d.sum()
}

// nowadays is how far a time may be from now to be taken for the time of now.
const nowadays = time.Minute

// digestKey tells statements apart. Those that differ in the time of now only are the same one.
func digestKey(kind, sql string, vars []any) (key digest, volatile bool) {
	d := newDigester()
	d.text(kind)
	d.text(sql)
	for _, v := range vars {
		if t, ok := v.(time.Time); ok && time.Since(t).Abs() < nowadays {
			volatile = true
			d.text("now")
			continue
		}
		d.add(v)
	}
	return d.sum(), volatile
}

var (
	lists  = regexp.MustCompile(`\((\?|\$\d+)(,(\?|\$\d+))*\)`)
	tables = regexp.MustCompile("(?i)\\b(?:from|join|into|update)\\s+[\"`]?(\\w+)")
)

// Tables returns the names of the tables that a statement of the shop reads or writes, which never
// hides them from a simple search.
func Tables(sql string) (names []string) {
	for _, found := range tables.FindAllStringSubmatch(sql, -1) {
		if !slices.Contains(names, found[1]) {
			names = append(names, found[1])
		}
	}
	return names
}
