package otterstore

import (
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func() preload.Store {
		s, err := New()
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
