package restart

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/hotfile"
	"github.com/gorm-preload/preload/internal/template"
)

// Background runs a loader of keys where loads in the background run, as soon as there is room, and
// waits until it has ended. begun is false where there is none for long, or the context ended
// first.
type Background func(ctx context.Context, keys []string, load cache.Loader) (asked []*cache.Entry, begun bool, err error)

// LoadLists loads the keys of lists that List returned in several processes: those first that are
// hottest in all of them together, in the background, until memory is full. The error says what is
// wrong with lists, or why keys were not loaded.
func (h *Handover) LoadLists(ctx context.Context, lists [][]byte, background Background) error {
	most := max(h.Cache.MaxEntries, h.MaxPatterns)
	var files []hotfile.File
	var damage error
	damaged := 0
	for _, list := range lists {
		file, err := hotfile.Read(ctx, bytes.NewReader(list), hotfile.MaxList+1, most)
		if err == nil && len(file.Keys) > 0 && file.Dialect != h.Dialect {
			err = errors.New("the keys are of another database")
		} else if h.usable(&file) {
			files = append(files, file)
		}
		if err != nil {
			if damaged++; damage == nil {
				damage = err
			}
		}
	}
	if damage != nil {
		damage = fmt.Errorf("%d of %d lists are damaged, the first: %w", damaged, len(lists), damage)
	}
	file := hotfile.Merge(files, most)
	q := &queue{Handover: h, ctx: ctx, total: len(file.Keys), failed: map[*template.Template]int{}, background: background}
	if err := q.fill(&file); err != nil {
		return errors.Join(damage, err)
	}
	return errors.Join(damage, q.run())
}
