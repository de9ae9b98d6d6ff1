package preload_test

import (
	"context"
	"fmt"

	"github.com/gorm-preload/preload"
)

// Where a read came from, and why not from memory.
func ExampleWithObserver() {
	var told []string
	db, _, done := open(preload.WithoutWorker(), preload.WithObserver(func(_ context.Context, e preload.Event) {
		if e.Kind == preload.EventRead && e.Table == "people" {
			told = append(told, fmt.Sprintf("%s%s: %v", e.Cause, e.Reason, e.Outcome))
		}
	}))
	defer done()

	var person Person
	db.First(&person, 1)
	person = Person{}
	db.First(&person, 1)
	db.Model(&Person{ID: 1}).Update("city", "Rome")
	person = Person{}
	db.First(&person, 1)
	for _, one := range told {
		fmt.Println(one)
	}
	// Output:
	// cold: miss
	// : hit
	// invalidated: miss
}

// The way in for a careful team: memory is only compared with the database at first.
func ExamplePlugin_SetMode() {
	db, p, done := open(preload.WithoutWorker(), preload.WithMode(preload.ModeShadow))
	defer done()

	for range 3 {
		var person Person
		db.First(&person, 1)
	}
	s := p.Stats()
	fmt.Println(s.Hits, "would have been answered from memory,", s.Verify.Equal, "rightly,", s.Verify.Mismatches, "wrongly")
	check(p.SetMode(preload.ModeOn))
	// Output:
	// 2 would have been answered from memory, 2 rightly, 0 wrongly
}
