package preload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/hotfile"
)

// Shelf is a Feed by which processes leave lists for each other: of keys that are hot, sealed, and
// of 300 KiB at most (WithSharedHot). What is left may be lost, and need not be kept for longer
// than an hour.
type Shelf interface {
	Feed
	// PutHot leaves a list in place of the last one of this process.
	PutHot(ctx context.Context, list []byte) error
	// HotLists returns the lists that were left, those of dead processes, too: the 16 newest, at
	// most. They may be anything.
	HotLists(ctx context.Context) ([][]byte, error)
}

const (
	// shareEvery is how often a process leaves its list, about.
	shareEvery = time.Minute
	// maxLists bounds the lists that are read, and maxList one of them, sealed.
	maxLists = 16
	maxList  = hotfile.MaxList + 1<<10
	// sharedFor bounds LoadHotShared by itself, and shelfFor what a shelf may take.
	sharedFor = 30 * time.Second
	shelfFor  = 5 * time.Second
)

// WithSharedHot has the process leave every minute, with the feed (a Shelf, such as those of
// feed/redis), which of its keys are hottest, for LoadHotShared in processes that start. What is
// left is what SaveHot writes, at most 256 KiB: SQL and bind values, which may be personal data,
// but no answers. It is kept for an hour. WithSecret is required, since it encrypts the list, and
// whoever could write another one could have queries run. By default nothing is left.
func WithSharedHot() Option { return func(c *config) { c.shareHot = true } }

// checkShared returns an error that says what WithSharedHot lacks.
func (c *config) checkShared() error {
	switch {
	case !c.shareHot:
	case c.shelf() == nil:
		return errors.New("preload: WithSharedHot: want a feed that is a Shelf (WithFeed), such as one of feed/redis")
	case c.seal == nil:
		return errors.New("preload: WithSharedHot: want WithSecret, which encrypts the bind values that are left, and keeps others from leaving SQL that would be run here")
	}
	return nil
}

// shelf returns the first feed that is one; nil where there is none, or nothing is shared.
func (c *config) shelf() Shelf {
	for _, feed := range c.feeds {
		if s, ok := feed.(Shelf); ok && c.shareHot {
			return s
		}
	}
	return nil
}

// shared is what processes share of hot keys.
type shared struct {
	shelf Shelf         // nil where nothing is shared
	ended chan struct{} // closed when no list is left any more; nil before that began
	// within bounds LoadHotShared.
	within time.Duration
}

// share begins to leave the list of hot keys.
func (p *Plugin) share() {
	if p.shared.shelf == nil {
		return
	}
	ended := make(chan struct{})
	p.shared.ended = ended
	go func() {
		defer close(ended)
		for wait := rand.N(shareEvery); p.rests(wait); wait = untilShared(time.Now()) {
			if !p.away.Load() {
				p.leave()
			}
		}
	}()
}

// rests waits; false where the worker has ended.
func (p *Plugin) rests(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.worker.Context().Done():
		return false
	}
}

// untilShared returns how long it is to some moment of the next minute, another one each time:
// processes that start together, or whose clocks agree, do not leave their lists at once.
func untilShared(now time.Time) time.Duration {
	return now.Truncate(shareEvery).Add(shareEvery + rand.N(shareEvery)).Sub(now)
}

// endSharing waits until no list is left any more, but not for long where the feed hangs. The
// worker has ended.
func (p *Plugin) endSharing() {
	p.initialize.Lock()
	ended := p.shared.ended
	p.initialize.Unlock()
	if ended == nil {
		return
	}
	timer := time.NewTimer(shelfFor)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}

// leave leaves the list of hot keys.
func (p *Plugin) leave() {
	ctx, cancel := context.WithTimeout(p.worker.Context(), shelfFor)
	defer cancel()
	p.config.guard("sharing hot keys", func() {
		list, err := p.handover.List()
		if err == nil && list != nil {
			err = p.shared.shelf.PutHot(ctx, p.config.seal.Close(list))
		}
		if err != nil && p.worker.Context().Err() == nil {
			p.config.report(slog.LevelWarn, "preload: hot keys could not be shared with other processes", "", "err", failopen.TellError(err))
		}
	})
}

