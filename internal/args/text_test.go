package args

import (
	"math"
	"testing"
)

type floatA float64
type floatB float64

func TestArgsOfNamedTypesAreToldApart(t *testing.T) {
	t.Parallel()
	x, y := NewText(), NewText()
	va, vb := floatA(math.Float64frombits(0xf512345678912345)), floatB(math.Float64frombits(0x0512345678912345))
	x.Add(va)
	y.Add(vb)
	if string(x.Bytes) == string(y.Bytes) {
		t.Errorf("%v and %v have the same args %q", va, vb, x.Bytes)
	}
}
