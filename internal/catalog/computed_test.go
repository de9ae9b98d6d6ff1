package catalog

import (
	"slices"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
)

type computedRow struct {
	ID      uint
	Seen    time.Time
	Stamped time.Time      `gorm:"type:timestamp"`
	Gone    gorm.DeletedAt `gorm:"type:timestamp null"`
	Deleted gorm.DeletedAt
}

// TestTimesThatMayMoveWithUpdates: a time that MySQL may set whenever the row is updated is taken
// for one that it does set, but for a DATETIME that marks deleted rows. A TIMESTAMP may be one
// although nobody said so.
func TestTimesThatMayMoveWithUpdates(t *testing.T) {
	t.Parallel()
	stmt := &gorm.Statement{DB: dbtest.SQLite(t).Plain(t)}
	if err := stmt.Parse(&computedRow{}); err != nil {
		t.Fatal(err)
	}
	var computed []string
	for _, f := range stmt.Schema.Fields {
		if c := newColumn("mysql", f); c.derived {
			computed = append(computed, c.Name)
		}
	}
	if !slices.Equal(computed, []string{"seen", "stamped", "gone"}) {
		t.Errorf("%q may be computed", computed)
	}
}
