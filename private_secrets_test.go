package preload

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/gorm-preload/preload/internal/agenda"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// secret is a value of a user's, as bind value, in keys and partitions, and in the texts of errors.
const secret = "s3cr3t-of-ann"

type secretAccount struct {
	_     struct{} `preload:""`
	ID    uint
	Token string `gorm:"size:50"`
	Wire  secretWire
	Meta  map[string]any `gorm:"serializer:json"`
}

// secretWire scans what cannot be copied where it is not empty.
type secretWire struct{ lines map[string]chan int }

func (w secretWire) Value() (driver.Value, error) { return "", nil }
func (secretWire) GormDataType() string           { return "string" }

func (w *secretWire) Scan(v any) error {
	switch fmt.Sprintf("%s", v) {
	case "", "%!s(<nil>)":
	default:
		w.lines = map[string]chan int{secret: make(chan int)}
	}
	return nil
}

// secretLog counts lines by message.
type secretLog struct {
	mu    sync.Mutex
	text  bytes.Buffer
	lines map[string]int
}

func (l *secretLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *secretLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *secretLog) WithGroup(string) slog.Handler            { return l }

func (l *secretLog) Handle(ctx context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	shape := ""
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "shape" {
			shape = a.Value.String()
		}
		return true
	})
	l.lines[r.Message+" / "+shape]++
	return slog.NewTextHandler(&l.text, nil).Handle(ctx, r)
}

// check looks for the secret in all lines, and for more than one of an event and shape, as no
// minute passed.
func (l *secretLog) check(t *testing.T, wanted ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.String()
	if strings.Contains(text, secret) {
		t.Errorf("the log holds a value:\n%s", text)
	}
	for line, n := range l.lines {
		if n > 1 {
			t.Errorf("%d lines within a minute: %s", n, line)
		}
	}
	for _, event := range wanted {
		if !strings.Contains(text, event) {
			t.Errorf("no line about %q was provoked:\n%s", event, text)
		}
	}
}

// secretStore and secretScorer panic with a value.
type secretStore struct{ Store }

func (secretStore) Get(key string) (any, bool) { panic("no " + key + secret) }

type secretScorer struct{ Scorer }

func (secretScorer) Weigh(float64, int64, time.Time) float64 { panic(errors.New("no " + secret)) }

func secretBench(t *testing.T, options ...Option) (b *bench, log *secretLog) {
	t.Helper()
	d := dbtest.SQLite(t)
	log = &secretLog{lines: map[string]int{}}
	b = &bench{db: d.Open(t, &gorm.Config{Logger: logger.Discard}), clock: dbtest.NewClock(), probe: d.Probe}
	b.plugin = New(append([]Option{WithClock(b.clock), WithLogger(slog.New(log)), WithLoadTimeout(20 * time.Millisecond)}, options...)...)
	if err := errors.Join(b.db.AutoMigrate(&secretAccount{}), b.db.Use(b.plugin), b.plugin.Register(&secretAccount{}),
		b.db.Exec("INSERT INTO secret_accounts (id, token, wire, meta) VALUES (1, ?, '', '{}'), (2, ?, 'x', '{}')", secret, secret+"2").Error); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.plugin.Close() })
	return b, log
}

// eventually waits for what is done in the background.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within ten seconds: %s", what)
		}
	}
}

func noSecret(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error was provoked", what)
	} else if strings.Contains(err.Error(), secret) {
		t.Errorf("%s: the error holds a value: %v", what, err)
	}
}

var secretErrors = []error{
	&pgconn.PgError{Code: "22P02", Message: `invalid input syntax for type integer: "` + secret + `"`},
	&mysql.MySQLError{Number: 1062, SQLState: [5]byte{'2', '3', '0', '0', '0'}, Message: "Duplicate entry '" + secret + "' for key 'token'"},
	errors.New("near " + secret),
	fmt.Errorf("in %s: %w", secret, errors.Join(context.DeadlineExceeded, errors.New(secret))),
}

