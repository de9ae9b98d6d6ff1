package preload

import (
	"context"
	"hash/maphash"
	"math"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"
	"weak"

	"github.com/gorm-preload/preload/internal/prediction"
	"gorm.io/gorm/schema"
)

const (
	// nodesPerEntry is how many keys are remembered with what follows them, for each answer that is kept. With as many as answers a key
	// would be forgotten just when it becomes a miss.
	nodesPerEntry = 20
	// maxSessions bounds the sessions that are learned from at a time.
	maxSessions = 1_024
	// maxExpected bounds the expected loads that wait for their turn; of more, those expected last stay.
	maxExpected = 64
	// maxTold bounds what the learner has been told and not heard yet; more is dropped.
	maxTold = 256
	// bufferStripes is how many goroutines can note an access at the same time without coming in each other's way.
	bufferStripes = 16
	// learningShare: learning takes 1/20 of the time of all processors at most, on one of them. What comes meanwhile and has no room is not
	// learned from.
	learningShare = 20
	// learnedAtOnce bounds the accesses that are learned from before learning rests.
	learnedAtOnce = 128
	// Of an access that was longer ago what follows is not loaded: it was asked for by now.
	recently = 300 * time.Millisecond
	// controlShare: 1 key in 16 is never loaded by association, to tell whether that helps.
	controlShare = 16
	// maxLearned bounds the text of values from answers that are compared with args.
	maxLearned = 128
	// pollutionMemory is how many of the answers that left for expected ones are remembered.
	pollutionMemory = 1 << 10
)

// noted is an access on its way to the learner: to the answer of a query, or to a key that was declared.
type noted struct {
	entry   *entry
	session prediction.Session
	at      int64
	of      int32 // the number of Clears before it
	hit     bool
}

// learner learns associations from accesses, and asks the worker to load what is expected. All but the buffer, and what it publishes,
// belongs to its goroutine.
type learner struct {
	p       *Plugin
	buffer  *prediction.Buffer[noted]
	told    chan any // *expected that were loaded, declared
	asked   chan question
	ticks   atomic.Int64
	failed  atomic.Bool // the database failed loads since the tick before
	cleared atomic.Int32

	predictor *prediction.Predictor
	governor  *prediction.Governor
	ticked    int64
	forgot    int32
	templates map[*template]*prediction.Template
	known     map[*prediction.Template]*template
	pending   map[string]*expected
	walks     int64
	args      []prediction.Value

	learned  atomic.Int64
	resting  atomic.Bool // it has learned from all that was there
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
		p:         p,
		buffer:    prediction.NewBuffer[noted](bufferStripes),
		told:      make(chan any, maxTold),
		asked:     make(chan question),
		predictor: prediction.New(nodesPerEntry*max(1, p.config.maxEntries), maxSessions),
		governor:  prediction.NewGovernor(),
		templates: map[*template]*prediction.Template{},
		known:     map[*prediction.Template]*template{},
		pending:   map[string]*expected{},
	}
	l.publish()
	return l
}

func (l *learner) publish() {
	f := l.governor.Figures()
	l.figures.Store(&f)
}

var keySeed = maphash.MakeSeed()

func hashOf(key string) uint64 { return maphash.String(keySeed, key) }

// sessionOf returns the session of a context, and a number that spreads sessions.
func (p *Plugin) sessionOf(ctx context.Context) (s prediction.Session, spread uint64) {
	if named, ok := ctx.Value(sessionKey{}).(prediction.Session); ok {
		return named, named.ID
	}
	if p.config.session != nil {
		id := ""
		p.guard("asking for the session", func() { id = p.config.session(ctx) })
		if id != "" {
			named := prediction.Session{ID: hashOf(id)}
			return named, named.ID
		}
	}
	done := ctx.Done()
	if done != nil {
		return prediction.Session{Done: done}, uint64(*(*uintptr)(unsafe.Pointer(&done))) >> 6
	}
	// All that have none are one session. Goroutines are told apart by their stacks, so as not to meet.
	var here byte
	return prediction.Session{}, uint64(uintptr(unsafe.Pointer(&here))) >> 13
}

// note notes an access to an answer. It takes no lock and allocates nothing.
func (p *Plugin) note(ctx context.Context, e *entry, now time.Time, hit bool) {
	if !p.config.worker {
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
		clear(l.templates)
		clear(l.known)
		l.governor = prediction.NewGovernor()
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
				x.entry.Store(nil)
				l.p.worker.awaited.Add(-1)
			}
		}
		l.predictor.Clear()
		clear(l.pending)
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

