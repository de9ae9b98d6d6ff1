package failopen

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// secretNumber is an error that is nothing but a value, as "no account 4711" is.
type secretNumber int64

func (n secretNumber) Error() string { return fmt.Sprintf("no account %d", int64(n)) }

// secretPointer is one whose method is that of its pointer.
type secretPointer uint64

func (n *secretPointer) Error() string { return fmt.Sprintf("no account %d", uint64(*n)) }

// TestNumbersThatAreErrorsAreNotWritten: the number that an error of the application's consists of
// is a value like any other. Those of the operating system are told.
func TestNumbersThatAreErrorsAreNotWritten(t *testing.T) {
	t.Parallel()
	pointer := secretPointer(4711)
	for _, err := range []error{
		secretNumber(4711), &pointer, (*secretPointer)(nil),
		fmt.Errorf("load: %w", secretNumber(4711)), fmt.Errorf("load: %w", &pointer),
	} {
		text := Plain(err)
		if strings.Contains(text, "4711") || !strings.Contains(text, "failopen.secret") {
			t.Errorf("of %T is written %q: want its type and no value", err, text)
		}
	}
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	if text := Plain(refused); !strings.Contains(text, syscall.ECONNREFUSED.Error()) {
		t.Errorf("of a refused connection is written %q: want %q in it", text, syscall.ECONNREFUSED)
	}
}
