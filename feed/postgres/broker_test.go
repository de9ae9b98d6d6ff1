//go:build unix

package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/feedtest"
	"github.com/gorm-preload/preload/internal/strict"
	"github.com/gorm-preload/preload/internal/strict/stricttest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"go.uber.org/goleak"
)

// broker returns one of a database of its own.
func (b *bed) broker(t *testing.T) *broker {
	t.Helper()
	br, err := newBroker(b.DSN(b.name), "preload", "test", worldtest.Quiet())
	worldtest.Must(t, err)
	t.Cleanup(br.close)
	return br
}

// truncation has the processes lose all that they share.
const truncation = "TRUNCATE preload.strict_group, preload.strict_seat, preload.strict_beat, preload.strict_write"

// TestBroker: what each step does, and that a server that was started anew has another run: whether
// it crashed, which empties the tables, or ended in peace.
func TestBroker(t *testing.T) {
	t.Parallel()
	crashes, ends := alone(t), alone(t)
	for how, s := range map[string]*server{"crash": crashes, "end": ends} {
		stop := s.Stop
		if how == "end" {
			stop = s.End
		}
		t.Run(how, func(t *testing.T) {
			stricttest.Run(t, func(t *testing.T) stricttest.Bed {
				b := s.bed(t)
				br := b.broker(t)
				return stricttest.Bed{
					Broker: br,
					Subscribe: func(process string, to strict.Listener) {
						hears := make(chan struct{}, 16)
						e := br.listen(process, to, func() {
							select {
							case hears <- struct{}{}:
							default:
							}
						})
						t.Cleanup(e.close)
						select {
						case <-hears:
						case <-time.After(worldtest.Patience):
							t.Fatal("not subscribed")
						}
					},
					Restart: func() {
						stop()
						worldtest.Must(t, s.Start())
						br.pool.Reset()
					},
					Empty: func() {
						conn := b.connect(b.name)
						b.exec(conn, truncation)
					},
				}
			})
		})
	}
}

// TestALongAnnouncementIsHeard although a notification is short.
func TestALongAnnouncementIsHeard(t *testing.T) {
	t.Parallel()
	br := common(t).bed(t).broker(t)
	long := strict.Announcement{ID: "long", Process: "a", Batch: []byte(strings.Repeat("x", 1<<20))}
	_, state, err := br.Join(t.Context(), "a", strict.Seat{})
	worldtest.Must(t, err)
	heard, hears := make(chan strict.Announcement, 1), make(chan struct{}, 1)
	e := br.listen("a", hearing{heard: heard}, func() { hears <- struct{}{} })
	t.Cleanup(e.close)
	<-hears
	_, err = br.Announce(t.Context(), state.Run, long)
	worldtest.Must(t, err)
	select {
	case a := <-heard:
		if a.ID != long.ID || string(a.Batch) != string(long.Batch) {
			t.Errorf("heard %s with %d bytes", a.ID, len(a.Batch))
		}
	case <-time.After(worldtest.Patience):
		t.Error("not heard")
	}
}

type hearing struct {
	strict.Listener
	heard chan strict.Announcement
}

func (h hearing) Announced(a strict.Announcement) { h.heard <- a }

// TestStrict: what every feed promises, of a strict one.
func TestStrict(t *testing.T) {
	t.Parallel()
	s := common(t)
	feedtest.RunOn(t, func(t *testing.T) (*dbtest.Database, feedtest.Bed) {
		b := s.bed(t)
		const lease = time.Second
		return b.d, feedtest.Bed{
			Feed: func() preload.Feed { return Strict(b.DSN(b.name), WithLease(lease)) },
			Long: lease,
			Faults: map[string]func(){
				"emptied": func() { b.write(truncation) },
				"cut off from the server": func() {
					b.write("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'preload strict' AND datname = current_database()")
				},
			},
		}
	})
}

// TestStrictSaysWhatItMayNotMake, and works once somebody has made it.
func TestStrictSaysWhatItMayNotMake(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	role := "app_" + b.name
	b.write("CREATE ROLE " + role + " LOGIN")
	dsn := strings.Replace(b.DSN(b.name), "postgres@", role+"@", 1)
	open := func() (*preload.Plugin, error) {
		p := preload.New(preload.WithFeed(Strict(dsn)), preload.WithLogger(worldtest.Quiet()))
		return p, b.d.Open(t).Use(p)
	}
	if _, err := open(); err == nil || !strings.Contains(err.Error(), "StrictSQL") {
		t.Fatalf("db.Use: %v", err)
	}
	for _, wrong := range []string{"nobody_of_this_name", "no_database_of_this_name"} {
		there := dsn
		if dsn = strings.Replace(b.DSN(b.name), "postgres@", wrong+"@", 1); strings.HasPrefix(wrong, "no_database") {
			dsn = b.DSN(wrong)
		}
		if _, err := open(); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("db.Use with %s: %v", wrong, err)
		}
		dsn = there
	}
	conn := b.connect(b.name)
	b.exec(conn, StrictSQL("preload"))
	for _, granted := range []string{"", "USAGE ON SCHEMA preload"} {
		if granted != "" {
			b.exec(conn, "GRANT "+granted+" TO "+role)
		}
		if _, err := open(); err == nil || !strings.Contains(err.Error(), "GRANT") {
			t.Errorf("db.Use where %q is granted: %v", granted, err)
		}
	}
	b.exec(conn, "GRANT USAGE ON SCHEMA preload TO "+role+"; GRANT ALL ON ALL TABLES IN SCHEMA preload TO "+role)
	p, err := open()
	worldtest.Must(t, err)
	worldtest.Must(t, p.Close())
}

