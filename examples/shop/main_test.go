package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/examples/internal/command"
	"github.com/gorm-preload/preload/examples/shop/service"
	"gorm.io/gorm"
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
			`\D500 answers were in memory.* the insert invalidates 1 of them.* that is what left memory; (499|500) were served`, `\n\d{3} answers compared, 0 differ\n`,
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

// TestWhatExplainForetellsIsComparedWithWhatLeft: it has to be the same answers, and not only as
// many.
func TestWhatExplainForetellsIsComparedWithWhatLeft(t *testing.T) {
	const users = 10
	t.Setenv("TMPDIR", t.TempDir())
	one, err := newStand(t.Context(), settings{size: service.Size{Users: users, Products: 5, Categories: 1, Tags: 1}, answers: users}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := one.close(); err != nil {
			t.Error(err)
		}
	}()
	for user := range users {
		if err := list(one.db, user+1, new([]service.Order)).Error; err != nil {
			t.Fatal(err)
		}
	}
	buy := func(user uint) func(*gorm.DB) *gorm.DB {
		return func(tx *gorm.DB) *gorm.DB { return tx.Create(&service.Order{UserID: user, Status: "new"}) }
	}
	foretold, err := one.plugin.Explain(buy(7))
	if err != nil {
		t.Fatal(err)
	}
	other, err := one.plugin.Explain(buy(8))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.compareForetold(foretold, users); err == nil {
		t.Error("no error before the write")
	}
	if err := buy(7)(one.db).Error; err != nil {
		t.Fatal(err)
	}
	if n, err := one.compareForetold(foretold, users); n != 1 || err != nil {
		t.Errorf("%d answers left (%v), want 1", n, err)
	}
	for name, e := range map[string]preload.Explanation{"another answer": other, "none": {}} {
		if _, err := one.compareForetold(e, users); err == nil {
			t.Errorf("%s is foretold: no error", name)
		}
	}
}

// TestThePageIsThereWhileTheShopIsOpen: at an address that is printed, unless none is wanted.
func TestThePageIsThereWhileTheShopIsOpen(t *testing.T) {
	printed := regexp.MustCompile(`the page of the plugin is at (http://127\.0\.0\.1:[1-9]\d*), while the shop is open\n`)
	for _, tt := range []struct {
		name string
		args []string
		page bool
	}{
		{name: "without the flag", page: true},
		{name: "no page", args: []string{"-page", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := false
			run(t, func(ctx context.Context, args []string, stdout, stderr io.Writer) error {
				var said strings.Builder
				return small(func(*stand) {
					asked = true
					found := printed.FindStringSubmatch(said.String())
					if (found != nil) != tt.page {
						t.Errorf("printed:\n%s", &said)
					}
					if found == nil {
						return
					}
					if page := get(t, found[1]); !strings.Contains(page, "Hit ratio") {
						t.Errorf("%s is no page of the plugin:\n%.500s", found[1], page)
					}
				})(ctx, args, stdout, io.MultiWriter(stderr, &said))
			}, append(tt.args, "-seconds", "2")...)
			if !asked {
				t.Error("the shop was not open")
			}
		})
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestBadFlagsAreRefused(t *testing.T) {
	for flags, want := range map[string]string{
		"-page nowhere": "want an address", "-seconds 0": "want a positive number", "-clients -1": "want a positive number", "-dsn mysql://x": "want a postgres:// URL",
	} {
		status, _, stderr := run(t, program, strings.Fields(flags)...)
		if status != command.Refused || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, %q", flags, status, stderr)
		}
	}
}
