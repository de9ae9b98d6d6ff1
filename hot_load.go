package preload

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"time"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/hotfile"
	"github.com/gorm-preload/preload/internal/loading"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

const (
	// maxFailed is how many loads of one query may fail before LoadHot leaves it out.
	maxFailed = 3
	// hotWindow is among how many keys those are looked for that one query loads.
	hotWindow = 1_024
)

// LoadHot reads what SaveHot wrote, perhaps in another process, and loads these keys, hottest first
// and those of one query together, so that they are in memory before they are asked for. It stops
// when memory is full: nothing leaves for them. Models have to be known: Register them first. What
// cannot be loaded any more (a model or a column that is gone, another dialect's SQL) is logged and
// left out; what is in memory already is left as it is. progress, where it is given, is called now
// and then with how many of all keys are done.
//
// The error says what is wrong with the file, and where; what is good of it is loaded all the same.
// It also says that the context ended or the database is gone, in which case some keys may have
// been loaded. LoadHot reads no more keys than the larger of WithMaxEntries and WithMaxPatterns,
// and no more than 64 MiB; it returns when the context ends, also while it waits for the reader,
// which may then still be in Read. LoadHot is safe for concurrent use.
func (p *Plugin) LoadHot(ctx context.Context, from io.Reader, progress ...func(done, total int)) error {
	if err := p.inUse(); err != nil {
		return err
	}
	if err := p.loadHotKeys(ctx, from, progress); err != nil {
		return fmt.Errorf("preload: LoadHot: %w", err)
	}
	return nil
}

// LoadHotFile does what LoadHot does from a file that SaveHotFile wrote. That there is no such file
// is no error: nothing was saved yet.
func (p *Plugin) LoadHotFile(ctx context.Context, path string, progress ...func(done, total int)) error {
	if err := p.inUse(); err != nil {
		return err
	}
	err := func() error {
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer file.Close()
		return p.loadHotKeys(ctx, file, progress)
	}()
	if err != nil {
		return fmt.Errorf("preload: LoadHotFile: %w", err)
	}
	return nil
}

func (p *Plugin) loadHotKeys(ctx context.Context, from io.Reader, progress []func(done, total int)) error {
	switch {
	case ctx == nil:
		return errNilContext
	case p.closed.Load():
		return errors.New("the plugin is closed")
	case from == nil:
		return errors.New("the io.Reader is nil: want what SaveHot wrote, such as a file")
	}
	file, damage := p.readKeys(ctx, from)
	l := &hotLoad{p: p, ctx: ctx, total: len(file.Keys), failed: map[*template.Template]int{}, progress: progress}
	if p.usable(&file) {
		if err := l.enqueue(&file); err != nil {
			return errors.Join(damage, err)
		}
	}
	return errors.Join(damage, l.run())
}

// readTime is how much longer than the context a file is read, so that the error tells how many
// keys there are.
const readTime = 10 * time.Millisecond

// readKeys reads a file of hot keys, as long as the context lasts and a little longer.
func (p *Plugin) readKeys(ctx context.Context, from io.Reader) (hotfile.File, error) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(readTime, cancel) })
	defer stop()
	file, damage := hotfile.Read(longer, from, hotfile.MaxFile, max(p.config.maxEntries, p.config.maxPatterns))
	if longer.Err() != nil {
		damage = fmt.Errorf("it was not read to its end: %w", ctx.Err())
	}
	return file, damage
}

// usable reports whether keys of a file can be loaded here at all.
func (p *Plugin) usable(file *hotfile.File) bool {
	switch {
	case len(file.Keys) == 0:
		return false
	case file.Dialect != p.db.Name():
		p.config.report(slog.LevelWarn, "preload: LoadHot: the keys were saved from another database", "",
			"dialect", failopen.Clipped(file.Dialect), "want", p.db.Name())
		return false
	case p.config.partition != nil:
		p.config.report(slog.LevelWarn, "preload: LoadHot: keys do not tell the partition that they are of, so that none is loaded: "+
			"remove WithPartition, or do not call LoadHot", "")
		return false
	}
	return true
}

// hotLoad loads the keys of a file.
type hotLoad struct {
	p        *Plugin
	ctx      context.Context
	queue    []*association.Expected // hottest first
	total    int
	failed   map[*template.Template]int // how many of their loads failed
	heaviest int64                      // the weight of what was loaded: as much may be that of the next
	progress []func(done, total int)
}

