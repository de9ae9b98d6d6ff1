package preload

import (
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gorm-preload/preload/internal/feeds"
)

// Settings are what options set, besides Limits.
type Settings struct {
	Version   string // of this module, "(devel)" where that is not known
	Database  string // the name of GORM's dialect; "" before db.Use
	Connector bool   // the pool was opened with Connector or Driver

	Worker           bool // false with WithoutWorker
	Raw              bool // WithRaw
	TransactionReads bool // WithTransactionReads
	TTL, NegativeTTL time.Duration
	MaxRows          int
	Interval         time.Duration
	LoadTimeout      time.Duration
	HoldOut          time.Duration
	VerifyRate       float64 // WithVerify
}

// FeedStats is what is known of a feed.
type FeedStats struct {
	Feed string // its type, such as "redis.BoundedFeed", with a number where there are several
	// Serves is for how long answers may be served from now on as far as this feed says; 0 where it
	// is cut off.
	Serves time.Duration
	// Age is how long ago the moment was before which all is known that others have written; 0
	// while none is.
	Age    time.Duration
	Resets map[string]int64 // how often all answers were invalidated since the feed may have missed changes, by why
	// Announces tell how long it took to tell others of writes, before these could become visible.
	Announces Durations
}

func (p *Plugin) settings() Settings {
	c := p.config
	s := Settings{
		Version: version(), Worker: c.worker, Raw: c.raw, TransactionReads: c.transactionReads, TTL: c.ttl, NegativeTTL: c.negativeTTL, MaxRows: c.maxRows,
		Interval: c.interval, LoadTimeout: c.loadTimeout, HoldOut: c.holdOut, VerifyRate: c.verify.Rate,
	}
	if p.ready.Load() {
		s.Database, s.Connector = p.dialect, p.log.Direct()
	}
	return s
}

// feedNames returns what feeds are called.
func (c *config) feedNames() []string {
	names, known := make([]string, len(c.feeds)), map[string]int{}
	for i, feed := range c.feeds {
		names[i] = strings.TrimPrefix(fmt.Sprintf("%T", feed), "*")
		if known[names[i]]++; known[names[i]] > 1 {
			names[i] += fmt.Sprint(" ", known[names[i]])
		}
	}
	return names
}

// feedStats tells of the feeds that were opened.
func (p *Plugin) feedStats() (all []FeedStats) {
	p.feeds.Each(func(f feeds.Figures) {
		all = append(all, FeedStats{Feed: f.Name, Serves: f.Serves, Age: f.Age, Resets: f.Resets, Announces: durations(f.Sum, f.Announces)})
	})
	return all
}

// module is what the plugin's module is called.
const module = "github.com/gorm-preload/preload"

// version returns the version of the plugin that is built in, "(devel)" where that is not known.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range append(info.Deps, &info.Main) {
			if dep.Path == module && dep.Version != "" {
				return dep.Version
			}
		}
	}
	return "(devel)"
}
