package debug_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/debug"
	"github.com/gorm-preload/preload/internal/opentest"
	"gorm.io/gorm"
)

// book is what is read.
type book struct {
	_     struct{} `preload:""`
	ID    int
	Shelf int
	Title string
}

// hostile is a model whose table and columns have names that would be markup, and more.
type hostile struct {
	_    struct{} `preload:""`
	ID   int
	Name string `gorm:"column:'><svg onload=alert(2)>"`
}

const hostileName = `<script>alert(1)</script>{{}}"onmouseover="x`

func (hostile) TableName() string { return hostileName }

// open returns a database with books, and hostiles if these are wanted.
func open(t testing.TB, options ...preload.Option) (*gorm.DB, *preload.Plugin) {
	t.Helper()
	books := []book{}
	for i := range 40 {
		books = append(books, book{ID: i + 1, Shelf: i % 4, Title: fmt.Sprint("secret ", i)})
	}
	return opentest.Open(t, &books, options...)
}

// use reads and writes, so that the page has something in each of its parts.
func use(t testing.TB, db *gorm.DB) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for turn := range 6 {
		for id := range 20 {
			must(db.First(new(book), id+1).Error)
		}
		for shelf := range 4 {
			must(db.Where("shelf = ? AND title <> 'secret literal'", shelf).Order("title").Find(new([]book)).Error)
		}
		must(db.Limit(3).Find(new([]book)).Error)
		must(db.Model(&book{}).Count(new(int64)).Error)
		must(db.Model(&book{ID: turn + 1}).Update("title", fmt.Sprint("secret new ", turn)).Error)
		must(db.Raw("SELECT * FROM books WHERE title LIKE 'secret%' AND id IN ?", []int{1, 2, 3}).Scan(new([]book)).Error)
		must(db.Transaction(func(tx *gorm.DB) error { return tx.First(new(book), 1).Error }))
		must(db.Where("title < datetime('now')").Find(new([]book)).Error)
	}
	must(db.Clauses(preload.Refresh).First(new(book), 1).Error)
}

// useHostile does so with names that would be markup.
func useHostile(t testing.TB, db *gorm.DB) {
	t.Helper()
	name := "`" + hostileName + "`"
	if err := db.Exec("CREATE TABLE " + name + " (id integer primary key, `'><svg onload=alert(2)>` text)").Error; err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := db.Find(new([]hostile)).Error; err != nil {
			t.Fatal(err)
		}
		if err := db.Create(&hostile{Name: "x"}).Error; err != nil {
			t.Fatal(err)
		}
		if err := db.Raw("SELECT * FROM " + name).Scan(new([]map[string]any)).Error; err != nil {
			t.Fatal(err)
		}
	}
}

// get asks for the page.
func get(t *testing.T, h http.Handler, target string) (*http.Response, string) {
	t.Helper()
	return do(t, h, httptest.NewRequest(http.MethodGet, target, nil))
}

func do(t *testing.T, h http.Handler, r *http.Request) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

func TestThePageTellsWhatHappened(t *testing.T) {
	t.Parallel()
	db, p := open(t)
	use(t, db)
	h := debug.NewHandler(p)
	response, body := get(t, h, "/debug/preload")
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("%s, %s", response.Status, response.Header)
	}
	policy := response.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") || !strings.Contains(policy, "form-action 'none'") {
		t.Errorf("the policy is %q", policy)
	}
	for _, want := range []string{"of reads", "SELECT * FROM books", "writes of books", "row of the same id", "give WithRaw", "Configuration", "other processes are not seen", "</html>", `class="invalidated"`} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	for _, not := range []string{"secret", "<script", "<form", "style=", "onload", "ZgotmplZ"} {
		if strings.Contains(body, not) {
			t.Errorf("%q is on the page", not)
		}
	}
	response, body = get(t, h, "/?format=json")
	var pg struct {
		Verdict string
		Shapes  []preload.ShapeStats
		Stats   preload.Stats
	}
	if err := json.Unmarshal([]byte(body), &pg); err != nil || !strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		t.Fatalf("%v: %s", err, response.Header)
	}
	if pg.Stats.Hits != p.Stats().Hits || len(pg.Shapes) != len(p.Shapes(100)) || pg.Verdict == "" || strings.Contains(body, "secret") {
		t.Errorf("%+v", pg)
	}
}

