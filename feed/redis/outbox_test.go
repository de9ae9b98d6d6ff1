package redis

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/gorm-preload/preload"
)

// joined stands for Member.Merge.
func joined(batches [][]byte) []byte { return bytes.Join(batches, []byte("+")) }

// tell drains an outbox as others are told of it: which batches begin, and which of them end.
func tellAll(o *outbox) (told []string) {
	number := uint64(0)
	for o.waits() {
		for _, it := range o.take(most, func(it *item) {
			number++
			if !it.ended {
				it.of.id = number
			}
		}) {
			if it.ended {
				told = append(told, fmt.Sprintf("%d ended %d", it.of.id, it.of.end))
				continue
			}
			text := string(it.of.batch)
			if len(text) > 20 {
				text = fmt.Sprint(len(text), " bytes")
			}
			told = append(told, fmt.Sprintf("%d: %s", it.of.id, text))
		}
	}
	return told
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestAnnouncementsAreToldInOrder(t *testing.T) {
	t.Parallel()
	o := newOutbox(joined)
	a := o.begin([]byte("a"))
	b := o.begin([]byte("b"))
	b(preload.EndUnknown)
	same(t, tellAll(o), "1: a", "2: b", fmt.Sprint("2 ended ", preload.EndUnknown))
	a(preload.EndUndone)
	same(t, tellAll(o), "1 ended 0")
}

// TestWithoutRoomAnnouncementsBecomeOne: which ends when all have ended that are in it, and not
// before.
func TestWithoutRoomAnnouncementsBecomeOne(t *testing.T) {
	t.Parallel()
	o := newOutbox(joined)
	sent := o.begin([]byte("sent"))
	same(t, tellAll(o), "1: sent")
	var ends []func(preload.End)
	for range maxWaiting + 10 {
		ends = append(ends, o.begin([]byte("x")))
	}
	for i, end := range ends[:maxWaiting] {
		become := preload.EndVisible
		if i == 3 {
			become = preload.EndUnknown
		}
		end(become)
	}
	sent(preload.EndVisible)
	o.mu.Lock()
	waiting := len(o.items)
	o.mu.Unlock()
	if waiting != 2 {
		t.Errorf("%d entries wait, want one that begins, and the end of what was sent", waiting)
	}
	same(t, tellAll(o), fmt.Sprintf("1: %d bytes", 2*(maxWaiting+10)-1), "1 ended 0")
	for i, end := range ends[maxWaiting:] {
		if i == 9 {
			same(t, tellAll(o))
		}
		end(preload.EndVisible)
	}
	same(t, tellAll(o), fmt.Sprint("1 ended ", preload.EndUnknown))
	o.begin([]byte("later"))
	same(t, tellAll(o), "1: later")
}

func TestTooManyBytesBecomeOneToo(t *testing.T) {
	t.Parallel()
	o := newOutbox(func([][]byte) []byte { return nil })
	long := make([]byte, maxWaitingBytes/2+1)
	a, b, c := o.begin(long), o.begin(long), o.begin([]byte("c"))
	a(preload.EndVisible)
	b(preload.EndVisible)
	c(preload.EndVisible)
	same(t, tellAll(o), "1: ", "1 ended 0") // an empty batch is of everything
	o.close()
	o.begin([]byte("too late"))(preload.EndVisible)
	same(t, tellAll(o))
}
