package preload

import (
	"context"
	"math"
	"runtime"
	"sync/atomic"
	"time"
	"weak"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/template"
)

// noted is an access on its way to the learner: to the answer of a query, or to a key that was
// declared.
type noted struct {
	entry   *cache.Entry
	session prediction.Session
	at      int64
	of      int32 // the number of Clears before it
	hit     bool
}

// learner learns associations from accesses, and asks the worker to load what is expected. All but
// the buffer, and what it publishes, belongs to its goroutine.
type learner struct {
	p *Plugin
	mailbox
	mind
	published
}

// mailbox is what others tell and ask a learner.
type mailbox struct {
	buffer  *prediction.Buffer[noted]
	told    chan any // *expected that were loaded, declared
	asked   chan question
	ticks   atomic.Int64
	failed  atomic.Bool // the database failed loads since the tick before
	cleared atomic.Int32
}

// mind is what a learner has learned; it belongs to its goroutine.
type mind struct {
	predictor *prediction.Predictor
	governor  *prediction.Governor
	ticked    int64
	forgot    int32
	templates map[weak.Pointer[template.Template]]*prediction.Template // of those that were not dropped, and some that were
	known     map[*prediction.Template]weak.Pointer[template.Template]
	pending   map[string]*expected
	walks     int64
	args      []prediction.Value
}

// published is what a learner tells others.
type published struct {
	learned  atomic.Int64
	bytes    atomic.Int64 // that are held
	resting  atomic.Bool  // it has learned from all that was there
	figures  atomic.Pointer[prediction.Figures]
	polluted [pollutionMemory]atomic.Uint64 // hashes of keys
}

// declared are keys that an application says follow another.
type declared struct {
	key     string
	related []string
	at      int64
	of      int32 // the number of Clears before it
}

func newLearner(p *Plugin) *learner {
	l := &learner{
		p: p,
		mailbox: mailbox{
			buffer: prediction.NewBuffer[noted](bufferStripes),
			told:   make(chan any, maxTold),
			asked:  make(chan question),
		},
		mind: mind{
			predictor: prediction.New(nodesPerEntry*max(1, p.config.maxEntries), p.config.graphBytes(), maxSessions),
			governor:  prediction.NewGovernor(),
			templates: map[weak.Pointer[template.Template]]*prediction.Template{},
			known:     map[*prediction.Template]weak.Pointer[template.Template]{},
			pending:   map[string]*expected{},
		},
	}
	l.publish()
	return l
}

func (l *learner) publish() {
	f := l.governor.Figures()
	l.figures.Store(&f)
	l.bytes.Store(l.predictor.Bytes() + l.governor.Bytes() + int64(len(l.templates))*learnedBytes)
}

// forgetTemplates lets go of what was learned of templates.
func (l *learner) forgetTemplates() {
	l.predictor.ForgetRules()
	l.templates = map[weak.Pointer[template.Template]]*prediction.Template{}
	l.known = map[*prediction.Template]weak.Pointer[template.Template]{}
}

// note notes an access to an answer. It takes no lock and allocates nothing.
func (p *Plugin) note(ctx context.Context, e *cache.Entry, now time.Time, hit bool) {
	if !p.config.worker || p.closed.Load() {
		return
	}
	session, spread := p.sessionOf(ctx)
	p.learner.buffer.Put(spread, noted{e, session, now.UnixNano(), p.learner.cleared.Load(), hit})
}

// declare notes that an application says what follows a key.
func (l *learner) declare(key string, related []string, now time.Time) {
	if l.p.config.worker {
		l.tell(declared{key, related, now.UnixNano(), l.cleared.Load()})
	}
}

func (l *learner) tell(what any) bool {
	select {
	case l.told <- what:
		return true
	default:
		return false
	}
}

// tick says that an interval is over, and whether the database failed loads in it.
func (l *learner) tick(failed bool) {
	if failed {
		l.failed.Store(true)
	}
	l.ticks.Add(1)
	l.tell(nil)
}

// clear has everything forgotten that was learned.
func (l *learner) clear() {
	l.cleared.Add(1)
	l.learned.Store(0)
	l.buffer.Forget()
	l.figures.Store(&prediction.Figures{Level: prediction.NewGovernor().Figures().Level})
	l.tell(nil)
}

