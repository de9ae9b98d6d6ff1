package replay

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func integers(n int) *set {
	s := &set{columns: []string{"n"}, types: []columnType{{scan: reflect.TypeFor[int64]()}}}
	for i := range n {
		s.rows = append(s.rows, []driver.Value{int64(i)})
	}
	return s
}

// skip reads n rows, or all that there are.
func skip(rows *sql.Rows, n int) {
	for n > 0 && rows.Next() {
		n--
	}
}

// TestOnlyWholeAnswersAreKept: what an application reads is the same whether it is kept or not.
func TestOnlyWholeAnswersAreKept(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	failing := func(n int, at, atClose error) *set {
		s := integers(n)
		s.err, s.closeErr = at, atClose
		return s
	}
	values := func(vs ...driver.Value) *set {
		s := &set{columns: []string{"v"}, types: []columnType{{}}}
		for _, v := range vs {
			s.rows = append(s.rows, []driver.Value{v})
		}
		return s
	}
	several := integers(2)
	several.next = &set{columns: []string{"a", "b"}, types: make([]columnType, 2), rows: [][]driver.Value{{"x", nil}}}
	varying := integers(2)
	varying.rows[1][0] = nil
	varying.typesAt = func(row, _ int) columnType { return columnType{database: fmt.Sprint(row / 2)} }
	panicking := integers(2)
	panicking.typesAt = func(int, int) columnType { panic("not implemented") }

	for _, c := range []struct {
		name    string
		of      *set
		with    Recorder // its limits
		read    func(*sql.Rows)
		refused error // nil if the answer is kept
	}{
		{"to the end", integers(3), Recorder{}, nil, nil},
		{"no rows", integers(0), Recorder{}, nil, nil},
		{"as many rows as the limit", integers(3), Recorder{MaxRows: 3}, nil, nil},
		{"more rows than the limit", integers(4), Recorder{MaxRows: 3}, nil, ErrTooLarge},
		{"more bytes than the limit", values(strings.Repeat("x", 1000)), Recorder{MaxBytes: 1000}, nil, ErrTooLarge},
		{"fewer bytes than the limit", values(strings.Repeat("x", 1000)), Recorder{MaxBytes: 2000}, nil, nil},
		{"closed at once", integers(3), Recorder{}, func(r *sql.Rows) { _ = r.Close() }, ErrUnread},
		{"closed after a row", integers(3), Recorder{}, func(r *sql.Rows) { skip(r, 1); _ = r.Close() }, ErrUnread},
		{"closed after the last row, before the end", integers(3), Recorder{}, func(r *sql.Rows) { skip(r, 3); _ = r.Close() }, ErrUnread},
		{"first row", integers(3), Recorder{First: true}, func(r *sql.Rows) { skip(r, 1); _ = r.Close() }, nil},
		{"first row of none", integers(0), Recorder{First: true}, func(r *sql.Rows) { skip(r, 1); _ = r.Close() }, nil},
		{"first row, not read", integers(3), Recorder{First: true}, func(r *sql.Rows) { _ = r.Close() }, ErrUnread},
		{"first row, error at the close", failing(3, nil, broken), Recorder{First: true}, func(r *sql.Rows) { skip(r, 1); _ = r.Close() }, broken},
		{"error after rows", failing(3, broken, nil), Recorder{}, nil, broken},
		{"error instead of rows", failing(0, broken, nil), Recorder{}, nil, broken},
		{"error at the close", failing(3, nil, broken), Recorder{}, nil, broken},
		{"bad connection", failing(3, nil, driver.ErrBadConn), Recorder{}, nil, driver.ErrBadConn},
		{"two result sets", several, Recorder{}, nil, ErrResultSets},
		{"two result sets, one read", several, Recorder{}, func(r *sql.Rows) { skip(r, 9); _ = r.Close() }, ErrResultSets},
		{"second result set before the end of the first", several, Recorder{}, func(r *sql.Rows) { r.NextResultSet(); skip(r, 9) }, ErrResultSets},
		{"a value that can be changed", values([]string{"a"}), Recorder{}, nil, ErrValue},
		{"a pointer", values(big.NewInt(1)), Recorder{}, nil, ErrValue},
		{"bytes of another type", values(blob("x")), Recorder{}, nil, ErrValue},
		{"types that change with the rows", varying, Recorder{}, nil, ErrTypes},
		{"types that the driver does not know", panicking, Recorder{}, func(r *sql.Rows) { skip(r, 9) }, ErrTypes},
	} {
		for _, w := range ways {
			t.Run(c.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				var saw string
				read := func(rows *sql.Rows) { saw = reading(rows) }
				if c.read != nil {
					read = func(rows *sql.Rows) {
						c.read(rows)
						saw = fmt.Sprint(rows.Err(), rows.Next(), rows.Close())
					}
				}
				rows := func() driver.Rows { return full(&fake{set: c.of}) }
				read(plain(t.Context(), t, rows))
				want := saw

				k := &take{}
				r := k.recorder()
				r.MaxRows, r.MaxBytes, r.First = c.with.MaxRows, c.with.MaxBytes, c.with.First
				read(w.open(t.Context(), t, r, rows))
				if saw != want {
					t.Errorf("recorded: %s", differ(saw, want))
				}
				if c.refused == nil {
					k.recording(t)
				} else if len(k.kept) != 0 || len(k.refused) != 1 || !errors.Is(k.refused[0], c.refused) {
					t.Errorf("kept %d, refused %v: want none, %v", len(k.kept), k.refused, c.refused)
				}
			})
		}
	}
}

