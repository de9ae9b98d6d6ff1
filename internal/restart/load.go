package restart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/hotfile"
	"github.com/gorm-preload/preload/internal/template"
)

// Load reads what Save wrote, perhaps in another process, and loads these keys, hottest first and
// those of one query together, until memory is full. The functions of progress are called now and
// then with how many of all keys are done. The error says what is wrong with the file, or why keys
// were not loaded.
func (h *Handover) Load(ctx context.Context, from io.Reader, progress []func(done, total int)) error {
	switch {
	case h.Closed():
		return errors.New("the plugin is closed")
	case from == nil:
		return errors.New("the io.Reader is nil: want what SaveHot wrote, such as a file")
	}
	file, damage := h.read(ctx, from)
	q := &queue{Handover: h, ctx: ctx, total: len(file.Keys), failed: map[*template.Template]int{}, progress: progress}
	if h.usable(&file) {
		if err := q.fill(&file); err != nil {
			return errors.Join(damage, err)
		}
	}
	return errors.Join(damage, q.run())
}

// readTime is how much longer than the context a file is read, so that the error tells how many
// keys there are.
const readTime = 100 * time.Millisecond

// read reads a file of hot keys, as long as the context lasts and a little longer.
func (h *Handover) read(ctx context.Context, from io.Reader) (hotfile.File, error) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(readTime, cancel) })
	defer stop()
	file, damage := hotfile.Read(longer, from, hotfile.MaxFile, max(h.Cache.MaxEntries, h.MaxPatterns))
	if damage != nil && longer.Err() != nil {
		damage = fmt.Errorf("it was not read to its end: %w", ctx.Err())
	}
	return file, damage
}

// usable reports whether keys of a file can be loaded here at all.
func (h *Handover) usable(file *hotfile.File) bool {
	switch {
	case len(file.Keys) == 0:
		return false
	case file.Dialect != h.Dialect:
		h.Report(slog.LevelWarn, "preload: LoadHot: the keys were saved from another database", "",
			"dialect", failopen.Clipped(file.Dialect), "want", h.Dialect)
		return false
	case h.Partitioned:
		h.Report(slog.LevelWarn, "preload: LoadHot: keys do not tell the partition that they are of, so that none is loaded: "+
			"remove WithPartition, or do not call LoadHot", "")
		return false
	}
	return true
}
