package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestExitStatusAndLine(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		err    error
		status int
		line   string
	}{
		{"done", t.Context(), nil, OK, ""},
		{"help", t.Context(), flag.ErrHelp, OK, ""},
		{"failed", t.Context(), errors.New("no\n\tgood"), Failed, "it: no good\n"},
		{"refused", t.Context(), Refuse("-n %d", 0), Refused, "it: -n 0\n"},
		{"refused, wrapped", t.Context(), fmt.Errorf("opening: %w", Refuse("no")), Refused, "it: opening: no\n"},
		{"interrupted", ended, errors.New("some driver's words"), Interrupted, "it: interrupted\n"},
		{"done when the interrupt came", ended, nil, OK, ""},
	} {
		var stderr strings.Builder
		status := Run(tt.ctx, "it", func(context.Context, []string, io.Writer, io.Writer) error { return tt.err }, nil, io.Discard, &stderr)
		if status != tt.status || stderr.String() != tt.line {
			t.Errorf("%s: got status %d and %q, want %d and %q", tt.name, status, stderr.String(), tt.status, tt.line)
		}
	}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string // in the error; "" for none
	}{
		{"", ""},
		{"-n 3", ""},
		{"-n x", `invalid value "x" for flag -n`},
		{"-m 3", "flag provided but not defined: -m"},
		{"-n 3 more", `unexpected argument "more"`},
		{"-h", "help requested"},
	} {
		flags := flag.NewFlagSet("it", flag.ContinueOnError)
		flags.Int("n", 1, "a number")
		var stderr strings.Builder
		err := Parse(flags, strings.Fields(tt.args), &stderr)
		if got := fmt.Sprint(err); (tt.want == "") != (err == nil) || !strings.Contains(got, tt.want) {
			t.Errorf("%q: got error %v, want %q", tt.args, err, tt.want)
		}
		if help := strings.Contains(stderr.String(), "a number"); help != (tt.args == "-h") {
			t.Errorf("%q: printed %q", tt.args, stderr.String())
		}
	}
}
