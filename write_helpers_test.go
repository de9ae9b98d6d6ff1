package preload_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// The models of the write tests: every kind of relation, constraints declared at either end, two
// levels of them.

type writeOrg struct {
	_     struct{} `preload:""`
	ID    uint
	Name  string      `gorm:"size:100"`
	Users []writeUser `gorm:"foreignKey:OrgID;constraint:OnUpdate:CASCADE,OnDelete:SET NULL"`
}

type writeUser struct {
	_       struct{} `preload:""`
	ID      uint
	Name    string  `gorm:"size:100"`
	Email   *string `gorm:"size:100;uniqueIndex"`
	Age     int
	OrgID   *uint
	Org     *writeOrg
	BossID  *uint
	Boss    *writeUser   `gorm:"constraint:OnDelete:SET NULL"`
	Profile writeProfile `gorm:"foreignKey:UserID;constraint:OnDelete:CASCADE"`
	Posts   []writePost  `gorm:"foreignKey:UserID;constraint:OnUpdate:CASCADE,OnDelete:CASCADE"`
	Tags    []writeTag   `gorm:"many2many:write_user_tags;constraint:OnUpdate:CASCADE,OnDelete:CASCADE"`
	Notes   []writeNote  `gorm:"polymorphic:Owner"`
}

type writeProfile struct {
	_      struct{} `preload:""`
	ID     uint
	UserID uint
	Bio    string `gorm:"size:100"`
}

type writePost struct {
	_      struct{} `preload:""`
	ID     uint
	UserID uint
	Title  string `gorm:"size:100"`
	Views  int
}

type writeComment struct {
	_      struct{} `preload:""`
	ID     uint
	PostID uint
	Post   *writePost `gorm:"constraint:OnUpdate:CASCADE,OnDelete:CASCADE"`
	Body   string     `gorm:"size:100"`
}

type writeTag struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:100"`
}

type writeNote struct {
	_         struct{} `preload:""`
	ID        uint
	Text      string `gorm:"size:100"`
	OwnerID   uint
	OwnerType string `gorm:"size:100"`
}

type writeDoc struct {
	_         struct{} `preload:""`
	ID        uint
	Title     string `gorm:"size:100"`
	Version   int
	DeletedAt gorm.DeletedAt
	Notes     []writeNote `gorm:"polymorphic:Owner"`
}

type writeCountry struct {
	_    struct{} `preload:""`
	Code string   `gorm:"primaryKey;size:20"`
	Name string   `gorm:"size:100"`
}

type writeRegion struct {
	_           struct{}      `preload:""`
	CountryCode string        `gorm:"primaryKey;size:20"`
	Country     *writeCountry `gorm:"foreignKey:CountryCode;references:Code;constraint:OnUpdate:CASCADE,OnDelete:CASCADE"`
	Name        string        `gorm:"size:100"`
}

type writeTown struct {
	_          struct{} `preload:""`
	ID         uint
	RegionCode *string      `gorm:"size:20"`
	Region     *writeRegion `gorm:"foreignKey:RegionCode;references:CountryCode;constraint:OnUpdate:CASCADE,OnDelete:SET NULL"`
	Name       string       `gorm:"size:100"`
}

// writeHooked writes to other tables from its hooks, and changes its own statement.
type writeHooked struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:100"`
	Mark string `gorm:"size:100"`
}

var errWriteHook = errors.New("the hook failed")

func (h *writeHooked) BeforeCreate(tx *gorm.DB) error {
	switch h.Name {
	case "before fails":
		return errWriteHook
	case "before panics":
		panic("before create")
	}
	tx.Statement.SetColumn("Mark", "made")
	return nil
}

func (h *writeHooked) AfterCreate(tx *gorm.DB) error {
	if err := tx.Model(&writeOrg{}).Where("id = ?", 1).Update("name", "by hook").Error; err != nil {
		return err
	}
	if err := tx.Create(&writeNote{Text: "hook", OwnerID: 1, OwnerType: "write_users"}).Error; err != nil {
		return err
	}
	switch h.Name {
	case "after fails":
		return errWriteHook
	case "after panics":
		panic("after create")
	}
	return nil
}

