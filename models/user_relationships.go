package models

import (
	"time"

	"gorm.io/gorm"
)

// UserRelationships is how the application stands with a user, on whatever platform.
type UserRelationships struct {
	_ struct{} `preload:"ttl:10m;negative:30s"`

	ID                 uint    `gorm:"primaryKey"`
	UserID             string  `gorm:"size:100;not null;uniqueIndex"`
	UserName           *string `gorm:"size:100"`
	UserAliases        *string `gorm:"type:text"`
	RelationshipText   *string `gorm:"type:text"`
	PreferenceKeywords *string `gorm:"type:text"`
	// RelationshipScore runs from 0 to 1. One created with 0 gets the default, as with any default
	// of GORM: set 0 by an update.
	RelationshipScore float64 `gorm:"type:double precision;not null;default:0.3"`
	LastUpdated       float64 `gorm:"type:double precision;not null"`
	CreatedAt         time.Time
}

// TableName is "user_relationships".
func (UserRelationships) TableName() string { return "user_relationships" }

// Relationship is the query for the relationship with a user: say First(&relationship) on it.
func Relationship(db *gorm.DB, userID string) *gorm.DB {
	return db.Model(&UserRelationships{}).Where("user_id = ?", userID)
}
