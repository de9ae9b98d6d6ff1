package preload_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

type readsShelf struct {
	_    struct{} `preload:""`
	ID   uint
	Name string      `gorm:"size:40"`
	All  []readsBook `gorm:"foreignKey:ShelfID;constraint:OnDelete:CASCADE"`
}

type readsBook struct {
	_       struct{} `preload:""`
	ID      uint
	ShelfID uint
	Title   string `gorm:"size:40"`
}

// readsOpen opens a world with two shelves of two books each, whose transactions memory may answer.
func readsOpen(t *testing.T, d *dbtest.Database, config *gorm.Config, options ...preload.Option) *worldtest.World {
	t.Helper()
	plain := d.Plain(t)
	worldtest.Must(t, plain.Migrator().DropTable(&readsBook{}, &readsShelf{}))
	worldtest.Must(t, plain.AutoMigrate(&readsShelf{}, &readsBook{}))
	worldtest.Must(t, plain.Create(&[]readsShelf{{ID: 1, Name: "a"}, {ID: 2, Name: "b"}}).Error)
	worldtest.Must(t, plain.Create(&[]readsBook{{ID: 1, ShelfID: 1, Title: "a"}, {ID: 2, ShelfID: 1, Title: "b"}, {ID: 3, ShelfID: 2, Title: "c"}, {ID: 4, ShelfID: 2, Title: "d"}}).Error)
	w := worldtest.Open(t, d, plain, config, append([]preload.Option{preload.WithTransactionReads()}, options...)...)
	pool, err := w.DB.DB()
	worldtest.Must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	worldtest.Must(t, w.Plugin.Register(&readsShelf{}, &readsBook{}))
	return w
}

// readsObserved says that a transaction is known from its first statement on.
var readsObserved = os.Getenv(dbtest.ObservedEnv) != ""

// readsBegin begins a transaction in which each statement sees what is committed; nil where there
// is none.
func readsBegin(t *testing.T, w *worldtest.World) *gorm.DB {
	t.Helper()
	var opts []*sql.TxOptions
	if w.Dialect == "mysql" {
		opts = append(opts, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	}
	tx := w.DB.Begin(opts...)
	worldtest.Must(t, tx.Error)
	t.Cleanup(func() { tx.Rollback() })
	if w.Dialect == "sqlite" {
		tx = tx.WithContext(preload.ContextWithTransactionReads(context.Background()))
	}
	return tx
}

// readsTitle asks for the title of a book, and for how many queries reached the database for it.
func readsTitle(t *testing.T, w *worldtest.World, db *gorm.DB, id int) (title string, asked int64) {
	t.Helper()
	asked = w.Queries(func() {
		var book readsBook
		worldtest.Must(t, db.Session(&gorm.Session{}).Take(&book, id).Error)
		title = book.Title
	})
	return title, asked
}

// readsWant checks that.
func readsWant(t *testing.T, w *worldtest.World, db *gorm.DB, when string, id int, title string, asked int64) {
	t.Helper()
	if got, n := readsTitle(t, w, db, id); got != title || n != asked {
		t.Errorf("%s: book %d is %q after %d queries, want %q after %d (%v)", when, id, got, n, title, asked, w.Plugin.Stats().BypassReasons)
	}
}

// In a transaction that sees what is committed, memory answers what the transaction did not write.
func TestTransactionsReadFromMemory(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		for name, config := range map[string]*gorm.Config{"as it is": {}, "prepared": {PrepareStmt: true}} {
			t.Run(name, func(t *testing.T) {
				w := readsOpen(t, d, config)
				readsTitle(t, w, w.DB, 1)
				readsTitle(t, w, w.DB, 3)
				tx := readsBegin(t, w)
				if readsObserved {
					readsTitle(t, w, tx, 1) // the connection tells which transaction it is
				}
				readsWant(t, w, tx, "nothing written", 1, "a", 0)
				worldtest.Must(t, tx.Model(&readsBook{}).Where("id = ?", 1).Update("title", "mine").Error)
				readsWant(t, w, tx, "written", 1, "mine", 1)
				readsWant(t, w, tx, "written", 1, "mine", 1)
				readsWant(t, w, tx, "another written", 3, "c", 0)
				worldtest.Must(t, tx.SavePoint("s").Error)
				worldtest.Must(t, tx.Model(&readsBook{}).Where("id = ?", 3).Update("title", "too").Error)
				readsWant(t, w, tx, "written after a savepoint", 3, "too", 1)
				worldtest.Must(t, tx.RollbackTo("s").Error)
				readsWant(t, w, tx, "rolled back to the savepoint", 3, "c", 0)
				readsWant(t, w, tx, "rolled back to the savepoint", 1, "mine", 1)
				worldtest.Must(t, tx.Delete(&readsShelf{ID: 2}).Error) // its books go with it
				if err := tx.Take(&readsBook{}, 3).Error; !errors.Is(err, gorm.ErrRecordNotFound) {
					t.Errorf("after the shelf was deleted: %v, want none", err)
				}
				worldtest.Must(t, tx.Rollback().Error)
				if err := tx.Take(&readsBook{}, 3).Error; !errors.Is(err, sql.ErrTxDone) {
					t.Errorf("after the transaction: %v, want %v", err, sql.ErrTxDone)
				}
				readsWant(t, w, w.DB, "after all", 1, "a", 0)
				readsWant(t, w, w.DB, "after all", 3, "c", 0)
			})
		}
	})
}

