package preload_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

type backOrder struct {
	_     struct{} `preload:""`
	ID    uint
	Lines []backLine `gorm:"foreignKey:OrderID"`
}

// backLine has a key, its code, of which the model does not tell.
type backLine struct {
	_       struct{} `preload:""`
	ID      uint
	OrderID uint
	Code    *string `gorm:"size:20"`
	Qty     int
}

// backLines is how many lines there are, half of them in order 1 and half in order 2. Each has a
// code of its own: line 7 has c7.
const backLines = 100

// backEach runs a test with an answer in memory for each line, on a pool with the plugin in front,
// and on one whose connections are observed. No write has a transaction that it does not ask for.
func backEach(t *testing.T, test func(t *testing.T, w *worldtest.World), options ...preload.Option) {
	for _, observed := range []bool{false, true} {
		t.Run(fmt.Sprint("observed ", observed), func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
				plain := d.Plain(t)
				worldtest.Must(t, plain.AutoMigrate(&backOrder{}, &backLine{}))
				worldtest.Must(t, plain.Exec("CREATE UNIQUE INDEX back_code ON back_lines (code)").Error)
				n := 0
				for range 2 {
					order := backOrder{}
					for range backLines / 2 {
						n++
						order.Lines = append(order.Lines, backLine{Code: worldtest.Ptr(fmt.Sprint("c", n)), Qty: 1})
					}
					worldtest.Must(t, plain.Create(&order).Error)
				}
				config := &gorm.Config{SkipDefaultTransaction: true}
				var w *worldtest.World
				if observed {
					w = &connOpen(t, d, config, options...).World
					w.Plain = plain
				} else {
					w = worldtest.Open(t, d, plain, config, options...)
				}
				backSurvivors(t, w)
				if n := backSurvivors(t, w); n != backLines {
					t.Fatalf("%d of %d answers are kept", n, backLines)
				}
				test(t, w)
			})
		})
	}
}

// backSurvivors reads each line, and returns how many memory answered.
func backSurvivors(t testing.TB, w *worldtest.World) (served int) {
	t.Helper()
	for id := 1; id <= backLines; id++ {
		if w.Queries(func() { backQty(t, w.DB, id) }) == 0 {
			served++
		}
	}
	return served
}

func backQty(t testing.TB, db *gorm.DB, id int) int {
	t.Helper()
	var line backLine
	if err := db.First(&line, id).Error; err != nil {
		t.Errorf("reading line %d: %v", id, err)
	}
	return line.Qty
}

// backUpsert sets the quantity of a line, of which the statement tells the code only.
func backUpsert(db *gorm.DB, id, qty int) error {
	return db.Clauses(clause.OnConflict{
		Columns: []clause.Column{{Name: "code"}}, DoUpdates: clause.AssignmentColumns([]string{"qty"}),
	}).Create(&backLine{OrderID: 1, Code: worldtest.Ptr(fmt.Sprint("c", id)), Qty: qty}).Error
}

// TestAnUpsertOutsideATransactionLeavesOtherRowsAlone: as many answers survive it as in one.
func TestAnUpsertOutsideATransactionLeavesOtherRowsAlone(t *testing.T) {
	t.Parallel()
	backEach(t, func(t *testing.T, w *worldtest.World) {
		for _, write := range []struct {
			name     string
			do       func(db *gorm.DB) error
			survives int
		}{
			{"an upsert", func(db *gorm.DB) error { return backUpsert(db, 7, 8) }, backLines - 1},
			{"an order with lines", func(db *gorm.DB) error {
				return db.Create(&backOrder{Lines: []backLine{{Qty: 1}, {Qty: 2}}}).Error
			}, backLines},
			{"a line that is appended", func(db *gorm.DB) error {
				return db.Model(&backOrder{ID: 1}).Association("Lines").Append(&backLine{Qty: 5})
			}, backLines},
			{"a line that is moved", func(db *gorm.DB) error {
				return db.Model(&backOrder{ID: 2}).Association("Lines").Append(&backLine{ID: 9, Qty: 5})
			}, backLines - 1},
			{"a sequence that is behind", func(db *gorm.DB) error {
				if w.Dialect != "postgres" {
					return backUpsert(db, 11, 3)
				}
				if err := w.Plain.Exec("SELECT setval('back_lines_id_seq', 10)").Error; err != nil {
					return err
				}
				return db.Model(&backOrder{ID: 2}).Association("Lines").Append(&backLine{Qty: 3})
			}, backLines - 1},
		} {
			for _, within := range []bool{true, false} {
				do := write.do
				if within {
					do = func(db *gorm.DB) error { return db.Transaction(write.do) }
				}
				worldtest.Must(t, do(w.DB))
				if n := backSurvivors(t, w); n != write.survives {
					t.Errorf("%s, in a transaction: %t: %d of %d answers survive, want %d", write.name, within, n, backLines, write.survives)
				}
			}
		}
		var right, lines []backLine
		worldtest.Must(t, w.Plain.Order("id").Limit(backLines).Find(&right).Error)
		for id := 1; id <= backLines; id++ {
			var line backLine
			worldtest.Must(t, w.DB.First(&line, id).Error)
			lines = append(lines, line)
		}
		if fmt.Sprint(backTold(lines)) != fmt.Sprint(backTold(right)) {
			t.Errorf("memory has %v\nthe database has %v", backTold(lines), backTold(right))
		}
	})
}

