package commit

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"

	"gorm.io/gorm"
)

// neighbours are the other plugins of the same *gorm.DB, as they were seen last.
type neighbours struct {
	count   atomic.Int64
	refusal atomic.Pointer[error] // why they cannot be together with this one
}

// needsSQLTx are plugins that look for *sql.DB and *sql.Tx, by the names that they give themselves
// and by their packages.
var needsSQLTx = []string{"gorm:sharding", "gorm.io/sharding"}

// Unsuited returns an error if another plugin does not work with a wrapper in front of the
// connection pool.
func Unsuited(other gorm.Plugin) error {
	t := reflect.TypeOf(other)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !slices.Contains(needsSQLTx, other.Name()) && !slices.Contains(needsSQLTx, t.PkgPath()) {
		return nil
	}
	return fmt.Errorf("preload: the plugin %s needs the *sql.DB and the *sql.Tx of GORM, in front of which preload puts its own: open the pool with sql.OpenDB(preload.Connector(connector)), or with a driver of preload.Driver", other.Name())
}

// refusal returns the error of the first other plugin that is not suited. It is asked for each
// statement, as a plugin may be installed later than this one.
func (l *Log) refusal() error {
	n := &l.neighbours
	if plugins := l.db.Plugins; int64(len(plugins)) != n.count.Load() {
		for _, other := range plugins {
			if err := Unsuited(other); err != nil {
				n.refusal.Store(&err)
			}
		}
		n.count.Store(int64(len(plugins)))
	}
	if err := n.refusal.Load(); err != nil {
		return *err
	}
	return nil
}

// Refuses adds the error of refusal to a statement, and reports whether there is one.
func (l *Log) Refuses(db *gorm.DB) bool {
	if l.direct {
		return false
	}
	err := l.refusal()
	if err != nil && !errors.Is(db.Error, err) {
		_ = db.AddError(err)
	}
	return err != nil
}
