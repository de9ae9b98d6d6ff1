package failopen

import "context"

// Origin guards what says what is kept of the context of a read for the loads that the read has
// made: nil where it panics. nil is what there is of no function.
func Origin(keep func(context.Context) context.Context, report Report) func(context.Context) context.Context {
	if keep == nil {
		return func(context.Context) context.Context { return nil }
	}
	return func(ctx context.Context) (kept context.Context) {
		Guard(report, "asking for the origin", func() { kept = keep(ctx) })
		return kept
	}
}
