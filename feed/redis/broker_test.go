package redis

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/strict"
	"github.com/gorm-preload/preload/internal/strict/stricttest"
)

func TestBroker(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s server) {
		stricttest.Run(t, func(t *testing.T) stricttest.Bed {
			if s.empty != nil {
				s.empty()
			}
			client := s.client(t)
			b := newBroker(client, name(t, client), "test", slog.Default())
			return stricttest.Bed{
				Broker: b,
				Subscribe: func(process string, to strict.Listener) {
					e := b.listen(process, to, func() {})
					t.Cleanup(e.close)
					for end := time.Now().Add(time.Minute); client.PubSubNumSub(context.Background(), b.acknowledgementsBefore+process).Val()[b.acknowledgementsBefore+process] == 0; time.Sleep(time.Millisecond) {
						if time.Now().After(end) {
							t.Fatal("not subscribed")
						}
					}
				},
				Restart: s.restart, Empty: s.empty,
			}
		})
	})
}
