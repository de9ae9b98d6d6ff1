package trace

import (
	"context"
	"fmt"
	"strings"

	"gorm.io/gorm"
)

// object is what a key of a trace stands for: an id and a position of one of 32 types, each with a
// model and a table of its own, which its type parameters number in binary.
type object[A, B, C, D, E bit] struct {
	_        struct{} `preload:""`
	ID       int      `gorm:"primaryKey;autoIncrement:false"`
	Position int      `gorm:"primaryKey;autoIncrement:false"`
	Text     string
}

type (
	bit interface{ number() int }
	on  struct{}
	off struct{}
)

func (on) number() int  { return 1 }
func (off) number() int { return 0 }

func (object[A, B, C, D, E]) TableName() string {
	var (
		a A
		b B
		c C
		d D
		e E
	)
	n := 0
	for _, bit := range []bit{a, b, c, d, e} {
		n = 2*n + bit.number()
	}
	return fmt.Sprintf("objects_%02d", n)
}

// objectType fills and reads one of the tables.
type objectType struct {
	fill func(db *gorm.DB, keys []Key) error
	read func(ctx context.Context, db *gorm.DB, k Key) error
}

var objectTypes = types()

func types() []objectType { return append(types1[off](), types1[on]()...) }

func types1[A bit]() []objectType { return append(types2[A, off](), types2[A, on]()...) }

func types2[A, B bit]() []objectType { return append(types3[A, B, off](), types3[A, B, on]()...) }

func types3[A, B, C bit]() []objectType {
	return append(types4[A, B, C, off](), types4[A, B, C, on]()...)
}

func types4[A, B, C, D bit]() []objectType {
	return []objectType{typeOf[A, B, C, D, off](), typeOf[A, B, C, D, on]()}
}

func typeOf[A, B, C, D, E bit]() objectType {
	return objectType{
		fill: func(db *gorm.DB, keys []Key) error {
			if err := db.AutoMigrate(&object[A, B, C, D, E]{}); err != nil {
				return err
			}
			var rows []object[A, B, C, D, E]
			for _, k := range keys {
				rows = append(rows, object[A, B, C, D, E]{ID: k.ID(), Position: k.Position(), Text: k.String()})
			}
			return db.CreateInBatches(rows, 1_000).Error
		},
		read: func(ctx context.Context, db *gorm.DB, k Key) error {
			var found object[A, B, C, D, E]
			err := db.WithContext(ctx).Where("id = ? AND position = ?", k.ID(), k.Position()).Take(&found).Error
			if err == nil && found.Text != k.String() {
				err = fmt.Errorf("%v: got %+v", k, found)
			}
			return err
		},
	}
}

// Read asks for what a key stands for. That it is not what Fill created is an error.
func Read(ctx context.Context, db *gorm.DB, k Key) error {
	return objectTypes[k.Type()].read(ctx, db, k)
}

// Fill creates what the keys of a trace stand for.
func Fill(keys []Key) func(db *gorm.DB) error {
	return func(db *gorm.DB) error {
		seen := map[Key]bool{}
		byType := make([][]Key, len(objectTypes))
		for _, k := range keys {
			if !seen[k] {
				seen[k] = true
				byType[k.Type()] = append(byType[k.Type()], k)
			}
		}
		for kind, keys := range byType {
			if err := objectTypes[kind].fill(db, keys); err != nil && !strings.Contains(err.Error(), "empty slice") {
				return err
			}
		}
		return nil
	}
}