func (h *writeHooked) BeforeUpdate(tx *gorm.DB) error {
	if !tx.Statement.Changed("Mark") {
		tx.Statement.SetColumn("Mark", "changed")
	}
	return tx.Exec("UPDATE write_docs SET version = version + 1").Error
}

func (h *writeHooked) AfterUpdate(tx *gorm.DB) error {
	return tx.Session(&gorm.Session{NewDB: true}).Table("write_tags").Where("id = ?", 1).Update("name", "by hook").Error
}

func (h *writeHooked) BeforeDelete(tx *gorm.DB) error {
	return tx.Where("post_id = ?", 1).Delete(&writeComment{}).Error
}

func (h *writeHooked) AfterDelete(tx *gorm.DB) error {
	return tx.Model(&writePost{}).Where("1 = 1").UpdateColumn("views", gorm.Expr("views + 1")).Error
}

// writeModels are all of them, those first that others refer to.
var writeModels = []any{&writeOrg{}, &writeUser{}, &writeProfile{}, &writePost{}, &writeComment{}, &writeTag{},
	&writeNote{}, &writeDoc{}, &writeCountry{}, &writeRegion{}, &writeTown{}, &writeHooked{}}

// writeTables are their tables, those first that refer to others.
var writeTables = []string{"write_comments", "write_posts", "write_profiles", "write_user_tags", "write_tags",
	"write_notes", "write_docs", "write_users", "write_orgs", "write_towns", "write_regions", "write_countries", "write_hookeds"}

func writePtr[T any](v T) *T { return &v }

// writeMigrate makes the tables through a plain handle.
func writeMigrate(t testing.TB, d *dbtest.Database) *gorm.DB {
	t.Helper()
	plain := d.Plain(t)
	if err := plain.AutoMigrate(writeModels...); err != nil {
		t.Fatalf("AutoMigrate: %v", err)
	}
	if d.Dialect == "postgres" {
		for _, table := range writeTables {
			switch table {
			case "write_user_tags", "write_countries", "write_regions":
				continue
			}
			if err := plain.Exec("SELECT setval(pg_get_serial_sequence('" + table + "', 'id'), 1000)").Error; err != nil {
				t.Fatal(err)
			}
		}
	}
	return plain
}

