package preload_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// collatedName has texts by which it is found, in columns whose collation its model does not tell.
type collatedName struct {
	_    struct{} `preload:""`
	ID   int
	Name string `gorm:"size:20"`
	Code string `gorm:"type:char(8)"`
	N    int
}

// collatedTable makes the table of such rows with a collation.
func collatedTable(collation string) string {
	set, _, _ := strings.Cut(collation, "_")
	return fmt.Sprintf("CREATE TABLE collated_names (id int PRIMARY KEY, name varchar(20), code char(8), n int) CHARACTER SET %s COLLATE %s", set, collation)
}

// collatedWorld is a database of MySQL with this table, and a plugin that asks it in the background.
func collatedWorld(t *testing.T, d *dbtest.Database, table string) *worldtest.World {
	t.Helper()
	w := &worldtest.World{Database: d, DB: d.Open(t), Plain: d.Plain(t), Plugin: preload.New(preload.WithLogger(worldtest.Quiet()))}
	if err := w.Plain.Exec(table).Error; err != nil {
		t.Skipf("%s: %v", table, err) // such as a collation that this server does not have
	}
	worldtest.Must(t, w.DB.Use(w.Plugin))
	t.Cleanup(func() {
		if err := preload.Check(w.Plugin); err != nil {
			t.Errorf("at the end: %v", err)
		}
	})
	return w
}

// collatedAsked reads until the database was asked about the table so many times, and has answered.
func collatedAsked(t *testing.T, w *worldtest.World, times int) {
	t.Helper()
	seenEventually(t, "the database is asked about the collations", func() bool {
		worldtest.Must(t, w.DB.Clauses(preload.Refresh).Find(&[]collatedName{}, 0).Error)
		n := 0
		for _, sql := range w.Probe.Log() {
			if strings.Contains(sql, "COLLATION_NAME") {
				n++
			}
		}
		return n >= times && w.Plugin.Stats().ActiveTasks == 0
	})
}

// collatedTexts are near to one another by some collation, or look so.
var collatedTexts = []string{
	"", " ", "a", "A", "a ", "b", "ab", "aB", "a-b", "a.b", "a b", "a'b", "a\x01", "\x01a", "a\u00ad", "ä", "Å", "aa", "AA", "a\u030a", "s", "ss", "ß", "c", "h",
	"ch", "cH", "[", "{", "\\", "i", "I", "ı", "j", "u", "v", "7", "07", "7.0", "2026-01-02", "2026-1-2", "abcdefgh", "abcdefghi", "ÿ", "ﬁ", "fi", "é", "e", "~", "^", "`",
}

var collatedCollations = []string{
	"utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_unicode_nopad_ci", "utf8mb4_unicode_520_ci", "utf8mb4_0900_ai_ci", "utf8mb4_0900_as_cs",
	"utf8mb4_uca1400_ai_ci", "utf8mb4_uca1400_as_cs", "utf8mb4_bin", "utf8mb4_nopad_bin", "utf8mb3_general_ci", "latin1_swedish_ci", "latin1_general_cs",
	"utf8mb4_danish_ci", "utf8mb4_czech_ci", "utf8mb4_spanish2_ci", "utf8mb4_roman_ci", "utf8mb4_turkish_ci", "latin1_german2_ci",
}