// readsLike is the isolation of a transaction, and whether memory answers reads in it.
type readsLike struct {
	name, dialect string // of which database; "" of PostgreSQL and MySQL
	opts          *sql.TxOptions
	before, in    []string // statements outside of the transaction, and its first
	word          bool
	served        bool
}

// Which transactions memory answers reads in: those that see what is committed, by what the server
// says, by how they were begun and by what they were told; and those of which the application says
// so.
func TestIsolationDecidesWhatMemoryAnswers(t *testing.T) {
	t.Parallel()
	for _, dialect := range []func(testing.TB) *dbtest.Database{dbtest.Postgres, dbtest.MySQL, dbtest.SQLite} {
		d := dialect(t)
		for _, c := range []readsLike{
			{name: "default", dialect: "postgres", served: true},
			{name: "default", dialect: "mysql"},
			{name: "default", dialect: "sqlite"},
			{name: "read committed in name", dialect: "sqlite", opts: &sql.TxOptions{Isolation: sql.LevelReadCommitted}},
			{name: "default, by word", word: true, served: true},
			{name: "read committed", opts: &sql.TxOptions{Isolation: sql.LevelReadCommitted}, served: true},
			{name: "read only", dialect: "postgres", opts: &sql.TxOptions{ReadOnly: true}, served: true},
			{name: "read uncommitted", dialect: "postgres", opts: &sql.TxOptions{Isolation: sql.LevelReadUncommitted}, served: true},
			{name: "read uncommitted", dialect: "mysql", opts: &sql.TxOptions{Isolation: sql.LevelReadUncommitted}},
			{name: "repeatable read", opts: &sql.TxOptions{Isolation: sql.LevelRepeatableRead}},
			{name: "serializable", opts: &sql.TxOptions{Isolation: sql.LevelSerializable}},
			{name: "repeatable read, by word", opts: &sql.TxOptions{Isolation: sql.LevelRepeatableRead}, word: true, served: true},
			{name: "set in the transaction", dialect: "postgres", in: []string{"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"}},
			{name: "set back in the transaction", dialect: "postgres", opts: &sql.TxOptions{Isolation: sql.LevelSerializable}, in: []string{"SET TRANSACTION ISOLATION LEVEL READ COMMITTED"}, served: true},
			{name: "set as a setting", dialect: "postgres", in: []string{"SET LOCAL transaction_isolation = 'serializable'"}},
			{name: "set for the session", dialect: "postgres", before: []string{"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"}},
			{name: "set for the session as a setting", dialect: "postgres", before: []string{"SELECT set_config('default_transaction_isolation', 'serializable', false)"}},
			{name: "set for the session, but said", dialect: "postgres", before: []string{"SET default_transaction_isolation = 'serializable'"}, opts: &sql.TxOptions{Isolation: sql.LevelReadCommitted}, served: true},
			{name: "set for the session, by word", dialect: "postgres", before: []string{"SET default_transaction_isolation = 'serializable'"}, word: true, served: true},
			{name: "locked", in: []string{"SELECT * FROM reads_shelves WHERE id = 2 FOR UPDATE"}, opts: &sql.TxOptions{Isolation: sql.LevelReadCommitted}},
			{name: "locked by an advisory lock", dialect: "postgres", in: []string{"SELECT pg_advisory_xact_lock(77)"}},
			{name: "locked by an advisory lock", dialect: "mysql", in: []string{"SELECT get_lock('reads', 1)"}, opts: &sql.TxOptions{Isolation: sql.LevelReadCommitted}},
			{name: "locked by a table", dialect: "postgres", in: []string{"LOCK TABLE reads_shelves IN SHARE MODE"}, word: true},
			{name: "a setting of its own", dialect: "postgres", in: []string{"SELECT set_config('app.tenant', 'x', true)"}},
			{name: "a setting of its own, by SET", dialect: "postgres", in: []string{"SET LOCAL app.tenant = 'x'"}, word: true},
			{name: "a setting that no read depends on", dialect: "postgres", in: []string{"SET LOCAL statement_timeout = 5000"}, served: true},
			{name: "a failed statement", dialect: "postgres", in: []string{"SELECT 1/0"}},
			{name: "a write of anything", dialect: "postgres", in: []string{"DO 'BEGIN END'"}, word: true},
		} {
			if c.dialect != d.Dialect && (c.dialect != "" || d.Dialect == "sqlite") {
				continue
			}
			t.Run(d.Dialect+"/"+c.name, func(t *testing.T) { readsIsolation(t, d, c) })
		}
	}
}

