// Package progress shows how far a program is: a bar on a terminal, a line now and then elsewhere.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// lines is into how many parts the work is cut where each finished part is told in a line.
const lines = 4

// Progress is the progress of one piece of work. It is safe for concurrent use.
type Progress struct {
	out   io.Writer
	label string
	total int
	bar   *progressbar.ProgressBar // nil where out is no terminal

	mu   sync.Mutex
	done int
	told int
}

// Start begins to show how far a piece of work of total steps is.
func Start(out io.Writer, label string, total int) *Progress {
	p := &Progress{out: out, label: label, total: total}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(out),
			progressbar.OptionSetDescription(label),
			progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
	}
	return p
}

// Add says that further steps are done.
func (p *Progress) Add(steps int) {
	if p.bar != nil {
		_ = p.bar.Add(steps)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += steps
	if part := p.done * lines / max(p.total, 1); part > p.told {
		p.told = part
		fmt.Fprintf(p.out, "%s: %d of %d\n", p.label, p.done, p.total)
	}
}

// End says that the work is over, finished or not.
func (p *Progress) End() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
