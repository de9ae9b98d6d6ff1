package gormprivate_test

import (
	"reflect"
	"testing"

	"github.com/gorm-preload/preload/internal/gormprivate"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
)

const watch = "test:watch"

// open returns a handle with one more callback of queries, and the chain of its queries.
func open(t *testing.T) (*gorm.DB, *gormprivate.QueryChain) {
	t.Helper()
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	query := db.Callback().Query()
	if err := query.Register(watch, func(*gorm.DB) {}); err != nil {
		t.Fatal(err)
	}
	chain := new(gormprivate.QueryChain)
	chain.Init(query, reflect.ValueOf(query.Get("gorm:query")).Pointer(), watch)
	return db, chain
}

func TestQueryChainIsKnownUntilACallbackIsAdded(t *testing.T) {
	t.Parallel()
	db, chain := open(t)
	before, known := chain.Known()
	if before == nil || !known || chain.Others() {
		t.Fatalf("GORM's own callbacks: steps %v, known %v, others %v", before, known, chain.Others())
	}
	if len(*chain.Order) == 0 || (*chain.Order)[0] != "SELECT" {
		t.Errorf("the order of clauses is %v, want SELECT first", *chain.Order)
	}
	if err := db.Callback().Query().Register("test:other", func(*gorm.DB) {}); err != nil {
		t.Fatal(err)
	}
	if _, known := chain.Known(); known || !chain.Others() || chain.Steps() == before {
		t.Errorf("a callback that was added is not seen: known %v, others %v", known, chain.Others())
	}
}

func TestQueryChainIsKnownUntilACallbackIsReplaced(t *testing.T) {
	t.Parallel()
	db, chain := open(t)
	before := chain.Steps()
	if err := db.Callback().Query().Replace("gorm:preload", func(*gorm.DB) {}); err != nil {
		t.Fatal(err)
	}
	if _, known := chain.Known(); known || chain.Steps() == before {
		t.Errorf("a callback that was replaced is not seen: known %v", known)
	}
}

func TestHasScopes(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	if gormprivate.HasScopes(db.Where("id = ?", 1).Statement) {
		t.Error("a statement without scopes has some")
	}
	if !gormprivate.HasScopes(db.Scopes(func(tx *gorm.DB) *gorm.DB { return tx }).Statement) {
		t.Error("the scope of a statement is not seen")
	}
}

func TestOwnCallback(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	cb := db.Callback()
	for name, callback := range map[string]func(*gorm.DB){
		"create": cb.Create().Get("gorm:create"), "update": cb.Update().Get("gorm:update"), "delete": cb.Delete().Get("gorm:delete"),
		"row": cb.Row().Get("gorm:row"),
	} {
		if !gormprivate.OwnCallback(callback) {
			t.Errorf("gorm:%s of GORM is not taken for its own", name)
		}
	}
	for name, callback := range map[string]func(*gorm.DB){
		"of an application": func(*gorm.DB) {}, "another one of GORM's": callbacks.Preload,
	} {
		if gormprivate.OwnCallback(callback) {
			t.Errorf("a callback %s is taken for GORM's own of writes or rows", name)
		}
	}
}

func TestCodeOf(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	if len(db.ClauseBuilders) == 0 {
		t.Fatal("the dialect has no builders of clauses")
	}
	for name, build := range db.ClauseBuilders {
		if got, want := gormprivate.CodeOf(build), reflect.ValueOf(build).Pointer(); got != want {
			t.Errorf("the code of %s is at %x, want %x", name, got, want)
		}
	}
	if got := gormprivate.CodeOf(nil); got != 0 {
		t.Errorf("the code of nil is at %x", got)
	}
}

func TestMemoryOf(t *testing.T) {
	t.Parallel()
	list := []string{"SELECT", "FROM", "WHERE"}
	if gormprivate.MemoryOf(list) != gormprivate.MemoryOf(list[:3:3]) {
		t.Error("one list has two memories")
	}
	if gormprivate.MemoryOf(list) == gormprivate.MemoryOf(list[:2]) {
		t.Error("a part of a list has the memory of the whole")
	}
}
