//go:build !unix

package measure

import "time"

var began = time.Now()

// ProcessorTime returns, where a process is not told, the time that passed.
func ProcessorTime() (time.Duration, error) { return time.Since(began), nil }
