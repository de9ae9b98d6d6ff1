package association

import (
	"context"
	"math"
	"runtime"
	"sync/atomic"
	"time"
	"weak"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/template"
)

const (
	// nodesPerEntry is how many keys are remembered with what follows them, for each answer that is
	// kept. With as many as answers a key would be forgotten just when it becomes a miss.
	nodesPerEntry = 20
	// maxSessions bounds the sessions that are learned from at a time.
	maxSessions = 1_024
	// learningShare: learning takes 1/20 of the time of all processors at most, on one of them.
	// What comes meanwhile and has no room is not learned from.
	learningShare = 20
	// learnedAtOnce bounds the accesses that are learned from before learning rests.
	learnedAtOnce = 128
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
	ticked    int64
	forgot    int32
	templates map[weak.Pointer[template.Template]]*prediction.Template // of those that were not dropped, and some that were
	known     map[*prediction.Template]weak.Pointer[template.Template]
	pending   map[string]*Expected
	walks     int64
	args      []prediction.Value
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
			predictor: prediction.New(nodesPerEntry*max(1, config.MaxEntries), config.GraphBytes, maxSessions),
			governor:  prediction.NewGovernor(),
			templates: map[weak.Pointer[template.Template]]*prediction.Template{},
			known:     map[*prediction.Template]weak.Pointer[template.Template]{},
			pending:   map[string]*Expected{},
		},
	}
	l.publish()
	return l
}

func (l *Learner) publish() {
	f := l.governor.Figures()
	l.figures.Store(&f)
	l.bytes.Store(l.predictor.Bytes() + l.governor.Bytes() + int64(len(l.templates))*learnedBytes)
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
	l.templates = map[weak.Pointer[template.Template]]*prediction.Template{}
	l.known = map[*prediction.Template]weak.Pointer[template.Template]{}
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
	l.governor = prediction.NewGovernor()
	l.pending, l.args = map[string]*Expected{}, nil
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
	rest := max(1, learningShare/time.Duration(runtime.GOMAXPROCS(0)))
	for {
		var (
			first any
			some  bool
			q     question
		)
		wait := l.buffer.Wait()
		l.resting.Store(len(l.told) == 0 && len(wait) == 0)
		select {
		case <-l.Context.Done():
			return
		case <-wait:
		case first = <-l.told:
			some = true
		case q = <-l.asked:
		}
		l.resting.Store(false)
		begun := time.Now()
		failopen.Guard(l.Report, "learning associations", func() {
			if some {
				l.hear(first)
			}
			l.turn()
		})
		l.publish()
		l.tellRelated(q)
		timer.Reset(rest * time.Since(begun))
		for rests := true; rests; {
			select {
			case <-l.Context.Done():
				return
			case <-timer.C:
				rests = false
			case q := <-l.asked:
				failopen.Guard(l.Report, "learning associations", l.turn)
				l.publish()
				l.tellRelated(q)
			}
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
var usual = prediction.Reach{Probability: 0.5, Depth: 1, Loads: 16, Tell: true}

// turn learns from what is there.
func (l *Learner) turn() {
	l.current(0)
	for range len(l.told) {
		l.hear(<-l.told)
	}
	l.buffer.Take(learnedAtOnce, func(a *noted) {
		if l.current(a.of) {
			l.learn(template.PublicKey(l.OwnPrefix, a.entry.Key), a)
			l.learned.Add(1)
		}
	})
	if l.predictor.RuleBytes() > l.RuleBytes {
		l.forgetTemplates()
	}
	l.governor.Settle()
	if n := l.ticks.Load(); n != l.ticked {
		l.ticked = n
		l.governor.Tick(l.failed.Swap(false))
	}
	if len(l.pending) > 2*MaxExpected {
		for key, x := range l.pending {
			if x.Over() {
				delete(l.pending, key)
			}
		}
	}
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
		l.walk(l.predictor.Observe(prediction.Access{Query: l.query(what.key, nil), At: what.at}))
	case *Expected:
		// What was expected is there, and says what is to be expected after it.
		loaded := what.Heard()
		if !l.current(what.of) {
			return
		}
		from := what.Prediction
		from.Query = l.query(what.Key, loaded)
		l.walk(from)
	}
}

func (l *Learner) learn(key string, a *noted) {
	hash := cache.Hash(key)
	polluted := false
	if at := &l.polluted[hash%pollutionMemory]; !a.hit && at.Load() == hash {
		at.Store(0)
		polluted = true
	}
	l.governor.Access(Control(hash), a.hit, polluted)
	from := l.predictor.Observe(prediction.Access{Query: l.query(key, a.entry), Session: a.session, At: a.at})
	if l.Now().UnixNano()-a.at < int64(recently) {
		l.walk(from)
	}
}
