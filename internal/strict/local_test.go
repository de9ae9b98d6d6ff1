package strict_test

import (
	"testing"

	"github.com/gorm-preload/preload/internal/strict"
	"github.com/gorm-preload/preload/internal/strict/stricttest"
)

func TestLocalBroker(t *testing.T) {
	t.Parallel()
	stricttest.Run(t, func(*testing.T) stricttest.Bed {
		b := &strict.LocalBroker{}
		return stricttest.Bed{Broker: b, Subscribe: b.Subscribe, Restart: b.Restart, Empty: b.Empty}
	})
}
