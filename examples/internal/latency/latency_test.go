package latency

import (
	"testing"
	"time"
)

func TestPercentileIsASampleThatWasTaken(t *testing.T) {
	var hundred, one, none Samples
	for i := 100; i > 0; i-- {
		hundred.Add(time.Duration(i))
	}
	one.Add(7)
	for _, tt := range []struct {
		name string
		of   *Samples
		p    float64
		want time.Duration
	}{
		{"none", &none, 50, 0},
		{"one, p0", &one, 0, 7},
		{"one, p99", &one, 99, 7},
		{"hundred, p50", &hundred, 50, 50},
		{"hundred, p95", &hundred, 95, 95},
		{"hundred, p99", &hundred, 99, 99},
		{"hundred, p100", &hundred, 100, 100},
		{"hundred, p99.5", &hundred, 99.5, 100},
	} {
		if got := tt.of.Percentile(tt.p); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestMergeCountsSamplesAfterAPercentileWasTaken(t *testing.T) {
	var a, b Samples
	a.Add(3)
	a.Percentile(50)
	b.Add(1)
	b.Add(2)
	a.Merge(&b)
	if a.Len() != 3 || a.Sum() != 6 || a.Percentile(50) != 2 {
		t.Errorf("got %d samples, sum %d, median %d, want 3, 6, 2", a.Len(), a.Sum(), a.Percentile(50))
	}
}

func TestFormat(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                        "0 ns",
		999:                      "999 ns",
		1500:                     "1.50 µs",
		12345:                    "12.3 µs",
		999 * time.Microsecond:   "999 µs",
		9996 * time.Microsecond:  "10.0 ms",
		1234 * time.Millisecond:  "1.23 s",
		99960 * time.Microsecond: "100 ms",
		150 * time.Second:        "150 s",
	} {
		if got := Format(d); got != want {
			t.Errorf("Format(%d): got %q, want %q", d, got, want)
		}
	}
}
