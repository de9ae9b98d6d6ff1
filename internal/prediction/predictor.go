package prediction

import (
	"hash/maphash"
	"slices"
)

const (
	// maxVisits bounds the keys that one walk comes by.
	maxVisits = 32
)

// Query is one that was asked, or that is expected.
type Query struct {
	Key      string
	Template *Template // nil where no rules are known
	Answer   Answer    // nil where it is not known
}

// Session says which accesses belong together. The channel is held as long as the session is known,
// so that no other can be mistaken for it.
type Session struct {
	ID   uint64
	Done <-chan struct{}
}

// Access is a query that was asked.
type Access struct {
	Query
	Session Session
	At      int64 // nanoseconds since some moment
	// Whole says that of its session all accesses are told, and not some kinds only: what comes
	// after what is then seen without gaps.
	Whole bool
	// Rarity is how rare the session is: one in 2^n has a rarity of n or more.
	Rarity uint8
}

// Prediction is a query that is expected.
type Prediction struct {
	Query
	Probability float64
	Depth       int    // steps from what was asked
	Trust       *Trust // that of the rule that led to it; nil where the chain did
	Leaf        bool   // nothing is expected on account of it
	led         bool   // by a rule
	session     *session
}

// Reach says how far a walk goes.
type Reach struct {
	Probability float64 // what is less likely is not expected
	Depth       int     // steps
	Loads       int     // after which it ends
}

// Config is what a predictor is made with.
type Config struct {
	// The chain has at most so many nodes in so many bytes.
	Nodes int
	Bytes int64
	// Sessions is how many are known at a time, at most.
	Sessions int
	// Prefix returns how much of a key it may share with others; 0 if that is not known.
	Prefix func(key string) int
}

// Predictor learns what follows what.
type Predictor struct {
	Config
	seed     maphash.Seed
	chain    *chain
	sessions *sessions
	rules    int64 // bytes of what templates know
	arrivals uint64

	// Memory for an access, and for walks.
	args     []Value
	values   []uint64
	text     []byte
	found    []successor
	frontier []ahead
	passed   []uint64
	here     here
	next     Prediction
}

// ahead is a key on the frontier of a walk.
type ahead struct {
	key         string // "" where its node has it
	node        uint32
	hash        uint64
	template    *Template
	probability float64
	depth       int
	rule        *Rule
}

// New returns a predictor that knows nothing.
func New(config Config) *Predictor {
	return &Predictor{Config: config, seed: maphash.MakeSeed(), chain: newChain(config.Nodes, config.Bytes), sessions: newSessions(config.Sessions)}
}

// Clear forgets all but what templates know.
func (p *Predictor) Clear() {
	p.chain.clear()
	p.sessions.clear()
	p.args, p.found, p.frontier, p.passed = nil, nil, nil, nil
}

// Bytes returns about how much memory is held, with that of templates since the last ForgetRules.
func (p *Predictor) Bytes() int64 {
	return p.chain.bytes() + p.sessions.bytes + p.sessions.values + p.rules
}

// RuleBytes returns about how much memory templates hold of what follows them, since the last
// ForgetRules.
func (p *Predictor) RuleBytes() int64 { return p.rules }

// ForgetRules lets go of all templates. Whoever calls it does so, too.
func (p *Predictor) ForgetRules() {
	p.sessions.clear()
	p.rules = 0
}

// Links returns how many keys are remembered as usually coming after another.
func (p *Predictor) Links() int { return p.chain.links() }

func (p *Predictor) hash(key string) uint64 { return max(1, maphash.String(p.seed, key)) }

// prefix returns how much of a key it shares with others.
func (p *Predictor) prefix(key string) int {
	if p.Prefix == nil {
		return 0
	}
	return p.Prefix(key)
}

// touch counts an access in the chain.
func (p *Predictor) touch(hash uint64, key string, whole bool) (node uint32, ok bool) {
	if node, ok := p.chain.find(hash); ok {
		p.chain.touch(node, whole)
		return node, true
	}
	return p.chain.add(hash, key, p.prefix(key), whole)
}

// Observe learns from an access, and returns from where a Walk tells what is expected now. It
// retains neither the Answer nor the key.
func (p *Predictor) Observe(a Access) (from Prediction) {
	hash := p.hash(a.Key)
	s := p.sessions.of(a.Session, a.At)
	s.forget(hash)
	led := s.leads(hash)
	if a.Whole && a.Template != nil {
		led = p.study(s, &a, hash, led)
	} else {
		s.push(hash, a.At)
	}
	before := s.window[:len(s.window)-1]
	now := &s.window[len(before)]
	now.led = led
	now.node, now.chained = p.touch(hash, a.Key, a.Whole)
	window := chainWindow
	if a.Whole {
		window = wholeWindow
	}
	p.link(before, now, window)
	return Prediction{Query: a.Query, Probability: 1, led: led, session: s}
}

