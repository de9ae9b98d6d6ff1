package preload_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
)

// TestSaveHotFileFollowsALinkToNoFileYet: the first time that an application saves, a link leads to
// a file that is not there.
func TestSaveHotFileFollowsALinkToNoFileYet(t *testing.T) {
	t.Parallel()
	b := valuesOpen(t, dbtest.SQLite(t))
	for name, to := range map[string]func(dir string) string{
		"absolute": func(dir string) string { return filepath.Join(dir, "data", "keys") },
		"relative": func(string) string { return filepath.Join("data", "keys") },
	} {
		dir := t.TempDir()
		link, file := filepath.Join(dir, "link"), filepath.Join(dir, "data", "keys")
		worldtest.Must(t, os.Mkdir(filepath.Dir(file), 0o700))
		worldtest.Must(t, os.Symlink(to(dir), link))
		for i := range 2 {
			worldtest.Must(t, b.Plugin.SaveHotFile(link))
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s, save %d: the file that the link leads to: %v", name, i+1, err)
			}
			if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
				t.Errorf("%s, save %d: the link is a link no more: %v, %v", name, i+1, info.Mode(), err)
			}
		}
	}
	circle := filepath.Join(t.TempDir(), "circle")
	worldtest.Must(t, os.Symlink(circle, circle))
	if err := b.Plugin.SaveHotFile(filepath.Join(circle, "keys")); err == nil {
		t.Error("a file was saved in a directory that is none")
	}
}
