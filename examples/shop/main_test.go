package main

import (
	"context"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gorm-preload/preload/examples/internal/command"
	"github.com/gorm-preload/preload/examples/shop/service"
)

// small is a shop that is open for a moment.
func small(meddle func(*stand)) command.Program {
	return func(ctx context.Context, args []string, stdout, stderr io.Writer) error {
		s, err := parse(args, stderr)
		if err != nil {
			return err
		}
		s.size = service.Size{Users: 50, Products: 50, Categories: 5, Tags: 10, ReviewsEach: 2, OrdersEach: 1}
		s.answers, s.meddle = 500, meddle
		return open(ctx, s, stdout, stderr)
	}
}

func run(t *testing.T, program command.Program, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	var out, errs strings.Builder
	status = command.Run(t.Context(), "shop", program, args, &out, &errs)
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v (%v)", left, err)
	}
	return status, out.String(), errs.String()
}

func TestTheShopIsShownAndCompared(t *testing.T) {
	databases := map[string][]string{"sqlite": nil}
	if dsn := os.Getenv("PRELOAD_TEST_POSTGRES"); dsn != "" {
		databases["postgres"] = []string{"-dsn", dsn}
	}
	for name, args := range databases {
		_, stdout, stderr := run(t, small(nil), append(args, "-seconds", "2")...)
		for _, want := range []string{
			`without plugin +\d`, `with plugin +\d+ .*%  +\d+ of \d+`, `the next read shows ".*, renamed"`, `read with 0 queries\.`,
			`500 answers were in memory.* The insert invalidated 1; (499|500) were served`, `\n\d{3} answers compared, 0 differ\n`,
		} {
			if !regexp.MustCompile(want).MatchString(stdout) {
				t.Errorf("%s: nothing matches %s:\n%s%s", name, want, stdout, stderr)
			}
		}
	}
}

func TestAnswersThatDifferEndTheProgramWithStatus1(t *testing.T) {
	program := small(func(one *stand) {
		if err := one.plain.Exec("UPDATE products SET name = 'meddled with'").Error; err != nil {
			t.Error(err)
		}
	})
	status, stdout, stderr := run(t, program, "-seconds", "2")
	if status != command.Failed || !strings.Contains(stderr, "are not those of the database") || strings.Contains(stdout, " 0 differ") {
		t.Errorf("status %d, %q\n%s", status, stderr, stdout)
	}
}

func TestBadFlagsAreRefused(t *testing.T) {
	for flags, want := range map[string]string{
		"-seconds 0": "want a positive number", "-clients -1": "want a positive number", "-dsn mysql://x": "want a postgres:// URL",
	} {
		status, _, stderr := run(t, program, strings.Fields(flags)...)
		if status != command.Refused || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, %q", flags, status, stderr)
		}
	}
}
