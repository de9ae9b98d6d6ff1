package preload_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// computedName is a text whose type says itself that the database computes it.
type computedName string

func (computedName) GormDataType() string {
	return "varchar(90) GENERATED ALWAYS AS (first || last) STORED"
}

type computedPerson struct {
	_      struct{} `preload:""`
	ID     int64
	First  string       `gorm:"size:40"`
	Last   string       `gorm:"size:40"`
	Marked string       `gorm:"size:90;default:(-)"`
	Typed  computedName `gorm:"->;<-:create"`
	Read   string       `gorm:"size:90;->"`
	Number int64        `gorm:"default:( - )"`
}

func (computedPerson) TableName() string { return "computed_people" }

// computedWriter is a model of the same table that knows nothing of what is computed.
type computedWriter struct {
	ID    int64
	First string `gorm:"size:40"`
	Last  string `gorm:"size:40"`
}

func (computedWriter) TableName() string { return "computed_people" }

// TestComputedColumnsFollowWhatTheyAreComputedFrom: a column that the database computes from others
// is read as it is after a write to these, whichever way the model says that it is computed.
func TestComputedColumnsFollowWhatTheyAreComputedFrom(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := valuesOpen(t, d)
		both := "concat(first, last)"
		if d.Dialect != "mysql" {
			both = "first || last"
		}
		worldtest.Must(t, b.Plain.Exec(`CREATE TABLE computed_people (id bigint PRIMARY KEY, first varchar(40), last varchar(40),
			marked varchar(90) GENERATED ALWAYS AS (`+both+`) STORED, typed varchar(90) GENERATED ALWAYS AS (`+both+`) STORED,
			`+b.Plain.Statement.Quote("read")+` varchar(90) GENERATED ALWAYS AS (`+both+`) STORED,
			number bigint GENERATED ALWAYS AS (length(first)) STORED)`).Error)
		worldtest.Must(t, b.Plain.Create(&[]computedWriter{{1, "a", "b"}, {2, "a", "c"}}).Error)
		first := "a"
		for _, next := range []string{"x", "yy"} {
			check := func(when string) {
				t.Helper()
				for _, column := range []string{"marked", "typed", "read"} {
					for _, value := range []string{first + "b", next + "b"} {
						worldtest.Alike[[]computedPerson](t, b.DB, b.Plain, when+": "+column+" = "+value, func(tx *gorm.DB) *gorm.DB {
							return tx.Where(map[string]any{column: value}).Order("id")
						})
					}
					worldtest.Alike[[]string](t, b.DB, b.Plain, when+": all of "+column, func(tx *gorm.DB) *gorm.DB {
						return tx.Model(&computedPerson{}).Order("id").Select(column)
					})
				}
				for _, number := range []int{1, 2} {
					worldtest.Alike[[]computedPerson](t, b.DB, b.Plain, when+": by number", func(tx *gorm.DB) *gorm.DB { return tx.Where("number = ?", number).Order("id") })
				}
			}
			check("before")
			worldtest.Must(t, b.DB.Model(&computedWriter{}).Where("id = ?", 1).Update("first", next).Error)
			check("after")
			first = next
		}
	})
}

type computedNote struct {
	_         struct{} `preload:""`
	ID        int64
	Name      string `gorm:"size:40"`
	DeletedAt gorm.DeletedAt
}

type computedStamp struct {
	_         struct{} `preload:""`
	ID        int64
	Name      string         `gorm:"size:40"`
	DeletedAt gorm.DeletedAt `gorm:"type:timestamp"`
}

