package debug

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorm-preload/preload"
)

//go:embed templates/page.html templates/page.css
var files embed.FS

var (
	style = read("templates/page.css")
	html  = template.Must(template.New("page.html").Funcs(template.FuncMap{
		"bytes": bytes, "short": short, "bars": bars, "style": func() template.CSS { return template.CSS(style) },
		"yes":            func(is bool) string { return map[bool]string{true: "yes", false: "no"}[is] },
		"evictedEntries": func(s preload.Stats) int64 { return s.Evicted - s.EvictedBytes },
		"percent":        func(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) },
		"ago":            func(at time.Time) string { return short(time.Since(at)) },
	}).ParseFS(files, "templates/page.html"))
	styleSum = func() string {
		sum := sha256.Sum256([]byte(style))
		return base64.StdEncoding.EncodeToString(sum[:])
	}()
	modes = []preload.Mode{preload.ModeOn, preload.ModeShadow, preload.ModeOff}
)

// read returns an embedded file.
func read(name string) string {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is not embedded, which the tests see
	}
	return strings.TrimSpace(string(text))
}

// handler is what NewHandler returns.
type handler struct {
	plugin *preload.Plugin
	values bool
	auth   func(*http.Request) bool // nil where there are no actions
	cross  *http.CrossOriginProtection

	mu           sync.Mutex // a leaf
	older, newer point
}

// point is how many hits there were at a moment.
type point struct {
	at   time.Time
	hits int64
}

// Option configures a handler.
type Option func(*handler)

// WithValues shows keys with the values in them. Statements are shown without in any case.
func WithValues() Option { return func(h *handler) { h.values = true } }

// WithActions lets those for whom auth returns true change the mode and invalidate tables, by POST
// from the page itself. auth is asked at each of them, and must be safe for concurrent use; with
// nil there are no actions.
func WithActions(auth func(*http.Request) bool) Option { return func(h *handler) { h.auth = auth } }

// NewHandler returns the page of a plugin: HTML, or JSON where the query has format=json. It serves
// GET and HEAD, whatever the path, and POST where WithActions is given. It is safe for concurrent
// use. Of a nil plugin the page says that there is none.
func NewHandler(p *preload.Plugin, options ...Option) http.Handler {
	h := &handler{plugin: p, cross: http.NewCrossOriginProtection()}
	for _, option := range options {
		if option != nil {
			option(h)
		}
	}
	h.newer = point{time.Now(), p.Stats().Hits}
	h.older = h.newer
	return h
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head, actions := w.Header(), "'none'"
	if h.auth != nil {
		actions = "'self'"
	}
	head.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+styleSum+"'; form-action "+actions+"; frame-ancestors 'none'; base-uri 'none'")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cache-Control", "no-store")
	switch {
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		h.show(w, r)
	case r.Method == http.MethodPost && h.auth != nil:
		h.act(w, r)
	default:
		allowed := "GET, HEAD"
		if h.auth != nil {
			allowed += ", POST"
		}
		head.Set("Allow", allowed)
		http.Error(w, r.Method+" is not allowed here: want "+allowed, http.StatusMethodNotAllowed)
	}
}

// show writes the page.
func (h *handler) show(w http.ResponseWriter, r *http.Request) {
	pg := newPage(h.plugin, h.rate(time.Now()), h.values)
	if r.URL.Query().Get("format") == "json" {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(pg) // who asked is gone where it fails
		return
	}
	if pg.Actions = h.auth != nil && h.auth(r); pg.Actions {
		for _, mode := range modes {
			pg.Modes = append(pg.Modes, mode.String())
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = html.Execute(w, pg)
}

// rate returns how many hits a second there were in the last half of a minute, or more.
func (h *handler) rate(now time.Time) float64 {
	hits := h.plugin.Stats().Hits
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Sub(h.newer.at) >= 30*time.Second || hits < h.newer.hits {
		h.older, h.newer = h.newer, point{now, hits}
	}
	passed := now.Sub(h.older.at).Seconds()
	if passed <= 0 || hits < h.older.hits {
		return 0
	}
	return float64(hits-h.older.hits) / passed
}

// maxForm bounds what is read of a form.
const maxForm = 4 << 10

// act does what the page was asked for, and shows it again.
func (h *handler) act(w http.ResponseWriter, r *http.Request) {
	if err := h.cross.Check(r); err != nil {
		http.Error(w, "actions are taken from the page itself only", http.StatusForbidden)
		return
	}
	if !h.auth(r) {
		http.Error(w, "you may not do that", http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form cannot be read", http.StatusBadRequest)
		return
	}
	var err error
	switch action := r.PostForm.Get("action"); action {
	case "mode":
		name := r.PostForm.Get("mode")
		i := slices.IndexFunc(modes, func(m preload.Mode) bool { return m.String() == name })
		if i < 0 {
			http.Error(w, fmt.Sprintf("mode is %q: want on, shadow or off", name), http.StatusBadRequest)
			return
		}
		err = h.plugin.SetMode(modes[i])
	case "invalidate":
		if name := r.PostForm.Get("table"); name != "" {
			err = h.plugin.Invalidate(name)
		} else {
			err = h.plugin.Invalidate()
		}
	default:
		http.Error(w, fmt.Sprintf("action is %q: want mode or invalidate", action), http.StatusBadRequest)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	http.Redirect(w, r, r.URL.Path, http.StatusSeeOther)
}
