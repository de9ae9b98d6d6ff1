package recognition

import (
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/mode"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/shortcut"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// Query is a query that qualifies. It is a value of one read: nothing of it is kept.
type Query struct {
	Template *template.Template
	Key      string
	Said     uint64 // a sum of what the Valuers among its bind values returned for the key
	Now      time.Time
	Hit      *cache.Entry // the answer, if it is in memory
	Call
	Origin
	Complete bool // GORM completed the clauses of the statement, which it must not do twice
	Dest
	prepare *shortcut.Preparation // of a query of which only the template is asked for; nil for others
}

// Call is how the answer of one query is to be treated.
type Call struct {
	Refresh bool
	Cause   seen.Cause      // of a miss, where that is known
	terms   *template.Terms // on which it is kept, nil where the call has none
	Tags    []string        // by which it is forgotten, as changes name them
	demand  *mode.Demand    // what the call says of answers in memory, nil where it says nothing
	Since   cache.Since     // the same, as entries are compared with it
}

// Origin is where a query comes from, and as of when it is asked. Its texts are parts of the key.
type Origin struct {
	Moments   template.Moments // that it gives, if these are not part of the key
	partition string
	wrapper   string       // names what others have put around the connection
	View      *commit.View // of the transaction that it is asked in; nil outside of any
}

// Dest is where an answer goes.
type Dest struct {
	Filled     bool // it holds values, of which those stay that the query does not select
	Rows       bool // the application reads the rows itself
	Row        bool // and no more than the first
	Raw        bool // the query is given as SQL
	Reloadable bool // the query can be run outside its request, into another one
}

// MayAnswer reports whether an entry may answer a statement. One without rows does not answer
// FirstOrCreate: it would create what another process created since, and all who waited for one
// query would create at once what they did not find. Nor does one that does not hold for the
// moments that the statement gives, or is older than the call allows.
func (q *Query) MayAnswer(e *cache.Entry, stmt *gorm.Statement) bool {
	if e != nil && !q.Since.Met(e) {
		return false
	}
	if e != nil && !q.Moments.None() && !q.Template.SpansOf(e.Value).Cover(q.Moments) {
		return false
	}
	return e != nil && (e.Rows > 0 || !shape.OrCreates(stmt)) && (!q.Filled || q.Template.Tells(stmt, e))
}
