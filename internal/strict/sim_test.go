package strict

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The simulation drives real members: processes that read and write, a broker and a database, and a
// world that delays, loses and doubles what they say to each other, stops and kills processes, and
// has the broker lose what it knows. All of it follows from a seed.
//
// What must hold:
//
//	given up   nobody is given up while it may serve
//	stale      once a write has returned, no read that begins later, in any process, returns what
//	           was there before
//	backwards  once a read returned a version, no read that begins later returns an older one
//	at rest    nobody keeps an answer that is older than the database's
//	settled    when nothing fails any more, every process serves, and no write is pending
const (
	simKeys   = 2
	simLease  = 40 // ticks
	simMargin = 0.02
	simSteps  = 12_000 // of a run, before it comes to rest
	simRest   = 40_000 // at most, until it has
	tick      = time.Millisecond
)

// variant is a way in which a run goes, or a part of the protocol that is left out.
type variant struct {
	name string

	loses      bool    // the broker loses what it knows from time to time
	autocommit bool    // statements without transactions, and so without names for the database
	commits    bool    // who is cut off commits nevertheless
	split      bool    // some stay with the broker that was replaced
	lag        int64   // after which a broker that was replaced refuses to write; it is replaced no sooner
	drift      float64 // of clocks; the margin where it is 0
	rare       bool    // it takes long to find what is broken
	harsh      bool    // all that fails does so often

	broker   func(*world, Broker) Broker
	database func(*world, Database) Database
	memory   func(*answers)
	flaws    flaws
	late     bool // writes are announced after their commit

	want    []string // what is broken, and all that is looked for; all is where nothing is left out
	ignores []string // what need not hold
}

type world struct {
	v        *variant
	r        *rand.Rand
	now      int64
	quiet    bool
	rough    int // how often things fail, in thousandths of how often they may
	busy     int // how often there are writes
	broker   *LocalBroker
	left     *LocalBroker // was replaced, and goes on
	isolated int64        // since when
	saved    *brokerState
	db       database
	procs    []*proc
	messages []message
	named    int
	returned [simKeys]int // versions of which a write has returned
	read     [simKeys]int // and that a read has returned
	steps    int
	broken   string
	detail   string
	counts   counts
	trace    []string
	tracing  bool
}

// counts are how often things happened.
type counts [countKinds]int64

const (
	countHits = iota
	countLoads
	countKept
	countWrites
	countUnknown
	countCut
	countLost
	countDoubled
	countStops
	countCrashes
	countCuts
	countDenied
	countLosses
	countJoined
	countFenced
	countAgain
	countTakenOver
	countCutOff
	countCrashedAnnounced
	countCrashedCommitted
	countRolledBack
	countKinds
)

var countNames = [countKinds]string{"hits", "loads", "kept", "writes", "ends unknown", "messages cut off", "messages lost", "doubled", "stops", "kills", "cuts", "brokers lost", "seats", "given up", "announced again", "taken over", "callers cut off", "killed before commit", "killed after it", "rolled back"}

func (c *counts) add(o *counts) {
	for i := range c {
		c[i] += o[i]
	}
}

func (c *counts) String() string {
	var b strings.Builder
	for i, n := range c {
		fmt.Fprintf(&b, "%s %d, ", countNames[i], n)
	}
	return strings.TrimSuffix(b.String(), ", ")
}

// proc is a process of the application.
type proc struct {
	w       *world
	n       int
	life    int // moves at each start
	up      bool
	stopped int64 // until
	cut     int64 // from the broker, until
	side    int64 // with the broker that was replaced, until
	rate    float64
	offset  time.Duration
	member  *Member
	memory  *answers
	edits   []*edit
}

func (p *proc) Now() time.Time {
	return time.Unix(0, 0).Add(p.offset + time.Duration(float64(p.w.now)*p.rate*float64(tick)))
}

func (w *world) logf(format string, args ...any) {
	if w.tracing {
		w.trace = append(w.trace, fmt.Sprintf("%6d ", w.now)+fmt.Sprintf(format, args...))
	}
}

func (w *world) violated(what, format string, args ...any) {
	switch {
	case len(w.v.want) > 0 && !slices.Contains(w.v.want, what), slices.Contains(w.v.ignores, what):
	case w.broken == "":
		w.broken, w.detail = what, fmt.Sprintf(format, args...)
		if w.tracing {
			w.logf("!!! %s: %s", what, w.detail)
		}
	}
}

func (w *world) chance(of1000 int) bool { return w.r.IntN(1000) < of1000 }

