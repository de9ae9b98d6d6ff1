// Package command is how the example programs begin and end: flags, what they print when something
// is wrong, and their exit status.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// The exit status of a program.
const (
	OK          = 0
	Failed      = 1   // it ran and what it found is wrong, or it could not go on
	Refused     = 2   // what it was asked or given cannot be used
	Interrupted = 130 // as shells say it for Ctrl-C
)

// Program is an example without its process.
type Program func(ctx context.Context, args []string, stdout, stderr io.Writer) error

// Main runs a program as the process: Ctrl-C ends its context, a second one ends the process.
func Main(name string, program Program) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(Run(ctx, name, program, os.Args[1:], os.Stdout, os.Stderr))
}

// Run runs a program, says on stderr in one line what went wrong, and returns the exit status.
func Run(ctx context.Context, name string, program Program, args []string, stdout, stderr io.Writer) int {
	err := program(ctx, args, stdout, stderr)
	status := OK
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return OK
	case ctx.Err() != nil:
		status, err = Interrupted, errors.New("interrupted")
	case errors.As(err, new(refusal)):
		status = Refused
	default:
		status = Failed
	}
	fmt.Fprintf(stderr, "%s: %s\n", name, OneLine(err.Error()))
	return status
}

// refusal is an error in what the program was asked or given.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// Refuse returns an error that ends the program with status Refused.
func Refuse(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

// Parse parses the flags of a program that takes no further arguments. For -h it prints the flags
// to stderr and returns flag.ErrHelp.
func Parse(flags *flag.FlagSet, args []string, stderr io.Writer) error {
	flags.SetOutput(io.Discard) // it would print all flags after an error
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stderr)
		fmt.Fprintf(stderr, "Flags of %s:\n", flags.Name())
		flags.PrintDefaults()
		return err
	case err != nil:
		return Refuse("%w (-h lists the flags)", err)
	case flags.NArg() > 0:
		return Refuse("unexpected argument %q (-h lists the flags)", flags.Arg(0))
	}
	return nil
}

// Positive checks the flag of a number that must be above zero.
func Positive(name string, n int) error {
	if n <= 0 {
		return Refuse("-%s %d: want a positive number", name, n)
	}
	return nil
}

// OneLine folds white space, line ends too.
func OneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
