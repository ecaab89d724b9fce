package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"efcn/internal/kernel"
)

// functionTable has each function with its parameters, as the ONNX pages define it, where it
// is smooth, and its derivatives where it is not.
var functionTable = []struct {
	f      Function
	a, b   float64
	value  func(v float64) float64
	from   float64 // to be compared between from and until
	until  float64
	kinks  map[float64]float64 // derivative by place
	breaks []float64           // where the derivative is not asked for
}{
	{f: Abs, value: math.Abs, from: -3, until: 3, kinks: map[float64]float64{0: 0}},
	{f: Acos, value: math.Acos, from: -0.9, until: 0.9},
	{f: Acosh, value: math.Acosh, from: 1.2, until: 5},
	{f: Asin, value: math.Asin, from: -0.9, until: 0.9},
	{f: Asinh, value: math.Asinh, from: -3, until: 3},
	{f: Atan, value: math.Atan, from: -3, until: 3},
	{f: Atanh, value: math.Atanh, from: -0.9, until: 0.9},
	{f: Ceil, value: math.Ceil, from: -3, until: 3, breaks: []float64{-3, -2, -1, 0, 1, 2, 3}},
	{f: Celu, a: 1.5, value: func(v float64) float64 { return max(0, v) + min(0, 1.5*(math.Exp(v/1.5)-1)) }, from: -3, until: 3, kinks: map[float64]float64{0: 1}},
	{f: ClipBoth, a: -1, b: 2, value: func(v float64) float64 { return max(-1, min(2, v)) }, from: -3, until: 3, kinks: map[float64]float64{-1: 0, 2: 0}},
	{f: ClipBoth, a: 2, b: -1, value: func(float64) float64 { return -1 }, from: -3, until: 3},
	{f: Cos, value: math.Cos, from: -3, until: 3},
	{f: Cosh, value: math.Cosh, from: -3, until: 3},
	{f: Elu, a: 0.5, b: 1, value: func(v float64) float64 { return max(0, v) + min(0, 0.5*(math.Exp(v)-1)) }, from: -3, until: 3, kinks: map[float64]float64{0: 0.5}},
	{f: Elu, a: 1.7, b: 1.1, value: func(v float64) float64 { return 1.1 * (max(0, v) + min(0, 1.7*math.Exp(v)-1.7)) }, from: -3, until: 3, kinks: map[float64]float64{0: 1.1 * 1.7}},
	{f: Erf, value: math.Erf, from: -3, until: 3},
	{f: Exp, value: math.Exp, from: -3, until: 3},
	{f: Floor, value: math.Floor, from: -3, until: 3, breaks: []float64{-3, -2, -1, 0, 1, 2, 3}},
	{f: Gelu, value: func(v float64) float64 { return v * 0.5 * math.Erfc(-v/math.Sqrt2) }, from: -3, until: 3},
	{f: GeluTanh, value: func(v float64) float64 {
		return 0.5 * v * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(v+0.044715*v*v*v)))
	}, from: -3, until: 3},
	{f: HardSigmoid, a: 0.2, b: 0.5, value: func(v float64) float64 { return max(0, min(1, 0.2*v+0.5)) }, from: -4, until: 4, kinks: map[float64]float64{-2.5: 0, 2.5: 0}},
	{f: HardSwish, value: func(v float64) float64 { return v * max(0, min(1, v/6+0.5)) }, from: -4, until: 4, kinks: map[float64]float64{-3: 0, 3: 1}},
	{f: LeakyRelu, a: 0.01, value: func(v float64) float64 { return max(0, v) + 0.01*min(0, v) }, from: -3, until: 3, kinks: map[float64]float64{0: 0.01}},
	{f: Log, value: math.Log, from: 0.1, until: 3},
	{f: Mish, value: func(v float64) float64 { return v * math.Tanh(math.Log1p(math.Exp(v))) }, from: -3, until: 3},
	{f: Pow, a: 3, value: func(v float64) float64 { return v * v * v }, from: -3, until: 3, kinks: map[float64]float64{0: 0}},
	{f: Pow, a: 0.5, value: math.Sqrt, from: 0.1, until: 3},
	{f: Pow, a: 0, value: func(float64) float64 { return 1 }, from: -3, until: 3, kinks: map[float64]float64{0: 0}},
	{f: Reciprocal, value: func(v float64) float64 { return 1 / v }, from: 0.2, until: 3},
	{f: Round, value: math.RoundToEven, from: -3, until: 3, breaks: []float64{-2.5, -1.5, -0.5, 0.5, 1.5, 2.5}},
	{f: Shrink, a: 0.5, b: 0.25, value: func(v float64) float64 {
		if math.Abs(v) <= 0.5 {
			return 0
		}
		return v - math.Copysign(0.25, v)
	}, from: -3, until: 3, kinks: map[float64]float64{-0.5: 0, 0.5: 0}},
	{f: Sigmoid, value: func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }, from: -3, until: 3},
	{f: Sign, value: func(v float64) float64 { return math.Copysign(1, v) }, from: -3, until: 3, breaks: []float64{0}},
	{f: Sin, value: math.Sin, from: -3, until: 3},
	{f: Sinh, value: math.Sinh, from: -3, until: 3},
	{f: Softplus, value: func(v float64) float64 { return math.Log(1 + math.Exp(v)) }, from: -3, until: 3},
	{f: Softsign, value: func(v float64) float64 { return v / (1 + math.Abs(v)) }, from: -3, until: 3},
	{f: Sqrt, value: math.Sqrt, from: 0.1, until: 3},
	{f: Swish, a: 1.5, value: func(v float64) float64 { return v / (1 + math.Exp(-1.5*v)) }, from: -3, until: 3},
	{f: Tan, value: math.Tan, from: -1.2, until: 1.2},
	{f: Tanh, value: math.Tanh, from: -3, until: 3},
	{f: ThresholdedRelu, a: 1, value: func(v float64) float64 {
		if v > 1 {
			return v
		}
		return 0
	}, from: -3, until: 3, kinks: map[float64]float64{1: 0}},
}

