package preload_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// The models of the read tests: every kind of association and of field that GORM scans in a way of
// its own.

type readAddress struct {
	Street string `gorm:"size:50"`
	City   string `gorm:"size:50"`
}

type readCompany struct {
	_    struct{} `preload:""`
	ID   uint
	Name string     `gorm:"size:50"`
	HQ   *readPlace `gorm:"foreignKey:CompanyID"`
}

type readPlace struct {
	_         struct{} `preload:""`
	ID        uint
	CompanyID uint
	Name      string `gorm:"size:50"`
}

type readUser struct {
	_ struct{} `preload:""`
	gorm.Model
	Name      string `gorm:"size:50"`
	Age       int
	Email     *string `gorm:"size:50"`
	Birthday  *time.Time
	Active    bool
	Score     float64
	Data      []byte
	CompanyID *uint
	Company   *readCompany
	ManagerID *uint
	Manager   *readUser
	Team      []readUser `gorm:"foreignKey:ManagerID"`
	Account   readAccount
	Pets      []*readPet
	Toys      []readToy      `gorm:"polymorphic:Owner"`
	Languages []readLanguage `gorm:"many2many:read_user_languages"`
	Friends   []*readUser    `gorm:"many2many:read_user_friends"`
	Home      readAddress    `gorm:"embedded;embeddedPrefix:home_"`
	Tags      []string       `gorm:"serializer:json"`
	Meta      map[string]any `gorm:"serializer:json"`
	Blob      map[string]int `gorm:"serializer:gob;type:bytes"`
	Joined    int64          `gorm:"serializer:unixtime;type:date"`
	Level     readLevel      `gorm:"type:varchar(20)"`
	hidden    int
}

type readAccount struct {
	_          struct{} `preload:""`
	ID         uint
	ReadUserID uint
	Number     string `gorm:"size:50"`
}

type readPet struct {
	_          struct{} `preload:""`
	ID         uint
	ReadUserID uint
	Name       string   `gorm:"size:50"`
	Toy        *readToy `gorm:"polymorphic:Owner"`
}

type readToy struct {
	_         struct{} `preload:""`
	ID        uint
	Name      string `gorm:"size:50"`
	OwnerID   uint
	OwnerType string `gorm:"size:50"`
}

type readLanguage struct {
	_    struct{} `preload:""`
	Code string   `gorm:"primaryKey;size:10"`
	Name string   `gorm:"size:50"`
}

// readLine has a composite primary key.
type readLine struct {
	_       struct{} `preload:""`
	OrderID uint     `gorm:"primaryKey;autoIncrement:false"`
	No      uint     `gorm:"primaryKey;autoIncrement:false"`
	Text    string   `gorm:"size:50"`
}

// readHooked counts its AfterFind in the context, changes itself, fails and queries as it is named.
type readHooked struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:50"`
	Seen int    `gorm:"-"`
	Far  string `gorm:"-"`
}

// readPlain is a model that nothing opts in.
type readPlain struct {
	ID   uint
	Name string `gorm:"size:50"`
}

// readOff opts out.
type readOff struct {
	_    struct{} `preload:"-"`
	ID   uint
	Name string `gorm:"size:50"`
}

type readHookCounter struct{}

var errReadHook = errors.New("the hook failed")

func (h *readHooked) AfterFind(tx *gorm.DB) error {
	if n, ok := tx.Statement.Context.Value(readHookCounter{}).(*atomic.Int64); ok {
		n.Add(1)
	}
	h.Seen++
	switch h.Name {
	case "changes":
		h.Name = "changed"
	case "fails":
		return errReadHook
	case "queries":
		var other readCompany
		if err := tx.First(&other, 1).Error; err != nil {
			return err
		}
		h.Far = other.Name
	}
	return nil
}

// readLevel is kept as text and is a number in Go.
type readLevel struct{ N int }

func (l readLevel) Value() (driver.Value, error) { return fmt.Sprintf("level %d", l.N), nil }

