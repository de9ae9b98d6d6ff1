package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gorm-preload/preload/examples/internal/command"
	"gorm.io/gorm/schema"
)

func encode(t trace) []byte {
	var data []byte
	for _, k := range t {
		data = binary.BigEndian.AppendUint32(data, uint32(k))
	}
	return data
}

func pack(data []byte) []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(data)
	_ = w.Close()
	return packed.Bytes()
}

// someTrace is a few hundred accesses to some 60 objects of all types.
func someTrace() trace {
	random := rand.New(rand.NewPCG(1, 2))
	often := rand.NewZipf(random, 1.2, 1, 60)
	t := make(trace, 400)
	for i := range t {
		n := uint32(often.Uint64())
		t[i] = key(n%types<<(idBits+indexBits) | n<<indexBits | n%3)
	}
	return t
}

// write puts a file into a folder of the test.
func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t *testing.T, ctx context.Context, program command.Program, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	var out, errs strings.Builder
	status = command.Run(ctx, "replay", program, args, &out, &errs)
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("%v: left in the temporary folder: %v (%v)", args, left, err)
	}
	return status, out.String(), errs.String()
}

// results returns the rows of the table, each by the heads of the columns.
func results(t *testing.T, stdout string) (rows []map[string]string) {
	t.Helper()
	heads := []string{"entries", "ratio", "lru", "hits", "misses", "not", "queries", "p50", "unit", "p99", "unit", "background", "used", "mismatches"}
	for line := range strings.Lines(stdout) {
		fields := strings.Fields(line)
		if len(fields) != len(heads) || !strings.HasPrefix(fields[1], "0.") {
			continue
		}
		row := map[string]string{}
		for i, head := range heads {
			row[head] = fields[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func TestKeysAreTakenApart(t *testing.T) {
	for _, tt := range []struct {
		key             uint32
		kind, id, index int
	}{
		{0, 0, 0, 0},
		{1, 0, 0, 1},
		{1<<9 | 511, 0, 1, 511},
		{3<<27 | 17<<9 | 2, 3, 17, 2},
		{0xffffffff, 31, 1<<18 - 1, 511}, // -1 as a signed key
	} {
		k := key(tt.key)
		if k.kind() != tt.kind || k.id() != tt.id || k.index() != tt.index {
			t.Errorf("%#x: got %v, want type %d, id %d, index %d", tt.key, k, tt.kind, tt.id, tt.index)
		}
	}
}

func TestDecode(t *testing.T) {
	keys := trace{0x01020304, 0xfffefdfc, 7}
	plain := encode(keys)
	packed := pack(plain)
	for _, tt := range []struct {
		name   string
		data   []byte
		packed bool
		limit  int
		want   trace
		err    string
	}{
		{"plain", plain, false, 0, keys, ""},
		{"gzip", packed, true, 0, keys, ""},
		{"gzip under another name", packed, false, 0, keys, ""},
		{"limit", plain, false, 2, keys[:2], ""},
		{"limit, gzip", packed, true, 1, keys[:1], ""},
		{"limit above all", plain, false, 9, keys, ""},
		{"empty", nil, false, 0, nil, "it is empty"},
		{"empty, named .gz", nil, true, 0, nil, "it is empty"},
		{"gzip of nothing", pack(nil), true, 0, nil, "it is empty"},
		{"not gzip", plain, true, 0, nil, "it is not gzip data"},
		{"cut gzip", packed[:len(packed)-9], true, 0, nil, "breaks off"},
		{"damaged gzip", append(packed[:len(packed)-8:len(packed)-8], make([]byte, 8)...), true, 0, nil, "it breaks off after 3 keys"},
		{"3 bytes", plain[:3], false, 0, nil, "it ends within a key, 3 bytes after 0 whole ones"},
		{"9 bytes", plain[:9], false, 0, nil, "it ends within a key, 1 bytes after 2 whole ones"},
		{"9 bytes, gzip", pack(plain[:9]), true, 0, nil, "it ends within a key"},
	} {
		got, err := decode(bufio.NewReader(bytes.NewReader(tt.data)), tt.packed, tt.limit)
		if (err == nil) != (tt.err == "") || !strings.Contains(fmt.Sprint(err), tt.err) {
			t.Errorf("%s: got error %v, want %q", tt.name, err, tt.err)
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestLRU(t *testing.T) {
	for _, tt := range []struct {
		trace trace
		n     int
		want  float64
	}{
		{nil, 1, 0},
		{trace{1, 1, 1, 1}, 1, 0.75},
		{trace{1, 2, 1, 2}, 1, 0},
		{trace{1, 2, 1, 2}, 2, 0.5},
		{trace{1, 2, 1, 3, 1, 2}, 2, 2. / 6},
	} {
		if got := lru(tt.trace, tt.n); got != tt.want {
			t.Errorf("lru(%v, %d): got %v, want %v", tt.trace, tt.n, got, tt.want)
		}
	}
}

func TestEachTypeHasATableAndEachKeyAnObject(t *testing.T) {
	tables := map[string]bool{}
	for i, objects := range objectTypes {
		if objects.model == nil {
			t.Fatalf("type %d has no model", i)
		}
		if objects.table != objects.model.(schema.Tabler).TableName() || tables[objects.table] {
			t.Errorf("type %d: table %q is not its own", i, objects.table)
		}
		tables[objects.table] = true
	}
	if a, b := objectOf(1<<27|1), objectOf(2<<27|1); a == b {
		t.Errorf("objects of two types are the same: %+v", a)
	}
}

func TestEveryAccessIsAnsweredAndCounted(t *testing.T) {
	accesses := someTrace()
	path := write(t, "some.trace.gz", pack(encode(accesses)))
	var outputs []string
	for range 2 {
		status, stdout, stderr := run(t, t.Context(), program, "-trace", path, "-entries", "5, 1000", "-worker=false")
		if status != command.OK {
			t.Fatalf("got status %d and %q, want 0", status, stderr)
		}
		if strings.Contains(stdout, attribution) {
			t.Errorf("the attribution is that of another trace:\n%s", stdout)
		}
		rows := results(t, stdout)
		if len(rows) != 2 {
			t.Fatalf("got rows %v, want two, in\n%s", rows, stdout)
		}
		distinct := fmt.Sprint(len(accesses.distinct()))
		if rows[1]["misses"] != distinct || rows[1]["queries"] != distinct || rows[1]["ratio"] != rows[1]["lru"] {
			t.Errorf("with room for all: got %v, want %s misses and queries", rows[1], distinct)
		}
		for _, row := range rows {
			if row["mismatches"] != "0" || row["not"] != "0" || row["queries"] != row["misses"] {
				t.Errorf("got %v, want no mismatches, all cacheable, a query for each miss", row)
			}
		}
		outputs = append(outputs, fmt.Sprint(rows[0]["ratio"], rows[1]["ratio"]))
	}
	if outputs[0] != outputs[1] {
		t.Errorf("the same trace gave %s and %s", outputs[0], outputs[1])
	}
}

func TestLimitAndWorker(t *testing.T) {
	path := write(t, "some.trace", encode(someTrace()))
	status, stdout, stderr := run(t, t.Context(), program, "-trace", path, "-limit", "100", "-worker")
	if rows := results(t, stdout); status != command.OK || len(rows) != 1 || rows[0]["entries"] != "1000" ||
		!strings.Contains(stdout, "some.trace: 100 accesses") {
		t.Errorf("got status %d, %q and\n%s", status, stderr, stdout)
	}
}

func TestWithoutATraceTheAccessesAreMadeUp(t *testing.T) {
	status, stdout, stderr := run(t, t.Context(), program, "-limit", "500")
	if rows := results(t, stdout); status != command.OK || len(rows) != 1 || rows[0]["mismatches"] != "0" ||
		!strings.Contains(stdout, "made up: 500 accesses") || strings.Contains(stdout, attribution) {
		t.Errorf("got status %d, %q and\n%s", status, stderr, stdout)
	}
}

// TestObjectsThatAreAskedForOnce come among the accesses of the trace, and count as none of them.
func TestObjectsThatAreAskedForOnce(t *testing.T) {
	accesses := someTrace()
	among := accesses.amongOnce(0.5)
	once := len(among) - len(accesses)
	if once < len(accesses)*8/10 || once > len(accesses)*12/10 || len(among.distinct()) != len(accesses.distinct())+once {
		t.Errorf("%d accesses to %d objects were made of %d to %d", len(among), len(among.distinct()), len(accesses), len(accesses.distinct()))
	}
	path := write(t, "some.trace", encode(accesses))
	status, stdout, stderr := run(t, t.Context(), program, "-trace", path, "-once", "0.5", "-entries", "10,2000")
	rows := results(t, stdout)
	if status != command.OK || len(rows) != 2 || !strings.Contains(stdout, fmt.Sprintf("among them %d accesses", once)) {
		t.Fatalf("got status %d, %q and\n%s", status, stderr, stdout)
	}
	full, distinct := rows[1], len(accesses.distinct())
	want := fmt.Sprintf("%.4f", float64(len(accesses)-distinct)/float64(len(accesses)))
	if full["misses"] != fmt.Sprint(distinct+once) || full["ratio"] != want || full["lru"] != want {
		t.Errorf("with room for all: got %v, want %d misses and ratios of %s", full, distinct+once, want)
	}
	if rows[0]["ratio"] <= rows[0]["lru"] {
		t.Errorf("with little room: got %v, want more than LRU has", rows[0])
	}
}

func TestWhatIsToBeAttributedIs(t *testing.T) {
	path := write(t, attributed, pack(encode(someTrace())))
	if status, stdout, stderr := run(t, t.Context(), program, "-trace", path); status != command.OK || !strings.Contains(stdout, attribution+"\n") {
		t.Errorf("got status %d, %q and\n%s", status, stderr, stdout)
	}
}

func TestWhatCannotBeUsedIsRefusedInOneLine(t *testing.T) {
	good := write(t, "good", encode(someTrace()))
	for _, tt := range []struct{ args, want string }{
		{"-limit -1", "-limit -1: want a positive number"},
		{"-limit x", `invalid value "x"`},
		{"-entries 0", `-entries "0": want positive numbers`},
		{"-entries 5,,6", "want positive numbers with commas"},
		{"-entries 5,x", "want positive numbers with commas"},
		{"-entries -5", "want positive numbers with commas"},
		{"-once 1", "-once 1: want a share"},
		{"-once -0.1", "-once -0.1: want a share"},
		{"-once NaN", "-once NaN: want a share"},
		{"-nope", "flag provided but not defined: -nope"},
		{"-trace " + good + " stray", `unexpected argument "stray"`},
		{"-trace no-such-file", "there is no trace no-such-file: name one with -trace"},
		{"-trace " + t.TempDir(), "is a directory"},
		{"-trace " + write(t, "empty", nil), "it is empty"},
		{"-trace " + write(t, "empty.gz", nil), "it is empty"},
		{"-trace " + write(t, "odd", []byte("12345")), "it ends within a key"},
		{"-trace " + write(t, "plain.gz", encode(someTrace())), "it is not gzip data"},
		{"-trace " + write(t, "cut.gz", pack(encode(someTrace()))[:60]), "it breaks off"},
	} {
		status, stdout, stderr := run(t, t.Context(), program, strings.Fields(tt.args)...)
		if status != command.Refused || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: got status %d, %q and %q, want 2 and one line with %q", tt.args, status, stdout, stderr, tt.want)
		}
	}
}

// meddling is the program with something that happens before each access.
func meddling(path string, meddle func(*database, int)) command.Program {
	return func(ctx context.Context, _ []string, stdout, stderr io.Writer) error {
		return replay(ctx, settings{trace: path, entries: []int{100}, meddle: meddle}, stdout, io.Discard)
	}
}

func TestWrongAnswersEndWithAnError(t *testing.T) {
	path := write(t, "same", encode(trace{5, 5, 6, 5, 6, 6}))
	status, stdout, stderr := run(t, t.Context(), meddling(path, func(d *database, access int) {
		var err error
		switch access {
		case 0:
			_, err = d.conn.Exec("UPDATE objects_00 SET text = 'wrong' WHERE position = 5")
		case 2:
			_, err = d.conn.Exec("DELETE FROM objects_00 WHERE position = 6")
		}
		if err != nil {
			t.Error(err)
		}
	}))
	rows := results(t, stdout)
	if status != command.Failed || len(rows) != 1 || rows[0]["mismatches"] != "6" {
		t.Errorf("got status %d and\n%s, want 1 and 6 mismatches", status, stdout)
	}
	for _, want := range []string{"100 entries: 6 wrong answers", "access 0, to type 0, id 0, index 5: got ", "Text:wrong", "record not found"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("got %q, want %q in it", stderr, want)
		}
	}
}

func TestAnInterruptEndsTheProgramCleanly(t *testing.T) {
	path := write(t, "some", encode(someTrace()))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	status, _, stderr := run(t, ctx, meddling(path, func(_ *database, access int) {
		if access == 50 {
			cancel()
		}
	}))
	if status != command.Interrupted || stderr != "replay: interrupted\n" {
		t.Errorf("got status %d and %q, want %d and a word about it", status, stderr, command.Interrupted)
	}
}
