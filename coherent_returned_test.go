package preload_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

type returnedOrder struct {
	_     struct{} `preload:""`
	ID    uint
	Name  string         `gorm:"size:20"`
	Lines []returnedLine `gorm:"foreignKey:OrderID"`
}

// returnedLine has two keys by which an insert may find it there.
type returnedLine struct {
	_       struct{} `preload:""`
	ID      uint
	OrderID uint
	Code    *string `gorm:"size:20;uniqueIndex"`
	Qty     int
}

const returnedOrders = 8

// returnedReads ask for lines by all that they are found by.
func returnedReads() (reads []worldtest.Named) {
	for n := range uint(returnedOrders) {
		reads = append(reads,
			worldtest.Named{Name: fmt.Sprintf("lines of %d", n), Query: func(db *gorm.DB) (any, *gorm.DB) {
				var lines []returnedLine
				return &lines, db.Where("order_id = ?", n).Order("id").Find(&lines)
			}},
			worldtest.Named{Name: fmt.Sprintf("lines %d and %d", n+1, n+3), Query: func(db *gorm.DB) (any, *gorm.DB) {
				var lines []returnedLine
				return &lines, db.Order("id").Find(&lines, []uint{n + 1, n + 3})
			}},
			worldtest.Named{Name: fmt.Sprintf("line %d", 3*n+1), Query: func(db *gorm.DB) (any, *gorm.DB) {
				var line returnedLine
				return &line, db.First(&line, 3*n+1)
			}},
			worldtest.Named{Name: fmt.Sprintf("line %d, which is new", 2*returnedOrders+1+n), Query: func(db *gorm.DB) (any, *gorm.DB) {
				var line returnedLine
				return &line, db.First(&line, 2*returnedOrders+1+n)
			}},
			worldtest.Named{Name: fmt.Sprintf("first of %d", n), Query: func(db *gorm.DB) (any, *gorm.DB) {
				var lines []returnedLine
				return &lines, db.Where("order_id = ?", n).Order("qty, id").Limit(2).Find(&lines)
			}},
			worldtest.Named{Name: fmt.Sprintf("line c%d", n), Query: func(db *gorm.DB) (any, *gorm.DB) {
				var line returnedLine
				return &line, db.Where("code = ?", fmt.Sprint("c", n)).Order("id").First(&line)
			}},
			worldtest.Named{Name: fmt.Sprintf("how many in %d", n), Query: func(db *gorm.DB) (any, *gorm.DB) {
				var count int64
				return &count, db.Model(&returnedLine{}).Where("order_id = ?", n).Count(&count)
			}},
			worldtest.Named{Name: fmt.Sprintf("order %d", n), Query: func(db *gorm.DB) (any, *gorm.DB) {
				var order returnedOrder
				return &order, db.Preload("Lines", func(db *gorm.DB) *gorm.DB { return db.Order("id") }).First(&order, n)
			}})
	}
	return reads
}

// returnedWrite draws a write that inserts lines, or updates those that are there.
func returnedWrite(r *rand.Rand, d *dbtest.Database) worldtest.Write {
	order, qty := uint(1+r.IntN(returnedOrders-1)), r.IntN(4)
	line := func(id uint) returnedLine {
		l := returnedLine{ID: id, OrderID: order, Qty: qty}
		if r.IntN(2) == 0 {
			l.Code = worldtest.Ptr(fmt.Sprint("c", r.IntN(returnedOrders)))
		}
		return l
	}
	id := func() uint { return uint(1 + r.IntN(3*returnedOrders)) }
	on := func(columns string, set ...string) clause.OnConflict {
		c := clause.OnConflict{DoUpdates: clause.AssignmentColumns(set)}
		for _, name := range strings.Fields(columns) {
			c.Columns = append(c.Columns, clause.Column{Name: name})
		}
		return c
	}
	lines := []returnedLine{line(0), line(0)}
	named := func(name string, do func(db *gorm.DB) error) worldtest.Write {
		return worldtest.Write{Name: fmt.Sprintf("%s %+v, order %d", name, lines, order), Do: do}
	}
	switch r.IntN(12) {
	case 0:
		return named("an order with new lines", func(db *gorm.DB) error {
			return db.Create(&returnedOrder{Lines: lines}).Error
		})
	case 1:
		lines = []returnedLine{line(id()), line(id())}
		return named("an order with lines that are there", func(db *gorm.DB) error {
			return db.Create(&returnedOrder{Lines: lines}).Error
		})
	case 2:
		lines = []returnedLine{line(id()), line(0)}
		return named("an order with lines some of which are there", func(db *gorm.DB) error {
			return db.Create(&returnedOrder{Lines: lines}).Error
		})
	case 3:
		return named("lines are appended", func(db *gorm.DB) error {
			return db.Model(&returnedOrder{ID: order}).Association("Lines").Append(lines)
		})
	case 4:
		lines = lines[:1]
		lines[0].ID = id()
		return named("a line is moved", func(db *gorm.DB) error {
			return db.Model(&returnedOrder{ID: order}).Association("Lines").Append(&lines[0])
		})
	case 5:
		return named("lines by their codes", func(db *gorm.DB) error {
			return db.Clauses(on("code", "order_id", "qty")).Create(&lines).Error
		})
	case 6:
		return named("lines by their codes, which get new keys", func(db *gorm.DB) error {
			lines[0].ID, lines[1].ID = 50+id(), 50+id()
			return db.Clauses(on("code", "id", "qty")).Create(&lines).Error
		})
	case 7:
		return named("lines by their codes, if they are few", func(db *gorm.DB) error {
			c := on("code", "order_id")
			if d.Dialect != "mysql" {
				c.Where = clause.Where{Exprs: []clause.Expression{clause.Lt{Column: clause.Column{Table: "returned_lines", Name: "qty"}, Value: 2}}}
			}
			return db.Clauses(c).Create(&lines).Error
		})
	case 8:
		return named("the same line twice", func(db *gorm.DB) error {
			twice := lines[0]
			twice.Code = nil
			return db.Clauses(on("id", "order_id")).Create([]*returnedLine{&twice, &twice}).Error
		})
	case 9:
		return named("lines of which some are left alone, one twice", func(db *gorm.DB) error {
			c := on("id", "order_id")
			if d.Dialect != "mysql" {
				c.Where = clause.Where{Exprs: []clause.Expression{clause.Lt{Column: clause.Column{Table: "returned_lines", Name: "qty"}, Value: 2}}}
			}
			twice, other := returnedLine{OrderID: order}, returnedLine{ID: id(), OrderID: order}
			return db.Clauses(c).Create([]*returnedLine{&twice, &twice, &other}).Error
		})
	case 10:
		return named("lines that are left alone", func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{DoNothing: true}).Create(&lines).Error
		})
	}
	return named("new lines", func(db *gorm.DB) error { return db.Create(&lines).Error })
}