func readsIsolation(t *testing.T, d *dbtest.Database, c readsLike) {
	w := readsOpen(t, d, nil)
	readsTitle(t, w, w.DB, 1)
	for _, statement := range c.before {
		worldtest.Must(t, w.DB.Exec(statement).Error)
	}
	readsTitle(t, w, w.DB, 1)
	var opts []*sql.TxOptions
	if c.opts != nil {
		opts = append(opts, c.opts)
	}
	tx := w.DB.Begin(opts...)
	worldtest.Must(t, tx.Error)
	defer tx.Rollback()
	ctx := context.Background()
	if c.word {
		ctx = preload.ContextWithTransactionReads(ctx)
	}
	tx = tx.WithContext(ctx)
	failed := false
	for _, statement := range c.in {
		var all []map[string]any
		failed = tx.Raw(statement).Scan(&all).Error != nil || failed
	}
	if readsObserved && !failed {
		readsTitle(t, w, tx, 2)
	}
	if failed {
		if err := tx.Session(&gorm.Session{}).Take(&readsBook{}, 1).Error; err == nil {
			t.Error("a read in a transaction that has failed did not")
		}
		return
	}
	want := int64(1)
	if c.served {
		want = 0
	}
	readsWant(t, w, tx, c.name, 1, "a", want)
	readsWant(t, w, tx.Session(&gorm.Session{}).Clauses(preload.Bypass), "asked of the database", 1, "a", 1)

	// What the database answered is kept where the transaction saw what is committed.
	kept := c.served && (!c.word || c.opts == nil && c.before == nil && d.Dialect == "postgres")
	_, asked := readsTitle(t, w, tx, 4)
	_, again := readsTitle(t, w, tx, 4)
	if want := int64(1); asked != 1 || kept && again != 0 || !kept && again != want {
		t.Errorf("%d and %d queries for an answer that was not in memory: kept should be %t", asked, again, kept)
	}
	worldtest.Must(t, tx.Rollback().Error)
	if _, outside := readsTitle(t, w, w.DB, 4); (outside == 0) != kept {
		t.Errorf("%d queries outside for what a transaction had read: kept should be %t", outside, kept)
	}
}

// A lock that GORM builds counts as well as one of raw SQL.
func TestReadsAfterALockAreOfTheDatabase(t *testing.T) {
	t.Parallel()
	for _, open := range []func(testing.TB) *dbtest.Database{dbtest.Postgres, dbtest.MySQL} {
		d := open(t)
		for _, strength := range []string{"UPDATE", "SHARE"} {
			t.Run(d.Dialect+"/"+strength, func(t *testing.T) {
				w := readsOpen(t, d, nil)
				readsTitle(t, w, w.DB, 1)
				tx := readsBegin(t, w)
				readsTitle(t, w, tx, 1)
				readsWant(t, w, tx, "before the lock", 1, "a", 0)
				options := clause.Locking{Strength: strength}
				if d.Dialect == "mysql" && strength == "SHARE" {
					worldtest.Must(t, tx.Raw("SELECT * FROM reads_shelves LOCK IN SHARE MODE").Scan(&[]readsShelf{}).Error)
				} else {
					worldtest.Must(t, tx.Clauses(options).Take(&readsShelf{}, 2).Error)
				}
				readsWant(t, w, tx, "after the lock", 1, "a", 1)
			})
		}
	}
}

