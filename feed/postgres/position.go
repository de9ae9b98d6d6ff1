package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pglogrepl"
)

// end asks where the log ends.
func (s *session) end(ctx context.Context) (pglogrepl.LSN, error) {
	q := question{make(chan pglogrepl.LSN, 1), make(chan error, 1)}
	select {
	case s.questions <- q:
	case <-s.over:
		return 0, errNotConnected
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	select {
	case lsn := <-q.lsn:
		return lsn, nil
	case err := <-q.err:
		return 0, err
	case <-s.over:
		return 0, errNotConnected
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// question is that for the end of the log.
type question struct {
	lsn chan pglogrepl.LSN
	err chan error
}

// answer answers a question. An error is that of the session, too.
func (s *session) answer(ctx context.Context, q question) error {
	var text string
	err := s.query(ctx, endQuery, &text)
	var lsn pglogrepl.LSN
	if err == nil {
		lsn, err = pglogrepl.ParseLSN(text)
	}
	if err != nil {
		q.err <- err
		return err
	}
	q.lsn <- lsn
	return nil
}

// soon is how long somebody waits for the stream before the server is asked again, and nudged.
const soon = 5 * time.Millisecond

// await waits until all is taken in that was committed before a place of the log.
func (s *session) await(ctx context.Context, lsn pglogrepl.LSN) error {
	a := awaited{lsn, make(chan struct{})}
	s.mu.Lock()
	here := s.sure >= lsn
	if !here {
		s.awaited = append(s.awaited, a)
	}
	s.mu.Unlock()
	if here {
		return nil
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.awaited = slices.DeleteFunc(s.awaited, func(other awaited) bool { return other == a })
	}()
	ticker := time.NewTicker(soon)
	defer ticker.Stop()
	for {
		s.hurry.Store(true)
		s.rouse()
		select {
		case <-a.here:
			return nil
		case <-s.over:
			return errNotConnected
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
