package preload_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"pgregory.net/rapid"
)

// readsRun is a transaction beside another writer: each writes shelves of its own, so that neither
// waits for the other.
type readsRun struct {
	*rapid.T
	*worldtest.World
	tx      *gorm.DB
	sees    bool // each statement sees what is committed
	word    bool // the application takes each answer for one of its own moment
	over    bool // ended
	broken  bool // a statement failed
	points  int  // savepoints
	serial  uint // of new books
	history []string
	asked   []readsQuery // what is asked again and again

	reads, served *int
}

type readsQuery struct {
	name string
	ask  func(db *gorm.DB) ([]string, error)
}

func (x *readsRun) note(format string, args ...any) {
	x.history = append(x.history, fmt.Sprintf(format, args...))
}

// query draws one of some queries.
func (x *readsRun) query() readsQuery {
	n, kind := rapid.IntRange(1, 4).Draw(x.T, "n"), rapid.IntRange(0, 6).Draw(x.T, "query")
	books := func(db *gorm.DB) ([]string, error) {
		var all []readsBook
		err := db.Order("id").Find(&all).Error
		names := make([]string, len(all))
		for i, b := range all {
			names[i] = fmt.Sprint(b.ID, b.ShelfID, b.Title)
		}
		return names, err
	}
	return readsQuery{fmt.Sprint("query ", kind, " of ", n), func(db *gorm.DB) (got []string, err error) {
		db = db.Session(&gorm.Session{})
		switch kind {
		case 0:
			return books(db.Where("shelf_id = ?", n))
		case 1:
			return books(db.Where("id = ?", n))
		case 2:
			return books(db.Where("title = ?", fmt.Sprint("t", n)))
		case 3:
			return books(db.Where("shelf_id IN ?", []int{n, 5 - n}).Limit(3))
		case 4:
			var count int64
			err = db.Model(&readsBook{}).Where("shelf_id = ?", n).Count(&count).Error
			return []string{fmt.Sprint(count)}, err
		case 5:
			var shelf readsShelf
			err = db.Preload("All", func(db *gorm.DB) *gorm.DB { return db.Order("id") }).First(&shelf, n).Error
			return []string{fmt.Sprint(shelf)}, err
		}
		err = db.Table("reads_books").Joins("JOIN reads_shelves ON reads_shelves.id = reads_books.shelf_id").
			Where("reads_shelves.name = ?", fmt.Sprint("s", n)).Order("reads_books.id").Pluck("reads_books.title", &got).Error
		return got, err
	}}
}

// write writes to the shelf of one of the two writers.
func (x *readsRun) write(db *gorm.DB, who string, shelf int) error {
	n, kind := rapid.IntRange(1, 4).Draw(x.T, "value"), rapid.IntRange(0, 5).Draw(x.T, "write")
	db = db.Session(&gorm.Session{})
	x.serial++
	var err error
	switch kind {
	case 0:
		err = db.Model(&readsBook{}).Where("id = ?", shelf).Update("title", fmt.Sprint("t", n)).Error
	case 1:
		err = db.Create(&readsBook{ID: 100 + x.serial, ShelfID: uint(shelf), Title: fmt.Sprint("t", n)}).Error
	case 2:
		err = db.Delete(&readsBook{}, shelf).Error
	case 3:
		err = db.Model(&readsShelf{ID: uint(shelf)}).Update("name", fmt.Sprint("s", n)).Error
	case 4:
		err = db.Save(&readsBook{ID: uint(shelf), ShelfID: uint(shelf), Title: "saved"}).Error
	case 5:
		err = db.Exec("UPDATE reads_books SET title = ? WHERE id = ?", fmt.Sprint("t", n), shelf).Error
	}
	x.note("%s: write %d to %d with %d: %v", who, kind, shelf, n, err)
	return err
}

// compare asks in the transaction and outside of it.
func (x *readsRun) compare() {
	q := x.asked[rapid.IntRange(0, len(x.asked)-1).Draw(x.T, "asked")]
	name, ask := q.name, q.ask
	before := x.Probe.Queries()
	got, err := ask(x.tx)
	*x.reads++
	if x.Probe.Queries() == before && (err == nil || errors.Is(err, gorm.ErrRecordNotFound)) {
		*x.served++
		if x.over || x.broken {
			x.Fatalf("%s was answered from memory though the transaction has failed or is over\nafter\n%s", name, strings.Join(x.history, "\n"))
		}
	}
	want, wantErr := ask(x.tx.Session(&gorm.Session{}).Clauses(preload.Bypass))
	if failed := err != nil && !errors.Is(err, gorm.ErrRecordNotFound); failed && x.Dialect == "postgres" {
		x.broken = true
	}
	same := slices.Equal(got, want) && (err == nil) == (wantErr == nil)
	if !same && x.word && !x.sees && strings.HasPrefix(name, "query 5") {
		return // two queries, each of its own moment
	}
	if !same && x.word && !x.sees {
		outside, outsideErr := ask(x.Plain)
		same = slices.Equal(got, outside) && (err == nil) == (outsideErr == nil)
	}
	if !same {
		x.Fatalf("%s in the transaction:\n got %v, %v\nwant %v, %v\nafter\n%s", name, got, err, want, wantErr, strings.Join(x.history, "\n"))
	}
	got, err = ask(x.DB)
	if want, wantErr := ask(x.Plain); !slices.Equal(got, want) || (err == nil) != (wantErr == nil) {
		x.Fatalf("%s outside:\n got %v, %v\nwant %v, %v\nafter\n%s", name, got, err, want, wantErr, strings.Join(x.history, "\n"))
	}
}

