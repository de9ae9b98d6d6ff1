package feedtest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// Bed is what connects feeds, as a test needs it.
type Bed struct {
	// Feed returns another feed that is connected with the others.
	Feed func() preload.Feed
	// Bound is how old an answer may be; 0 for a strict feed.
	Bound time.Duration
	// Cut has nothing arrive that a feed sends or is told, until it is called with false. It may be
	// nil.
	Cut func(f preload.Feed, cut bool)
	// Long is how long a feed that is cut may serve.
	Long time.Duration
	// Faults are what may befall what connects the feeds, by name. There may be none.
	Faults map[string]func()
}

// process is one plugin, as if it were in a process of its own.
type process struct {
	*worldtest.World
	feed preload.Feed
}

// open opens a process. It has a Probe of its own.
func (b *Bed) open(t testing.TB, d *dbtest.Database, plain *gorm.DB, options ...preload.Option) *process {
	t.Helper()
	feed := b.Feed()
	options = append([]preload.Option{preload.WithFeed(feed)}, options...)
	return &process{worldtest.Open(t, d.Again(), plain, nil, options...), feed}
}

// serving waits until a process answers from memory.
func (p *process) serving(t testing.TB) {
	t.Helper()
	worldtest.Within(t, worldtest.Patience, "a process that serves from memory", func() {
		for hits := p.Plugin.Stats().Hits; p.Plugin.Stats().Hits == hits; time.Sleep(time.Millisecond) {
			var orgs []worldtest.WriteOrg
			p.DB.Find(&orgs)
		}
	})
}

// Run runs the tests, each on every kind of database with a bed of its own.
func Run(t *testing.T, open func(t *testing.T) Bed) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) { test.run(t, d, open(t)) })
		})
	}
}

// RunOn runs the tests, each on a database and with a bed of its own.
func RunOn(t *testing.T, open func(t *testing.T) (*dbtest.Database, Bed)) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d, b := open(t)
			test.run(t, d, b)
		})
	}
}

var tests = []struct {
	name string
	run  func(*testing.T, *dbtest.Database, Bed)
}{
	{"EveryWrite", everyWrite},
	{"Versions", versions},
	{"CutOff", cutOff},
	{"Closing", closing},
	{"Faults", faults},
	{"OtherModel", otherModel},
	{"Secrets", secrets},
	{"Tokens", tokens},
	{"Freshness", freshness},
	{"HotKeys", hotKeys},
	{"Again", again},
}

