package workload

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/maypok86/otter/v2"
	"github.com/patrickmn/go-cache"
	"github.com/viccon/sturdyc"
	"gorm.io/gorm"
)

// query is a read in all its forms.
type query[D any] struct {
	// gorm runs it; i is the number of what is asked for.
	gorm func(db *gorm.DB, i int) (D, error)
	// key returns what a cache written by hand has it under.
	key func(i int) string
	// private returns a copy that shares nothing that can be changed.
	private func(D) D
	// prepared returns it as a prepared query.
	prepared func(db *gorm.DB) (func(i int) (D, error), error)
	// of returns what is asked for in the i-th operation.
	of func(i int) int
}

// variants returns the ways of a read.
func (q query[D]) variants(p *Place) ([]Variant, error) {
	var all []Variant
	add := func(name string, do func(i int) (D, error)) {
		all = append(all, finding(name, func(i int) (D, error) { return do(q.of(i)) }))
	}
	through := func(name string, db *gorm.DB) {
		add(name, func(i int) (D, error) { return q.gorm(db, i) })
		all[len(all)-1] = all[len(all)-1].of(db)
	}
	silent := func(name string, db *gorm.DB) {
		through(name, db)
		all[len(all)-1].Answer = nil
	}

	plain, err := p.file(gorm.Config{})
	if err != nil {
		return nil, err
	}
	through("plain", plain)
	if db, err := p.memory(); err != nil {
		return nil, err
	} else {
		through("plain-memory", db)
	}
	if db, err := p.file(gorm.Config{PrepareStmt: true}); err != nil {
		return nil, err
	} else {
		through("plain-prepared", db)
	}
	if p.Postgres != "" {
		db, err := p.postgres()
		if err != nil {
			return nil, err
		}
		through("plain-postgres", db)
	}
	silent("dryrun", plain.Session(&gorm.Session{DryRun: true}))
	if db, err := p.floor(); err != nil {
		return nil, err
	} else {
		silent("callback", db)
	}

	byHand := cache.New(time.Hour, 0)
	add("aside-go-cache", func(i int) (D, error) {
		key := q.key(i)
		if found, ok := byHand.Get(key); ok {
			return q.private(*found.(*D)), nil
		}
		d, err := q.gorm(plain, i)
		if err == nil {
			kept := q.private(d)
			byHand.Set(key, &kept, cache.DefaultExpiration)
		}
		return d, err
	})
	modern, err := otter.New(&otter.Options[string, *D]{MaximumSize: 100_000, ExpiryCalculator: otter.ExpiryWriting[string, *D](time.Hour)})
	if err != nil {
		return nil, err
	}
	add("aside-otter", func(i int) (D, error) {
		key := q.key(i)
		if found, ok := modern.GetIfPresent(key); ok {
			return q.private(*found), nil
		}
		d, err := q.gorm(plain, i)
		if err == nil {
			kept := q.private(d)
			modern.Set(key, &kept)
		}
		return d, err
	})
	sturdy := sturdyc.New[*D](100_000, 32, time.Hour, 10)
	add("sturdyc", func(i int) (D, error) {
		found, err := sturdy.GetOrFetch(context.Background(), q.key(i), func(context.Context) (*D, error) {
			d, err := q.gorm(plain, i)
			return &d, err
		})
		if err != nil {
			var none D
			return none, err
		}
		return q.private(*found), nil
	})

	db, _, err := p.plugged(preload.WithoutWorker())
	if err != nil {
		return nil, err
	}
	through("preload", db)
	prepared, err := q.prepared(db)
	if err != nil {
		return nil, err
	}
	add("prepared", prepared)
	all[len(all)-1] = all[len(all)-1].of(db)
	working, _, err := p.plugged()
	if err != nil {
		return nil, err
	}
	through("preload-worker", working)
	learning, err := q.prepared(working)
	if err != nil {
		return nil, err
	}
	add("prepared-worker", learning)
	all[len(all)-1] = all[len(all)-1].of(working)
	return all, nil
}

