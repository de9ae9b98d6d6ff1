package preload_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

type argumentNames string

type argumentPanics struct{ ID int }

func (argumentPanics) TableName() string { panic("no name") }

// argumentModels are what may be given for a model by mistake, and whether it is one all the same.
var argumentModels = []struct {
	name  string
	value any
	model bool
}{
	{"nil", nil, false},
	{"a nil any", new(any), false},
	{"an any in an any", func() any { var inner any = worldtest.ReadCompany{}; var outer any = &inner; return &outer }(), true},
	{"a struct", worldtest.ReadCompany{}, true},
	{"a nil pointer", (*worldtest.ReadCompany)(nil), true},
	{"a pointer to a pointer", new(*worldtest.ReadCompany), true},
	{"a slice", []worldtest.ReadCompany{}, true},
	{"a slice of pointers", &[]*worldtest.ReadCompany{}, true},
	{"an array", &[2]worldtest.ReadCompany{}, true},
	{"a number", 7, false},
	{"a text of a named type", argumentNames("read_companies"), false},
	{"a channel", make(chan worldtest.ReadCompany), false},
	{"a function", func() worldtest.ReadCompany { return worldtest.ReadCompany{} }, false},
	{"a map", map[string]any{"id": 1}, false},
	{"a slice of maps", &[]map[string]any{}, false},
	{"an anonymous struct", struct{ ID int }{1}, false},
	{"an empty struct", struct{}{}, false},
	{"a model whose table panics", &argumentPanics{}, false},
	{"a type", reflect.TypeFor[worldtest.ReadCompany](), true}, // a struct of the runtime, which has a table name at least
	{"an error", errors.New("x"), true},
}

func TestModelsThatAreNoneAreNamedInTheError(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	for _, tt := range argumentModels {
		if tt.name == "a type" || tt.name == "an error" {
			// What comes of them is of no interest, but a panic is.
			_, _ = b.Plugin.Register(tt.value), b.Plugin.Invalidate(tt.value)
			continue
		}
		for name, err := range map[string]error{"Register": b.Plugin.Register(tt.value), "Invalidate": b.Plugin.Invalidate(tt.value)} {
			switch {
			case tt.model && err != nil:
				t.Errorf("%s of %s: %v", name, tt.name, err)
			case !tt.model && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("preload: %s: model %T", name, tt.value))):
				t.Errorf("%s of %s: %v, want an error that names a %T", name, tt.name, err, tt.value)
			}
		}
		db := dbtest.SQLite(t).Open(t)
		_ = db.Use(preload.New(preload.WithoutWorker(), preload.WithPolicy(tt.value, preload.Policy{}))) // no panic
	}
	if err := b.Plugin.Invalidate(""); err == nil || !strings.Contains(err.Error(), "name of a table") {
		t.Errorf("Invalidate of no name: %v", err)
	}
	if err := b.Plugin.Register(); err != nil {
		t.Errorf("Register of nothing: %v", err)
	}
}

func TestInitializeSaysWhatIsWrongWithItsHandle(t *testing.T) {
	t.Parallel()
	failed := errors.New("no server")
	broken, err := gorm.Open(argumentDialector{dbtest.SQLite(t).Open(t).Dialector, failed}, &gorm.Config{})
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	for name, db := range map[string]*gorm.DB{"nil": nil, "none of gorm.Open": {}, "an empty one": {Config: &gorm.Config{}}, "failed": broken} {
		if err := preload.New().Initialize(db); err == nil || !strings.HasPrefix(err.Error(), "preload: Initialize") {
			t.Errorf("%s: %v", name, err)
		}
		if p, ok := preload.From(db); ok || p != nil {
			t.Errorf("%s: From found %v", name, p)
		}
	}
}

// argumentDialector is one that cannot reach its server.
type argumentDialector struct {
	gorm.Dialector
	err error
}

func (d argumentDialector) Initialize(*gorm.DB) error { return d.err }

