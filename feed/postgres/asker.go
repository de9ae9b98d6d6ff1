package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/jackc/pglogrepl"
)

// mark notes which transactions are open. A transaction may have been committed before the slot was
// made, so that the stream does not tell of it, and become visible later.
func (s *session) mark(ctx context.Context) error {
	if err := s.query(ctx, "SELECT pg_current_xact_id()::text", &s.before); err != nil {
		return fmt.Errorf("postgres: asking which transactions are open: %w", err)
	}
	return nil
}

// silence is how long a stream may say nothing before it is given up, and longWait how long the
// server is left alone, at most, with the question whether a transaction is visible.
const (
	silence      = 30 * time.Second
	shortestWait = 500 * time.Microsecond
	longestWait  = 100 * time.Millisecond
)

// ask asks the server what the stream cannot tell, until the context is done.
func (s *session) ask(ctx context.Context) error {
	wait := shortestWait
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next := time.Now(); ; {
		now := time.Now()
		if !now.Before(next) {
			next = now.Add(s.bound / 4)
			if err := s.probe(ctx, now); err != nil {
				return err
			}
		}
		left, settled, err := s.settle(ctx)
		if err != nil {
			return err
		}
		until := time.Until(next)
		if wait = min(2*wait, longestWait); settled {
			wait = shortestWait
		}
		if left {
			until = min(until, wait)
		}
		timer.Reset(max(0, until))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case q := <-s.questions:
			err = s.answer(ctx, q)
		case <-s.wake:
			wait = shortestWait
			if s.hurry.Swap(false) {
				next = time.Now()
			}
		}
		if err != nil {
			return err
		}
	}
}

func (s *session) rouse() { rouse(s.wake) }

// settle ends what is visible by now. left says that some is not, settled that some was.
func (s *session) settle(ctx context.Context) (left, settled bool, err error) {
	s.mu.Lock()
	n := len(s.told)
	s.mu.Unlock()
	if n == 0 {
		return false, true, nil
	}
	var text string
	if err = s.query(ctx, "SELECT pg_current_snapshot()::text", &text); err != nil {
		return false, false, fmt.Errorf("postgres: asking what is visible: %w", err)
	}
	seen, err := parseView(text)
	if err != nil {
		return false, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n = len(s.told)
	s.told = slices.DeleteFunc(s.told, func(t told) bool {
		if slices.ContainsFunc(t.xids, func(xid uint32) bool { return !seen.shows(xid) }) {
			return false
		}
		t.end(preload.EndVisible)
		return true
	})
	return len(s.told) > 0, len(s.told) < n, nil
}

// manyGoals bounds the goals to which a stream has not come yet.
const manyGoals = 8

// probe asks where the log ends, and whether the tables are as they were.
func (s *session) probe(ctx context.Context, asked time.Time) error {
	if s.before != "" {
		var over bool
		err := s.query(ctx, "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= '"+s.before+"'::xid8", &over)
		if err != nil {
			return fmt.Errorf("postgres: asking whether transactions are over: %w", err)
		}
		if !over {
			if asked.Sub(s.begun) > patience {
				s.complain("nothing is served from memory until the transactions are over that were writing when the feed connected", nil)
			}
			if s.lead != nil {
				s.lead.waits()
			}
			return s.report(true)
		}
		s.before = ""
		asked = time.Now()
	}
	s.mu.Lock()
	goals, silent := len(s.goals), asked.Sub(s.heard)
	s.mu.Unlock()
	switch {
	case silent > max(silence, 4*s.bound):
		return fmt.Errorf("postgres: the stream has said nothing for %v", silent.Round(time.Second))
	case goals > 0:
		if err := s.nudge(ctx); err != nil {
			return err
		}
	}
	if goals >= manyGoals {
		if s.lead != nil {
			s.lead.waits()
		}
		return s.report(true)
	}
	var end, shape string
	if err := s.query(ctx, endQuery, &end); err != nil {
		return fmt.Errorf("postgres: asking where the log ends: %w", err)
	}
	if err := s.query(ctx, shapeQuery, &shape); err != nil {
		return fmt.Errorf("postgres: asking whether tables are as they were: %w", err)
	}
	lsn, err := pglogrepl.ParseLSN(end)
	if err != nil {
		return fmt.Errorf("postgres: the place %q in the log: %w", end, err)
	}
	if shape != s.shape || s.left && asked.Sub(s.looked) > patience {
		s.looked = asked
		if err := s.look(ctx); err != nil {
			return err
		}
		s.shape = shape
	}
	s.mu.Lock()
	s.goals = append(s.goals, goal{lsn, asked})
	s.reach(s.at)
	s.mu.Unlock()
	return s.report(true)
}

// nudge has the server write its log out to the end: of what is not, the stream tells nothing. What
// was committed is written out sooner or later; what an open transaction wrote need not be.
func (s *session) nudge(ctx context.Context) error {
	var lsn string
	err := s.query(ctx, "SELECT pg_logical_emit_message(true, 'preload', '')::text", &lsn)
	if err != nil {
		return fmt.Errorf("postgres: having the log written out: %w", err)
	}
	return nil
}

// look takes in which tables there are, and how they look. All is forgotten, and what is told and
// not visible yet is of everything: it was read by what was known of tables before.
func (s *session) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.adds {
		var err error
		if s.left, err = s.withdraw(ctx); err != nil {
			return err
		}
	}
	tables, err := tablesOf(ctx, s.side, s.publication)
	if err != nil {
		return err
	}
	untold, err := s.know(tables)
	if err != nil || len(untold) == 0 {
		return err
	}
	if s.adds {
		missing, err := s.missing(ctx)
		if err != nil {
			return err
		}
		for _, name := range missing {
			if _, refused := s.refused[name]; !refused {
				return errAgain // which adds it
			}
		}
	}
	if fmt.Sprint(untold) != s.said {
		s.said = fmt.Sprint(untold)
		s.logger.Warn("preload: what is written to some tables is not told: they are not served from memory",
			"feed", "postgres", "publication", s.publication, "tables", untold[:min(len(untold), 20)], "refused", s.refused)
	}
	return nil
}