// right checks that a process answers as the database would: at once, or within the bound of time
// since a write has returned.
func (b *Bed) right(t testing.TB, p *process, since time.Time, what string, queries ...worldtest.Named) {
	t.Helper()
	for _, q := range queries {
		for {
			begun := time.Now()
			got := q.Ask(p.DB)
			diff := q.Ask(p.Plain).Differs(got)
			if diff == "" {
				break
			}
			if age := begun.Sub(since); age > b.Bound {
				t.Fatalf("%s: %s, %v after it: %s", what, q.Name, age, diff)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// everyWrite: what one process writes, in whatever way, another one that has all in memory serves
// no longer; and it goes on serving what was not touched.
func everyWrite(t *testing.T, d *dbtest.Database, b Bed) {
	plain := worldtest.MigrateWrites(t, d)
	worldtest.SeedWrites(t, plain)
	writer, reader := b.open(t, d, plain), b.open(t, d, plain)
	writer.serving(t)
	reader.serving(t)
	in := map[string]func(w worldtest.KeyedWrite, id uint, n int) error{
		"alone": func(w worldtest.KeyedWrite, id uint, n int) error { return w.Do(writer.DB, id, n) },
		"within": func(w worldtest.KeyedWrite, id uint, n int) error {
			return writer.DB.Transaction(func(tx *gorm.DB) error { return w.Do(tx, id, n) })
		},
		"undone": func(w worldtest.KeyedWrite, id uint, n int) error {
			err := writer.DB.Transaction(func(tx *gorm.DB) error { return errors.Join(w.Do(tx, id, n), errUndone) })
			if errors.Is(err, errUndone) {
				return nil
			}
			return err
		},
	}
	ways, whole := []string{"alone", "within", "undone"}, worldtest.Budget(t, 0) > 0
	for i, write := range worldtest.RandomWrites {
		for way, how := range ways {
			do := in[how]
			if !whole && way != []int{0, 1, 0, 1, 2}[i%5] {
				continue // each in one way, unless there is more time
			}
			for _, q := range worldtest.WriteQueries {
				q.Ask(reader.DB)
			}
			id, n := uint(1+i%4), i
			what := fmt.Sprintf("%s(%d, %d), %s", write.Name, id, n, how)
			err := do(write, id, n) // some fail
			b.right(t, reader, time.Now(), fmt.Sprint(what, ": ", err), worldtest.WriteQueries...)
		}
	}
	worldtest.Must(t, plain.Exec("UPDATE write_orgs SET name = 'unseen'").Error)
	worldtest.Must(t, writer.Plugin.Invalidate(&worldtest.WriteOrg{}))
	b.right(t, reader, time.Now(), "Invalidate", worldtest.WriteQueries...)
	worldtest.Must(t, plain.Exec("UPDATE write_tags SET name = 'unseen'").Error)
	writer.Plugin.Clear()
	b.right(t, reader, time.Now(), "Clear", worldtest.WriteQueries...)
	if hits := reader.Plugin.Stats().Hits; hits < int64(len(worldtest.RandomWrites)) {
		t.Errorf("%d hits in %d writes: the test tests nothing", hits, len(worldtest.RandomWrites))
	}
}

var errUndone = errors.New("undone")

// counter is a row whose versions are told apart.
type counter struct {
	_       struct{} `preload:""`
	ID      int
	Version int64
}

// history has the versions of a row that were written, and when they were.
type history struct {
	started atomic.Int64
	mu      sync.Mutex
	acked   []time.Time // of the version of that number
}

func (h *history) ack() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acked = append(h.acked, time.Now())
}

// at returns the last version of which somebody was told before a moment.
func (h *history) at(moment time.Time) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, _ := slices.BinarySearchFunc(h.acked, moment, func(a, b time.Time) int { return a.Compare(b) })
	return int64(n - 1)
}

// versions: processes that all read and write the same rows at the same time find none that is
// older than what was acknowledged when the read began, or that long before.
func versions(t *testing.T, d *dbtest.Database, b Bed) {
	const rows = 3
	plain := worldtest.MigrateWrites(t, d)
	worldtest.SeedWrites(t, plain)
	worldtest.Must(t, plain.AutoMigrate(&counter{}))
	for _, processes := range []int{2, 4} {
		t.Run(fmt.Sprint(processes, " processes"), func(t *testing.T) {
			worldtest.Must(t, plain.Where("id > 0").Delete(&counter{}).Error)
			var histories [rows]history
			for i := range histories {
				histories[i].ack()
				worldtest.Must(t, plain.Create(&counter{ID: i + 1}).Error)
			}
			var all []*process
			for range processes {
				all = append(all, b.open(t, d, plain))
			}
			for _, p := range all {
				p.serving(t)
			}
			hits := func() (n int64) {
				for _, p := range all {
					n += p.Plugin.Stats().Models["counters"].Hits
				}
				return n
			}
			end := time.Now().Add(worldtest.Budget(t, 600*time.Millisecond))
			last := end.Add(worldtest.Patience)
			// On a busy machine little happens in that time.
			goesOn := func() bool {
				now := time.Now()
				return !t.Failed() && (now.Before(end) || now.Before(last) && hits() == 0)
			}
			var workers sync.WaitGroup
			var reads, writes atomic.Int64
			for i := range histories {
				h, p := &histories[i], all[i%processes]
				workers.Go(func() { // a row has one writer
					for n := int64(1); goesOn(); n++ {
						h.started.Store(n)
						if err := p.bump(i+1, n); err != nil {
							t.Errorf("write: %v", err)
							return
						}
						h.ack()
						writes.Add(1)
						time.Sleep(time.Duration(n%4) * 5 * time.Millisecond) // so that answers live for a while
					}
				})
			}
			for _, p := range all {
				for r := range 2 {
					workers.Go(func() {
						for n := r; goesOn(); n++ {
							i := n % rows
							begun := time.Now()
							low := histories[i].at(begun.Add(-b.Bound))
							var c counter
							if err := p.DB.First(&c, i+1).Error; err != nil {
								t.Errorf("read: %v", err)
								return
							}
							reads.Add(1)
							if c.Version < low || c.Version > histories[i].started.Load() {
								t.Errorf("row %d: version %d after %d was acknowledged and %d was begun", i+1, c.Version, low, histories[i].started.Load())
							}
						}
					})
				}
			}
			workers.Wait()
			t.Logf("%d writes, %d reads, of which %d from memory", writes.Load(), reads.Load(), hits())
			if hits() == 0 {
				t.Error("nothing was read from memory: the test tests nothing")
			}
			for _, p := range all {
				worldtest.Must(t, p.Plugin.Close())
			}
		})
	}
}

// bump writes a version in one of the ways that there are.
func (p *process) bump(id int, version int64) error {
	ctx := context.Background()
	switch version % 3 {
	case 0:
		return p.DB.WithContext(ctx).Exec("UPDATE counters SET version = ? WHERE id = ?", version, id).Error
	case 1:
		return p.DB.Model(&counter{ID: id}).Update("version", version).Error
	}
	return p.DB.Transaction(func(tx *gorm.DB) error { return tx.Save(&counter{ID: id, Version: version}).Error })
}

// cutOff: who hears nothing serves nothing after a while, and is never further behind than the
// bound; and goes on when it hears again.
func cutOff(t *testing.T, d *dbtest.Database, b Bed) {
	if b.Cut == nil {
		t.Skip("what connects these feeds cannot be cut")
	}
	plain := worldtest.MigrateWrites(t, d)
	worldtest.SeedWrites(t, plain)
	writer, reader := b.open(t, d, plain), b.open(t, d, plain)
	writer.serving(t)
	reader.serving(t)
	b.Cut(reader.feed, true)
	cut := time.Now()
	for i := range 5 {
		worldtest.Must(t, writer.DB.Model(&worldtest.WriteOrg{ID: 1}).Update("name", fmt.Sprint("cut", i)).Error)
		b.right(t, reader, time.Now(), "a write while the reader is cut off", worldtest.WriteQueries[:4]...)
	}
	time.Sleep(time.Until(cut.Add(b.Long)))
	var orgs []worldtest.WriteOrg
	if n := reader.Queries(func() { reader.DB.Find(&orgs); reader.DB.Find(&orgs) }); n != 2 {
		t.Errorf("%d of 2 reads came from the database, of a process that is cut off", n)
	}
	b.Cut(reader.feed, false)
	reader.serving(t)
	worldtest.Must(t, writer.DB.Model(&worldtest.WriteOrg{ID: 1}).Update("name", "whole").Error)
	b.right(t, reader, time.Now(), "a write after that", worldtest.WriteQueries...)
}

// faults: whatever befalls what connects processes, none serves what another one has changed; and
// all serve again after a while.
func faults(t *testing.T, d *dbtest.Database, b Bed) {
	if len(b.Faults) == 0 {
		t.Skip("nothing befalls what connects these feeds")
	}
	plain := worldtest.MigrateWrites(t, d)
	worldtest.SeedWrites(t, plain)
	writer, reader := b.open(t, d, plain), b.open(t, d, plain)
	writes := 0
	write := func(when string) {
		t.Helper()
		writes++
		worldtest.Must(t, writer.DB.Model(&worldtest.WriteOrg{ID: 1}).Update("name", fmt.Sprint("fault", writes)).Error)
		b.right(t, reader, time.Now(), when, worldtest.WriteQueries[:6]...)
	}
	for name, befall := range b.Faults {
		// Nobody knows what became of what was under way. The clock is the test's: it stands still.
		writer.PassHoldOut()
		reader.PassHoldOut()
		writer.serving(t)
		reader.serving(t)
		write("before it was " + name)
		befall()
		for range 3 {
			write("after it was " + name)
		}
	}
	writer.PassHoldOut()
	reader.PassHoldOut()
	writer.serving(t)
	reader.serving(t)
	write("in the end")
}

// renamed is the model of the table of WriteOrg in another version of the application.
type renamed struct {
	_    struct{} `preload:""`
	ID   string   `gorm:"type:varchar(20)"`
	Name int
}

// TableName implements gorm's Tabler.
func (renamed) TableName() string { return "write_orgs" }

// otherModel: where two versions of an application read a table in different ways, what one writes
// touches all of the other's answers of the table.
func otherModel(t *testing.T, d *dbtest.Database, b Bed) {
	plain := worldtest.MigrateWrites(t, d)
	worldtest.SeedWrites(t, plain)
	writer, reader := b.open(t, d, plain), b.open(t, d, plain)
	reader.serving(t)
	worldtest.Must(t, writer.Plugin.Register(&renamed{}))
	one := worldtest.First[worldtest.WriteOrg](func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 1) })
	for range 2 {
		one.Ask(reader.DB)
	}
	// The reader reads integers. The writer's model says that ids are texts, as its change does.
	id := map[string]string{"postgres": "id::text", "mysql": "id", "sqlite": "id"}[d.Dialect]
	worldtest.Must(t, writer.DB.Model(&renamed{}).Where(id+" = ?", "1").Update("name", gorm.Expr("'7'")).Error)
	b.right(t, reader, time.Now(), "a write by another version", worldtest.Named{Name: "org 1", Query: one})
}

