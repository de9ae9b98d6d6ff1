package preload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/prediction"
	"gorm.io/gorm"
)

type linkedAuthor struct {
	_     struct{} `preload:""`
	ID    int64
	Login string
}

type linkedBook struct {
	_              struct{} `preload:""`
	ID             int64
	LinkedAuthorID int64
	Title          string
}

const linkedRows = 400

// linked is a database of authors with two books each, and pages that show an author by login and
// then the books.
type linked struct {
	*bench
	plain *gorm.DB
	asked int64 // accesses so far
}

func setupLinked(t *testing.T, opts ...Option) *linked {
	t.Helper()
	d := dbtest.SQLite(t)
	b := &linked{bench: &bench{db: d.Open(t), clock: dbtest.NewClock(), probe: d.Probe}}
	b.plain = d.Open(t)
	if err := b.db.AutoMigrate(&linkedAuthor{}, &linkedBook{}); err != nil {
		t.Fatal(err)
	}
	var authors []linkedAuthor
	var books []linkedBook
	for i := range int64(linkedRows) {
		authors = append(authors, linkedAuthor{ID: i + 1, Login: fmt.Sprint("u", i+1)})
		books = append(books, linkedBook{ID: 10_000 + 2*i, LinkedAuthorID: i + 1, Title: "a"}, linkedBook{ID: 10_001 + 2*i, LinkedAuthorID: i + 1, Title: "b"})
	}
	if err := errors.Join(b.db.CreateInBatches(&authors, 100).Error, b.db.CreateInBatches(&books, 100).Error); err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	b.plugin = New(append([]Option{WithClock(b.clock), WithLogger(quiet), WithBrief(time.Second)}, opts...)...)
	if err := b.db.Use(b.plugin); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.plugin.Close() })
	return b
}

func (b *linked) author(t *testing.T, ctx context.Context, n int64) {
	t.Helper()
	var a linkedAuthor
	if err := b.db.WithContext(ctx).Where("login = ?", fmt.Sprint("u", n)).First(&a).Error; err != nil || a.ID != n {
		t.Fatalf("author %d: %+v, %v", n, a, err)
	}
	b.asked++
}

// books reads the books of an author and returns how many queries that took.
func (b *linked) books(t *testing.T, ctx context.Context, n int64) int64 {
	t.Helper()
	before := b.probe.Queries()
	var books []linkedBook
	if err := b.db.WithContext(ctx).Where("linked_author_id = ?", n).Order("id").Find(&books).Error; err != nil || len(books) != 2 || books[0].LinkedAuthorID != n {
		t.Fatalf("books of %d: %+v, %v", n, books, err)
	}
	b.asked++
	return b.probe.Queries() - before
}

// quiesce waits until all accesses were learned from, and what is expected on account of them is
// loaded.
func (b *linked) quiesce(t *testing.T) {
	t.Helper()
	p := b.plugin
	for deadline := time.Now().Add(time.Minute); ; runtime.Gosched() {
		s := p.Stats().Prediction
		rests := s.Learned+s.Lost >= b.asked && p.learner.Rests() && p.cache.Awaited() == 0
		if rests && p.learner.Rests() && p.cache.Awaited() == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("learned from %d of %d accesses", s.Learned, b.asked)
		}
	}
}

// page shows one author in a session of its own.
func (b *linked) page(t *testing.T, n int64) (queries int64) {
	t.Helper()
	ctx := ContextWithSession(context.Background(), fmt.Sprint("page", n))
	b.author(t, ctx, n)
	b.quiesce(t)
	queries = b.books(t, ctx, n)
	b.quiesce(t)
	return queries
}

func TestKeysThatWereNeverAskedForAreLoadedAhead(t *testing.T) {
	t.Parallel()
	b := setupLinked(t)
	for n := range int64(20) {
		b.page(t, n+1)
	}
	there, controlled := 0, 0
	for n := int64(100); n < 180; n++ {
		if b.page(t, n) == 0 {
			there++
		}
	}
	for _, key := range b.plugin.PreloadKeys(1_000) {
		if strings.Contains(key, "linked_books") && association.Control(cache.Hash(key)) {
			controlled++
		}
	}
	// All but those of the control group.
	if there < 80-controlled || there < 60 {
		t.Errorf("%d of 80 lists of books were there when they were asked for; %d keys are never loaded ahead; %+v", there, controlled, b.plugin.Stats().Prediction)
	}
	if s := b.plugin.Stats(); s.PreloadHits == 0 || s.Prediction.Useful == 0 {
		t.Errorf("%+v", s)
	}
}

