package association

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/processors"
	"github.com/gorm-preload/preload/internal/template"
)

const (
	// nodesPerEntry is how many keys are remembered with what follows them, for each answer that
	// is kept. With as many as answers a key would be forgotten just when it becomes a miss.
	nodesPerEntry = 20
	// maxSessions bounds the sessions that are learned from at a time.
	maxSessions = 1_024
	// learnedAtOnce bounds the accesses that are learned from before learning rests.
	learnedAtOnce = 128
	// After so many of them it stands back for others who could use its processor.
	learnedStanding = 16
	// lull is how long what is not urgent waits for more of its kind.
	lull = 20 * time.Millisecond
	// Of an access that was longer ago what follows is not loaded: it was asked for by now.
	recently = 300 * time.Millisecond
)

// Config is what a learner is made with.
type Config struct {
	// Context ends the learner.
	Context   context.Context
	Cache     *cache.Cache
	Templates *template.Set
	// OwnPrefix is what the keys of an application's own data begin with in the cache.
	OwnPrefix string
	// MaxEntries is how many answers are kept at most; GraphBytes and RuleBytes are what may be
	// held of what follows single keys, and of what follows templates.
	MaxEntries            int
	GraphBytes, RuleBytes int64
	Now                   func() time.Time
	Report                failopen.Report
	// Loadable reports whether it is known how a key is loaded.
	Loadable func(key string) bool
	// Expect awaits the trial of a key and has the key loaded, or ends the trial; it reports
	// whether the key may be loaded. It makes nobody wait.
	Expect func(*Expected) bool
	// Origin returns what is kept of the context of a read for the loads that it leads to; nil for
	// nothing.
	Origin func(context.Context) context.Context
	// Processors tell whether they are busy.
	Processors *processors.Waits
	// Moved is called when a level of eagerness changes: that of what is expected after queries of
	// the shape of a key, or, with key "", that of all. nil where nobody wants to know.
	Moved func(key string, before, now int)
}

// Learner learns associations from accesses, and has loaded what is expected.
type Learner struct {
	mailbox // first, so that whoever notes an access looks at one cache line
	Config
	mind
	published
}

// mind is what a learner has learned; it belongs to its goroutine.
type mind struct {
	predictor *prediction.Predictor
	governor  *prediction.Governor
	forgot    int32
	forms     map[string]*form // by the prefix of keys
	known     map[*prediction.Template]*form
	looking   *form // at an answer
	pending   map[string]*Expected
	walks     int64
	begun     int64 // loads that walks led to
	leads     map[*cache.Tally]*lead
	pace
}

// published is what a learner tells others.
type published struct {
	learned atomic.Int64
	bytes   atomic.Int64 // that are held
	resting atomic.Bool  // it has learned from all that was there
	figures atomic.Pointer[prediction.Figures]
}

// New returns a learner that has learned nothing.
func New(config Config) *Learner {
	l := &Learner{
		Config: config,
		mailbox: mailbox{
			buffer: prediction.NewBuffer[noted](bufferStripes),
			told:   make(chan any, maxTold),
			asked:  make(chan question),
		},
		mind: mind{
			predictor: prediction.New(prediction.Config{
				Nodes: nodesPerEntry * max(1, config.MaxEntries), Bytes: config.GraphBytes, Sessions: maxSessions, Prefix: template.PrefixOf,
			}),
			governor: newGovernor(config.Moved),
			forms:    map[string]*form{},
			known:    map[*prediction.Template]*form{},
			pending:  map[string]*Expected{},
			leads:    map[*cache.Tally]*lead{},
		},
	}
	l.Expect = func(x *Expected) bool {
		expected := config.Expect(x)
		if expected {
			l.begun++
		}
		return expected
	}
	l.publish()
	return l
}

// started is the level of eagerness at which a learner starts. Above it, what is loaded is worth
// it.
var started = prediction.NewGovernor().Figures().Level

// newGovernor returns a governor whose accounts tell moved of their levels.
func newGovernor(moved func(key string, before, now int)) *prediction.Governor {
	g := prediction.NewGovernor()
	if moved != nil {
		g.Moved = func(load prediction.Load, before, now int) {
			if x, ok := load.(*Expected); ok {
				moved(x.Key, before, now)
			}
		}
	}
	return g
}

func (l *Learner) publish() {
	f := l.governor.Figures()
	if before := l.figures.Swap(&f); before != nil && before.Level != f.Level && l.Moved != nil {
		l.Moved("", before.Level, f.Level)
	}
	l.bytes.Store(l.predictor.Bytes() + l.governor.Bytes() + int64(len(l.forms))*learnedBytes)
	l.rare.Store(l.rarity(f.Level > started))
	l.patient.Store(f.Level == 0)
}

// Figures returns what the learner goes by in what it expects.
func (l *Learner) Figures() prediction.Figures { return *l.figures.Load() }

// Bytes returns about how much memory is held by what was learned.
func (l *Learner) Bytes() int64 { return l.bytes.Load() }

// Learned returns how many accesses were learned from since the last Clear.
func (l *Learner) Learned() int64 { return l.learned.Load() }

// Rests reports whether the learner has learned from all that it was told.
func (l *Learner) Rests() bool { return l.resting.Load() && len(l.told) == 0 && l.resting.Load() }

// forgetTemplates lets go of what was learned of templates.
func (l *Learner) forgetTemplates() {
	l.predictor.ForgetRules()
	l.letGo()
	l.forms, l.known = map[string]*form{}, map[*prediction.Template]*form{}
}

