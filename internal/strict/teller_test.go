package strict

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// room is a memory with a lock.
type room struct {
	mu      sync.Mutex
	until   time.Time
	kept    int64 // a version; 0 where there is none
	blocked int
	epoch   int // moves when what is being loaded is not to be kept
	resets  int
}

func (r *room) Serve(asked time.Time, n time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.until = asked.Add(n)
}

func (r *room) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.until = time.Time{}
	r.epoch++
}

func (r *room) Reset(string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = 0
	r.epoch++
	r.resets++
}

func (r *room) Begin([]byte) (end func(End)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = 0
	r.epoch++
	r.blocked++
	return func(End) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.blocked--
	}
}

func (r *room) serves() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Before(r.until)
}

// read returns what is kept, or loads it.
func (r *room) read(load func() int64) (version int64, hit bool) {
	r.mu.Lock()
	alive := time.Now().Before(r.until)
	if alive && r.kept != 0 {
		defer r.mu.Unlock()
		return r.kept, true
	}
	keep, epoch := alive && r.blocked == 0, r.epoch
	r.mu.Unlock()
	version = load()
	r.mu.Lock()
	defer r.mu.Unlock()
	if keep && epoch == r.epoch {
		r.kept = version
	}
	return version, false
}

// table is a database of one row, of which one transaction at a time writes.
type table struct {
	writer sync.Mutex
	row    atomic.Int64
	begun  atomic.Int64
	ended  atomic.Int64 // all up to this one are
}

func (d *table) Over(_ context.Context, tx string) (bool, error) {
	n, err := strconv.ParseInt(tx, 10, 64)
	return err == nil && d.ended.Load() >= n, err
}

func (d *table) Mark(context.Context) (string, error) {
	return strconv.FormatInt(d.begun.Load(), 10), nil
}

func (d *table) Passed(ctx context.Context, mark string) (bool, error) { return d.Over(ctx, mark) }

// shaky is a broker that is out of reach from time to time.
type shaky struct {
	Broker
	out atomic.Bool
}

var errOut = errors.New("out of reach")

func (b *shaky) Join(ctx context.Context, p string, left Seat) (Seat, State, error) {
	if b.out.Load() {
		return Seat{}, State{}, errOut
	}
	return b.Broker.Join(ctx, p, left)
}

func (b *shaky) Renew(ctx context.Context, s Seat) (State, error) {
	if b.out.Load() {
		<-ctx.Done() // it does not answer
		return State{}, ctx.Err()
	}
	return b.Broker.Renew(ctx, s)
}

func (b *shaky) Announce(ctx context.Context, run string, a Announcement) (State, error) {
	if b.out.Load() {
		return State{}, errOut
	}
	return b.Broker.Announce(ctx, run, a)
}

func (b *shaky) Finish(ctx context.Context, run, write string, end End) error {
	if b.out.Load() {
		return errOut
	}
	return b.Broker.Finish(ctx, run, write, end)
}

func (b *shaky) Fence(ctx context.Context, s Standing) (bool, int64, error) {
	if b.out.Load() {
		return false, 0, errOut
	}
	return b.Broker.Fence(ctx, s)
}

type node struct {
	*Teller
	room   *room
	broker *shaky
}

func startNodes(t *testing.T, n int, c Config) (*LocalBroker, *table, []*node) {
	t.Helper()
	broker, db := &LocalBroker{}, &table{}
	db.row.Store(1)
	var nodes []*node
	for i := range n {
		node := &node{room: &room{}, broker: &shaky{Broker: broker}}
		name := fmt.Sprintf("process %d", i)
		teller, err := NewTeller(c, name, node.broker, db, node.room)
		if err != nil {
			t.Fatal(err)
		}
		node.Teller = teller
		broker.Subscribe(name, teller)
		teller.Start()
		t.Cleanup(func() { _ = teller.Close() })
		nodes = append(nodes, node)
	}
	for _, node := range nodes {
		await(t, "a process serves", node.room.serves)
	}
	return broker, db, nodes
}