// With WithPartition keys tell who asks, and a setting of the transaction keeps nothing out.
func TestSettingsOfATransactionGoWithThePartition(t *testing.T) {
	t.Parallel()
	type tenant struct{}
	w := readsOpen(t, dbtest.Postgres(t), nil, preload.WithPartition(func(ctx context.Context) string {
		who, _ := ctx.Value(tenant{}).(string)
		return who
	}))
	ctx := context.WithValue(context.Background(), tenant{}, "x")
	readsTitle(t, w, w.DB.WithContext(ctx), 1)
	tx := readsBegin(t, w).WithContext(ctx)
	readsTitle(t, w, tx, 3)
	worldtest.Must(t, tx.Exec("SELECT set_config('app.tenant', 'x', true)").Error)
	readsWant(t, w, tx, "with a setting", 1, "a", 0)
	readsWant(t, w, tx.WithContext(context.Background()), "of another", 1, "a", 1)
	readsWant(t, w, tx, "not in memory", 2, "b", 1)
	readsWant(t, w, tx, "kept", 2, "b", 0)
	worldtest.Must(t, tx.Exec("SELECT set_config(?, 'serializable', true)", "application_name").Error)
	readsWant(t, w, tx, "with a setting whose name is not in the text", 1, "a", 1)
}

// Without the option, transactions read the database, whatever the context says.
func TestTransactionsReadTheDatabaseUnlessAskedOtherwise(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		first := readsOpen(t, d, nil)
		w := worldtest.Open(t, d, first.Plain, nil)
		readsTitle(t, w, w.DB, 1)
		tx := w.DB.Begin(&sql.TxOptions{}).WithContext(preload.ContextWithTransactionReads(context.Background()))
		defer tx.Rollback()
		readsWant(t, w, tx, "without the option", 1, "a", 1)
		readsWant(t, w, tx, "without the option", 1, "a", 1)
	})
}

// Another writer that commits while the transaction is open is seen by its next read, and what it
// had read of before is not kept.
func TestTransactionsSeeWhatOthersCommit(t *testing.T) {
	t.Parallel()
	for _, open := range []func(testing.TB) *dbtest.Database{dbtest.Postgres, dbtest.MySQL} {
		w := readsOpen(t, open(t), nil)
		readsTitle(t, w, w.DB, 1)
		tx := readsBegin(t, w)
		readsTitle(t, w, tx, 1)
		readsWant(t, w, tx, "before", 1, "a", 0)
		worldtest.Must(t, w.DB.Model(&readsBook{}).Where("id = ?", 1).Update("title", "theirs").Error)
		readsWant(t, w, tx, "after another's commit", 1, "theirs", 1)
		readsWant(t, w, tx, "kept", 1, "theirs", 0)
		readsWant(t, w, w.DB, "kept for all", 1, "theirs", 0)

		other := readsBegin(t, w)
		worldtest.Must(t, other.Model(&readsBook{}).Where("id = ?", 1).Update("title", "more").Error)
		readsWant(t, w, tx, "not committed", 1, "theirs", 0)
		worldtest.Must(t, other.Commit().Error)
		readsWant(t, w, tx, "committed", 1, "more", 1)
	}
}

// While the application reads rows of the transaction the database answers, as some drivers answer
// nothing else meanwhile; and a row that fails has failed the transaction.
func TestOpenRowsOfATransaction(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		w := readsOpen(t, d, nil)
		readsTitle(t, w, w.DB, 1)
		beside := func(db *gorm.DB) error {
			tx := db.Begin()
			defer tx.Rollback()
			rows, err := tx.Raw("SELECT id FROM reads_books").Rows()
			worldtest.Must(t, err)
			defer rows.Close()
			rows.Next()
			return tx.WithContext(preload.ContextWithTransactionReads(context.Background())).Take(&readsBook{}, 1).Error
		}
		if got, want := beside(w.DB), beside(w.Plain); (got == nil) != (want == nil) {
			t.Errorf("beside open rows: %v, want %v", got, want)
		}
		tx := readsBegin(t, w)
		readsTitle(t, w, tx, 2)
		rows, err := tx.Raw("SELECT id FROM reads_books").Rows()
		worldtest.Must(t, err)
		rows.Next()
		worldtest.Must(t, rows.Close())
		readsWant(t, w, tx, "when they are closed", 1, "a", 0)
		worldtest.Must(t, tx.Raw("SELECT id FROM reads_books").Scan(&[]uint{}).Error)
		readsWant(t, w, tx, "after Scan", 1, "a", 0)
		var id uint
		row := tx.Raw("SELECT id FROM reads_books WHERE id = 2").Row()
		worldtest.Must(t, row.Scan(&id))
		readsWant(t, w, tx, "after Row", 1, "a", 0)
	})
}