func backTold(lines []backLine) (told []string) {
	for _, l := range lines {
		told = append(told, fmt.Sprint(l.ID, " ", l.OrderID, " ", l.Qty))
	}
	return told
}

// backReader is a way to read the quantity of a line that may be answered from memory. whole says
// that no more is known of its answer than the table.
type backReader struct {
	name  string
	whole bool
	read  func(id int) int
}

func backReaders(t *testing.T, w *worldtest.World) []backReader {
	prepared, err := preload.Prepare[backLine](w.DB, func(tx *gorm.DB) *gorm.DB { return tx.Where("id = ?", preload.Arg(0)) })
	worldtest.Must(t, err)
	tx := w.DB.Begin()
	t.Cleanup(func() { tx.Rollback() })
	readers := []backReader{
		{"First", false, func(id int) int { return backQty(t, w.DB, id) }},
		{"a prepared query", false, func(id int) int {
			lines, err := prepared.Find(t.Context(), id)
			worldtest.Must(t, err)
			return lines[0].Qty
		}},
		{"own data", true, func(id int) int {
			qty, err := preload.LoadWith(t.Context(), w.Plugin, fmt.Sprint("qty of ", id), func(context.Context) (int, error) {
				return backQty(t, w.DB.WithContext(preload.ContextWithBypass(t.Context())), id), nil
			}, preload.Tables("back_lines"))
			worldtest.Must(t, err)
			return qty
		}},
	}
	if w.Dialect == "postgres" {
		readers = append(readers, backReader{"in a transaction", false, func(id int) int { return backQty(t, tx, id) }})
	}
	return readers
}

// backGates has the upsert wait at its gate before it reaches the database, or after it has.
func backGates(w *worldtest.World, after bool) *txGate {
	gate := txNewGate()
	pass := func(c dbtest.Call) {
		if strings.HasPrefix(c.SQL, "INSERT") {
			gate.pass()
		}
	}
	if after {
		w.Probe.After(func(c dbtest.Call, err error) error { pass(c); return err })
	} else {
		w.Probe.Before(func(c dbtest.Call) error { pass(c); return nil })
	}
	return gate
}

// TestWhileAnUpsertRunsTheDatabaseAnswers: whoever reads a line of the table meanwhile has it from
// the database, and none of it is kept; afterwards the lines that the upsert left alone come from
// memory again, as they did before, and the other does not.
func TestWhileAnUpsertRunsTheDatabaseAnswers(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprint("after ", after), func(t *testing.T) {
			t.Parallel()
			backEach(t, func(t *testing.T, w *worldtest.World) {
				const touched, other, unread = 7, 8, 9
				readers := backReaders(t, w)
				for _, r := range readers {
					for range 2 {
						r.read(touched)
						r.read(other)
					}
					if n := w.Queries(func() { r.read(touched); r.read(other) }); n != 0 {
						t.Fatalf("%s: %d queries, want none", r.name, n)
					}
				}
				gate := backGates(w, after)
				done := make(chan error, 1)
				go func() { done <- backUpsert(w.DB, touched, 5) }()
				gate.wait(t)
				for _, r := range readers {
					for _, id := range []int{touched, other} {
						right, got := backQty(t, w.Plain, id), 0
						if n := w.Queries(func() { got = r.read(id) }); n != 1 || got != right {
							t.Errorf("%s of line %d meanwhile: %d by %d queries, want %d by one", r.name, id, got, n, right)
						}
					}
				}
				close(gate.open)
				worldtest.Must(t, <-done)
				for _, r := range readers {
					want := int64(0)
					if r.whole {
						want = 1
					}
					if n := w.Queries(func() { r.read(other) }); n != want {
						t.Errorf("%s of another line afterwards: %d queries, want %d", r.name, n, want)
					}
					if got := r.read(touched); got != 5 {
						t.Errorf("%s of the line afterwards: %d, want 5", r.name, got)
					}
				}
			}, preload.WithTransactionReads())
		})
	}
}

