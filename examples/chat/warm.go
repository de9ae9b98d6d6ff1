package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/examples/internal/command"
	"github.com/gorm-preload/preload/examples/internal/progress"
)

// loadHot loads what was hottest when a file was saved, if there is one. It returns how many
// answers are there then.
func loadHot(ctx context.Context, plugin *preload.Plugin, path string, stderr io.Writer) (loaded int, err error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, command.Refuse("-warm: %w", err)
	}
	defer file.Close()
	var shown *progress.Progress
	done := 0
	err = plugin.LoadHot(ctx, file, func(n, total int) {
		if shown == nil {
			shown = progress.Start(stderr, "loading what was hot", total)
		}
		shown.Add(n - done)
		done = n
	})
	if shown != nil {
		shown.End()
	}
	if err != nil {
		return 0, command.Refuse("-warm %s: %w", path, err)
	}
	return plugin.Stats().Entries, nil
}

// saveHot saves what is hottest, in place of what the file held before, and only once it is whole.
func saveHot(plugin *preload.Plugin, path string) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-")
	if err != nil {
		return command.Refuse("-warm: %w", err)
	}
	defer os.Remove(file.Name())
	if err := errors.Join(plugin.SaveHot(file), file.Close()); err != nil {
		return command.Refuse("-warm %s: %w", path, err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return command.Refuse("-warm: %w", err)
	}
	return nil
}
