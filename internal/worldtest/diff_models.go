package worldtest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// The models of what is drawn: every kind of column, key and relation by which a change can be told
// from an answer, or seem to be told.

// DiffTeam has users; its changes of key cascade to them.
type DiffTeam struct {
	_     struct{} `preload:""`
	ID    uint
	Name  string `gorm:"size:20;uniqueIndex"`
	Rank  int
	Users []DiffUser `gorm:"foreignKey:TeamID;constraint:OnUpdate:CASCADE,OnDelete:SET NULL"`
}

// DiffHome is embedded in DiffUser.
type DiffHome struct {
	City string `gorm:"size:20"`
	No   int
}

// DiffUser has a column of every kind, and relations of every kind.
type DiffUser struct {
	_     struct{} `preload:""`
	ID    uint
	Login string `gorm:"size:20;uniqueIndex"`
	Name  string `gorm:"size:20"`
	// Code is padded with blanks where the database does that.
	Code string `gorm:"type:char(4)"`
	Age  int
	// Twice changes with Age.
	Twice     int `gorm:"->;type:bigint GENERATED ALWAYS AS (age * 2) STORED"`
	Big       int64
	Small     uint8
	Active    bool
	Ratio     float64
	Nick      *string `gorm:"size:20"`
	Born      *int
	Seen      *time.Time
	Data      []byte
	TeamID    *uint
	Team      *DiffTeam
	Home      DiffHome `gorm:"embedded;embeddedPrefix:home_"`
	Tags      []string `gorm:"serializer:json;size:100"`
	Level     string   `gorm:"size:20;default:'new'"`
	Points    int      `gorm:"default:7"`
	ChangedAt int64    `gorm:"autoUpdateTime:nano"`
	UpdatedAt time.Time
	DeletedAt gorm.DeletedAt
	Posts     []DiffPost `gorm:"foreignKey:UserID;constraint:OnUpdate:CASCADE,OnDelete:CASCADE"`
	Langs     []DiffLang `gorm:"many2many:diff_user_langs;constraint:OnUpdate:CASCADE,OnDelete:CASCADE"`
	Notes     []DiffNote `gorm:"polymorphic:Owner"`
}

// DiffPerson is another view of the users' table: with other types, fewer columns, and no soft
// deletes.
type DiffPerson struct {
	_     struct{} `preload:""`
	ID    int64
	Login string `gorm:"size:20"`
	Age   int32
	Nick  string `gorm:"size:20"`
}

// TableName is the table of DiffUser.
func (DiffPerson) TableName() string { return "diff_users" }

// DiffPost is deleted with its user.
type DiffPost struct {
	_      struct{} `preload:""`
	ID     uint
	UserID uint
	Title  string `gorm:"size:20"`
	Views  int
	Notes  []DiffNote `gorm:"polymorphic:Owner"`
}

// DiffComment is deleted with its post, which is two levels below a user.
type DiffComment struct {
	_      struct{} `preload:""`
	ID     uint
	PostID uint
	Post   *DiffPost `gorm:"constraint:OnUpdate:CASCADE,OnDelete:CASCADE"`
	Body   string    `gorm:"size:20"`
}

// DiffLang has a text for a primary key, and users by way of a table that joins them.
type DiffLang struct {
	_    struct{} `preload:""`
	Code string   `gorm:"primaryKey;size:20"`
	Name string   `gorm:"size:20"`
}

// DiffNote belongs to users and posts by their types.
type DiffNote struct {
	_         struct{} `preload:""`
	ID        uint
	Text      string `gorm:"size:20"`
	OwnerID   uint
	OwnerType string `gorm:"size:20"`
}

// DiffSeat has a primary key of two columns.
type DiffSeat struct {
	_      struct{} `preload:""`
	Hall   string   `gorm:"primaryKey;size:20"`
	No     int      `gorm:"primaryKey;autoIncrement:false"`
	Label  *string  `gorm:"size:20;uniqueIndex"`
	Holder *uint
	Price  int
}

// DiffHooked has hooks that change the statement and write to other tables.
type DiffHooked struct {
	_     struct{} `preload:""`
	ID    uint
	Name  string `gorm:"size:20"`
	Mark  string `gorm:"size:20"`
	Edits int
}

