package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload"
	"gorm.io/gorm"
)

// The models of the chains: a person has an account, the account holdings and letters, a holding a
// paper, a paper an issuer.

type person struct {
	_    struct{} `preload:""`
	ID   int64
	Name string `gorm:"uniqueIndex;size:40"`
}

type account struct {
	_        struct{} `preload:""`
	ID       int64
	PersonID int64 `gorm:"index"`
}

type holding struct {
	_         struct{} `preload:""`
	ID        int64
	AccountID int64 `gorm:"index"`
	PaperID   int64
}

type paper struct {
	_        struct{} `preload:""`
	ID       int64
	IssuerID int64
}

type issuer struct {
	_    struct{} `preload:""`
	ID   int64
	Name string
}

type letter struct {
	_         struct{} `preload:""`
	ID        int64
	AccountID int64 `gorm:"index"`
	Text      string
}

// leaf is a leaf of a handbook. Which leaf comes after it only the application knows. What it says
// is true for a second, so that it is asked for again and again.
type leaf struct {
	_    struct{} `preload:"ttl:1s"`
	ID   int64
	Text string
}

const (
	shortest, longest = 4, 6 // reads of a session
	holdings          = 3    // of an account
	querying          = 2 * time.Millisecond
	thinking          = 3 * time.Millisecond // between two reads of a session
)

// people are who has sessions, and what they ask for. Ids of different tables are of the same
// range, as those of a database are, and have nothing to do with each other.
type people struct {
	persons, paths int64
	leaves         []int64 // by path, longest of each
}

// newPeople returns so many persons, and so many ways through the handbook, 0 for no handbook.
func newPeople(persons, paths int) *people {
	p := &people{persons: int64(persons), paths: int64(paths)}
	for _, id := range rand.New(rand.NewPCG(3, 4)).Perm(paths * longest) {
		p.leaves = append(p.leaves, int64(id)+1)
	}
	return p
}

// id returns the id of what belongs to the i-th person, in the table of a number.
func (p *people) id(table, i int64) int64 { return (i+table*p.persons/7)%p.persons + 1 }

func nameOf(i int64) string   { return fmt.Sprintf("person %d", i) }
func issuerOf(i int64) string { return fmt.Sprintf("issuer %d", i) }
func letterTo(i int64) string { return fmt.Sprintf("letter to %d", i) }
func leafOf(id int64) string  { return fmt.Sprintf("leaf %d", id) }

func (p *people) fill(db *gorm.DB) error {
	var (
		persons  []person
		accounts []account
		held     []holding
		papers   []paper
		issuers  []issuer
		letters  []letter
		leaves   []leaf
	)
	for i := range p.persons {
		persons = append(persons, person{ID: p.id(0, i), Name: nameOf(i)})
		accounts = append(accounts, account{ID: p.id(1, i), PersonID: p.id(0, i)})
		for n := range int64(holdings) {
			// The first one is that of the person; the others are anybody's.
			held = append(held, holding{ID: p.id(2, i) + n*p.persons, AccountID: p.id(1, i), PaperID: p.id(3, (i+n*37)%p.persons)})
		}
		papers = append(papers, paper{ID: p.id(3, i), IssuerID: p.id(4, i)})
		issuers = append(issuers, issuer{ID: p.id(4, i), Name: issuerOf(i)})
		letters = append(letters, letter{ID: p.id(5, i), AccountID: p.id(1, i), Text: letterTo(i)})
	}
	for _, id := range p.leaves {
		leaves = append(leaves, leaf{ID: id, Text: leafOf(id)})
	}
	if err := db.AutoMigrate(&person{}, &account{}, &holding{}, &paper{}, &issuer{}, &letter{}, &leaf{}); err != nil {
		return err
	}
	all := []any{persons, accounts, held, papers, issuers, letters}
	if len(leaves) > 0 {
		all = append(all, leaves)
	}
	for _, rows := range all {
		if err := db.CreateInBatches(rows, 1_000).Error; err != nil {
			return err
		}
	}
	return nil
}

// step is a read of a session: it returns whether it found what is there.
type step func(db *gorm.DB) (right bool, err error)

// visit returns the reads of a session that asks for the i-th person. Each takes what it asks for
// from what the ones before have found.
func (p *people) visit(i int64) []step { return p.steps(i, known{}) }

// wander returns the reads of a session in the order of a visit, each of which asks for what
// belongs to somebody else: what a read finds has nothing to do with what comes after it. Nobody
// is asked for by two kinds of reads, so that what usually followed is not asked for by chance
// either.
func (p *people) wander(r *rand.Rand) (all []step) {
	for n := range longest {
		i := r.Int64N(p.persons/longest)*longest + int64(n)
		all = append(all, p.steps(i, known{p.id(0, i), p.id(1, i), p.id(3, i), p.id(4, i)})[n])
	}
	return all
}