func TestNoErrorOfADatabaseIsWrittenWithItsText(t *testing.T) {
	t.Parallel()
	for i, want := range []string{"*pgconn.PgError SQLSTATE 22P02", "*mysql.MySQLError Number 1062 SQLSTATE 23000", "*errors.errorString",
		"context deadline exceeded: *errors.errorString"} {
		if got := failopen.Plain(secretErrors[i]); got != want {
			t.Errorf("error %d: %q, want %q", i, got, want)
		}
		var again *pgconn.PgError
		if i == 0 && !errors.As(error(failopen.PlainError(fmt.Errorf("x: %w", secretErrors[i]))), &again) {
			t.Error("the error is not found in what stands for it")
		}
	}
}

func TestNoLogLineAndNoErrorHoldsAValue(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	t.Run("loads that fail", func(t *testing.T) {
		t.Parallel()
		b, log := secretBench(t)
		var one secretAccount
		if err := b.db.First(&one, "token = ?", secret).Error; err != nil {
			t.Fatal(err)
		}
		file := b.saved(t)
		for i := range 3 * len(secretErrors) {
			failing := secretErrors[i%len(secretErrors)]
			b.probe.Before(func(c dbtest.Call) error {
				if c.Op == "query" && strings.Contains(c.SQL, "secret_accounts") {
					return failing
				}
				return nil
			})
			key := b.plugin.Hot(1)[0].Key
			b.plugin.worker.Load(agenda.Wish{Key: key, Asked: new(atomic.Bool)})
			eventually(t, "the load ended", func() bool { return !b.plugin.worker.Runs(key) })
			b.plugin.worker.Resume()
			noSecret(t, "Warm", b.plugin.Warm(ctx, func(tx *gorm.DB) *gorm.DB { return tx.Clauses(Bypass).First(&secretAccount{}, "token = ?", secret) }))
			if err := b.plugin.Invalidate(); err != nil {
				t.Fatal(err)
			}
			if err := b.plugin.LoadHot(ctx, bytes.NewReader(file)); err != nil {
				noSecret(t, "LoadHot", err)
			}
		}
		log.check(t, "a background load failed", "a key is left out")
	})
	t.Run("loaders", func(t *testing.T) {
		t.Parallel()
		b, log := secretBench(t)
		hang := make(chan struct{})
		for i, load := range []func(context.Context) (string, error){
			func(context.Context) (string, error) { panic("no " + secret) },
			func(context.Context) (string, error) { panic(errors.New("no " + secret)) },
			func(context.Context) (string, error) { return "", errors.New("no " + secret) },
			func(context.Context) (string, error) { <-hang; return "", nil },
		} {
			key := fmt.Sprint(secret, i)
			bad := false
			_, err := Load(ctx, b.plugin, key, func(ctx context.Context) (string, error) {
				if bad {
					return load(ctx)
				}
				return "fine", nil
			})
			if err != nil {
				t.Fatal(err)
			}
			bad = true
			for range 3 {
				b.plugin.worker.Load(agenda.Wish{Key: key, Asked: new(atomic.Bool)})
				if i < 3 {
					eventually(t, "the load ended", func() bool { return !b.plugin.worker.Runs(key) })
				}
			}
		}
		if faults := b.plugin.Stats().Faults; faults["a loader"] == 0 || len(faults) != 1 {
			t.Errorf("a loader panicked, and faults are told as %v", faults)
		}
		for _, key := range []string{secret, "sql:" + secret} {
			noSecret(t, "Preload without a loader", b.plugin.Preload(ctx, key, nil))
			noSecret(t, "Preload of what cannot be copied", b.plugin.Preload(ctx, key, func(context.Context) (any, error) {
				return map[string]any{secret: make(chan int)}, nil
			}))
		}
		_, err := Load[int](ctx, b.plugin, secret, nil)
		noSecret(t, "Load without a loader", err)
		noSecret(t, "Close", b.plugin.Close())
		close(hang)
		noSecret(t, "Preload after Close", b.plugin.Preload(ctx, secret, func(context.Context) (any, error) { return 1, nil }))
		log.check(t, "a loader panicked", "a background load failed", "a value that cannot be copied")
	})
	t.Run("answers", func(t *testing.T) {
		t.Parallel()
		b, log := secretBench(t)
		for range 5 {
			if err := b.db.First(&secretAccount{}, "token = ?", secret+"2").Error; err != nil {
				t.Fatal(err)
			}
		}
		log.check(t, "an answer that cannot be copied")
	})
	t.Run("faults", func(t *testing.T) {
		t.Parallel()
		for _, option := range []Option{WithStore(secretStore{NewStore()}), WithScorer(secretScorer{NewCountScorer(0.9)}),
			WithPartition(func(context.Context) string { panic("no " + secret) })} {
			b, log := secretBench(t, option)
			for range 5 {
				if err := b.db.First(&secretAccount{}, "token = ?", secret).Error; err != nil {
					t.Fatal(err)
				}
				_, _ = Load(ctx, b.plugin, secret, func(context.Context) (int, error) { return 1, nil })
			}
			for range 5 {
				b.plugin.config.fault("a part", errors.New(secret))
				b.plugin.config.guard("another part", func() { panic(secret) })
				b.plugin.config.guard("a third part", func() { var none []int; _ = none[len(secret)] })
			}
			log.check(t, "a fault in the plugin", "index out of range")
		}
	})
	t.Run("partitions", func(t *testing.T) {
		t.Parallel()
		b, log := secretBench(t, WithPartition(func(context.Context) string { return secret }))
		for range 3 {
			_ = b.db.First(&secretAccount{}, "token = ?", secret).Error
			noSecret(t, "Preload", b.plugin.Preload(ctx, "k", func(context.Context) (any, error) { return make(chan int), nil }))
			_ = b.plugin.LoadHot(ctx, strings.NewReader(`{"preload":3,"dialect":"sqlite","queries":[{}],"keys":[]}`))
		}
		log.check(t, "cannot be copied")
	})
	t.Run("files", func(t *testing.T) {
		t.Parallel()
		b, log := secretBench(t)
		_ = b.db.First(&secretAccount{}, "token = ?", secret).Error
		file := b.saved(t)
		for _, change := range [][2]string{{`"query":0`, `"query":"` + secret + `"`}, {`"args":"`, `"args":"` + secret}, {`"sql":"`, `"sql":"` + secret}, {`"preload":3`, `"preload":"` + secret + `"`},
			{`"keys"`, secret}} {
			for range 2 {
				changed := bytes.ReplaceAll(file, []byte(change[0]), []byte(change[1]))
				if err := b.plugin.LoadHot(ctx, bytes.NewReader(changed)); err != nil {
					noSecret(t, "LoadHot of "+change[0], err)
				}
			}
		}
		log.check(t)
	})
	t.Run("arguments", func(t *testing.T) {
		t.Parallel()
		b, log := secretBench(t)
		type named string
		noSecret(t, "Register", b.plugin.Register(named(secret), &[]string{secret}, map[string]string{secret: secret}))
		noSecret(t, "Invalidate", b.plugin.Invalidate(named(secret), func() string { return secret }))
		noSecret(t, "WithPolicy", New(WithPolicy(named(secret), Policy{})).Initialize(b.db))
		log.check(t)
	})
}

