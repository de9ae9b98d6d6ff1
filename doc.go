// Package preload is a GORM plugin that answers the repeated reads of an application from memory,
// keeps these answers correct while the application writes, and loads the hot ones in the
// background before they are asked for.
//
//	p := preload.New()
//	if err := db.Use(p); err != nil { ... }
//	defer p.Close()
//
// Models opt in with a tag, on any field; a blank one by convention:
//
//	type PersonInfo struct {
//		_        struct{} `preload:"ttl:10m"`
//		ID       uint
//		Platform string
//	}
//
// Queries of that model that go through GORM's query callbacks, outside transactions (unless
// WithTransactionReads says otherwise), are then served from memory once they were asked, with the
// same destination, RowsAffected, error, hooks and associations as without the plugin, until a
// write made through the same *gorm.DB could have changed their answers. Stats.BypassReasons tells
// of the rest.
//
// # What is out of reach
//
// Writers other than this process (another instance, a script, a migration) cannot be seen by
// callbacks: the TTL bounds how long they can leave an answer stale. Other processes that use the
// plugin are seen with a feed (WithFeed). Inside this process the same holds for writes that go
// around GORM's statements (the *sql.DB or the ConnPool behind it), unless the pool was opened with
// Connector or Driver, and for what triggers do and views read, unless the policy of the model that
// they change names the tables (Policy.Depends). A stored function that writes is seen in raw SQL,
// where every function counts as writing that is not built into the database, but not in a query
// that GORM builds. A connection that reads uncommitted rows is not supported. A pointer that a
// Scanner takes from elsewhere is copied like all others, and a serializer that looks at the
// context needs WithPartition.
//
// # Concurrency
//
// All exported functions and methods are safe for concurrent use, unless their documentation says
// otherwise.
package preload
