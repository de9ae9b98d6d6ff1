package preload_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
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
		valuesMust(t, b.plain.Exec(`CREATE TABLE computed_people (id bigint PRIMARY KEY, first varchar(40), last varchar(40),
			marked varchar(90) GENERATED ALWAYS AS (`+both+`) STORED, typed varchar(90) GENERATED ALWAYS AS (`+both+`) STORED,
			`+b.plain.Statement.Quote("read")+` varchar(90) GENERATED ALWAYS AS (`+both+`) STORED,
			number bigint GENERATED ALWAYS AS (length(first)) STORED)`).Error)
		valuesMust(t, b.plain.Create(&[]computedWriter{{1, "a", "b"}, {2, "a", "c"}}).Error)
		first := "a"
		for _, next := range []string{"x", "yy"} {
			check := func(when string) {
				t.Helper()
				for _, column := range []string{"marked", "typed", "read"} {
					for _, value := range []string{first + "b", next + "b"} {
						valuesSame[[]computedPerson](t, b, when+": "+column+" = "+value, func(tx *gorm.DB) *gorm.DB {
							return tx.Where(map[string]any{column: value}).Order("id")
						})
					}
					valuesSame[[]string](t, b, when+": all of "+column, func(tx *gorm.DB) *gorm.DB {
						return tx.Model(&computedPerson{}).Order("id").Select(column)
					})
				}
				for _, number := range []int{1, 2} {
					valuesSame[[]computedPerson](t, b, when+": by number", func(tx *gorm.DB) *gorm.DB { return tx.Where("number = ?", number).Order("id") })
				}
			}
			check("before")
			valuesMust(t, b.db.Model(&computedWriter{}).Where("id = ?", 1).Update("first", next).Error)
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
		valuesMust(t, b.plain.Create(&[]computedNote{{ID: 1, Name: "a"}, {ID: 2, Name: "b"}}).Error)
		one := func(tx *gorm.DB) *gorm.DB { return tx.Where("id = ?", 1) }
		all := func(tx *gorm.DB) *gorm.DB { return tx.Model(&computedNote{}).Select("id") }
		valuesSame[[]computedNote](t, b, "one", one)
		valuesSame[[]int64](t, b, "all", all)
		valuesMust(t, b.db.Model(&computedNote{}).Where("id = ?", 2).Update("name", "c").Error)
		if asked := valuesAsked[[]computedNote](t, b, one); asked != 0 {
			t.Errorf("%d queries for a row that was not updated", asked)
		}
		if asked := valuesAsked[[]int64](t, b, all); asked != 0 {
			t.Errorf("%d queries for columns that were not updated", asked)
		}
		valuesMust(t, b.db.Delete(&computedNote{ID: 2}).Error)
		valuesSame[[]int64](t, b, "after a deletion", all)
	})
}

// TestTimestampsThatMoveWithUpdates: a TIMESTAMP of MySQL may be set by any update of its row, one
// of DeletedAt too.
func TestTimestampsThatMoveWithUpdates(t *testing.T) {
	t.Parallel()
	b := valuesOpen(t, dbtest.MySQL(t))
	valuesMust(t, b.plain.Exec(`CREATE TABLE computed_stamps (id bigint PRIMARY KEY, name varchar(40),
		deleted_at timestamp NULL DEFAULT NULL ON UPDATE CURRENT_TIMESTAMP)`).Error)
	valuesMust(t, b.plain.Create(&[]computedStamp{{ID: 1, Name: "a"}, {ID: 2, Name: "b"}}).Error)
	ids := func(tx *gorm.DB) *gorm.DB { return tx.Model(&computedStamp{}).Order("id").Select("id") }
	valuesSame[[]int64](t, b, "before", ids)
	valuesMust(t, b.db.Model(&computedStamp{}).Where("id = ?", 2).UpdateColumn("name", "c").Error)
	valuesSame[[]int64](t, b, "after", ids)
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
	valuesMust(t, b.plain.Exec("CREATE TABLE computed_moments (id bigint PRIMARY KEY, name varchar(40), `text`"+moving+", bytes"+moving+", around"+moving+", `null`"+moving+")").Error)
	valuesMust(t, b.plain.Exec("INSERT INTO computed_moments (id, name) VALUES (1, 'a'), (2, 'b')").Error)
	columns := []string{"text", "bytes", "around", "null"}
	check := func(when string) {
		for _, column := range columns {
			valuesSame[[]computedMoments](t, b, when+": "+column, func(tx *gorm.DB) *gorm.DB {
				return tx.Select("id", column).Order("id")
			})
		}
	}
	check("before")
	valuesMust(t, b.db.Model(&computedMoments{}).Where("id = ?", 2).UpdateColumn("name", "c").Error)
	check("after")
}