// enqueue queues the keys that can be loaded and are not in memory. It is an error if the context
// ended first.
func (l *hotLoad) enqueue(file *hotfile.File) error {
	p := l.p
	templates := make([]*template.Template, len(file.Queries))
	for i, q := range file.Queries {
		if q.Damaged {
			continue
		}
		if err := l.ctx.Err(); err != nil {
			return fmt.Errorf("%d of %d keys were not loaded: %w", l.total, l.total, err)
		}
		var err error
		if templates[i], err = p.hotTemplate(q); err != nil {
			p.config.report(slog.LevelWarn, "preload: LoadHot: a query is left out", hotLabel(&q), "model", failopen.Clipped(q.Model), "err", err)
		}
	}
	seen := map[string]bool{}
	for _, key := range file.Keys {
		t := templates[key.Query]
		if t == nil {
			continue
		}
		whole := t.Prefix + string(key.Args)
		if seen[whole] {
			continue
		}
		seen[whole] = true
		if _, ok := p.loaderOf(whole); ok && p.cache.Find(whole, p.config.now()) == nil {
			l.queue = append(l.queue, &association.Expected{Key: whole})
		}
	}
	return nil
}

// run loads what is queued.
func (l *hotLoad) run() error {
	for len(l.queue) > 0 {
		l.show(l.total - len(l.queue))
		if err := l.ctx.Err(); err != nil {
			return l.interrupted(0, err)
		}
		if l.p.closed.Load() {
			return l.interrupted(0, errors.New("the plugin is closed"))
		}
		room := l.room()
		if room <= 0 {
			l.p.config.report(slog.LevelInfo, "preload: LoadHot: memory is full, the colder keys are left out", "", "keys", len(l.queue))
			break
		}
		if err := l.next(room); err != nil {
			return err
		}
	}
	l.show(l.total)
	return nil
}

func (l *hotLoad) show(done int) {
	for _, show := range l.progress {
		if show != nil {
			show(done, l.total)
		}
	}
}

func (l *hotLoad) interrupted(more int, err error) error {
	return fmt.Errorf("%d of %d keys were not loaded: %w", len(l.queue)+more, l.total, err)
}

// room is how many answers there is still room for in memory, as far as can be told.
func (l *hotLoad) room() int {
	entries, bytes := l.p.cache.Size()
	room := l.p.config.maxEntries - entries
	if l.heaviest == 0 {
		return min(room, loading.MaxBatch) // the first ones tell
	}
	return int(min(int64(room), (l.p.config.maxBytes-bytes)/l.heaviest))
}

// next loads the first of the queue, and with it those that one query can load, at most as many as
// there is room for.
func (l *hotLoad) next(room int) error {
	r := l.take(room)
	t := l.p.templates.Of(r.key)
	if r.load == nil || l.failed[t] > maxFailed {
		return nil
	}
	_, before := l.p.cache.Size()
	err := l.p.loadHot(l.ctx, &r)
	_, after := l.p.cache.Size()
	l.heaviest = max(l.heaviest, (after-before)/int64(1+len(r.with)))
	switch {
	case err == nil:
		return nil
	case l.ctx.Err() != nil:
		return l.interrupted(1+len(r.with), l.ctx.Err())
	}
	if gone := l.ping(); gone != nil {
		return l.interrupted(1+len(r.with), fmt.Errorf("%w: %w", failopen.ErrDatabase, failopen.PlainError(gone)))
	}
	l.failed[t]++
	if len(r.with) > 0 {
		for one := range r.all {
			l.queue = append(l.queue, &association.Expected{Key: one.key})
		}
		return nil
	}
	report := l.p.config.report
	report(slog.LevelWarn, "preload: LoadHot: a key is left out", template.Label(r.key), "err", failopen.Plain(err))
	if l.failed[t] > maxFailed {
		report(slog.LevelWarn, "preload: LoadHot: a query is left out", template.Label(r.key))
	}
	return nil
}

// take takes what one query loads out of the queue.
func (l *hotLoad) take(room int) (r reload) {
	if l.failed[l.p.templates.Of(l.queue[0].Key)] > 0 { // one of them may be to blame
		r.key, l.queue = l.queue[0].Key, l.queue[1:]
		r.load, _ = l.p.loaderOf(r.key)
		return r
	}
	window := l.queue[:min(len(l.queue), hotWindow, room)]
	r, rest := l.p.together(window)
	taken := len(window) - len(rest)
	copy(window[taken:], rest)
	l.queue = l.queue[taken:]
	return r
}