// fails is chance for what goes wrong.
func (w *world) fails(of1000 int) bool { return w.r.IntN(1_000_000) < of1000*w.rough }

func (p *proc) start() {
	w := p.w
	w.named++
	p.life++
	p.up = true
	p.memory = &answers{p: p}
	if w.v.memory != nil {
		w.v.memory(p.memory)
	}
	name := "p" + strconv.Itoa(p.n) + "-" + strconv.Itoa(w.named)
	for _, b := range []*LocalBroker{w.broker, w.left} {
		if b != nil {
			b.Subscribe(name, ear{p, p.life, b})
		}
	}
	var db Database = &w.db
	if w.v.database != nil {
		db = w.v.database(w, db)
	}
	config := Config{Lease: simLease * tick, Margin: simMargin, Repeat: 12 * tick, Fail: !w.v.commits}
	m, err := New(config, name, p, switchboard{p}, db, p.memory, outside{p})
	if err != nil {
		panic(err)
	}
	m.flaws = w.v.flaws
	p.member = m
	if w.tracing {
		w.logf("p%d starts as %s", p.n, name)
	}
	m.Start()
}

func (p *proc) crash() {
	w := p.w
	if w.v.autocommit && len(p.edits) > 0 {
		return // its statement may reach the database at any time
	}
	if w.v.commits && slices.ContainsFunc(p.member.order, func(o *Write) bool { return o.cut }) {
		return // nobody else knows of what it committed
	}
	w.counts[countCrashes]++
	for _, e := range p.edits {
		switch {
		case e.sent:
			w.counts[countCrashedCommitted]++
		case e.ready:
			w.counts[countCrashedAnnounced]++
		}
		if t := w.db.find(e.tx); t != nil {
			t.dead = true
		}
	}
	if w.tracing {
		w.logf("p%d is killed", p.n)
	}
	w.collect(p)
	w.broker.Unsubscribe(p.member.process)
	p.up, p.edits, p.stopped = false, nil, 0
	p.life++
	p.offset = time.Duration(w.r.IntN(1000)) * tick // another clock
}

func (w *world) collect(p *proc) {
	c := &p.member.Counters
	w.counts[countJoined] += c.Joined.Load()
	w.counts[countFenced] += c.Fenced.Load()
	w.counts[countAgain] += c.Again.Load()
	w.counts[countTakenOver] += c.TakenOver.Load()
	w.counts[countCutOff] += c.CutOff.Load()
}

func (w *world) step() {
	w.steps++
	if w.r.IntN(3) > 0 && w.deliver() {
		return
	}
	x := w.r.IntN(1000)
	if x < 250 {
		w.now++
		return
	}
	p := w.procs[w.r.IntN(len(w.procs))]
	if x < 260 {
		w.fault(p, x-250)
		return
	}
	switch {
	case !p.up:
		if w.r.IntN(20) == 0 {
			p.start()
		}
	case p.stopped > w.now:
	case x < 400:
		p.member.Tick()
	case x < 500:
		p.advance()
	case x < 600:
		if !w.quiet && w.chance(w.busy) {
			p.doWrite()
		}
	default:
		p.doRead()
	}
}

func (w *world) fault(p *proc, kind int) {
	if kind < 3 { // the database notices that a connection is gone
		for _, t := range w.db.open {
			if t.dead {
				if w.tracing {
					w.logf("database: undoes tx %d", t.id)
				}
				w.db.end(t.id, false)
				break
			}
		}
		return
	}
	if w.quiet || !w.fails(1000) {
		return
	}
	switch {
	case kind < 5:
		if p.up && p.stopped <= w.now {
			p.stopped = w.now + int64(w.r.IntN([]int{12, 60, 160}[w.r.IntN(3)]))
			w.counts[countStops]++
			if w.tracing {
				w.logf("p%d is stopped until %d", p.n, p.stopped)
			}
		}
	case kind < 6:
		if p.up && p.stopped <= w.now && w.r.IntN(8) == 0 {
			p.member.Denied()
			w.counts[countDenied]++
			if w.tracing {
				w.logf("p%d is not allowed to hear", p.n)
			}
		}
		if p.up && w.r.IntN(2) == 0 {
			p.cut = w.now + int64(w.r.IntN([]int{30, 150}[w.r.IntN(2)]))
			w.counts[countCuts]++
			if w.tracing {
				w.logf("p%d is cut off until %d", p.n, p.cut)
			}
		}
	case kind < 7:
		if p.up && w.r.IntN(2) == 0 {
			p.crash()
		}
	case w.v.loses && (kind < 9 || w.v.harsh):
		w.lose()
	}
}

