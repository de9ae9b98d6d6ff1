//go:build unix

package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gorm-preload/preload/internal/strict"
	"github.com/gorm-preload/preload/internal/worldtest"
	"github.com/jackc/pgx/v5"
)

// held opens a transaction that keeps each row which is there from now on, until the test ends.
func (b *bed) held() {
	b.t.Helper()
	conn := b.connect(b.name)
	b.exec(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT FROM pg_class LIMIT 1")
}

// touched is how many blocks a query looks at, at least: its plans are made by the first calls.
func (b *bed) touched(conn *pgx.Conn, sql string) int {
	b.t.Helper()
	fewest := -1
	for range 8 {
		rows, err := conn.Query(context.Background(), "EXPLAIN (ANALYZE, BUFFERS, SUMMARY OFF, TIMING OFF) "+sql, pgx.QueryExecModeSimpleProtocol)
		worldtest.Must(b.t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		worldtest.Must(b.t, err)
		at := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, "Buffers: shared") })
		if at < 0 {
			b.t.Fatalf("%s: %q", sql, lines)
		}
		n := 0
		for _, word := range strings.Fields(lines[at]) {
			name, count, ok := strings.Cut(word, "=")
			if ok && (name == "hit" || name == "read") {
				blocks, err := strconv.Atoi(count)
				worldtest.Must(b.t, err)
				n += blocks
			}
		}
		if fewest < 0 || n < fewest {
			fewest = n
		}
	}
	return fewest
}

// TestDeadRowsCostNoStep: no step looks at what was written and is over, though somebody's snapshot
// keeps all of it.
func TestDeadRowsCostNoStep(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	br := b.broker(t)
	worldtest.Must(t, br.make(t.Context()))
	var run string
	for _, process := range []string{"a", "b"} {
		_, told, err := br.Join(t.Context(), process, strict.Seat{})
		worldtest.Must(t, err)
		run = told.Run
	}
	steps := map[string]string{
		"Renew":    "preload.strict_renew('test', RUN, 1, 'a')",
		"Announce": "preload.strict_announce('test', RUN, 'write', 'x', 'c', 'n')",
		"Finish":   "preload.strict_finish('test', RUN, 'write', 'c', 'n')",
		"Fence":    "preload.strict_fence('test', RUN, 1, 'a', 0, 'c')",
		"Join":     "preload.strict_join('test', 'c', '', 0, 'fresh', 'c')",
		"Leave":    "preload.strict_leave('test', RUN, (SELECT max(number) FROM preload.strict_seat), 'c', 'c')",
	}
	order := []string{"Renew", "Announce", "Renew", "Finish", "Renew", "Fence", "Join", "Leave"}
	conn := b.connect(b.name)
	measure := func() map[string]int {
		all := map[string]int{}
		for _, step := range order {
			all[step] = b.touched(conn, "SELECT "+strings.ReplaceAll(steps[step], "RUN", "'"+run+"'"))
		}
		return all
	}
	b.held()
	before := measure()
	// Each statement is a transaction: what is over in one is over for all that follow.
	const rounds, writes = 40, 100
	for i := range rounds {
		b.exec(conn, fmt.Sprintf(`DO $$
BEGIN
	FOR i IN 1..%[3]d LOOP
		PERFORM preload.strict_announce('test', '%[1]s', %[2]d || '-' || i, 'x', 'c', 'n');
		PERFORM preload.strict_finish('test', '%[1]s', %[2]d || '-' || i, 'c', 'n');
		PERFORM preload.strict_renew('test', '%[1]s', 1, 'a');
	END LOOP;
END $$`, run, i, writes))
	}
	// What the server knows of the tables now is that nearly nothing is in them.
	b.exec(conn, "VACUUM ANALYZE preload.strict_group, preload.strict_seat, preload.strict_beat, preload.strict_write")
	after := measure()
	if dead := b.one("SELECT pg_relation_size('preload.strict_write') / 8192"); dead < rounds*writes/200 {
		t.Errorf("%d blocks are kept: the test tests nothing", dead)
	}
	for step, n := range before {
		if after[step] > n+rounds*writes/160 {
			t.Errorf("%s looks at %d blocks after %d writes, and at %d before", step, after[step], rounds*writes, n)
		}
	}
}

