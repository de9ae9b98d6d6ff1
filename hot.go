package preload

import (
	"context"
	"fmt"
	"io"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/hotfile"
	"github.com/gorm-preload/preload/internal/restart"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm/schema"
)

// SaveHot writes down which keys are hottest, at most WithMaxPatterns, with the SQL and bind values
// that LoadHot needs to ask for them again, but no answers. It leaves out what LoadHot could not
// run: own data, queries with JOINs, into types that are no models, or whose bind values have types
// of their own, and all with WithPartition. Bind values may be worth protecting, and what LoadHot
// reads it runs: keep the file where only the application can read and write it. It is an error
// after Close, which drops them. SaveHot is safe for concurrent use.
//
// A file that SaveHot writes directly is empty or cut off when the process is killed meanwhile:
// SaveHotFile takes care of that.
func (p *Plugin) SaveHot(to io.Writer) error {
	if err := p.inUse(); err != nil {
		return err
	}
	if err := p.handover.Save(to); err != nil {
		return fmt.Errorf("preload: SaveHot: %w", err)
	}
	return nil
}

// SaveHotFile does what SaveHot does into a file that only its owner can read and write (mode
// 0600). The file is replaced as a whole: whenever the process or the machine stops, there is the
// old file or the new one. It is written beside the old one first, so the directory must be
// writable. Symbolic links are followed.
func (p *Plugin) SaveHotFile(path string) error {
	if err := p.inUse(); err != nil {
		return err
	}
	if err := hotfile.Replace(path, p.handover.Save); err != nil {
		return fmt.Errorf("preload: SaveHotFile: %w", err)
	}
	return nil
}

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
	if err := p.loadHot(ctx, from, progress); err != nil {
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
	err := hotfile.Open(path, func(file io.Reader) error { return p.loadHot(ctx, file, progress) })
	if err != nil {
		return fmt.Errorf("preload: LoadHotFile: %w", err)
	}
	return nil
}

func (p *Plugin) loadHot(ctx context.Context, from io.Reader, progress []func(done, total int)) error {
	if ctx == nil {
		return errNilContext
	}
	return p.handover.Load(ctx, from, progress)
}

// newHandover returns what hands the plugin's hot keys to the next process. The plugin has its
// source.
func (p *Plugin) newHandover() *restart.Handover {
	return restart.New(restart.Config{
		Source: p.source, Log: p.log, Cache: p.cache, Templates: p.templates, Catalog: p.catalog, Patterns: p.patterns, Pool: p.pool,
		Dialect: p.dialect, Partitioned: p.config.partition != nil, MaxPatterns: p.config.maxPatterns, LoadTimeout: p.config.loadTimeout,
		Report: p.config.report, Closed: p.closed.Load, LoaderOf: p.worker.LoaderOf,
		Limits: func(s *schema.Schema) (limits template.Limits, opted bool, err error) {
			m := p.models.Of(s)
			if m.Err != nil || m.Policy == nil {
				return limits, false, m.Err
			}
			return m.Policy.Limits(), true, nil
		},
		Register: func(key string, load cache.Loader) { p.loaders.Register(key, load, 0) },
	})
}
