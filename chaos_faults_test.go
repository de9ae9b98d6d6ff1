package preload_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// chaosProxy draws what goes wrong.
type chaosProxy struct {
	*dbtest.Proxy
	mu     sync.Mutex
	rand   *rand.Rand
	counts map[string]int
	silent int // half-open connections, each of which may stop one read
	eager  float64
}

// rule draws what becomes of a packet.
func (p *chaosProxy) rule(packet dbtest.Packet) dbtest.Verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	share, at := 0.004, "answer"
	switch {
	case packet.Has("COMMIT"), packet.Has("commit"):
		share, at = 0.1, "COMMIT"
	case packet.Has("UPDATE"), packet.Has("INSERT"), packet.Has("DELETE"):
		share, at = 0.05, "statement"
	case packet.Has("SELECT"):
		share, at = 0.02, "SELECT"
	case packet.Up:
		share, at = 0.005, "packet"
	}
	if p.rand.Float64() >= share*p.eager {
		return dbtest.Pass
	}
	late := time.Duration(p.rand.Int64N(int64(chaosLateness)))
	arrives := dbtest.Late(chaosAfter(late))
	verdicts := []struct {
		name string
		dbtest.Verdict
	}{
		{"cut before", dbtest.Cut}, {"cut after", dbtest.CutAfter}, {"lost before", dbtest.Lose}, {"lost after", dbtest.LoseAfter},
		{"lost, arrives late", arrives}, {"lost, arrives late", arrives}, {"lost, arrives late", arrives},
		{"delayed", dbtest.Delay(late)}, {"delayed", dbtest.Delay(late / 4)},
		{"half open before", dbtest.Silence}, {"half open after", dbtest.SilenceAfter},
	}
	if at == "answer" || at == "packet" { // which may be a read's or a write's
		verdicts = verdicts[:len(verdicts)-2]
	}
	v := verdicts[p.rand.IntN(len(verdicts))]
	p.counts[at+" "+v.name]++
	if at == "SELECT" && strings.HasPrefix(v.name, "half") {
		p.silent++
	}
	return v.Until(chaosLate, chaosHung)
}

// chaosAfter returns what is closed after d.
func chaosAfter(d time.Duration) <-chan struct{} {
	over := make(chan struct{})
	time.AfterFunc(d, func() { close(over) })
	return over
}

func (p *chaosProxy) draw(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rand.IntN(n)
}

// drawTime draws a time up to d.
func (p *chaosProxy) drawTime(d time.Duration) time.Duration { return time.Duration(p.draw(int(d))) }

func (p *chaosProxy) count(name string, silent int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[name]++
	p.silent += silent
}

// disturb makes all connections fail at times, until stop is closed.
func (p *chaosProxy) disturb(w *chaosWorld, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(float64(50*time.Millisecond+p.drawTime(200*time.Millisecond)) / p.eager)):
		}
		switch p.draw(40) {
		case 0, 1:
			p.count("mass cut", 0)
			p.CutAll()
		case 2:
			p.count("mass half open", p.SilenceAllUntil(chaosLate, chaosHung))
		case 3, 4:
			p.count("refusal", 0)
			p.Refuse(true)
			time.Sleep(20*time.Millisecond + p.drawTime(100*time.Millisecond))
			p.Refuse(false)
		default:
			p.count("row locked", 0)
			p.lock(w)
		}
	}
}

// lock has a plain transaction keep a row from its writer for a while. The server goes on with a
// write whose client is gone meanwhile.
func (p *chaosProxy) lock(w *chaosWorld) {
	o := w.owners[p.draw(len(w.owners))]
	_ = w.direct.Transaction(func(tx *gorm.DB) error {
		var row chaosRow
		err := tx.Clauses(clause.Locking{Strength: "UPDATE"}).First(&row, o.key(p.draw(chaosSlots))).Error
		time.Sleep(p.drawTime(chaosLate))
		return errors.Join(err, errTx)
	})
}
