package preload_test

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

type valueRow struct {
	_    struct{} `preload:""`
	ID   uint
	Code string
	Data []byte
	N    *int64
}

func valueBench(t *testing.T, models ...any) *worldtest.World {
	t.Parallel()
	d := dbtest.SQLite(t)
	worldtest.Must(t, d.Plain(t).AutoMigrate(models...))
	b := readOpen(t, d)
	worldtest.Must(t, b.Plugin.Register(models...))
	return b
}

func valueSame[T any](t *testing.T, b *worldtest.World, q func(*gorm.DB) *gorm.DB) {
	t.Helper()
	var want, got []T
	e1, e2 := q(b.Plain).Find(&want).Error, q(b.DB).Find(&got).Error
	if fmt.Sprint(e1) != fmt.Sprint(e2) || e1 == nil && !reflect.DeepEqual(want, got) {
		t.Errorf("plain %v %v, plugin %v %v", want, e1, got, e2)
	}
}

type valueColor uint8
type valueSize uint8

func (c valueColor) Value() (driver.Value, error) { return []string{"red", "green"}[c], nil }
func (c valueSize) Value() (driver.Value, error)  { return []string{"small", "large"}[c], nil }

// TestListsOfNamedBytesGoByTheirValues: GORM spreads them, and asks each for its driver value.
func TestListsOfNamedBytesGoByTheirValues(t *testing.T) {
	b := valueBench(t, &valueRow{})
	worldtest.Must(t, b.Plain.Create(&[]valueRow{{Code: "red"}, {Code: "small"}}).Error)
	for _, list := range []any{[]valueColor{0, 1}, []valueSize{0, 1}, []byte{0, 1}} {
		valueSame[valueRow](t, b, func(tx *gorm.DB) *gorm.DB { return tx.Where("code IN (?)", list) })
	}
}
func TestBytesThatRenderApartHaveTwoShapes(t *testing.T) {
	b := valueBench(t, &valueRow{})
	key := func(v any) string {
		ex, err := b.Plugin.Explain(func(tx *gorm.DB) *gorm.DB { return tx.Where("data = ?", v).Find(&[]valueRow{}) })
		worldtest.Must(t, err)
		return ex.Key
	}
	// GORM renders the one as (NULL), without a bind value.
	if key(json.RawMessage{}) == key([]byte{}) {
		t.Error("one key for two texts of SQL")
	}
}

type valueMaybe struct{ V *int64 }

func (v valueMaybe) Value() (driver.Value, error) { return v.V, nil }

// TestAValuerOfANilPointer: GORM renders it as NULL, and a template that took it for a value would
// not see what changes the value.
func TestAValuerOfANilPointer(t *testing.T) {
	b := valueBench(t, &valueRow{})
	five := int64(5)
	worldtest.Must(t, b.Plain.Create(&[]valueRow{{Code: "a", N: &five}}).Error)
	is := func(v any) func(*gorm.DB) *gorm.DB {
		return func(tx *gorm.DB) *gorm.DB { return tx.Where(map[string]any{"n": v}) }
	}
	valueSame[valueRow](t, b, is(valueMaybe{})) // GORM: n IS NULL
	valueSame[valueRow](t, b, is(5))
	worldtest.Must(t, b.DB.Model(&valueRow{}).Where("n = ?", 5).Update("code", "changed").Error)
	valueSame[valueRow](t, b, is(5))
}

type valueInt int

func (v valueInt) Value() (driver.Value, error) { return int(v), nil } // not a driver.Value

// TestAValuerOfNoDriverValue: database/sql refuses it, whatever is in memory.
func TestAValuerOfNoDriverValue(t *testing.T) {
	b := valueBench(t, &valueRow{})
	for _, v := range []any{5, valueInt(5)} {
		valueSame[valueRow](t, b, func(tx *gorm.DB) *gorm.DB { return tx.Where("n = ?", v) })
	}
}

type valueBoth string

func (v valueBoth) Value() (driver.Value, error) { return "x", nil }
func (v valueBoth) Build(b clause.Builder)       { b.WriteQuoted(string(v)) }

// TestAnExpressionThatIsAValuer: GORM renders it as an expression.
func TestAnExpressionThatIsAValuer(t *testing.T) {
	b := valueBench(t, &valueRow{})
	worldtest.Must(t, b.Plain.Create(&valueRow{Code: "a", Data: []byte("b")}).Error)
	for _, v := range []any{valueBoth("code"), valueBoth("data")} {
		valueSame[valueRow](t, b, func(tx *gorm.DB) *gorm.DB { return tx.Where(clause.Eq{Column: "code", Value: v}) })
	}
}

type valueJoined string

func (valueJoined) QueryClauses(*schema.Field) []clause.Interface {
	return []clause.Interface{valueJoin{}}
}

type valueJoin struct{}

func (valueJoin) Name() string               { return "" }
func (valueJoin) Build(clause.Builder)       {}
func (valueJoin) MergeClause(*clause.Clause) {}
func (valueJoin) ModifyStatement(s *gorm.Statement) {
	s.AddClause(clause.From{Joins: []clause.Join{{Type: clause.InnerJoin, Table: clause.Table{Name: "bk_owners"},
		ON: clause.Where{Exprs: []clause.Expression{clause.Expr{SQL: "bk_owners.id = bk_docs.owner_id AND bk_owners.active"}}}}}})
}