// writeSeed brings the tables to a known state through a plain handle.
func writeSeed(t testing.TB, plain *gorm.DB) {
	t.Helper()
	err := plain.Transaction(func(tx *gorm.DB) error {
		if err := tx.Exec("UPDATE write_users SET boss_id = NULL").Error; err != nil {
			return err
		}
		for _, table := range writeTables {
			if err := tx.Exec("DELETE FROM " + table).Error; err != nil {
				return err
			}
		}
		tx = tx.Session(&gorm.Session{SkipHooks: true})
		for _, rows := range []any{
			[]writeOrg{{ID: 1, Name: "one"}, {ID: 2, Name: "two"}, {ID: 3, Name: "three"}},
			[]writeUser{
				{ID: 1, Name: "ann", Email: writePtr("ann@x"), Age: 10, OrgID: writePtr(uint(1))},
				{ID: 2, Name: "bob", Email: writePtr("bob@x"), Age: 20, OrgID: writePtr(uint(1)), BossID: writePtr(uint(1))},
				{ID: 3, Name: "cid", Email: writePtr("cid@x"), Age: 30, OrgID: writePtr(uint(2)), BossID: writePtr(uint(1))},
				{ID: 4, Name: "dee", Age: 40},
			},
			[]writeProfile{{ID: 1, UserID: 1, Bio: "a"}, {ID: 2, UserID: 2, Bio: "b"}},
			[]writePost{{ID: 1, UserID: 1, Title: "p1", Views: 1}, {ID: 2, UserID: 1, Title: "p2", Views: 2}, {ID: 3, UserID: 2, Title: "p3", Views: 3}},
			[]writeComment{{ID: 1, PostID: 1, Body: "c1"}, {ID: 2, PostID: 1, Body: "c2"}, {ID: 3, PostID: 3, Body: "c3"}},
			[]writeTag{{ID: 1, Name: "red"}, {ID: 2, Name: "blue"}, {ID: 3, Name: "green"}},
			[]writeNote{{ID: 1, Text: "n1", OwnerID: 1, OwnerType: "write_users"}, {ID: 2, Text: "n2", OwnerID: 1, OwnerType: "write_docs"}},
			[]writeDoc{{ID: 1, Title: "d1", Version: 1}, {ID: 2, Title: "d2", Version: 1}, {ID: 3, Title: "d3", Version: 2}},
			[]writeCountry{{Code: "at", Name: "Austria"}, {Code: "be", Name: "Belgium"}},
			[]writeRegion{{CountryCode: "at", Name: "Tyrol"}, {CountryCode: "be", Name: "Flanders"}},
			[]writeTown{{ID: 1, RegionCode: writePtr("at"), Name: "Hall"}, {ID: 2, RegionCode: writePtr("be"), Name: "Ghent"}, {ID: 3, Name: "None"}},
			[]writeHooked{{ID: 1, Name: "h1"}, {ID: 2, Name: "h2"}},
		} {
			if err := tx.Omit(clause.Associations).Create(rows).Error; err != nil {
				return fmt.Errorf("%T: %w", rows, err)
			}
		}
		for _, row := range [][2]int{{1, 1}, {1, 2}, {2, 2}} {
			if err := tx.Exec("INSERT INTO write_user_tags (write_user_id, write_tag_id) VALUES (?, ?)", row[0], row[1]).Error; err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("seed: %v", err)
	}
}

// writeAnswer is all that a caller gets from a query.
type writeAnswer struct {
	Dest  any
	Rows  int64
	Error string
}

func (a writeAnswer) String() string {
	j, err := json.Marshal(a)
	if err != nil {
		return fmt.Sprintf("%+v, %d rows, error %q", a.Dest, a.Rows, a.Error)
	}
	return string(j)
}

type writeQuery struct {
	name string
	ask  func(db *gorm.DB) writeAnswer
}

func writeGot(dest any, tx *gorm.DB) writeAnswer {
	a := writeAnswer{Dest: dest, Rows: tx.RowsAffected}
	if tx.Error != nil {
		a.Error = tx.Error.Error()
	}
	return a
}

func writeList[T any](name string, scope func(*gorm.DB) *gorm.DB) writeQuery {
	return writeQuery{name, func(db *gorm.DB) writeAnswer {
		var dest []T
		return writeGot(&dest, scope(db.Model(new(T))).Find(&dest))
	}}
}

func writeOne[T any](name string, scope func(*gorm.DB) *gorm.DB, conds ...any) writeQuery {
	return writeQuery{name, func(db *gorm.DB) writeAnswer {
		var dest T
		return writeGot(&dest, scope(db).First(&dest, conds...))
	}}
}

func writeCount[T any](name string, scope func(*gorm.DB) *gorm.DB) writeQuery {
	return writeQuery{name, func(db *gorm.DB) writeAnswer {
		var n int64
		return writeGot(&n, scope(db.Model(new(T))).Count(&n))
	}}
}

// writePrepared is a prepared query where the plugin is in use, and the same written out where it
// is not.
func writePrepared[T any](name string, query func(tx *gorm.DB, arg func(n int) any) *gorm.DB, args ...any) writeQuery {
	var mu sync.Mutex
	made := map[*preload.Plugin]*preload.Prepared[T]{}
	answer := func(dest []T, err error) writeAnswer {
		a := writeAnswer{Dest: dest}
		if err != nil {
			a.Error = err.Error()
		}
		return a
	}
	return writeQuery{name, func(db *gorm.DB) writeAnswer {
		p, ok := preload.From(db)
		_, within := db.Statement.ConnPool.(gorm.TxCommitter)
		_, borrowed := db.Statement.ConnPool.(*sql.Conn) // which ends before the prepared query does
		mu.Lock()
		prepared := made[p]
		mu.Unlock()
		switch {
		case !ok, (within || borrowed) && prepared == nil:
			var dest []T
			err := query(db, func(n int) any { return args[n] }).Find(&dest).Error
			return answer(dest, err)
		case prepared == nil:
			var err error
			prepared, err = preload.Prepare[T](db, func(tx *gorm.DB) *gorm.DB { return query(tx, func(n int) any { return preload.Arg(n) }) })
			if err != nil {
				return answer(nil, err)
			}
			mu.Lock()
			if len(made) > 20 { // other tests run beside this one
				clear(made)
			}
			made[p] = prepared
			mu.Unlock()
		}
		if within {
			prepared = prepared.WithTx(db)
		}
		return answer(prepared.Find(context.Background(), args...))
	}}
}

func writeSame(db *gorm.DB) *gorm.DB { return db }

func writeByID(db *gorm.DB) *gorm.DB { return db.Order("id") }

// writeQueries are what is kept in memory when a write happens. All of them can be cached.
var writeQueries = []writeQuery{
	writeList[writeOrg]("orgs", writeByID),
	writeList[writeUser]("users", writeByID),
	writeList[writeProfile]("profiles", writeByID),
	writeList[writePost]("posts", writeByID),
	writeList[writeComment]("comments", writeByID),
	writeList[writeTag]("tags", writeByID),
	writeList[writeNote]("notes", writeByID),
	writeList[writeDoc]("docs", writeByID),
	writeList[writeDoc]("docs unscoped", func(db *gorm.DB) *gorm.DB { return db.Unscoped().Order("id") }),
	writeList[writeCountry]("countries", func(db *gorm.DB) *gorm.DB { return db.Order("code") }),
	writeList[writeRegion]("regions", func(db *gorm.DB) *gorm.DB { return db.Order("country_code") }),
	writeList[writeTown]("towns", writeByID),
	writeList[writeHooked]("hookeds", writeByID),
	writeOne[writeOrg]("org 1", writeSame, 1),
	writeOne[writeUser]("user 1", writeSame, 1),
	writeOne[writeUser]("user 2", writeSame, 2),
	writeOne[writeUser]("user 3", writeSame, 3),
	writeOne[writeUser]("user 4", writeSame, 4),
	writeOne[writeUser]("user 77, missing", writeSame, 77),
	writeOne[writePost]("post 1", writeSame, 1),
	writeOne[writePost]("post 3", writeSame, 3),
	writeOne[writeComment]("comment 1", writeSame, 1),
	writeOne[writeDoc]("doc 1", writeSame, 1),
	writeOne[writeDoc]("doc 2", writeSame, 2),
	writeOne[writeDoc]("doc 77, missing", writeSame, 77),
	writeOne[writeTag]("tag 1", writeSame, 1),
	writeOne[writeTown]("town 1", writeSame, 1),
	writeOne[writeTown]("town of at", writeSame, "region_code = ?", "at"),
	writeOne[writeRegion]("region at", writeSame, "country_code = ?", "at"),
	writeOne[writeHooked]("hooked 1", writeSame, 1),
	writePrepared[writeUser]("user 2, prepared", func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("id = ?", arg(0)) }, 2),
	writePrepared[writeUser]("users over 15, prepared", func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where("age > ?", arg(0)).Order("age, id")
	}, 15),
	writePrepared[writeDoc]("docs unscoped, prepared", func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Unscoped().Where("id <> ?", arg(0)).Order("id")
	}, 99),
	writePrepared[writeOrg]("org 1 with users with posts, prepared", func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		order := func(db *gorm.DB) *gorm.DB { return db.Order("id") }
		return tx.Preload("Users", order).Preload("Users.Posts", order).Where("id = ?", arg(0))
	}, 1),
	writeOne[writeUser]("user named ann", writeSame, "name = ?", "ann"),
	writeOne[writeUser]("user named eve, missing", writeSame, "name = ?", "eve"),
	writeOne[writeUser]("user by struct", writeSame, &writeUser{Name: "bob", Age: 20}),
	writeOne[writeUser]("user by map", writeSame, map[string]any{"email": "cid@x"}),
	writeOne[writeUser]("user by e-mail new@x, missing", writeSame, "email = ?", "new@x"),
	writeList[writeUser]("users over 15", func(db *gorm.DB) *gorm.DB { return db.Where("age > ?", 15).Order("age, id") }),
	writeList[writeUser]("users aged 20 or 41", func(db *gorm.DB) *gorm.DB { return db.Where("age IN ?", []int{20, 41}).Order("id") }),
	writeList[writeUser]("users of org 1", func(db *gorm.DB) *gorm.DB { return db.Where("org_id = ?", 1).Order("id") }),
	writeList[writeUser]("users of none", func(db *gorm.DB) *gorm.DB { return db.Where("org_id IS NULL").Order("id") }),
	writeList[writeUser]("users under ann", func(db *gorm.DB) *gorm.DB { return db.Where(&writeUser{BossID: writePtr(uint(1))}).Order("id") }),
	writeList[writeUser]("users not bob", func(db *gorm.DB) *gorm.DB { return db.Not("name = ?", "bob").Order("id") }),
	writeList[writeUser]("users ann or dee", func(db *gorm.DB) *gorm.DB {
		return db.Where("name = ?", "ann").Or("name = ?", "dee").Order("id")
	}),
	writeList[writeUser]("oldest two", func(db *gorm.DB) *gorm.DB { return db.Order("age DESC, id").Limit(2) }),
	writeList[writeUser]("second page", func(db *gorm.DB) *gorm.DB { return db.Order("id").Limit(2).Offset(2) }),
	writeList[writeUser]("ids and names", func(db *gorm.DB) *gorm.DB { return db.Select("id", "name").Order("id") }),
	writeList[writePost]("posts of user 1", func(db *gorm.DB) *gorm.DB { return db.Where("user_id = ?", 1).Order("id") }),
	writeList[writePost]("posts of users in org 1", func(db *gorm.DB) *gorm.DB {
		return db.Where("user_id IN (?)", db.Session(&gorm.Session{NewDB: true}).Model(&writeUser{}).Select("id").Where("org_id = ?", 1)).Order("id")
	}),
	writeList[writeDoc]("docs of version 1", func(db *gorm.DB) *gorm.DB { return db.Where("version = ?", 1).Order("id") }),
	writeList[writeNote]("notes of user 1", func(db *gorm.DB) *gorm.DB {
		return db.Where("owner_id = ? AND owner_type = ?", 1, "write_users").Order("id")
	}),
	writeCount[writeUser]("count users", writeSame),
	writeCount[writeUser]("count users over 15", func(db *gorm.DB) *gorm.DB { return db.Where("age > 15") }),
	writeCount[writeDoc]("count docs", writeSame),
	writeCount[writeComment]("count comments", writeSame),
	writeCount[writeUser]("count users joined with orgs", func(db *gorm.DB) *gorm.DB {
		return db.Joins("JOIN write_orgs ON write_orgs.id = write_users.org_id").Where("write_orgs.name = ?", "one")
	}),
	{"pluck names", func(db *gorm.DB) writeAnswer {
		var names []string
		return writeGot(&names, db.Model(&writeUser{}).Order("id").Pluck("name", &names))
	}},
	{"ages by org", func(db *gorm.DB) writeAnswer {
		var sums []struct {
			OrgID *uint
			Total int64
		}
		return writeGot(&sums, db.Model(&writeUser{}).Select("org_id, SUM(age) AS total").Group("org_id").Having("SUM(age) > ?", 5).Order("total, org_id").Find(&sums))
	}},
	{"users as maps", func(db *gorm.DB) writeAnswer {
		var rows []map[string]any
		return writeGot(&rows, db.Model(&writeUser{}).Select("id", "age").Order("id").Find(&rows))
	}},
	{"tags as maps", func(db *gorm.DB) writeAnswer {
		var rows []map[string]any
		return writeGot(&rows, db.Model(&writeTag{}).Order("id").Find(&rows))
	}},
	{"users as smaller structs", func(db *gorm.DB) writeAnswer {
		var rows []struct{ Name string }
		return writeGot(&rows, db.Model(&writeUser{}).Order("id").Find(&rows))
	}},
	{"users joined with their org", func(db *gorm.DB) writeAnswer {
		var users []writeUser
		return writeGot(&users, db.Joins("Org").Order("write_users.id").Find(&users))
	}},
	{"users joined with their boss", func(db *gorm.DB) writeAnswer {
		var users []writeUser
		return writeGot(&users, db.Joins("Boss").Order("write_users.id").Find(&users))
	}},
	{"user 1 with all", func(db *gorm.DB) writeAnswer {
		var user writeUser
		order := func(db *gorm.DB) *gorm.DB { return db.Order("id") }
		return writeGot(&user, db.Preload("Org").Preload("Profile").Preload("Posts", order).Preload("Tags", order).
			Preload("Notes", order).First(&user, 1))
	}},
	{"orgs with users with posts", func(db *gorm.DB) writeAnswer {
		var orgs []writeOrg
		order := func(db *gorm.DB) *gorm.DB { return db.Order("id") }
		return writeGot(&orgs, db.Preload("Users", order).Preload("Users.Posts", order).Order("id").Find(&orgs))
	}},
	{"comments with posts", func(db *gorm.DB) writeAnswer {
		var comments []writeComment
		return writeGot(&comments, db.Preload("Post").Order("id").Find(&comments))
	}},
	{"towns with regions with countries", func(db *gorm.DB) writeAnswer {
		var towns []writeTown
		return writeGot(&towns, db.Preload("Region.Country").Order("id").Find(&towns))
	}},
	{"docs with notes", func(db *gorm.DB) writeAnswer {
		var docs []writeDoc
		return writeGot(&docs, db.Preload("Notes").Order("id").Find(&docs))
	}},
	{"generic posts", func(db *gorm.DB) writeAnswer {
		posts, err := gorm.G[writePost](db).Where("views >= ?", 2).Order("id").Find(context.Background())
		a := writeAnswer{Dest: posts}
		if err != nil {
			a.Error = err.Error()
		}
		return a
	}},
}