// lose has the broker lose what it knows: it starts empty, or from an old state, or somebody
// empties it while it runs.
func (w *world) lose() {
	b := w.broker
	switch x := w.r.IntN(6); {
	case x < 4:
		w.saved = clone(b.state)
		return
	case w.v.split:
		w.isolate()
		return
	case x == 4 && w.saved != nil:
		b.server++
		b.state = w.saved
	case w.r.IntN(3) == 0:
		b.state = nil
	default:
		b.server++
		b.state = nil
	}
	w.saved = nil
	w.counts[countLosses]++
	if w.tracing {
		w.logf("broker: loses what it knows, now server %d", b.server)
	}
}

// isolate replaces the broker, while some go on with the one that was replaced.
func (w *world) isolate() {
	if w.left != nil && w.now < w.isolated+200 {
		return
	}
	b := &LocalBroker{server: w.broker.server + 1000, runs: w.broker.runs}
	w.left, w.broker, w.isolated = w.broker, b, w.now
	for _, p := range w.procs {
		if p.up {
			b.Subscribe(p.member.process, ear{p, p.life, b})
		}
		p.side = w.now
		if w.r.IntN(2) == 0 {
			p.side += 30 + int64(w.r.IntN(170))
		}
		if w.v.lag > 0 {
			p.side = max(p.side, w.now+w.v.lag+1) // nobody is promoted before
		}
	}
	w.counts[countLosses]++
	if w.tracing {
		w.logf("broker: another one takes over")
	}
}

func clone(s *brokerState) *brokerState {
	if s == nil {
		return nil
	}
	c := *s
	c.members, c.pending = slices.Clone(s.members), slices.Clone(s.pending)
	return &c
}

// settled says what keeps the world from being at rest.
func (w *world) settled() (reason string) {
	for _, p := range w.procs {
		switch {
		case !p.up:
			return "a process is down"
		case len(p.edits) > 0:
			return fmt.Sprintf("p%d writes", p.n)
		case len(p.member.writes) > 0:
			return fmt.Sprintf("p%d has writes to end", p.n)
		case len(p.member.pending) > 0:
			return fmt.Sprintf("p%d waits for writes of others", p.n)
		case !p.memory.alive():
			return fmt.Sprintf("p%d does not serve", p.n)
		case p.memory.blocked != [simKeys]int{}:
			return fmt.Sprintf("p%d blocks %v", p.n, p.memory.blocked)
		}
	}
	if s := w.broker.state; s != nil && len(s.pending) > 0 {
		return fmt.Sprintf("%d writes are pending", len(s.pending))
	}
	return ""
}

// run plays one seed.
func run(seed uint64, v *variant, steps int, tracing bool) *world {
	w := &world{v: v, r: rand.New(rand.NewPCG(seed, 7)), broker: &LocalBroker{}, tracing: tracing}
	w.rough = []int{20, 200, 500, 1000}[w.r.IntN(4)]
	w.busy = []int{100, 400, 1000}[w.r.IntN(3)]
	if v.harsh {
		w.rough, w.busy = 1000, 1000
	}
	for key := range simKeys {
		w.db.versions[key] = 1
	}
	drift := v.drift
	if drift == 0 {
		drift = simMargin
	}
	for n := range 2 + w.r.IntN(3) {
		rate := 1 + drift*(2*w.r.Float64()-1)
		switch w.r.IntN(4) { // often as far as clocks may go
		case 0:
			rate = 1 + drift
		case 1:
			rate = 1 - drift
		}
		w.procs = append(w.procs, &proc{w: w, n: n, rate: rate, offset: time.Duration(w.r.IntN(1000)) * tick})
	}
	for _, p := range w.procs {
		p.start()
	}
	for range steps {
		if w.step(); w.broken != "" {
			return w
		}
	}
	w.quiet, w.left = true, nil
	for _, p := range w.procs {
		p.stopped, p.cut, p.side = 0, 0, 0
	}
	reason := "-"
	for n := 0; n < simRest && reason != ""; n++ {
		if w.step(); w.broken != "" {
			return w
		}
		if n%50 == 0 {
			reason = w.settled()
		}
	}
	if reason != "" && !v.autocommit {
		w.violated("settled", "%s", reason)
	}
	for _, p := range w.procs {
		if !p.up {
			continue
		}
		w.collect(p)
		for key, version := range p.memory.kept {
			if version != 0 && p.memory.alive() && version < w.db.versions[key] {
				w.violated("at rest", "p%d keeps version %d of key %d, the database has %d", p.n, version, key, w.db.versions[key])
			}
		}
	}
	return w
}
