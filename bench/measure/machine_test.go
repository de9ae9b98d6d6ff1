package measure

import (
	"context"
	"testing"
	"time"
)

func TestBusyIsAShareOfTheProcessors(t *testing.T) {
	stop := StartBusy()
	for begun := time.Now(); time.Since(begun) < 100*time.Millisecond; {
	}
	if share, known := stop(); known && (share <= 0 || share > 1) {
		t.Errorf("while this worked, %v of the processors' time was used", share)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if share, _ := Busy(ended, time.Hour); share < 0 || share > 1 {
		t.Errorf("%v of the processors' time was used", share)
	}
}

func TestAMarkIsMetOnItsSide(t *testing.T) {
	for _, tt := range []struct {
		mark  Mark
		value float64
		want  string
	}{
		{AtLeast(.8), .8, "met"},
		{AtLeast(.8), .79, "not met"},
		{AtMost(.8), .8, "met"},
		{AtMost(.8), .81, "not met"},
	} {
		if got := tt.mark.Verdict(tt.value); got != tt.want {
			t.Errorf("%v is %s by %v, want %s", tt.value, got, tt.mark, tt.want)
		}
	}
}
