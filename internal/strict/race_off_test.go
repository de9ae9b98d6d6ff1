//go:build !race

package strict

const raceDivisor = 1