// TestASessionIsWhatTheApplicationSays gives each query a context that ends by itself, as a timeout
// of its own does.
func TestASessionIsWhatTheApplicationSays(t *testing.T) {
	t.Parallel()
	type trace struct{}
	for name, c := range map[string]struct {
		opts []Option
		want bool
	}{
		"not said": {nil, false},
		"said":     {[]Option{WithSession(func(ctx context.Context) string { id, _ := ctx.Value(trace{}).(string); return id })}, true},
	} {
		b := setupLinked(t, c.opts...)
		for n := range int64(20) {
			request := context.WithValue(context.Background(), trace{}, fmt.Sprint("trace", n))
			first, end := context.WithTimeout(request, time.Minute)
			b.author(t, first, n+1)
			end()
			second, end := context.WithTimeout(request, time.Minute)
			b.books(t, second, n+1)
			end()
		}
		b.author(t, context.Background(), 300)
		e, err := b.plugin.Explain(func(tx *gorm.DB) *gorm.DB { return tx.Where("login = ?", "u300").First(&linkedAuthor{}) })
		if err != nil {
			t.Fatal(err)
		}
		if related := b.plugin.RelatedKeys(e.Key); (len(related) > 0) != c.want {
			t.Errorf("%s: %q follows, want something: %v", name, related, c.want)
		}
	}
}

func TestNothingIsLoadedAheadWithoutTheWorker(t *testing.T) {
	t.Parallel()
	b := setupLinked(t, WithoutWorker())
	for n := range int64(30) {
		ctx := ContextWithSession(context.Background(), fmt.Sprint(n))
		b.author(t, ctx, n+1)
		if b.books(t, ctx, n+1) == 0 {
			t.Fatal("books were there that nobody asked for")
		}
	}
	if s := b.plugin.Stats(); s.PreloadCount != 0 || s.Prediction != (PredictionStats{}) {
		t.Errorf("%+v", s)
	}
}

// TestWhatIsLoadedAheadIsWhatTheDatabaseHolds writes between the load and the read.
func TestWhatIsLoadedAheadIsWhatTheDatabaseHolds(t *testing.T) {
	t.Parallel()
	b := setupLinked(t)
	for n := range int64(20) {
		b.page(t, n+1)
	}
	ahead := 0
	for n := int64(100); n < 140; n++ {
		ctx := ContextWithSession(context.Background(), fmt.Sprint("page", n))
		loaded := b.plugin.Stats().PreloadCount
		b.author(t, ctx, n)
		b.quiesce(t)
		if b.plugin.Stats().PreloadCount > loaded {
			ahead++
		}
		title := fmt.Sprint("new", n)
		if err := b.db.Model(&linkedBook{}).Where("linked_author_id = ?", n).Update("title", title).Error; err != nil {
			t.Fatal(err)
		}
		var books []linkedBook
		if err := b.db.WithContext(ctx).Where("linked_author_id = ?", n).Order("id").Find(&books).Error; err != nil || books[0].Title != title {
			t.Fatalf("books of %d: %+v, %v, want the title %q", n, books, err, title)
		}
		b.asked++
	}
	// Loads that are killed unread are wasted, so that there are fewer and fewer.
	if ahead < 5 || ahead == 40 {
		t.Errorf("%d of 40 lists were loaded ahead", ahead)
	}
}

// TestAnExpectedLoadGivesWayToAReader has the reader come first.
func TestAnExpectedLoadGivesWayToAReader(t *testing.T) {
	t.Parallel()
	b := setupLinked(t)
	ctx := context.Background()
	b.books(t, ctx, 1)
	var key string
	for _, k := range b.plugin.PreloadKeys(10) {
		if strings.Contains(k, "linked_books") {
			key = k
		}
	}
	before := b.probe.Queries()
	x := &association.Expected{Key: key}
	if !b.plugin.worker.Expect(x) {
		t.Fatal("there is no room")
	}
	b.quiesce(t)
	if n := b.probe.Queries() - before; n != 0 || x.Fate() != cache.Late {
		t.Errorf("%d queries, state %d: want none for what a reader has read", n, x.Fate())
	}
}

