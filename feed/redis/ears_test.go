package redis

import (
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/strict"
	goredis "github.com/redis/go-redis/v9"
)

// hearing notes the number of the last seat of which it is told that it is gone.
type hearing struct{ gone atomic.Int64 }

func (*hearing) Announced(strict.Announcement)       {}
func (*hearing) Finished(string, strict.End)         {}
func (*hearing) Acknowledged(strict.Acknowledgement) {}
func (h *hearing) Gone(seat strict.Seat)             { h.gone.Store(seat.Number) }

// muted is a proxy of a server: connections that were there when it was muted carry nothing any
// more, and stay open.
func muted(t *testing.T, server string) (addr string, mute func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var era atomic.Int64
	carry := func(to, from net.Conn, began int64) {
		b := make([]byte, 64<<10)
		for {
			n, err := from.Read(b)
			if err != nil {
				_ = to.Close()
				return
			}
			if era.Load() != began {
				_, _ = io.Copy(io.Discard, from)
				return
			}
			_, _ = to.Write(b[:n])
		}
	}
	go func() {
		for {
			down, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", server)
			if err != nil {
				_ = down.Close()
				continue
			}
			began := era.Load()
			go carry(up, down, began)
			go carry(down, up, began)
		}
	}()
	return l.Addr().String(), func() { era.Add(1) }
}

// TestEarsHearAgainWhereTheirConnectionIsSilent: neither side is told that it carries nothing.
func TestEarsHearAgainWhereTheirConnectionIsSilent(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s server) {
		direct := s.client(t)
		addr, mute := muted(t, s.addr)
		client := goredis.NewClient(&goredis.Options{Addr: addr})
		t.Cleanup(func() { _ = client.Close() })
		b := newBroker(client, name(t, direct), "test", slog.Default())
		h := &hearing{}
		e := b.listen("process", h, func() {})
		t.Cleanup(e.close)
		hears := func(number int64) {
			t.Helper()
			notice := strict.GonePrefix + "run " + strict.Seat{Number: number, Process: "other"}.Place()
			for end := time.Now().Add(time.Minute); h.gone.Load() != number; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("nothing is heard")
				}
				if err := direct.Publish(t.Context(), b.keys[3], notice).Err(); err != nil {
					t.Fatal(err)
				}
			}
		}
		hears(1)
		mute()
		hears(2)
	})
}
