package preload

import (
	"context"
	"database/sql"

	"github.com/gorm-preload/preload/internal/asked"
	"github.com/gorm-preload/preload/internal/collation"
	"github.com/gorm-preload/preload/internal/runner"
	"github.com/gorm-preload/preload/internal/template"
)

// A name that is the table of no model may be a view, whose answers change with tables that the
// plugin does not know. The database is asked what it is, in the background of the first read. So
// it is asked by which collations a table of MySQL compares texts.

// collations returns what has the database asked about the texts of a table; nil where nothing is
// asked in the background.
func (p *Plugin) collations(c *config) func(table string) {
	if !c.worker {
		return nil
	}
	return collation.New(asked.Config{
		Settled: func() (int64, bool) { return p.log.Settled() },
		Ask: func(table string, do func(row func(string, ...any) (*sql.Row, error)) error) bool {
			return p.askOfName("the collations of "+table, do)
		},
		Now: c.now,
	}, p.catalog.Collate).Want
}

// askOfName runs what asks the database about a name, where there is room for that now.
func (p *Plugin) askOfName(name string, do func(row func(string, ...any) (*sql.Row, error)) error) bool {
	if !p.config.worker || p.away.Load() {
		return false
	}
	return p.worker.TryRun(runner.Job{
		Keys: []string{template.NotOfTemplate + name}, Label: template.Label(template.NotOfTemplate + name), Dropped: func() {}, Done: func(runner.Ending) {},
		Begin: func(ctx context.Context) func() error {
			return func() error {
				return do(func(query string, args ...any) (*sql.Row, error) {
					conn, err := runner.ConnOf(ctx)
					if err != nil {
						return nil, err
					}
					if conn == nil {
						return p.log.Row(ctx, query, args...)
					}
					return p.log.RowOn(ctx, conn.Conn, query, args...), nil
				})
			}
		},
	}) == runner.Begun
}
