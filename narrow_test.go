package preload_test

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

type narrowRow struct {
	_    struct{} `preload:""`
	ID   uint
	Code string
	Data []byte
	N    *int64
}

func narrowBench(t *testing.T, models ...any) *readBench {
	t.Parallel()
	d := dbtest.SQLite(t)
	readMust(t, d.Plain(t).AutoMigrate(models...))
	b := readOpen(t, d)
	readMust(t, b.p.Register(models...))
	return b
}

func narrowSame[T any](t *testing.T, b *readBench, q func(*gorm.DB) *gorm.DB) {
	t.Helper()
	var want, got []T
	e1, e2 := q(b.plain).Find(&want).Error, q(b.db).Find(&got).Error
	if fmt.Sprint(e1) != fmt.Sprint(e2) || e1 == nil && !reflect.DeepEqual(want, got) {
		t.Errorf("plain %v %v, plugin %v %v", want, e1, got, e2)
	}
}

type narrowColor uint8
type narrowSize uint8

func (c narrowColor) Value() (driver.Value, error) { return []string{"red", "green"}[c], nil }
func (c narrowSize) Value() (driver.Value, error)  { return []string{"small", "large"}[c], nil }

// TestListsOfNamedBytesGoByTheirValues: GORM spreads them, and asks each for its driver value.
func TestListsOfNamedBytesGoByTheirValues(t *testing.T) {
	b := narrowBench(t, &narrowRow{})
	readMust(t, b.plain.Create(&[]narrowRow{{Code: "red"}, {Code: "small"}}).Error)
	for _, list := range []any{[]narrowColor{0, 1}, []narrowSize{0, 1}, []byte{0, 1}} {
		narrowSame[narrowRow](t, b, func(tx *gorm.DB) *gorm.DB { return tx.Where("code IN (?)", list) })
	}
}
func TestBytesThatRenderApartHaveTwoShapes(t *testing.T) {
	b := narrowBench(t, &narrowRow{})
	key := func(v any) string {
		ex, err := b.p.Explain(func(tx *gorm.DB) *gorm.DB { return tx.Where("data = ?", v).Find(&[]narrowRow{}) })
		readMust(t, err)
		return ex.Key
	}
	// GORM renders the one as (NULL), without a bind value.
	if key(json.RawMessage{}) == key([]byte{}) {
		t.Error("one key for two texts of SQL")
	}
}

type narrowMaybe struct{ V *int64 }

func (v narrowMaybe) Value() (driver.Value, error) { return v.V, nil }

// TestAValuerOfANilPointer: GORM renders it as NULL, and a template that took it for a value would not see what changes the value.
func TestAValuerOfANilPointer(t *testing.T) {
	b := narrowBench(t, &narrowRow{})
	five := int64(5)
	readMust(t, b.plain.Create(&[]narrowRow{{Code: "a", N: &five}}).Error)
	is := func(v any) func(*gorm.DB) *gorm.DB {
		return func(tx *gorm.DB) *gorm.DB { return tx.Where(map[string]any{"n": v}) }
	}
	narrowSame[narrowRow](t, b, is(narrowMaybe{})) // GORM: n IS NULL
	narrowSame[narrowRow](t, b, is(5))
	readMust(t, b.db.Model(&narrowRow{}).Where("n = ?", 5).Update("code", "changed").Error)
	narrowSame[narrowRow](t, b, is(5))
}

type narrowInt int

func (v narrowInt) Value() (driver.Value, error) { return int(v), nil } // not a driver.Value

// TestAValuerOfNoDriverValue: database/sql refuses it, whatever is in memory.
func TestAValuerOfNoDriverValue(t *testing.T) {
	b := narrowBench(t, &narrowRow{})
	for _, v := range []any{5, narrowInt(5)} {
		narrowSame[narrowRow](t, b, func(tx *gorm.DB) *gorm.DB { return tx.Where("n = ?", v) })
	}
}

type narrowBoth string

func (v narrowBoth) Value() (driver.Value, error) { return "x", nil }
func (v narrowBoth) Build(b clause.Builder)       { b.WriteQuoted(string(v)) }

// TestAnExpressionThatIsAValuer: GORM renders it as an expression.
func TestAnExpressionThatIsAValuer(t *testing.T) {
	b := narrowBench(t, &narrowRow{})
	readMust(t, b.plain.Create(&narrowRow{Code: "a", Data: []byte("b")}).Error)
	for _, v := range []any{narrowBoth("code"), narrowBoth("data")} {
		narrowSame[narrowRow](t, b, func(tx *gorm.DB) *gorm.DB { return tx.Where(clause.Eq{Column: "code", Value: v}) })
	}
}

type narrowJoined string

func (narrowJoined) QueryClauses(*schema.Field) []clause.Interface {
	return []clause.Interface{narrowJoin{}}
}

type narrowJoin struct{}

func (narrowJoin) Name() string               { return "" }
func (narrowJoin) Build(clause.Builder)       {}
func (narrowJoin) MergeClause(*clause.Clause) {}
func (narrowJoin) ModifyStatement(s *gorm.Statement) {
	s.AddClause(clause.From{Joins: []clause.Join{{Type: clause.InnerJoin, Table: clause.Table{Name: "bk_owners"},
		ON: clause.Where{Exprs: []clause.Expression{clause.Expr{SQL: "bk_owners.id = bk_docs.owner_id AND bk_owners.active"}}}}}})
}

