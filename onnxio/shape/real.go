package shape

import (
	"math"

	"efcn/onnxio"
)

// real is an element of a floating-point tensor that is followed.
type real struct {
	kind realKind
	v    float64 // of a number
	n    num     // of a whole one
}

type realKind uint8

const (
	openReal  realKind = iota // nothing is known of it
	knownReal                 // the number v
	wholeReal                 // the integer n, which is not known
)

func knownAs(v float64) real { return real{kind: knownReal, v: v} }

// whole returns an integer as an element of a floating-point tensor. One that is
// not known is taken to be small enough to be one.
func whole(n num, elem onnxio.DataType) real {
	if n.known() {
		return knownAs(round(float64(n.coef), elem))
	}
	return real{kind: wholeReal, n: n}
}

// integer returns r as an integer; ok is false where it is not known to be one.
func (r real) integer() (n num, ok bool) {
	switch {
	case r.kind == wholeReal:
		return r.n, true
	case r.kind == knownReal && r.v == math.Trunc(r.v) && math.Abs(r.v) < 1<<53:
		return fixed(int64(r.v)), true
	default:
		return num{}, false
	}
}

// truncated returns what a Cast to an integer makes of r.
func (r real) truncated() (n num, ok bool) {
	if r.kind != knownReal {
		return r.n, r.kind == wholeReal
	}
	v := math.Trunc(r.v)
	if !(math.Abs(v) < 1<<62) { // also NaN: no version says what it becomes
		return num{}, false
	}
	return fixed(int64(v)), true
}

// numbersOf returns the values of list if all are known.
func numbersOf(list []real) ([]float64, bool) {
	out := make([]float64, len(list))
	for i, r := range list {
		if r.kind != knownReal {
			return nil, false
		}
		out[i] = r.v
	}
	return out, true
}

func knownReals(list []float64) []real {
	out := make([]real, len(list))
	for i, v := range list {
		out[i] = knownAs(v)
	}
	return out
}

// binaryReal applies an operator to two elements: to their values if both are
// known, else to the integers that they are if the result is sure to be one.
func binaryReal(op string, f func(a, b float64) float64, a, b real, elem onnxio.DataType) real {
	if a.kind == knownReal && b.kind == knownReal {
		return knownAs(round(f(a.v, b.v), elem))
	}
	x, okX := a.integer()
	y, okY := b.integer()
	if !okX || !okY {
		return real{}
	}
	var n num
	ok := false
	switch op {
	case "Add", "Sub", "Mul", "Sum", "Min", "Max":
		n, ok = binaryInts[op](x, y)
	case "Div":
		n, ok = quotient(x, y)
	}
	if !ok {
		return real{}
	}
	return whole(n, elem)
}

// unaryReal is binaryReal for an operator of one operand.
func unaryReal(op string, f func(x float64) float64, r real, elem onnxio.DataType) real {
	switch {
	case r.kind == knownReal:
		return knownAs(round(f(r.v), elem))
	case op == "Identity":
		return r
	case r.kind == openReal:
		return real{}
	}
	n, ok := r.n, false
	switch op {
	case "Floor", "Ceil", "Round":
		ok = true
	case "Neg", "Abs":
		n, ok = unaryInts[op](r.n)
	}
	if !ok {
		return real{}
	}
	return whole(n, elem)
}