func reads() []Workload {
	drawn := draws(people)
	ofPeople := func(i int) int { return drawn[i%len(drawn)] }
	ofStreams := func(i int) int { return drawn[i%len(drawn)] % streams }
	ctx := context.Background()

	point := query[Person]{
		of: ofPeople,
		gorm: func(db *gorm.DB, i int) (p Person, err error) {
			err = db.Where("platform = ? AND user_id = ?", platform, users[i]).First(&p).Error
			return p, dry(db, err)
		},
		key:     func(i int) string { return "person:" + platform + ":" + users[i] },
		private: Person.private,
		prepared: func(db *gorm.DB) (func(int) (Person, error), error) {
			q, err := preload.Prepare[Person](db, func(tx *gorm.DB) *gorm.DB {
				return tx.Where("platform = ? AND user_id = ?", preload.Arg(0), preload.Arg(1))
			})
			return func(i int) (Person, error) { return q.First(ctx, platform, users[i]) }, err
		},
	}
	byKey := query[Person]{
		of: ofPeople,
		gorm: func(db *gorm.DB, i int) (p Person, err error) {
			err = db.First(&p, i+1).Error
			return p, dry(db, err)
		},
		key:     strconv.Itoa,
		private: Person.private,
		prepared: func(db *gorm.DB) (func(int) (Person, error), error) {
			q, err := preload.Prepare[Person](db, func(tx *gorm.DB) *gorm.DB { return tx.Where("people.id = ?", preload.Arg(0)) })
			return func(i int) (Person, error) { return q.First(ctx, i+1) }, err
		},
	}
	list := query[[]Message]{
		of: ofStreams,
		gorm: func(db *gorm.DB, i int) (m []Message, err error) {
			err = db.Where("stream_id = ?", i+1).Order("position").Limit(perPage).Find(&m).Error
			return m, dry(db, err)
		},
		key:     strconv.Itoa,
		private: privateMessages,
		prepared: func(db *gorm.DB) (func(int) ([]Message, error), error) {
			q, err := preload.Prepare[Message](db, func(tx *gorm.DB) *gorm.DB {
				return tx.Where("stream_id = ?", preload.Arg(0)).Order("position").Limit(perPage)
			})
			return func(i int) ([]Message, error) { return q.Find(ctx, i+1) }, err
		},
	}
	count := query[int64]{
		of: ofPeople,
		gorm: func(db *gorm.DB, i int) (n int64, err error) {
			err = db.Model(&Person{}).Where("platform = ? AND user_id = ?", platform, users[i]).Count(&n).Error
			return n, dry(db, err)
		},
		key:     func(i int) string { return "count:" + platform + ":" + users[i] },
		private: func(n int64) int64 { return n },
		prepared: func(db *gorm.DB) (func(int) (int64, error), error) {
			q, err := preload.Prepare[Person](db, func(tx *gorm.DB) *gorm.DB {
				return tx.Where("platform = ? AND user_id = ?", preload.Arg(0), preload.Arg(1))
			})
			return func(i int) (int64, error) { return q.Count(ctx, platform, users[i]) }, err
		},
	}
	const warm = 1 << 14 // all that is drawn
	return []Workload{
		{"W1", "a row of 20 columns by two columns, warm, zipf over 1,000 keys", "dryrun", warm, point.variants},
		{"W2", "`First(&x, id)`", "dryrun", warm, byKey.variants},
		{"W3", "a list of 50 rows of 30 columns", "dryrun", 200, list.variants},
		{"W4", "`Count` by two columns", "dryrun", warm, count.variants},
	}
}

// users are the names of people.
var users = func() []string {
	all := make([]string, people)
	for i := range all {
		all[i] = userID(i)
	}
	return all
}()

// dry drops the error of a statement that was not executed: there was no row.
func dry(db *gorm.DB, err error) error {
	if db.DryRun && errors.Is(err, gorm.ErrRecordNotFound) {
		return nil
	}
	return err
}

func (p Person) private() Person {
	if p.Email != nil {
		email := *p.Email
		p.Email = &email
	}
	return p
}

func privateMessages(all []Message) []Message {
	all = slices.Clone(all)
	for i := range all {
		m := &all[i]
		m.ReplyTo, m.EditedBy, m.Link, m.EditedAt = again(m.ReplyTo), again(m.EditedBy), again(m.Link), again(m.EditedAt)
		m.Attachment, m.Signature = slices.Clone(m.Attachment), slices.Clone(m.Signature)
	}
	return all
}

func again[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