// LoadHotShared loads the keys that are hottest in the other processes (WithSharedHot), and returns
// when they are in memory: call it at the start, after Register, before the process says that it is
// ready. They are loaded as all is that is loaded in the background: one query at a time, while the
// pool has a connection to spare, and until memory is full; not at all in another mode than ModeOn,
// or with WithoutWorker.
//
// It never keeps a process from starting: it takes half a minute at most, and whatever is wrong (a
// feed that is out of reach or not ready, lists that are damaged, of another version or secret, a
// database that is busy) is one line in the log, after which the start goes on with what was
// loaded. The error says that the context ended, or that there is no WithSharedHot.
func (p *Plugin) LoadHotShared(ctx context.Context) error {
	if err := p.inUse(); err != nil {
		return err
	}
	switch {
	case ctx == nil:
		return fmt.Errorf("preload: LoadHotShared: %w", errNilContext)
	case p.shared.shelf == nil:
		return errors.New("preload: LoadHotShared: want WithSharedHot")
	}
	within, cancel := context.WithTimeout(ctx, p.shared.within)
	defer cancel()
	defer context.AfterFunc(p.worker.Context(), cancel)()
	// On a goroutine of its own, so that whatever hangs, it does not keep the process from
	// starting.
	done := make(chan error, 1)
	go func() {
		var err error
		p.config.guard("loading hot keys of other processes", func() { err = p.loadShared(within) })
		done <- err
	}()
	err := endOf(within, done)
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("preload: LoadHotShared: %w", ended)
	}
	if err != nil {
		p.config.report(slog.LevelWarn, "preload: not all hot keys of other processes are loaded, and the start goes on", "", "err", err)
	}
	return nil
}

// endOf waits for what is done within a context, and a little longer, so that the error says what
// it waited for.
func endOf(within context.Context, done <-chan error) error {
	const longer = 500 * time.Millisecond
	select {
	case err := <-done:
		return err
	case <-within.Done():
	}
	timer := time.NewTimer(longer)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return within.Err()
	}
}

// loadShared loads what other processes left.
func (p *Plugin) loadShared(ctx context.Context) error {
	switch {
	case p.closed.Load():
		return ErrClosed
	case !p.config.worker:
		return errors.New("nothing is loaded in the background: WithoutWorker is given")
	case p.away.Load():
		return fmt.Errorf("the mode is %q", p.mode())
	}
	lists, err := p.listsLeft(ctx)
	if len(lists) > 0 {
		if !p.serves(ctx) {
			return errors.Join(err, ErrCutOff)
		}
		err = errors.Join(err, p.handover.LoadLists(ctx, lists, p.worker.Fetch))
	}
	return err
}

// listsLeft returns the lists that can be read. The error says why others cannot.
func (p *Plugin) listsLeft(ctx context.Context) (lists [][]byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, shelfFor)
	defer cancel()
	left, err := p.shared.shelf.HotLists(ctx)
	if err != nil {
		return nil, fmt.Errorf("the feed does not tell: %w", failopen.PlainError(err))
	}
	left = left[:min(len(left), maxLists)]
	for _, sealed := range left {
		if list, wrong := p.config.seal.Open(sealed); wrong == nil && len(sealed) <= maxList {
			lists = append(lists, list)
		}
	}
	if others := len(left) - len(lists); others > 0 {
		err = fmt.Errorf("%d of %d lists were altered, or sealed with another secret", others, len(left))
	}
	return lists, err
}

// serves waits until the feeds have answers kept; false where the context or the worker ended
// first.
func (p *Plugin) serves(ctx context.Context) bool {
	const step = 5 * time.Millisecond
	for !p.cache.Open() {
		if ctx.Err() != nil || !p.rests(step) {
			return false
		}
	}
	return true
}