// current reports whether something is from after the last Clear, and forgets what was before.
func (l *Learner) current(of int32) bool {
	if n := l.cleared.Load(); n != l.forgot {
		l.forgot = n
		l.forgetAll()
	}
	return of == l.forgot
}

// forgetAll forgets all that was learned.
func (l *Learner) forgetAll() {
	l.predictor.Clear()
	l.forgetTemplates()
	l.governor = newGovernor(l.Moved)
	l.forgetLeads()
	l.pending, l.pace = map[string]*Expected{}, pace{}
}

// Run learns until the context ends.
func (l *Learner) Run() {
	defer func() {
		// Those who tell a learner may outlive its work.
		l.buffer.Take(math.MaxInt, func(*noted) {})
		l.drain()
		l.forgetAll()
		l.bytes.Store(0)
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	lulled := false
	for {
		var (
			first any
			some  bool
			q     question
			ended <-chan time.Time
		)
		wake, waiting := l.buffer.Wait()
		l.resting.Store(len(l.told) == 0 && !waiting)
		if waiting {
			if ended = timer.C; !lulled {
				timer.Reset(lull)
			}
		}
		lulled = waiting
		select {
		case <-l.Context.Done():
			return
		case <-wake:
			if !l.buffer.Hurries() {
				continue // a lull begins
			}
		case <-ended:
		case first = <-l.told:
			some = true
		case q = <-l.asked:
		}
		lulled = false
		l.resting.Store(false)
		l.buffer.Busy()
		begun, n := time.Now(), 0
		failopen.Guard(l.Report, "learning associations", func() {
			if some {
				l.hear(first)
			}
			n = l.turn()
		})
		l.publish()
		l.tellRelated(q)
		now := time.Now()
		rest := l.rest(n, now.Sub(begun), now, l.Processors.Busy())
		if rest > 0 {
			timer.Reset(rest)
		}
		for rests := rest > 0; rests; {
			select {
			case <-l.Context.Done():
				return
			case <-timer.C:
				rests = false
			case q := <-l.asked:
				failopen.Guard(l.Report, "learning associations", func() { l.turn() })
				l.publish()
				l.tellRelated(q)
			}
		}
		if n >= learnedAtOnce {
			l.buffer.Hurry()
		}
	}
}

func (l *Learner) tellRelated(q question) {
	if q.reply == nil {
		return
	}
	var keys []string
	defer func() { q.reply <- keys }()
	failopen.Guard(l.Report, "telling related keys", func() {
		from := prediction.Prediction{Query: l.query(q.key, l.Cache.Find(template.StoreKey(l.OwnPrefix, q.key), l.Now())), Probability: 1}
		l.predictor.Walk(from, usual, func(next *prediction.Prediction) bool {
			keys = append(keys, next.Key)
			return true
		})
	})
}

// usual is how likely those are that Related tells, and how many.
var usual = prediction.Reach{Probability: 0.5, Depth: 1, Loads: 16}

// turn learns from what is there, and returns how much that was.
func (l *Learner) turn() (n int) {
	defer l.letGo()
	l.current(0)
	for range len(l.told) {
		n++
		l.hear(<-l.told)
	}
	learned := int64(0)
	n += l.buffer.Take(learnedAtOnce, func(a *noted) {
		if l.current(a.of) {
			if learned++; learned%learnedStanding == 0 {
				l.Processors.Yield()
			}
			l.learn(template.PublicKey(l.OwnPrefix, a.entry.Key), a)
		}
	})
	l.learned.Add(learned)
	if l.predictor.RuleBytes() > l.RuleBytes {
		l.forgetTemplates()
	}
	l.governor.Settle(l.Now().UnixNano())
	if len(l.pending) > 2*MaxExpected {
		for key, x := range l.pending {
			if x.Over() {
				delete(l.pending, key)
			}
		}
	}
	return n
}

// hear learns from what was told.
func (l *Learner) hear(what any) {
	switch what := what.(type) {
	case declared:
		if !l.current(what.of) {
			return
		}
		if len(what.related) > 0 {
			l.predictor.Relate(what.key, what.related...)
		}
		l.walk(l.predictor.Observe(prediction.Access{Query: l.query(what.key, nil), At: what.at}), nil)
	case loaded:
		// What was expected is there, and says what is to be expected after it.
		e := what.Heard()
		if !l.current(what.of) {
			return
		}
		from := what.Prediction
		from.Query = l.query(what.Key, e)
		l.walk(from, what.origin)
	}
}

func (l *Learner) learn(key string, a *noted) {
	hash, hit := cache.Hash(key), a.kind != Miss
	polluted := false
	if at := &l.polluted[hash%pollutionMemory]; !hit && at.Load() == hash {
		at.Store(0)
		polluted = true
	}
	if a.whole { // others are not a sample of all accesses
		l.governor.Access(group(hash), hit, polluted, 1)
	}
	from := l.predictor.Observe(prediction.Access{
		Query: l.query(key, a.entry), Session: a.session, At: a.at, Whole: a.whole, Rarity: a.rarity,
	})
	if a.kind == Hit && uint32(a.rarity) < l.rarity(false) || l.Now().UnixNano()-a.at >= int64(recently) {
		return
	}
	if !l.timely() {
		return
	}
	before := l.begun
	l.walk(from, a.origin)
	if a.kind == Hit || a.kind == Leading {
		l.led(a.entry.Tally, l.begun-before)
	}
}