// secrets: who has another secret is not understood, and its writes touch everything.
func secrets(t *testing.T, d *dbtest.Database, b Bed) {
	plain := worldtest.MigrateWrites(t, d)
	worldtest.SeedWrites(t, plain)
	one, other := []byte("0123456789abcdef"), []byte("fedcba9876543210")
	writer, same, different := b.open(t, d, plain, preload.WithSecret(one)), b.open(t, d, plain, preload.WithSecret(one)), b.open(t, d, plain, preload.WithSecret(other))
	for _, p := range []*process{writer, same, different} {
		p.serving(t)
	}
	tag, org := worldtest.Named{}, worldtest.Named{}
	tag.Name, tag.Query = "tags", worldtest.List[worldtest.WriteTag](worldtest.ByID)
	org.Name, org.Query = "orgs", worldtest.List[worldtest.WriteOrg](worldtest.ByID)
	for range 2 {
		for _, p := range []*process{same, different} {
			tag.Ask(p.DB)
			org.Ask(p.DB)
		}
	}
	worldtest.Must(t, writer.DB.Model(&worldtest.WriteOrg{ID: 1}).Update("name", "sealed").Error)
	b.right(t, different, time.Now(), "a write under another secret", org, tag)
	b.right(t, same, time.Now(), "a write under the same secret", org)
	if n := same.Queries(func() { tag.Ask(same.DB) }); n != 0 {
		t.Error("what was not touched left the memory of a process with the same secret")
	}
}

