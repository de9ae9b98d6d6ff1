package models

import "gorm.io/gorm"

// ChatStreams is one conversation: a group, or a user in private.
type ChatStreams struct {
	_ struct{} `preload:"ttl:5m;negative:10s"`

	ID         uint    `gorm:"primaryKey"`
	StreamID   string  `gorm:"size:100;not null;uniqueIndex"`
	CreateTime float64 `gorm:"type:double precision;not null"`

	// The group; NULL in private conversations.
	GroupPlatform *string `gorm:"size:50"`
	GroupID       *string `gorm:"size:100;index"`
	GroupName     *string `gorm:"size:100"`

	LastActiveTime float64 `gorm:"type:double precision;not null;index"`
	Platform       string  `gorm:"size:50;not null;index:idx_chat_streams_user,priority:1"`

	// The user who began it.
	UserPlatform string  `gorm:"size:50;not null"`
	UserID       string  `gorm:"size:100;not null;index:idx_chat_streams_user,priority:2"`
	UserNickname string  `gorm:"size:100;not null"`
	UserCardname *string `gorm:"size:100"`

	EnergyValue        float64 `gorm:"type:double precision;not null"`
	SleepPressure      float64 `gorm:"type:double precision;not null"`
	FocusEnergy        float64 `gorm:"type:double precision;not null"`
	BaseInterestEnergy float64 `gorm:"type:double precision;not null"`

	MessageInterestTotal float64  `gorm:"type:double precision;not null"`
	MessageCount         int64    `gorm:"not null"`
	ActionCount          int64    `gorm:"not null"`
	ReplyCount           int64    `gorm:"not null"`
	LastInteractionTime  *float64 `gorm:"type:double precision"`
	ConsecutiveNoReply   int64    `gorm:"not null"`
	InterruptionCount    int64    `gorm:"not null"`
}

// TableName is "chat_streams".
func (ChatStreams) TableName() string { return "chat_streams" }

// Stream is the query for a conversation: say First(&stream) on it.
func Stream(db *gorm.DB, streamID string) *gorm.DB {
	return db.Model(&ChatStreams{}).Where("stream_id = ?", streamID)
}
