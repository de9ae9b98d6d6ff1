package preload_test

import (
	"strings"
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// PostgreSQL cuts long names off: two savepoints whose names begin alike are one name to it, and
// the later one counts.
func TestSavepointsWhoseNamesAreCutOff(t *testing.T) {
	t.Parallel()
	for name, observed := range map[string]bool{"wrapped": false, "observed": true} {
		t.Run(name, func(t *testing.T) {
			b := wrapperOpen(t, dbtest.Postgres(t), observed, func(c gorm.ConnPool) gorm.ConnPool { return c })
			b.warm(t)
			long := strings.Repeat("x", 63)
			worldtest.Must(t, b.DB.Transaction(func(tx *gorm.DB) error {
				worldtest.Must(t, tx.SavePoint(long+"a").Error)
				worldtest.Must(t, tx.Save(&connItem{ID: 1, Name: "new"}).Error)
				worldtest.Must(t, tx.SavePoint(long+"b").Error)
				worldtest.Must(t, tx.Save(&connItem{ID: 2, Name: "new"}).Error)
				return tx.RollbackTo(long + "a").Error
			}))
			b.now(t, false)
		})
	}
}