// current reports whether something is from after the last Clear, and forgets what was before.
func (l *learner) current(of int32) bool {
	if n := l.cleared.Load(); n != l.forgot {
		l.forgot = n
		l.predictor.Clear()
		l.forgetTemplates()
		l.governor = prediction.NewGovernor()
		l.pending, l.args = map[string]*expected{}, nil
	}
	return of == l.forgot
}

// run learns until the context ends.
func (l *learner) run(ctx context.Context) {
	defer func() {
		// The database may outlive the plugin.
		l.buffer.Take(math.MaxInt, func(*noted) {})
		for range len(l.told) {
			if x, ok := (<-l.told).(*expected); ok {
				x.Heard()
			}
		}
		l.predictor.Clear()
		l.forgetTemplates()
		l.governor = prediction.NewGovernor()
		l.pending, l.args = map[string]*expected{}, nil
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
		case <-ctx.Done():
			return
		case <-wait:
		case first = <-l.told:
			some = true
		case q = <-l.asked:
		}
		l.resting.Store(false)
		begun := time.Now()
		l.p.guard("learning associations", func() {
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
			case <-ctx.Done():
				return
			case <-timer.C:
				rests = false
			case q := <-l.asked:
				l.p.guard("learning associations", l.turn)
				l.publish()
				l.tellRelated(q)
			}
		}
	}
}

// question asks which keys usually follow one.
type question struct {
	key    string
	answer chan []string
}

// related asks the learner, after it has learned from all that is there, which keys usually follow
// one.
func (l *learner) related(key string) []string {
	q := question{key, make(chan []string, 1)}
	select {
	case l.asked <- q:
		return <-q.answer
	case <-l.p.worker.Context().Done():
		return nil
	}
}

func (l *learner) tellRelated(q question) {
	if q.answer == nil {
		return
	}
	var keys []string
	defer func() { q.answer <- keys }()
	l.p.guard("telling related keys", func() {
		from := prediction.Prediction{Query: l.query(q.key, l.p.cache.Find(l.p.storeKey(q.key), l.p.now())), Probability: 1}
		l.predictor.Walk(from, usual, func(next *prediction.Prediction) bool {
			keys = append(keys, next.Key)
			return true
		})
	})
}

// usual is how likely those are that RelatedKeys tells, and how many.
var usual = prediction.Reach{Probability: 0.5, Depth: 1, Loads: 16, Tell: true}

// turn learns from what is there.
func (l *learner) turn() {
	l.current(0)
	for range len(l.told) {
		l.hear(<-l.told)
	}
	l.buffer.Take(learnedAtOnce, func(a *noted) {
		if l.current(a.of) {
			l.learn(l.p.publicKey(a.entry), a)
			l.learned.Add(1)
		}
	})
	if l.predictor.RuleBytes() > l.p.config.ruleBytes() {
		l.forgetTemplates()
	}
	l.governor.Settle()
	if n := l.ticks.Load(); n != l.ticked {
		l.ticked = n
		l.governor.Tick(l.failed.Swap(false))
	}
	if len(l.pending) > 2*maxExpected {
		for key, x := range l.pending {
			if x.Over() {
				delete(l.pending, key)
			}
		}
	}
}

// hear learns from what was told.
func (l *learner) hear(what any) {
	switch what := what.(type) {
	case declared:
		if !l.current(what.of) {
			return
		}
		if len(what.related) > 0 {
			l.predictor.Relate(what.key, what.related...)
		}
		l.walk(l.predictor.Observe(prediction.Access{Query: l.query(what.key, nil), At: what.at}))
	case *expected:
		// What was expected is there, and says what is to be expected after it.
		loaded := what.Heard()
		if !l.current(what.of) {
			return
		}
		from := what.prediction
		from.Query = l.query(what.key, loaded)
		l.walk(from)
	}
}

func (l *learner) learn(key string, a *noted) {
	hash := cache.Hash(key)
	polluted := false
	if at := &l.polluted[hash%pollutionMemory]; !a.hit && at.Load() == hash {
		at.Store(0)
		polluted = true
	}
	l.governor.Access(control(hash), a.hit, polluted)
	from := l.predictor.Observe(prediction.Access{Query: l.query(key, a.entry), Session: a.session, At: a.at})
	if l.p.now().UnixNano()-a.at < int64(recently) {
		l.walk(from)
	}
}

// push notes that an answer left for one that is expected.
func (l *learner) push(key string) {
	hash := cache.Hash(key)
	l.polluted[hash%pollutionMemory].Store(hash)
}
