package failopen

import (
	"fmt"
	"log/slog"
	"slices"
)

// Told is the value of an attribute of a log line that may hold values of the application's: a
// Reporter writes what is plain, and the whole only with Values.
type Told struct {
	Plain string
	Whole any
}

// TellError returns what is told of an error.
func TellError(err error) Told { return Told{Plain(err), err} }

// LogValue implements slog.LogValuer.
func (t Told) LogValue() slog.Value { return slog.StringValue(t.Plain) }

// whole returns attributes with the wholes of those that are told.
func whole(attrs []any) []any {
	attrs = slices.Clone(attrs)
	for i, a := range attrs {
		if t, ok := a.(Told); ok {
			attrs[i] = text(t.Whole)
		}
	}
	return attrs
}

// text writes something of the application's out; its own methods may panic.
func text(of any) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("%T", of)
		}
	}()
	return Clipped(fmt.Sprint(of))
}
