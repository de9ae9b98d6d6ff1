package main

import (
	"context"
	"database/sql"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/gorm-preload/preload/examples/chat/scenario"
	"github.com/gorm-preload/preload/examples/internal/command"
	"gorm.io/gorm"
)

// small is a run that takes a moment.
const small = "-events 60 -users 20 -streams 4"

func run(t *testing.T, ctx context.Context, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	var out, errs strings.Builder
	status = command.Run(ctx, "chat", program, args, &out, &errs)
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("%v: left in the temporary folder: %v (%v)", args, left, err)
	}
	return status, out.String(), errs.String()
}

// cells returns the numbers of a row of the table.
func cells(t *testing.T, table, row string) []string {
	t.Helper()
	for line := range strings.Lines(table) {
		if rest, ok := strings.CutPrefix(line, row+" "); ok {
			return regexp.MustCompile(`\s{2,}`).Split(strings.TrimSpace(rest), -1)
		}
	}
	t.Fatalf("no row %q in\n%s", row, table)
	return nil
}

func TestBothRunsAreReportedSideBySide(t *testing.T) {
	for _, workers := range []string{"1", "3"} {
		status, stdout, stderr := run(t, t.Context(), append(strings.Fields(small), "-workers", workers)...)
		if status != command.OK {
			t.Fatalf("%s workers: got status %d and %q, want 0", workers, status, stderr)
		}
		for row, want := range map[string][]string{
			"reads of the application":           {"300", "300"},
			"writes that reached the database":   {"120", "120"},
			"answers compared with the database": {"40", "40"},
			"mismatches":                         {"0", "0"},
		} {
			if got := cells(t, stdout, row); !reflect.DeepEqual(got, want) {
				t.Errorf("%s workers: %s: got %v, want %v", workers, row, got, want)
			}
		}
		queries := cells(t, stdout, "queries that reached the database")
		if queries[0] != "300" || queries[1] >= "300" || len(queries[1]) != 3 {
			t.Errorf("%s workers: got queries %v, want 300 and fewer", workers, queries)
		}
		if !strings.Contains(stderr, "with plugin: 60 of 60") {
			t.Errorf("%s workers: no progress in %q", workers, stderr)
		}
	}
}

func TestWhatWasHotIsLoadedAtFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hot.json")
	for _, again := range []bool{false, true} {
		status, stdout, stderr := run(t, t.Context(), append(strings.Fields(small), "-warm", file)...)
		if status != command.OK {
			t.Fatalf("status %d, %q", status, stderr)
		}
		if strings.Contains(stdout, "loaded at first") != again {
			t.Errorf("again %t: got\n%s", again, stdout)
		}
		if mismatches := cells(t, stdout, "mismatches"); mismatches[1] != "0" {
			t.Errorf("%s mismatches", mismatches[1])
		}
	}
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := run(t, t.Context(), append(strings.Fields(small), "-warm", file)...); status == command.OK || !strings.Contains(stderr, "nothing that SaveHot wrote") {
		t.Errorf("status %d, %q", status, stderr)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "hello" {
		t.Errorf("%q, %v: want what was there", text, err)
	}
}

func TestWhatCannotBeUsedIsRefusedInOneLine(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(folder, "foreign.db")
	db, err := sql.Open("sqlite3", foreign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE messages (precious TEXT)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ args, want string }{
		{"-events 0", "-events 0: want a positive number"},
		{"-users -1", "-users -1: want a positive number"},
		{"-streams 0 -events 0", "-events 0: want a positive number"},
		{"-workers 0", "-workers 0: want a positive number"},
		{"-events many", `invalid value "many"`},
		{"-seed -1", `invalid value "-1"`},
		{"-nope", "flag provided but not defined: -nope"},
		{"stray", `unexpected argument "stray"`},
		{"-dsn " + text, "file is not a database"},
		{"-dsn " + foreign, "give it a new file"},
		{"-dsn " + folder, "cannot use the SQLite database: unable to open"},
		{"-dsn " + filepath.Join(folder, "no", "such", "folder"), "cannot use the SQLite database: unable to open"},
		{"-dsn :memory:", "want the path of a SQLite file or a postgres:// URL"},
		{"-dsn file:x.db", "want the path of a SQLite file or a postgres:// URL"},
		{"-dsn mysql://root@localhost/test", "want the path of a SQLite file or a postgres:// URL"},
		{"-dsn postgres://u:secret@127.0.0.1:1/test", "cannot use the PostgreSQL database"},
		{"-dsn postgres://u:secret@host:port/test", "no valid postgres:// URL"},
	} {
		status, stdout, stderr := run(t, t.Context(), strings.Fields(tt.args)...)
		if status != command.Refused || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: got status %d and %q, want 2 and one line with %q", tt.args, status, stderr, tt.want)
		}
		if stdout != "" || strings.Contains(stderr, "secret") {
			t.Errorf("%s: printed %q and %q", tt.args, stdout, stderr)
		}
	}
}