// TestNoArgumentMakesAMethodPanic calls the whole API with what may come of a mistake, on plugins
// that are not there, not in use, in use, and closed.
func TestNoArgumentMakesAMethodPanic(t *testing.T) {
	t.Parallel()
	closed := readSQLite(t)
	_ = closed.Plugin.Close()
	var noContext context.Context
	number := func(context.Context) (int, error) { return 1, nil }
	noDialect, err := gorm.Open(nil, &gorm.Config{})
	worldtest.Must(t, err)
	for name, p := range map[string]*preload.Plugin{
		"nil": nil, "zero": new(preload.Plugin), "not in use": preload.New(), "in use": readSQLite(t).Plugin, "closed": closed.Plugin,
	} {
		inUse, there := name == "in use", name != "nil" && name != "zero"
		for _, call := range []struct {
			name  string
			fails bool
			do    func() error
		}{
			{"Name", false, func() error { _ = p.Name(); return nil }},
			{"Initialize(nil)", true, func() error { return p.Initialize(nil) }},
			{"Initialize without a dialect", true, func() error { return p.Initialize(noDialect) }},
			{"Register(nil)", true, func() error { return p.Register(nil) }},
			{"Register", !inUse && name != "closed", func() error { return p.Register(&worldtest.ReadCompany{}) }},
			{"Invalidate(nil)", true, func() error { return p.Invalidate(nil) }},
			{"Invalidate", !there, func() error { return p.Invalidate() }},
			{"Clear", false, func() error { p.Clear(); return nil }},
			{"RecordAccess", false, func() error { p.RecordAccess("", "", ""); p.RecordAccess("a", nil...); return nil }},
			{"ShouldPreload", false, func() error { _ = p.ShouldPreload(""); return nil }},
			{"PreloadKeys", false, func() error { _, _, _ = p.PreloadKeys(-1), p.PreloadKeys(0), p.PreloadKeys(1<<62); return nil }},
			{"RelatedKeys", false, func() error { _ = p.RelatedKeys("sql:#:"); return nil }},
			{"Hot", false, func() error { _, _, _ = p.Hot(-1), p.Hot(0), p.Hot(1<<62); return nil }},
			{"Stats", false, func() error { _ = p.Stats(); return nil }},
			{"Explain(nil)", true, func() error { _, err := p.Explain(nil); return err }},
			{"Explain of nothing", true, func() error { _, err := p.Explain(func(*gorm.DB) *gorm.DB { return nil }); return err }},
			{"Warm(nil)", true, func() error { return p.Warm(context.Background(), nil) }},
			{"Warm without a context", true, func() error { return p.Warm(noContext, func(tx *gorm.DB) *gorm.DB { return nil }) }},
			{"Warm of nothing", !inUse && name != "closed", func() error { return p.Warm(context.Background(), func(tx *gorm.DB) *gorm.DB { return nil }) }},
			{"Preload without a loader", true, func() error { return p.Preload(context.Background(), "k", nil) }},
			{"Preload without a context", true, func() error {
				return p.Preload(noContext, "k", func(context.Context) (any, error) { return 1, nil })
			}},
			{"Preload of a query", true, func() error {
				return p.Preload(context.Background(), "sql:x", func(context.Context) (any, error) { return 1, nil })
			}},
			{"Load without a loader", true, func() error { _, err := preload.Load[int](context.Background(), p, "k", nil); return err }},
			{"Load without a context", true, func() error { _, err := preload.Load(noContext, p, "k", number); return err }},
			{"Load of an interface", false, func() error {
				_, err := preload.Load(context.Background(), p, "i", func(context.Context) (io.Reader, error) { return nil, nil })
				return err
			}},
			{"SaveHot(nil)", true, func() error { return p.SaveHot(nil) }},
			{"SaveHot", !inUse, func() error { return p.SaveHot(io.Discard) }},
			{"SaveHotFile of no name", true, func() error { return p.SaveHotFile("") }},
			{"LoadHot(nil)", true, func() error { return p.LoadHot(context.Background(), nil) }},
			{"LoadHot without a context", true, func() error { return p.LoadHot(noContext, &bytes.Buffer{}) }},
			{"LoadHot with nil progress", true, func() error { return p.LoadHot(context.Background(), &bytes.Buffer{}, nil) }},
			{"LoadHot of a reader that panics", true, func() error { return p.LoadHot(context.Background(), (*bytes.Buffer)(nil)) }},
			{"LoadHotFile without a context", true, func() error { return p.LoadHotFile(noContext, t.TempDir()) }},
			{"Close", !there, func() error { _ = p.Close(); return p.Close() }},
		} {
			func() {
				defer func() {
					if fault := recover(); fault != nil {
						t.Errorf("%s of a plugin that is %s: panic: %v", call.name, name, fault)
					}
				}()
				err := call.do()
				if failed := err != nil; failed != call.fails {
					t.Errorf("%s of a plugin that is %s: %v, want an error: %v", call.name, name, err, call.fails)
				}
				if err != nil && (!strings.HasPrefix(err.Error(), "preload: ") || strings.Count(err.Error(), "preload: ") > 1) {
					t.Errorf("%s of a plugin that is %s: %v, want one sentence of the plugin's", call.name, name, err)
				}
			}()
		}
	}
}

