package failopen

import (
	"context"
	"log/slog"
)

// handler keeps a log handler that panics from harming what is logged.
type handler struct{ slog.Handler }

func (h handler) Enabled(ctx context.Context, level slog.Level) (enabled bool) {
	defer func() { _ = recover() }()
	return h.Handler.Enabled(ctx, level)
}

func (h handler) Handle(ctx context.Context, record slog.Record) error {
	defer func() { _ = recover() }()
	return h.Handler.Handle(ctx, record)
}
