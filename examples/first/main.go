package main

import (
	"fmt"
	"log"

	"github.com/gorm-preload/preload"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

type Person struct {
	_    struct{} `preload:"ttl:10m"` // opts the model in; `preload:""` takes the defaults
	ID   uint
	Name string
	City string
}

func main() {
	db, err := gorm.Open(sqlite.Open("file:people?mode=memory"), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	p := preload.New()
	if err := db.Use(p); err != nil {
		log.Fatal(err)
	}
	defer p.Close()

	db.AutoMigrate(&Person{})
	db.Create(&Person{Name: "Ann", City: "Oslo"})

	var ann Person
	for range 2 {
		db.Where("name = ?", "Ann").First(&ann)
		fmt.Println(ann.Name, "lives in", ann.City+". Answered from memory so far:", p.Stats().Hits)
	}
	db.Model(&ann).Update("city", "Bergen")
	db.Where("name = ?", "Ann").First(&ann)
	fmt.Println(ann.Name, "lives in", ann.City+".")
}
