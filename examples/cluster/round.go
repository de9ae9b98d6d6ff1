package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/gorm-preload/preload/examples/internal/progress"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// process is one that this program has started.
type process struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(ctx context.Context, t task, stderr io.Writer) (*process, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{Cmd: exec.CommandContext(ctx, self)}
	p.Env, p.Stderr = append(os.Environ(), envTask+"="+string(text)), stderr
	if p.in, err = p.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	return p, p.Start()
}

// outcome is what a round showed.
type outcome struct {
	kind                       string
	reads, stale, hits, misses int64
	delays, writes             []time.Duration
}

// round has the processes read and write for a third of the time.
func (at *place) round(ctx context.Context, s settings, kind string, stderr io.Writer) (o outcome, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := at.reset(ctx); err != nil {
		return o, err
	}
	var all []*process
	defer func() {
		if err != nil {
			cancel() // ends them
		}
		for _, p := range all {
			_ = p.in.Close()
			if wrong := p.Wait(); err == nil && wrong != nil {
				err = fmt.Errorf("a process: %w", wrong)
			}
		}
	}()
	for i := range s.processes {
		t := task{Kind: kind, DSN: at.dsn, Redis: at.redis, Name: at.name + "/" + kind, Writes: i == 0}
		p, err := start(ctx, t, stderr)
		if err != nil {
			return o, err
		}
		all = append(all, p)
	}
	for _, p := range all {
		if line, err := p.out.ReadString('\n'); err != nil || line != lineReady {
			return o, errors.Join(fmt.Errorf("a process did not begin: %q", line), err)
		}
	}
	if err := tell(all, lineBegin); err != nil {
		return o, err
	}
	const steps = 10 // in a second
	show := progress.Start(stderr, kind, max(1, s.seconds*steps/len(kinds)))
	defer show.End()
	for range max(1, s.seconds*steps/len(kinds)) {
		select {
		case <-time.After(time.Second / steps):
			show.Add(1)
		case <-ctx.Done():
			return o, ctx.Err()
		}
	}
	if err := tell(all, lineEnd); err != nil {
		return o, err
	}
	told := make([]notes, len(all))
	for i, p := range all {
		if err := gob.NewDecoder(p.out).Decode(&told[i]); err != nil {
			return o, fmt.Errorf("what a process had to tell: %w", err)
		}
	}
	o = judge(kind, told[0].Events, told[1:])
	if s.after != nil {
		s.after(&o)
	}
	return o, nil
}

func tell(all []*process, line string) error {
	for _, p := range all {
		if _, err := io.WriteString(p.in, line); err != nil {
			return err
		}
	}
	return nil
}

// reset has all prices be at the version before the first.
func (at *place) reset(ctx context.Context) error {
	db, err := gorm.Open(dialector(at.dsn), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return err
	}
	conn, err := db.DB()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return db.WithContext(ctx).Model(&Price{}).Where("id > 0").Update("version", 0).Error
}

// judge compares what was read with what had been written by then: versions are written in order,
// by one process.
func judge(kind string, writes []event, readers []notes) (o outcome) {
	o.kind = kind
	var versions [prices + 1][]event // that of version 1 first
	for _, w := range writes {
		versions[w.Row] = append(versions[w.Row], w)
		o.writes = append(o.writes, time.Duration(w.Ended-w.Begun))
	}
	for _, of := range readers {
		o.hits, o.misses = o.hits+of.Hits, o.misses+of.Misses
		slices.SortFunc(of.Events, func(a, b event) int { return cmp.Compare(a.Ended, b.Ended) })
		var shown [prices + 1]int64 // the newest version that this process has shown
		for _, e := range of.Events {
			o.reads++
			all := versions[e.Row]
			written, _ := slices.BinarySearchFunc(all, e.Begun, func(w event, begun int64) int { return cmp.Compare(w.Ended, begun) })
			if e.Version < int64(written) {
				o.stale++
			}
			for ; shown[e.Row] < min(e.Version, int64(len(all))); shown[e.Row]++ {
				o.delays = append(o.delays, max(0, time.Duration(e.Ended-all[shown[e.Row]].Ended)))
			}
		}
	}
	return o
}

// quantile returns the value that so many are not above; 0 of none.
func quantile(of []time.Duration, share float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}
