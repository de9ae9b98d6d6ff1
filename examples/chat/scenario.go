package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gorm-preload/preload/models"
	"gorm.io/gorm"
)

const (
	platform = "qq"
	// latest is how many messages a reader of a conversation looks back.
	latest = 20
	// history is how many messages a conversation has at first.
	history = 30
	// skew is the exponent of the Zipf distribution: few users and conversations are in most
	// events.
	skew = 1.1
	// start is when the first event happens, in seconds since 1970.
	start = 1_700_000_000
)

// event is one message that comes in.
type event struct {
	number       int
	user, stream string
	at           float64
}

func userID(n int) string   { return fmt.Sprintf("user-%05d", n) }
func streamID(n int) string { return fmt.Sprintf("stream-%04d", n) }

// source returns a stream of random numbers that belongs to the seed and to what it is used for.
func source(s settings, use uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, use)) }

// newEvents draws the events from the seed.
func newEvents(s settings) []event {
	random := source(s, 1)
	users := rand.NewZipf(random, skew, 1, uint64(s.users-1))
	streams := rand.NewZipf(random, skew, 1, uint64(s.streams-1))
	events := make([]event, s.events)
	for i := range events {
		events[i] = event{
			number: i,
			user:   userID(int(users.Uint64())),
			stream: streamID(int(streams.Uint64())),
			// No two messages of a conversation have the same time, which would leave their order
			// open.
			at: start + float64(i+1),
		}
	}
	return events
}

// message is what an event writes.
func (e event) message() *models.Messages {
	return message(fmt.Sprintf("event-%06d", e.number), e.stream, e.user, e.at)
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

// fill creates users, conversations and their history. Some users are unknown or have no
// relationship: what is not there is asked for as well.
func fill(tx *gorm.DB, s settings) error {
	random := source(s, 2)
	since := time.Unix(start, 0).UTC()
	var (
		persons       []models.PersonInfo
		permissions   []models.UserPermissions
		relationships []models.UserRelationships
		streams       []models.ChatStreams
		messages      []*models.Messages
	)
	for i := range s.users {
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
	for i := range s.streams {
		stream := streamID(i)
		streams = append(streams, models.ChatStreams{
			StreamID: stream, CreateTime: start - 1_000_000, LastActiveTime: start,
			GroupPlatform: new(platform), GroupID: new("group-" + stream), GroupName: new("Group of " + stream),
			Platform: platform, UserPlatform: platform, UserID: userID(0), UserNickname: "nick of " + userID(0),
			EnergyValue: 5, FocusEnergy: 0.5, BaseInterestEnergy: 0.5, MessageCount: history,
		})
		for n := range history {
			id := fmt.Sprintf("%s-%03d", stream, n)
			messages = append(messages, message(id, stream, userID(random.IntN(s.users)), float64(start-history+n)))
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