// TestTextsThatACollationTakesForEqualAreNotToldApart: whatever the collation of a table, an answer
// by one text is that of plain GORM after a write by another one, in a server that is strict and
// in one that cuts texts off; and answers by a text that is none of it stay in memory where the
// collation is known.
func TestTextsThatACollationTakesForEqualAreNotToldApart(t *testing.T) {
	t.Parallel()
	for i, collation := range collatedCollations {
		t.Run(collation, func(t *testing.T) {
			t.Parallel()
			d := dbtest.MySQL(t)
			if i%2 > 0 {
				d = d.With(t, map[string]string{"sql_mode": "''"})
			}
			w := collatedWorld(t, d, collatedTable(collation))
			collatedAsked(t, w, 1)
			r := rand.New(rand.NewPCG(8, uint64(i)))
			text := func() string { return collatedTexts[r.IntN(len(collatedTexts))] }
			served, differ := 0, 0
			for step := range 60 {
				// Two rows, one of each of two texts that may be near to each other.
				_ = w.Plain.Exec("DELETE FROM collated_names").Error
				x, y := text(), text()
				_ = w.Plain.Create(&[]collatedName{{ID: 1, Name: x, Code: x, N: 1}, {ID: 2, Name: y, Code: y, N: 2}}).Error // one of them may be none of the character set
				worldtest.Must(t, w.Plugin.Invalidate(&collatedName{}))
				column := []string{"name", "code"}[r.IntN(2)]
				near := []string{x, y, text(), text(), text()}
				ask := func(db *gorm.DB) (all []string) {
					for _, s := range near {
						var rows []collatedName
						err := db.Where(column+" = ?", s).Order("id").Find(&rows).Error
						all = append(all, fmt.Sprintf("%q: %v %v", s, rows, err != nil))
					}
					var rows []collatedName
					err := db.Where(column+" IN ?", []string{x, near[2]}).Order("id").Find(&rows).Error
					return append(all, fmt.Sprintf("two: %v %v", rows, err != nil))
				}
				before := ask(w.DB)
				by, set := near[r.IntN(len(near))], near[r.IntN(len(near))]
				writes := map[string]func(db *gorm.DB) error{
					"update": func(db *gorm.DB) error {
						return db.Model(&collatedName{}).Where(column+" = ?", by).Update("n", 10+step).Error
					},
					"rename": func(db *gorm.DB) error {
						return db.Model(&collatedName{}).Where(column+" = ?", by).Update(column, set).Error
					},
					"rename one": func(db *gorm.DB) error { return db.Model(&collatedName{ID: 1}).Update(column, set).Error },
					"delete":     func(db *gorm.DB) error { return db.Where(column+" = ?", by).Delete(&collatedName{}).Error },
					"insert":     func(db *gorm.DB) error { return db.Create(&collatedName{ID: 3, Name: set, Code: set, N: 3}).Error },
					"as bytes":   func(db *gorm.DB) error { return db.Where(column+" = ?", []byte(by)).Delete(&collatedName{}).Error },
					"in raw SQL": func(db *gorm.DB) error {
						return db.Exec("UPDATE collated_names SET n = n + 7 WHERE "+column+" = ?", by).Error
					},
					"of a list": func(db *gorm.DB) error {
						return db.Where(column+" IN ?", []string{by, set}).Delete(&collatedName{}).Error
					},
					"by another": func(db *gorm.DB) error {
						return db.Where(column+" = ? COLLATE utf8mb4_general_ci", by).Delete(&collatedName{}).Error
					},
					"in a tx too": func(db *gorm.DB) error {
						return db.Transaction(func(tx *gorm.DB) error { return tx.Where(column+" = ?", by).Delete(&collatedName{}).Error })
					},
				}
				names := slices.Sorted(func(yield func(string) bool) {
					for name := range writes {
						if !yield(name) {
							return
						}
					}
				})
				name := names[r.IntN(len(names))]
				_ = writes[name](w.DB) // which may fail where a text is none of the character set
				hits := w.Plugin.Stats().Hits
				right, got := ask(w.Plain), ask(w.DB)
				served += int(w.Plugin.Stats().Hits - hits)
				if !slices.Equal(got, right) {
					t.Fatalf("step %d: %s of %s by %q to %q:\ngot  %q\nwant %q\nbefore %q", step, name, column, by, set, got, right, before)
				}
				if !slices.Equal(right, before) {
					differ++
				}
			}
			t.Logf("%d answers were served after a write, %d writes changed some", served, differ)
			if differ < 10 {
				t.Error("the writes changed too little: the test tests nothing")
			}
		})
	}
}

