package models_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/models"
	"gorm.io/gorm"
)

type bundle struct {
	db      *gorm.DB
	plugin  *preload.Plugin
	queries func() int64 // that reached the database
}

// setup opens a database with users "known" and "bare" (a person, nothing else) and streams "busy"
// and "quiet".
func setup(t *testing.T, d *dbtest.Database, plugins ...*preload.Plugin) *bundle {
	t.Helper()
	b := &bundle{db: d.Open(t), queries: d.Probe.Queries}
	for _, p := range plugins {
		b.plugin = p
		if err := b.db.Use(p); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
	}
	// By another handle: after DDL that the plugin sees, SQLite is asked once more for the columns
	// of a query.
	if err := d.Plain(t).AutoMigrate(models.All()...); err != nil {
		t.Fatal(err)
	}
	if err := fill(b.db); err != nil {
		t.Fatal(err)
	}
	return b
}

func fill(db *gorm.DB) error {
	var messages []models.Messages
	for i := range 80 {
		messages = append(messages, models.Messages{
			MessageID: fmt.Sprint("m", i), Time: 1000 + float64(i), ChatID: "busy", ChatInfoStreamID: "busy",
		})
	}
	for _, rows := range []any{
		&models.PersonInfo{PersonID: "p1", Platform: "qq", UserID: "known", PersonName: new("Alice")},
		&models.PersonInfo{PersonID: "p2", Platform: "qq", UserID: "bare"},
		&[]models.UserPermissions{
			{Platform: "qq", UserID: "known", PermissionNode: "chat.read", Granted: true},
			{Platform: "qq", UserID: "known", PermissionNode: "chat.write"},
			{Platform: "irc", UserID: "known", PermissionNode: "chat.read"},
		},
		&models.UserRelationships{UserID: "known", RelationshipText: new("friend")},
		&models.ChatStreams{StreamID: "busy", Platform: "qq", UserID: "known"},
		&models.ChatStreams{StreamID: "quiet", Platform: "qq", UserID: "bare"},
		&messages,
	} {
		if err := db.Create(rows).Error; err != nil {
			return err
		}
	}
	return nil
}

// reached returns how many queries reach the database while do runs.
func (b *bundle) reached(do func()) int64 {
	before := b.queries()
	do()
	return b.queries() - before
}

func TestPreloadUserMakesTheQueriesOfTheUserHits(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := setup(t, d, preload.New(preload.WithoutWorker()))
		for _, tt := range []struct {
			platform, user              string
			person, permissions, friend int64 // rows
		}{
			{"qq", "known", 1, 2, 1},
			{"irc", "known", 0, 1, 1},
			{"qq", "bare", 1, 0, 0},
			{"qq", "nobody", 0, 0, 0},
			{"", "", 0, 0, 0},
		} {
			t.Run(tt.platform+"/"+tt.user, func(t *testing.T) {
				b.plugin.Clear()
				ctx := t.Context()
				if n := b.reached(func() {
					if err := models.PreloadUser(ctx, b.db, tt.platform, tt.user); err != nil {
						t.Fatal(err)
					}
				}); n != 3 {
					t.Errorf("PreloadUser made %d queries, want 3", n)
				}
				before := b.plugin.Stats()
				n := b.reached(func() {
					for range 2 {
						expect(t, "Person", models.Person(b.db, tt.platform, tt.user).First(&models.PersonInfo{}), tt.person, true)
						expect(t, "Permissions", models.Permissions(b.db, tt.platform, tt.user).Find(&[]models.UserPermissions{}), tt.permissions, false)
						expect(t, "Relationship", models.Relationship(b.db, tt.user).First(&models.UserRelationships{}), tt.friend, true)
					}
					where := b.db.Where("platform = ? AND user_id = ?", tt.platform, tt.user).Session(&gorm.Session{})
					expect(t, "plain person", where.First(&models.PersonInfo{}), tt.person, true)
					expect(t, "plain permissions", where.Find(&[]models.UserPermissions{}), tt.permissions, false)
					expect(t, "plain relationship", b.db.Where("user_id = ?", tt.user).First(&models.UserRelationships{}), tt.friend, true)
					if err := models.PreloadUser(ctx, b.db, tt.platform, tt.user); err != nil {
						t.Error(err)
					}
				})
				after := b.plugin.Stats()
				if n != 0 {
					t.Errorf("%d queries reached the database after PreloadUser, want 0", n)
				}
				if hits, misses := after.Hits-before.Hits, after.Misses-before.Misses; hits != 12 || misses != 0 {
					t.Errorf("got %d hits and %d misses, want 12 and 0", hits, misses)
				}
			})
		}
	})
}

