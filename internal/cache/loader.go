package cache

import "context"

// Loader begins to load the answer of a key in the background, outside any request: from its return
// on readers of the key wait for the Run that it returns, which does the rest. It returns nil if
// the answer is being loaded already, or cannot be.
type Loader func(ctx context.Context) Run

// Run does what a Loader began, and returns the entries whose answers it asked for: those that it
// stored, and those that a write overtook or an error ended. Others a reader has taken over.
type Run func() (asked []*Entry, err error)
