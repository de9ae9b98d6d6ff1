package preload_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// counted is own data that was made of companies: how many there are.
type counted struct {
	*worldtest.World
	loads   int
	options []preload.CacheOption
	during  func() // is called in a load, after the rows were read
}

func (c *counted) get(t *testing.T) (companies int64) {
	t.Helper()
	companies, err := preload.LoadWith(t.Context(), c.Plugin, "companies", func(context.Context) (n int64, err error) {
		c.loads++
		err = c.Plain.Model(&worldtest.ReadCompany{}).Count(&n).Error
		if c.during != nil {
			c.during()
		}
		return n, err
	}, c.options...)
	worldtest.Must(t, err)
	return companies
}

// TestOwnDataFollowsTheTablesThatItWasMadeOf and no others.
func TestOwnDataFollowsTheTablesThatItWasMadeOf(t *testing.T) {
	t.Parallel()
	made := func(tables ...any) []preload.CacheOption {
		return []preload.CacheOption{preload.Tables(tables...), preload.For(time.Hour)}
	}
	add := func(db *gorm.DB) error { return db.Create(&worldtest.ReadCompany{Name: "new"}).Error }
	gone := errors.New("rolled back")
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		worldtest.SeedReads(t, plain)
		for name, test := range map[string]struct {
			options []preload.CacheOption
			write   func(c *counted) error
			forgets bool
		}{
			"a model":        {made(&worldtest.ReadCompany{}), func(c *counted) error { return add(c.DB) }, true},
			"a struct":       {made(worldtest.ReadCompany{}), func(c *counted) error { return add(c.DB) }, true},
			"a name":         {made("read_companies"), func(c *counted) error { return add(c.DB) }, true},
			"one of several": {made("read_users", &worldtest.ReadCompany{}), func(c *counted) error { return add(c.DB) }, true},
			"in two options": {append(made("read_companies"), preload.Tables("read_users")), func(c *counted) error { return add(c.DB) }, true},
			"an update":      {made(&worldtest.ReadCompany{}), func(c *counted) error { return c.DB.Model(&worldtest.ReadCompany{ID: 1}).Update("name", "x").Error }, true},
			"raw SQL":        {made(&worldtest.ReadCompany{}), func(c *counted) error { return c.DB.Exec("DELETE FROM read_companies WHERE id = 99").Error }, true},
			"committed":      {made(&worldtest.ReadCompany{}), func(c *counted) error { return c.DB.Transaction(add) }, true},
			"rolled back": {made(&worldtest.ReadCompany{}), func(c *counted) error {
				return c.DB.Transaction(func(tx *gorm.DB) error { return errors.Join(add(tx), gone) })
			}, false},
			"Invalidate":             {made(&worldtest.ReadCompany{}), func(c *counted) error { return c.Plugin.Invalidate(&worldtest.ReadCompany{}) }, true},
			"Invalidate all":         {made(&worldtest.ReadCompany{}), func(c *counted) error { return c.Plugin.Invalidate() }, true},
			"another table":          {made("read_users"), func(c *counted) error { return add(c.DB) }, false},
			"Invalidate another one": {made("read_users"), func(c *counted) error { return c.Plugin.Invalidate(&worldtest.ReadCompany{}) }, false},
			"a tag":                  {[]preload.CacheOption{preload.Tags("report", "x")}, func(c *counted) error { return errors.Join(add(c.DB), c.Plugin.InvalidateTags("y", "x")) }, true},
			"another tag":            {[]preload.CacheOption{preload.Tags("report")}, func(c *counted) error { return c.Plugin.InvalidateTags("y") }, false},
			"no table":               {nil, func(c *counted) error { return add(c.DB) }, false},
		} {
			t.Run(name, func(t *testing.T) {
				c := &counted{World: readOpen(t, d, preload.WithoutWorker()), options: test.options}
				worldtest.Must(t, c.Plugin.Register(worldtest.ReadModels...))
				before := c.get(t)
				if c.get(t); c.loads != 1 {
					t.Fatalf("%d loads, want the second value from memory", c.loads)
				}
				if err := test.write(c); err != nil && !errors.Is(err, gone) {
					t.Fatal(err)
				}
				got := c.get(t)
				var want int64
				worldtest.Must(t, plain.Model(&worldtest.ReadCompany{}).Count(&want).Error)
				if !test.forgets {
					want = before
				}
				if got != want || test.forgets != (c.loads == 2) {
					t.Errorf("%d companies with %d loads, want %d; it is forgotten: %t", got, c.loads, want, test.forgets)
				}
			})
		}
	})
}

