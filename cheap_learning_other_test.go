//go:build !unix

package preload

import "time"

// processor returns 0: how much processor time the process has taken is told in other ways.
func processor() time.Duration { return 0 }
