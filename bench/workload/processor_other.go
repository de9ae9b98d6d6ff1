//go:build !unix

package workload

import "time"

var began = time.Now()

// processorTime returns, where a process is not told, the time that passed.
func processorTime() (time.Duration, error) { return time.Since(began), nil }