func (l *readLevel) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*l = readLevel{}
		return nil
	case []byte:
		_, err := fmt.Sscanf(string(v), "level %d", &l.N)
		return err
	case string:
		_, err := fmt.Sscanf(v, "level %d", &l.N)
		return err
	}
	return fmt.Errorf("a level of %T", v)
}

var readModels = []any{
	&readCompany{}, &readPlace{}, &readUser{}, &readAccount{}, &readPet{}, &readToy{}, &readLanguage{}, &readLine{},
	&readHooked{}, &readPlain{}, &readOff{},
}

func readPtr[T any](v T) *T { return &v }

var readBirthday = time.Date(1990, 5, 6, 7, 8, 9, 0, time.UTC)

// readSeed fills the tables of readModels.
func readSeed(t testing.TB, db *gorm.DB) {
	t.Helper()
	readMust(t, db.AutoMigrate(readModels...))
	for _, rows := range []any{
		&[]readCompany{{Name: "acme", HQ: &readPlace{Name: "paris"}}, {Name: "umbrella"}},
		&[]readLanguage{{Code: "de", Name: "German"}, {Code: "en", Name: "English"}, {Code: "fr", Name: "French"}},
		&[]readUser{
			{Name: "ann", Age: 30, Email: readPtr("ann@x"), Birthday: &readBirthday, Active: true, Score: 1.5, Data: []byte{0, 1, 255},
				CompanyID: readPtr(uint(1)), Account: readAccount{Number: "a-1"},
				Pets:      []*readPet{{Name: "rex", Toy: &readToy{Name: "bone"}}, {Name: "tom"}},
				Toys:      []readToy{{Name: "ball"}, {Name: "car"}},
				Languages: []readLanguage{{Code: "de", Name: "German"}, {Code: "en", Name: "English"}},
				Home:      readAddress{"Main St", "Paris"}, Tags: []string{"x", "y"}, Meta: map[string]any{"a": 1.5, "b": []any{"c", nil}},
				Blob: map[string]int{"one": 1}, Joined: 1_600_000_000, Level: readLevel{7}},
			{Name: "bob", Age: 40, ManagerID: readPtr(uint(1)), CompanyID: readPtr(uint(2)), Data: []byte{}, Account: readAccount{Number: "b-2"},
				Languages: []readLanguage{{Code: "fr", Name: "French"}}, Score: -2.25, Active: true, Blob: map[string]int{}, Level: readLevel{1}},
			{Name: "cid", Age: 40, ManagerID: readPtr(uint(1)), Email: readPtr(""), Blob: map[string]int{}, Pets: []*readPet{{Name: "kit"}}},
			{Name: "dot ünï", Age: 0, ManagerID: readPtr(uint(2)), Blob: map[string]int{}},
			{Name: "gone", Age: 99, Blob: map[string]int{}},
		},
		&[]readLine{{OrderID: 1, No: 1, Text: "one"}, {OrderID: 1, No: 2, Text: "two"}, {OrderID: 2, No: 1, Text: "three"}},
		&[]readHooked{{ID: 1, Name: "counts"}, {ID: 2, Name: "changes"}, {ID: 3, Name: "fails"}, {ID: 4, Name: "queries"}},
		&[]readPlain{{ID: 1, Name: "p"}}, &[]readOff{{ID: 1, Name: "o"}},
	} {
		readMust(t, db.Create(rows).Error)
	}
	// Not by Model(...).Association, which would run what is tested.
	readMust(t, db.Exec("INSERT INTO read_user_friends (read_user_id, friend_id) VALUES (1,2),(1,3),(2,1)").Error)
	readMust(t, db.Delete(&readUser{}, "name = ?", "gone").Error)
}

// readBench is a database with a plain handle and one with the plugin.
type readBench struct {
	*dbtest.Database
	plain, db *gorm.DB
	p         *preload.Plugin
	clock     *dbtest.Clock
}

func readOpen(t testing.TB, d *dbtest.Database, options ...preload.Option) *readBench {
	t.Helper()
	return readOpenWith(t, d, nil, options...)
}