func TestExplainShowsValuesAsTheLoggerOfGORMWould(t *testing.T) {
	t.Parallel()
	for _, quiet := range []bool{false, true} {
		d := dbtest.SQLite(t)
		db := d.Open(t, &gorm.Config{Logger: logger.New(nil, logger.Config{ParameterizedQueries: quiet})})
		p := New(WithoutWorker())
		if err := errors.Join(db.AutoMigrate(&secretAccount{}), db.Use(p)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		_ = db.Find(&[]secretAccount{}, "token = ?", secret)
		for name, statement := range map[string]func(tx *gorm.DB) *gorm.DB{
			"a query": func(tx *gorm.DB) *gorm.DB { return tx.Find(&[]secretAccount{}, "token = ?", secret) },
			"an update": func(tx *gorm.DB) *gorm.DB {
				return tx.Model(&secretAccount{}).Where("token = ?", secret).Update("token", secret+"3")
			},
			"a raw write": func(tx *gorm.DB) *gorm.DB { return tx.Exec("DELETE FROM secret_accounts WHERE token = ?", secret) },
		} {
			e, err := p.Explain(statement)
			if err != nil {
				t.Fatal(err)
			}
			if shown := strings.Contains(e.String(), secret); shown == quiet {
				t.Errorf("%s, ParameterizedQueries %v:\n%s", name, quiet, e)
			}
			if e.SQL == "" || e.Cacheable && !strings.Contains(e.Key, secret) {
				t.Errorf("%s: %+v", name, e)
			}
		}
	}
}