// TestStrictNamesBadOptions, and what would be right.
func TestStrictNamesBadOptions(t *testing.T) {
	t.Parallel()
	for option, feed := range map[string]preload.Feed{
		"WithSchema": Strict("", WithSchema("")), "WithLease": Strict("", WithLease(-1)), "WithPatience": Strict("", WithPatience(0)),
		"WhenCutOff": Strict("", WhenCutOff(7)), "data source name": Strict("postgres://%"),
	} {
		err := dbtest.SQLite(t).Open(t).Use(preload.New(preload.WithFeed(feed)))
		if err == nil || !strings.Contains(err.Error(), option) {
			t.Errorf("want an error about %s, got %v", option, err)
		}
	}
}

// TestStrictEndsThoughTheServerIsSilent: with all goroutines, in about half a lease.
func TestStrictEndsThoughTheServerIsSilent(t *testing.T) {
	b := common(t).bed(t)
	behind, proxy := b.d.Behind(t)
	db := b.d.Open(t)
	worldtest.Must(t, db.Exec("CREATE TABLE strict_things (id integer PRIMARY KEY)").Error)
	before := goleak.IgnoreCurrent()
	const lease = time.Second
	p := preload.New(preload.WithFeed(Strict(behind.DSN(), WithLease(lease))), preload.WithLogger(worldtest.Quiet()))
	worldtest.Must(t, db.Use(p))
	for end := time.Now().Add(worldtest.Patience); ; time.Sleep(time.Millisecond) {
		// A write is told, so that some connections are there.
		if db.Exec("INSERT INTO strict_things VALUES (1) ON CONFLICT DO NOTHING").Error == nil && proxy.Links() > 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the feed does not connect")
		}
	}
	proxy.Rule(func(dbtest.Packet) dbtest.Verdict { return dbtest.Silence })
	proxy.SilenceAll()
	time.Sleep(lease / 2) // for steps to wait for an answer
	closing := time.Now()
	_ = p.Close()
	if took := time.Since(closing); took > 10*time.Second {
		t.Errorf("Close took %v", took)
	}
	goleak.VerifyNone(t, before, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"), goleak.IgnoreAnyFunction("github.com/gorm-preload/preload/internal/dbtest.(*Proxy).carry"))
}

// strictThing is a row that is read.
type strictThing struct {
	_  struct{} `preload:""`
	ID int
}

// TestStrictServesSoonAfterSilence: steps that a silent server did not answer hold no others up once
// it answers.
func TestStrictServesSoonAfterSilence(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	behind, proxy := b.d.Behind(t)
	db := b.d.Open(t)
	worldtest.Must(t, db.AutoMigrate(&strictThing{}))
	worldtest.Must(t, db.Create(&strictThing{ID: 1}).Error)
	p := preload.New(preload.WithFeed(Strict(behind.DSN(), WithLease(time.Second))), preload.WithLogger(worldtest.Quiet()))
	worldtest.Must(t, db.Use(p))
	t.Cleanup(func() { _ = p.Close() })
	serves := func() time.Duration {
		before, begun := p.Stats().Hits, time.Now()
		for p.Stats().Hits == before {
			if time.Since(begun) > worldtest.Patience {
				t.Fatal("nothing is served")
			}
			worldtest.Must(t, db.First(&strictThing{}, 1).Error)
			time.Sleep(time.Millisecond)
		}
		return time.Since(begun)
	}
	serves()
	proxy.Rule(func(dbtest.Packet) dbtest.Verdict { return dbtest.Silence })
	proxy.SilenceAll()
	time.Sleep(slowest + time.Second)
	proxy.Rule(nil)
	if took := serves(); took > 2*slowest {
		t.Errorf("it serves %v after the server answers", took)
	}
}

// TestStrictAwaitsAServerThatIsGone: db.Use does not fail, and Close ends.
func TestStrictAwaitsAServerThatIsGone(t *testing.T) {
	t.Parallel()
	p := preload.New(preload.WithFeed(Strict("postgres://postgres@127.0.0.1:1/postgres?connect_timeout=1", WithLease(200*time.Millisecond))), preload.WithLogger(worldtest.Quiet()))
	worldtest.Must(t, dbtest.SQLite(t).Open(t).WithContext(context.Background()).Use(p))
	worldtest.Must(t, p.Close())
}