// ping returns an error where the database does not answer.
func (l *hotLoad) ping() error {
	ctx, cancel := context.WithTimeout(l.ctx, l.p.config.loadTimeout)
	defer cancel()
	db, err := l.p.pool.GetDBConn()
	if err != nil || db == nil {
		return nil // it cannot be asked
	}
	return db.PingContext(ctx)
}

func (p *Plugin) loadHot(ctx context.Context, r *reload) (err error) {
	ctx, cancel := context.WithTimeout(ctx, p.config.loadTimeout)
	defer cancel()
	p.config.guard("loading hot keys", func() {
		run := r.load(ctx)
		if run == nil {
			return // readers came first
		}
		var stored []*cache.Entry
		stored, err = run()
		for _, e := range stored {
			if load, ok := p.loaderOf(e.Key); ok {
				p.registry.register(e.Key, load, 0)
			}
		}
	})
	return err
}

// hotTemplate returns the template of a query that was written down, and that check found to be
// whole.
func (p *Plugin) hotTemplate(q hotfile.Query) (*template.Template, error) {
	s := p.catalog.Model(q.Model)
	if s == nil {
		return nil, errors.New("the model is not in use: Register it first")
	}
	dest := p.catalog.Type(q.Dest)
	if dest == nil || dest.Kind() != reflect.Pointer && dest.Kind() != reflect.Map {
		return nil, errors.New("no model in use has the type of its destination")
	}
	m := p.models.of(s)
	if m.err != nil {
		return nil, m.err
	}
	if m.policy == nil {
		return nil, errors.New("the model is not opted in")
	}
	form := bytes.Clone(q.Shape)
	of, into, _ := shape.TypesIn(form)
	binary.NativeEndian.PutUint64(of, args.TypeID(s.ModelType))
	binary.NativeEndian.PutUint64(into, args.TypeID(dest))
	if t := p.templates.Find(form); t != nil {
		return t, nil
	}
	if len(form) > shape.MaxLength || len(q.SQL) > shape.MaxLength {
		return nil, errors.New(string(ReasonLong))
	}
	tail := make([]any, len(q.Tail))
	for i, arg := range q.Tail {
		tail[i], _ = args.Decode(string(arg))
	}
	b := args.NewBinding(q.Args, tail)
	var t *template.Template
	if !p.config.guard("restoring a query", func() {
		t = p.templates.Make(string(form), p.hotStatement(q, s, dest), m.policy.limits())
	}) {
		return nil, errors.New("it is broken")
	}
	if reason := t.Refused(); reason != "" {
		return nil, errors.New(string(reason))
	}
	t.Binds.Store(b)
	t.State.Store(template.Restored)
	return p.templates.Add(t), nil
}

// confirm reports whether a template that was read from a file agrees with a statement of its
// shape. If the shape stands for other SQL now, all that the template found is forgotten.
func (p *Plugin) confirm(t *template.Template, db *gorm.DB, own []byte) bool {
	same, refutes := t.Confirm(db, own)
	if refutes {
		p.templates.Remove(t)
		p.log.Invalidate([]coherence.Change{coherence.Loose(catalog.TableName(t.Proto.Schema.Table), coherence.Any)})
		p.config.report(slog.LevelWarn, "preload: keys of LoadHot are forgotten: their query is another one now", template.Label(t.Prefix))
	}
	return same
}

// hotStatement returns a statement as it is when its SQL was written.
func (p *Plugin) hotStatement(q hotfile.Query, s *schema.Schema, dest reflect.Type) *gorm.Statement {
	stmt := p.templates.Session(context.Background(), q.Prepared).Statement
	stmt.Schema, stmt.Table = s, q.Table
	stmt.SQL.WriteString(q.SQL)
	if dest.Kind() == reflect.Map {
		stmt.ReflectValue = reflect.MakeMap(dest)
		stmt.Dest = stmt.ReflectValue.Interface()
		return stmt
	}
	rv := reflect.New(dest.Elem())
	stmt.Dest = rv.Interface()
	for rv.Kind() == reflect.Pointer {
		if rv.IsNil() {
			rv.Set(reflect.New(rv.Type().Elem()))
		}
		rv = rv.Elem()
	}
	stmt.ReflectValue = rv
	return stmt
}

// hotLabel is what a query that was written down may be called in a log.
func hotLabel(q *hotfile.Query) string {
	return template.Label(template.KeyPrefix + failopen.Clipped(q.Table) + "#" + template.SumOf(q.SQL) + ":")
}
