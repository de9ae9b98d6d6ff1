package models

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"
)

// PreloadUser reads the person, the permissions and the relationship of a user, so that these
// queries are answered from memory afterwards (the package documentation lists them), until a write
// changes the answers or their TTL ends:
//
//	models.Person(db, platform, userID).First(&person)
//	models.Permissions(db, platform, userID).Find(&permissions)
//	models.Relationship(db, userID).First(&relationship)
//
// Answers that are in memory already are not read again; give it db.Clauses(preload.Refresh) to
// read them all. A user who does not exist is no error: that answer is kept as well, for the
// negative TTL of its model. Inside a transaction, or without the plugin, the queries run and
// nothing is kept.
//
// The error says which of the queries failed; one of ctx can be found in it with errors.Is.
func PreloadUser(ctx context.Context, db *gorm.DB, platform, userID string) error {
	return run(ctx, db, fmt.Sprintf("user %q of %q", userID, platform),
		query{"person", func(db *gorm.DB) *gorm.DB { return Person(db, platform, userID).First(&PersonInfo{}) }},
		query{"permissions", func(db *gorm.DB) *gorm.DB { return Permissions(db, platform, userID).Find(&[]UserPermissions{}) }},
		query{"relationship", func(db *gorm.DB) *gorm.DB { return Relationship(db, userID).First(&UserRelationships{}) }},
	)
}

// PreloadChat reads a conversation and its latest messages, so that these queries are answered from
// memory afterwards, as with PreloadUser. A limit of 0 or less means DefaultMessages; another limit
// is another query:
//
//	models.Stream(db, streamID).First(&stream)
//	models.LatestMessages(db, streamID, limit).Find(&messages)
//
// A limit above 500 is an error: such answers are not kept.
func PreloadChat(ctx context.Context, db *gorm.DB, streamID string, limit int) error {
	if limit > maxMessages {
		return fmt.Errorf("models: preloading chat %q: limit %d: answers of more than %d messages are not kept", streamID, limit, maxMessages)
	}
	return run(ctx, db, fmt.Sprintf("chat %q", streamID),
		query{"stream", func(db *gorm.DB) *gorm.DB { return Stream(db, streamID).First(&ChatStreams{}) }},
		query{"messages", func(db *gorm.DB) *gorm.DB { return LatestMessages(db, streamID, limit).Find(&[]Messages{}) }},
	)
}

type query struct {
	of  string
	run func(*gorm.DB) *gorm.DB
}

func run(ctx context.Context, db *gorm.DB, of string, queries ...query) error {
	for _, q := range queries {
		err := ctx.Err()
		if err == nil {
			err = q.run(db.WithContext(ctx)).Error
		}
		if err == nil || errors.Is(err, gorm.ErrRecordNotFound) {
			continue
		}
		// A driver may say in its own words that the context ended.
		if done := ctx.Err(); done != nil && !errors.Is(err, done) {
			err = fmt.Errorf("%w: %w", done, err)
		}
		return fmt.Errorf("models: preloading the %s of %s: %w", q.of, of, err)
	}
	return nil
}
