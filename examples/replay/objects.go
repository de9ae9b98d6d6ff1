package main

import (
	"fmt"
	"hash/fnv"

	"gorm.io/gorm"
)

//go:generate go run gen.go

// Object is the columns that the tables of all types have. A type has a table and a model of its
// own, as in the application that the trace was taken from; objects_gen.go declares them.
type Object struct {
	ID    int    `gorm:"primaryKey;autoIncrement:false"`
	Index int    `gorm:"primaryKey;autoIncrement:false;column:position"`
	Text  string `gorm:"not null"`
}

func (o *Object) object() *Object { return o }

// objectOf is the object that a key stands for.
func objectOf(k key) Object {
	hash := fnv.New64a()
	fmt.Fprintf(hash, "%d/%d/%d", k.kind(), k.id(), k.index())
	return Object{ID: k.id(), Index: k.index(), Text: fmt.Sprintf("object %d/%d/%d %016x", k.kind(), k.id(), k.index(), hash.Sum64())}
}

// objectType is one of the models.
type objectType struct {
	model any
	table string
	find  func(db *gorm.DB, k key) (Object, error)
	// insert creates the objects of keys.
	insert func(db *gorm.DB, keys []key) error
}

// of makes the objectType of a model.
func of[T any, P interface {
	*T
	object() *Object
	TableName() string
}]() objectType {
	return objectType{
		model: new(T),
		table: P(new(T)).TableName(),
		find: func(db *gorm.DB, k key) (Object, error) {
			var found T
			err := db.Where("id = ? AND position = ?", k.id(), k.index()).Take(&found).Error
			return *P(&found).object(), err
		},
		insert: func(db *gorm.DB, keys []key) error {
			rows := make([]T, len(keys))
			for i, k := range keys {
				*P(&rows[i]).object() = objectOf(k)
			}
			return db.Create(&rows).Error
		},
	}
}
