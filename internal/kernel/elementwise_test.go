package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// withoutVectors runs a test as the processor is, and again with plain code if it has
// vector code.
func withoutVectors(t *testing.T, test func(t *testing.T)) {
	test(t)
	if vectorCode {
		vectorCode = false
		defer func() { vectorCode = true }()
		t.Run("plain", test)
	}
}

// The vector code gives the bits of the plain code, at every length and for the
// values that are easily got wrong.
func TestElementwise(t *testing.T) { withoutVectors(t, checkElementwise) }

func checkElementwise(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	inf, nan, negZero := float32(math.Inf(1)), float32(math.NaN()), float32(math.Copysign(0, -1))
	special := []float32{nan, inf, -inf, 0, negZero, 6, math.MaxFloat32, math.SmallestNonzeroFloat32}
	value := func() float32 {
		if rng.IntN(4) == 0 {
			return special[rng.IntN(len(special))]
		}
		return 8 * (rng.Float32() - 0.5)
	}
	stretch := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = value()
		}
		return v
	}
	same := func(what string, n int, got, want []float32) {
		t.Helper()
		for i := range want {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) && !(got[i] != got[i] && want[i] != want[i]) {
				t.Fatalf("%s of %d elements: [%d] = %g, want %g", what, n, i, got[i], want[i])
			}
		}
	}
	for n := range 100 {
		a, b := stretch(n), stretch(n)
		got, want := make([]float32, n), make([]float32, n)
		f, o := rng.Float32(), rng.Float32()-0.5
		for i, v := range a {
			want[i] = float32(v*f) + o
		}
		ScaleShift(got, a, f, o)
		same("ScaleShift", n, got, want)

		for i, v := range a {
			want[i] = v + b[i]
		}
		Add(got, a, b)
		same("Add", n, got, want)

		for i, v := range a {
			if u := b[i]; u > v || u != u {
				v = u
			}
			want[i] = v
		}
		maximum(got, a, b)
		same("maximum", n, got, want)

		for i, v := range a {
			want[i] = b[i]
			if v <= 0 {
				want[i] = 0
			}
		}
		Gate(got, a, b)
		same("Gate", n, got, want)

		for _, bounds := range [][2]float32{{0, inf}, {0, 6}, {-1, 1}, {2, -2}, {-inf, inf}, {nan, nan}} {
			for i, v := range a {
				if v < bounds[0] {
					v = bounds[0]
				}
				if v > bounds[1] {
					v = bounds[1]
				}
				want[i] = v
			}
			Clip(got, a, bounds[0], bounds[1])
			same("Clip", n, got, want)
			for i, v := range a {
				want[i] = b[i]
				if v <= bounds[0] || v >= bounds[1] {
					want[i] = 0
				}
			}
			GateBetween(got, a, b, bounds[0], bounds[1])
			same("GateBetween", n, got, want)
		}
		Clip(a, a, nan, nan) // in place
		ScaleShift(a, a, f, o)

		src := stretch(max(0, 2*n-1))
		for i := range want {
			want[i] = src[2*i]
		}
		everySecond(got, src)
		same("everySecond", n, got, want)
	}
}

// greatest returns what a loop over both values gives, the one of the lower index
// first.
func TestGreatest(t *testing.T) {
	withoutVectors(t, checkGreatest[float32])
	checkGreatest[float64](t)
}

func checkGreatest[T Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	special := []T{T(math.NaN()), T(math.Inf(1)), T(math.Inf(-1)), 0, T(math.Copysign(0, -1)), 1, -1}
	for n := range 60 {
		var value [2][]T
		var index [2][]int32
		for k := range value {
			value[k], index[k] = make([]T, n), make([]int32, n)
			for i := range n {
				value[k][i], index[k][i] = special[rng.IntN(len(special))], int32(2*rng.IntN(4)+k)
			}
		}
		got, at := nans[T](n), make([]int32, n)
		greatest(got, at, value[0], index[0], value[1], index[1])
		for i := range n {
			first, second := 0, 1
			if index[1][i] < index[0][i] {
				first, second = 1, 0
			}
			best := first
			if u, v := value[second][i], value[first][i]; u > v || u != u && v == v {
				best = second
			}
			v, u := got[i], value[best][i]
			if at[i] != index[best][i] || v != u && (v == v || u == u) {
				t.Fatalf(
					"%g at %d beside %g at %d: %g at %d", value[0][i], index[0][i],
					value[1][i], index[1][i], v, at[i],
				)
			}
		}
	}
}

func TestSumTaps(t *testing.T) { withoutVectors(t, checkSumTaps) }

func checkSumTaps(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for range 200 {
		n, taps := tapLanes*rng.IntN(5), rng.IntN(12)
		src, factors := random[float32](rng, n+50), random[float32](rng, taps)
		offsets := make([]int, taps)
		want := newSums(n)
		bias := rng.Float32()
		for i := range n {
			want.add(i, float64(bias))
		}
		for k := range offsets {
			offsets[k] = rng.IntN(51)
			for i := range n {
				want.add(i, float64(factors[k])*float64(src[offsets[k]+i]))
			}
		}
		got := nans[float32](n)
		sumTaps(got, src, offsets, factors, bias)
		if i := worst(want, got); i >= 0 {
			t.Fatalf("%d taps: [%d] = %g, want %g", taps, i, got[i], want.value[i])
		}
	}
}

func TestElementwiseRefusesUnequalLengths(t *testing.T) {
	for name, f := range map[string]func(a, b []float32){
		"ScaleShift": func(a, b []float32) { ScaleShift(a, b, 1, 0) },
		"Clip":       func(a, b []float32) { Clip(a, b, 0, 1) },
		"Add":        func(a, b []float32) { Add(a, a, b) },
		"Gate":       func(a, b []float32) { Gate(a, b, a) },
		"between":    func(a, b []float32) { GateBetween(a, b, a, 0, 1) },
		"greatest":   func(a, b []float32) { greatest(a, make([]int32, 3), a, make([]int32, 3), b, make([]int32, 4)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s took stretches of 3 and 4 elements", name)
				}
			}()
			f(make([]float32, 3), make([]float32, 4))
		}()
	}
}
