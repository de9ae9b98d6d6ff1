package preload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gorm-preload/preload/internal/batch"
	"github.com/gorm-preload/preload/internal/feeds"
	"github.com/gorm-preload/preload/internal/strict"
)

// Feed connects the plugin with writers in other processes. Feeds are in modules of their own, such
// as feed/redis; one is given to one plugin, by WithFeed.
type Feed interface {
	// Open is called once, by db.Use. It returns at once: what takes longer, it does in the
	// background, until Close. Nothing is served from memory before m.Serve is called. The context
	// ends with Close. An error is that of db.Use.
	Open(ctx context.Context, m Member) error
	// Close ends all that the feed does, and waits for that. It is called once, also where Open
	// failed. Announce is not called any more by then; a call that has not returned although it was
	// waited for, for 10 seconds, returns soon.
	Close() error
}

// Teller is a Feed that is told of what is written here.
type Teller interface {
	Feed
	// Announce is called, by many goroutines at a time, when the changes of a batch are about to
	// become visible. It returns when no other process serves what they touch (a strict feed), or
	// at once (a bounded one). tx is what the database calls the transaction, as Arbiter takes it;
	// it is "" for a statement outside of a transaction, and where nobody asked for the Arbiter.
	// finish is called once, when the changes have become visible, or it is known that they never
	// do, or nobody knows.
	//
	// With an error nothing is announced, finish is not called, and a transaction is rolled back,
	// whose Commit then returns the error. A statement outside of a transaction goes on, and the
	// error is logged. ctx is that of the write where it is not sent once that has ended: with the
	// error of ctx a statement returns that, too. Elsewhere ctx never ends: so it is for what runs
	// on a single connection or gives rows to read, and, of a pool opened with Connector, for
	// commits and for what does not come by way of GORM.
	Announce(ctx context.Context, batch []byte, tx string) (finish func(End), err error)
}

// Exact is a Feed by which, while it has answers served, a write that has returned is known here: a
// strict one. ContextWithFreshness is always content with it.
type Exact interface {
	Feed
	// Exact does nothing.
	Exact()
}

// Member is what the plugin is to a feed. All methods are safe for concurrent use.
type Member interface {
	// ID returns 32 letters: 128 random bits, drawn for this feed and this start of the process.
	ID() string
	// Namespace names the database, alike in all processes that use it by the same name. It tells
	// neither servers nor schemas apart.
	Namespace() string
	// Serve says that all changes are known of which other processes knew before asked, a time of
	// this process; answers may be served and kept until so long after asked, by the monotonic
	// clock and by the wall clock. It does not take back what was said before.
	Serve(asked time.Time, n time.Duration)
	// Stop has nothing served or kept until Serve.
	Stop()
	// Reset invalidates all answers, and those that are being loaded: changes may have been missed.
	Reset(reason string)
	// Begin takes in a batch of another process: what it touches is invalidated, and neither served
	// nor kept until end is called, once, with what became of it. One that cannot be read, or is
	// empty, touches everything.
	Begin(batch []byte) (end func(End))
	// Merge returns a batch that stands for several: all of each table that they touch. Where that
	// is long it is empty, and stands for everything.
	Merge(batches [][]byte) []byte
	// Rows returns the batch of what a replication stream of the database tells of rows, for Begin.
	// What of it would be long is of whole tables, or of everything.
	Rows(rows []RowChange) (batch []byte)
	// Arbiter returns who knows which transactions are over, nil where the database cannot tell:
	// it is PostgreSQL that can. Transactions are announced by name from the first call on.
	Arbiter() Arbiter
}

// Arbiter knows which transactions of the database are over. It is safe for concurrent use.
type Arbiter interface {
	// Over reports whether a transaction has ended, and each statement that begins after the answer
	// sees what it did.
	Over(ctx context.Context, tx string) (bool, error)
	// Mark names the transactions that are open now and have written; Passed reports whether all of
	// them are over.
	Mark(ctx context.Context) (mark string, err error)
	Passed(ctx context.Context, mark string) (bool, error)
}

// RowChange is what a replication stream tells of one row that somebody wrote, or of a whole table.
type RowChange struct {
	// Table is the name of the table as the database has it, without its schema. Without a name
	// anything may have changed.
	Table string
	// Within are the names of further tables that show the row, such as those of which the table is
	// a partition.
	Within []string
	Kind   RowKind
	// Columns are the names of the columns that Old and New are of. The database may have changed a
	// column that is not among them.
	Columns []string
	// Old is the row before an update or a delete, New is the row after an insert or an update.
	// Each has as many values as there are columns, or none where nothing is known of the row. A
	// value is nil for NULL, a bool, a string, a []byte, a RowText, RowUnknown or RowUnchanged.
	Old, New []any
}

// RowKind says what became of rows: RowInserted, RowUpdated, RowDeleted or RowsChanged.
type RowKind = feeds.RowKind