// TestNothingIsReadAhead: the database is asked for a row when the application is.
func TestNothingIsReadAhead(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		f := &fake{set: integers(9)}
		rows := w.open(t.Context(), t, Recorder{}, func() driver.Rows { return f })
		for want := range 5 {
			if f.at != want {
				t.Errorf("%s: the driver gave %d rows after %d were read", w.name, f.at, want)
			}
			rows.Next()
		}
		_ = rows.Close()
	}
}

// TestReadersShareNoMemory: a reader writes into all that it was given.
func TestReadersShareNoMemory(t *testing.T) {
	t.Parallel()
	s := &set{columns: []string{"a", "b"}, types: make([]columnType, 2), rows: [][]driver.Value{{[]byte("one"), []byte("two")}}}
	for _, w := range ways {
		k := &take{}
		spoil := func(rows *sql.Rows) string {
			t.Helper()
			columns := must(rows.Columns())(t)
			rows.Next()
			var kept naked
			var raw sql.RawBytes
			var dropped any
			if err := errors.Join(rows.Scan(&kept, &dropped), rows.Scan(&dropped, &raw)); err != nil {
				t.Fatal(err)
			}
			_ = append(kept.value.([]byte), "###"...)
			saw := fmt.Sprintf("%s %s %s", columns, kept.value, raw)
			for _, b := range [][]byte{kept.value.([]byte), raw} {
				for i := range b {
					b[i] = '#'
				}
			}
			columns[0] = "spoilt"
			rows.Next()
			return saw
		}
		const want = "[a b] one two"
		_ = spoil(w.open(t.Context(), t, k.recorder(), func() driver.Rows {
			return &fake{set: &set{columns: slices.Clone(s.columns), types: s.types, rows: s.rows}}
		}))
		recording := k.recording(t)
		recording.Columns()[0] = "spoilt"
		for range 3 {
			if saw := spoil(must(Rows(t.Context(), recording))(t)); saw != want {
				t.Errorf("%s: got %s, want %s", w.name, saw, want)
			}
		}
	}
}

// TestManyReadersAtOnce reads one recording from many goroutines, some of which stop half way.
func TestManyReadersAtOnce(t *testing.T) {
	t.Parallel()
	recording := recorded(t, integers(50))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers sync.WaitGroup
	for reader := range 16 {
		readers.Go(func() {
			for range 50 {
				rows, err := Rows(ctx, recording)
				if err != nil {
					t.Error(err)
					return
				}
				sum, n := int64(0), int64(0)
				for rows.Next() && (reader%4 > 0 || sum < 100) {
					if err := rows.Scan(&n); err != nil {
						t.Error(err)
					}
					sum += n
				}
				if err := errors.Join(rows.Err(), rows.Close()); err != nil || reader%4 > 0 && sum != 49*50/2 {
					t.Errorf("sum %d: %v", sum, err)
				}
			}
		})
	}
	readers.Wait()
}

func recorded(t testing.TB, s *set) *Recording {
	t.Helper()
	k := &take{}
	skip(ways[0].open(context.Background(), t, k.recorder(), func() driver.Rows { return full(&fake{set: s}) }), len(s.rows)+1)
	return k.recording(t)
}