// TestALoadThatAWriteOvertookIsWasted: it ran, and gave nothing.
func TestALoadThatAWriteOvertookIsWasted(t *testing.T) {
	t.Parallel()
	b := setupLinked(t)
	b.idle(t, 6) // so that there is room beside the write
	b.author(t, context.Background(), 1)
	key := b.plugin.PreloadKeys(10)[0]
	if err := b.plugin.Invalidate(); err != nil {
		t.Fatal(err)
	}
	b.quiesce(t)
	arrived, release := b.hold(t)
	x := &association.Expected{Key: key}
	if !b.plugin.worker.Expect(x) {
		t.Fatal("there is no room")
	}
	<-arrived
	if err := b.db.Model(&linkedAuthor{}).Where("id = ?", 1).Update("login", "u1").Error; err != nil {
		t.Fatal(err)
	}
	release()
	b.settle()
	if o, decided := x.Outcome(); !decided || o != prediction.Wasted {
		t.Errorf("outcome %v, decided %t, want that it is wasted", o, decided)
	}
	if s := b.plugin.Stats().Loads; s.Results["association"]["dead"] != 1 {
		t.Errorf("%+v, want a load that was overtaken", s)
	}
}

// TestARelationIsExpectedAtOnce compares models that GORM knows to be related with models of which
// only their names say so.
func TestARelationIsExpectedAtOnce(t *testing.T) {
	t.Parallel()
	type relatedCountry struct {
		_    struct{} `preload:""`
		ID   int64
		Name string
	}
	type relatedMayor struct {
		_             struct{} `preload:""`
		ID            int64
		RelatedTownID int64
	}
	type relatedTown struct {
		_         struct{} `preload:""`
		ID        int64
		CountryID int64
		Country   relatedCountry
		Mayor     relatedMayor
		RiverID   int64
	}
	type relatedRiver struct {
		_  struct{} `preload:""`
		ID int64
	}
	d := dbtest.SQLite(t)
	db, plugin := d.Open(t), New()
	if err := errors.Join(db.AutoMigrate(&relatedCountry{}, &relatedTown{}, &relatedMayor{}, &relatedRiver{}), db.Use(plugin)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plugin.Close() })
	for i := range int64(3) {
		if err := errors.Join(
			db.Create(&relatedCountry{ID: 10 + i}).Error, db.Create(&relatedRiver{ID: 40 + i}).Error,
			db.Create(&relatedTown{ID: 20 + i, CountryID: 10 + i, RiverID: 40 + i}).Error, db.Create(&relatedMayor{ID: 30 + i, RelatedTownID: 20 + i}).Error,
		); err != nil {
			t.Fatal(err)
		}
	}
	town := func(ctx context.Context, id int64) (found relatedTown) {
		if err := db.WithContext(ctx).Where("id = ?", id).Take(&found).Error; err != nil {
			t.Fatal(err)
		}
		return found
	}
	visit := ContextWithSession(context.Background(), "visit")
	at := town(visit, 20)
	if err := errors.Join(
		db.WithContext(visit).Where("id = ?", at.CountryID).Take(&relatedCountry{}).Error,
		db.WithContext(visit).Where("id = ?", at.RiverID).Take(&relatedRiver{}).Error,
		db.WithContext(visit).Where("related_town_id = ?", at.ID).Take(&relatedMayor{}).Error,
	); err != nil {
		t.Fatal(err)
	}
	town(context.Background(), 21)
	e, err := plugin.Explain(func(tx *gorm.DB) *gorm.DB { return tx.Where("id = ?", 21).Take(&relatedTown{}) })
	if err != nil {
		t.Fatal(err)
	}
	related := strings.Join(plugin.RelatedKeys(e.Key), " ")
	for table, want := range map[string]bool{"related_countries": true, "related_mayors": true, "related_rivers": false} {
		if strings.Contains(related, table) != want {
			t.Errorf("after one visit, %q follows another town; %s among them: want %v", related, table, want)
		}
	}
}

func TestRelatedKeysTellsWhatWasLearned(t *testing.T) {
	t.Parallel()
	b := setupLinked(t)
	for n := range int64(10) {
		b.page(t, n+1)
	}
	b.author(t, context.Background(), 300) // in another session; its books were never asked for
	var author string
	for _, key := range b.plugin.PreloadKeys(100) {
		if strings.Contains(key, "linked_authors") && strings.Contains(key, "u300;") {
			author = key
		}
	}
	related := b.plugin.RelatedKeys(author)
	if len(related) != 1 || !strings.Contains(related[0], "linked_books") || !strings.Contains(related[0], "i300;") {
		t.Errorf("after %s: got %q, want the books of author 300", author, related)
	}
	b.plugin.RecordAccess(author, "mine")
	if related := b.plugin.RelatedKeys(author); len(related) != 2 || related[0] != "mine" {
		t.Errorf("got %q, want what was declared before it", related)
	}
	_ = b.plugin.Close()
	if related := b.plugin.RelatedKeys(author); len(related) != 0 {
		t.Errorf("after Close: got %q", related)
	}
}