const (
	// RowInserted says that a row is new.
	RowInserted = feeds.RowInserted
	// RowUpdated says that a row was updated.
	RowUpdated = feeds.RowUpdated
	// RowDeleted says that a row was deleted.
	RowDeleted = feeds.RowDeleted
	// RowsChanged says that all rows of a table may have been inserted, updated or deleted, as by a
	// TRUNCATE, or in any number of ways.
	RowsChanged = feeds.RowsChanged
)

// RowText is a value of a type of which a text is known: equal texts are equal values, different
// ones may be equal values, too.
type RowText = feeds.RowText

// RowUnknown is a value that is not known. RowUnchanged, among the values of a row after an update,
// is one that the update left as it was.
const (
	RowUnknown   = feeds.RowUnknown
	RowUnchanged = feeds.RowUnchanged
)

// End says what became of a write: EndVisible, EndUndone or EndUnknown.
type End = strict.End

const (
	// EndVisible says that each statement that begins from now on sees it.
	EndVisible = strict.EndVisible
	// EndUndone says that it never happens.
	EndUndone = strict.EndUndone
	// EndUnknown says that nobody knows: it may become visible at any time.
	EndUnknown = strict.EndUnknown
)

// WithFeed connects the plugin with other processes that use the same database. It may be given
// several times: then answers are served only while each of the feeds says so. A feed serves one
// plugin. While a feed cannot know what others write, all queries go to the database.
//
// What is written here is told to each feed that is a Teller, with the values of all columns as
// package preload compares them, but no answers; WithSecret has them encrypted. What is written
// after Close was called is neither told nor refused: a process that goes on writing then is a
// writer that others know nothing of.
func WithFeed(feed Feed) Option {
	return func(c *config) {
		c.require(feed != nil, "WithFeed", feed, "a Feed")
		if feed != nil {
			c.feeds = append(c.feeds, feed)
		}
	}
}

// WithSecret encrypts and authenticates what is told to feeds, and takes what others tell for a
// change of everything unless they have the same secret. It is at least 16 bytes, which should be
// random. By default nothing is encrypted.
func WithSecret(secret []byte) Option {
	return func(c *config) {
		seal, err := batch.NewSeal(secret)
		if err != nil {
			c.errs = append(c.errs, fmt.Errorf("preload: WithSecret: want at least %d bytes: %w", batch.MinSecret, err))
		}
		c.seal = seal
	}
}

// member makes a Member of that of package feeds.
type member struct{ *feeds.Member }

// Rows implements Member.
func (m member) Rows(rows []RowChange) []byte {
	all := make([]feeds.Row, len(rows))
	for i, row := range rows {
		all[i] = feeds.Row(row)
	}
	return m.Member.Rows(all)
}

// Arbiter implements Member.
func (m member) Arbiter() Arbiter {
	if a := m.Member.Arbiter(); a != nil {
		return a
	}
	return nil
}

// connected are the feeds of a plugin, and how they are ended.
type connected struct {
	*feeds.Feeds
	cancel context.CancelFunc // nil while none is open
}

// openFeeds connects the plugin with other processes. It is called when all else is in use.
func (p *Plugin) openFeeds() error {
	if len(p.config.feeds) == 0 {
		return nil
	}
	var ctx context.Context
	ctx, p.feeds.cancel = context.WithCancel(context.Background())
	p.feeds.Serve(p.db)
	names := p.config.feedNames()
	for i, feed := range p.config.feeds {
		m, err := p.feeds.Join(names[i])
		if err != nil {
			return fmt.Errorf("preload: connecting feed %d of %T: %w", i+1, feed, err)
		}
		if err = feed.Open(ctx, member{m}); err != nil {
			return fmt.Errorf("preload: opening feed %d, a %T: %w", i+1, feed, err)
		}
		if _, ok := feed.(Exact); ok {
			m.Exact()
		}
		positioner, _ := feed.(Positioner)
		p.feeds.Place(positioner)
		if teller, ok := feed.(Teller); ok {
			p.feeds.Add(teller, m)
		}
	}
	return nil
}

// disconnect returns what ends the context of feeds, once, after Initialize has returned.
func (p *Plugin) disconnect() (cancel context.CancelFunc) {
	p.initialize.Lock()
	defer p.initialize.Unlock()
	cancel, p.feeds.cancel = p.feeds.cancel, nil
	return cancel
}

// answersWithin is how long the writes have that feeds were told of, before these are closed, to
// end, and feeds to answer of that.
const answersWithin = 10 * time.Second

// closeFeeds ends the feeds, those that could not be opened, too. cancel is nil where there are
// none, or others end them.
func (p *Plugin) closeFeeds(cancel context.CancelFunc) (err error) {
	if cancel == nil {
		return nil
	}
	p.feeds.Leave(answersWithin)
	cancel()
	for i, feed := range p.config.feeds {
		p.config.guard("closing a feed", func() {
			if wrong := feed.Close(); wrong != nil {
				err = errors.Join(err, fmt.Errorf("preload: closing feed %d, a %T: %w", i+1, feed, wrong))
			}
		})
	}
	return err
}
