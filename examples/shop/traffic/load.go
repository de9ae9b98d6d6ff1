package traffic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Load is what several shoppers asked at a time.
type Load struct {
	Requests int
	Writes   int
	Elapsed  time.Duration
	// Latencies are how long requests took, by endpoint, as its pattern says.
	Latencies map[string][]time.Duration
	Statuses  map[int]int
}

// Add adds what was asked later.
func (l *Load) Add(more Load) {
	l.Requests += more.Requests
	l.Writes += more.Writes
	l.Elapsed += more.Elapsed
	if l.Latencies == nil {
		l.Latencies, l.Statuses = map[string][]time.Duration{}, map[int]int{}
	}
	for endpoint, took := range more.Latencies {
		l.Latencies[endpoint] = append(l.Latencies[endpoint], took...)
	}
	for status, n := range more.Statuses {
		l.Statuses[status] += n
	}
}

// Endpoints returns the endpoints that were asked, sorted.
func (l *Load) Endpoints() []string { return slices.Sorted(maps.Keys(l.Latencies)) }

// Quantile returns the time within which this share of the requests of an endpoint was answered; ""
// is all endpoints.
func (l *Load) Quantile(endpoint string, share float64) time.Duration {
	took := l.Latencies[endpoint]
	if endpoint == "" {
		took = slices.Concat(slices.Collect(maps.Values(l.Latencies))...)
	}
	if len(took) == 0 {
		return 0
	}
	took = slices.Sorted(slices.Values(took))
	return took[min(int(share*float64(len(took))), len(took)-1)]
}

// Run has each shopper ask one request after the other, all at a time, until so many were asked, 0
// for no end, or so much time passed, 0 for no end. The handler is called without a network in
// between, with a context for each request that ends with it, as a server does. What the service
// did not expect is an error.
func Run(ctx context.Context, shop http.Handler, shoppers []*Shopper, requests int, most time.Duration) (all Load, err error) {
	var (
		wait  sync.WaitGroup
		asked atomic.Int64
		parts = make([]Load, len(shoppers))
		errs  = make([]error, len(shoppers))
		begun = time.Now()
	)
	for i, shopper := range shoppers {
		wait.Go(func() {
			one := Load{Latencies: map[string][]time.Duration{}, Statuses: map[int]int{}}
			defer func() { parts[i] = one }()
			for ctx.Err() == nil && (requests == 0 || asked.Add(1) <= int64(requests)) && (most == 0 || time.Since(begun) < most) {
				if errs[i] = one.ask(ctx, shop, shopper); errs[i] != nil {
					return
				}
			}
		})
	}
	wait.Wait()
	for _, part := range parts {
		all.Add(part)
	}
	all.Elapsed = time.Since(begun)
	return all, errors.Join(append(errs, context.Cause(ctx))...)
}

// ask makes the next request of a shopper.
func (l *Load) ask(ctx context.Context, shop http.Handler, shopper *Shopper) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	r := shopper.Next().WithContext(ctx)
	var w page
	begun := time.Now()
	shop.ServeHTTP(&w, r)
	took := time.Since(begun)
	endpoint := r.Pattern
	if endpoint == "" {
		endpoint = r.Method + " " + r.URL.Path
	}
	l.Requests++
	if r.Method != "GET" {
		l.Writes++
	}
	l.Latencies[endpoint] = append(l.Latencies[endpoint], took)
	l.Statuses[w.code()]++
	shopper.Saw(r, w.body.Bytes())
	if w.code() >= 500 {
		return fmt.Errorf("%s %s: %d %s", r.Method, r.URL, w.code(), w.body.String())
	}
	return nil
}

// page is what a request is answered.
type page struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (p *page) Header() http.Header {
	if p.header == nil {
		p.header = http.Header{}
	}
	return p.header
}

func (p *page) WriteHeader(status int) { p.status = status }

func (p *page) Write(b []byte) (int, error) { return p.body.Write(b) }

func (p *page) code() int {
	if p.status == 0 {
		return http.StatusOK
	}
	return p.status
}
