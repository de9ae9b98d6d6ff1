package seen

import (
	"sync/atomic"
	"testing"
)

// BenchmarkCounter compares a Counter that processors add to at the same time with one word.
func BenchmarkCounter(b *testing.B) {
	b.Run("striped", func(b *testing.B) {
		var c Counter
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				c.Add(1)
			}
		})
	})
	b.Run("word", func(b *testing.B) {
		var c atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				c.Add(1)
			}
		})
	})
	b.Run("alone", func(b *testing.B) {
		var c Counter
		for range b.N {
			c.Add(1)
		}
	})
}
