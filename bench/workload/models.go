package workload

import (
	"fmt"
	"time"

	"gorm.io/gorm"
)

// Person is a row of 20 columns, of the kinds that such rows have.
type Person struct {
	_         struct{} `preload:"ttl:1h"`
	ID        uint
	Platform  string `gorm:"size:32;index:identity"`
	UserID    string `gorm:"size:64;index:identity"`
	Name      string `gorm:"size:64"`
	Nickname  string `gorm:"size:64"`
	Avatar    string `gorm:"size:255"`
	Language  string `gorm:"size:16"`
	Bio       string
	Age       int
	Level     int64
	Karma     int64
	Followers int64
	Following int64
	Messages  int64
	Balance   float64
	Ratio     float64
	Active    bool
	Email     *string `gorm:"size:255"`
	CreatedAt time.Time
	SeenAt    time.Time
}

// Unlisted is a row of the same table that no policy is for.
type Unlisted struct {
	ID        uint
	Platform  string `gorm:"size:32;index:identity"`
	UserID    string `gorm:"size:64;index:identity"`
	Name      string `gorm:"size:64"`
	Nickname  string `gorm:"size:64"`
	Avatar    string `gorm:"size:255"`
	Language  string `gorm:"size:16"`
	Bio       string
	Age       int
	Level     int64
	Karma     int64
	Followers int64
	Following int64
	Messages  int64
	Balance   float64
	Ratio     float64
	Active    bool
	Email     *string `gorm:"size:255"`
	CreatedAt time.Time
	SeenAt    time.Time
}

// TableName implements schema.Tabler.
func (Unlisted) TableName() string { return "people" }

// Message is a row of 30 columns.
type Message struct {
	_          struct{} `preload:"ttl:1h"`
	ID         uint
	StreamID   uint `gorm:"index"`
	SenderID   uint
	Kind       string `gorm:"size:16"`
	Subject    string `gorm:"size:128"`
	Body       string
	Format     string `gorm:"size:16"`
	Client     string `gorm:"size:32"`
	Topic      string `gorm:"size:64"`
	Language   string `gorm:"size:16"`
	Hash       string `gorm:"size:64"`
	Likes      int64
	Dislikes   int64
	Replies    int64
	Views      int64
	Shares     int64
	Position   int64
	Revision   int64
	Weight     float64
	Score      float64
	Pinned     bool
	Hidden     bool
	SentAt     time.Time
	CreatedAt  time.Time
	ReplyTo    *int64
	EditedBy   *string `gorm:"size:64"`
	Link       *string `gorm:"size:255"`
	EditedAt   *time.Time
	Attachment []byte
	Signature  []byte
}

// How many rows there are.
const (
	people  = 1_000
	streams = 20
	perPage = 50 // messages of a stream
)

const platform = "matrix"

func userID(i int) string { return fmt.Sprint("@user", i, ":example.org") }

func ptr[T any](v T) *T { return &v }

// row returns the i-th person.
func row(i int) Person {
	at := time.Unix(1_700_000_000+int64(i), 0).UTC()
	return Person{
		Platform: platform, UserID: userID(i), Name: fmt.Sprint("Name of ", i), Nickname: "nick", Avatar: fmt.Sprint("https://example.org/avatar/", i, ".png"),
		Language: "en", Bio: "A few words about somebody.", Age: i % 90, Level: int64(i), Email: ptr(fmt.Sprint("user", i, "@example.org")),
		Active: i%2 == 0, Balance: float64(i) / 4, CreatedAt: at, SeenAt: at,
	}
}

// seed fills the tables.
func seed(db *gorm.DB, rows int) error {
	if err := db.AutoMigrate(&Person{}, &Message{}); err != nil {
		return err
	}
	persons := make([]Person, rows)
	for i := range persons {
		persons[i] = row(i)
	}
	if err := db.CreateInBatches(persons, 200).Error; err != nil {
		return err
	}
	messages := make([]Message, streams*perPage)
	for i := range messages {
		at := time.Unix(1_700_000_000+int64(i), 0).UTC()
		messages[i] = Message{
			StreamID: uint(i%streams + 1), SenderID: uint(i%rows + 1), Kind: "text", Subject: fmt.Sprint("Subject ", i), Body: "What somebody wrote, a line or two of it.",
			Format: "plain", Client: "web", Topic: "general", Language: "en", Likes: int64(i), Position: int64(i), Score: float64(i) / 8, SentAt: at, CreatedAt: at,
			ReplyTo: ptr(int64(i / 2)), EditedBy: ptr(userID(i)), EditedAt: ptr(at), Attachment: []byte("attached"), Signature: []byte(fmt.Sprint("signature", i)),
		}
	}
	return db.CreateInBatches(messages, 200).Error
}
