// Package models has the models of a chat application, opted in to preload, and the queries that
// such an application asks for every message that comes in. PreloadUser and PreloadChat run these
// queries ahead of time:
//
//	err := models.PreloadUser(ctx, db, "qq", "10001")
//	err = models.PreloadChat(ctx, db, streamID, 50)
//
// # What is then in memory
//
// An answer is found again by the query that it belongs to: the same conditions in the same form,
// the same values and the same type of destination. The functions that build the queries keep that
// true:
//
//	models.Person(db, platform, userID).First(&person)          // person models.PersonInfo
//	models.Permissions(db, platform, userID).Find(&permissions) // permissions []models.UserPermissions
//	models.Relationship(db, userID).First(&relationship)        // relationship models.UserRelationships
//	models.Stream(db, streamID).First(&stream)                  // stream models.ChatStreams
//	models.LatestMessages(db, streamID, limit).Find(&messages)  // messages []models.Messages, same limit
//
// So do these, which say the same without this package:
//
//	db.Where("platform = ? AND user_id = ?", platform, userID).First(&person)
//	db.Where("platform = ? AND user_id = ?", platform, userID).Find(&permissions)
//	db.Where("user_id = ?", userID).First(&relationship)
//	db.Where("stream_id = ?", streamID).First(&stream)
//	db.Where("chat_id = ?", streamID).Order("time DESC").Limit(limit).Find(&messages)
//
// Any other form is a query of its own, which is kept from its first use on: another order of the
// conditions, a struct or map of conditions, Take in place of First, a smaller struct as the
// destination, another limit.
//
// # Columns
//
// A pointer stands for a column that may be NULL. Times that chat systems keep as seconds since
// 1970 are float64.
package models

// All returns one of each model, for db.AutoMigrate(models.All()...) and
// plugin.Register(models.All()...).
func All() []any {
	return []any{&PersonInfo{}, &UserPermissions{}, &UserRelationships{}, &ChatStreams{}, &Messages{}}
}