func readOpenWith(t testing.TB, d *dbtest.Database, config func() *gorm.Config, options ...preload.Option) *readBench {
	t.Helper()
	if config == nil {
		config = func() *gorm.Config { return &gorm.Config{} }
	}
	b := &readBench{Database: d, clock: dbtest.NewClock()}
	b.plain, b.db = d.Plain(t, config()), d.Open(t, config())
	options = append([]preload.Option{preload.WithoutWorker(), preload.WithBrief(time.Second), preload.WithClock(b.clock), preload.WithLogger(readQuiet())}, options...)
	b.p = preload.New(options...)
	readMust(t, b.db.Use(b.p))
	t.Cleanup(func() { _ = b.p.Close() })
	return b
}

func readQuiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// readSQLite is a seeded SQLite database with the plugin.
func readSQLite(t testing.TB, options ...preload.Option) *readBench {
	t.Helper()
	d := dbtest.SQLite(t)
	readSeed(t, d.Plain(t))
	b := readOpen(t, d, options...)
	readMust(t, b.p.Register(readModels...))
	return b
}

func readMust(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// queries returns how many queries do made.
func (b *readBench) queries(do func()) int64 {
	before := b.Probe.Queries()
	do()
	return b.Probe.Queries() - before
}

// readQuery runs a query on a handle into a destination of its own, and returns the destination.
type readQuery func(db *gorm.DB) (dest any, tx *gorm.DB)

// readAnswer is all that a caller sees of a query.
type readAnswer struct {
	dest  any
	rows  int64
	err   error
	panic any
	hooks int64
}

func readRun(db *gorm.DB, query readQuery) (a readAnswer) {
	var hooks atomic.Int64
	db = db.WithContext(context.WithValue(context.Background(), readHookCounter{}, &hooks))
	defer func() {
		a.hooks = hooks.Load()
		a.panic = recover()
	}()
	dest, tx := query(db)
	a.dest = dest
	if tx != nil {
		a.rows, a.err = tx.RowsAffected, tx.Error
	}
	return a
}

// differs says in what two answers differ, "" if in nothing.
func (a readAnswer) differs(b readAnswer) string {
	switch {
	case !reflect.DeepEqual(a.dest, b.dest):
		return fmt.Sprintf("Dest:\nplain  %s\nplugin %s", readShow(a.dest), readShow(b.dest))
	case a.rows != b.rows:
		return fmt.Sprintf("RowsAffected: plain %d, plugin %d", a.rows, b.rows)
	case fmt.Sprint(a.err) != fmt.Sprint(b.err), errors.Is(a.err, gorm.ErrRecordNotFound) != errors.Is(b.err, gorm.ErrRecordNotFound):
		return fmt.Sprintf("Error: plain %v, plugin %v", a.err, b.err)
	case fmt.Sprint(a.panic) != fmt.Sprint(b.panic):
		return fmt.Sprintf("panic: plain %v, plugin %v", a.panic, b.panic)
	case a.hooks != b.hooks:
		return fmt.Sprintf("AfterFind: plain %d calls, plugin %d", a.hooks, b.hooks)
	}
	return ""
}

func readShow(v any) string {
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer && !rv.IsNil() {
		return fmt.Sprintf("&%#v", rv.Elem().Interface())
	}
	return fmt.Sprintf("%#v", v)
}

// same checks that a query answers as plain GORM does: not yet in memory, in memory, and in memory
// after its earlier results were changed. With reason "" the second and third answer must not reach
// the database; otherwise each must be counted as bypassed for that reason; with readAny neither is
// looked at.
func (b *readBench) same(t *testing.T, name, reason string, query readQuery) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Helper()
		readMust(t, b.p.Invalidate())
		plain := readRun(b.plain, query)
		for _, turn := range []string{"cold", "warm", "warm after the results were changed"} {
			reasons := b.p.Stats().BypassReasons
			var got readAnswer
			n := b.queries(func() { got = readRun(b.db, query) })
			if diff := plain.differs(got); diff != "" {
				t.Fatalf("%s: %s", turn, diff)
			}
			now := b.p.Stats().BypassReasons
			switch {
			case reason == readAny:
			case reason == "":
				if turn != "cold" && n != 0 {
					t.Errorf("%s: %d queries reached the database: %q; bypassed: %v", turn, n, readTail(b.Probe.Log(), n), readNew(reasons, now))
				}
			case now[preload.Reason(reason)] == reasons[preload.Reason(reason)]:
				t.Errorf("%s: not counted as bypassed for %q but for %v", turn, reason, readNew(reasons, now))
			}
			readScramble(reflect.ValueOf(got.dest), 0)
		}
	})
}

