package main

import (
	"cmp"
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload/bench/database"
	"github.com/gorm-preload/preload/bench/database/databasetest"
	"github.com/gorm-preload/preload/bench/shop/oracle"
	"github.com/gorm-preload/preload/bench/shop/survival"
	"github.com/gorm-preload/preload/examples/shop/service"
	"github.com/gorm-preload/preload/examples/shop/traffic"
	"gorm.io/gorm"
)

// opened opens a small shop.
func opened(t *testing.T, server database.Server, v variant, config gorm.Config) *stand {
	t.Helper()
	s := &stand{variant: v}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.open(server, survival.Size, config); err != nil {
		t.Fatal(err)
	}
	return s
}

func request(method, path, user, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("X-User", user)
	return r
}

// visits asks every endpoint, the reading ones before and after the writing ones.
func visits() (all []*http.Request) {
	for range 2 {
		for _, path := range []string{
			"/", "/categories/shelf-1?page=1", "/categories/none", "/products/3", "/products/1000", "/products/3/related", "/tags/tag1",
			"/search?q=lamp", "/top", "/coupons", "/users/2", "/me", "/orders", "/orders/3", "/orders/9", "/cart", "/report",
		} {
			all = append(all, request("GET", path, "2", ""))
		}
		for _, w := range [][3]string{
			{"POST", "/users", `{"Email":"a@example.org","Name":"A","Password":"p","Street":"S","City":"C"}`},
			{"POST", "/login", `{"Email":"user2@example.org","Password":"secret"}`},
			{"POST", "/login", `{"Email":"user2@example.org","Password":"wrong"}`},
			{"PUT", "/me", `{"Name":"Another"}`},
			{"POST", "/cart", `{"ProductID":3,"Quantity":2}`},
			{"POST", "/cart", `{"ProductID":4,"Quantity":1}`},
			{"DELETE", "/cart/4", ""},
			{"POST", "/orders", ""},
			{"POST", "/orders", ""},
			{"POST", "/products/3/reviews", `{"Stars":5,"Text":"Fine."}`},
			{"POST", "/reviews/7/like", ""},
			{"DELETE", "/reviews/8", ""},
			{"POST", "/products/3/tags", `{"Name":"wooden"}`},
			{"PUT", "/products/3/price", `{"Price":777}`},
			{"POST", "/products/3/deliveries", `{"Pieces":5}`},
		} {
			all = append(all, request(w[0], w[1], "2", w[2]))
		}
	}
	return all
}

func TestEveryEndpointAnswersAsWithoutThePlugin(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, server database.Server) {
		moment := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		config := gorm.Config{NowFunc: func() time.Time { return moment }}
		plain := opened(t, server, variants["off"], config)
		asked := map[string]bool{}
		var answers []string
		ask := func(s *stand, r *http.Request) string {
			ctx, end := context.WithCancel(context.Background())
			defer end()
			r = r.WithContext(ctx)
			w := httptest.NewRecorder()
			s.shop.ServeHTTP(w, r)
			asked[r.Pattern] = true
			if w.Code >= 500 {
				t.Fatalf("%s %s: %d %s", r.Method, r.URL, w.Code, w.Body)
			}
			return http.StatusText(w.Code) + " " + w.Body.String()
		}
		// all plays the same to a shop, in the same order.
		all := func(s *stand, each func(r *http.Request, answer string)) {
			for _, r := range visits() {
				each(r, ask(s, r))
			}
			shopper := traffic.NewShopper(survival.Size, 3, 0)
			for range 150 {
				r := shopper.Next()
				answer := ask(s, r)
				_, body, _ := strings.Cut(answer, " ")
				shopper.Saw(r, []byte(body))
				each(r, answer)
			}
		}
		all(plain, func(_ *http.Request, answer string) { answers = append(answers, answer) })
		for _, pattern := range service.Patterns() {
			if !asked[pattern] {
				t.Errorf("%s was not asked", pattern)
			}
		}
		for _, name := range []string{"worker-off", "on"} {
			s := opened(t, server, variants[name], config)
			n := 0
			all(s, func(r *http.Request, answer string) {
				if answer != answers[n] {
					t.Fatalf("%s, request %d: %s %s: %s\nwithout the plugin: %s", name, n, r.Method, r.URL, answer, answers[n])
				}
				n++
			})
			if hits := s.plugin.Stats().Hits; hits == 0 {
				t.Errorf("%s: nothing was served from memory", name)
			}
			if s.counts.Queries.Load() >= plain.counts.Queries.Load() && name == "worker-off" {
				t.Errorf("%s: %d queries, %d without the plugin", name, s.counts.Queries.Load(), plain.counts.Queries.Load())
			}
		}
	})
}

func TestNothingIsServedThatIsNotTrueNorMoreThanTheOracleKnows(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, server database.Server) {
		s := settings{size: survival.Size, clients: 4, seed: 5, rounds: 1, seconds: 1, watched: 200, progress: io.Discard}
		for _, name := range []string{"worker-off", "on"} {
			w, err := watch(t.Context(), server, s, variants[name])
			if err != nil {
				t.Fatal(err)
			}
			for _, class := range oracle.Classes() {
				c := w.Count(class)
				if c.Wrong > 0 {
					t.Errorf("%s: %d of %d reads %v are not what the database holds", name, c.Wrong, c.Reads, class)
				}
				if name == "worker-off" && c.Served > c.Oracle {
					t.Errorf("%s: %d reads %v were served, but only %d can have been known", name, c.Served, class, c.Oracle)
				}
			}
			if c := w.Count(oracle.Tagged); c.Both == 0 || c.Reads < 300 {
				t.Errorf("%s: %d of %d reads were served: there is nothing to compare", name, c.Both, c.Reads)
			}
			if pages := w.Pages(); len(pages.Wrong) > 0 || pages.Compared < 150 {
				t.Errorf("%s: of %d pages these differ: %s", name, pages.Compared, strings.Join(pages.Wrong, "\n"))
			}
		}
	})
}

