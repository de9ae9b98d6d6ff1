package feeds

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gorm-preload/preload/internal/failopen"
)

// Positioner is a feed that can tell how much has been told.
type Positioner interface {
	// Position names what has been told by now of writes of this process.
	Position(ctx context.Context) (string, error)
	// Await returns nil at once where that is taken in here, also when the context has ended; waits
	// for it otherwise; and returns the error of the context, or one that says that the text names
	// no position.
	Await(ctx context.Context, position string) error
}

// origin is the process of a token. A process knows its own writes.
type origin [8]byte

func newOrigin() (o origin) {
	_, _ = rand.Read(o[:]) // never fails
	return o
}

// A token is a version, the origin, and the positions of all feeds in their order, each with its
// length; that of a feed that could not tell is empty. maxToken is how long it may be, as text.
const (
	tokenVersion = 1
	maxToken     = 2 << 10
)

var errToken = errors.New("it was cut off, or made by another version, or with other feeds")

// Place adds the next feed, as tokens name it: nil for one that has no positions.
func (f *Feeds) Place(p Positioner) { f.positioners = append(f.positioners, p) }

// Position returns a token of what this process has written by now. With the error there is one,
// too, but those feeds are missing in it that could not tell.
func (f *Feeds) Position(ctx context.Context) (token string, err error) {
	b := append([]byte{tokenVersion}, f.origin[:]...)
	for _, p := range f.positioners {
		position := ""
		if p != nil {
			wrong := errPanicked
			failopen.Guard(f.Report, "a feed, asked for its position", func() { position, wrong = p.Position(ctx) })
			if err = errors.Join(err, wrong); wrong != nil {
				position = ""
			}
		}
		b = append(binary.AppendUvarint(b, uint64(len(position))), position...)
	}
	return base64.RawURLEncoding.EncodeToString(b), err
}

var errPanicked = errors.New("the feed panicked")

// Await reports whether all is taken in here that a token stands for. It waits for that until a
// time, if it has to.
func (f *Feeds) Await(ctx context.Context, token string, until time.Time) bool {
	positions, own, err := f.parse(token)
	if err != nil {
		f.unknown(err)
		return false
	}
	if own {
		return true
	}
	if len(positions) == 0 || !f.Gate.Serves() {
		return false // there is nobody to ask, or nothing to be served
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for i, p := range f.positioners {
		if p == nil || positions[i] == "" {
			return false
		}
		err := errPanicked
		failopen.Guard(f.Report, "a feed, asked to wait for a position", func() { err = p.Await(ctx, positions[i]) })
		if err != nil {
			if ctx.Err() == nil && err != errPanicked {
				f.unknown(err)
			}
			return false
		}
	}
	return true
}

// unknown tells that a token is not understood. It names no part of it: it comes from outside.
func (f *Feeds) unknown(err error) {
	f.Report(slog.LevelWarn, "preload: a token is not understood, so that reads with it go to the database", "", "err", failopen.PlainError(err))
}

// parse returns the positions of a token, and whether it is of this process.
func (f *Feeds) parse(token string) (positions []string, own bool, err error) {
	if len(token) > maxToken {
		return nil, false, errToken
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 1+len(f.origin) || b[0] != tokenVersion {
		return nil, false, errToken
	}
	own = origin(b[1:1+len(f.origin)]) == f.origin
	for b = b[1+len(f.origin):]; len(b) > 0; {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return nil, false, errToken
		}
		positions = append(positions, string(b[size:size+int(n)]))
		b = b[size+int(n):]
	}
	if len(positions) != len(f.positioners) {
		return nil, false, fmt.Errorf("%w: it is of %d feeds, and there are %d here", errToken, len(positions), len(f.positioners))
	}
	return positions, own, nil
}