// writeWorld is one database with a plain handle, and one with the plugin.
type writeWorld struct {
	t     testing.TB
	d     *dbtest.Database
	plain *gorm.DB
	early *gorm.DB // the same as db, made before the plugin was in use
	db    *gorm.DB
	p     *preload.Plugin
	clock *dbtest.Clock
	// before holds the answers as they were when the cache was warmed.
	before map[string]writeAnswer
}

const writeHoldOut = time.Second

// writeOpen opens a handle with a plugin on a database that writeMigrate has prepared.
func writeOpen(t testing.TB, d *dbtest.Database, plain *gorm.DB, config *gorm.Config, opts ...preload.Option) *writeWorld {
	t.Helper()
	w := &writeWorld{t: t, d: d, plain: plain, clock: dbtest.NewClock(), before: map[string]writeAnswer{}}
	if config == nil {
		config = &gorm.Config{}
	}
	w.db = d.Open(t, config)
	w.early = w.db.Session(&gorm.Session{})
	w.p = preload.New(append([]preload.Option{
		preload.WithClock(w.clock), preload.WithoutWorker(), preload.WithHoldOut(writeHoldOut),
		preload.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))),
	}, opts...)...)
	if err := w.db.Use(w.p); err != nil {
		t.Fatalf("Use: %v", err)
	}
	t.Cleanup(func() {
		if err := preload.Check(w.p); err != nil {
			t.Errorf("at the end: %v", err)
		}
		_ = w.p.Close()
	})
	return w
}