// TestTheEndOfAContextEndsTheRows, whether they are read on or not, as it does those of a driver.
func TestTheEndOfAContextEndsTheRows(t *testing.T) {
	t.Parallel()
	recording := recorded(t, integers(9))
	cause := errors.New("a cause, which database/sql does not tell")
	for _, end := range []struct {
		err error
		of  func(context.Context) (context.Context, func())
	}{
		{context.Canceled, func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(ctx)
			return ctx, func() { cancel(cause) }
		}},
		{context.DeadlineExceeded, func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
			return ctx, func() { <-ctx.Done(); cancel() }
		}},
	} {
		open := map[string]func(context.Context, *take) *sql.Rows{
			"replayed": func(ctx context.Context, k *take) *sql.Rows {
				k.refused = []error{end.err}
				return must(Rows(ctx, recording))(t)
			},
		}
		for _, w := range ways {
			open[w.name] = func(ctx context.Context, k *take) *sql.Rows {
				endless := integers(9)
				endless.endless = true
				return w.open(ctx, t, k.recorder(), func() driver.Rows { return &fake{set: endless} })
			}
		}
		for name, open := range open {
			for _, read := range []bool{true, false} {
				ctx, finish := end.of(context.Background())
				k := &take{}
				rows := open(ctx, k)
				if end.err == context.Canceled {
					skip(rows, 2)
				}
				finish()
				for deadline := time.Now().Add(time.Minute); rows.Err() == nil; {
					if read {
						rows.Next()
					}
					if time.Now().After(deadline) {
						t.Fatalf("%s: the rows do not end with the context", name)
					}
				}
				if err := rows.Err(); err != end.err {
					t.Errorf("%s: Err is %v, want %v", name, err, end.err)
				}
				_ = rows.Close() // the rows are closed by another goroutine
				if len(k.kept) != 0 || len(k.refused) != 1 {
					t.Errorf("%s: kept %d, refused %v: want one refusal", name, len(k.kept), k.refused)
				}
				if _, err := Rows(ctx, recording); err != end.err {
					t.Errorf("Rows of a context that has ended: %v, want %v", err, end.err)
				}
				if err := Row(ctx, recording).Scan(new(int)); err != end.err {
					t.Errorf("Row of a context that has ended: %v, want %v", err, end.err)
				}
				k = &take{}
				one, closed := integers(1), 0
				one.closed = func() { closed++ }
				row := k.recorder().Row(ctx, plain(context.Background(), t, func() driver.Rows { return &fake{set: one} }), nil)
				if err := row.Err(); err != end.err || len(k.refused) != 1 || closed != 1 {
					t.Errorf("Row of live rows, of a context that has ended: %v, refused %v, closed %d times: want %v", err, k.refused, closed, end.err)
				}
			}
		}
	}
}

// TestAReplayedRowAfterTheEndOfItsContextIsNoRow: an application that ends a context reads no
// further row, however late database/sql notices.
func TestAReplayedRowAfterTheEndOfItsContextIsNoRow(t *testing.T) {
	t.Parallel()
	recording := recorded(t, integers(9))
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		rows := must(Rows(ctx, recording))(t)
		skip(rows, 8)
		cancel()
		if rows.Next() || rows.Err() != context.Canceled {
			t.Fatalf("Next is true, or Err is %v", rows.Err())
		}
	}
}

// TestRawBytesOutliveTheEndOfAContext: the driver's memory may be used for something else as soon
// as the end of the context has closed the rows.
func TestRawBytesOutliveTheEndOfAContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	closed := make(chan struct{})
	s := &set{columns: []string{"b"}, types: make([]columnType, 1), rows: [][]driver.Value{{[]byte("value")}}, closed: func() { close(closed) }}
	rows := Recorder{}.Rows(ctx, plain(ctx, t, func() driver.Rows { return &fake{set: s} }))
	rows.Next()
	var raw sql.RawBytes
	if err := rows.Scan(&raw); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-closed
	if string(raw) != "value" {
		t.Errorf("RawBytes are %q after the driver's rows were closed", raw)
	}
	_ = rows.Close()
}