// know takes in tables, and returns the names of those whose changes are not told.
func (s *session) know(tables map[uint32]table) (untold []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, before := s.tables == nil, s.tables
	s.tables = tables
	if !first {
		everything := told{end: s.m.Begin(nil)}
		for _, t := range s.told {
			everything.xids = append(everything.xids, t.xids...)
		}
		s.told = append(s.told, everything)
	}
	for oid, t := range tables {
		if t.told {
			if !first && !before[oid].told {
				// What was written before that, and is committed after it, is not told.
				return nil, errAgain
			}
			continue
		}
		untold = append(untold, t.name)
		if before, is := s.blocked[oid]; !is || !before.same(t) {
			row := preload.RowChange{Table: t.name, Within: slices.Concat(t.within, t.loose), Kind: preload.RowsChanged}
			if t.many {
				row = preload.RowChange{}
			}
			s.blocked[oid] = block{t, s.m.Begin(s.m.Rows([]preload.RowChange{row}))}
			if is {
				before.end(preload.EndVisible)
			}
		}
	}
	for oid, b := range s.blocked {
		if _, there := tables[oid]; !there {
			b.end(preload.EndVisible)
			delete(s.blocked, oid)
		}
	}
	slices.Sort(untold)
	return untold, nil
}

// reach notes that all is taken in that was committed before a place of the log. It is locked.
func (s *session) reach(lsn pglogrepl.LSN) {
	s.at = max(s.at, lsn)
	before := s.sure
	for len(s.goals) > 0 && s.goals[0].lsn <= s.at {
		s.m.Serve(s.goals[0].asked, s.bound)
		s.served, s.sure = true, s.goals[0].lsn
		s.goals = s.goals[1:]
	}
	if s.sure == before {
		return
	}
	s.awaited = slices.DeleteFunc(s.awaited, func(a awaited) bool {
		if a.lsn > s.sure {
			return false
		}
		close(a.here)
		return true
	})
}
