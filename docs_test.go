package preload_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gorm-preload/preload/internal/worldtest"
)

// pages are README.md and what is in docs.
func pages(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("docs/*.md")
	worldtest.Must(t, err)
	return append(names, "README.md")
}

// TestWhatPagesShowCompilesAndRuns: each piece of Go on a page is, line by line, in an Example or in
// a program, which tests compile and run.
func TestWhatPagesShowCompilesAndRuns(t *testing.T) {
	t.Parallel()
	var code []string
	worldtest.Must(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		name := filepath.Base(path)
		example := strings.HasPrefix(name, "example") && strings.HasSuffix(name, "_test.go")
		if err != nil || d.IsDir() || !example && !strings.HasPrefix(path, "examples/") || !strings.HasSuffix(name, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		code = append(code, essence(string(text)))
		return err
	}))
	blocks := regexp.MustCompile("(?s)\n```go\n(.*?)\n```\n")
	seen := 0
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		worldtest.Must(t, err)
		for _, block := range blocks.FindAllStringSubmatch(string(text), -1) {
			seen++
			if !slices.ContainsFunc(code, func(of string) bool { return strings.Contains(of, essence(block[1])) }) {
				t.Errorf("%s shows what is in no Example, line by line:\n%s", page, block[1])
			}
		}
	}
	if seen < 8 {
		t.Errorf("only %d pieces of Go were found", seen)
	}
}

// essence returns the lines of a text without those that are empty or look at an error, without the
// blanks at their ends, and with one blank where gofmt puts several to align comments.
func essence(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line != "check(err)" {
			lines = append(lines, aligned.ReplaceAllString(line, " //"))
		}
	}
	return strings.Join(lines, "\n")
}

var aligned = regexp.MustCompile(` {2,}//`)

// TestPagesLeadSomewhere: a link to a file of the project leads to one, and README.md is not too
// long to be read.
func TestPagesLeadSomewhere(t *testing.T) {
	t.Parallel()
	links := regexp.MustCompile(`[^a-z]\[[^\]]+\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		worldtest.Must(t, err)
		for _, link := range links.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), link[1])); err != nil {
				t.Errorf("%s leads to %s, where nothing is", page, link[1])
			}
		}
		if n := strings.Count(string(text), "\n"); page == "README.md" && n > 180 {
			t.Errorf("README.md has %d lines, want 180 at most: what is more goes to docs", n)
		}
	}
}
