package preload

import (
	"math"
	"testing"
)

type argsFA float64
type argsFB float64

func TestArgsOfNamedTypesAreToldApart(t *testing.T) {
	x, y := newFingerprint(), newFingerprint()
	va, vb := argsFA(math.Float64frombits(0xf512345678912345)), argsFB(math.Float64frombits(0x0512345678912345))
	x.arg(va)
	y.arg(vb)
	if string(x.args) == string(y.args) {
		t.Errorf("%v and %v have the same args %q", va, vb, x.args)
	}
}