// TestALoadAcrossAnUpsert: readers who come while it runs do not wait for a load that began before,
// which may have read what was there before it; and the load is not kept.
func TestALoadAcrossAnUpsert(t *testing.T) {
	t.Parallel()
	backEach(t, func(t *testing.T, w *worldtest.World) {
		const touched = 7
		worldtest.Must(t, w.Plugin.Invalidate(&backLine{}))
		reading, upsert := txNewGate(), txNewGate()
		w.Probe.After(func(c dbtest.Call, err error) error {
			switch {
			case strings.HasPrefix(c.SQL, "SELECT"):
				reading.pass()
			case strings.HasPrefix(c.SQL, "INSERT"):
				upsert.pass()
			}
			return err
		})
		early, done := make(chan int, 1), make(chan error, 1)
		go func() { early <- backQty(t, w.DB, touched) }()
		reading.wait(t)
		go func() { done <- backUpsert(w.DB, touched, 5) }()
		upsert.wait(t)
		for range 2 {
			right, got := backQty(t, w.Plain, touched), 0
			if n := w.Queries(func() { got = backQty(t, w.DB, touched) }); n != 1 || got != right {
				t.Errorf("meanwhile: %d by %d queries, want %d by one", got, n, right)
			}
		}
		close(reading.open)
		<-early
		close(upsert.open)
		worldtest.Must(t, <-done)
		for range 2 {
			if got := backQty(t, w.DB, touched); got != 5 {
				t.Errorf("afterwards: %d, want 5", got)
			}
		}
	})
}

// TestAnUpsertThatFailsOnItsWayInvalidatesAll: it may have been done, and which rows it returned is
// not known.
func TestAnUpsertThatFailsOnItsWayInvalidatesAll(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{
		"an error": errors.New("the line is cut"), "a context": context.DeadlineExceeded, "a connection": driver.ErrBadConn,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backEach(t, func(t *testing.T, w *worldtest.World) {
				w.Probe.After(func(c dbtest.Call, err error) error {
					if strings.HasPrefix(c.SQL, "INSERT") {
						return failure
					}
					return err
				})
				if backUpsert(w.DB, 7, 5) == nil {
					t.Fatal("the upsert did not fail")
				}
				for range 2 {
					if n := backSurvivors(t, w); n != 0 {
						t.Errorf("%d answers survive, or are kept, want none", n)
					}
				}
			})
		})
	}
}

// TestAnUpsertThatTheDatabaseRefuses changes nothing that is in memory for long: the next read is
// kept.
func TestAnUpsertThatTheDatabaseRefuses(t *testing.T) {
	t.Parallel()
	backEach(t, func(t *testing.T, w *worldtest.World) {
		err := w.DB.Clauses(clause.OnConflict{
			Columns: []clause.Column{{Name: "code"}}, DoUpdates: clause.Assignments(map[string]any{"qty": gorm.Expr("no_such_column")}),
		}).Create(&backLine{OrderID: 1, Code: worldtest.Ptr("c7"), Qty: 5}).Error
		if err == nil {
			t.Fatal("the upsert did not fail")
		}
		if n := backSurvivors(t, w); n != 0 {
			t.Errorf("%d answers survive, want none", n)
		}
		if n := backSurvivors(t, w); n != backLines {
			t.Errorf("%d answers are kept again, want %d", n, backLines)
		}
	})
}