func testFunctions(t *testing.T, r *rig) {
	seen := map[Function]bool{}
	for i := range functionTable {
		functionCase[float32](t, r, i)
		functionCase[float64](t, r, i)
		seen[functionTable[i].f] = true
	}
	if len(seen) != int(functionCount) {
		t.Errorf("%d of %d functions", len(seen), functionCount)
	}
}

// functionCase compares values with the formula, derivatives with differences of it.
func functionCase[T kernel.Float](t *testing.T, r *rig, number int) {
	t.Helper()
	const n, step = 200, 1e-5
	c := functionTable[number]
	rng := rand.New(rand.NewPCG(13, uint64(number)))
	what := fmt.Sprintf("function %d", c.f)
	x, dy := make([]T, n), random[T](rng, n)
	want, mass, wantDX, massDX := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range x {
	draw:
		v := c.from + rng.Float64()*(c.until-c.from)
		for at := range c.kinks {
			if math.Abs(v-at) < 2*step {
				goto draw
			}
		}
		for _, at := range c.breaks {
			if math.Abs(v-at) < 2*step {
				goto draw
			}
		}
		x[i] = T(v)
	}
	at := n
	for v := range c.kinks { // the first places are the kinks
		at--
		x[at] = T(v)
	}
	for i, v := range double(x) {
		want[i] = c.value(v)
		mass[i] = 4 + math.Abs(want[i])
		slope, ok := c.kinks[v]
		if !ok {
			slope = (c.value(v+step) - c.value(v-step)) / (2 * step)
		}
		wantDX[i] = slope * float64(dy[i])
		// A difference is off by some step² and some 10⁻¹⁶/step; y, which some derivatives
		// use, by a rounding to T.
		massDX[i] = math.Abs(float64(dy[i])) * ((1+math.Abs(slope))*(4+math.Abs(want[i])) + 1e-7/unit[T]())
	}
	r.run(t, func(a *arena) {
		xs, y, dx := put(a, x), room[T](a, n), room[T](a, n)
		a.do(Apply(a.Stream, c.f, c.a, c.b, xs, y))
		a.do(ApplyBackward(a.Stream, c.f, c.a, c.b, xs, y, put(a, dy), dx))
		near(t, what, get(a, y), want, mass, 2)
		near(t, what+": derivative", get(a, dx), wantDX, massDX, 1)
	})
}