func TestKeysAreShownWhereThatIsAskedFor(t *testing.T) {
	t.Parallel()
	db, p := open(t)
	for range 3 {
		if err := db.Where("title = ?", "secret 3").Find(new([]book)).Error; err != nil {
			t.Fatal(err)
		}
	}
	if _, body := get(t, debug.NewHandler(p), "/"); strings.Contains(body, "secret") || !strings.Contains(body, "sql:books#") {
		t.Error("a key is shown with its values, or none is shown")
	}
	if _, body := get(t, debug.NewHandler(p, debug.WithValues()), "/"); !strings.Contains(body, "secret 3") {
		t.Error("WithValues shows none")
	}
}

func TestNamesAreEscaped(t *testing.T) {
	t.Parallel()
	db, p := open(t)
	useHostile(t, db)
	_, body := get(t, debug.NewHandler(p, debug.WithValues(), debug.WithActions(func(*http.Request) bool { return true })), "/?x=<script>")
	for _, not := range []string{"<script", "<svg onload", `"onmouseover="`} {
		if strings.Contains(body, not) {
			t.Errorf("%q is on the page", not)
		}
	}
	if !strings.Contains(body, "&lt;script&gt;") {
		t.Error("the table is not on the page")
	}
}

func TestPluginsThatAreNotInUse(t *testing.T) {
	t.Parallel()
	closed := preload.New()
	_ = closed.Close()
	for name, p := range map[string]*preload.Plugin{"nil": nil, "new": preload.New(), "closed": closed} {
		response, body := get(t, debug.NewHandler(p, nil), "/")
		if response.StatusCode != http.StatusOK || !strings.Contains(body, `role="alert"`) || !strings.Contains(body, "</html>") {
			t.Errorf("%s: %s\n%s", name, response.Status, body)
		}
	}
}

func TestActionsAreForThoseWhoMay(t *testing.T) {
	t.Parallel()
	db, p := open(t)
	may := true
	h := debug.NewHandler(p, debug.WithActions(func(*http.Request) bool { return may }))
	post := func(form, site string) int {
		r := httptest.NewRequest(http.MethodPost, "http://here/debug", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		response, _ := do(t, h, r)
		return response.StatusCode
	}
	if got := post("action=mode&mode=shadow", "same-origin"); got != http.StatusSeeOther || p.Mode() != preload.ModeShadow {
		t.Errorf("mode=shadow: %d, %v", got, p.Mode())
	}
	if got := post("action=mode&mode=on", "cross-site"); got != http.StatusForbidden || p.Mode() != preload.ModeShadow {
		t.Errorf("from another site: %d, %v", got, p.Mode())
	}
	may = false
	if got := post("action=mode&mode=on", ""); got != http.StatusForbidden || p.Mode() != preload.ModeShadow {
		t.Errorf("by one who may not: %d, %v", got, p.Mode())
	}
	if _, body := get(t, h, "/"); strings.Contains(body, "<form") {
		t.Error("one who may not sees forms")
	}
	may = true
	_ = post("action=mode&mode=on", "")
	for range 2 {
		if err := db.First(new(book), 1).Error; err != nil {
			t.Fatal(err)
		}
	}
	if got := post("action=invalidate&table=books", ""); got != http.StatusSeeOther || p.Stats().Entries != 0 {
		t.Errorf("invalidate: %d, %d entries", got, p.Stats().Entries)
	}
	for form, want := range map[string]int{
		"action=mode&mode=fast": http.StatusBadRequest, "action=drop": http.StatusBadRequest, "": http.StatusBadRequest,
		"action=" + url.QueryEscape(strings.Repeat("x", 5_000)): http.StatusBadRequest,
	} {
		if got := post(form, ""); got != want {
			t.Errorf("%.30q: %d, want %d", form, got, want)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		response, _ := do(t, debug.NewHandler(p), httptest.NewRequest(method, "/", nil))
		if response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %s, Allow %q", method, response.Status, response.Header.Get("Allow"))
		}
	}
}

func ExampleNewHandler() {
	plugin := preload.New() // which db.Use was called with
	mux := http.NewServeMux()
	mux.Handle("/debug/preload", debug.NewHandler(plugin))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/preload", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}
