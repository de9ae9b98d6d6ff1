package strict

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	maxNotices = 1024 // that wait to be taken in
	maxSteps   = 256  // that are under way
)

// Teller runs a Member in real time, with goroutines that Close ends. It is safe for concurrent
// use.
type Teller struct {
	member *Member
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{}
	slots  chan struct{}
	ended  chan struct{} // the member does nothing any more
	steps  sync.WaitGroup

	mu      sync.Mutex // a leaf
	queue   []func()
	notices int // in the queue
	started bool
	closed  bool
}

// NewTeller returns one that is not started. It is to hear what the broker tells the process before
// it is.
func NewTeller(c Config, process string, broker Broker, database Database, memory Memory) (*Teller, error) {
	t := &Teller{wake: make(chan struct{}, 1), slots: make(chan struct{}, maxSteps), ended: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	m, err := New(c, process, systemClock{}, broker, database, memory, outward{t})
	if err != nil {
		t.cancel()
		return nil, err
	}
	t.member = m
	return t, nil
}

// Start joins. It returns at once; nothing is served until the process has joined. A Teller that
// was started, or closed, is not started again.
func (t *Teller) Start() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.started && !t.closed {
		t.started = true
		go t.loop()
	}
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

// loop is the goroutine of the member.
func (t *Teller) loop() {
	defer close(t.ended)
	t.member.Start()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		for _, do := range t.take() {
			do()
		}
		if t.member.closed {
			return
		}
		timer.Reset(max(0, time.Until(t.member.Tick())))
		select {
		case <-t.wake:
		case <-timer.C:
		}
	}
}

func (t *Teller) take() []func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	queue := t.queue
	t.queue, t.notices = nil, 0
	return queue
}

// post has something run by the goroutine of the member, and reports whether it will be.
func (t *Teller) post(notice bool, do func()) bool {
	t.mu.Lock()
	if t.closed || notice && t.notices >= maxNotices {
		t.mu.Unlock()
		return false
	}
	if notice {
		t.notices++
	}
	t.queue = append(t.queue, do)
	t.mu.Unlock()
	t.rouse()
	return true
}

// rouse has the goroutine of the member look at the queue.
func (t *Teller) rouse() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// outward carries out steps, each in a goroutine. Those beyond the limit are dropped.
type outward struct{ t *Teller }

func (o outward) Broker(step func(context.Context) func()) { o.do(step) }

func (o outward) Database(step func(context.Context) func()) { o.do(step) }

func (o outward) do(step func(context.Context) func()) {
	t := o.t
	select {
	case t.slots <- struct{}{}:
	default:
		return
	}
	t.steps.Go(func() {
		defer func() { <-t.slots }()
		ctx, cancel := context.WithTimeout(t.ctx, t.member.Lease/2)
		defer cancel()
		then := step(ctx)
		t.post(false, then)
	})
}

// Announce returns once no other process serves what the batch touches, or with an error if the
// write must not be committed. finish is to be called once, when the end of the write is known; it
// returns once no process serves what was there before, or after a few leases.
func (t *Teller) Announce(ctx context.Context, batch []byte, tx string) (finish func(End), err error) {
	var w *Write // of the member's goroutine
	granted := make(chan error, 1)
	begun := t.post(false, func() {
		w = t.member.Announce(batch, tx, func(err error) { granted <- err })
	})
	if !begun {
		return nil, ErrClosed
	}
	withdraw := func(end End, done func()) { t.post(false, func() { w.Finish(end, done) }) }
	select {
	case err = <-granted:
	case <-ctx.Done():
		err = ctx.Err()
		withdraw(EndUndone, func() {})
	case <-t.ended:
		select {
		case err = <-granted:
		default:
			err = ErrClosed // it was not started
		}
	}
	if err != nil {
		return nil, err
	}
	var once sync.Once
	return func(end End) {
		once.Do(func() {
			done := make(chan struct{})
			withdraw(end, func() { close(done) })
			select {
			case <-done:
			case <-t.ended:
			}
		})
	}, nil
}

// Announced takes a notice in, as do the methods that follow. Where too many wait, they are
// dropped: what a notice says comes again.
func (t *Teller) Announced(a Announcement) {
	t.post(true, func() { t.member.Announced(a) })
}

// Finished takes a notice in.
func (t *Teller) Finished(write string, end End) {
	t.post(true, func() { t.member.Finished(write, end) })
}

// Acknowledged takes a notice in.
func (t *Teller) Acknowledged(a Acknowledgement) {
	t.post(true, func() { t.member.Acknowledged(a) })
}

// Gone takes a notice in.
func (t *Teller) Gone(seat Seat) {
	t.post(true, func() { t.member.Gone(seat) })
}

// Denied takes in that the broker does not let this process hear what others write.
func (t *Teller) Denied() {
	t.post(true, t.member.Denied)
}

// Owes reports whether there is a write that has returned, and that others may not have been told
// of.
func (t *Teller) Owes(ctx context.Context) (bool, error) {
	answer := make(chan bool, 1)
	if !t.post(false, func() { answer <- t.member.Owes() }) {
		return false, ErrClosed
	}
	select {
	case owes := <-answer:
		return owes, nil
	case <-ctx.Done():
		return false, ctx.Err()
	case <-t.ended:
		return false, ErrClosed
	}
}

// position is where all processes are at any time.
const position = "strict"

// Position names all that is told by now, for Await of any process. The error says that there is a
// write that could not be told to the others in time, and has not been since.
func (t *Teller) Position(ctx context.Context) (string, error) {
	owes, err := t.Owes(ctx)
	switch {
	case err != nil:
		return "", fmt.Errorf("asking whether all is told: %w", err)
	case owes:
		return "", fmt.Errorf("not all is told: %w", ErrCutOff)
	}
	return position, nil
}

// Await returns an error if a position is none. There is nothing to wait for while answers are
// served.
func (t *Teller) Await(p string) error {
	if p != position {
		return fmt.Errorf("the position %q: want one that Position gave", p)
	}
	return nil
}

// Counters tell what happened.
func (t *Teller) Counters() *Counters { return &t.member.Counters }

// Close leaves, frees all who wait, and waits until nothing runs any more, which takes no longer
// than half a lease. Writes that wait to be announced go on, unless Config.Fail says otherwise, and
// others end them: whoever closes it while writes wait lets members be late by them that do not
// answer.
func (t *Teller) Close() error {
	t.mu.Lock()
	switch first := !t.closed; {
	case first && t.started:
		t.queue = append(t.queue, t.member.Close)
	case first:
		close(t.ended)
	}
	t.closed = true
	t.mu.Unlock()
	t.rouse()
	<-t.ended
	t.steps.Wait()
	t.cancel()
	return nil
}