// TestTheEndOfATransactionEndsTheRows, at their next Next.
func TestTheEndOfATransactionEndsTheRows(t *testing.T) {
	t.Parallel()
	tx := must(opener(t, func(context.Context) driver.Rows { return &fake{set: integers(9)} }).Begin())(t)
	k := &take{}
	rows := k.recorder().Rows(t.Context(), must(tx.Query(""))(t))
	skip(rows, 2)
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if rows.Next() || rows.Err() != context.Canceled {
		t.Errorf("Next is true, or Err is %v", rows.Err())
	}
	if len(k.kept) != 0 || len(k.refused) != 1 || k.refused[0] != context.Canceled {
		t.Errorf("kept %d, refused %v", len(k.kept), k.refused)
	}
}

// TestCursorsCanBeRead: rows in a column are rows of the application's, and close with the others,
// before another query can have their connection.
func TestCursorsCanBeRead(t *testing.T) {
	t.Parallel()
	var db *sql.DB // of the rows that are read now
	var closed string
	rows := func() driver.Rows {
		inner := &set{columns: []string{"b"}, types: make([]columnType, 1), rows: [][]driver.Value{{[]byte("x")}, {[]byte("y")}, {[]byte("z")}}}
		inner.closed = func() { closed += fmt.Sprint("closed with ", db.Stats().InUse, " connection in use") }
		cursor := driver.Rows(&fake{set: inner})
		return &fake{set: &set{columns: []string{"id", "rows"}, types: make([]columnType, 2), rows: [][]driver.Value{{int64(1), cursor}}}}
	}
	read := func(rows *sql.Rows) (saw string) {
		var id int
		var cursor sql.Rows
		for rows.Next() {
			if err := rows.Scan(&id, &cursor); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				var b []byte
				saw += fmt.Sprint(id, cursor.Next(), cursor.Scan(&b), string(b))
			}
		}
		saw += fmt.Sprint(rows.Err(), rows.Close(), closed)
		closed = ""
		return saw
	}
	db = opener(t, func(context.Context) driver.Rows { return rows() })
	want := read(must(db.Query(""))(t))

	var below, above take
	if saw := read(above.recorder().Rows(t.Context(), must(db.Query(""))(t))); saw != want {
		t.Errorf("above database/sql: got %s, want %s", saw, want)
	}
	db = opener(t, func(context.Context) driver.Rows { return below.recorder().Tee(rows()) })
	if saw := read(must(db.Query(""))(t)); saw != want {
		t.Errorf("below database/sql: got %s, want %s", saw, want)
	}
	for _, k := range []take{below, above} {
		if len(k.kept) != 0 || len(k.refused) != 1 || !errors.Is(k.refused[0], ErrValue) {
			t.Errorf("kept %d, refused %v: want %v", len(k.kept), k.refused, ErrValue)
		}
	}
}

// TestASeatHoldsNothingOfTheLastQuery: no rows, whose memory would stay, and no error.
func TestASeatHoldsNothingOfTheLastQuery(t *testing.T) {
	t.Parallel()
	s, broken := newSeat(), errors.New("broken")
	s.err = broken
	if _, err := s.conn.QueryContext(t.Context(), ""); err != broken {
		t.Errorf("got %v, want %v", err, broken)
	}
	s.rows = &fake{set: integers(1)}
	rows := must(s.conn.QueryContext(t.Context(), ""))(t)
	if !rows.Next() || s.rows != nil {
		t.Errorf("Err is %v, the seat holds %v", rows.Err(), s.rows)
	}
	_ = rows.Close()
}

// TestWhatIsNotThereIsAnError, and no panic.
func TestWhatIsNotThereIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := Rows(t.Context(), nil); err != ErrNoRecording {
		t.Errorf("no recording: %v", err)
	}
	if err := Row(t.Context(), nil).Err(); err != ErrNoRecording {
		t.Errorf("no recording: %v", err)
	}
	k := &take{}
	if rows := k.recorder().Rows(t.Context(), nil); rows != nil || k.refused[0] != ErrNoRows {
		t.Errorf("no rows: %v", k.refused)
	}
	rows := plain(t.Context(), t, func() driver.Rows { return &fake{set: integers(1)} })
	_ = rows.Close()
	if k.recorder().Rows(t.Context(), rows) != rows || len(k.refused) != 2 {
		t.Errorf("closed rows: %v", k.refused)
	}
	for _, err := range []error{errors.New("no such table"), driver.ErrBadConn, driver.ErrSkip} {
		k := &take{}
		if got := k.recorder().Row(t.Context(), nil, err).Scan(new(int)); got != err || len(k.refused) != 1 || k.refused[0] != err {
			t.Errorf("a query's error: got %v, refused %v, want %v", got, k.refused, err)
		}
	}
	k = &take{}
	if err := k.recorder().Row(t.Context(), plain(t.Context(), t, func() driver.Rows { return &fake{set: integers(2)} }), nil).Scan(new(int)); err != nil {
		t.Fatal(err)
	}
	if first := k.recording(t); !first.First() {
		t.Error("a recording of one row does not say so")
	} else if _, err := Rows(t.Context(), first); err != ErrFirst {
		t.Errorf("rows of a recording of one row: %v", err)
	}
	rows = Recorder{}.Rows(t.Context(), plain(t.Context(), t, func() driver.Rows { return &fake{set: integers(1)} }))
	if skip(rows, 2); rows.Err() != nil {
		t.Errorf("without callbacks: %v", rows.Err())
	}
}