// TestOwnDataThatIsLoadedDuringAWriteIsNotKept: it may have been read before.
func TestOwnDataThatIsLoadedDuringAWriteIsNotKept(t *testing.T) {
	t.Parallel()
	c := &counted{World: readSQLite(t, preload.WithoutWorker()), options: []preload.CacheOption{preload.Tables(&worldtest.ReadCompany{})}}
	c.during = func() { worldtest.Must(t, c.DB.Create(&worldtest.ReadCompany{Name: "new"}).Error) }
	first := c.get(t)
	c.during = nil
	if n := c.get(t); n != first+1 || c.loads != 2 {
		t.Errorf("%d companies after %d, with %d loads", n, first, c.loads)
	}
}

// TestOwnDataIsKeptForAsLongAsItIsSaid instead of WithTTL.
func TestOwnDataIsKeptForAsLongAsItIsSaid(t *testing.T) {
	t.Parallel()
	c := &counted{World: readSQLite(t, preload.WithoutWorker(), preload.WithTTL(time.Hour)), options: []preload.CacheOption{preload.For(time.Minute)}}
	c.get(t)
	c.Clock.Advance(59 * time.Second)
	if c.get(t); c.loads != 1 {
		t.Errorf("%d loads before the time was over", c.loads)
	}
	c.Clock.Advance(time.Second)
	if c.get(t); c.loads != 2 {
		t.Errorf("%d loads after the time was over", c.loads)
	}
}

// TestOwnDataIsLoadedAgainWhenAWriteKilledIt, before it is asked for.
func TestOwnDataIsLoadedAgainWhenAWriteKilledIt(t *testing.T) {
	t.Parallel()
	db, _, plugin := openOne(t, sqlite.Open(filepath.Join(t.TempDir(), "test.db")))
	loaded := make(chan struct{}, 100)
	get := func() {
		t.Helper()
		_, err := preload.LoadWith(t.Context(), plugin, "own", func(context.Context) (int, error) { loaded <- struct{}{}; return 1, nil }, preload.Tables(&oneItem{}))
		worldtest.Must(t, err)
	}
	for range 5 {
		get()
	}
	<-loaded
	worldtest.Must(t, db.Create(&oneItem{ID: 2}).Error)
	select {
	case <-loaded:
	case <-time.After(worldtest.Patience):
		t.Fatal("it was not loaded again")
	}
}

// TestWhatIsWrongInOptionsIsSaid, and nothing is loaded.
func TestWhatIsWrongInOptionsIsSaid(t *testing.T) {
	t.Parallel()
	b := readSQLite(t, preload.WithoutWorker())
	fresh := preload.New()
	defer fresh.Close()
	for name, test := range map[string]struct {
		plugin  *preload.Plugin
		options []preload.CacheOption
		want    []string
	}{
		"no time":       {b.Plugin, []preload.CacheOption{preload.For(0)}, []string{"For(0s)", "positive"}},
		"no name":       {b.Plugin, []preload.CacheOption{preload.Tables("")}, []string{`LoadWith("")`, "name of a table"}},
		"no model":      {b.Plugin, []preload.CacheOption{preload.Tables(5, nil)}, []string{"model int", "model <nil>"}},
		"no tag":        {b.Plugin, []preload.CacheOption{preload.Tags("a", "")}, []string{"tag is empty"}},
		"nil":           {b.Plugin, []preload.CacheOption{nil}, []string{"option is nil"}},
		"several":       {b.Plugin, []preload.CacheOption{preload.For(-1), preload.Tables("")}, []string{"For(-1ns)", "name of a table"}},
		"before db.Use": {fresh, []preload.CacheOption{preload.Tables(&worldtest.ReadCompany{})}, []string{"db.Use"}},
	} {
		_, err := preload.LoadWith(t.Context(), test.plugin, "k", func(context.Context) (int, error) { t.Errorf("%s: it is loaded", name); return 0, nil }, test.options...)
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want one that says %q", name, err, want)
			}
		}
	}
	for _, names := range [][]string{nil, {""}} {
		if err := b.Plugin.InvalidateTags(names...); err == nil || !strings.Contains(err.Error(), "name") {
			t.Errorf("InvalidateTags(%q): %v, want an error that asks for a name", names, err)
		}
	}
}
