package models

import "gorm.io/gorm"

// DefaultMessages is how many of the latest messages a conversation is read with where no number is
// given.
const DefaultMessages = 50

// maxMessages is the number of rows in the tag of Messages.
const maxMessages = 500

// Messages is one message of a conversation.
type Messages struct {
	_ struct{} `preload:"ttl:2m;negative:5s;rows:500"`

	ID        uint    `gorm:"primaryKey"`
	MessageID string  `gorm:"size:100;not null;index"`
	Time      float64 `gorm:"type:double precision;not null;index:idx_messages_chat,priority:2"`
	// ChatID is the StreamID of the conversation.
	ChatID        string   `gorm:"size:100;not null;index:idx_messages_chat,priority:1"`
	ReplyTo       *string  `gorm:"size:100"`
	InterestValue *float64 `gorm:"type:double precision"`
	IsMentioned   *bool

	ChatInfoStreamID string `gorm:"size:100;not null"`
	ChatInfoPlatform string `gorm:"size:50;not null"`

	UserID       string  `gorm:"size:100;not null;index:idx_messages_user,priority:2"`
	UserPlatform string  `gorm:"size:50;not null;index:idx_messages_user,priority:1"`
	UserNickname string  `gorm:"size:100;not null"`
	UserCardname *string `gorm:"size:100"`

	// ProcessedPlainText is what the application reads, DisplayMessage what people see.
	ProcessedPlainText *string `gorm:"type:text"`
	DisplayMessage     *string `gorm:"type:text"`

	IsEmoji   bool `gorm:"not null"`
	IsPicid   bool `gorm:"not null"`
	IsCommand bool `gorm:"not null"`
	IsNotify  bool `gorm:"not null"`

	MemorizedTimes   int64   `gorm:"not null"`
	PriorityMode     *string `gorm:"size:50"`
	PriorityInfo     *string `gorm:"type:text"`
	AdditionalConfig *string `gorm:"type:text"`
}

// TableName is "messages".
func (Messages) TableName() string { return "messages" }

// LatestMessages is the query for the latest messages of a conversation, latest first: say
// Find(&messages) on it. A limit of 0 or less means DefaultMessages. More than 500 messages are
// read each time from the database.
func LatestMessages(db *gorm.DB, streamID string, limit int) *gorm.DB {
	if limit <= 0 {
		limit = DefaultMessages
	}
	return db.Model(&Messages{}).Where("chat_id = ?", streamID).Order("time DESC").Limit(limit)
}
