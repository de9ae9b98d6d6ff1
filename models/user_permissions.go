package models

import (
	"time"

	"gorm.io/gorm"
)

// UserPermissions is one permission that a user was given or denied; a user has many.
//
// The TTL is short: where another process takes a permission away, it is how long this one may
// still see it.
type UserPermissions struct {
	_ struct{} `preload:"ttl:1m;negative:10s;rows:500"`

	ID             uint      `gorm:"primaryKey"`
	Platform       string    `gorm:"size:50;not null;index:idx_user_permissions_user,priority:1"`
	UserID         string    `gorm:"size:100;not null;index:idx_user_permissions_user,priority:2"`
	PermissionNode string    `gorm:"size:191;not null;index"`
	Granted        bool      `gorm:"not null"`
	GrantedAt      time.Time `gorm:"not null;autoCreateTime"`
	GrantedBy      *string   `gorm:"size:100"`
}

// TableName is "user_permissions".
func (UserPermissions) TableName() string { return "user_permissions" }

// Permissions is the query for all permissions of a user: say Find(&permissions) on it.
func Permissions(db *gorm.DB, platform, userID string) *gorm.DB {
	return db.Model(&UserPermissions{}).Where("platform = ? AND user_id = ?", platform, userID)
}