func TestAFileOfItsOwnIsKeptAndUsedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a 100%? #file.db")
	for range 2 {
		if status, _, stderr := run(t, t.Context(), append(strings.Fields(small), "-dsn", path)...); status != command.OK {
			t.Fatalf("got status %d and %q, want 0", status, stderr)
		}
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWrongAnswersEndWithAnError(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	status := func(stdout, stderr io.Writer) int {
		return command.Run(t.Context(), "chat", func(ctx context.Context, _ []string, stdout, stderr io.Writer) error {
			return play(ctx, settings{
				Size: scenario.Size{Users: 1, Streams: 1, Seed: 2}, events: 60, workers: 1,
				meddle: func(plain *gorm.DB, event int) {
					if event == 30 {
						plain.Exec("UPDATE user_permissions SET permission_node = 'changed elsewhere'")
						plain.Exec("UPDATE person_info SET nickname = 'changed elsewhere'")
					}
				},
			}, stdout, stderr)
		}, nil, stdout, stderr)
	}
	var stdout, stderr strings.Builder
	if got := status(&stdout, &stderr); got != command.Failed {
		t.Fatalf("got status %d, want 1; output:\n%s%s", got, &stdout, &stderr)
	}
	if got := cells(t, stdout.String(), "mismatches"); got[0] != "0" || got[1] == "0" {
		t.Errorf("got mismatches %v, want some with the plugin only", got)
	}
	for _, want := range []string{"with plugin: ", "of 40 compared answers", "event 32, ", "changed elsewhere"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("got %q, want %q in it", &stderr, want)
		}
	}
}

func TestAnInterruptEndsTheProgramCleanly(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	t.Setenv("TMPDIR", t.TempDir())
	var stderr strings.Builder
	status := command.Run(ctx, "chat", func(ctx context.Context, _ []string, stdout, stderr io.Writer) error {
		return play(ctx, settings{
			Size: scenario.Size{Users: 5, Streams: 2}, events: 60, workers: 2,
			meddle: func(_ *gorm.DB, event int) {
				if event == 20 {
					cancel()
				}
			},
		}, stdout, io.Discard)
	}, nil, io.Discard, &stderr)
	if status != command.Interrupted || stderr.String() != "chat: interrupted\n" {
		t.Errorf("got status %d and %q, want %d and a word about it", status, &stderr, command.Interrupted)
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
		t.Errorf("left in the temporary folder: %v", left)
	}
}

func TestDifferShowsWhereTextsBeginToDiffer(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, tt := range []struct{ a, b, wantA, wantB string }{
		{"", "b", "", "b"},
		{"one", "other", "one", "other"},
		{long + "a", long + "b", "..." + long[:40] + "a...", "..." + long[:40] + "b..."},
		{long, long[:10], "..." + long[:80] + "...", long[:10]},
	} {
		a, b := differ(tt.a, tt.b)
		if !strings.HasPrefix(a, strings.TrimSuffix(tt.wantA, "...")) || b != tt.wantB {
			t.Errorf("differ(%q, %q): got %q and %q, want %q and %q", tt.a, tt.b, a, b, tt.wantA, tt.wantB)
		}
	}
}

// PostgreSQL is tested where a server is named.
func TestPostgres(t *testing.T) {
	dsn := os.Getenv("PRELOAD_TEST_POSTGRES")
	if dsn == "" {
		t.Skip("PRELOAD_TEST_POSTGRES is not set")
	}
	schemas := func() (n int) {
		db, err := sql.Open("pgx", dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.QueryRow("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'preload_chat_%'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := schemas()
	status, stdout, stderr := run(t, t.Context(), append(strings.Fields(small), "-workers", "2", "-dsn", dsn)...)
	if status != command.OK {
		t.Fatalf("got status %d and %q, want 0", status, stderr)
	}
	if got := cells(t, stdout, "mismatches"); !reflect.DeepEqual(got, []string{"0", "0"}) {
		t.Errorf("got mismatches %v, want none", got)
	}
	if after := schemas(); after != before {
		t.Errorf("%d schemas were left behind", after-before)
	}
}
