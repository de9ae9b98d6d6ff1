package cluster

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	feedpostgres "github.com/gorm-preload/preload/feed/postgres"
	"github.com/gorm-preload/preload/feed/redis"
	goredis "github.com/redis/go-redis/v9"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// counter is a row whose versions are told apart: each write makes the next one.
type counter struct {
	_       struct{} `preload:"ttl:10m"`
	ID      int
	Version int64
}

const counters = 4

// What a process is told by its environment.
const (
	envKind  = "PRELOAD_CLUSTER_KIND" // of the feed; this process is none of the test where it is empty
	envDSN   = "PRELOAD_CLUSTER_DSN"
	envRedis = "PRELOAD_CLUSTER_REDIS"
	envName  = "PRELOAD_CLUSTER_NAME"
	envLog   = "PRELOAD_CLUSTER_LOG"
	envReads = "PRELOAD_CLUSTER_READS"   // the process only reads
	envBare  = "PRELOAD_CLUSTER_BARE"    // the process has no plugin
	envWhen  = "PRELOAD_CLUSTER_CUT_OFF" // what becomes of a write that cannot be told: fail, or commit
	envSpoil = "PRELOAD_CLUSTER_SPOIL"   // what is wrong with the feed, or befalls the process
)

// bound is that of bounded feeds, and the lease of strict ones.
const bound = time.Second

func TestMain(m *testing.M) {
	if os.Getenv(envKind) != "" {
		if err := work(); err != nil {
			log.Fatal(err)
		}
		return
	}
	os.Exit(m.Run())
}

// work is what one process does until it is told to end: it reads and writes, and notes each of
// that in a line, with when it began and when it had ended.
func work() error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	out, err := os.OpenFile(os.Getenv(envLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	var notes sync.Mutex
	note := func(kind string, id int, version int64, begun time.Time) {
		notes.Lock()
		defer notes.Unlock()
		_, _ = fmt.Fprintf(out, "%s %d %d %d %d\n", kind, id, version, begun.UnixNano(), time.Now().UnixNano())
	}
	client := goredis.NewClient(&goredis.Options{Addr: os.Getenv(envRedis)})
	defer func() { _ = client.Close() }()
	db, err := gorm.Open(postgres.Open(os.Getenv(envDSN)), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return err
	}
	var feed preload.Feed = redis.Bounded(client, redis.WithName(os.Getenv(envName)), redis.WithBound(bound))
	switch os.Getenv(envKind) {
	case "strict":
		when := redis.Commit
		if os.Getenv(envWhen) == "fail" {
			when = redis.Fail
		}
		feed = spoiled(os.Getenv(envSpoil), redis.Strict(client, redis.WithName(os.Getenv(envName)), redis.WithLease(bound), redis.WhenCutOff(when)))
	case replication:
		feed = feedpostgres.New(os.Getenv(envDSN), feedpostgres.WithBound(bound))
		if os.Getenv(envSpoil) == needsNoLease {
			feed = endless{feed}
		}
	case strictOverPostgres:
		feed = spoiled(os.Getenv(envSpoil), feedpostgres.Strict(os.Getenv(envDSN), feedpostgres.WithSchema(os.Getenv(envName)), feedpostgres.WithLease(bound), feedpostgres.WhenCutOff(feedpostgres.Fail)))
	case throughRelay:
		relay := redis.Relay(client, redis.WithName(os.Getenv(envName)))
		feed = feedpostgres.New(os.Getenv(envDSN), feedpostgres.Through(relay), feedpostgres.WithBound(bound), feedpostgres.WithLogger(slog.New(slog.DiscardHandler)))
	}
	// No server goes on for long here with what a client that it lost had asked of it.
	p := preload.New(preload.WithFeed(feed), preload.WithLogger(slog.New(slog.DiscardHandler)), preload.WithHoldOut(bound/20))
	if os.Getenv(envBare) == "" {
		if err := db.Use(p); err != nil {
			return err
		}
		if err := p.Register(&counter{}); err != nil {
			return err
		}
	}
	var ended atomic.Bool
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for !ended.Load() {
				begun := time.Now()
				c := counter{}
				if err := db.First(&c, "id = ?", 1+rand.IntN(counters)).Error; err == nil {
					note("read", c.ID, c.Version, begun)
				}
				time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
			}
		})
	}
	if os.Getenv(envReads) == "" {
		workers.Go(func() {
			for !ended.Load() {
				begun := time.Now()
				c := counter{}
				err := db.WithContext(context.Background()).Transaction(func(tx *gorm.DB) error {
					if err := tx.Clauses(clause.Locking{Strength: "UPDATE"}).First(&c, "id = ?", 1+rand.IntN(counters)).Error; err != nil {
						return err
					}
					if os.Getenv(envSpoil) == stopsLocked && rand.IntN(10) == 0 {
						_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) // until the test wakes it
					}
					c.Version++
					return tx.Save(&c).Error
				})
				switch {
				case err == nil:
					note("write", c.ID, c.Version, begun)
				case errors.Is(err, redis.ErrCutOff):
					note("refused", c.ID, c.Version, begun)
				}
				time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
			}
		})
	}
	workers.Go(func() {
		for !ended.Load() {
			note("hits", 0, p.Stats().Hits, time.Now())
			time.Sleep(20 * time.Millisecond)
		}
	})
	<-stop
	ended.Store(true)
	workers.Wait()
	s := p.Stats()
	note("hits", 0, s.Hits, time.Now())
	note("misses", 0, s.Misses, time.Now())
	if os.Getenv(envBare) != "" {
		return nil
	}
	return p.Close()
}

