package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	file := filepath.Join(t.TempDir(), "table.md")
	var progress bytes.Buffer
	if err := run([]string{"-rounds", "2", "-only", "S1,W8,W5", "-postgres", "", "-o", file}, io.Discard, &progress); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# What a read costs", "processors", "## S1: ", "| go-cache | ", " | 1.000 | ", "## W8: ", "| queries | 1 |", "## W5-miss: ", "## W5-bypass: ",
		"## Marks", "| W8: queries | at most 1 | 1 | met |", "| W5, a miss: of plain GORM | at most 1.2 | ",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report does not say %q:\n%s", want, text)
		}
	}
	if !strings.Contains(progress.String(), "1/4 S1 50 %") {
		t.Errorf("progress: %q", progress.String())
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-rounds", "0"}, "-rounds 0: want at least 1"},
		{[]string{"-only", "W1,W99"}, `no workload is named "W99": there are W1, W2, `},
		{[]string{"W1"}, `"W1" is no flag`},
		{[]string{"-only", "S1", "-rounds", "1", "-o", t.TempDir()}, "-o: "},
		{[]string{"-nonsense"}, "flag provided but not defined: -nonsense"},
		{[]string{"-only", "W1", "-rounds", "1", "-postgres", "postgres://nobody@127.0.0.1:1/none?connect_timeout=1"}, "PostgreSQL does not answer"},
	} {
		if err := run(test.args, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want one that says %q", test.args, err, test.want)
		}
	}
}

// TestMarks: a mark that is missed is told, and makes -strict fail.
func TestMarks(t *testing.T) {
	var out bytes.Buffer
	d := &document{out: &out}
	d.note(.7, "W1", "preload")
	d.note(28, "W1", "preload", "allocations")
	d.note(.2, "W1", "prepared")
	d.note(.1, "W1", "aside-go-cache")
	d.note(.95, "W7", "hit ratio")
	if missed := d.marks(); missed != 2 {
		t.Errorf("%d missed, want 2:\n%s", missed, &out)
	}
	for _, want := range []string{
		"| W1: of building the statement | at most 0.65 | 0.7 | missed |", "| W1: allocations | at most 28 | 28 | met |",
		"| W1 prepared: of a cache-aside by hand with go-cache | at most 1 | 2 | missed |", "| W7: hit ratio | at least 0.95 | 0.95 | met |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no line %q in\n%s", want, &out)
		}
	}
	d.works, d.ways = []string{"W1"}, []string{"prepared", "preload"}
	if d.glance(); !strings.Contains(out.String(), "| variant | W1 |\n|---|--:|\n| prepared | 0.2 |\n| preload | 0.7 |\n") {
		t.Errorf("no glance in\n%s", &out)
	}
	if strings.Contains(out.String(), "W11") {
		t.Error("a mark of which nothing was measured is told")
	}
}
