package cuda

import (
	"math"
	"testing"

	"efcn/internal/kernel"
)

// roundings is how many roundings to T, of numbers as large as the greatest of a result,
// a result below may have: each is computed in float64, from values of T.
const roundings = 8

// largest is 1 and the greatest of v.
func largest(v []float64) float64 {
	most := 0.0
	for _, x := range v {
		most = max(most, math.Abs(x))
	}
	return 1 + most
}

// agrees compares what is computed in float64 and rounded to T; sums of up to 100 terms in
// float64 may have another order.
func agrees[T kernel.Float](t *testing.T, what string, got []T, want []float64) {
	t.Helper()
	within(t, what, got, want, (roundings*unit[T]()+100*0x1p-53)*largest(want))
}

// slopes compares got with the derivatives of loss by the elements of x, of many by some of
// them, as central differences, which are off by some step² and some 10⁻¹⁶/step.
func slopes[T kernel.Float](t *testing.T, what string, got []T, x []float64, loss func() float64) {
	t.Helper()
	const step = 1e-5
	if len(got) != len(x) {
		t.Errorf("%s: %d elements, want %d", what, len(got), len(x))
		return
	}
	var some []T
	var want []float64
	for i := 0; i < len(x); i += 1 + len(x)/50 {
		v := x[i]
		x[i] = v + step
		above := loss()
		x[i] = v - step
		some, want = append(some, got[i]), append(want, (above-loss())/(2*step))
		x[i] = v
	}
	within(t, what, some, want, (roundings*unit[T]()+1e-7)*largest(want))
}

func within[T kernel.Float](t *testing.T, what string, got []T, want []float64, bound float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d elements, want %d", what, len(got), len(want))
		return
	}
	for i, v := range got {
		if d := math.Abs(float64(v) - want[i]); !(d <= bound) {
			t.Errorf("%s: element %d of %d is %v, want %v within %.3g", what, i, len(got), v, want[i], bound)
			return
		}
	}
}

func dot(a, b []float64) float64 {
	total := 0.0
	for i, v := range a {
		total += v * b[i]
	}
	return total
}

// arrangement makes one for the test, nil for nil.
func (a *arena) arrangement(in int, from []int32) *Arrangement {
	a.t.Helper()
	if from == nil {
		return nil
	}
	m, err := NewArrangement(a.thread, in, from)
	if a.do(err); err != nil {
		return nil
	}
	a.free = append(a.free, func() error { return m.Free(a.thread) })
	return m
}