func TestPreloadChatMakesTheQueriesOfTheChatHits(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := setup(t, d, preload.New(preload.WithoutWorker()))
		for _, tt := range []struct {
			stream           string
			limit            int
			stored, messages int64 // rows
		}{
			{"busy", 10, 1, 10},
			{"busy", 0, 1, 50},
			{"busy", -1, 1, 50},
			{"busy", 500, 1, 80},
			{"quiet", 10, 1, 0},
			{"none", 10, 0, 0},
		} {
			t.Run(fmt.Sprint(tt.stream, tt.limit), func(t *testing.T) {
				b.plugin.Clear()
				if err := models.PreloadChat(t.Context(), b.db, tt.stream, tt.limit); err != nil {
					t.Fatal(err)
				}
				before := b.plugin.Stats()
				var latest, plain []models.Messages
				n := b.reached(func() {
					expect(t, "Stream", models.Stream(b.db, tt.stream).First(&models.ChatStreams{}), tt.stored, true)
					expect(t, "LatestMessages", models.LatestMessages(b.db, tt.stream, tt.limit).Find(&latest), tt.messages, false)
					expect(t, "plain stream", b.db.Where("stream_id = ?", tt.stream).First(&models.ChatStreams{}), tt.stored, true)
					limit := tt.limit
					if limit <= 0 {
						limit = models.DefaultMessages
					}
					expect(t, "plain messages", b.db.Where("chat_id = ?", tt.stream).Order("time DESC").Limit(limit).Find(&plain), tt.messages, false)
				})
				after := b.plugin.Stats()
				if n != 0 {
					t.Errorf("%d queries reached the database after PreloadChat, want 0", n)
				}
				if hits, misses := after.Hits-before.Hits, after.Misses-before.Misses; hits != 4 || misses != 0 {
					t.Errorf("got %d hits and %d misses, want 4 and 0", hits, misses)
				}
				if !reflect.DeepEqual(latest, plain) {
					t.Errorf("LatestMessages and the plain query differ:\n%v\n%v", latest, plain)
				}
				for i := 1; i < len(latest); i++ {
					if latest[i-1].Time < latest[i].Time {
						t.Errorf("message %d of time %v comes before one of %v, want latest first", i-1, latest[i-1].Time, latest[i].Time)
					}
				}
			})
		}
	})
}

// expect checks a query for one row (First) or any number of them (Find).
func expect(t *testing.T, what string, tx *gorm.DB, rows int64, one bool) {
	t.Helper()
	var want error
	if one && rows == 0 {
		want = gorm.ErrRecordNotFound
	}
	if !errors.Is(tx.Error, want) || tx.RowsAffected != rows {
		t.Errorf("%s: got %d rows and error %v, want %d and %v", what, tx.RowsAffected, tx.Error, rows, want)
	}
}

func TestPreloadUserAfterAWriteReadsTheNewAnswer(t *testing.T) {
	b := setup(t, dbtest.SQLite(t), preload.New(preload.WithoutWorker()))
	ctx := t.Context()
	if err := models.PreloadUser(ctx, b.db, "qq", "known"); err != nil {
		t.Fatal(err)
	}
	if err := models.Person(b.db, "qq", "known").Update("attitude", 80).Error; err != nil {
		t.Fatal(err)
	}
	if err := models.PreloadUser(ctx, b.db, "qq", "known"); err != nil {
		t.Fatal(err)
	}
	var person models.PersonInfo
	n := b.reached(func() { expect(t, "Person", models.Person(b.db, "qq", "known").First(&person), 1, true) })
	if person.Attitude != 80 || n != 0 {
		t.Errorf("got attitude %d after %d queries, want 80 after 0", person.Attitude, n)
	}
}

func TestPreloadWithRefreshReadsEverythingAgain(t *testing.T) {
	b := setup(t, dbtest.SQLite(t), preload.New(preload.WithoutWorker()))
	for range 2 {
		if n := b.reached(func() {
			if err := models.PreloadUser(t.Context(), b.db.Clauses(preload.Refresh), "qq", "known"); err != nil {
				t.Fatal(err)
			}
		}); n != 3 {
			t.Errorf("got %d queries, want 3", n)
		}
	}
}

func TestPreloadWithoutThePluginRunsTheQueries(t *testing.T) {
	b := setup(t, dbtest.SQLite(t))
	for range 2 {
		n := b.reached(func() {
			if err := models.PreloadUser(t.Context(), b.db, "qq", "known"); err != nil {
				t.Error(err)
			}
			if err := models.PreloadUser(t.Context(), b.db, "qq", "nobody"); err != nil {
				t.Error(err)
			}
			if err := models.PreloadChat(t.Context(), b.db, "busy", 0); err != nil {
				t.Error(err)
			}
		})
		if n != 8 {
			t.Errorf("got %d queries, want 8", n)
		}
	}
}