// BeforeSave changes the statement.
func (h *DiffHooked) BeforeSave(tx *gorm.DB) error {
	tx.Statement.SetColumn("Mark", "saved")
	return nil
}

// BeforeUpdate changes the statement where the name changes.
func (h *DiffHooked) BeforeUpdate(tx *gorm.DB) error {
	if tx.Statement.Changed("Name") {
		tx.Statement.SetColumn("Edits", 3)
	}
	return nil
}

// AfterUpdate writes to teams.
func (h *DiffHooked) AfterUpdate(tx *gorm.DB) error {
	return tx.Model(&DiffTeam{}).Where("id = ?", 1).UpdateColumn("rank", gorm.Expr("diff_teams.rank + 1")).Error
}

// AfterDelete deletes a note.
func (h *DiffHooked) AfterDelete(tx *gorm.DB) error {
	return tx.Where("id = ?", 2).Delete(&DiffNote{}).Error
}

// DiffFolded has a column in which the database takes "a" and "A" for equal, which its model does
// not say.
type DiffFolded struct {
	_     struct{} `preload:""`
	ID    uint
	Name  string `gorm:"size:20"`
	Value int
}

var diffModels = []any{&DiffTeam{}, &DiffLang{}, &DiffUser{}, &DiffPost{}, &DiffComment{}, &DiffNote{}, &DiffSeat{}, &DiffHooked{}}

// diffTables are all tables, those first that refer to others.
var diffTables = []string{"diff_comments", "diff_posts", "diff_user_langs", "diff_notes", "diff_users", "diff_teams", "diff_langs",
	"diff_seats", "diff_hookeds", "diff_foldeds"}

// diffGenerated are those whose keys the database makes.
var diffGenerated = []string{"diff_comments", "diff_posts", "diff_notes", "diff_users", "diff_teams", "diff_hookeds", "diff_foldeds"}

// DiffConfig returns a config whose clock moves by itself, so that times that GORM sets always
// change.
func DiffConfig(prepare, skipDefault bool) *gorm.Config {
	var ticks atomic.Int64
	return &gorm.Config{
		PrepareStmt: prepare, PrepareStmtMaxSize: 200, SkipDefaultTransaction: skipDefault,
		NowFunc: func() time.Time {
			return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(ticks.Add(1)) * time.Second)
		},
	}
}

// MigrateDiffs makes the tables.
func MigrateDiffs(t testing.TB, d *dbtest.Database, plain *gorm.DB) {
	t.Helper()
	if err := plain.AutoMigrate(diffModels...); err != nil {
		t.Fatal(err)
	}
	var folded []string
	switch d.Dialect {
	case "sqlite":
		folded = []string{"CREATE TABLE diff_foldeds (id integer PRIMARY KEY AUTOINCREMENT, name text COLLATE NOCASE, value integer)"}
	case "mysql":
		folded = []string{"CREATE TABLE diff_foldeds (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, name varchar(20), value bigint)"}
	case "postgres":
		folded = []string{
			"CREATE COLLATION diff_nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
			"CREATE TABLE diff_foldeds (id bigserial PRIMARY KEY, name text COLLATE diff_nocase, value bigint)",
		}
		var icu bool
		if err := plain.Raw("SELECT EXISTS (SELECT 1 FROM pg_collation WHERE collprovider = 'i')").Scan(&icu).Error; err != nil || !icu {
			t.Logf("no collation of PostgreSQL folds case here: %v", err)
			folded = []string{"CREATE TABLE diff_foldeds (id bigserial PRIMARY KEY, name text, value bigint)"}
		}
	}
	for _, statement := range folded {
		if err := plain.Exec(statement).Error; err != nil {
			t.Fatal(err)
		}
	}
}

