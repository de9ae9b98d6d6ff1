package observed

import (
	"context"
	"database/sql/driver"
)

// session is what is known of one connection. database/sql lets in one goroutine at a time.
type session struct {
	inner driver.Conn
	hub   *Hub

	observers *[]Observer // for which watches are; the hub's as it was last seen
	watches   []Watch
	inTx      bool // a transaction of database/sql is open
}

// watching returns the watches of those who observe the connection now.
func (s *session) watching() []Watch {
	if now := s.hub.observers.Load(); now != s.observers {
		s.follow(now)
	}
	return s.watches
}

func (s *session) follow(now *[]Observer) {
	var before []Observer
	if s.observers != nil {
		before = *s.observers
	}
	watches := make([]Watch, len(*now))
	for i, o := range *now {
		for j, other := range before {
			if other == o {
				watches[i] = s.watches[j]
			}
		}
		if watches[i] == nil {
			watches[i] = o.Watch(s.inTx)
		}
	}
	s.observers, s.watches = now, watches
}

// before tells the watches of a statement. Each before is followed by one after.
func (s *session) before(ctx context.Context, query string, queried bool) (after func(error)) {
	for _, w := range s.watching() {
		after = join(after, w.Statement(ctx, query, queried))
	}
	return after
}

// read returns rows of a statement, whose errors in a transaction the watches are told of.
func (s *session) read(rows driver.Rows, err error) (driver.Rows, error) {
	if err != nil || rows == nil {
		return rows, err
	}
	for _, w := range s.watches {
		if s.inTx || w.Open() {
			return &watchedRows{rows, s}, nil
		}
	}
	return rows, nil
}

// after tells the watches how it ended.
func (s *session) after(after func(error), err error) {
	if after != nil {
		after(err)
	}
	if err != nil && err != driver.ErrSkip {
		s.failed()
	}
}

// failed tells the watches that a statement failed.
func (s *session) failed() {
	for _, w := range s.watches {
		w.Failed()
	}
}

func join(a, b func(error)) func(error) {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(err error) {
		b(err)
		a(err)
	}
}

func (s *session) begun(ctx context.Context, opts driver.TxOptions) {
	watches := s.watching()
	s.inTx = true
	for _, w := range watches {
		w.Begun(ctx, opts)
	}
}

// end runs what ends a transaction.
func (s *session) end(tell func(Watch) func(error), run func() error) (err error) {
	var after func(error)
	for _, w := range s.watching() {
		after = join(after, tell(w))
	}
	err = ErrPanic
	defer func() {
		s.inTx = false
		if after != nil {
			after(err)
		}
	}()
	err = run()
	return err
}

func (s *session) close() error {
	defer func() {
		for _, w := range s.watches {
			w.Closed()
		}
		s.inTx, s.watches, s.observers = false, nil, nil
	}()
	return s.inner.Close()
}