// known is what a session knows of those whom it asks for.
type known struct {
	person, account, paper, issuer int64
}

// steps are the reads of a visit to the i-th person. What they find is known to the ones after.
func (p *people) steps(i int64, k known) []step {
	return []step{
		func(db *gorm.DB) (bool, error) {
			var found person
			err := db.Where("name = ?", nameOf(i)).Take(&found).Error
			k.person = found.ID
			return found.ID == p.id(0, i), err
		},
		func(db *gorm.DB) (bool, error) {
			var found account
			err := db.Where("person_id = ?", k.person).Take(&found).Error
			k.account = found.ID
			return found.ID == p.id(1, i), err
		},
		func(db *gorm.DB) (bool, error) {
			var found []holding
			err := db.Where("account_id = ?", k.account).Order("id").Find(&found).Error
			if len(found) != holdings {
				return false, err
			}
			k.paper = found[0].PaperID
			return found[0].ID == p.id(2, i), err
		},
		func(db *gorm.DB) (bool, error) {
			var found paper
			err := db.Where("id = ?", k.paper).Take(&found).Error
			k.issuer = found.IssuerID
			return found.IssuerID == p.id(4, i), err
		},
		func(db *gorm.DB) (bool, error) {
			var found issuer
			err := db.Where("id = ?", k.issuer).Take(&found).Error
			return found.Name == issuerOf(i), err
		},
		func(db *gorm.DB) (bool, error) {
			var found []letter
			err := db.Where("account_id = ?", k.account).Order("id").Find(&found).Error
			return len(found) == 1 && found[0].Text == letterTo(i), err
		},
	}
}

// walk returns the reads of a session that goes a way through the handbook.
func (p *people) walk(path int64) (steps []step) {
	for _, id := range p.leaves[path*longest : (path+1)*longest] {
		steps = append(steps, p.turnTo(id))
	}
	return steps
}

func (p *people) turnTo(id int64) step {
	return func(db *gorm.DB) (bool, error) {
		var found leaf
		err := db.Where("id = ?", id).Take(&found).Error
		return found.Text == leafOf(id), err
	}
}

// answered is what came of the reads of sessions that follow others.
type answered struct {
	follow int64
	there  int64 // the answer was there, and nobody waited for it
}

func (a *answered) add(b answered) {
	a.follow += b.follow
	a.there += b.there
}

func (a answered) share() float64 { return float64(a.there) / float64(max(1, a.follow)) }

// sessions are those of people on a stand.
type sessions struct {
	*stand
	*people
	// byID: the context of a session has its id. Otherwise it is that of a request, which ends with
	// the session.
	byID  bool
	think time.Duration
	// scattered: what is read has nothing to do with what was read before.
	scattered atomic.Bool
	came      atomic.Int64 // sessions so far
	persons   atomic.Int64 // of them, those that asked for a person
}

// kinds of sessions.
const (
	fresh    = iota // asks for what nobody has asked for before
	repeated        // asks for what was asked for before in the same order
	kinds
)

// next plays a session, and returns what came of it and how long its reads took. The first read
// follows none.
func (s *sessions) next(ctx context.Context, r *rand.Rand) (kind int, a answered, took []time.Duration) {
	n := s.came.Add(1)
	var steps []step
	switch {
	case s.scattered.Load():
		steps = s.wander(r)
	case n%2 == 0 && s.paths > 0:
		kind = repeated
		steps = s.walk(r.Int64N(s.paths))
	default:
		steps = s.visit((s.persons.Add(1) - 1) % s.people.persons)
	}
	if s.byID {
		ctx = preload.ContextWithSession(ctx, fmt.Sprint("session ", n))
	} else {
		var end context.CancelFunc
		ctx, end = context.WithCancel(ctx)
		defer end()
	}
	for i, read := range steps[:shortest+r.IntN(longest-shortest+1)] {
		if i > 0 {
			time.Sleep(s.think)
		}
		one, asked := ask(ctx)
		begun := time.Now()
		right, err := read(s.db.WithContext(one))
		spent := time.Since(begun)
		took = append(took, spent)
		if !right || err != nil {
			s.fault("read %d of session %d: %v", i+1, n, err)
		}
		if i > 0 {
			a.follow++
			if !asked.reached.Load() && spent < querying/2 {
				a.there++
			}
		}
	}
	return kind, a, took
}