type valueOwner struct {
	_      struct{} `preload:""`
	ID     uint
	Active bool
}
type valueDoc struct {
	_       struct{} `preload:""`
	ID      uint
	OwnerID uint
	F       valueJoined
}
type valueHiding string

func (valueHiding) QueryClauses(*schema.Field) []clause.Interface {
	return []clause.Interface{valueHide{}}
}

type valueHide struct{ valueJoin }

func (valueHide) ModifyStatement(s *gorm.Statement) { s.Omits = append(s.Omits, "secret") }

type valueSecret struct {
	_      struct{} `preload:""`
	ID     uint
	Secret string
	F      valueHiding
}

// TestQueryClausesOfAnyKind: those of a model may add joins, and omit columns.
func TestQueryClausesOfAnyKind(t *testing.T) {
	b := valueBench(t, &valueOwner{}, &valueDoc{}, &valueSecret{})
	worldtest.Must(t, b.Plain.Create(&[]valueOwner{{ID: 1, Active: true}, {ID: 2}}).Error)
	worldtest.Must(t, b.Plain.Create(&[]valueDoc{{OwnerID: 1}, {OwnerID: 2}}).Error)
	worldtest.Must(t, b.Plain.Create(&valueSecret{Secret: "s"}).Error)
	valueSame[valueDoc](t, b, func(tx *gorm.DB) *gorm.DB { return tx })
	valueSame[valueSecret](t, b, func(tx *gorm.DB) *gorm.DB { return tx })
}

// TestFromIsWhatGORMMakesIt: for builders of an application, and after the query.
func TestFromIsWhatGORMMakesIt(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	worldtest.SeedReads(t, d.Plain(t))
	b := readOpenWith(t, d, func() *gorm.Config {
		return &gorm.Config{ClauseBuilders: map[string]clause.ClauseBuilder{"FROM": func(c clause.Clause, b clause.Builder) {
			_ = c.Expression.(clause.From)
			c.Build(b)
		}}}
	})
	b.AsPlain(t, "a builder", worldtest.AnyReason, func(db *gorm.DB) (any, *gorm.DB) { var u []worldtest.ReadCompany; tx := db.Find(&u); return &u, tx })
	b = readOpen(t, d)
	b.AsPlain(t, "afterwards", worldtest.AnyReason, func(db *gorm.DB) (any, *gorm.DB) {
		tx := db.Find(&[]worldtest.ReadCompany{})
		s := fmt.Sprintf("%T", tx.Statement.Clauses["FROM"].Expression)
		return &s, tx
	})
}

type valueTenant string

func (valueTenant) QueryClauses(*schema.Field) []clause.Interface {
	return []clause.Interface{valueTenantClause{}}
}

type valueTenantClause struct{ valueJoin }

func (valueTenantClause) ModifyStatement(s *gorm.Statement) {
	s.AddClause(clause.Where{Exprs: []clause.Expression{clause.Eq{Column: "f", Value: "a"}}})
}

type valueOfTenant struct {
	_  struct{} `preload:""`
	ID uint
	F  valueTenant
}

// TestQueryClausesShowOnce: in what the statement is left with.
func TestQueryClausesShowOnce(t *testing.T) {
	b := valueBench(t, &valueOfTenant{})
	run := func(db *gorm.DB) string {
		tx := db.Find(&[]valueOfTenant{})
		return fmt.Sprint(tx.Statement.Clauses["WHERE"].Expression)
	}
	if want, got := run(b.Plain), run(b.DB); want != got {
		t.Errorf("plain %s, plugin on a miss %s", want, got)
	}
}

type valueFinal string

func (valueFinal) QueryClauses(*schema.Field) []clause.Interface {
	return []clause.Interface{valueFinalClause{}}
}

type valueFinalClause struct{ valueJoin }

func (valueFinalClause) ModifyStatement(s *gorm.Statement) {
	s.Clauses["TAIL"] = clause.Clause{Expression: clause.Expr{SQL: "LIMIT 1"}}
	s.BuildClauses = append(s.BuildClauses, "TAIL")
}

type valueTailed struct {
	_  struct{} `preload:""`
	ID uint
	F  valueFinal
}

// TestQueryClausesThatAreBuilt: those of a model may add one to the list of what is built, which
// all statements share.
func TestQueryClausesThatAreBuilt(t *testing.T) {
	b := valueBench(t, &valueTailed{})
	worldtest.Must(t, b.Plain.Create(&[]valueTailed{{ID: 1}, {ID: 2}}).Error)
	for range 2 {
		valueSame[valueTailed](t, b, func(tx *gorm.DB) *gorm.DB { return tx })
	}
	if order := b.DB.Callback().Query().Clauses; order[0] != "SELECT" {
		t.Errorf("GORM's own list is %q", order)
	}
}

// TestCallbacksSeeGORMsFrom: those that run between the query and what GORM does after it, too.
func TestCallbacksSeeGORMsFrom(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	worldtest.SeedReads(t, d.Plain(t))
	b := readOpen(t, d)
	worldtest.Must(t, b.DB.Callback().Query().After("gorm:query").Before("gorm:preload").Register("mine", func(tx *gorm.DB) {
		if _, ok := tx.Statement.Clauses["FROM"].Expression.(clause.From); !ok {
			t.Errorf("FROM is a %T", tx.Statement.Clauses["FROM"].Expression)
		}
	}))
	for range 3 {
		worldtest.Must(t, b.DB.Find(&[]worldtest.ReadCompany{}).Error)
	}
	if b.Plugin.Stats().Hits == 0 {
		t.Error("nothing was answered from memory")
	}
}
