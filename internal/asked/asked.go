package asked

import (
	"database/sql"
	"sync"
	"time"
)

// Config is what names are made with.
type Config struct {
	// Settled returns a number that is another one whenever a name may have become that of another
	// thing; false where names may mean different things on different connections.
	Settled func() (moment int64, ok bool)
	// Ask runs something in the background, once at a time for a name, that asks the database for
	// one row. It reports whether it will.
	Ask func(name string, do func(row func(query string, args ...any) (*sql.Row, error)) error) bool
	Now func() time.Time
}

// Names are the names that were asked about, each with one value that the database said.
type Names[T any] struct {
	Config

	mu     sync.Mutex
	moment int64 // as of which all answers are
	names  map[string]*answer[T]
}

// answer is what is known of a name.
type answer[T any] struct {
	said  T
	asks  bool      // the database is being asked
	again time.Time // when it may be asked again that did not answer
}

const (
	// maxNames bounds the names; where there are more all are asked about again.
	maxNames = 1_000
	// Patience is how long a database is left alone that did not answer.
	Patience = time.Minute
)

// Of returns what the database said of a name, as far as it is known.
func (ns *Names[T]) Of(name string) (said T) {
	moment, settled := ns.Settled()
	if !settled {
		return said
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if known := ns.names[name]; known != nil && ns.moment == moment {
		said = known.said
	}
	return said
}

// Want has the database asked about a name in the background, unless it was. told, which may be
// nil, is called with what it said, and with the moment as of which that is.
func (ns *Names[T]) Want(name, query string, told func(said T, moment int64), args ...any) {
	moment, settled := ns.Settled()
	if !settled || !ns.begin(name, moment) {
		return
	}
	begun := ns.Ask(name, func(row func(string, ...any) (*sql.Row, error)) error {
		var said T
		failed := true
		defer func() {
			if ns.end(name, moment, said, failed) && told != nil {
				told(said, moment)
			}
		}()
		found, err := row(query, args...)
		if err == nil {
			err = found.Scan(&said)
		}
		failed = err != nil
		return err
	})
	if !begun {
		ns.forget(name, moment)
	}
}

// begin notes that the database is asked about a name. It reports false where that is not needed.
func (ns *Names[T]) begin(name string, moment int64) bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.moment != moment || len(ns.names) >= maxNames {
		ns.moment, ns.names = moment, nil
	}
	if known := ns.names[name]; known != nil && (known.asks || known.again.IsZero() || ns.Now().Before(known.again)) {
		return false
	}
	if ns.names == nil {
		ns.names = map[string]*answer[T]{}
	}
	ns.names[name] = &answer[T]{asks: true}
	return true
}

// end notes what the database said, unless it may say another thing by now. It reports whether it
// did say something that counts.
func (ns *Names[T]) end(name string, moment int64, said T, failed bool) bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	known := ns.names[name]
	if ns.moment != moment || known == nil {
		return false
	}
	if known.asks = false; failed {
		known.again = ns.Now().Add(Patience)
		return false
	}
	known.said = said
	return true
}

func (ns *Names[T]) forget(name string, moment int64) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.moment == moment {
		delete(ns.names, name)
	}
}
