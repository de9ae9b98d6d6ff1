package models

import "gorm.io/gorm"

// PersonInfo is what the application knows of one user of one platform.
type PersonInfo struct {
	_ struct{} `preload:"ttl:10m;negative:30s"`

	ID       uint   `gorm:"primaryKey"`
	PersonID string `gorm:"size:100;not null;uniqueIndex"`
	// PersonName is what the application calls the person, NameReason why.
	PersonName *string `gorm:"type:text"`
	NameReason *string `gorm:"type:text"`

	Platform string  `gorm:"size:50;not null;index:idx_person_info_user,priority:1"`
	UserID   string  `gorm:"size:100;not null;index:idx_person_info_user,priority:2"`
	Nickname *string `gorm:"type:text"`

	Impression      *string `gorm:"type:text"`
	ShortImpression *string `gorm:"type:text"`
	Points          *string `gorm:"type:text"`
	ForgottenPoints *string `gorm:"type:text"`
	InfoList        *string `gorm:"type:text"`

	KnowTimes *float64 `gorm:"type:double precision"`
	KnowSince *float64 `gorm:"type:double precision"`
	LastKnow  *float64 `gorm:"type:double precision"`
	// Attitude runs from 0 to 100. A person created with 0 gets the default, as with any default of
	// GORM: set 0 by an update.
	Attitude int `gorm:"not null;default:50"`
}

// TableName is "person_info".
func (PersonInfo) TableName() string { return "person_info" }

// Person is the query for a user of a platform: say First(&person) on it.
func Person(db *gorm.DB, platform, userID string) *gorm.DB {
	return db.Model(&PersonInfo{}).Where("platform = ? AND user_id = ?", platform, userID)
}
