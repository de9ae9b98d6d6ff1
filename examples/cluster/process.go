package main

import (
	"bufio"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/feed/redis"
	goredis "github.com/redis/go-redis/v9"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Price is what the service reads and writes. Each change is the next version.
type Price struct {
	_       struct{} `preload:"ttl:1s"`
	ID      int
	Version int64
}

const (
	prices = 4           // rows
	ttl    = time.Second // that of the tag of Price
	bound  = time.Second // of the bounded feed, and the lease of the strict one
)

// How the processes are connected.
const (
	noFeed  = "without a feed"
	bounded = "bounded feed"
	strict  = "strict feed"
)

// task is what a process is told.
type task struct {
	Kind, DSN, Redis, Name string
	Writes                 bool // and the others read
}

// envTask has the task of a process that this program has started itself.
const envTask = "PRELOAD_CLUSTER_EXAMPLE_TASK"

// What a process says when it is ready, and what it is told then: to begin, and to end. It ends as
// soon as nobody can tell it anything, because the program has ended.
const (
	lineReady = "ready\n"
	lineBegin = "begin\n"
	lineEnd   = "end\n"
)

// event is a read, or a write, of a version.
type event struct {
	Row          int
	Version      int64
	Begun, Ended int64 // nanoseconds since 1970
}

// notes are what a process has to tell in the end.
type notes struct {
	Events       []event
	Hits, Misses int64
}

// beProcess does the task of the environment, if it has one.
func beProcess() (begun bool, err error) {
	text := os.Getenv(envTask)
	if text == "" {
		return false, nil
	}
	signal.Ignore(os.Interrupt) // the program is told, too, and ends this process
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return true, err
	}
	return true, t.do(os.Stdin, os.Stdout)
}

// feed returns the option that connects a process with the others, or one that changes nothing.
func (t *task) feed(client goredis.UniversalClient) preload.Option {
	switch t.Kind {
	case bounded:
		return preload.WithFeed(redis.Bounded(client, redis.WithName(t.Name), redis.WithBound(bound)))
	case strict:
		return preload.WithFeed(redis.Strict(client, redis.WithName(t.Name), redis.WithLease(bound)))
	}
	return preload.WithTTL(ttl)
}

func (t *task) do(in io.Reader, out io.Writer) error {
	client := goredis.NewClient(&goredis.Options{Addr: t.Redis})
	defer func() { _ = client.Close() }()
	db, err := gorm.Open(dialector(t.DSN), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return err
	}
	p := preload.New(t.feed(client), preload.WithLogger(slog.New(slog.DiscardHandler)))
	if err := db.Use(p); err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	var ended atomic.Bool
	lines := bufio.NewReader(in)
	for p.Stats().Hits == 0 { // until it serves from memory
		if err := db.First(&Price{}, 1).Error; err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := io.WriteString(out, lineReady); err != nil {
		return err
	}
	if line, err := lines.ReadString('\n'); err != nil || line != lineBegin {
		return nil
	}
	go func() {
		if line, err := lines.ReadString('\n'); err != nil || line != lineEnd {
			os.Exit(1)
		}
		ended.Store(true)
	}()
	before := p.Stats()
	n := notes{}
	if t.Writes {
		n.Events, err = write(db, &ended)
	} else {
		n.Events, err = read(db, &ended)
	}
	if err != nil {
		return err
	}
	s := p.Stats()
	n.Hits, n.Misses = s.Hits-before.Hits, s.Misses-before.Misses
	return gob.NewEncoder(out).Encode(n)
}

// write makes the next version of a row, again and again.
func write(db *gorm.DB, ended *atomic.Bool) (all []event, err error) {
	for n := int64(0); !ended.Load(); n++ {
		e := event{Row: 1 + int(n%prices), Version: 1 + n/prices, Begun: time.Now().UnixNano()}
		if err := db.Model(&Price{ID: e.Row}).Update("version", e.Version).Error; err != nil {
			return nil, fmt.Errorf("writing: %w", err)
		}
		e.Ended = time.Now().UnixNano()
		all = append(all, e)
		time.Sleep(10 * time.Millisecond)
	}
	return all, nil
}

// readers of a process.
const readers = 2

func read(db *gorm.DB, ended *atomic.Bool) (all []event, err error) {
	var mu sync.Mutex
	var running sync.WaitGroup
	for r := range readers {
		running.Go(func() {
			var mine []event
			var wrong error
			for n := r; !ended.Load() && wrong == nil; n++ {
				e := event{Row: 1 + n%prices, Begun: time.Now().UnixNano()}
				var p Price
				wrong = db.First(&p, e.Row).Error
				e.Version, e.Ended = p.Version, time.Now().UnixNano()
				mine = append(mine, e)
				time.Sleep(200 * time.Microsecond)
			}
			mu.Lock()
			defer mu.Unlock()
			if all = append(all, mine...); wrong != nil {
				err = fmt.Errorf("reading: %w", wrong)
			}
		})
	}
	running.Wait()
	return all, err
}