// writeSetup is writeMigrate, writeSeed and writeOpen.
func writeSetup(t testing.TB, d *dbtest.Database, config *gorm.Config, opts ...preload.Option) *writeWorld {
	t.Helper()
	plain := writeMigrate(t, d)
	writeSeed(t, plain)
	return writeOpen(t, d, plain, config, opts...)
}

// warm asks every query and makes sure that its answer is then in memory.
func (w *writeWorld) warm(t testing.TB) {
	t.Helper()
	for _, q := range writeQueries {
		w.before[q.name] = q.ask(w.db)
	}
	w.cached(t, "after warming")
}

// cached makes sure that every query is answered from memory, and right.
func (w *writeWorld) cached(t testing.TB, when string) {
	t.Helper()
	var asked []string
	for _, q := range writeQueries {
		before := w.d.Probe.Queries()
		got, want := q.ask(w.db), q.ask(w.plain)
		if w.d.Probe.Queries() != before {
			asked = append(asked, q.name)
		}
		writeEqual(t, when+", from memory", q.name, got, want)
	}
	if len(asked) > 0 {
		t.Errorf("%s: %d of %d answers came from the database, want all from memory: %q; bypassed: %v", when, len(asked), len(writeQueries), asked, w.p.Stats().BypassReasons)
	}
}

