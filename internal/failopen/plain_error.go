package failopen

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"reflect"
	"runtime"
	"strings"

	"github.com/gorm-preload/preload/internal/clone"
	"gorm.io/gorm"
)

// The texts of errors that drivers, loaders and panics of the application give may quote a bind
// value or a row: "invalid input syntax for type integer: ...", "Duplicate entry ...". What the
// plugin writes of them is what no value can be in.

// PlainError returns an error whose text holds no value; errors.Is and errors.As find what is in
// it.
func PlainError(err error) error { return plainError{err} }

type plainError struct{ error }

func (e plainError) Error() string { return Plain(e.error) }
func (e plainError) Unwrap() error { return e.error }

// OwnText is the text of an error of the plugin's own, which holds no value.
type OwnText string

func (t OwnText) Error() string { return string(t) }

// knownErrors are errors whose texts say enough and hold no value.
var knownErrors = []error{
	ErrDatabase, clone.ErrUncopyable, context.Canceled, context.DeadlineExceeded, sql.ErrNoRows, sql.ErrConnDone, sql.ErrTxDone, driver.ErrBadConn,
	io.EOF, io.ErrUnexpectedEOF, os.ErrDeadlineExceeded, net.ErrClosed, fs.ErrNotExist, fs.ErrPermission,
	gorm.ErrRecordNotFound, gorm.ErrInvalidTransaction, gorm.ErrNotImplemented, gorm.ErrMissingWhereClause,
	gorm.ErrUnsupportedRelation, gorm.ErrPrimaryKeyRequired, gorm.ErrModelValueRequired, gorm.ErrModelAccessibleFieldsRequired,
	gorm.ErrSubQueryRequired, gorm.ErrInvalidData, gorm.ErrUnsupportedDriver, gorm.ErrRegistered, gorm.ErrInvalidField,
	gorm.ErrEmptySlice, gorm.ErrDryRunModeUnsupported, gorm.ErrInvalidDB, gorm.ErrInvalidValue,
	gorm.ErrInvalidValueOfLength, gorm.ErrPreloadNotAllowed, gorm.ErrDuplicatedKey, gorm.ErrForeignKeyViolated,
	gorm.ErrCheckConstraintViolated,
}

// Plain says of an error which of the known ones it is, of what type the others in it are, and with
// which codes.
func Plain(err error) string {
	var parts []string
	for _, known := range knownErrors {
		if errors.Is(err, known) {
			parts = append(parts, known.Error())
		}
	}
	for _, cause := range causes(err, nil) {
		switch cause.(type) {
		case runtime.Error, OwnText:
			parts = append(parts, cause.Error())
		default:
			if text := typeAndCodes(cause); text != "" {
				parts = append(parts, text)
			}
		}
	}
	if len(parts) == 0 {
		return fmt.Sprintf("%T", err)
	}
	return strings.Join(parts, ": ")
}

// maxCauses bounds what is said of an error that wraps many.
const maxCauses = 4

// causes returns what an error wraps in the end.
func causes(err error, into []error) []error {
	if len(into) >= maxCauses {
		return into
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return causes(inner, into)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			into = causes(inner, into)
		}
		return into
	}
	return append(into, err)
}

// typeAndCodes names an error's type and what databases number it by; "" for one that is known by
// its text.
func typeAndCodes(err error) string {
	for _, known := range knownErrors {
		if err == known { //nolint:errorlint // this one, not what it wraps
			return ""
		}
	}
	text := fmt.Sprintf("%T", err)
	if state, ok := err.(interface{ SQLState() string }); ok && isCode(state.SQLState()) {
		text += " SQLSTATE " + state.SQLState()
	}
	v := reflect.Indirect(reflect.ValueOf(err))
	switch {
	case !v.IsValid():
		return text
	case v.Type().PkgPath() == "syscall": // an Errno, which is a number; those of others may be values
		return fmt.Sprintf("%s %v", text, err)
	case v.Kind() != reflect.Struct:
		return text
	}
	for _, name := range []string{"Number", "Code", "ExtendedCode", "SQLState"} {
		switch f := v.FieldByName(name); {
		case !f.IsValid():
		case f.CanInt():
			text += fmt.Sprintf(" %s %d", name, f.Int())
		case f.CanUint():
			text += fmt.Sprintf(" %s %d", name, f.Uint())
		case f.Kind() == reflect.Array && f.Type().Elem().Kind() == reflect.Uint8:
			code := make([]byte, f.Len())
			reflect.Copy(reflect.ValueOf(code), f)
			if isCode(string(code)) {
				text += " SQLSTATE " + string(code)
			}
		}
	}
	return text
}

// isCode reports whether a text is of the form of an SQLSTATE.
func isCode(text string) bool {
	return len(text) == 5 && strings.Trim(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// PlainFault says of what a panic gave what no value can be in.
func PlainFault(fault any) string {
	if err, ok := fault.(error); ok {
		return Plain(err)
	}
	return fmt.Sprintf("%T", fault)
}

// Panicked returns the place in the code where a panic came from, as a deferred call sees it; ""
// where there is none.
func Panicked() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for found := false; ; {
		frame, more := frames.Next()
		ofRuntime := strings.HasPrefix(frame.Function, "runtime.")
		if found && !ofRuntime {
			return fmt.Sprintf("%s:%d", frame.Function, frame.Line)
		}
		found = found || frame.Function == "runtime.gopanic"
		if !more {
			return ""
		}
	}
}

// FaultAttrs are the attributes of a line about what a panic gave.
func FaultAttrs(fault any) []any {
	attrs := []any{"fault", Told{PlainFault(fault), fault}}
	if at := Panicked(); at != "" {
		attrs = append(attrs, "at", at)
	}
	return attrs
}

// ErrDatabase marks the error of a background load as the database's.
var ErrDatabase = errors.New("the database failed")
