package feedtest

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/batch"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
)

// hotKeys: a process that starts loads what another one left on the shelf, where the feed is one,
// and then is told of what others write of it, as of all that it has in memory.
func hotKeys(t *testing.T, d *dbtest.Database, b Bed) {
	if _, ok := b.Feed().(preload.Shelf); !ok {
		t.Skip("the feed is no preload.Shelf")
	}
	plain := worldtest.MigrateWrites(t, d)
	worldtest.SeedWrites(t, plain)
	secret := []byte("a secret of sixteen bytes")
	writer := b.open(t, d, plain, preload.WithSecret(secret))
	writer.serving(t)
	var file bytes.Buffer
	worldtest.Must(t, writer.Plugin.SaveHot(&file))
	seal, err := batch.NewSeal(secret)
	worldtest.Must(t, err)
	worldtest.Must(t, writer.feed.(preload.Shelf).PutHot(t.Context(), seal.Close(file.Bytes())))

	again := d.Again()
	db, joining := again.Open(t), preload.New(
		preload.WithFeed(b.Feed()), preload.WithSecret(secret), preload.WithSharedHot(), preload.WithLogger(worldtest.Quiet()))
	worldtest.Must(t, db.Use(joining))
	t.Cleanup(func() { _ = joining.Close() })
	worldtest.Must(t, joining.Register(&worldtest.WriteOrg{}))
	worldtest.Must(t, joining.LoadHotShared(t.Context()))
	if n := joining.Stats().PreloadCount; n == 0 {
		t.Error("nothing was loaded of what is hot elsewhere")
	}
	worldtest.Must(t, writer.DB.Model(&worldtest.WriteOrg{}).Where("1 = 1").Update("name", "changed").Error)
	worldtest.Within(t, worldtest.Patience, "a process that has loaded what is hot, and is told of a write", func() {
		for {
			var orgs []worldtest.WriteOrg
			if db.Find(&orgs); len(orgs) > 0 && orgs[0].Name == "changed" {
				return
			}
		}
	})
}

// again: a key that is read here time and again is loaded again when another process has written
// what it depends on, so that nobody waits for it.
func again(t *testing.T, d *dbtest.Database, b Bed) {
	plain := worldtest.MigrateWrites(t, d)
	worldtest.SeedWrites(t, plain)
	writer := b.open(t, d, plain)
	db, reader := d.Again().Open(t), preload.New(preload.WithFeed(b.Feed()), preload.WithLogger(worldtest.Quiet()))
	worldtest.Must(t, db.Use(reader))
	t.Cleanup(func() { _ = reader.Close() })
	name := func() string {
		var orgs []worldtest.WriteOrg
		db.Find(&orgs)
		if len(orgs) == 0 {
			return ""
		}
		return orgs[0].Name
	}
	worldtest.Within(t, worldtest.Patience, "a key that is loaded again", func() {
		for n := 0; reader.Stats().PreloadHits == 0; n++ {
			want := fmt.Sprint("name ", n)
			if writer.DB.Model(&worldtest.WriteOrg{}).Where("1 = 1").Update("name", want).Error != nil {
				continue // SQLite, while a load reads
			}
			time.Sleep(time.Millisecond) // a load can begin before somebody asks
			for name() != want {
			}
			for hits := reader.Stats().Hits; reader.Stats().Hits == hits; {
				name()
			}
		}
	})
}