// The context with which a transaction was begun ends it, and a read after that has the error that
// it has without the plugin.
func TestATransactionWhoseContextEndedAnswersNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		w := readsOpen(t, d, nil)
		readsTitle(t, w, w.DB, 1)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		tx := w.DB.WithContext(ctx).Begin(&sql.TxOptions{})
		worldtest.Must(t, tx.Error)
		readsTitle(t, w, tx, 1)
		cancel()
		tx = tx.WithContext(preload.ContextWithTransactionReads(context.Background()))
		var err error
		if n := w.Queries(func() { err = tx.Take(&readsBook{}, 1).Error }); n == 0 && err == nil {
			t.Error("memory answered in a transaction that its context has ended")
		}
	})
}

// Associations that are preloaded, nested transactions and the hooks of writes read in their
// transaction.
func TestNestedTransactionsReadFromMemory(t *testing.T) {
	t.Parallel()
	w := readsOpen(t, dbtest.Postgres(t), &gorm.Config{PrepareStmt: true})
	shelf := func(db *gorm.DB) (s readsShelf) {
		worldtest.Must(t, db.Preload("All").Take(&s, 1).Error)
		return s
	}
	shelf(w.DB)
	worldtest.Must(t, w.DB.Transaction(func(tx *gorm.DB) error {
		readsTitle(t, w, tx, 4)
		if n := w.Queries(func() { shelf(tx) }); n != 0 {
			t.Errorf("%d queries in a transaction", n)
		}
		failed := errors.New("back")
		err := tx.Transaction(func(inner *gorm.DB) error {
			worldtest.Must(t, inner.Create(&readsBook{ID: 9, ShelfID: 1, Title: "e"}).Error)
			if got := shelf(inner); len(got.All) != 3 {
				t.Errorf("the transaction does not see what it wrote: %v", got)
			}
			return failed
		})
		if !errors.Is(err, failed) {
			t.Errorf("nested: %v", err)
		}
		if n := w.Queries(func() {
			if got := shelf(tx); len(got.All) != 2 {
				t.Errorf("after the nested one was taken back: %v", got)
			}
		}); n != 0 {
			t.Errorf("%d queries after the nested one was taken back", n)
		}
		return nil
	}))
	if got := w.Plugin.Stats().BypassReasons[preload.ReasonOwnWrites]; got == 0 {
		t.Errorf("nothing counted for %q: %v", preload.ReasonOwnWrites, w.Plugin.Stats().BypassReasons)
	}
}

// A reader in a transaction neither waits for the load of another one, nor has others wait for its
// own: the other could wait for the connection that the transaction has.
func TestReadsInTransactionsShareNoLoad(t *testing.T) {
	t.Parallel()
	d := dbtest.Postgres(t)
	w := readsOpen(t, d, nil)
	pool, err := w.DB.DB()
	worldtest.Must(t, err)
	pool.SetMaxOpenConns(2)
	tx := readsBegin(t, w)
	readsTitle(t, w, tx, 4)
	for _, leader := range []*gorm.DB{w.DB, tx} {
		worldtest.Must(t, w.Plugin.Invalidate())
		gate := w.Gate(func(dbtest.Call) bool { return true })
		done := make(chan error, 2)
		ask := func(db *gorm.DB) {
			go func() { done <- db.Session(&gorm.Session{}).Take(&readsBook{}, 1).Error }()
			<-gate.Arrived
		}
		other := tx
		if leader == tx {
			other = w.DB
		}
		ask(leader)
		ask(other) // it arrives at the database, though the first has not been answered
		gate.Release()
		worldtest.Must(t, errors.Join(<-done, <-done))
		w.Probe.Before(nil)
	}
}
