package worker

import (
	"log/slog"

	"github.com/gorm-preload/preload/internal/template"
)

// warn says in the log what somebody should look at.
func (w *Worker) warn() {
	var hits, reads int64
	w.Templates.EachFamily(func(t *template.Template) {
		hit, missed := t.Tally.Hits.Load(), t.Tally.Misses.Load()
		hits, reads = hits+hit, reads+hit+missed
		if w.watch.NeverHits(t.Tally.Label, hit, missed) {
			w.Report(slog.LevelWarn, "preload: no read of this shape was answered from memory: is it asked again at all, and what invalidates it? See Shapes",
				t.Tally.Label, "misses", missed)
		}
	})
	entries, bytes := w.Cache.Size()
	share := max(float64(bytes)/float64(w.Cache.MaxBytes), float64(entries)/float64(w.Cache.MaxEntries))
	if before, now, crowded := w.watch.Crowded(hits, reads, w.Cache.Counts.Evicted.Load(), share); crowded {
		w.Report(slog.LevelWarn, "preload: memory is full, and fewer reads are answered from it than before: raise WithMaxBytes or WithMaxEntries", "",
			"hit_ratio", now, "before", before, "entries", entries, "bytes", bytes)
	}
}
