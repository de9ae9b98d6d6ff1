package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// cleanQuery deletes what one snapshot ($2) shows and an earlier one ($1) does not, which is all
// that is left of it; no more than so many rows at a time. It does nothing if another process has
// done something since the horizon was read, or is at it.
const cleanQuery = `WITH mine AS (SELECT FROM @.horizon WHERE gone::text = $1 AND going::text = $3 FOR UPDATE SKIP LOCKED),
dead AS (DELETE FROM @.changes WHERE ctid = ANY(ARRAY(SELECT ctid FROM @.changes
	WHERE (xid = ANY($4::text::xid8[]) OR xid >= $5::text::xid8) AND xid < pg_snapshot_xmax($2::text::pg_snapshot)
	AND pg_visible_in_snapshot(xid, $2::text::pg_snapshot) AND EXISTS (SELECT FROM mine) LIMIT $6)) RETURNING 1)
UPDATE @.horizon SET going = $2::text::pg_snapshot, gone = CASE WHEN (SELECT count(*) FROM dead) < $6 THEN $2::text::pg_snapshot ELSE gone END
WHERE EXISTS (SELECT FROM mine)`

// manyCleaned is how many rows are deleted at a time, at most.
const manyCleaned = 10_000

// clean deletes what all processes have taken in that have looked within the last seconds. Who has
// not finds that the horizon has passed it by. So nobody waits for a process that is gone.
func (s *tableSession) clean(ctx context.Context, now time.Time) error {
	due := now.Sub(s.cleaned) >= s.late/4
	h := s.last
	to := h.going
	if half := h.gone.String() != h.going.String(); !half {
		at, _ := slices.BinarySearchFunc(s.past, now.Add(-s.late), func(m moment, before time.Time) int { return m.at.Compare(before) })
		if s.past = s.past[max(0, at-1):]; !due || at == 0 {
			return nil
		}
		if to = s.past[0].view; !to.showsAllOf(h.going) || h.going.showsAllOf(to) {
			return nil
		}
	}
	s.cleaned = now
	_, err := s.conn.Exec(ctx, s.text(cleanQuery), h.gone.String(), to.String(), h.going.String(), h.gone.opened(), strconv.FormatUint(h.gone.end, 10), manyCleaned)
	if err != nil {
		return fmt.Errorf("postgres: cleaning the change table: %w", err)
	}
	return nil
}

// openQuery names a transaction: those that are open began before it.
const openQuery = "SELECT pg_current_xact_id()::text"

// prepared is called before the first snapshot of a connection. What a transaction has noted that is
// prepared is lost if the server has crashed since: nothing is served before it is over.
func (s *tableSession) prepared(ctx context.Context) error {
	return s.wait(ctx, openQuery+" WHERE EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database())")
}

// wait has nothing served until the transactions are over that began before one that a query names.
func (s *tableSession) wait(ctx context.Context, query string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var mark string
	err := s.conn.QueryRow(ctx, query).Scan(&mark)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err == nil {
		s.before, err = strconv.ParseUint(mark, 10, 64)
	}
	if err != nil {
		return fmt.Errorf("postgres: asking which transactions are open: %w", err)
	}
	return nil
}

// overflowed is called when changes are missing in the table, because it was full. Transactions
// that are open may have more of these: nothing is served before they are over. One process at a
// time empties the table, and not while somebody reads it for long.
func (s *tableSession) overflowed(ctx context.Context) error {
	s.m.Stop()
	err := s.wait(ctx, openQuery)
	if err != nil {
		return err
	}
	if now := time.Now(); now.Sub(s.emptied) >= lateAgain {
		s.emptied = now
		err = s.locking(ctx, standEmpty, s.text(`DO $$ BEGIN IF pg_table_size('@.changes'::regclass) > #room / 2 AND pg_try_advisory_xact_lock(`+lockOfMaking+`) THEN TRUNCATE @.changes; END IF; END $$`))
	}
	if err != nil && codeOf(err) == "" {
		return fmt.Errorf("postgres: emptying the change table: %w", err)
	}
	return nil
}
