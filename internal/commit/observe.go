package commit

import (
	"database/sql"
	"slices"

	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/observed"
	"gorm.io/gorm"
)

// hubOf returns the hub of a pool; nil if it was not opened with Connector or Driver.
func hubOf(db *sql.DB) *observed.Hub {
	if db == nil {
		return nil
	}
	return observed.HubOf(db.Driver())
}

// Observable returns the pool behind a connection, and its hub; nil if there is none. Others may
// have put something around it that shows the pool to GORM alone.
func Observable(conn gorm.ConnPool) (*sql.DB, *observed.Hub) {
	at, _ := Reach(conn)
	db, ok := at.(*sql.DB)
	if shows, is := at.(gorm.GetDBConnector); is && !ok {
		db, _ = shows.GetDBConn()
	}
	return db, hubOf(db)
}

// sees reports whether the plugin is told of what happens on the connections of a pool, and makes
// it so where it can be: dbresolver may have opened pools before the plugin was in use.
func (l *Log) sees(db *sql.DB) bool {
	hub := hubOf(db)
	if hub == nil {
		return false
	}
	if hubs := l.observed.Load(); hubs == nil || !slices.Contains(*hubs, hub) {
		l.observe(hub)
	}
	return true
}

// observe makes the plugin watch the connections of a pool.
func (l *Log) observe(hub *observed.Hub) {
	for {
		before := l.observed.Load()
		var all []*observed.Hub
		if before != nil {
			all = slices.Clone(*before)
		}
		all = append(all, hub)
		if l.observed.CompareAndSwap(before, &all) {
			break
		}
	}
	hub.Attach(l.observer())
	if l.closed.Load() {
		l.unobserve()
	}
}

func (l *Log) unobserve() {
	if hubs := l.observed.Load(); hubs != nil {
		for _, hub := range *hubs {
			hub.Detach(l.observer())
		}
	}
}

// observer is a Plugin as connections know it.
type observer struct{ log *Log }

func (l *Log) observer() observed.Observer { return observer{l} }

// Watch implements observed.Observer.
func (o observer) Watch(underway bool) observed.Watch {
	w := &watch{log: o.log}
	if underway {
		w.open = w.began()
		w.open.held.write(footprint.Everything(), false)(Ending{}) // it may have written before
	}
	return w
}
