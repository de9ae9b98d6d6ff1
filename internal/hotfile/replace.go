package hotfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// leftover is from what age on a file that a killed process left half written is removed.
const leftover = 10 * time.Minute

// Replace writes a file anew. There is the old one or the new one at any moment, also for
// others who read it.
func Replace(path string, write func(io.Writer) error) (err error) {
	path = endOfLinks(path)
	dir, begin := filepath.Dir(path), "."+filepath.Base(path)+".half-written-"
	file, err := os.CreateTemp(dir, begin+"*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}()
	if err = write(file); err != nil {
		return err
	}
	// The name must not lead to the new file before all of it is there.
	if err = file.Sync(); err != nil {
		return err
	}
	if err = file.Close(); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), path); err != nil {
		return err
	}
	tidy(dir, begin)
	return nil
}

// Open has a file read. That there is no such file is no error: nothing was written yet.
func Open(path string, read func(io.Reader) error) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	return read(file)
}

// endOfLinks returns where symbolic links lead, also if there is no file there yet.
func endOfLinks(path string) string {
	const deep = 16 // links may lead in a circle
	for range deep {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			return target
		}
		link, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(link) {
			link = filepath.Join(filepath.Dir(path), link)
		}
		path = link
	}
	return path
}

// tidy makes the names in a directory last, where that can be done, and removes what was left half
// written in it. The file is there already, so that nothing of this is an error.
func tidy(dir, begin string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
	names, _ := os.ReadDir(dir)
	for _, name := range names {
		if !strings.HasPrefix(name.Name(), begin) {
			continue
		}
		if info, err := name.Info(); err == nil && time.Since(info.ModTime()) > leftover {
			_ = os.Remove(filepath.Join(dir, name.Name()))
		}
	}
}
