package preload

import "time"

// Policy is how the answers of one model are treated. The zero value takes the plugin's own
// settings.
type Policy struct {
	// TTL is how long an answer is kept; 0 stands for WithTTL.
	TTL time.Duration
	// Negative is how long an answer without rows is kept; 0 stands for WithNegativeTTL, a negative
	// value does not keep it.
	Negative time.Duration
	// MaxRows is the largest answer that is kept; 0 stands for WithMaxRows.
	MaxRows int
	// Depends names further tables whose writes change the model's answers: what a view reads, what
	// triggers write from.
	Depends []string
	// Off takes the model out, as the tag `preload:"-"` does.
	Off bool
}
