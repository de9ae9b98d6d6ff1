package bench_test

import (
	"os"
	"testing"

	"github.com/gorm-preload/preload/bench/workload"
)

// Benchmark runs each variant of each workload: Benchmark/W1/variant=preload.
func Benchmark(b *testing.B) {
	for _, w := range workload.All() {
		b.Run(w.Name, func(b *testing.B) {
			p := &workload.Place{Dir: b.TempDir(), Postgres: os.Getenv("PRELOAD_TEST_POSTGRES")}
			defer p.Close()
			variants, err := w.Open(p)
			if err != nil {
				b.Fatal(err)
			}
			for _, v := range variants {
				b.Run("variant="+v.Name, func(b *testing.B) {
					for i := range w.Warmup {
						if err := v.Do(i); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportAllocs()
					i := 0
					for b.Loop() {
						if err := v.Do(i); err != nil {
							b.Fatal(err)
						}
						i++
					}
				})
			}
		})
	}
}