func TestPreloadReportsWhatFailed(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	user := func(ctx context.Context, db *gorm.DB) error { return models.PreloadUser(ctx, db, "qq", "known") }
	chat := func(ctx context.Context, db *gorm.DB) error { return models.PreloadChat(ctx, db, "busy", 0) }
	for _, tt := range []struct {
		name string
		ctx  context.Context
		drop string // a table that is missing
		run  func(context.Context, *gorm.DB) error
		is   error
		want string
	}{
		{"user, cancelled", cancelled, "", user, context.Canceled, `the person of user "known" of "qq": context canceled`},
		{"user, late", late, "", user, context.DeadlineExceeded, `the person of user "known" of "qq": context deadline exceeded`},
		{"chat, cancelled", cancelled, "", chat, context.Canceled, `the stream of chat "busy": context canceled`},
		{"permissions fail", t.Context(), "user_permissions", user, nil, `the permissions of user "known" of "qq": no such table`},
		{"messages fail", t.Context(), "messages", chat, nil, `the messages of chat "busy": no such table`},
		{"limit", t.Context(), "", func(ctx context.Context, db *gorm.DB) error {
			return models.PreloadChat(ctx, db, "busy", 501)
		}, nil, "limit 501"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := setup(t, dbtest.SQLite(t), preload.New(preload.WithoutWorker()))
			if tt.drop != "" {
				if err := b.db.Migrator().DropTable(tt.drop); err != nil {
					t.Fatal(err)
				}
			}
			err := tt.run(tt.ctx, b.db)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "models: ") {
				t.Errorf("got error %v, want one of models that contains %q", err, tt.want)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got error %v, want one that is %v", err, tt.is)
			}
		})
	}
}

func TestPreloadReportsAContextThatEndsDuringAQuery(t *testing.T) {
	b := setup(t, dbtest.SQLite(t), preload.New(preload.WithoutWorker()))
	ctx, cancel := context.WithCancel(t.Context())
	if err := b.db.Callback().Query().Before("gorm:query").Register("test:end", func(*gorm.DB) { cancel() }); err != nil {
		t.Fatal(err)
	}
	if err := models.PreloadUser(ctx, b.db, "qq", "known"); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want one that is %v", err, context.Canceled)
	}
	if n := b.plugin.Stats().Entries; n != 0 {
		t.Errorf("%d answers were kept, want 0", n)
	}
}

func TestPreloadInATransactionKeepsNothing(t *testing.T) {
	b := setup(t, dbtest.SQLite(t), preload.New(preload.WithoutWorker()))
	err := b.db.Transaction(func(tx *gorm.DB) error { return models.PreloadUser(t.Context(), tx, "qq", "known") })
	if err != nil {
		t.Fatal(err)
	}
	if n := b.plugin.Stats().Entries; n != 0 {
		t.Errorf("%d answers were kept, want 0", n)
	}
}

func TestModelsHaveTheirTablesAndValidTags(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := setup(t, d, preload.New(preload.WithoutWorker()))
		if err := b.plugin.Register(models.All()...); err != nil {
			t.Error(err)
		}
		// Migrating again finds nothing to change in the types of the columns.
		if err := b.db.AutoMigrate(models.All()...); err != nil {
			t.Error(err)
		}
		want := []string{"person_info", "user_permissions", "user_relationships", "chat_streams", "messages"}
		for i, model := range models.All() {
			stmt := &gorm.Statement{DB: b.db}
			if err := stmt.Parse(model); err != nil || stmt.Table != want[i] {
				t.Errorf("%T: got table %q and error %v, want %q", model, stmt.Table, err, want[i])
			}
		}
	})
}

func TestDefaultsOfTheDatabase(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := setup(t, d)
		for _, insert := range []string{
			"INSERT INTO person_info (person_id, platform, user_id) VALUES ('p', 'qq', 'raw')",
			"INSERT INTO user_relationships (user_id, last_updated) VALUES ('raw', 0)",
		} {
			if err := b.db.Exec(insert).Error; err != nil {
				t.Fatal(err)
			}
		}
		var (
			person       models.PersonInfo
			relationship models.UserRelationships
		)
		expect(t, "Person", models.Person(b.db, "qq", "raw").First(&person), 1, true)
		expect(t, "Relationship", models.Relationship(b.db, "raw").First(&relationship), 1, true)
		if person.Attitude != 50 || relationship.RelationshipScore != 0.3 || person.PersonName != nil {
			t.Errorf("got attitude %d, score %v, name %v, want 50, 0.3, nil", person.Attitude, relationship.RelationshipScore, person.PersonName)
		}
	})
}
