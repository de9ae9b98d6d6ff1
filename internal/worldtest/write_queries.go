package worldtest

import (
	"context"

	"gorm.io/gorm"
)

// WriteQueries are what is kept in memory when a write happens. All of them can be cached.
var WriteQueries = []Named{
	{"orgs", List[WriteOrg](ByID)},
	{"users", List[WriteUser](ByID)},
	{"profiles", List[WriteProfile](ByID)},
	{"posts", List[WritePost](ByID)},
	{"comments", List[WriteComment](ByID)},
	{"tags", List[WriteTag](ByID)},
	{"notes", List[WriteNote](ByID)},
	{"docs", List[WriteDoc](ByID)},
	{"docs unscoped", List[WriteDoc](func(db *gorm.DB) *gorm.DB { return db.Unscoped().Order("id") })},
	{"countries", List[WriteCountry](func(db *gorm.DB) *gorm.DB { return db.Order("code") })},
	{"regions", List[WriteRegion](func(db *gorm.DB) *gorm.DB { return db.Order("country_code") })},
	{"towns", List[WriteTown](ByID)},
	{"hookeds", List[WriteHooked](ByID)},
	{"org 1", First[WriteOrg](All, 1)},
	{"user 1", First[WriteUser](All, 1)},
	{"user 2", First[WriteUser](All, 2)},
	{"user 3", First[WriteUser](All, 3)},
	{"user 4", First[WriteUser](All, 4)},
	{"user 77, missing", First[WriteUser](All, 77)},
	{"post 1", First[WritePost](All, 1)},
	{"post 3", First[WritePost](All, 3)},
	{"comment 1", First[WriteComment](All, 1)},
	{"doc 1", First[WriteDoc](All, 1)},
	{"doc 2", First[WriteDoc](All, 2)},
	{"doc 77, missing", First[WriteDoc](All, 77)},
	{"tag 1", First[WriteTag](All, 1)},
	{"town 1", First[WriteTown](All, 1)},
	{"town of at", First[WriteTown](All, "region_code = ?", "at")},
	{"region at", First[WriteRegion](All, "country_code = ?", "at")},
	{"hooked 1", First[WriteHooked](All, 1)},
	{"user 2, prepared", Prepared[WriteUser](func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("id = ?", arg(0)) }, 2)},
	{"users over 15, prepared", Prepared[WriteUser](func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where("age > ?", arg(0)).Order("age, id")
	}, 15)},
	{"docs unscoped, prepared", Prepared[WriteDoc](func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Unscoped().Where("id <> ?", arg(0)).Order("id")
	}, 99)},
	{"org 1 with users with posts, prepared", Prepared[WriteOrg](func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		order := func(db *gorm.DB) *gorm.DB { return db.Order("id") }
		return tx.Preload("Users", order).Preload("Users.Posts", order).Where("id = ?", arg(0))
	}, 1)},
	{"user named ann", First[WriteUser](All, "name = ?", "ann")},
	{"user named eve, missing", First[WriteUser](All, "name = ?", "eve")},
	{"user by struct", First[WriteUser](All, &WriteUser{Name: "bob", Age: 20})},
	{"user by map", First[WriteUser](All, map[string]any{"email": "cid@x"})},
	{"user by e-mail new@x, missing", First[WriteUser](All, "email = ?", "new@x")},
	{"users over 15", List[WriteUser](func(db *gorm.DB) *gorm.DB { return db.Where("age > ?", 15).Order("age, id") })},
	{"users aged 20 or 41", List[WriteUser](func(db *gorm.DB) *gorm.DB { return db.Where("age IN ?", []int{20, 41}).Order("id") })},
	{"users of org 1", List[WriteUser](func(db *gorm.DB) *gorm.DB { return db.Where("org_id = ?", 1).Order("id") })},
	{"users of none", List[WriteUser](func(db *gorm.DB) *gorm.DB { return db.Where("org_id IS NULL").Order("id") })},
	{"users under ann", List[WriteUser](func(db *gorm.DB) *gorm.DB { return db.Where(&WriteUser{BossID: Ptr(uint(1))}).Order("id") })},
	{"users not bob", List[WriteUser](func(db *gorm.DB) *gorm.DB { return db.Not("name = ?", "bob").Order("id") })},
	{"users ann or dee", List[WriteUser](func(db *gorm.DB) *gorm.DB {
		return db.Where("name = ?", "ann").Or("name = ?", "dee").Order("id")
	})},
	{"oldest two", List[WriteUser](func(db *gorm.DB) *gorm.DB { return db.Order("age DESC, id").Limit(2) })},
	{"second page", List[WriteUser](func(db *gorm.DB) *gorm.DB { return db.Order("id").Limit(2).Offset(2) })},
	{"ids and names", List[WriteUser](func(db *gorm.DB) *gorm.DB { return db.Select("id", "name").Order("id") })},
	{"posts of user 1", List[WritePost](func(db *gorm.DB) *gorm.DB { return db.Where("user_id = ?", 1).Order("id") })},
	{"posts of users in org 1", List[WritePost](func(db *gorm.DB) *gorm.DB {
		return db.Where("user_id IN (?)", db.Session(&gorm.Session{NewDB: true}).Model(&WriteUser{}).Select("id").Where("org_id = ?", 1)).Order("id")
	})},
	{"docs of version 1", List[WriteDoc](func(db *gorm.DB) *gorm.DB { return db.Where("version = ?", 1).Order("id") })},
	{"notes of user 1", List[WriteNote](func(db *gorm.DB) *gorm.DB {
		return db.Where("owner_id = ? AND owner_type = ?", 1, "write_users").Order("id")
	})},
	{"count users", CountOf[WriteUser](All)},
	{"count users over 15", CountOf[WriteUser](func(db *gorm.DB) *gorm.DB { return db.Where("age > 15") })},
	{"count docs", CountOf[WriteDoc](All)},
	{"count comments", CountOf[WriteComment](All)},
	{"count users joined with orgs", CountOf[WriteUser](func(db *gorm.DB) *gorm.DB {
		return db.Joins("JOIN write_orgs ON write_orgs.id = write_users.org_id").Where("write_orgs.name = ?", "one")
	})},
	{"pluck names", func(db *gorm.DB) (any, *gorm.DB) {
		var names []string
		return &names, db.Model(&WriteUser{}).Order("id").Pluck("name", &names)
	}},
	{"ages by org", func(db *gorm.DB) (any, *gorm.DB) {
		var sums []struct {
			OrgID *uint
			Total int64
		}
		return &sums, db.Model(&WriteUser{}).Select("org_id, SUM(age) AS total").Group("org_id").Having("SUM(age) > ?", 5).Order("total, org_id").Find(&sums)
	}},
	{"users as maps", func(db *gorm.DB) (any, *gorm.DB) {
		var rows []map[string]any
		return &rows, db.Model(&WriteUser{}).Select("id", "age").Order("id").Find(&rows)
	}},
	{"tags as maps", func(db *gorm.DB) (any, *gorm.DB) {
		var rows []map[string]any
		return &rows, db.Model(&WriteTag{}).Order("id").Find(&rows)
	}},
	{"users as smaller structs", func(db *gorm.DB) (any, *gorm.DB) {
		var rows []struct{ Name string }
		return &rows, db.Model(&WriteUser{}).Order("id").Find(&rows)
	}},
	{"users joined with their org", func(db *gorm.DB) (any, *gorm.DB) {
		var users []WriteUser
		return &users, db.Joins("Org").Order("write_users.id").Find(&users)
	}},
	{"users joined with their boss", func(db *gorm.DB) (any, *gorm.DB) {
		var users []WriteUser
		return &users, db.Joins("Boss").Order("write_users.id").Find(&users)
	}},
	{"user 1 with all", func(db *gorm.DB) (any, *gorm.DB) {
		var user WriteUser
		order := func(db *gorm.DB) *gorm.DB { return db.Order("id") }
		return &user, db.Preload("Org").Preload("Profile").Preload("Posts", order).Preload("Tags", order).
			Preload("Notes", order).First(&user, 1)
	}},
	{"orgs with users with posts", func(db *gorm.DB) (any, *gorm.DB) {
		var orgs []WriteOrg
		order := func(db *gorm.DB) *gorm.DB { return db.Order("id") }
		return &orgs, db.Preload("Users", order).Preload("Users.Posts", order).Order("id").Find(&orgs)
	}},
	{"comments with posts", func(db *gorm.DB) (any, *gorm.DB) {
		var comments []WriteComment
		return &comments, db.Preload("Post").Order("id").Find(&comments)
	}},
	{"towns with regions with countries", func(db *gorm.DB) (any, *gorm.DB) {
		var towns []WriteTown
		return &towns, db.Preload("Region.Country").Order("id").Find(&towns)
	}},
	{"docs with notes", func(db *gorm.DB) (any, *gorm.DB) {
		var docs []WriteDoc
		return &docs, db.Preload("Notes").Order("id").Find(&docs)
	}},
	{"generic posts", func(db *gorm.DB) (any, *gorm.DB) {
		posts, err := gorm.G[WritePost](db).Where("views >= ?", 2).Order("id").Find(context.Background())
		return posts, &gorm.DB{Error: err}
	}},
}
