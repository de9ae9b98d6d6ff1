//go:build !race

package preload_test

// racing says that the race detector is on, under which tests do not measure the heap.
const racing = false