// TestTextsOfMySQLAreToldApart: a write by one text leaves the answers by others in memory, once the
// database has said by which collation they are compared: where that is one of a known list, and
// the column is one of text as it is stored.
func TestTextsOfMySQLAreToldApart(t *testing.T) {
	t.Parallel()
	table := func(name, code, end string) string {
		return fmt.Sprintf("CREATE TABLE collated_names (id int PRIMARY KEY, name %s, code %s, n int) %s", name, code, end)
	}
	long := table("longtext", "char(8)", "COLLATE utf8mb4_general_ci")
	for name, test := range map[string]struct {
		table string
		apart bool // whether "x" and "y" are, in Name
	}{
		"general":                {collatedTable("utf8mb4_general_ci"), true},
		"unicode":                {collatedTable("utf8mb4_unicode_ci"), true},
		"latin1":                 {collatedTable("latin1_swedish_ci"), true},
		"a language's own":       {collatedTable("utf8mb4_danish_ci"), false},
		"another language's own": {collatedTable("latin1_german1_ci"), false},
		"of a column":            {table("varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_danish_ci", "char(8)", "COLLATE utf8mb4_general_ci"), false},
		"of another column":      {table("varchar(20)", "char(8) CHARACTER SET utf8mb4 COLLATE utf8mb4_danish_ci", "COLLATE utf8mb4_general_ci"), true},
		"a list of values":       {table("enum('x','y')", "char(8)", "COLLATE utf8mb4_general_ci"), false},
		"a set of values":        {table("set('x','y')", "char(8)", "COLLATE utf8mb4_general_ci"), false},
		"generated":              {table("varchar(20) GENERATED ALWAYS AS (left(n, 1)) STORED", "char(8)", "COLLATE utf8mb4_general_ci"), false},
		"an engine elsewhere":    {table("varchar(20)", "char(8)", "ENGINE = MEMORY COLLATE utf8mb4_general_ci"), false},
		"long":                   {long, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := dbtest.MySQL(t)
			if name == "generated" {
				d = d.With(t, map[string]string{"sql_mode": "''"}) // which ignores what is given for it
			}
			w := collatedWorld(t, d, test.table)
			collatedAsked(t, w, 1)
			if got := collatedApart(t, w, "x", "y"); got != test.apart {
				t.Errorf("x and y are told apart: %t, want %t", got, test.apart)
			}
			if strings.Contains(test.table, "('x','y')") {
				return // which can be nothing else
			}
			for _, near := range [][2]string{{"x", "X"}, {"x", "x "}, {"x", "ÿ"}, {"x\x01", "y"}, {strings.Repeat("x", 300), "y"}} {
				if test.table != long && collatedApart(t, w, near[0], near[1]) {
					t.Errorf("%q and %q are told apart", near[0], near[1])
				}
			}
		})
	}
}

// collatedApart reports whether a write by one text leaves an answer by another one in memory, as
// Explain foretells it: other answers may be loaded and invalidated in the background.
func collatedApart(t *testing.T, w *worldtest.World, x, y string) (apart bool) {
	t.Helper()
	read := func(tx *gorm.DB) *gorm.DB { return tx.Where("name = ?", x).Find(&[]collatedName{}) }
	insert := func(tx *gorm.DB) *gorm.DB { return tx.Create(&collatedName{ID: 5, Name: y}) }
	worldtest.Must(t, w.Plugin.Invalidate(&collatedName{}))
	var answer preload.Explanation
	seenEventually(t, "the answer is in memory", func() bool { // which a table may be kept out of for a while
		worldtest.Must(t, read(w.DB).Error)
		var err error
		answer, err = w.Plugin.Explain(read)
		worldtest.Must(t, err)
		return answer.Stored
	})
	write, err := w.Plugin.Explain(insert)
	worldtest.Must(t, err)
	apart = !slices.ContainsFunc(write.Invalidates, func(i preload.Invalidation) bool { return i.Key == answer.Key })
	hits := w.Plugin.Stats().Hits
	worldtest.Must(t, insert(w.DB).Error)
	worldtest.Must(t, read(w.DB).Error)
	if apart && w.Plugin.Stats().Hits == hits {
		t.Errorf("an insert of %q invalidated the answer by %q, which Explain did not say", y, x)
	}
	worldtest.Must(t, w.DB.Delete(&collatedName{ID: 5}).Error)
	return apart
}