// TestPendingIsToldHoweverOldItIs: by each renewal, whoever has come and gone since.
func TestPendingIsToldHoweverOldItIs(t *testing.T) {
	t.Parallel()
	br := common(t).bed(t).broker(t)
	worldtest.Must(t, br.make(t.Context()))
	seat, told, err := br.Join(t.Context(), "a", strict.Seat{})
	worldtest.Must(t, err)
	other, _, err := br.Join(t.Context(), "b", strict.Seat{})
	worldtest.Must(t, err)
	pending := func(told strict.State) (ids []string) {
		for _, a := range told.Pending {
			ids = append(ids, a.ID)
		}
		slices.Sort(ids)
		return ids
	}
	announce := func(id string) {
		t.Helper()
		_, err := br.Announce(t.Context(), told.Run, strict.Announcement{ID: id, Process: "a", Batch: []byte("x")})
		worldtest.Must(t, err)
	}
	finish := func(id string) {
		t.Helper()
		worldtest.Must(t, br.Finish(t.Context(), told.Run, id, strict.EndVisible))
	}
	renew := func(seat strict.Seat) {
		t.Helper()
		_, err := br.Renew(t.Context(), seat)
		worldtest.Must(t, err)
	}
	want := func(when string, ids ...string) {
		t.Helper()
		told, err := br.Renew(t.Context(), seat)
		worldtest.Must(t, err)
		if got := pending(told); !slices.Equal(got, ids) {
			t.Errorf("%s: %v are pending, want %v", when, got, ids)
		}
	}
	announce("1")
	renew(other)
	announce("2")
	want("at first", "1", "2")
	renew(other)
	announce("1")
	want("announced again", "1", "2")
	finish("2")
	announce("3")
	want("another one", "1", "3")
	worldtest.Must(t, br.Leave(t.Context(), other))
	want("one has left", "1", "3")
	finish("1")
	renew(seat)
	announce("4")
	other, joined, err := br.Join(t.Context(), "c", strict.Seat{})
	worldtest.Must(t, err)
	if got := pending(joined); !slices.Equal(got, []string{"3", "4"}) {
		t.Errorf("who joins is told %v", got)
	}
	finish("3")
	finish("4")
	want("all are over")
	renew(other)
	worldtest.Must(t, br.Leave(t.Context(), seat))
	worldtest.Must(t, br.Leave(t.Context(), other))
	announce("5")
	seat, joined, err = br.Join(t.Context(), "d", strict.Seat{})
	worldtest.Must(t, err)
	if got := pending(joined); !slices.Equal(got, []string{"5"}) {
		t.Errorf("who joins alone is told %v", got)
	}
	want("of no member", "5")
	for range 3 {
		renew(seat)
	}
	announce("6")
	want("in the end", "5", "6")
}

func second(_ strict.State, err error) error { return err }

//go:embed testdata/strict_before_beats.sql
var strictBeforeBeats string

// TestStrictTakesOverFromAnOlderOne: a process that finds the tables of before makes its own, and
// those of before join anew, by the functions that they know.
func TestStrictTakesOverFromAnOlderOne(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	older, newer := b.broker(t), b.broker(t)
	b.exec(b.psql, "SET ROLE postgres; "+strings.ReplaceAll(strictBeforeBeats, "@", `"preload"`)+"; CREATE ROLE reads_"+b.name+"; GRANT ALL ON ALL TABLES IN SCHEMA preload TO reads_"+b.name)
	seat, told, err := older.Join(t.Context(), "older", strict.Seat{})
	worldtest.Must(t, err)
	worldtest.Must(t, older.Ready(t.Context(), told.Run))
	_, err = older.Announce(t.Context(), told.Run, strict.Announcement{ID: "write", Process: "older"})
	worldtest.Must(t, err)

	worldtest.Must(t, newer.make(t.Context()))
	for step, err := range map[string]error{
		"Renew":    second(older.Renew(t.Context(), seat)),
		"Announce": second(older.Announce(t.Context(), told.Run, strict.Announcement{ID: "2"})),
		"Finish":   older.Finish(t.Context(), told.Run, "write", strict.EndVisible),
		"Ready":    older.Ready(t.Context(), told.Run),
	} {
		if !errors.Is(err, strict.ErrGone) {
			t.Errorf("%s in the run of before: %v", step, err)
		}
	}
	_, mine, err := newer.Join(t.Context(), "newer", strict.Seat{})
	worldtest.Must(t, err)
	_, again, err := older.Join(t.Context(), "older", seat)
	worldtest.Must(t, err)
	if mine.Run == told.Run || mine.Ready || again.Run != mine.Run || len(again.Members) != 2 || len(again.Pending) != 0 {
		t.Errorf("was %+v, then %+v, then %+v", told, mine, again)
	}
	if n := b.one("SELECT count(*) FROM preload.strict_run"); n != 0 {
		t.Errorf("%d runs of before are left", n)
	}
	if n := b.one("SELECT has_table_privilege('reads_" + b.name + "', 'preload.strict_beat', 'UPDATE')::int"); n != 1 {
		t.Error("who might use the tables of before may not use these")
	}
	// What has been made is not made again: the run goes on.
	worldtest.Must(t, newer.make(t.Context()))
	if _, err := newer.Announce(t.Context(), mine.Run, strict.Announcement{ID: "3", Process: "newer"}); err != nil {
		t.Error(err)
	}
	// Somebody who makes it by hand begins another run.
	b.exec(b.psql, StrictSQL("preload"))
	if _, err := newer.Announce(t.Context(), mine.Run, strict.Announcement{ID: "4", Process: "newer"}); !errors.Is(err, strict.ErrGone) {
		t.Errorf("after it was made by hand: %v", err)
	}
}
