package preload

import (
	"context"
	"database/sql"

	"github.com/gorm-preload/preload/internal/runner"
	"github.com/gorm-preload/preload/internal/template"
)

// A name that is the table of no model may be a view, whose answers change with tables that the
// plugin does not know. The database is asked what it is, in the background of the first read.

// askOf has the database asked about the tables in a template's SQL that are of no model.
func (k *keys) askOf(t *template.Template) {
	for _, ref := range t.Unidentified() {
		k.names.Want(ref)
	}
}

// ask runs something that asks the database about a name, where there is room for that now.
func (w *worker) ask(name string, do func(row func(string, ...any) (*sql.Row, error)) error) bool {
	if !w.p.config.worker || w.p.away.Load() {
		return false
	}
	return w.TryRun(runner.Job{
		Keys: []string{template.NotOfTemplate + name}, Label: template.Label(template.NotOfTemplate + name), Dropped: func() {}, Done: func(runner.Ending) {},
		Begin: func(ctx context.Context) func() error {
			return func() error {
				return do(func(query string, args ...any) (*sql.Row, error) {
					conn, err := runner.ConnOf(ctx)
					if err != nil {
						return nil, err
					}
					if conn == nil {
						return w.p.log.Row(ctx, query, args...)
					}
					return w.p.log.RowOn(ctx, conn.Conn, query, args...), nil
				})
			}
		},
	}) == runner.Begun
}
