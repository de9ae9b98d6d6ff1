package measure

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// Quiet is the share of the processors' time above which others disturb what is measured.
const Quiet = .05

// Busy returns the share of all processors' time that anybody used during a while. It is not known
// where the system has no /proc/stat.
func Busy(ctx context.Context, while time.Duration) (share float64, known bool) {
	stop := StartBusy()
	select {
	case <-time.After(while):
	case <-ctx.Done():
	}
	return stop()
}

// StartBusy begins to look at how busy the processors are; what it returns tells how busy they were
// since, as Busy does.
func StartBusy() (stop func() (share float64, known bool)) {
	busy, all, ok := ticks()
	return func() (float64, bool) {
		laterBusy, laterAll, still := ticks()
		if !ok || !still || laterAll <= all {
			return 0, false
		}
		return float64(laterBusy-busy) / float64(laterAll-all), true
	}
}

// ticks returns how long the processors worked for anybody, and how long there was of them.
func ticks() (busy, all int64, ok bool) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, false
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var user, nice, system, idle, waiting, irq, softirq, stolen int64
	if _, err := fmt.Sscanf(line, "cpu %d %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &waiting, &irq, &softirq, &stolen); err != nil {
		return 0, 0, false
	}
	busy = user + nice + system + irq + softirq + stolen
	return busy, busy + idle + waiting, true
}