func TestWritesLeaveOnlyTrueAnswersInMemory(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, server database.Server) {
		if server.Dialect == "mysql" && os.Getenv("PRELOAD_TEST_LONG") == "" {
			t.Skip("the slowest one of all: PRELOAD_TEST_LONG is not set")
		}
		d, err := server.New()
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		size := service.Size{Users: 22, Products: 22, Categories: 3, Tags: 4, ReviewsEach: 1, OrdersEach: 1} // the kinds of write need 22 of each
		rows, err := survival.Measure(t.Context(), d, size, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != 22 {
			t.Errorf("%d kinds of write, want 22", len(rows))
		}
		for _, r := range rows {
			switch {
			case r.Wrong > 0:
				t.Errorf("%s: %d answers are not what the database holds", r.Kind, r.Wrong)
			case r.Served > r.Unchanged || r.TaggedServed > r.Tagged || r.Tagged > r.Unchanged:
				t.Errorf("%s: %+v: the parts are more than the whole", r.Kind, r)
			case r.OthersServed < r.Others || r.Others == 0:
				t.Errorf("%s: %d of %d answers of tables that were not written are left", r.Kind, r.OthersServed, r.Others)
			case r.Changed+r.Unchanged == 0:
				t.Errorf("%s: no answer is of the tables %v", r.Kind, r.Tables)
			}
		}
		if changed := slices.MaxFunc(rows, func(a, b survival.Row) int { return cmp.Compare(a.Changed, b.Changed) }).Changed; changed == 0 {
			t.Error("no write changed an answer")
		}
	})
}

func TestShoppersReadAndWriteAsPeopleDo(t *testing.T) {
	t.Parallel()
	const asked = 20_000
	first, second := traffic.NewShopper(service.Usual, 1, 2), traffic.NewShopper(service.Usual, 1, 2)
	writes, products := 0, map[string]int{}
	for range asked {
		r, same := first.Next(), second.Next()
		if r.URL.String() != same.URL.String() || r.Method != same.Method {
			t.Fatalf("the same seed gives %s %s and %s %s", r.Method, r.URL, same.Method, same.URL)
		}
		if r.Method != "GET" {
			writes++
		} else if strings.HasPrefix(r.URL.Path, "/products/") {
			products[r.URL.Path]++
		}
	}
	if share := float64(writes) / asked; share < 0.05 || share > 0.07 {
		t.Errorf("%.3f of the requests write, want 0.06", share)
	}
	if products["/products/1"] < 20*max(1, products["/products/1000"]) {
		t.Errorf("product 1 was seen %d times, product 1000 %d times: want far more of the first", products["/products/1"], products["/products/1000"])
	}
}

func TestTheReportHasAllItsParts(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := run(t.Context(), []string{"-on", "sqlite", "-requests", "60", "-rounds", "1", "-oracle", "60", "-clients", "2", "-survival=false"}, &out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"sqlite: requests", "WithoutWorker", "connections opened", "GET /products/{id}", "the oracle, plugin", "tags only", "served/oracle", " 0 differ", "CPU a request, of plain: ", "the mark is at most 0.75", "requests a second, of plain: ", "the mark is at least 1.2"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is not in the report:\n%s", part, out.String())
		}
	}
}

func TestAWrongSettingIsOneClearError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-on", "postgres", "-dsn", "postgres://nobody:secret@127.0.0.1:1/none"}, "postgres does not make a database"},
		{[]string{"-on", "postgres", "-dsn", "postgres://nobody:secret@%zz/"}, "DSN of PostgreSQL is not of the form"},
		{[]string{"-on", "mysql", "-mysql", "secret"}, "DSN of MySQL is not of the form"},
		{[]string{"-on", "oracle"}, "no dialect"},
		{[]string{"-on", "postgres", "-dsn", ""}, "the DSN of postgres is not known"},
		{[]string{"-plugin", "of"}, "no variant"},
		{[]string{"-clients", "0"}, "-clients 0"},
		{[]string{"all"}, "no flag"},
	} {
		err := run(t.Context(), c.args, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %v, want one line that says %q and keeps the password to itself", c.args, err, c.want)
		}
	}
}

// TestAPictureShowsWhatWasMeasured: the shares of requests that took at most so long, of each
// variant, and nothing that a name could add to the picture.
func TestAPictureShowsWhatWasMeasured(t *testing.T) {
	t.Parallel()
	fast, slow := &course{variant: variant{name: "fast <b>"}}, &course{variant: variant{name: "slow"}}
	for i := range 100 {
		for c, took := range map[*course]time.Duration{fast: 100 * time.Microsecond, slow: 3 * time.Millisecond} {
			c.add(turn{Load: traffic.Load{Requests: 1, Elapsed: took, Latencies: map[string][]time.Duration{"GET /": {took + time.Duration(i)}}}, queries: 2})
		}
	}
	var b strings.Builder
	if err := draw(&b, []panel{{"sqlite", []*course{slow, fast}}}, "a title"); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal([]byte(b.String()), new(struct{})); err != nil {
		t.Errorf("it is no XML: %v", err)
	}
	for _, want := range []string{"fast &lt;b&gt;: 10000 requests a second, 2.00 statements each, p50 100µs", "slow: 333 requests a second", ">100µs<", ">10ms<"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("it does not show %q:\n%s", want, b.String())
		}
	}
}
