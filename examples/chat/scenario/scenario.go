// Package scenario is what happens in the chats: the events, what each of them asks a database for
// and writes to it, and the rows that are there at first.
package scenario

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gorm-preload/preload/models"
	"gorm.io/gorm"
)

const (
	platform = "qq"
	// Latest is how many messages a reader of a conversation looks back.
	Latest = 20
	// history is how many messages a conversation has at first.
	history = 30
	// skew is the exponent of the Zipf distribution: few users and conversations are in most
	// events.
	skew = 1.1
	// start is when the first event happens, in seconds since 1970.
	start = 1_700_000_000
)

// Size is how many users and conversations there are, and what all that is random is drawn from.
type Size struct {
	Users, Streams int
	Seed           uint64
}

// Event is one message that comes in.
type Event struct {
	Number       int
	User, Stream string
	at           float64
}

func userID(n int) string   { return fmt.Sprintf("user-%05d", n) }
func streamID(n int) string { return fmt.Sprintf("stream-%04d", n) }

// source returns a stream of random numbers that belongs to the seed and to what it is used for.
func source(s Size, use uint64) *rand.Rand { return rand.New(rand.NewPCG(s.Seed, use)) }

// Events draws the first n events: equal sizes give equal ones.
func (s Size) Events(n int) []Event {
	random := source(s, 1)
	users := rand.NewZipf(random, skew, 1, uint64(s.Users-1))
	streams := rand.NewZipf(random, skew, 1, uint64(s.Streams-1))
	events := make([]Event, n)
	for i := range events {
		events[i] = Event{
			Number: i,
			User:   userID(int(users.Uint64())),
			Stream: streamID(int(streams.Uint64())),
			// No two messages of a conversation have the same time, which would leave their order
			// open.
			at: start + float64(i+1),
		}
	}
	return events
}

// ID tells an event apart from all others.
func (e Event) ID() string { return fmt.Sprintf("event-%06d", e.Number) }

// Read is one of the queries of an event.
type Read struct {
	Table string
	Ask   func(db *gorm.DB, e Event) (answer any, err error)
}

// Reads are what each event asks for, in this order. Not all of it is there: ErrRecordNotFound is
// an answer.
var Reads = []Read{
	{"chat_streams", func(db *gorm.DB, e Event) (any, error) {
		var stream models.ChatStreams
		err := models.Stream(db, e.Stream).First(&stream).Error
		return stream, err
	}},
	{"person_info", func(db *gorm.DB, e Event) (any, error) {
		var person models.PersonInfo
		err := models.Person(db, platform, e.User).First(&person).Error
		return person, err
	}},
	{"user_permissions", func(db *gorm.DB, e Event) (any, error) {
		var permissions []models.UserPermissions
		err := models.Permissions(db, platform, e.User).Find(&permissions).Error
		return permissions, err
	}},
	{"user_relationships", func(db *gorm.DB, e Event) (any, error) {
		var relationship models.UserRelationships
		err := models.Relationship(db, e.User).First(&relationship).Error
		return relationship, err
	}},
	{"messages", func(db *gorm.DB, e Event) (any, error) {
		var messages []models.Messages
		err := models.LatestMessages(db, e.Stream, Latest).Find(&messages).Error
		return messages, err
	}},
}

// Write writes what an event brings.
func (e Event) Write(db *gorm.DB) error {
	if err := db.Create(message(e.ID(), e.Stream, e.User, e.at)).Error; err != nil {
		return fmt.Errorf("writing messages: %w", err)
	}
	err := models.Stream(db, e.Stream).Updates(map[string]any{
		"last_active_time": e.at,
		"message_count":    gorm.Expr("message_count + 1"),
	}).Error
	if err != nil {
		return fmt.Errorf("writing chat_streams: %w", err)
	}
	return nil
}

func message(id, stream, user string, at float64) *models.Messages {
	text := "This is message " + id + " of " + user + " in " + stream + "."
	return &models.Messages{
		MessageID: id, Time: at, ChatID: stream,
		ChatInfoStreamID: stream, ChatInfoPlatform: platform,
		UserID: user, UserPlatform: platform, UserNickname: "nick of " + user,
		ProcessedPlainText: &text, DisplayMessage: &text,
	}
}

const batch = 200

// Fill creates users, conversations and their history in tables that are there: equal sizes give
// equal rows. Some users are unknown or have no relationship: what is not there is asked for as
// well.
func (s Size) Fill(tx *gorm.DB) error {
	random := source(s, 2)
	since := time.Unix(start, 0).UTC()
	var (
		persons       []models.PersonInfo
		permissions   []models.UserPermissions
		relationships []models.UserRelationships
		streams       []models.ChatStreams
		messages      []*models.Messages
	)
	for i := range s.Users {
		user := userID(i)
		if random.IntN(20) > 0 {
			persons = append(persons, models.PersonInfo{
				PersonID: "person of " + user, Platform: platform, UserID: user,
				PersonName: new("Person " + user), Nickname: new("nick of " + user),
				Impression: new("writes often, mostly about " + user), KnowTimes: new(float64(random.IntN(100))),
				KnowSince: new(float64(start - random.IntN(1_000_000))), Attitude: 1 + random.IntN(100),
			})
		}
		for n := range random.IntN(5) {
			permissions = append(permissions, models.UserPermissions{
				Platform: platform, UserID: user, PermissionNode: fmt.Sprintf("chat.node-%d", n),
				Granted: random.IntN(4) > 0, GrantedAt: since, GrantedBy: new("admin"),
			})
		}
		if random.IntN(5) > 0 {
			relationships = append(relationships, models.UserRelationships{
				UserID: user, UserName: new("Person " + user), RelationshipText: new("knows " + user + " from the chats"),
				RelationshipScore: 0.01 + 0.99*random.Float64(), LastUpdated: start, CreatedAt: since,
			})
		}
	}
	for i := range s.Streams {
		stream := streamID(i)
		streams = append(streams, models.ChatStreams{
			StreamID: stream, CreateTime: start - 1_000_000, LastActiveTime: start,
			GroupPlatform: new(platform), GroupID: new("group-" + stream), GroupName: new("Group of " + stream),
			Platform: platform, UserPlatform: platform, UserID: userID(0), UserNickname: "nick of " + userID(0),
			EnergyValue: 5, FocusEnergy: 0.5, BaseInterestEnergy: 0.5, MessageCount: history,
		})
		for n := range history {
			id := fmt.Sprintf("%s-%03d", stream, n)
			messages = append(messages, message(id, stream, userID(random.IntN(s.Users)), float64(start-history+n)))
		}
	}
	for _, rows := range []struct {
		all   any
		count int
	}{{&persons, len(persons)}, {&permissions, len(permissions)}, {&relationships, len(relationships)}, {&streams, len(streams)}, {&messages, len(messages)}} {
		if rows.count == 0 {
			continue
		}
		if err := tx.CreateInBatches(rows.all, batch).Error; err != nil {
			return err
		}
	}
	return nil
}