// TestWhatIsKnownOfACollationIsForgotten with a statement that may give the table another one, and
// where connections differ.
func TestWhatIsKnownOfACollationIsForgotten(t *testing.T) {
	t.Parallel()
	alter := func(collation string) func(t *testing.T, w *worldtest.World) {
		return func(t *testing.T, w *worldtest.World) {
			worldtest.Must(t, w.DB.Exec("ALTER TABLE collated_names CONVERT TO CHARACTER SET utf8mb4 COLLATE "+collation).Error)
		}
	}
	for name, test := range map[string]struct {
		do    func(t *testing.T, w *worldtest.World)
		again bool // whether it is asked for again
		apart bool // whether texts are told apart then
	}{
		"a language's own": {alter("utf8mb4_danish_ci"), true, false},
		"another one":      {alter("utf8mb4_unicode_ci"), true, true},
		"dropped and made anew": {func(t *testing.T, w *worldtest.World) {
			worldtest.Must(t, w.DB.Exec("DROP TABLE collated_names").Error)
			worldtest.Must(t, w.DB.Exec(collatedTable("utf8mb4_danish_ci")).Error)
		}, true, false},
		"by a procedure that nobody knows": {func(t *testing.T, w *worldtest.World) {
			worldtest.Must(t, w.Plain.Exec("CREATE PROCEDURE danish() ALTER TABLE collated_names CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_danish_ci").Error)
			worldtest.Must(t, w.DB.Exec("CALL danish()").Error)
		}, true, false},
		"in a transaction": {func(t *testing.T, w *worldtest.World) {
			worldtest.Must(t, w.DB.Transaction(func(tx *gorm.DB) error {
				return tx.Exec("ALTER TABLE collated_names CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_danish_ci").Error
			}))
		}, true, false},
		"connections differ": {func(t *testing.T, w *worldtest.World) {
			worldtest.Must(t, w.DB.Exec("SET collation_connection = utf8mb4_danish_ci").Error)
		}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := collatedWorld(t, dbtest.MySQL(t), collatedTable("utf8mb4_general_ci"))
			collatedAsked(t, w, 1)
			if !collatedApart(t, w, "x", "y") {
				t.Fatal("texts are not told apart")
			}
			test.do(t, w)
			if collatedApart(t, w, "aa", "å") {
				t.Fatal("texts are told apart by the collation of before")
			}
			if test.again {
				collatedAsked(t, w, 2)
			}
			if got := collatedApart(t, w, "x", "y"); got != test.apart {
				t.Errorf("x and y are told apart: %t, want %t", got, test.apart)
			}
		})
	}
}

// TestACollationIsNotLearnedWhileTheTableIsAltered: what the database says between may be what was
// there before.
func TestACollationIsNotLearnedWhileTheTableIsAltered(t *testing.T) {
	t.Parallel()
	w := collatedWorld(t, dbtest.MySQL(t), collatedTable("utf8mb4_general_ci"))
	answered, altered := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	w.Probe.After(func(c dbtest.Call, err error) error {
		if strings.Contains(c.SQL, "COLLATION_NAME") && first.CompareAndSwap(false, true) {
			close(answered)
			<-altered
		}
		return err
	})
	worldtest.Must(t, w.DB.Find(&[]collatedName{}).Error)
	seenEventually(t, "the database is asked", func() bool {
		worldtest.Must(t, w.DB.Clauses(preload.Refresh).Find(&[]collatedName{}, 0).Error)
		return first.Load()
	})
	<-answered
	worldtest.Must(t, w.DB.Exec("ALTER TABLE collated_names CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_danish_ci").Error)
	close(altered)
	collatedAsked(t, w, 2)
	if collatedApart(t, w, "x", "y") {
		t.Error("texts are told apart by the collation of before")
	}
}