// TestUpdatesOfOneRowLeaveTheOthersInMemory: that rows can be deleted softly makes no column of
// theirs change with every update.
func TestUpdatesOfOneRowLeaveTheOthersInMemory(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := valuesOpen(t, d, &computedNote{})
		worldtest.Must(t, b.Plain.Create(&[]computedNote{{ID: 1, Name: "a"}, {ID: 2, Name: "b"}}).Error)
		one := func(tx *gorm.DB) *gorm.DB { return tx.Where("id = ?", 1) }
		all := func(tx *gorm.DB) *gorm.DB { return tx.Model(&computedNote{}).Select("id") }
		worldtest.Alike[[]computedNote](t, b.DB, b.Plain, "one", one)
		worldtest.Alike[[]int64](t, b.DB, b.Plain, "all", all)
		worldtest.Must(t, b.DB.Model(&computedNote{}).Where("id = ?", 2).Update("name", "c").Error)
		if asked := valuesAsked[[]computedNote](t, b, one); asked != 0 {
			t.Errorf("%d queries for a row that was not updated", asked)
		}
		if asked := valuesAsked[[]int64](t, b, all); asked != 0 {
			t.Errorf("%d queries for columns that were not updated", asked)
		}
		worldtest.Must(t, b.DB.Delete(&computedNote{ID: 2}).Error)
		worldtest.Alike[[]int64](t, b.DB, b.Plain, "after a deletion", all)
	})
}

// TestTimestampsThatMoveWithUpdates: a TIMESTAMP of MySQL may be set by any update of its row, one
// of DeletedAt too.
func TestTimestampsThatMoveWithUpdates(t *testing.T) {
	t.Parallel()
	b := valuesOpen(t, dbtest.MySQL(t))
	worldtest.Must(t, b.Plain.Exec(`CREATE TABLE computed_stamps (id bigint PRIMARY KEY, name varchar(40),
		deleted_at timestamp NULL DEFAULT NULL ON UPDATE CURRENT_TIMESTAMP)`).Error)
	worldtest.Must(t, b.Plain.Create(&[]computedStamp{{ID: 1, Name: "a"}, {ID: 2, Name: "b"}}).Error)
	ids := func(tx *gorm.DB) *gorm.DB { return tx.Model(&computedStamp{}).Order("id").Select("id") }
	worldtest.Alike[[]int64](t, b.DB, b.Plain, "before", ids)
	worldtest.Must(t, b.DB.Model(&computedStamp{}).Where("id = ?", 2).UpdateColumn("name", "c").Error)
	worldtest.Alike[[]int64](t, b.DB, b.Plain, "after", ids)
}

type computedMoment struct{ sql.NullTime }

type computedMoments struct {
	_      struct{} `preload:""`
	ID     int64
	Name   string         `gorm:"size:40"`
	Text   string         `gorm:"type:timestamp"`
	Bytes  []byte         `gorm:"type:datetime"`
	Around computedMoment // GORM makes a datetime of it
	Null   sql.Null[time.Time]
}

// TestMomentsInOtherTypesMoveWithUpdates: a column of a moment may be ON UPDATE CURRENT_TIMESTAMP
// whatever the type of its field is.
func TestMomentsInOtherTypesMoveWithUpdates(t *testing.T) {
	t.Parallel()
	b := valuesOpen(t, dbtest.MySQL(t))
	moving := " timestamp NOT NULL DEFAULT '2020-01-01 00:00:00' ON UPDATE CURRENT_TIMESTAMP"
	worldtest.Must(t, b.Plain.Exec("CREATE TABLE computed_moments (id bigint PRIMARY KEY, name varchar(40), `text`"+moving+", bytes"+moving+", around"+moving+", `null`"+moving+")").Error)
	worldtest.Must(t, b.Plain.Exec("INSERT INTO computed_moments (id, name) VALUES (1, 'a'), (2, 'b')").Error)
	columns := []string{"text", "bytes", "around", "null"}
	check := func(when string) {
		for _, column := range columns {
			worldtest.Alike[[]computedMoments](t, b.DB, b.Plain, when+": "+column, func(tx *gorm.DB) *gorm.DB {
				return tx.Select("id", column).Order("id")
			})
		}
	}
	check("before")
	worldtest.Must(t, b.DB.Model(&computedMoments{}).Where("id = ?", 2).UpdateColumn("name", "c").Error)
	check("after")
}
