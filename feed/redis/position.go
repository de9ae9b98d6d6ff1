package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// position is that of a beat, which a process sent after all that it had to tell: its number among
// the entries of the process, and which entry it is of which start of which server.
type position struct {
	process string
	number  uint64
	id      string
	server  string
}

// String returns a position as positionFrom reads it.
func (p position) String() string {
	return p.process + " " + strconv.FormatUint(p.number, 36) + " " + p.id + " " + p.server
}

var errPosition = errors.New("redis: a text that names no position in a stream")

func positionFrom(text string) (p position, err error) {
	parts := strings.SplitN(text, " ", 4)
	if len(parts) < 4 {
		return p, errPosition
	}
	if p.number, err = strconv.ParseUint(parts[1], 36, 64); err != nil {
		return p, errPosition
	}
	p.process, p.id, p.server = parts[0], parts[2], parts[3]
	return p, nil
}

// mark is who waits for the position of what there is to be told.
type mark struct {
	at   position
	done chan struct{} // closed when it is known
}

func (m *mark) passed(at position) {
	m.at = at
	close(m.done)
}

// known is what a process has taken in, or forgotten, of what others told.
type known struct {
	mu      sync.Mutex        // a leaf
	numbers map[string]uint64 // of each process, all up to that number
	id      string            // and all up to that entry,
	server  string            // of this start of this server
	grown   chan struct{}     // closed when there is more; nil while nobody waits
}

// took notes that an entry of a process was taken in, and all before it.
func (k *known) took(process string, number uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.numbers == nil {
		k.numbers = map[string]uint64{}
	}
	k.numbers[process] = max(k.numbers[process], number)
	k.tell()
}

// settled notes that nothing was lost up to a beat of this process's own that has not been forgotten
// since; of the others it is sure from then on.
func (k *known) settled(senders map[string]*sender, b *beat) {
	k.mu.Lock()
	defer k.mu.Unlock()
	numbers := make(map[string]uint64, len(senders))
	for process, s := range senders {
		s.sure = true
		numbers[process] = max(k.numbers[process], s.number)
	}
	k.numbers, k.id, k.server = numbers, b.id, b.server
	k.tell()
}

// tell wakes who waits. It is locked.
func (k *known) tell() {
	if k.grown != nil {
		close(k.grown)
		k.grown = nil
	}
}

// has reports whether all is known up to a position; if not, grown is closed when there is more.
func (k *known) has(p position) (grown chan struct{}, has bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n, ok := k.numbers[p.process]; ok && n >= p.number || k.server == p.server && k.id != "" && !before(k.id, p.id) {
		return nil, true
	}
	if k.grown == nil {
		k.grown = make(chan struct{})
	}
	return k.grown, false
}

var errNotOpen = errors.New("redis: the feed is not open: give it to WithFeed, and the plugin to db.Use")

// Position implements preload.Positioner: a beat is sent, after all that waits to be told, and its
// place in the stream is the position.
func (f *BoundedFeed) Position(ctx context.Context) (string, error) {
	if f.cancel == nil {
		return "", errNotOpen
	}
	m := f.out.mark()
	select {
	case <-m.done:
		return m.at.String(), nil
	case <-ctx.Done():
		return "", fmt.Errorf("redis: waiting until all is told: %w", ctx.Err())
	case <-f.ctx.Done():
		return "", errClosed
	}
}

var errClosed = errors.New("redis: the feed is closed")

// Await implements preload.Positioner.
func (f *BoundedFeed) Await(ctx context.Context, text string) error {
	at, err := positionFrom(text)
	switch {
	case err != nil:
		return err
	case f.cancel == nil:
		return errNotOpen
	}
	for {
		grown, has := f.known.has(at)
		if has {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		case <-f.ctx.Done():
			return f.ctx.Err()
		}
	}
}
