package preload_test

import (
	"database/sql"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// stoppingStore stops the first deletion of an answer after it was armed: whoever announces a
// change is then in the midst of it.
type stoppingStore struct {
	preload.Store
	gate chan *txGate
}

func (s *stoppingStore) Delete(key string) {
	select {
	case gate := <-s.gate:
		gate.pass()
	default:
	}
	s.Store.Delete(key)
}

// A write that runs while another goroutine commits its transaction may be inside that commit. The
// commit is stopped when it has noted what it makes visible and has not begun in the database.
func TestAWriteDuringTheCommitOfItsTransactionLeavesNoStaleAnswer(t *testing.T) {
	t.Parallel()
	if os.Getenv(dbtest.ObservedEnv) != "" {
		t.Skip("a transaction of database/sql lets no write in once its commit has begun")
	}
	for form, write := range map[string]func(tx *gorm.DB) error{
		"update": func(tx *gorm.DB) error { return txAge(tx, 1, 41) },
		"Exec":   func(tx *gorm.DB) error { return tx.Exec("UPDATE write_users SET age = 41 WHERE id = 1").Error },
		"in a savepoint": func(tx *gorm.DB) error {
			return tx.Transaction(func(tx *gorm.DB) error { return txAge(tx, 1, 41) })
		},
	} {
		for name, session := range map[string]*gorm.Session{"": {}, ", prepared": {PrepareStmt: true}} {
			t.Run(form+name, func(t *testing.T) {
				t.Parallel()
				dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
					// The write waits for the stopped deletion where two keys share a lock, which
					// is drawn anew each time.
					for tries := 1; !writeDuringCommit(t, d, session, write); tries++ {
						if tries == 100 {
							t.Fatal("the write never ran during the commit")
						}
					}
				})
			})
		}
	}
}

var errWaits = errors.New("the write waits for the stopped deletion")

// writeDuringCommit reports false where the write could not run during the commit.
func writeDuringCommit(t *testing.T, d *dbtest.Database, session *gorm.Session, write func(tx *gorm.DB) error) bool {
	t.Helper()
	stop := &stoppingStore{preload.NewStore(), make(chan *txGate, 1)}
	w := writeSetup(t, d, nil, preload.WithStore(stop), preload.WithStoreWait(time.Minute))
	txAgeOf(t, w.DB)
	w.DB.Find(&[]worldtest.WriteTag{})
	tx := w.DB.Session(session).Begin()
	if err := tx.Model(&worldtest.WriteTag{ID: 1}).Update("name", "x").Error; err != nil {
		t.Fatal(err)
	}
	gate := txNewGate()
	stop.gate <- gate
	committed := make(chan error, 1)
	go func() { committed <- tx.Commit().Error }()
	gate.wait(t)
	wrote := make(chan error, 1)
	go func() { wrote <- write(tx.Session(&gorm.Session{Context: t.Context()})) }()
	var err error
	select {
	case err = <-wrote:
	case <-time.After(2 * time.Second):
		err = errWaits
	}
	if errors.Is(err, sql.ErrTxDone) || errors.Is(err, errWaits) {
		close(gate.open)
		<-committed
		if errors.Is(err, errWaits) {
			<-wrote
		}
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	if age := txAgeOf(t, w.DB); age != 10 {
		t.Errorf("before the commit: %d, want 10", age)
	}
	close(gate.open)
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if age := txAgeOf(t, w.DB); age != 41 {
			t.Errorf("after both returned: %d, want 41", age)
		}
	}
	before := w.Probe.Queries()
	if txAgeOf(t, w.DB); w.Probe.Queries() != before {
		t.Errorf("the answer is not kept again although the commit has ended")
	}
	return true
}

// Two goroutines commit one transaction, write in it and roll it back at once: whatever comes of
// it, no answer is stale then.
func TestManyGoroutinesInOneTransactionLeaveNoStaleAnswer(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]func(tx *gorm.DB) error{
		"two commits":       func(tx *gorm.DB) error { return tx.Commit().Error },
		"rollback":          func(tx *gorm.DB) error { return tx.Rollback().Error },
		"savepoint":         func(tx *gorm.DB) error { return tx.SavePoint("s").Error },
		"rollback to it":    func(tx *gorm.DB) error { return tx.RollbackTo("s").Error },
		"another statement": func(tx *gorm.DB) error { return txAge(tx, 2, 3) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			writeEach(t, func(t *testing.T, w *worldtest.World) {
				for i := range 10 {
					txAgeOf(t, w.DB)
					tx := w.DB.Session(&gorm.Session{PrepareStmt: i%2 == 0}).Begin()
					if err := tx.SavePoint("s").Error; err != nil {
						t.Fatal(err)
					}
					ended := make(chan error, 3)
					for _, do := range []func(tx *gorm.DB) error{
						func(tx *gorm.DB) error { return txAge(tx, 1, 100+i) },
						second,
						func(tx *gorm.DB) error { return tx.Commit().Error },
					} {
						// GORM writes to the statement of a handle when it sets savepoints, so that
						// each has its own.
						handle := tx.Session(&gorm.Session{Context: t.Context()})
						go func() { ended <- do(handle) }()
					}
					_ = errors.Join(<-ended, <-ended, <-ended)
					tx.Rollback()
					var want worldtest.WriteUser
					if err := w.Plain.First(&want, 1).Error; err != nil {
						t.Fatal(err)
					}
					for range 2 {
						if age := txAgeOf(t, w.DB); age != want.Age {
							t.Fatalf("round %d: %d, want %d", i, age, want.Age)
						}
					}
					w.Clock.Advance(2 * time.Minute)
				}
			})
		})
	}
}