// TestWhatACreateReturns: rows that an insert finds there are updated, whatever key it finds them by,
// and whatever becomes of the transaction.
func TestWhatACreateReturns(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		worldtest.Must(t, plain.AutoMigrate(&returnedOrder{}, &returnedLine{}))
		r := rand.New(rand.NewPCG(1, 2))
		for n := range returnedOrders {
			lines := []returnedLine{{Qty: n}, {Code: worldtest.Ptr(fmt.Sprint("c", n)), Qty: 1}}
			worldtest.Must(t, plain.Create(&returnedOrder{Lines: lines}).Error)
		}
		w := worldtest.Open(t, d, plain, nil, preload.WithNegativeTTL(preloadForever), preload.WithTTL(preloadForever))
		reads, hits, asked := returnedReads(), 0, 0
		compare := func(after string) {
			for _, q := range reads {
				var got worldtest.Answer
				if w.Queries(func() { got = q.Ask(w.DB) }) == 0 {
					hits++
				}
				asked++
				q.Ask(w.DB) // an answer that nobody asks for twice is not kept
				if want := q.Ask(plain); want.Differs(got) != "" {
					t.Fatalf("after %s: %s\n got %v\nwant %v", after, q.Name, got, want)
				}
			}
		}
		compare("nothing")
		for range returnedSteps {
			if d.Dialect == "postgres" && r.IntN(4) == 0 {
				// The sequence is behind, as after rows were brought in with their keys.
				worldtest.Must(t, plain.Exec("SELECT setval('returned_lines_id_seq', ?)", 1+r.IntN(20)).Error)
			}
			write, form := returnedWrite(r, d), r.IntN(6)
			var err error
			switch form {
			case 0:
				err = w.DB.Transaction(func(tx *gorm.DB) error { return errors.Join(write.Do(tx), errTx) })
			case 1:
				err = w.DB.Transaction(func(tx *gorm.DB) error {
					_ = tx.Transaction(func(tx *gorm.DB) error { return errors.Join(write.Do(tx), errTx) })
					return returnedWrite(r, d).Do(tx)
				})
			case 2:
				err = w.DB.Session(&gorm.Session{SkipDefaultTransaction: true}).Transaction(write.Do)
			case 3:
				err = write.Do(w.DB.Session(&gorm.Session{SkipDefaultTransaction: true}))
			default:
				err = write.Do(w.DB)
			}
			compare(fmt.Sprintf("%s (form %d): %v", write.Name, form, err))
		}
		t.Logf("%d of %d reads from memory", hits, asked)
		if 100*hits < returnedHits*asked {
			t.Errorf("%d of %d reads were answered from memory, want %d %%", hits, asked, returnedHits)
		}
	})
}

const (
	returnedSteps  = 120
	returnedHits   = 40 // percent, at least
	preloadForever = 1_000 * 3600 * 1_000_000_000
)

// TestAChildThatIsAppendedLeavesOthersAlone: other orders' lines stay in memory.
func TestAChildThatIsAppendedLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		worldtest.Must(t, plain.AutoMigrate(&returnedOrder{}, &returnedLine{}))
		for range 3 {
			worldtest.Must(t, plain.Create(&returnedOrder{Lines: []returnedLine{{Qty: 1}}}).Error)
		}
		w := worldtest.Open(t, d, plain, nil)
		lines := func(order int) int {
			var found []returnedLine
			worldtest.Must(t, w.DB.Where("order_id = ?", order).Find(&found).Error)
			return len(found)
		}
		lines(1)
		lines(2)
		for _, write := range []worldtest.Write{
			{Name: "Append", Do: func(db *gorm.DB) error {
				return db.Model(&returnedOrder{ID: 1}).Association("Lines").Append(&returnedLine{Qty: 5})
			}},
			{Name: "Create", Do: func(db *gorm.DB) error {
				return db.Create(&returnedOrder{Lines: []returnedLine{{Qty: 1}, {Qty: 2}}}).Error
			}},
			{Name: "Create in a transaction", Do: func(db *gorm.DB) error {
				return db.Transaction(func(tx *gorm.DB) error {
					return tx.Create(&returnedOrder{Lines: []returnedLine{{Qty: 1}, {Qty: 2}}}).Error
				})
			}},
		} {
			worldtest.Must(t, write.Do(w.DB))
			if n := w.Queries(func() { lines(2) }); n != 0 {
				t.Errorf("%s: the lines of another order are asked for again", write.Name)
			}
		}
		if n := lines(1); n != 2 {
			t.Errorf("%d lines, want 2", n)
		}
	})
}
