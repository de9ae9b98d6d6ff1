// Package service is a web shop as an ordinary team writes one with net/http and GORM. It knows
// nothing of the plugin but the tag `preload:""` of its models, so that the same code runs with the
// plugin and without it.
//
// Who asks is told by the header X-User, which holds the number of a user; a real shop would read
// it from a cookie.
package service

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"gorm.io/gorm"
)

// shop holds what the endpoints share.
type shop struct {
	db *gorm.DB
}

// endpoints are what the shop answers, by pattern.
var endpoints = []struct {
	pattern string
	answer  func(*shop, *http.Request) (any, error)
}{
	{"GET /{$}", (*shop).home},
	{"GET /categories/{slug}", (*shop).category},
	{"GET /products/{id}", (*shop).product},
	{"GET /products/{id}/related", (*shop).related},
	{"GET /tags/{name}", (*shop).tag},
	{"GET /search", (*shop).search},
	{"GET /top", (*shop).top},
	{"GET /coupons", (*shop).coupons},
	{"GET /users/{id}", (*shop).profile},
	{"GET /me", (*shop).me},
	{"GET /orders", (*shop).orders},
	{"GET /orders/{id}", (*shop).order},
	{"GET /cart", (*shop).cart},
	{"GET /report", (*shop).report},
	{"POST /users", (*shop).register},
	{"POST /login", (*shop).login},
	{"PUT /me", (*shop).changeMe},
	{"POST /cart", (*shop).addToCart},
	{"DELETE /cart/{id}", (*shop).removeFromCart},
	{"POST /orders", (*shop).buy},
	{"POST /products/{id}/reviews", (*shop).writeReview},
	{"POST /reviews/{id}/like", (*shop).likeReview},
	{"DELETE /reviews/{id}", (*shop).deleteReview},
	{"POST /products/{id}/tags", (*shop).tagProduct},
	{"PUT /products/{id}/price", (*shop).changePrice},
	{"POST /products/{id}/deliveries", (*shop).deliver},
}

// New returns the shop on a database that holds its tables.
func New(db *gorm.DB) http.Handler {
	s := &shop{db}
	mux := http.NewServeMux()
	for _, e := range endpoints {
		mux.Handle(e.pattern, endpoint(func(r *http.Request) (any, error) { return e.answer(s, r) }))
	}
	return mux
}

// Patterns returns the patterns of all endpoints.
func Patterns() (patterns []string) {
	for _, e := range endpoints {
		patterns = append(patterns, e.pattern)
	}
	return patterns
}

// endpoint returns what is to be shown, or why it cannot be.
type endpoint func(r *http.Request) (any, error)

func (e endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := e(r)
	w.Header().Set("Content-Type", "application/json")
	var known *httpError
	switch {
	case err == nil:
	case errors.As(err, &known):
		w.WriteHeader(known.status)
		answer = map[string]string{"error": known.text}
	case errors.Is(err, gorm.ErrRecordNotFound):
		w.WriteHeader(http.StatusNotFound)
		answer = map[string]string{"error": "not found"}
	default:
		w.WriteHeader(http.StatusInternalServerError)
		answer = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// httpError is an error that the user made.
type httpError struct {
	status int
	text   string
}

func (e *httpError) Error() string { return e.text }

var (
	errSignIn     = &httpError{http.StatusUnauthorized, "sign in first"}
	errPassword   = &httpError{http.StatusUnauthorized, "wrong email or password"}
	errTaken      = &httpError{http.StatusConflict, "this email has an account already"}
	errEmptyCart  = &httpError{http.StatusConflict, "the cart is empty"}
	errOutOfStock = &httpError{http.StatusConflict, "out of stock"}
	errNotYours   = &httpError{http.StatusForbidden, "this order is another user's"}
)

// on returns the database in the context of the request.
func (s *shop) on(r *http.Request) *gorm.DB { return s.db.WithContext(r.Context()) }

// user returns who is signed in.
func (s *shop) user(r *http.Request) (*User, error) {
	id := r.Header.Get("X-User")
	if id == "" {
		return nil, errSignIn
	}
	var user User
	if err := s.on(r).First(&user, number(id)).Error; err != nil {
		return nil, errSignIn
	}
	return &user, nil
}

// number reads a number; what is none is 0, which no row has.
func number(text string) uint {
	n, _ := strconv.ParseUint(text, 10, 32)
	return uint(n)
}

// pathID is the number in the path of a request.
func pathID(r *http.Request) uint { return number(r.PathValue("id")) }

// body reads the JSON that came with a request.
func body(r *http.Request, into any) error {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		return &httpError{http.StatusBadRequest, "the body is no JSON: " + err.Error()}
	}
	return nil
}

const pageSize = 20

// page is the scope of one page of a list.
func page(r *http.Request) func(*gorm.DB) *gorm.DB {
	n := max(1, int(number(r.URL.Query().Get("page"))))
	return func(db *gorm.DB) *gorm.DB { return db.Limit(pageSize).Offset((n - 1) * pageSize) }
}