func (x *readsRun) step() {
	switch kind := rapid.IntRange(0, 11).Draw(x.T, "step"); {
	case kind < 3 && !x.over && !x.broken:
		err := x.write(x.tx, "transaction", rapid.IntRange(1, 2).Draw(x.T, "shelf"))
		x.broken = x.broken || err != nil && x.Dialect == "postgres"
	case kind < 6 && x.Dialect != "sqlite":
		_ = x.write(x.DB, "other", rapid.IntRange(3, 4).Draw(x.T, "shelf"))
	case kind == 6 && !x.over && !x.broken:
		x.points++
		x.note("savepoint %d: %v", x.points, x.tx.SavePoint(fmt.Sprint("p", x.points)).Error)
	case kind == 7 && x.points > 0 && !x.over:
		err := x.tx.RollbackTo(fmt.Sprint("p", x.points)).Error
		x.note("rollback to %d: %v", x.points, err)
	case kind == 8 && !x.over && !x.broken:
		err := x.tx.Session(&gorm.Session{}).Create(&readsShelf{ID: 1, Name: "twice"}).Error
		x.note("a write that fails: %v", err)
		x.broken = err != nil
	case kind == 9 && !x.over:
		x.over = true
		if rapid.Bool().Draw(x.T, "commit") {
			x.note("commit: %v", x.tx.Commit().Error)
		} else {
			x.note("rollback: %v", x.tx.Rollback().Error)
		}
	}
	x.compare()
}

// Whatever a transaction reads and writes, and whatever another writer commits meanwhile: it reads
// what it would read of the database, in any isolation, with failed statements, savepoints and
// after its end.
func TestDifferentialBesideAnotherWriter(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		deadline := time.Now().Add(worldtest.Budget(t, 3*time.Second))
		reads, served, cases := 0, 0, 0
		w := readsOpen(t, d, nil, preload.WithTTL(24*time.Hour))
		prepared := readsOpen(t, d, &gorm.Config{PrepareStmt: true}, preload.WithTTL(24*time.Hour))
		property := func(rt *rapid.T) {
			if time.Now().After(deadline) && !t.Failed() && cases > 0 {
				return
			}
			cases++
			x := &readsRun{T: rt, World: w, reads: &reads, served: &served}
			if rapid.Bool().Draw(rt, "prepare") {
				x.World = prepared
			}
			worldtest.Must(t, x.Plain.Exec("DELETE FROM reads_books").Error)
			worldtest.Must(t, x.Plain.Exec("DELETE FROM reads_shelves").Error)
			for i := range uint(4) {
				worldtest.Must(t, x.Plain.Create(&readsShelf{ID: i + 1, Name: fmt.Sprint("s", i+1), All: []readsBook{{ID: i + 1, Title: fmt.Sprint("t", i+1)}}}).Error)
			}
			worldtest.Must(t, x.Plugin.Invalidate())
			opts := &sql.TxOptions{}
			level := rapid.IntRange(0, 3).Draw(rt, "isolation")
			if d.Dialect != "sqlite" {
				opts.Isolation = []sql.IsolationLevel{sql.LevelDefault, sql.LevelReadCommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead}[level]
			}
			x.sees = opts.Isolation == sql.LevelReadCommitted || opts.Isolation == sql.LevelDefault && d.Dialect == "postgres"
			x.word = rapid.IntRange(0, 2).Draw(rt, "word") == 0
			x.tx = x.DB.Begin(opts)
			worldtest.Must(t, x.tx.Error)
			defer func() { x.tx.Rollback() }()
			if x.word {
				x.tx = x.tx.WithContext(preload.ContextWithTransactionReads(context.Background()))
			}
			x.note("isolation %v, word %t", opts.Isolation, x.word)
			for range 4 {
				q := x.query()
				x.asked = append(x.asked, q)
				_, _ = q.ask(x.DB)
			}
			for range rapid.IntRange(1, 20).Draw(rt, "steps") {
				x.step()
			}
		}
		for time.Now().Before(deadline) && !t.Failed() {
			rapid.Check(t, property)
		}
		t.Logf("%d cases, %d reads in transactions of which %d from memory", cases, reads, served)
		if reads > 500 && served < reads/20 {
			t.Errorf("%d of %d reads in transactions were answered from memory", served, reads)
		}
	})
}
