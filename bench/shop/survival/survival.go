// Package survival asks what a write leaves in memory. All answers of a small shop are in memory;
// one write of a usual kind is made; and all is asked again. Of the answers whose tables were
// written, most have not changed: the more of them are still served from memory, the better.
package survival

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/bench/database"
	"github.com/gorm-preload/preload/bench/shop/oracle"
	"github.com/gorm-preload/preload/examples/shop/service"
	"gorm.io/gorm"
)

// Size is how much is in the shop.
var Size = service.Size{Users: 24, Products: 60, Categories: 5, Tags: 10, ReviewsEach: 3, OrdersEach: 2}

// Row is what became of the answers after one kind of write, of those whose tables were written.
type Row struct {
	Kind    string
	Tables  []string // that were written
	Changed int      // answers that are no longer true
	// Unchanged are the answers that are, and Served those of them that were served from memory;
	// Tagged and TaggedServed are those among them that the tags of the models ask for.
	Unchanged, Served    int
	Tagged, TaggedServed int
	// Others are the answers of tables that were not written, of those that the tags ask for, and
	// OthersServed those of them that were served.
	Others, OthersServed int
	Wrong                int // answers that were not true
}

// Measure makes each of the kinds of write in a new database, as many rows as that. progress is
// called with each kind.
func Measure(ctx context.Context, d *database.Database, size service.Size, progress func(kind string)) (rows []Row, err error) {
	w, err := open(d, size)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.plugin.Close()) }()
	if err := w.ask(ctx, nil); err != nil {
		return nil, err
	}
	for i, kind := range kinds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		progress(kind.name)
		row, err := w.survive(ctx, i, kind)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind.name, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// world is a shop whose reads are watched.
type world struct {
	db        *gorm.DB
	shop      http.Handler
	oracle    *oracle.Oracle
	plugin    *preload.Plugin
	questions []*http.Request
	answers   map[[32]byte][32]byte
	writing   bool
	written   []string // tables, while writing
}

func open(d *database.Database, size service.Size) (*world, error) {
	w := &world{answers: map[[32]byte][32]byte{}}
	plain, err := d.Open(&database.Counts{}, gorm.Config{})
	if err != nil {
		return nil, err
	}
	if err := service.Seed(plain, size); err != nil {
		return nil, err
	}
	w.db, err = d.Open(&database.Counts{Seen: func(ctx context.Context, statement string) error {
		if w.writing && !reading(statement) {
			w.written = append(w.written, oracle.Tables(statement)[:min(1, len(oracle.Tables(statement)))]...)
		}
		return oracle.Asked(ctx, statement)
	}}, gorm.Config{})
	if err != nil {
		return nil, err
	}
	// Nothing is loaded again behind the back of who counts, and nothing leaves for want of room.
	w.plugin = preload.New(preload.WithoutWorker(), preload.WithMaxEntries(100_000), preload.WithMaxBytes(1<<30), preload.WithNegativeTTL(preloadFor))
	if err := w.db.Use(w.plugin); err != nil {
		return nil, err
	}
	if w.oracle, err = oracle.Watch(w.db, plain); err != nil {
		return nil, err
	}
	w.shop = service.New(w.db)
	w.questions = questions(size)
	return w, nil
}

// survive makes a write and asks all again.
func (w *world) survive(ctx context.Context, n int, k kind) (Row, error) {
	row := Row{Kind: k.name}
	w.writing, w.written = true, nil
	err := k.do(w.db.WithContext(ctx), n+1)
	w.writing = false
	slices.Sort(w.written)
	row.Tables = slices.Compact(w.written)
	if err == nil && len(row.Tables) == 0 {
		err = errors.New("it wrote nothing")
	}
	if err != nil {
		return row, err
	}
	asked := map[[32]byte]bool{}
	err = w.ask(ctx, func(r oracle.Read) {
		if r.Wrong {
			row.Wrong++
		}
		before, known := w.answers[r.Key]
		w.answers[r.Key] = r.Answer
		if !known || asked[r.Key] {
			return // what is asked twice is in memory since it was asked first
		}
		asked[r.Key] = true
		written := slices.ContainsFunc(r.Tables, func(table string) bool { return slices.Contains(row.Tables, table) })
		switch {
		case before != r.Answer:
			row.Changed++
		case !written:
			if r.Class == oracle.Tagged {
				count(&row.Others, &row.OthersServed, r.Served)
			}
		default:
			count(&row.Unchanged, &row.Served, r.Served)
			if r.Class == oracle.Tagged {
				count(&row.Tagged, &row.TaggedServed, r.Served)
			}
		}
	})
	return row, err
}

func count(all, served *int, is bool) {
	*all++
	if is {
		*served++
	}
}

// ask asks all questions; nil notes the answers.
func (w *world) ask(ctx context.Context, each func(oracle.Read)) error {
	if each == nil {
		each = func(r oracle.Read) { w.answers[r.Key] = r.Answer }
	}
	w.oracle.Each(each)
	for _, question := range w.questions {
		ctx, end := context.WithCancel(ctx)
		page := httptest.NewRecorder()
		w.shop.ServeHTTP(page, question.Clone(ctx))
		end()
		// What was withdrawn is not found any more.
		if page.Code != http.StatusOK && page.Code != http.StatusNotFound {
			return fmt.Errorf("GET %s: %d %s", question.URL, page.Code, page.Body)
		}
	}
	return nil
}
