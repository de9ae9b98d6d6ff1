package main

import (
	"io"
	"os"
	"strings"
	"testing"
)

// TestThePageShowsWhatIsPrinted: what README.md shows under the first example is what it prints.
func TestThePageShowsWhatIsPrinted(t *testing.T) {
	before := os.Stdout
	defer func() { os.Stdout = before }()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = w
	main()
	_ = w.Close()
	printed, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := "\n    " + strings.ReplaceAll(strings.TrimSpace(string(printed)), "\n", "\n    ") + "\n"
	if !strings.Contains(string(page), shown) {
		t.Errorf("README.md does not show what the first example prints:\n%s", printed)
	}
}
