package models_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/models"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

func open(name string) (*gorm.DB, *preload.Plugin) {
	db, err := gorm.Open(sqlite.Open("file:"+name+"?mode=memory&cache=shared"), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	p := preload.New()
	if err := db.Use(p); err != nil {
		log.Fatal(err)
	}
	if err := db.AutoMigrate(models.All()...); err != nil {
		log.Fatal(err)
	}
	return db, p
}

// A user who comes in is read at once, before the first message asks for it.
func ExamplePreloadUser() {
	db, p := open("user")
	defer p.Close()
	db.Create(&models.PersonInfo{PersonID: "1", Platform: "qq", UserID: "10001", PersonName: new("Alice")})
	db.Create(&models.UserPermissions{Platform: "qq", UserID: "10001", PermissionNode: "chat.write", Granted: true})
	db.Create(&models.UserRelationships{UserID: "10001", RelationshipText: new("an old friend")})

	if err := models.PreloadUser(context.Background(), db, "qq", "10001"); err != nil {
		log.Fatal(err)
	}

	before := p.Stats()
	var (
		person       models.PersonInfo
		permissions  []models.UserPermissions
		relationship models.UserRelationships
	)
	models.Person(db, "qq", "10001").First(&person)
	models.Permissions(db, "qq", "10001").Find(&permissions)
	models.Relationship(db, "10001").First(&relationship)
	fmt.Println(*person.PersonName, "is", *relationship.RelationshipText, "with", len(permissions), "permission")
	fmt.Println("hits:", p.Stats().Hits-before.Hits)
	// Output:
	// Alice is an old friend with 1 permission
	// hits: 3
}

// A conversation is read with its latest messages. The limit is part of the query.
func ExamplePreloadChat() {
	db, p := open("chat")
	defer p.Close()
	db.Create(&models.ChatStreams{StreamID: "s1", Platform: "qq", UserID: "10001", GroupName: new("Gophers")})
	db.Create([]models.Messages{
		{MessageID: "m1", ChatID: "s1", Time: 1, DisplayMessage: new("hello")},
		{MessageID: "m2", ChatID: "s1", Time: 2, DisplayMessage: new("hello, too")},
	})

	if err := models.PreloadChat(context.Background(), db, "s1", 20); err != nil {
		log.Fatal(err)
	}

	before := p.Stats()
	var (
		stream   models.ChatStreams
		messages []models.Messages
	)
	models.Stream(db, "s1").First(&stream)
	models.LatestMessages(db, "s1", 20).Find(&messages)
	fmt.Printf("%s: %s\n", *stream.GroupName, *messages[0].DisplayMessage)
	fmt.Println("hits:", p.Stats().Hits-before.Hits)
	// Output:
	// Gophers: hello, too
	// hits: 2
}

// The conditions of a query are part of what is kept: the same ones in the same form find it again.
func ExamplePerson() {
	db, p := open("person")
	defer p.Close()
	if err := models.PreloadUser(context.Background(), db, "qq", "20002"); err != nil {
		log.Fatal(err)
	}

	var person models.PersonInfo
	before := p.Stats().Hits
	err := db.Where("platform = ? AND user_id = ?", "qq", "20002").First(&person).Error
	fmt.Println(err, "- hits:", p.Stats().Hits-before)

	before = p.Stats().Hits
	err = db.Where(&models.PersonInfo{Platform: "qq", UserID: "20002"}).First(&person).Error
	fmt.Println(err, "- hits:", p.Stats().Hits-before)
	// Output:
	// record not found - hits: 1
	// record not found - hits: 0
}
