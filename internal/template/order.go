package template

import (
	"database/sql"
	"strings"
	"time"

	"gorm.io/gorm"
)

// order is how a database compares the moments of queries with those in its columns: what spans of
// moments need to be told to be in the same order.
//
// PostgreSQL compares moments, or the wall clock where a column has no zone. So all moments, given
// and shown, must have one offset: then both orders are the same.
//
// MySQL compares the wall clock of DATETIME columns, and the driver sends that of the connection's
// zone, whatever zone a moment has. Where that zone has daylight saving, it goes on with the moment
// only until the clock is changed, and so does a span. The zone is known from a moment that the
// driver reads. TIMESTAMP columns are converted by the zone of the session, which is not known; of
// what type a column is the database says, as the model does not tell the two apart for certain.
//
// SQLite compares the texts that the driver makes of moments, in the zone of each. Texts in
// textOfMoment with one offset are in the order of their moments: up to the seconds they are
// equally long, and behind that '+' and '-' come before '.', and '.' before digits, so that of two
// fractions without zeros at their ends the lesser one comes first. What else is in a column may be
// anything: a text that is given passes the first one behind it before any other, so only that has
// to be in the same format, with the same offset. A number comes before all texts and a BLOB behind
// them, whatever the moment, and NULL is never compared. None of this holds for other collations
// than BINARY, so no column of the table may name one.
type order struct {
	// types are what the type of a column begins with, as GORM's dialect names it.
	types []string
	// shows says that the moments in the rows of an answer, as the driver reads them, tell when the
	// first of these rows leaves. Otherwise the database is asked for that.
	shows bool
	bind  string // a bind value
	// list is what is selected of the rows of a table whose moments come after the one that is
	// given; "{place}" is the name of the place, and "{column}" the column. It has the bind values
	// of args.
	list string
	args func(at time.Time, table, column string) []any
	// until returns the end of the moments from at on that are compared with each row as at is;
	// zero where there is none, and false where that is not known.
	until func(at time.Time, s said) (time.Time, bool)
}

// said is what the database says of a place.
type said struct {
	First  sql.NullTime   `gorm:"column:first"`  // as the driver reads it
	Text   sql.NullString `gorm:"column:text"`   // the same as a text
	Given  sql.NullString `gorm:"column:given"`  // the moment that was given, as a text
	Read   sql.NullTime   `gorm:"column:read"`   // the same as the driver reads it
	Proved bool           `gorm:"column:proved"` // the column is one that is compared in the order
}

// saids is what the database says of both places.
type saids struct {
	Falling said `gorm:"embedded;embeddedPrefix:falling_"`
	Rising  said `gorm:"embedded;embeddedPrefix:rising_"`
}

// textOfMoment is how drivers of SQLite write moments that are compared here.
const textOfMoment = "2006-01-02 15:04:05.999999999-07:00"

// lastMoment is until when the years of wall clocks have four digits in all zones.
var lastMoment = time.Date(9999, 12, 30, 0, 0, 0, 0, time.UTC)

// orders are those of the databases by the names of their dialects.
var orders = map[string]*order{
	"postgres": {
		types: []string{"timestamp"}, shows: true, bind: "$1",
		list:  "NULLIF(MIN({column}), 'infinity') AS {place}_first, TRUE AS {place}_proved",
		args:  func(time.Time, string, string) []any { return nil },
		until: untilShown,
	},
	"mysql": {
		types: []string{"datetime"}, bind: "?",
		list: "CAST(MIN({column}) AS CHAR) AS {place}_text, CAST(? AS DATETIME(6)) AS {place}_read, (SELECT COUNT(*) = 1 FROM information_schema.COLUMNS " +
			"WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND COLUMN_NAME = ? AND DATA_TYPE = 'datetime') AS {place}_proved",
		args:  func(at time.Time, table, column string) []any { return []any{at, table, column} },
		until: untilByWallClock,
	},
	"sqlite": {
		types: []string{"datetime", "timestamp"}, bind: "?",
		list: "CAST(MIN({column}) AS TEXT) AS {place}_text, CAST(? AS TEXT) AS {place}_given, " +
			"(SELECT COUNT(*) = 1 AND MAX(sql LIKE 'CREATE TABLE%' AND instr(lower(sql), 'collate') = 0) " +
			"FROM (SELECT name, sql FROM main.sqlite_master UNION ALL SELECT name, sql FROM temp.sqlite_master) WHERE name = ? COLLATE NOCASE) AS {place}_proved",
		args:  func(at time.Time, table, _ string) []any { return []any{at, table} },
		until: untilByText,
	},
}