// equal compares every answer with a plain handle's, and says how many differ from those before.
func (w *writeWorld) equal(t testing.TB, when string) (changed int) {
	t.Helper()
	for _, q := range writeQueries {
		got, want := q.ask(w.db), q.ask(w.plain)
		writeEqual(t, when, q.name, got, want)
		if !reflect.DeepEqual(want, w.before[q.name]) {
			changed++
		}
	}
	return changed
}

func writeEqual(t testing.TB, when, name string, got, want writeAnswer) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %q\n got %v\nwant %v", when, name, got, want)
	}
}

// settled makes sure that answers are right, now and when the hold-out is over, and that they are
// then kept again.
func (w *writeWorld) settled(t testing.TB, hold bool) (changed int) {
	t.Helper()
	changed = w.equal(t, "after the write")
	if !hold {
		w.cached(t, "after the write, second time")
		return changed
	}
	w.equal(t, "within the hold-out, second time")
	held := 2 * writeHoldOut
	if w.d.Dialect != "sqlite" {
		held = 2 * time.Minute // a server goes on with statements whose client is gone
	}
	w.clock.Advance(held)
	w.equal(t, "after the hold-out")
	w.cached(t, "after the hold-out, second time")
	return changed
}

// writeForm is one way to write.
type writeForm struct {
	name string
	do   func(w *writeWorld) error
	// only names the dialects that know it; all where it is empty.
	only string
	// noop says that it changes nothing.
	noop bool
	// fails says that it returns an error.
	fails bool
	// hold says that its end cannot be seen, so that tables may be held out for a while.
	hold bool
	// survives says that nothing in memory needs to die of it.
	survives bool
	config   *gorm.Config
}

