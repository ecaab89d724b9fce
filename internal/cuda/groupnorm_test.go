package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"efcn/internal/kernel"
)

// normalised brings one group to its target, by the definition.
func normalised(target Target, epsilon float64, x []float64) []float64 {
	mean, squares, sizes, count := 0.0, 0.0, 0.0, float64(len(x))
	if target == UnitVariance || target == UnitDeviation {
		for _, v := range x {
			mean += v / count
		}
	}
	for _, v := range x {
		squares += (v - mean) * (v - mean)
		sizes += math.Abs(v)
	}
	by := map[Target]float64{
		UnitVariance: math.Sqrt(squares/count + epsilon), UnitSquare: math.Sqrt(squares/count + epsilon),
		UnitDeviation: math.Sqrt(squares/count) + epsilon, UnitL1: sizes, UnitL2: math.Sqrt(squares),
	}[target]
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = (v - mean) / by
	}
	return y
}

func testGroupNorm(t *testing.T, r *rig) {
	cases := 0
	long := make([]int32, 40) // so many rows in a group that several threads share it
	for target := UnitVariance; target <= UnitL2; target++ {
		for _, whole := range []bool{false, true} {
			for _, affine := range []bool{false, true} {
				groupNormCase[float32](t, r, target, whole, affine, 5, 4, groups4)
				groupNormCase[float64](t, r, target, whole, affine, 5, 4, groups4)
				groupNormCase[float64](t, r, target, whole, affine, 35, 1, long)
				cases += 3
			}
		}
	}
	if cases != 60 {
		t.Errorf("%d cases, want 60", cases)
	}
	groupNormOfEqual(t, r)
}

func groupNormCase[T kernel.Float](
	t *testing.T, r *rig, target Target, whole, affine bool, n, groups int, from []int32,
) {
	t.Helper()
	const epsilon, scales, biases = 0.01, 2, 3
	rng := rand.New(rand.NewPCG(22, uint64(target)))
	rows := len(from)
	x, dy := random[T](rng, rows*n), random[T](rng, rows*n)
	for i := range x {
		x[i] += T(math.Copysign(0.01, float64(x[i]))) // away from the kink of a size
	}
	scale, bias := random[T](rng, scales), random[T](rng, biases)
	scaleAt, biasAt := make([]int32, rows), make([]int32, rows)
	for i := range scaleAt {
		scaleAt[i], biasAt[i] = int32(i*i%scales), int32(i/2%biases)
	}
	xs, ss, bs := double(x), double(scale), double(bias)
	compute := func() []float64 {
		y := make([]float64, len(xs))
		sums := groups * n
		if whole {
			sums = groups
		}
		for sum := range sums {
			var at []int
			var members []float64
			for i := range xs {
				if int(from[i/n]) == sum && whole || !whole && int(from[i/n])*n+i%n == sum {
					at, members = append(at, i), append(members, xs[i])
				}
			}
			for k, v := range normalised(target, epsilon, members) {
				i := at[k]
				if y[i] = v; affine {
					y[i] = v*ss[scaleAt[i/n]] + bs[biasAt[i/n]]
				}
			}
		}
		return y
	}
	loss := func() float64 { return dot(double(dy), compute()) }
	what := fmt.Sprintf("target %d, whole %v, affine %v, %d samples of %d rows", target, whole, affine, n, rows)
	r.run(t, func(a *arena) {
		g := GroupNorm[T]{Target: target, Epsilon: epsilon, N: n, Whole: whole, Groups: a.arrangement(groups, from)}
		if affine {
			g.Scale, g.Bias = put(a, scale), put(a, bias)
			g.ScaleAt, g.BiasAt = a.arrangement(scales, scaleAt), a.arrangement(biases, biasAt)
		}
		g.Stats = room[float64](a, g.StatsSize())
		in, out, grad, dx := put(a, x), room[T](a, rows*n), put(a, dy), room[T](a, rows*n)
		a.do(g.Forward(a.Stream, in, out))
		agrees(t, what, get(a, out), compute())
		a.do(g.BackwardInput(a.Stream, in, grad, dx))
		slopes(t, what+": dx", get(a, dx), xs, loss)
		if affine {
			dscale, dbias := room[T](a, scales), room[T](a, biases)
			a.do(g.BackwardScale(a.Stream, in, grad, dscale))
			a.do(g.BackwardBias(a.Stream, grad, dbias))
			slopes(t, what+": dscale", get(a, dscale), ss, loss)
			slopes(t, what+": dbias", get(a, dbias), bs, loss)
			a.do(g.Forward(a.Stream, in, in)) // in place
			agrees(t, what+": in place", get(a, in), compute())
		}
	})
}

// groupNormOfEqual: zeros stay and have no gradient; where all are equal a deviation of 0
// has none.
func groupNormOfEqual(t *testing.T, r *rig) {
	t.Helper()
	const epsilon = 0.5
	for _, c := range []struct {
		target Target
		x      float64
		want   []float64
	}{
		{UnitL1, 0, []float64{0, 0, 0}},
		{UnitL2, 0, []float64{0, 0, 0}},
		{UnitDeviation, 3, []float64{-2 / epsilon, 0, 2 / epsilon}}, // dy less its mean
	} {
		r.run(t, func(a *arena) {
			g := GroupNorm[float64]{Target: c.target, Epsilon: epsilon, N: 1, Groups: a.arrangement(1, make([]int32, 3))}
			g.Stats = room[float64](a, g.StatsSize())
			x, y, dx := put(a, []float64{c.x, c.x, c.x}), room[float64](a, 3), room[float64](a, 3)
			a.do(g.Forward(a.Stream, x, y))
			a.do(g.BackwardInput(a.Stream, x, put(a, []float64{1, 3, 5}), dx))
			same(t, fmt.Sprintf("target %d of equal numbers", c.target), get(a, y), []float64{0, 0, 0})
			same(t, fmt.Sprintf("target %d of equal numbers: gradient", c.target), get(a, dx), c.want)
		})
	}
}
