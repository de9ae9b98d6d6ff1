package progress

import (
	"strings"
	"testing"
)

func TestAFewLinesWhereThereIsNoTerminal(t *testing.T) {
	for _, tt := range []struct {
		name         string
		total, steps int
		want         string
	}{
		{"single steps", 8, 1, "work: 2 of 8\nwork: 4 of 8\nwork: 6 of 8\nwork: 8 of 8\n"},
		{"one step", 8, 8, "work: 8 of 8\n"},
		{"little work", 2, 1, "work: 1 of 2\nwork: 2 of 2\n"},
		{"no work", 0, 1, ""},
	} {
		var out strings.Builder
		p := Start(&out, "work", tt.total)
		for done := 0; done < tt.total; done += tt.steps {
			p.Add(tt.steps)
		}
		p.End()
		if out.String() != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, out.String(), tt.want)
		}
	}
}
