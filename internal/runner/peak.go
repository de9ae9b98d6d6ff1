package runner

import "time"

// peakSpan is half of the time for which a peak is remembered.
const peakSpan = 30 * time.Second

// peak is the greatest number that was noted in the last minute.
type peak struct {
	spans  [2]int    // in this span and in the one before
	turned time.Time // when this span began
}

// note notes a number, and returns the peak.
func (p *peak) note(n int, now time.Time) int {
	if now.Sub(p.turned) >= peakSpan {
		before := p.spans[0]
		if now.Sub(p.turned) >= 2*peakSpan {
			before = 0
		}
		p.spans = [2]int{0, before}
		p.turned = now
	}
	p.spans[0] = max(p.spans[0], n)
	return max(p.spans[0], p.spans[1])
}
