package feedtest

import (
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// closing: no transaction is refused because the plugin is closed meanwhile, and others go on.
func closing(t *testing.T, d *dbtest.Database, b Bed) {
	plain := worldtest.MigrateWrites(t, d)
	worldtest.SeedWrites(t, plain)
	reader := b.open(t, d, plain)
	reader.serving(t)
	for range 3 {
		const enough = 20
		writer := b.open(t, d, plain)
		written, closed, done := make(chan struct{}, enough), make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for more := enough; more > 0; {
				err := writer.DB.Transaction(func(tx *gorm.DB) error {
					return tx.Model(&worldtest.WriteOrg{ID: 1}).Update("name", "closing").Error
				})
				if err != nil {
					t.Errorf("a transaction beside Close: %v", err)
					return
				}
				select {
				case <-closed:
					more--
				case written <- struct{}{}:
				default: // Close is late, and enough is written
				}
			}
		}()
		for range enough {
			select {
			case <-written:
			case <-done:
			}
		}
		worldtest.Within(t, worldtest.Patience, "Close", func() { worldtest.Must(t, writer.Plugin.Close()) })
		close(closed)
		<-done
	}
	reader.serving(t)
}
