package oracle

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
)

// Pages counts the pages that were asked for of both services.
type Pages struct {
	Compared int
	Wrong    []string // those that differ; a few
}

// Alone serves requests with the service that is watched, those with other methods than GET one at
// a time and while nobody reads. Each page is also asked of plain, the same service without the
// plugin, and both have to be equal.
func (o *Oracle) Alone(watched, plain http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			o.alone.Lock()
			defer o.alone.Unlock()
			watched.ServeHTTP(w, r)
			return
		}
		o.alone.RLock()
		defer o.alone.RUnlock()
		got, want := httptest.NewRecorder(), httptest.NewRecorder()
		watched.ServeHTTP(got, r)
		plain.ServeHTTP(want, r.Clone(r.Context()))
		o.compare(r, got, want)
		w.WriteHeader(got.Code)
		_, _ = io.Copy(w, got.Body)
	})
}

func (o *Oracle) compare(r *http.Request, got, want *httptest.ResponseRecorder) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pages.Compared++
	if got.Code == want.Code && bytes.Equal(got.Body.Bytes(), want.Body.Bytes()) || len(o.pages.Wrong) >= 5 {
		return
	}
	o.pages.Wrong = append(o.pages.Wrong, fmt.Sprintf("%s: %d %s\nwithout the plugin: %d %s", r.URL, got.Code, got.Body, want.Code, want.Body))
}

// Pages returns what was compared so far.
func (o *Oracle) Pages() Pages {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pages
}
