package table

import (
	"strings"
	"testing"
)

func TestColumnsLineUp(t *testing.T) {
	var (
		table Table
		out   strings.Builder
	)
	table.Row("", "a", "long head")
	table.Row("first", 10, "3 µs")
	table.Row("alone")
	table.Row()
	table.Row("x", "", 1.5)
	if err := table.Print(&out); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"        a  long head",
		"first  10       3 µs",
		"alone",
		"",
		"x                1.5",
		"",
	}, "\n")
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}
