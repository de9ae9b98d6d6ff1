package prediction

import "slices"

const (
	// maxVisits bounds the keys that one walk comes by.
	maxVisits = 32
)

// Query is one that was asked, or that is expected.
type Query struct {
	Key      string
	Template *Template // nil where no rules are learned
	Args     []Value
	Answer   Answer // nil where it is not known
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
}

// Prediction is a query that is expected.
type Prediction struct {
	Query
	Probability float64
	Depth       int   // steps from what was asked
	Rule        *Rule // that led to it; nil where the chain did
	led         bool  // by a rule
}

// Reach says how far a walk goes.
type Reach struct {
	Probability float64 // what is less likely is not expected
	Depth       int     // steps
	Loads       int     // after which it ends
	// Tell: nothing is going to be loaded, so that rules are judged by how often they are right
	// alone.
	Tell bool
}

// Predictor learns what follows what.
type Predictor struct {
	chain    *chain
	sessions *sessions
	rules    int64 // bytes of what templates know

	// Memory for walks.
	found    []successor
	frontier []Prediction
	passed   []string
}

// New returns a predictor whose chain has at most so many nodes in so many bytes, and that knows at
// most so many sessions at a time.
func New(nodes int, bytes int64, sessions int) *Predictor {
	return &Predictor{chain: newChain(min(nodes, nodesIn(bytes))), sessions: newSessions(sessions)}
}

// Clear forgets all but what templates know.
func (p *Predictor) Clear() {
	p.chain.clear()
	p.sessions.clear()
	p.found, p.frontier, p.passed = nil, nil, nil
}

// Bytes returns about how much memory is held, with that of templates since the last ForgetRules.
func (p *Predictor) Bytes() int64 { return p.chain.bytes() + p.sessions.bytes + p.rules }

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

// Observe learns from an access, and returns from where a Walk tells what is expected now. It
// retains the Answer until the session has moved on, but not the Args.
func (p *Predictor) Observe(a Access) (from Prediction) {
	s := p.sessions.of(a.Session, a.At)
	s.forget(a.Key)
	now := s.push(a)
	now.node, now.chained = p.chain.touch(a.Key)
	before := s.window[:len(s.window)-1]
	for i := range before {
		p.rules += learn(&before[i], now)
	}
	if now.template != nil {
		now.template.ask(now)
	}
	p.link(before, now)
	return Prediction{Query: a.Query, Probability: 1, led: now.led}
}

// link lets the chain know what an access came after.
func (p *Predictor) link(before []seen, now *seen) {
	var met [chainWindow]uint32
	n := 0
	for i := len(before) - 1; i >= 0 && n < chainWindow; i-- {
		one := &before[i]
		if !now.chained || !one.chained || one.key == now.key || slices.Contains(met[:n], one.node) || !p.chain.is(one.node, one.key) {
			continue
		}
		met[n] = one.node
		n++
		p.chain.follow(one.node, now.node)
	}
}

// Relate notes that some keys come after another. It counts as having been seen often enough to
// expect them.
func (p *Predictor) Relate(key string, related ...string) {
	from, ok := p.chain.touch(key)
	if !ok {
		return
	}
	for _, one := range related {
		if to, ok := p.chain.touch(one); ok && to != from && p.chain.is(from, key) {
			for range chainSupport {
				p.chain.follow(from, to)
			}
		}
	}
}

// Walk visits what is expected after a query that was asked, or that is expected itself, with a
// probability and so many steps after what was asked: the most likely first, each key once. The
// visitor may complete the Query, so that the walk can go on by its rules, and says whether it is
// to be loaded.
func (p *Predictor) Walk(from Prediction, reach Reach, visit func(*Prediction) (load bool)) {
	p.frontier, p.passed = append(p.frontier[:0], from), append(p.passed[:0], from.Key)
	loads, start := 0, true
	for len(p.frontier) > 0 {
		best := 0
		for i := range p.frontier {
			if p.frontier[i].Probability > p.frontier[best].Probability {
				best = i
			}
		}
		next := p.frontier[best]
		p.frontier = slices.Delete(p.frontier, best, best+1)
		if !start && visit(&next) {
			if loads++; loads >= reach.Loads {
				break
			}
		}
		start = false
		if next.Depth < reach.Depth {
			p.step(&next, reach)
		}
	}
	clear(p.frontier[:cap(p.frontier)]) // holds on to no answers
}

// step puts what comes after a query on the frontier of the walk.
func (p *Predictor) step(from *Prediction, reach Reach) {
	least := reach.Probability
	expect := func(q Query, probability float64, rule *Rule) {
		if probability < least || len(p.passed) >= maxVisits || slices.Contains(p.passed, q.Key) {
			return
		}
		p.passed = append(p.passed, q.Key)
		q.Args = slices.Clone(q.Args)
		p.frontier = append(p.frontier, Prediction{q, probability, from.Depth + 1, rule, rule != nil})
	}
	if t := from.Template; t != nil {
		s := seen{template: t, key: from.Key, args: from.Args, answer: from.Answer, led: from.led}
		t.after(&s, least/from.Probability, reach.Tell, func(of *Template, args []Value, probability float64, rule *Rule) {
			if key, ok := of.Key(args); ok {
				expect(Query{Key: key, Template: of, Args: args}, from.Probability*probability, rule)
			}
		})
	}
	p.found = p.chain.after(from.Key, p.found[:0])
	for _, next := range p.found {
		expect(Query{Key: next.key}, from.Probability*next.probability, nil)
	}
}