// related asks the learner, after it has learned from all that is there, which keys usually follow one.
func (l *learner) related(key string) []string {
	q := question{key, make(chan []string, 1)}
	select {
	case l.asked <- q:
		return <-q.answer
	case <-l.p.worker.ctx.Done():
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
		from := prediction.Prediction{Query: l.query(q.key, l.p.lookup(l.p.storeKey(q.key), l.p.now())), Probability: 1}
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
			l.learn(a.entry.publicKey(l.p), a)
			l.learned.Add(1)
		}
	})
	l.governor.Settle()
	if n := l.ticks.Load(); n != l.ticked {
		l.ticked = n
		l.governor.Tick(l.failed.Swap(false))
	}
	if len(l.pending) > 2*maxExpected {
		for key, x := range l.pending {
			if x.over() {
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
		defer l.p.worker.awaited.Add(-1)
		loaded := what.entry.Swap(nil)
		if !l.current(what.of) {
			return
		}
		from := what.prediction
		from.Query = l.query(what.key, loaded)
		l.walk(from)
	}
}

func (l *learner) learn(key string, a *noted) {
	hash := hashOf(key)
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

// control reports whether a key is never loaded by association.
func control(hash uint64) bool { return hash%controlShare == 0 }

// push notes that an answer left for one that is expected.
func (l *learner) push(key string) {
	hash := hashOf(key)
	l.polluted[hash%pollutionMemory].Store(hash)
}

// query returns what is known of the query of a key, and of its answer if there is one.
func (l *learner) query(key string, e *entry) prediction.Query {
	q := prediction.Query{Key: key}
	t := l.p.templates.of(key)
	if t == nil {
		return q
	}
	b := t.binds.Load()
	if b == nil {
		return q
	}
	args, ok := b.plain(key[len(t.prefix):], l.args[:0])
	if !ok {
		return q
	}
	l.args = args
	q.Template, q.Args = l.template(t), args
	if e != nil && e.value != nil && len(t.columns()) > 0 {
		q.Answer = answer{weak.Make(e), t}
	}
	return q
}

// template returns a template as the predictor knows it.
func (l *learner) template(t *template) *prediction.Template {
	known := l.templates[t]
	if known == nil {
		if len(l.templates) > templateBuckets*templatesPerBucket {
			clear(l.templates)
			clear(l.known)
		}
		known = &prediction.Template{Columns: len(t.columns()), Key: func(args []prediction.Value) (string, bool) {
			text, ok := t.binds.Load().key(args)
			return t.prefix + text, ok
		}}
		known.Leads = func(column int, to *prediction.Template, arg int) bool { return l.leads(t, column, to, arg) }
		l.templates[t], l.known[known] = known, t
	}
	return known
}

// leads reports whether a relation of the models says that an arg of a template is a foreign key to what a column of another holds, or
// the other way round.
func (l *learner) leads(from *template, column int, to *prediction.Template, arg int) bool {
	other := l.known[to]
	if other == nil || from.proto.Schema == nil || other.proto.Schema == nil {
		return false
	}
	asked := ""
	for _, pinned := range other.readingOf(l.p, l.p.catalog.version.Load()).pinned {
		if o := pinned.values; len(o.rows) == 1 && o.rows[0][o.column].Param == arg+1 {
			asked = pinned.column.name
		}
	}
	has := from.columns()[column].DBName
	refers := func(holder, target *schema.Schema, held, found string) bool {
		for _, r := range relations(holder) {
			if r.FieldSchema == nil || r.FieldSchema.ModelType != target.ModelType || r.JoinTable != nil || len(r.References) != 1 {
				continue
			}
			foreign, primary := r.References[0].ForeignKey, r.References[0].PrimaryKey
			if primary == nil {
				continue
			}
			if r.Type != schema.BelongsTo {
				foreign, primary = primary, foreign
			}
			if strings.EqualFold(foreign.DBName, held) && strings.EqualFold(primary.DBName, found) {
				return true
			}
		}
		return false
	}
	return refers(from.proto.Schema, other.proto.Schema, has, asked) || refers(other.proto.Schema, from.proto.Schema, asked, has)
}

// walk has loaded what is expected after a query.
func (l *learner) walk(from prediction.Prediction) {
	reach := l.governor.Reach()
	if reach.Loads == 0 || l.p.closed.Load() {
		return
	}
	now := l.p.now()
	l.walks++
	l.predictor.Walk(from, reach, func(next *prediction.Prediction) bool {
		stored := l.p.storeKey(next.Key)
		if e := l.p.lookup(stored, now); e != nil {
			next.Query = l.query(next.Key, e)
			return false
		}
		if x := l.pending[next.Key]; x != nil && !x.over() || control(hashOf(next.Key)) || l.p.flights.has(stored) {
			return false
		}
		if _, ok := l.p.loaderOf(next.Key); !ok {
			return false
		}
		x := &expected{key: next.Key, prediction: *next, walk: l.walks, of: l.forgot}
		x.prediction.Query = prediction.Query{}
		if !l.p.worker.expect(x) {
			return false
		}
		l.pending[next.Key] = x
		l.governor.Begin(x, next.Rule)
		return true
	})
}

// expected is a key that is loaded because it is expected: by association, or because it is hot.
type expected struct {
	key        string
	hot        bool
	uses       float64 // that the score of a hot one promises
	walk       int64   // that expects it; later ones have higher numbers
	of         int32   // the number of Clears before it
	prediction prediction.Prediction
	entry      atomic.Pointer[entry] // once it is loaded, until the learner has heard of it
	state      atomic.Int32
}

const (
	waiting  = iota // for its turn, or for its load
	void            // not loaded: there was no room for it
	overtook        // asked for before it was there
	loaded
	failed
	used
	wasted // left unread
)

// over reports whether it is not going to be loaded any more.
func (x *expected) over() bool { return x.state.Load() != waiting }

// Outcome implements prediction.Load.
func (x *expected) Outcome() (prediction.Outcome, bool) {
	switch x.state.Load() {
	case void:
		return prediction.Void, true
	case overtook:
		return prediction.Late, true
	case failed, wasted:
		return prediction.Wasted, true
	case used:
		return prediction.Useful, true
	}
	return 0, false
}

// answer is an entry as the predictor sees it. It does not keep the entry in memory.
type answer struct {
	entry    weak.Pointer[entry]
	template *template
}

// Rows implements prediction.Answer.
func (a answer) Rows() int {
	e := a.entry.Value()
	if e == nil {
		return 0
	}
	image := a.template.read(e)
	if image.Kind() == reflect.Slice {
		return image.Len()
	}
	return int(min(e.rows, 1))
}

// Value implements prediction.Answer.
func (a answer) Value(row, column int) prediction.Value {
	e := a.entry.Value()
	if e == nil {
		return ""
	}
	image := a.template.read(e)
	if image.Kind() == reflect.Slice {
		if row >= image.Len() {
			return ""
		}
		image = image.Index(row)
	}
	for image.Kind() == reflect.Pointer {
		if image.IsNil() {
			return ""
		}
		image = image.Elem()
	}
	v, zero := a.template.columns()[column].ValueOf(context.Background(), image)
	if zero {
		return ""
	}
	f := newFingerprint()
	defer f.free()
	f.args = f.args[:0]
	if !f.arg(v) || len(f.args) > maxLearned {
		return ""
	}
	_, text, _ := cutType(string(f.args))
	switch text[0] {
	case 'i', 'u', 's', 'b':
		return prediction.Value(text)
	}
	return "" // what is found by such values is not found by being the same
}

// read returns what an entry holds, not to be changed.
func (t *template) read(e *entry) reflect.Value {
	return reflect.NewAt(t.plan.Type(), e.value).Elem()
}

// columns returns the fields of the rows of the template's answers that others may be found by.
func (t *template) columns() []*schema.Field {
	if known := t.fields.Load(); known != nil {
		return *known
	}
	var fields []*schema.Field
	if s := t.proto.Schema; s != nil && t.destElement() == s.ModelType {
		for _, f := range s.Fields {
			if f.DBName != "" && f.Readable && f.Serializer == nil && len(fields) < 256 {
				fields = append(fields, f)
			}
		}
	}
	t.fields.Store(&fields)
	return fields
}

// of returns the template of the query of a key, if it is known.
func (ts *templates) of(key string) *template {
	if !strings.HasPrefix(key, keyPrefix) {
		return nil
	}
	// The name of the table may be anything; what follows it is of one length.
	for i := len(keyPrefix); i < len(key); i++ {
		if end := i + prefixSum + 2; key[i] == '#' && end <= len(key) && key[end-1] == ':' {
			if t, ok := ts.byPrefix.Load(key[:end]); ok {
				return t.(*template)
			}
		}
	}
	return nil
}