// writeCheck runs forms one after the other on a database, each with a handle and a plugin of its
// own.
func writeCheck(t *testing.T, forms []writeForm) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := writeMigrate(t, d)
		for _, form := range forms {
			t.Run(form.name, func(t *testing.T) {
				if form.only != "" && !writeHas(form.only, d.Dialect) {
					t.Skipf("not for %s", d.Dialect)
				}
				writeSeed(t, plain)
				var config *gorm.Config
				if form.config != nil {
					config = &gorm.Config{
						SkipDefaultTransaction: form.config.SkipDefaultTransaction, PrepareStmt: form.config.PrepareStmt,
						DryRun: form.config.DryRun, AllowGlobalUpdate: form.config.AllowGlobalUpdate, TranslateError: form.config.TranslateError,
						DisableNestedTransaction: form.config.DisableNestedTransaction, QueryFields: form.config.QueryFields,
						CreateBatchSize: form.config.CreateBatchSize, FullSaveAssociations: form.config.FullSaveAssociations,
					}
				}
				w := writeOpen(t, d, plain, config)
				w.warm(t)
				err := form.do(w)
				if (err != nil) != form.fails {
					t.Fatalf("error %v, want one: %v", err, form.fails)
				}
				if form.survives {
					w.cached(t, "after what changed nothing")
				}
				if changed := w.settled(t, form.hold); changed == 0 && !form.noop {
					t.Errorf("the form changed no answer: it tests nothing")
				} else if changed != 0 && form.noop {
					t.Errorf("the form changed %d answers, want none", changed)
				}
			})
		}
	})
}

func writeHas(list, word string) bool {
	for len(list) > 0 {
		i := 0
		for i < len(list) && list[i] != ' ' {
			i++
		}
		if list[:i] == word {
			return true
		}
		list = list[min(i+1, len(list)):]
	}
	return false
}

// writeEach gives a test a world on every kind of database.
func writeEach(t *testing.T, test func(t *testing.T, w *writeWorld)) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) { test(t, writeSetup(t, d, nil)) })
}