// study learns rules from an access, and keeps what others can come from. It reports whether the
// access came by a rule.
func (p *Predictor) study(s *session, a *Access, hash uint64, led bool) bool {
	t := a.Template
	studied := t.quiet < settled || a.Rarity >= settledRarity
	for i := range s.window {
		studied = studied || s.window[i].template != nil
	}
	var ok bool
	if studied {
		p.args, ok = t.Split(a.Key, p.args[:0])
	}
	if !ok {
		s.push(hash, a.At)
		return led
	}
	defer func() { clear(p.args) }() // holds on to no keys
	p.values = p.values[:0]
	p.arrivals++
	b := arrival{number: p.arrivals, template: t, hash: hash, args: p.args, led: led}
	for _, v := range p.args {
		value := p.hash(v)
		b.about = b.about*31 + value
		p.values = append(p.values, value)
	}
	b.values = p.values
	if len(b.args) <= maxRuleArgs {
		for i := range s.window {
			if one := &s.window[i]; one.template != nil {
				p.rules += learn(one, &b)
			}
		}
	}
	now := s.push(hash, a.At)
	now.led = b.led
	if t.quiet >= settled && a.Rarity < settledRarity {
		return b.led
	}
	p.capture(s.all, now, a)
	return b.led
}

// capture keeps what other queries can come from: the args of an access, and what it found.
func (p *Predictor) capture(all *sessions, now *seen, a *Access) {
	t := a.Template
	columns, args := min(t.Columns(), maxColumns), min(len(p.values), maxSeenArgs)
	rows := 0
	if a.Answer != nil && columns > 0 {
		rows = min(t.Rows(a.Answer), maxRows, maxValues/columns)
	}
	values := all.keep(args + rows*columns)
	if values == nil && args+rows > 0 {
		return
	}
	values = append(values, p.values[:args]...)
	for row := range rows {
		for column := range columns {
			value := uint64(0)
			if p.text = t.Append(p.text[:0], a.Answer, row, column); len(p.text) > 0 {
				value = max(1, maphash.Bytes(p.seed, p.text))
			}
			values = append(values, value)
		}
	}
	now.template, now.values, now.args, now.rows, now.columns = t, values, uint8(args), uint8(rows), uint8(columns)
	t.ask(now)
}

// link lets the chain know what an access came after, of so many keys.
func (p *Predictor) link(before []seen, now *seen, window int) {
	if !now.chained {
		return
	}
	n := 0
	for i := len(before) - 1; i >= 0 && n < window; i-- {
		if one := &before[i]; one.chained && p.chain.is(one.node, one.hash) {
			n++
			p.chain.follow(one.node, now.node)
		}
	}
}

// Relate notes that some keys come after another. It counts as having been seen often enough to
// expect them.
func (p *Predictor) Relate(key string, related ...string) {
	hash := p.hash(key)
	from, ok := p.touch(hash, key, false)
	if !ok {
		return
	}
	for _, one := range related {
		if to, ok := p.touch(p.hash(one), one, false); ok && to != from && p.chain.is(from, hash) {
			for range chainSupport {
				p.chain.follow(from, to)
			}
		}
	}
}

// Walk visits what is expected after a query that was asked, or that is expected itself, with a
// probability and so many steps after what was asked: the most likely first, each key once. The
// visitor may complete the Query, so that the walk can go on by its rules, or make it a Leaf, and
// says whether it is to be loaded. The Prediction is not valid after that; its Key is.
func (p *Predictor) Walk(from Prediction, reach Reach, visit func(*Prediction) (load bool)) {
	hash := p.hash(from.Key)
	p.frontier, p.passed = p.frontier[:0], append(p.passed[:0], hash)
	if !from.Leaf && from.Depth < reach.Depth {
		p.step(&from, hash, reach)
	}
	for loads := 0; ; {
		var to *ahead
		for i := range p.frontier {
			if one := &p.frontier[i]; one.probability > 0 && (to == nil || one.probability > to.probability) {
				to = one
			}
		}
		if to == nil {
			break
		}
		next, hash := &p.next, to.hash
		*next = Prediction{Query: Query{Key: to.key, Template: to.template}, Probability: to.probability, Depth: to.depth, led: to.rule != nil}
		if to.rule != nil {
			next.Trust = &to.rule.Trust
		}
		if to.key == "" {
			next.Key = p.chain.key(to.node)
		}
		to.probability = 0 // it is visited, and to is not valid after a step
		if visit(next) {
			if loads++; loads >= reach.Loads {
				break
			}
		}
		if !next.Leaf && next.Depth < reach.Depth {
			p.step(next, hash, reach)
		}
	}
	// Nothing holds on to keys and answers.
	clear(p.frontier)
	p.next = Prediction{}
	if p.here.query != nil {
		p.here = here{}
	}
}

// step puts what comes after a query on the frontier of the walk.
func (p *Predictor) step(from *Prediction, hash uint64, reach Reach) {
	expect := func(to ahead) {
		if to.probability < reach.Probability || len(p.passed) >= maxVisits || slices.Contains(p.passed, to.hash) {
			return
		}
		p.passed = append(p.passed, to.hash)
		to.depth = from.Depth + 1
		p.frontier = append(p.frontier, to)
	}
	if t := from.Template; t != nil && len(t.followers) > 0 {
		t.after(&p.here, &from.Query, from.led, reach.Probability/from.Probability, func(c come) {
			var ok bool
			if p.text, ok = c.template.Key(p.text[:0], c.args); !ok {
				return
			}
			next := max(1, maphash.Bytes(p.seed, p.text))
			if from.session != nil {
				from.session.lead(next)
			}
			expect(ahead{key: string(p.text), hash: next, template: c.template, probability: from.Probability * c.probability, rule: c.by})
		})
	}
	if at, ok := p.chain.find(hash); ok {
		p.found = p.chain.after(at, reach.Probability/from.Probability, p.found[:0])
		for _, next := range p.found {
			expect(ahead{node: next.node, hash: next.hash, probability: from.Probability * next.probability})
		}
	}
}