// TestReadersLeaveNothingBehind: no goroutine and no connection, whatever the readers did.
func TestReadersLeaveNothingBehind(t *testing.T) {
	recording := recorded(t, integers(9))
	before := goleak.IgnoreCurrent()
	for range 100 {
		ctx, cancel := context.WithCancel(context.Background())
		read := must(Rows(ctx, recording))(t)
		skip(read, 10)
		closed := must(Rows(ctx, recording))(t)
		_ = closed.Close()
		must(Rows(ctx, recording))(t).Next() // ends with its context
		cancel()
	}
	goleak.VerifyNone(t, before)
}

// TestBytesCountWhatIsHeld, about.
func TestBytesCountWhatIsHeld(t *testing.T) {
	t.Parallel()
	const row = 16
	for _, c := range []struct {
		value driver.Value
		bytes int64
	}{
		{nil, row}, {int64(1), row + 8}, {"four", row + 16 + 4}, {[]byte("four"), row + 24 + 4}, {time.Now(), row + 24}, {true, row}, {1.5, row + 8},
	} {
		s := &set{columns: []string{"name"}, types: []columnType{{database: "TEXT"}}}
		none := recorded(t, s).Bytes()
		s.rows = [][]driver.Value{{c.value}, {c.value}}
		if got := recorded(t, s).Bytes() - none; got != 2*c.bytes {
			t.Errorf("two rows of %T: %d bytes, want %d", c.value, got, 2*c.bytes)
		}
	}
	if values := recorded(t, integers(600)).values; cap(values) > len(values)*5/4 {
		t.Errorf("room for %d values, of which %d are there", cap(values), len(values))
	}
}

// TestRecordersShareABudget: what is recorded at a time is bounded and told, whatever becomes of the
// rows, and who finds nothing left reads on all the same.
func TestRecordersShareABudget(t *testing.T) {
	t.Parallel()
	wide := integers(3)
	wide.columns, wide.types = []string{"text"}, []columnType{{scan: reflect.TypeFor[string]()}}
	for i := range wide.rows {
		wide.rows[i] = []driver.Value{strings.Repeat("x", 1000)}
	}
	for _, w := range ways {
		const most = 4_000
		budget := NewBudget(most)
		open := func() (*take, *sql.Rows) {
			k := &take{}
			r := k.recorder()
			r.Budget = budget
			return k, w.open(t.Context(), t, r, func() driver.Rows { return full(&fake{set: wide}) })
		}
		first, rows := open()
		skip(rows, 3)
		held := budget.Held()
		if held < 3_000 || held > most {
			t.Errorf("%s: %d bytes are held by rows with 3,000", w.name, held)
		}
		second, others := open()
		n := 0
		for others.Next() {
			n++
		}
		if n != 3 || len(second.refused) != 1 || !errors.Is(second.refused[0], ErrBudget) || budget.Held() != held {
			t.Errorf("%s: %d rows beside others, refused %v, %d bytes held: want 3, %v, %d", w.name, n, second.refused, budget.Held(), ErrBudget, held)
		}
		if skip(rows, 1); len(first.kept) != 1 || budget.Held() != 0 {
			t.Errorf("%s: kept %d, %d bytes are held after the end", w.name, len(first.kept), budget.Held())
		}
		_, rows = open()
		skip(rows, 2)
		if err := rows.Close(); err != nil || budget.Held() != 0 {
			t.Errorf("%s: %d bytes are held after a Close before the end (%v)", w.name, budget.Held(), err)
		}
	}
}
