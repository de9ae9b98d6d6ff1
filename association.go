package preload

import (
	"context"
	"reflect"
	"strings"
	"time"
	"unsafe"
	"weak"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm/schema"
)

const (
	// nodesPerEntry is how many keys are remembered with what follows them, for each answer that is
	// kept. With as many as answers a key would be forgotten just when it becomes a miss.
	nodesPerEntry = 20
	// learnedBytes is about what is kept of a template besides what follows it.
	learnedBytes = 512
	// maxSessions bounds the sessions that are learned from at a time.
	maxSessions = 1_024
	// maxExpected bounds the expected loads that wait for their turn; of more, those expected last
	// stay.
	maxExpected = 64
	// maxTold bounds what the learner has been told and not heard yet; more is dropped.
	maxTold = 256
	// bufferStripes is how many goroutines can note an access at the same time without coming in
	// each other's way.
	bufferStripes = 16
	// learningShare: learning takes 1/20 of the time of all processors at most, on one of them.
	// What comes meanwhile and has no room is not learned from.
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

// sessionOf returns the session of a context, and a number that spreads sessions.
func (p *Plugin) sessionOf(ctx context.Context) (s prediction.Session, spread uint64) {
	if named, ok := ctx.Value(sessionKey{}).(prediction.Session); ok {
		return named, named.ID
	}
	if p.config.session != nil {
		id := ""
		p.guard("asking for the session", func() { id = p.config.session(ctx) })
		if id != "" {
			named := prediction.Session{ID: cache.Hash(id)}
			return named, named.ID
		}
	}
	done := ctx.Done()
	if done != nil {
		return prediction.Session{Done: done}, uint64(*(*uintptr)(unsafe.Pointer(&done))) >> 6
	}
	// All that have none are one session. Goroutines are told apart by their stacks, so as not to
	// meet.
	var here byte
	return prediction.Session{}, uint64(uintptr(unsafe.Pointer(&here))) >> 13
}

// control reports whether a key is never loaded by association.
func control(hash uint64) bool { return hash%controlShare == 0 }

// query returns what is known of the query of a key, and of its answer if there is one.
func (l *learner) query(key string, e *cache.Entry) prediction.Query {
	q := prediction.Query{Key: key}
	t := l.p.templates.Of(key)
	if t == nil {
		return q
	}
	b := t.Binds.Load()
	if b == nil {
		return q
	}
	plain, ok := b.Plain(key[len(t.Prefix):], l.args[:0])
	if !ok {
		return q
	}
	l.args = plain
	q.Template, q.Args = l.template(t), plain
	if e != nil && e.Value != nil && len(t.Columns()) > 0 {
		q.Answer = answer{weak.Make(e), t}
	}
	return q
}

// template returns a template as the predictor knows it.
func (l *learner) template(t *template.Template) *prediction.Template {
	at := weak.Make(t) // one that is dropped is not kept for what was learned of it
	known := l.templates[at]
	if known == nil {
		if len(l.templates) >= template.MaxTemplates {
			l.forgetTemplates()
		}
		known = &prediction.Template{Columns: len(t.Columns()), Key: func(args []prediction.Value) (string, bool) {
			t := at.Value()
			if t == nil {
				return "", false
			}
			text, ok := t.Binds.Load().Text(args)
			return t.Prefix + text, ok
		}}
		known.Leads = func(column int, to *prediction.Template, arg int) bool {
			t := at.Value()
			return t != nil && l.leads(t, column, to, arg)
		}
		l.templates[at], l.known[known] = known, at
	}
	return known
}

// leads reports whether a relation of the models says that an arg of a template is a foreign key to
// what a column of another holds, or the other way round.
func (l *learner) leads(from *template.Template, column int, to *prediction.Template, arg int) bool {
	other := l.known[to].Value()
	if other == nil || from.Proto.Schema == nil || other.Proto.Schema == nil {
		return false
	}
	asked := ""
	for _, pinned := range other.ReadingOf(l.p.catalog.Version()).Pinned {
		if o := pinned.Values; len(o.Rows) == 1 && o.Rows[0][o.Column].Param == arg+1 {
			asked = pinned.Column.Name
		}
	}
	has := from.Columns()[column].DBName
	refers := func(holder, target *schema.Schema, held, found string) bool {
		for _, r := range catalog.Relations(holder) {
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
	return refers(from.Proto.Schema, other.Proto.Schema, has, asked) || refers(other.Proto.Schema, from.Proto.Schema, asked, has)
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
		if e := l.p.cache.Find(stored, now); e != nil {
			next.Query = l.query(next.Key, e)
			return false
		}
		if x := l.pending[next.Key]; x != nil && !x.Over() || control(cache.Hash(next.Key)) || l.p.cache.Loading(stored) {
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
	cache.Trial
}

// Outcome implements prediction.Load.
func (x *expected) Outcome() (prediction.Outcome, bool) {
	switch x.Fate() {
	case cache.Void:
		return prediction.Void, true
	case cache.Late:
		return prediction.Late, true
	case cache.Failed, cache.Wasted:
		return prediction.Wasted, true
	case cache.Used:
		return prediction.Useful, true
	}
	return 0, false
}

// answer is an entry as the predictor sees it. It does not keep the entry in memory.
type answer struct {
	entry    weak.Pointer[cache.Entry]
	template *template.Template
}

// Rows implements prediction.Answer.
func (a answer) Rows() int {
	e := a.entry.Value()
	if e == nil {
		return 0
	}
	image := a.template.Read(e)
	switch image.Kind() {
	case reflect.Slice:
		return image.Len()
	case reflect.Array:
		return int(min(e.Rows, int64(image.Len())))
	}
	return int(min(e.Rows, 1))
}

// Value implements prediction.Answer.
func (a answer) Value(row, column int) prediction.Value {
	e := a.entry.Value()
	if e == nil {
		return ""
	}
	image := a.template.Read(e)
	if image.Kind() == reflect.Slice || image.Kind() == reflect.Array {
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
	v, zero := a.template.Columns()[column].ValueOf(context.Background(), image)
	if zero {
		return ""
	}
	arg, ok := args.Encode(v)
	if !ok || len(arg) > maxLearned {
		return ""
	}
	_, text, _ := args.CutType(arg)
	switch text[0] {
	case 'i', 'u', 's', 'b':
		return text
	}
	return "" // what is found by such values is not found by being the same
}
