//go:build race

package strict

// raceDivisor makes simulations shorter, which have one goroutine each, where the race detector
// makes them slow.
const raceDivisor = 20