var tokensRead = flag.Int("feed.tokens", 100, "how many writes are read in another process with their tokens")

// tokens: who reads with the token of a write sees it, and never what was there before; from memory
// where that is known in time.
func tokens(t *testing.T, d *dbtest.Database, b Bed) {
	plain := worldtest.MigrateWrites(t, d)
	worldtest.SeedWrites(t, plain)
	worldtest.Must(t, plain.AutoMigrate(&counter{}))
	worldtest.Must(t, plain.Create(&counter{ID: 1}).Error)
	writer, reader := b.open(t, d, plain), b.open(t, d, plain)
	writer.serving(t)
	reader.serving(t)
	ctx := t.Context()
	var waited time.Duration
	read := func(ctx context.Context, version int64) {
		t.Helper()
		c, begun := counter{}, time.Now()
		worldtest.Must(t, reader.DB.WithContext(ctx).First(&c, 1).Error)
		waited += time.Since(begun)
		if c.Version != version {
			t.Fatalf("version %d, with the token of version %d", c.Version, version)
		}
	}
	hits := func() int64 { return reader.Plugin.Stats().Models["counters"].Hits }
	n := int64(0)
	for end := time.Now().Add(worldtest.Patience); n < int64(*tokensRead) || hits() == 0 && time.Now().Before(end); {
		n++
		worldtest.Must(t, writer.bump(1, n))
		token, err := writer.Plugin.Position(ctx)
		worldtest.Must(t, err)
		with := preload.ContextWithAtLeast(ctx, token)
		read(with, n)
		read(with, n) // and so it is in memory when the next one is written
	}
	t.Logf("%d writes read twice, %d times from memory, %v each; missed %v", n, hits(), waited/time.Duration(2*n), reader.Plugin.Stats().MissCauses)
	if hits() == 0 {
		t.Error("nothing was read from memory: the test tests nothing")
	}
	if b.Cut == nil {
		return
	}
	// Who hears nothing serves nothing of before the token.
	b.Cut(reader.feed, true)
	for i := range int64(3) {
		cut := make(chan error, 1)
		go func() { cut <- writer.bump(1, n+1+i) }()
		worldtest.Within(t, worldtest.Patience, "a write while another process is cut off", func() { worldtest.Must(t, <-cut) })
		token, err := writer.Plugin.Position(ctx)
		worldtest.Must(t, err)
		read(preload.ContextWithAtLeast(ctx, token), n+1+i)
	}
	b.Cut(reader.feed, false)
}

