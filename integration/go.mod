module github.com/gorm-preload/preload/integration

go 1.26.0

require (
	github.com/gorm-preload/preload v0.0.0
	github.com/mattn/go-sqlite3 v1.14.22
	gorm.io/driver/sqlite v1.6.0
	gorm.io/gorm v1.31.2
	gorm.io/plugin/dbresolver v1.6.2
)

require (
	github.com/DataDog/go-sqllexer v0.2.6 // indirect
	github.com/jinzhu/inflection v1.0.0 // indirect
	github.com/jinzhu/now v1.1.5 // indirect
	github.com/patrickmn/go-cache v2.1.0+incompatible // indirect
	golang.org/x/text v0.29.0 // indirect
)

replace github.com/gorm-preload/preload => ../