func await(t *testing.T, what string, true func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !true(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// write makes one write, and returns its version.
func (n *node) write(db *table) (version int64, err error) {
	db.writer.Lock()
	defer db.writer.Unlock()
	tx := db.begun.Add(1)
	end := n.room.Begin(nil)
	defer end(EndVisible)
	finish, err := n.Announce(context.Background(), nil, strconv.FormatInt(tx, 10))
	if err != nil {
		db.ended.Store(tx)
		return 0, err
	}
	version = db.row.Add(1)
	db.ended.Store(tx)
	finish(EndVisible)
	return version, nil
}

// TestGoroutinesDriveTheSameMember: nothing stale is served where real goroutines run the members,
// and the broker is lost, or out of reach of one.
func TestGoroutinesDriveTheSameMember(t *testing.T) {
	broker, db, nodes := startNodes(t, 4, Config{Lease: 200 * time.Millisecond, Margin: 0.02, Fail: true})
	var (
		floor, read  atomic.Int64
		hits, writes atomic.Int64
		workers      sync.WaitGroup
	)
	raise := func(v *atomic.Int64, to int64) {
		for old := v.Load(); old < to && !v.CompareAndSwap(old, to); old = v.Load() {
		}
	}
	until := time.Now().Add(3 * time.Second)
	for i, n := range nodes {
		workers.Go(func() {
			for time.Now().Before(until) {
				returned, seen := floor.Load(), read.Load()
				version, hit := n.room.read(db.row.Load)
				if version < max(returned, seen) {
					t.Errorf("process %d read %d (from memory: %v) after a write of %d returned, and %d was read", i, version, hit, returned, seen)
					return
				}
				raise(&read, version)
				if hit {
					hits.Add(1)
				}
				time.Sleep(50 * time.Microsecond)
			}
		})
		workers.Go(func() {
			for time.Now().Before(until) {
				if version, err := n.write(db); err == nil {
					raise(&floor, version)
					writes.Add(1)
				}
				time.Sleep(time.Duration(rand.IntN(8)) * time.Millisecond)
			}
		})
	}
	workers.Go(func() {
		for i := 0; time.Now().Before(until); i++ {
			time.Sleep(400 * time.Millisecond)
			switch n := nodes[i%len(nodes)]; i % 3 {
			case 0:
				n.broker.out.Store(true)
				time.Sleep(300 * time.Millisecond)
				n.broker.out.Store(false)
			case 1:
				broker.Restart()
			}
		}
	})
	workers.Wait()
	t.Logf("%d reads from memory, %d writes", hits.Load(), writes.Load())
	if hits.Load() < 100 || writes.Load() < 20 {
		t.Errorf("%d reads from memory and %d writes: too few to tell", hits.Load(), writes.Load())
	}
	for _, n := range nodes {
		await(t, "all serve again", n.room.serves)
	}
}

// TestWhoIsCutOff: nobody waits for ever for a broker that does not answer. The write fails or is
// committed, as was said, and what was committed is announced when the broker is back.
func TestWhoIsCutOff(t *testing.T) {
	for _, fail := range []bool{true, false} {
		t.Run(fmt.Sprintf("fail=%v", fail), func(t *testing.T) {
			t.Parallel()
			_, db, nodes := startNodes(t, 2, Config{Lease: 100 * time.Millisecond, Fail: fail})
			writer, reader := nodes[0], nodes[1]
			if _, err := writer.write(db); err != nil {
				t.Fatal(err)
			}
			writer.broker.out.Store(true)
			began := time.Now()
			_, err := writer.write(db)
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("the write took %v", took)
			}
			switch {
			case fail && !errors.Is(err, ErrCutOff):
				t.Errorf("the write returned %v, want ErrCutOff", err)
			case !fail && err != nil:
				t.Errorf("the write returned %v", err)
			}
			if cut := writer.Counters().CutOff.Load(); cut == 0 {
				t.Error("nobody was counted as cut off")
			}
			writer.broker.out.Store(false)
			await(t, "the reader serves what is in the database", func() bool {
				version, hit := reader.room.read(db.row.Load)
				return hit && version == db.row.Load()
			})
		})
	}
}

// TestFinishReturns: a caller whose write is committed does not wait for ever for a broker that went
// away, and the write is finished when the broker is back.
func TestFinishReturns(t *testing.T) {
	t.Parallel()
	broker, db, nodes := startNodes(t, 2, Config{Lease: 100 * time.Millisecond, Fail: true})
	writer := nodes[0]
	pending := func() int {
		broker.mu.Lock()
		defer broker.mu.Unlock()
		return len(broker.state.pending)
	}
	finish, err := writer.Announce(context.Background(), nil, "1")
	if err != nil {
		t.Fatal(err)
	}
	db.row.Add(1)
	writer.broker.out.Store(true)
	finish(EndVisible)
	finish(EndVisible) // does nothing
	if cut := writer.Counters().CutOff.Load(); cut != 1 || pending() != 1 {
		t.Errorf("%d cut off, %d pending: want 1, 1", cut, pending())
	}
	writer.broker.out.Store(false)
	await(t, "the write is finished", func() bool { return pending() == 0 })
	for _, n := range nodes {
		await(t, "all serve the new row", func() bool {
			version, hit := n.room.read(db.row.Load)
			return hit && version == db.row.Load()
		})
	}
}

// TestCallersAreFreed: by the end of their context, and by Close.
func TestCallersAreFreed(t *testing.T) {
	t.Parallel()
	for _, fail := range []bool{false, true} {
		t.Run(fmt.Sprintf("fail %v", fail), func(t *testing.T) { t.Parallel(); callersAreFreed(t, fail) })
	}
}

func callersAreFreed(t *testing.T, fail bool) {
	broker, _, nodes := startNodes(t, 2, Config{Lease: 30 * time.Second, Fail: fail})
	n, other := nodes[0], nodes[1]
	broker.mu.Lock()
	broker.state.ready = true
	broker.mu.Unlock()
	broker.Unsubscribe(other.member.process) // it takes nothing in until it renews
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := n.Announce(ctx, []byte("x"), "1"); !errors.Is(err, context.Canceled) {
		t.Errorf("the end of the context: %v", err)
	}
	await(t, "the write that was given up is pending no longer", func() bool {
		broker.mu.Lock()
		defer broker.mu.Unlock()
		return len(broker.state.pending) == 0
	})
	closed := make(chan error, 1)
	go func() {
		_, err := n.Announce(context.Background(), []byte("x"), "1")
		closed <- err
	}()
	await(t, "the write is pending", func() bool {
		broker.mu.Lock()
		defer broker.mu.Unlock()
		return len(broker.state.pending) == 1
	})
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	switch err := <-closed; {
	case !fail && err != nil:
		t.Errorf("Close refused a write: %v", err)
	case fail && !(errors.Is(err, ErrCutOff) && errors.Is(err, ErrClosed)):
		t.Errorf("Close let a write go on that others were not told of: %v", err)
	}
	if _, err := n.Announce(context.Background(), nil, ""); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if n.room.serves() {
		t.Error("it serves after Close")
	}
	never, err := NewTeller(Config{}, "never", broker, &table{}, &room{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := errors.Join(n.Close(), never.Close()); err != nil {
			t.Error(err)
		}
		never.Start()
	}
	if _, err := never.Announce(context.Background(), nil, ""); !errors.Is(err, ErrClosed) {
		t.Errorf("closed before it was started: %v", err)
	}
	broker.mu.Lock()
	defer broker.mu.Unlock()
	if present(broker.state.members, n.member.process) {
		t.Error("it is a member after Close")
	}
}
