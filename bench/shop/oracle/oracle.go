// Package oracle knows which reads of an application could have been answered from memory, and
// compares that with those that were.
//
// An oracle watches a *gorm.DB that uses the plugin. Before each read it asks the database the
// same, by a way around the plugin, and so knows the true answer. A read counts for the oracle if
// the same was asked before (the same SQL, args and type of destination) and its answer is still
// what it was then: no cache that fills itself by being asked could serve more. A read was served
// if no statement of it reached the database. And it differs if it did not find the true answer.
//
// What is true before a read has to be true until it returns, so those that write must be alone:
// see Alone.
package oracle

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// Class is a kind of read.
type Class int

// The classes. The first one is what a tag of a model asks for; the plugin may do more, but nobody
// asked it to.
const (
	Tagged      Class = iota // built by GORM, and found by Find, First, Count and the like
	Scanned                  // built by GORM, and found by Scan or Rows
	Raw                      // given as SQL
	Transaction              // in a transaction
	Volatile                 // with the time of now among its args
	classes
)

var names = [classes]string{"by the tags", "Scan and Rows", "raw SQL", "in transactions", "time.Now() in args"}

func (c Class) String() string { return names[c] }

// Read is a read that was watched.
type Read struct {
	Class  Class
	Shape  string // its SQL, lists of placeholders as one
	Tables []string
	Key    [32]byte // of the statement: its SQL, args and type of destination
	Answer [32]byte // the true one
	// Counts says that the oracle counts it: the same was asked before, and the answer is what it
	// was then.
	Counts bool
	Served bool // from memory
	Wrong  bool // what it found is not what the database holds
}

// Count counts reads.
type Count struct {
	Reads  int
	Oracle int // those that could have been served
	Served int // those that were
	Both   int // those of the oracle that were; other served ones had been loaded before anybody asked
	Wrong  int
}

func (c *Count) add(r Read) {
	c.Reads++
	if r.Counts {
		c.Oracle++
	}
	if r.Served {
		c.Served++
	}
	if r.Counts && r.Served {
		c.Both++
	}
	if r.Wrong {
		c.Wrong++
	}
}

// Plus adds two counts.
func (c Count) Plus(d Count) Count {
	return Count{c.Reads + d.Reads, c.Oracle + d.Oracle, c.Served + d.Served, c.Both + d.Both, c.Wrong + d.Wrong}
}

// Shape is what is counted of the reads of one SQL.
type Shape struct {
	Class Class
	SQL   string
	Count
}

// Oracle watches reads. It is safe for concurrent use.
type Oracle struct {
	source source
	alone  sync.RWMutex // held for reading by requests that read, for writing by those that write

	mu     sync.Mutex
	last   map[digest]digest // the answers, by key
	counts [classes]Count
	shapes map[Shape]*Count // by class and SQL
	pages  Pages
	each   func(Read)
}

// note counts a read.
func (o *Oracle) note(r Read) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before, known := o.last[r.Key]
	r.Counts = known && before == r.Answer
	o.last[r.Key] = r.Answer
	o.counts[r.Class].add(r)
	name := Shape{Class: r.Class, SQL: r.Shape}
	if o.shapes[name] == nil {
		o.shapes[name] = &Count{}
	}
	o.shapes[name].add(r)
	if o.each != nil {
		o.each(r)
	}
}

// Each has f called with each read from now on, one at a time; nil for nobody.
func (o *Oracle) Each(f func(Read)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.each = f
}

// Count returns what was counted of a class so far.
func (o *Oracle) Count(c Class) Count {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.counts[c]
}

// All returns what was counted of all classes together.
func (o *Oracle) All() (all Count) {
	for c := range classes {
		all = all.Plus(o.Count(c))
	}
	return all
}

// Classes returns all classes.
func Classes() (all []Class) {
	for c := range classes {
		all = append(all, c)
	}
	return all
}

// Missed returns at most limit shapes, first those of which most was not served although it could
// have been.
func (o *Oracle) Missed(limit int) (missed []Shape) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, count := range maps.All(o.shapes) {
		name.Count = *count
		if name.Oracle > name.Both {
			missed = append(missed, name)
		}
	}
	slices.SortFunc(missed, func(a, b Shape) int {
		return cmp.Or(cmp.Compare(b.Oracle-b.Both, a.Oracle-a.Both), cmp.Compare(a.SQL, b.SQL))
	})
	return missed[:min(limit, len(missed))]
}