type narrowOwner struct {
	_      struct{} `preload:""`
	ID     uint
	Active bool
}
type narrowDoc struct {
	_       struct{} `preload:""`
	ID      uint
	OwnerID uint
	F       narrowJoined
}
type narrowHiding string

func (narrowHiding) QueryClauses(*schema.Field) []clause.Interface {
	return []clause.Interface{narrowHide{}}
}

type narrowHide struct{ narrowJoin }

func (narrowHide) ModifyStatement(s *gorm.Statement) { s.Omits = append(s.Omits, "secret") }

type narrowSecret struct {
	_      struct{} `preload:""`
	ID     uint
	Secret string
	F      narrowHiding
}

// TestQueryClausesOfAnyKind: those of a model may add joins, and omit columns.
func TestQueryClausesOfAnyKind(t *testing.T) {
	b := narrowBench(t, &narrowOwner{}, &narrowDoc{}, &narrowSecret{})
	readMust(t, b.plain.Create(&[]narrowOwner{{ID: 1, Active: true}, {ID: 2}}).Error)
	readMust(t, b.plain.Create(&[]narrowDoc{{OwnerID: 1}, {OwnerID: 2}}).Error)
	readMust(t, b.plain.Create(&narrowSecret{Secret: "s"}).Error)
	narrowSame[narrowDoc](t, b, func(tx *gorm.DB) *gorm.DB { return tx })
	narrowSame[narrowSecret](t, b, func(tx *gorm.DB) *gorm.DB { return tx })
}

// TestFromIsWhatGORMMakesIt: for builders of an application, and after the query.
func TestFromIsWhatGORMMakesIt(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	readSeed(t, d.Plain(t))
	b := readOpenWith(t, d, func() *gorm.Config {
		return &gorm.Config{ClauseBuilders: map[string]clause.ClauseBuilder{"FROM": func(c clause.Clause, b clause.Builder) {
			_ = c.Expression.(clause.From)
			c.Build(b)
		}}}
	})
	b.same(t, "a builder", readAny, func(db *gorm.DB) (any, *gorm.DB) { var u []readCompany; tx := db.Find(&u); return &u, tx })
	b = readOpen(t, d)
	b.same(t, "afterwards", readAny, func(db *gorm.DB) (any, *gorm.DB) {
		tx := db.Find(&[]readCompany{})
		s := fmt.Sprintf("%T", tx.Statement.Clauses["FROM"].Expression)
		return &s, tx
	})
}

type narrowTenant string

func (narrowTenant) QueryClauses(*schema.Field) []clause.Interface {
	return []clause.Interface{narrowTenantClause{}}
}

type narrowTenantClause struct{ narrowJoin }

func (narrowTenantClause) ModifyStatement(s *gorm.Statement) {
	s.AddClause(clause.Where{Exprs: []clause.Expression{clause.Eq{Column: "f", Value: "a"}}})
}

type narrowOfTenant struct {
	_  struct{} `preload:""`
	ID uint
	F  narrowTenant
}

// TestQueryClausesShowOnce: in what the statement is left with.
func TestQueryClausesShowOnce(t *testing.T) {
	b := narrowBench(t, &narrowOfTenant{})
	run := func(db *gorm.DB) string {
		tx := db.Find(&[]narrowOfTenant{})
		return fmt.Sprint(tx.Statement.Clauses["WHERE"].Expression)
	}
	if want, got := run(b.plain), run(b.db); want != got {
		t.Errorf("plain %s, plugin on a miss %s", want, got)
	}
}

type narrowFinal string

func (narrowFinal) QueryClauses(*schema.Field) []clause.Interface {
	return []clause.Interface{narrowFinalClause{}}
}

type narrowFinalClause struct{ narrowJoin }

func (narrowFinalClause) ModifyStatement(s *gorm.Statement) {
	s.Clauses["TAIL"] = clause.Clause{Expression: clause.Expr{SQL: "LIMIT 1"}}
	s.BuildClauses = append(s.BuildClauses, "TAIL")
}

type narrowTailed struct {
	_  struct{} `preload:""`
	ID uint
	F  narrowFinal
}

// TestQueryClausesThatAreBuilt: those of a model may add one to the list of what is built, which all statements share.
func TestQueryClausesThatAreBuilt(t *testing.T) {
	b := narrowBench(t, &narrowTailed{})
	readMust(t, b.plain.Create(&[]narrowTailed{{ID: 1}, {ID: 2}}).Error)
	for range 2 {
		narrowSame[narrowTailed](t, b, func(tx *gorm.DB) *gorm.DB { return tx })
	}
	if order := b.db.Callback().Query().Clauses; order[0] != "SELECT" {
		t.Errorf("GORM's own list is %q", order)
	}
}

// TestCallbacksSeeGORMsFrom: those that run between the query and what GORM does after it, too.
func TestCallbacksSeeGORMsFrom(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	readSeed(t, d.Plain(t))
	b := readOpen(t, d)
	readMust(t, b.db.Callback().Query().After("gorm:query").Before("gorm:preload").Register("mine", func(tx *gorm.DB) {
		if _, ok := tx.Statement.Clauses["FROM"].Expression.(clause.From); !ok {
			t.Errorf("FROM is a %T", tx.Statement.Clauses["FROM"].Expression)
		}
	}))
	for range 3 {
		readMust(t, b.db.Find(&[]readCompany{}).Error)
	}
	if b.p.Stats().Hits == 0 {
		t.Error("nothing was answered from memory")
	}
}