// SeedDiffs brings the tables to the same state each time, the keys that the database makes next
// among it: what was drawn has to do the same when it is drawn again.
func SeedDiffs(t testing.TB, d *dbtest.Database, plain *gorm.DB) {
	t.Helper()
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	err := plain.Transaction(func(tx *gorm.DB) error {
		for _, table := range diffTables {
			if err := tx.Exec("DELETE FROM " + table).Error; err != nil {
				return err
			}
		}
		tx = tx.Session(&gorm.Session{SkipHooks: true})
		for _, rows := range []any{
			[]DiffTeam{{ID: 1, Name: "a", Rank: 1}, {ID: 2, Name: "b", Rank: 2}, {ID: 3, Name: "c", Rank: 2}},
			[]DiffLang{{Code: "a", Name: "a"}, {Code: "b", Name: "b"}, {Code: "1", Name: "b"}},
			[]DiffUser{
				{ID: 1, Login: "a", Name: "a", Code: "a", Age: 1, Small: 1, Active: true, Nick: Ptr("a"), TeamID: Ptr(uint(1)), Home: DiffHome{"a", 1}, Level: "a", Points: 1, Seen: &first},
				{ID: 2, Login: "b", Name: "a", Code: "b", Age: 2, Big: 1, Small: 2, Nick: Ptr(""), Born: Ptr(0), TeamID: Ptr(uint(1)), Home: DiffHome{"b", 2}, Tags: []string{"x"}, Points: 2},
				{ID: 3, Login: "c", Name: "b", Age: 2, Big: -1, Active: true, Ratio: 0.5, Born: Ptr(1), TeamID: Ptr(uint(2)), Home: DiffHome{"a", 0}, Data: []byte("a"), Level: "b"},
				{ID: 4, Login: "1", Name: "1", Age: 0, Nick: Ptr("1"), Born: Ptr(2), Data: []byte{}, Points: 3},
				{ID: 5, Login: "d", Name: "b", Age: 3, Small: 255, DeletedAt: gorm.DeletedAt{Time: first, Valid: true}},
			},
			[]DiffPost{{ID: 1, UserID: 1, Title: "a", Views: 1}, {ID: 2, UserID: 1, Title: "b", Views: 2}, {ID: 3, UserID: 2, Title: "a", Views: 2}},
			[]DiffComment{{ID: 1, PostID: 1, Body: "a"}, {ID: 2, PostID: 1, Body: "b"}, {ID: 3, PostID: 3, Body: "a"}},
			[]DiffNote{{ID: 1, Text: "a", OwnerID: 1, OwnerType: "diff_users"}, {ID: 2, Text: "b", OwnerID: 1, OwnerType: "diff_posts"}, {ID: 3, Text: "a", OwnerID: 2, OwnerType: "diff_users"}},
			[]DiffSeat{{Hall: "a", No: 1, Label: Ptr("a"), Price: 1}, {Hall: "a", No: 2, Holder: Ptr(uint(1)), Price: 2}, {Hall: "b", No: 1, Label: Ptr("b"), Holder: Ptr(uint(2)), Price: 2}, {Hall: "1", No: 0}},
			[]DiffHooked{{ID: 1, Name: "a"}, {ID: 2, Name: "b", Edits: 1}, {ID: 3, Name: "a", Edits: 2}},
			[]DiffFolded{{ID: 1, Name: "a", Value: 1}, {ID: 2, Name: "A", Value: 2}, {ID: 3, Name: "b", Value: 1}},
		} {
			if err := tx.Omit(clause.Associations).Create(rows).Error; err != nil {
				return fmt.Errorf("%T: %w", rows, err)
			}
		}
		if err := tx.Exec("INSERT INTO diff_user_langs (diff_user_id, diff_lang_code) VALUES (1, 'a'), (1, 'b'), (2, 'b')").Error; err != nil {
			return err
		}
		switch d.Dialect {
		case "sqlite":
			return tx.Exec("UPDATE sqlite_sequence SET seq = 5").Error
		case "postgres":
			var set []string
			for _, table := range diffGenerated {
				set = append(set, "setval(pg_get_serial_sequence('"+table+"', 'id'), 5)")
			}
			return tx.Exec("SELECT " + strings.Join(set, ", ")).Error
		}
		return nil
	})
	if err == nil && d.Dialect == "mysql" {
		for _, table := range diffGenerated {
			if err = plain.Exec("ALTER TABLE " + table + " AUTO_INCREMENT = 6").Error; err != nil {
				break
			}
		}
	}
	if err != nil {
		t.Fatalf("seed: %v", err)
	}
}