// freshness: who asks for no answer of before a moment sees what had been written by then.
func freshness(t *testing.T, d *dbtest.Database, b Bed) {
	plain := worldtest.MigrateWrites(t, d)
	worldtest.SeedWrites(t, plain)
	worldtest.Must(t, plain.AutoMigrate(&counter{}))
	worldtest.Must(t, plain.Create(&counter{ID: 1}).Error)
	writer, reader := b.open(t, d, plain), b.open(t, d, plain, preload.WithClock(running{}))
	writer.serving(t)
	reader.serving(t)
	var h history
	h.ack()
	for n := int64(1); n <= 30; n++ {
		if b.Cut != nil {
			b.Cut(reader.feed, n%10 > 5)
		}
		worldtest.Must(t, writer.bump(1, n))
		_, err := writer.Plugin.Position(t.Context()) // so that all is told
		worldtest.Must(t, err)
		h.ack()
		within := time.Duration(n%5) * 5 * time.Millisecond
		for range 3 {
			low := h.at(time.Now().Add(-within))
			var c counter
			worldtest.Must(t, reader.DB.WithContext(preload.ContextWithFreshness(t.Context(), within)).First(&c, 1).Error)
			if c.Version < low {
				t.Fatalf("within %v: version %d, when %d had been written by then", within, c.Version, low)
			}
		}
		time.Sleep(time.Duration(n%3) * 5 * time.Millisecond) // so that answers become old
	}
	if b.Cut != nil {
		b.Cut(reader.feed, false)
	}
}

// running is a clock that runs.
type running struct{}

func (running) Now() time.Time { return time.Now() }
