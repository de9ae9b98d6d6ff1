package worldtest

import (
	"io"
	"log/slog"
	"testing"
)

// Ptr returns a pointer to a copy of a value.
func Ptr[T any](v T) *T { return &v }

// Quiet is a logger that writes nothing.
func Quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// Must ends the test where there is an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
