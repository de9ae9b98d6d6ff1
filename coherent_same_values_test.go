package preload_test

import (
	"errors"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
)

type sameNote struct {
	_       struct{} `preload:""`
	ID      uint
	Text    string `gorm:"size:20"`
	Done    bool
	Version int
}

// TestAnUpdateToTheValuesThatAreShown has an answer read anew after an update that sets what the
// answer shows already. That update may be the first to meet a row that is not as it is shown any
// more, or a trigger may change more of the row than the update says.
func TestAnUpdateToTheValuesThatAreShown(t *testing.T) {
	t.Parallel()
	// A trigger counts how often a row was updated.
	triggers := map[string][]string{
		"sqlite": {"CREATE TRIGGER same_count AFTER UPDATE OF done ON same_notes BEGIN UPDATE same_notes SET version = version + 1 WHERE id = NEW.id; END"},
		"mysql":  {"CREATE TRIGGER same_count BEFORE UPDATE ON same_notes FOR EACH ROW SET NEW.version = OLD.version + 1"},
		"postgres": {"CREATE FUNCTION same_count() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.version := OLD.version + 1; RETURN NEW; END $$",
			"CREATE TRIGGER same_count BEFORE UPDATE ON same_notes FOR EACH ROW EXECUTE FUNCTION same_count()"},
	}
	for _, c := range []struct {
		name  string
		other []string // what another writer, whom the plugin does not see, has done before; nil for the trigger
	}{
		{"another writer set another column", []string{"UPDATE same_notes SET text = 'elsewhere' WHERE id = 1"}},
		{"another writer deleted the row", []string{"DELETE FROM same_notes WHERE id = 1"}},
		{"a trigger changes the row", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
				plain, db := d.Plain(t), d.Open(t)
				p := preload.New(preload.WithoutWorker())
				if err := db.Use(p); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = p.Close() })
				if err := errors.Join(plain.AutoMigrate(&sameNote{}), plain.Create(&sameNote{Text: "here"}).Error); err != nil {
					t.Fatal(err)
				}
				var before, got, want sameNote
				if err := db.First(&before, 1).Error; err != nil {
					t.Fatal(err)
				}
				statements := c.other
				if statements == nil {
					statements = triggers[plain.Name()]
				}
				for _, statement := range statements {
					if err := plain.Exec(statement).Error; err != nil {
						t.Fatal(err)
					}
				}
				if err := db.Model(&sameNote{ID: 1}).Update("done", before.Done).Error; err != nil {
					t.Fatal(err)
				}
				errGot, errWant := db.First(&got, 1).Error, plain.First(&want, 1).Error
				if got != want || !errors.Is(errGot, errWant) {
					t.Errorf("got %+v, %v: want %+v, %v", got, errGot, want, errWant)
				}
			})
		})
	}
}
