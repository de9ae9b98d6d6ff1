package preload_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gorm-preload/preload"
	"gorm.io/gorm"
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

// What a write would invalidate, and which writes invalidate an answer, without running anything.
func ExamplePlugin_Explain() {
	db, p, done := open(preload.WithoutWorker())
	defer done()
	var ann Person
	check(db.First(&ann, 1).Error)

	write, err := p.Explain(func(tx *gorm.DB) *gorm.DB {
		return tx.Model(&Person{}).Where("id = ?", 1).Update("city", "Rome")
	})
	check(err)
	fmt.Println(write.SQL)
	fmt.Println(write.Changes[0])
	fmt.Println("invalidates", len(write.Invalidates), "answer, by", write.Invalidates[0].Rule)

	read, err := p.Explain(func(tx *gorm.DB) *gorm.DB { return tx.Limit(3).Find(&[]Person{}) })
	check(err)
	fmt.Println(read.Cacheable, read.Stored, read.InvalidatedBy)
	// Output:
	// UPDATE `people` SET `city`="Rome" WHERE id = 1
	// update people set city to city = 'rome' where id = 1
	// invalidates 1 answer, by row
	// true false [any write of people: LIMIT without ORDER BY]
}

// After a write that nobody could see, such as that of a script.
func ExamplePlugin_Invalidate() {
	db, p, done := open(preload.WithoutWorker())
	defer done()
	var ann Person
	check(db.First(&ann, 1).Error)
	fmt.Println("in memory:", p.Stats().Entries)
	check(p.Invalidate(&Person{})) // or the name of a table; none for all answers
	fmt.Println("in memory:", p.Stats().Entries, "invalidated:", p.Stats().Invalidated)
	// Output:
	// in memory: 1
	// in memory: 0 invalidated: 1
}

// What is wrong with a tag is told at the start, and not by the first query.
func ExamplePlugin_Register() {
	_, p, done := open()
	defer done()

	type Town struct {
		_  struct{} `preload:"tll:10m"`
		ID uint
	}
	fmt.Println(p.Register(&Person{}))
	fmt.Println(p.Register(&Town{}) != nil)
	// Output:
	// <nil>
	// true
}

// How many reads were answered from memory, and why the others were not.
func ExamplePlugin_Stats() {
	db, p, done := open(preload.WithoutWorker())
	defer done()
	for range 3 {
		var ann Person
		check(db.First(&ann, 1).Error)
	}
	check(db.Model(&Person{ID: 1}).Update("city", "Rome").Error)
	check(db.Transaction(func(tx *gorm.DB) error { return tx.First(&Person{}, 1).Error }))
	s := p.Stats()
	fmt.Println("hits:", s.Hits, "misses:", s.Misses, s.MissCauses)
	fmt.Println("bypassed:", s.Bypassed, s.BypassReasons)
	fmt.Println("invalidated:", s.Invalidated, s.InvalidatedBy)
	// Output:
	// hits: 2 misses: 1 map[cold:1]
	// bypassed: 1 map[transaction:1]
	// invalidated: 1 map[people:map[row:1]]
}

// Which queries the plugin serves, and which writes invalidate their answers.
func ExamplePlugin_Shapes() {
	db, p, done := open(preload.WithoutWorker())
	defer done()
	for range 3 {
		check(db.Where("city = ?", "Oslo").Order("id").Find(&[]Person{}).Error)
	}
	for _, s := range p.Shapes(10) {
		fmt.Println(s.SQL)
		fmt.Println("hits:", s.Hits, "misses:", s.Misses)
		fmt.Println(s.InvalidatedBy)
	}
	// Output:
	// SELECT * FROM people WHERE city = ? ORDER BY id
	// hits: 2 misses: 1
	// writes of people that may touch rows of the same city
}

// Which queries it does not serve, and what would help.
func ExamplePlugin_Unserved() {
	db, p, done := open()
	defer done()
	for range 2 {
		check(db.Raw("SELECT * FROM people WHERE city = 'Oslo'").Scan(&[]Person{}).Error)
	}
	for _, u := range p.Unserved(10) {
		fmt.Println(u.Count, u.SQL)
		fmt.Println(u.Reason+":", u.Advice)
	}
	// Output:
	// 2 SELECT * FROM people WHERE city = ?
	// raw SQL: give WithRaw, or Clauses(preload.Cache()) for this query; or write it with Find, First or Count
}

// What an answer depends on besides the query: here the tenant that asks.
func ExampleWithPartition() {
	type tenant struct{}
	db, p, done := open(preload.WithPartition(func(ctx context.Context) string {
		name, _ := ctx.Value(tenant{}).(string)
		return name
	}))
	defer done()
	for _, name := range []string{"red", "blue", "red"} {
		ctx := context.WithValue(context.Background(), tenant{}, name)
		check(db.WithContext(ctx).First(&Person{}, 1).Error)
		fmt.Println(name, "hits:", p.Stats().Hits)
	}
	// Output:
	// red hits: 0
	// blue hits: 0
	// red hits: 1
}

// A share of what memory answers is asked of the database as well, and compared.
func ExampleWithVerify() {
	wrong := make(chan preload.MismatchInfo, 1)
	db, _, done := open(preload.WithVerify(preload.Verify{
		Rate:         1, // 0.001 is enough where it runs for long
		DisableAfter: 3, // then the model is not served any more
		OnMismatch: func(m preload.MismatchInfo) {
			select {
			case wrong <- m:
			default:
			}
		},
	}))
	defer done()
	check(db.First(&Person{}, 1).Error)
	pool, err := db.DB()
	check(err)
	_, err = pool.Exec("UPDATE people SET city = 'Rome'") // behind the plugin
	check(err)
	for range 2_000 {
		check(db.First(&Person{}, 1).Error)
		select {
		case m := <-wrong:
			fmt.Println(m.Table, m.Columns)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	// Output:
	// people [city]
}

// Whether something is wrong with the plugin, for a health check. Reads are answered in any case.
func ExamplePlugin_Health() {
	_, p, done := open()
	fmt.Println(p.Health())
	done()
	fmt.Println(errors.Is(p.Health(), preload.ErrClosed))
	// Output:
	// <nil>
	// true
}

// SaveHot writes which keys are hot, for LoadHot of the next process.
func ExamplePlugin_SaveHot() {
	db, p, done := open()
	defer done()
	check(db.First(&Person{}, 1).Error)
	var saved bytes.Buffer // a file; SaveHotFile replaces one as a whole
	check(p.SaveHot(&saved))
	fmt.Println(saved.Len() > 0, bytes.Contains(saved.Bytes(), []byte("Oslo")))
	// Output:
	// true false
}