// untilShown goes by the first moment as the driver reads it.
func untilShown(at time.Time, s said) (time.Time, bool) {
	return s.First.Time, s.Proved && (!s.First.Valid || sameOffset(at, s.First.Time))
}

// untilByWallClock goes by the wall clock in the zone of the connection, until that is changed.
func untilByWallClock(at time.Time, s said) (time.Time, bool) {
	there := at.In(s.Read.Time.Location())
	// A driver that does not send what it would read sends another zone's, or a rounded moment.
	if apart := wallClock(there).Sub(wallClock(s.Read.Time)).Abs(); !s.Proved || !s.Read.Valid || apart >= spanMargin {
		return at, false
	}
	name, offset := there.Zone()
	until := lastMoment
	if _, end := there.ZoneBounds(); !end.IsZero() && end.Before(until) {
		until = end
	}
	if !s.Text.Valid {
		return until, true
	}
	first, err := time.ParseInLocation(time.DateTime, s.Text.String, time.FixedZone(name, offset))
	if first.Before(until) {
		until = first
	}
	return until, err == nil
}

// wallClock returns the moment at which a clock in UTC shows what t does.
func wallClock(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.Add(time.Duration(offset) * time.Second)
}

// untilByText goes by the texts that the database compares.
func untilByText(at time.Time, s said) (time.Time, bool) {
	switch {
	case !s.Proved || s.Given.String != at.Format(textOfMoment):
		return at, false
	case !s.Text.Valid:
		return lastMoment, true
	}
	first, err := time.Parse(textOfMoment, s.Text.String)
	return first, err == nil && first.Format(textOfMoment) == s.Text.String && sameOffset(first, at)
}

// question asks for the first moment of a column that comes after one that is given.
type question struct {
	order  *order
	table  string
	column string
	list   string // what is selected, where "{place}" is the name of the place
	from   string // of what
	vars   int    // how many bind values from has before the moment: the first ones of the query
}

// asksFor returns the question for the first moment of a column that compares by a sign with the
// one that is given: of the rows that a condition with so many bind values chooses, or of all where
// it is "".
func (o *order) asksFor(stmt *gorm.Statement, column, sign, condition string, vars int) *question {
	written := stmt.Quote(column)
	from := stmt.Quote(stmt.Table) + " WHERE "
	if condition != "" {
		from += "(" + condition + ") AND "
	}
	return &question{
		order: o, table: stmt.Table, column: column, vars: vars,
		list: strings.ReplaceAll(o.list, "{column}", written), from: from + written + " " + sign + " " + o.bind,
	}
}

// sql returns the statement that asks for a place.
func (q *question) sql(place string) string {
	return "SELECT " + strings.ReplaceAll(q.list, "{place}", place) + " FROM " + q.from
}

// bound returns the bind values of the statement for a moment that a query with these bind values
// gives.
func (q *question) bound(at time.Time, vars []any) []any {
	return append(append(q.order.args(at, q.table, q.column), vars[:q.vars]...), at)
}

// conditionOf returns the condition of a statement that was rendered as sql, and how many bind
// values it has, which are the first ones of the statement; "" where it is not certain where it
// ends.
func conditionOf(stmt *gorm.Statement, sql string) (condition string, vars int) {
	part := &gorm.Statement{
		DB: stmt.DB.Session(&gorm.Session{NewDB: true}), Context: stmt.Context,
		Table: stmt.Table, Schema: stmt.Schema, Model: stmt.Model, Clauses: stmt.Clauses,
	}
	part.Build("WHERE")
	before, after, found := strings.Cut(sql, " "+part.SQL.String())
	condition, written := strings.CutPrefix(part.SQL.String(), "WHERE ")
	ends := found && after == "" || strings.HasPrefix(after, " ORDER BY ") || strings.HasPrefix(after, " LIMIT ")
	if !written || !ends || strings.Contains(before, "?") || len(part.Vars) > len(stmt.Vars) {
		return "", 0
	}
	return condition, len(part.Vars)
}
