package prediction

import (
	"slices"
	"unsafe"
)

const (
	// maxTold bounds the shapes that are told apart; where there are more, all are told anew.
	maxTold = 1 << 10
	// maxAttempts bounds the loads whose outcome is waited for.
	maxAttempts = 1 << 10
)

// accounts tell by shape whether what is loaded is used.
type accounts struct {
	shapes map[string]*Trust
	tried  []attempt
}

// attempt is a load whose outcome is not known yet.
type attempt struct {
	Load
	uses  float64 // that were promised
	shape *Trust
}

func (a *accounts) bytes() int64 {
	return int64(len(a.shapes))*rateBytes + int64(cap(a.tried))*(int64(unsafe.Sizeof(attempt{}))+loadBytes)
}

// settle looks what became of the loads, and calls each with those that were used or wasted.
func (a *accounts) settle(each func(attempt, Outcome)) {
	late := len(a.tried) - maxAttempts
	a.tried = slices.DeleteFunc(a.tried, func(one attempt) bool {
		o, decided := one.Outcome()
		if late--; late >= 0 && !decided {
			o, decided = Wasted, true
		}
		if !decided || o == Void {
			return decided
		}
		one.shape.outcome(o, 0, one.Busy())
		each(one, o)
		return true
	})
}

// try notes that something of a shape is loaded.
func (a *accounts) try(l Load, shape string, uses float64) {
	a.tried = append(a.tried, attempt{l, uses, a.of(shape)})
}

func (a *accounts) of(name string) *Trust {
	t := a.shapes[name]
	if t == nil {
		if a.shapes == nil || len(a.shapes) >= maxTold {
			a.shapes = map[string]*Trust{}
		}
		t = &Trust{}
		a.shapes[name] = t
	}
	return t
}