const readAny = "any"

func readTail(log []string, n int64) []string { return log[max(0, len(log)-int(n)):] }

func readNew[R comparable](before, after map[R]int64) map[R]int64 {
	out := map[R]int64{}
	for reason, n := range after {
		if n != before[reason] {
			out[reason] = n - before[reason]
		}
	}
	return out
}

// readScramble changes all memory that a value leads to.
func readScramble(v reflect.Value, depth int) {
	if depth > 12 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			readScramble(v.Elem(), depth+1)
		}
	case reflect.Struct:
		if v.CanSet() && v.Type() == reflect.TypeFor[time.Time]() {
			v.SetZero()
			return
		}
		for i := range v.NumField() {
			readScramble(v.Field(i), depth+1)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			readScramble(v.Index(i), depth+1)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			readScramble(v.MapIndex(key), depth+1)
			if v.CanInterface() {
				v.SetMapIndex(key, reflect.Zero(v.Type().Elem()))
			}
		}
		if v.CanInterface() && !v.IsNil() && v.Type().Key().Kind() == reflect.String {
			v.SetMapIndex(reflect.ValueOf("scrambled").Convert(v.Type().Key()), reflect.Zero(v.Type().Elem()))
		}
	case reflect.String:
		if v.CanSet() {
			v.SetString("scrambled")
		}
	case reflect.Bool:
		if v.CanSet() {
			v.SetBool(!v.Bool())
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if v.CanSet() {
			v.SetInt(v.Int() ^ 0x55)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if v.CanSet() {
			v.SetUint(v.Uint() ^ 0x55)
		}
	case reflect.Float32, reflect.Float64:
		if v.CanSet() {
			v.SetFloat(v.Float() + 1)
		}
	}
}

// readWithin fails the test, with all goroutines, when do does not return in time.
func readWithin(t testing.TB, d time.Duration, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(d):
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		var mine []string
		for g := range strings.SplitSeq(string(buf), "\n\n") {
			if strings.Contains(g, "gorm-preload/preload.(*Plugin)") {
				mine = append(mine, g)
			}
		}
		t.Fatalf("%s did not return within %v\n%s", what, d, strings.Join(mine, "\n\n"))
	}
}

// readWaiting is a context that says when somebody waits for it to end.
type readWaiting struct {
	context.Context
	once    sync.Once
	waiting chan struct{}
}

func newReadWaiting(ctx context.Context) *readWaiting {
	return &readWaiting{Context: ctx, waiting: make(chan struct{})}
}

func (w *readWaiting) Done() <-chan struct{} {
	w.once.Do(func() { close(w.waiting) })
	return w.Context.Done()
}

// readGate stops the queries that match at the database until it is opened.
type readGate struct {
	arrived chan struct{}
	open    chan struct{}
	once    sync.Once
}

func (b *readBench) gate(match func(dbtest.Call) bool) *readGate {
	g := &readGate{arrived: make(chan struct{}, 1_000), open: make(chan struct{})}
	b.Probe.Before(func(c dbtest.Call) error {
		if c.Op == "query" && match(c) {
			g.arrived <- struct{}{}
			<-g.open
		}
		return nil
	})
	return g
}

func (g *readGate) release() { g.once.Do(func() { close(g.open) }) }

// readExpr is an expression of a type that the plugin does not know.
type readExpr struct{ sql string }

func (e readExpr) Build(b clause.Builder) { _, _ = b.WriteString(e.sql) }