// What may be wrong with the feed of a process, so that the test has to fail, and what may befall
// the process.
const (
	tellsLate     = "tells others of a write after its commit"
	needsNoLease  = "serves without a lease"
	diesAnnounced = "is killed between the announcement and the commit"
	stopsLocked   = "is stopped while it has a row locked"
)

// Kinds of feeds, beside "strict" and "bounded" of Redis.
const (
	strictOverPostgres = "strict over PostgreSQL"
	replication        = "replication"
	throughRelay       = "replication through Redis" // one process reads the server's log, and tells the others
)

// strictFeed is what both kinds of strict feeds are.
type strictFeed interface {
	preload.Teller
	preload.Positioner
	preload.Exact
}

func spoiled(how string, feed strictFeed) preload.Feed {
	switch how {
	case tellsLate:
		return late{feed}
	case needsNoLease:
		return leaseless{feed}
	case diesAnnounced:
		return dying{feed}
	}
	return feed
}

type late struct{ strictFeed }

func (f late) Announce(ctx context.Context, batch []byte, tx string) (func(preload.End), error) {
	return func(end preload.End) {
		time.Sleep(bound / 20)
		if finish, err := f.strictFeed.Announce(ctx, batch, tx); err == nil {
			finish(end)
		}
	}, nil
}

type dying struct{ strictFeed }

func (f dying) Announce(ctx context.Context, batch []byte, tx string) (func(preload.End), error) {
	finish, err := f.strictFeed.Announce(ctx, batch, tx)
	if rand.IntN(10) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return finish, err
}

type leaseless struct{ strictFeed }

func (f leaseless) Open(ctx context.Context, m preload.Member) error {
	return f.strictFeed.Open(ctx, unbounded{m})
}

type endless struct{ preload.Feed }

func (f endless) Open(ctx context.Context, m preload.Member) error {
	return f.Feed.Open(ctx, unbounded{m})
}

type unbounded struct{ preload.Member }

func (m unbounded) Serve(time.Time, time.Duration) { m.Member.Serve(time.Now(), time.Hour) }

// event is a line of a process.
type event struct {
	kind         string
	id           int
	version      int64
	begun, ended int64
	process      int
}

func events(t *testing.T, path string, process int) (all []event) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		e := event{process: process}
		if _, err := fmt.Sscan(line, &e.kind, &e.id, &e.version, &e.begun, &e.ended); err == nil && strings.HasSuffix(line, "\n") {
			all = append(all, e) // the last line of a process that was killed may be cut off
		}
	}
	return all
}