func TestNoArgumentMakesAFunctionPanic(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	ctx := context.Background()
	var none context.Context
	for name, ctx := range map[string]context.Context{
		"bypass": preload.ContextWithBypass(none), "refresh": preload.ContextWithRefresh(none), "session": preload.ContextWithSession(none, ""),
	} {
		if err := b.DB.WithContext(ctx).First(&worldtest.ReadCompany{}, 1).Error; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	conditions := func(tx *gorm.DB) *gorm.DB { return tx.Where("id = ?", preload.Arg(0)) }
	for name, prepare := range map[string]func() error{
		"no handle":    func() error { _, err := preload.Prepare[worldtest.ReadCompany](nil, conditions); return err },
		"an empty one": func() error { _, err := preload.Prepare[worldtest.ReadCompany](&gorm.DB{}, conditions); return err },
		"no function":  func() error { _, err := preload.Prepare[worldtest.ReadCompany](b.DB, nil); return err },
		"no result": func() error {
			_, err := preload.Prepare[worldtest.ReadCompany](b.DB, func(*gorm.DB) *gorm.DB { return nil })
			return err
		},
		"another result": func() error {
			_, err := preload.Prepare[worldtest.ReadCompany](b.DB, func(*gorm.DB) *gorm.DB { return &gorm.DB{} })
			return err
		},
		"a number":  func() error { _, err := preload.Prepare[int](b.DB, conditions); return err },
		"an any":    func() error { _, err := preload.Prepare[any](b.DB, conditions); return err },
		"a channel": func() error { _, err := preload.Prepare[chan int](b.DB, conditions); return err },
	} {
		if err := prepare(); err == nil || !strings.HasPrefix(err.Error(), "preload: Prepare") {
			t.Errorf("%s: %v", name, err)
		}
	}
	byID, err := preload.Prepare[worldtest.ReadCompany](b.DB, conditions)
	worldtest.Must(t, err)
	for name, query := range map[string]*preload.Prepared[worldtest.ReadCompany]{
		"nil": nil, "zero": new(preload.Prepared[worldtest.ReadCompany]), "good": byID, "in no transaction": byID.WithTx(nil), "in an empty one": byID.WithTx(&gorm.DB{}),
	} {
		for i, ask := range []func(ctx context.Context, args ...any) error{
			func(ctx context.Context, args ...any) error { _, err := query.First(ctx, args...); return err },
			func(ctx context.Context, args ...any) error { _, err := query.Find(ctx, args...); return err },
			func(ctx context.Context, args ...any) error { _, err := query.Count(ctx, args...); return err },
		} {
			for what, err := range map[string]error{
				"no context": ask(none, 1), "no args": ask(ctx), "too many": ask(ctx, 1, 2), "fine": ask(ctx, 1),
			} {
				// As with GORM, a context that is nil is none.
				if failed := err != nil; failed != (name != "good" || what != "fine" && what != "no context") {
					t.Errorf("%s %d, %s: %v", name, i, what, err)
				}
			}
			_, _ = ask(ctx, nil), ask(ctx, new(any)) // whatever GORM makes of them
		}
	}
	for name, opts := range map[string][]preload.Option{
		"a nil option": {nil}, "a nil store": {preload.WithStore(nil)}, "a nil scorer": {preload.WithScorer(nil)}, "a nil logger": {preload.WithLogger(nil)},
		"a nil clock": {preload.WithClock(nil)}, "a nil partition": {preload.WithPartition(nil)}, "a nil session": {preload.WithSession(nil)}, "a nil origin": {preload.WithOrigin(nil)},
	} {
		p := preload.New(opts...)
		if err := p.Initialize(dbtest.SQLite(t).Open(t)); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
	for _, opt := range []preload.Option{
		preload.WithStore((*readStore)(nil)), preload.WithScorer((*preload.FrequencyScorer)(nil)), preload.WithClock((*dbtest.Clock)(nil)),
		preload.WithLogger(new(slog.Logger)),
	} {
		d := dbtest.SQLite(t)
		worldtest.Must(t, d.Plain(t).AutoMigrate(&worldtest.ReadPlace{}))
		db, p := d.Open(t), preload.New(opt, preload.WithLogger(worldtest.Quiet()))
		worldtest.Must(t, db.Use(p))
		worldtest.Must(t, db.Find(&[]worldtest.ReadPlace{}).Error)
		_ = p.Close()
	}
}

type destinationBase struct {
	ID   uint
	Name string `gorm:"size:50"`
}

type destinationRow struct {
	_ struct{} `preload:""`
	*destinationBase
	Note *string `gorm:"size:50"`
	Next uint
}

func (destinationRow) TableName() string { return "destination_rows" }

// TestEveryDestinationOfGORMIsFilledWithoutAFault asks for each kind of destination as a miss, a
// hit, and again when it was loaded in the background, in sessions from which the plugin learns.
func TestEveryDestinationOfGORMIsFilledWithoutAFault(t *testing.T) {
	t.Parallel()
	type small struct {
		ID   uint
		Name string
	}
	d := dbtest.SQLite(t)
	plain := d.Plain(t)
	worldtest.Must(t, plain.Exec("CREATE TABLE destination_rows (id integer primary key, name text, note text, next integer)").Error)
	worldtest.Must(t, plain.Exec("INSERT INTO destination_rows VALUES (1, 'a', 'x', 2), (2, 'b', NULL, 3), (3, 'c', 'z', 1)").Error)
	var log bytes.Buffer
	b := readOpenWith(t, d, nil, preload.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	worker := preload.New(preload.WithClock(b.Clock), preload.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	db := d.Open(t)
	worldtest.Must(t, db.Use(worker))
	worldtest.Must(t, worker.Register(&destinationRow{}))
	model := &destinationRow{}
	queries := map[string]worldtest.Query{}
	for name, dest := range map[string]func() any{
		"a struct": func() any { return new(destinationRow) }, "a smaller struct": func() any { return new(small) },
		"a pointer to a pointer": func() any { return new(*destinationRow) }, "three pointers": func() any { return new(**destinationRow) },
		"a slice": func() any { return new([]destinationRow) }, "a slice of pointers": func() any { return new([]*destinationRow) },
		"a pointer to a slice": func() any { return new(*[]*destinationRow) }, "a slice of smaller structs": func() any { return new([]small) },
		"an array": func() any { return new([2]destinationRow) }, "an array of pointers": func() any { return new([2]*destinationRow) },
		"a pointer to an array": func() any { return new(*[3]destinationRow) }, "a large array": func() any { return new([5]destinationRow) },
		"an array of smaller structs": func() any { return new([2]small) }, "an array of one": func() any { return new([1]destinationRow) },
		"a map": func() any { return &map[string]any{} }, "a map itself": func() any { return map[string]any{} },
		"a nil map": func() any { return new(map[string]any) }, "a slice of maps": func() any { return new([]map[string]any) },
		"an any": func() any { return new(any) }, "an any of a pointer": func() any { var x any = new(destinationRow); return &x },
		"an any of a slice": func() any { var x any = new([]destinationRow); return &x }, "an any of a struct": func() any { var x any = destinationRow{}; return &x },
		"a slice of any": func() any { return new([]any) }, "an array of maps": func() any { return new([2]map[string]any) },
		"an embedded pointer that is there": func() any { return &destinationRow{destinationBase: &destinationBase{}} },
	} {
		queries["Find into "+name] = func(db *gorm.DB) (any, *gorm.DB) {
			x := dest()
			return x, db.Model(model).Order("id").Find(x, "id > ?", 0)
		}
		queries["First into "+name] = func(db *gorm.DB) (any, *gorm.DB) {
			x := dest()
			return x, db.Model(model).First(x, "id >= ?", 2)
		}
		queries["nothing into "+name] = func(db *gorm.DB) (any, *gorm.DB) {
			x := dest()
			return x, db.Model(model).Find(x, "id = ?", 77)
		}
	}
	for name, dest := range map[string]func() any{
		"texts": func() any { return new([]string) }, "pointers to texts": func() any { return new([]*string) }, "an array of texts": func() any { return new([2]string) },
		"a text": func() any { return new(string) }, "anys": func() any { return new([]any) },
	} {
		queries["Pluck of "+name] = func(db *gorm.DB) (any, *gorm.DB) {
			x := dest()
			return x, db.Model(model).Order("id").Pluck("name", x)
		}
	}
	for name, query := range queries {
		want := query.Try(plain)
		ctx := preload.ContextWithSession(context.Background(), name)
		for turn := range 6 {
			if turn == 3 {
				worldtest.Must(t, worker.Invalidate())
			}
			if turn == 4 {
				b.Clock.Advance(4*60*1e9 + 30*1e9) // the last fifth of its TTL: it is loaded again
			}
			for _, db := range []*gorm.DB{b.DB, db} {
				got := query.Try(db.Session(&gorm.Session{Context: ctx}))
				if diff := want.Differs(got); diff != "" {
					t.Errorf("%s, turn %d: %s", name, turn, diff)
				}
				// What may follow is learned of what was found.
				_ = db.WithContext(ctx).First(&destinationRow{}, 2+turn%2).Error
			}
		}
	}
	worldtest.Must(t, worker.Close())
	if strings.Contains(log.String(), "a fault") || strings.Contains(log.String(), "panic") {
		t.Errorf("log %s", &log)
	}
}
