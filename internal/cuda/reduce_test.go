package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"efcn/internal/kernel"
)

// reductionTable has each reduction as its ONNX page defines it; ReduceSum here is the mean.
var reductionTable = []struct {
	r        Reduction
	of       func(x []float64) float64
	positive bool
}{
	{r: ReduceSum, of: func(x []float64) float64 { return folded(x, 0, func(s, v float64) float64 { return s + v }) / 6 }},
	{r: ReduceL1, of: func(x []float64) float64 {
		return folded(x, 0, func(s, v float64) float64 { return s + math.Abs(v) })
	}},
	{r: ReduceL2, of: func(x []float64) float64 { return folded(x, 0, math.Hypot) }},
	{r: ReduceSumSquare, of: func(x []float64) float64 { return dot(x, x) }},
	{r: ReduceLogSum, of: func(x []float64) float64 {
		return math.Log(folded(x, 0, func(s, v float64) float64 { return s + v }))
	}, positive: true},
	{r: ReduceLogSumExp, of: func(x []float64) float64 {
		return math.Log(folded(x, 0, func(s, v float64) float64 { return s + math.Exp(v) }))
	}},
	{r: ReduceMax, of: func(x []float64) float64 { return folded(x, math.Inf(-1), math.Max) }},
	{r: ReduceMin, of: func(x []float64) float64 { return folded(x, math.Inf(1), math.Min) }},
	{r: ReduceProd, of: func(x []float64) float64 {
		return folded(x, 1, func(p, v float64) float64 { return p * v })
	}},
}

func folded(x []float64, from float64, f func(total, v float64) float64) float64 {
	for _, v := range x {
		from = f(from, v)
	}
	return from
}

func testReduce(t *testing.T, r *rig) {
	for i := range reductionTable {
		reduceCase[float32](t, r, i)
		reduceCase[float64](t, r, i)
	}
	reduceKinks(t, r)
}

// groups4 puts 23 rows into 4 groups, not in their order and not of one size.
var groups4 = []int32{2, 0, 1, 3, 3, 2, 0, 0, 1, 2, 2, 3, 1, 0, 0, 1, 2, 3, 0, 0, 2, 1, 3}

func reduceCase[T kernel.Float](t *testing.T, r *rig, number int) {
	t.Helper()
	const n, groups = 7, 4
	c := reductionTable[number]
	rng := rand.New(rand.NewPCG(21, uint64(number)))
	x, dy := random[T](rng, len(groups4)*n), random[T](rng, groups*n)
	for i := range x {
		if c.positive {
			x[i] = T(math.Abs(float64(x[i])))
		}
	}
	at := double(x)
	compute := func() []float64 {
		y := make([]float64, groups*n)
		for i := range y {
			var members []float64
			for row, g := range groups4 {
				if int(g) == i/n {
					members = append(members, at[row*n+i%n])
				}
			}
			y[i] = c.of(members)
		}
		return y
	}
	r.run(t, func(a *arena) {
		g := a.arrangement(groups, groups4)
		in, y, dx := put(a, x), room[T](a, groups*n), room[T](a, len(x))
		what := fmt.Sprintf("reduction %d", c.r)
		a.do(Reduce(a.Stream, c.r, 1.0/6, g, n, in, y))
		agrees(t, what, get(a, y), compute())
		kept := [2]Buffer[T]{in, y}
		if c.r == ReduceSum {
			kept = [2]Buffer[T]{}
		}
		a.do(ReduceBackward(a.Stream, c.r, 1.0/6, g, n, kept[0], kept[1], put(a, dy), dx))
		slopes(t, what+": gradient", get(a, dx), at, func() float64 { return dot(double(dy), compute()) })
	})
}

// reduceKinks: equal extremes share the gradient, the gradient at a norm of 0 is 0, and
// what is not finite goes through.
func reduceKinks(t *testing.T, r *rig) {
	t.Helper()
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		r     Reduction
		x, dx []float64
		y     float64
	}{
		{ReduceMax, []float64{3, 1, 3, 3}, []float64{2, 0, 2, 2}, 3},
		{ReduceMin, []float64{3, 1, 3, 1}, []float64{0, 3, 0, 3}, 1},
		{ReduceMax, []float64{3, nan, 5}, []float64{0, 0, 0}, nan},
		{ReduceMin, []float64{nan, 1, 5}, []float64{0, 0, 0}, nan},
		{ReduceL1, []float64{0, -2}, []float64{0, -6}, 2},
		{ReduceL2, []float64{0, 0}, []float64{0, 0}, 0},
		{ReduceProd, []float64{0, 2, 5}, []float64{60, 0, 0}, 0},
		{ReduceProd, []float64{0, 0, 5}, []float64{0, 0, 0}, 0},
		{ReduceLogSumExp, []float64{-inf, -inf}, []float64{nan, nan}, -inf},
		{ReduceLogSumExp, []float64{1000, 1000}, []float64{3, 3}, 1000 + math.Ln2},
	} {
		r.run(t, func(a *arena) {
			g := a.arrangement(1, make([]int32, len(c.x)))
			x, y, dx := put(a, c.x), room[float64](a, 1), room[float64](a, len(c.x))
			a.do(Reduce(a.Stream, c.r, 1, g, 1, x, y))
			a.do(ReduceBackward(a.Stream, c.r, 1, g, 1, x, y, put(a, []float64{6}), dx))
			got, want := append(get(a, y), get(a, dx)...), append([]float64{c.y}, c.dx...)
			for i, v := range got {
				if !(math.Abs(v-want[i]) <= 1e-12*math.Abs(v) || v == want[i] || v != v && want[i] != want[i]) {
					t.Errorf("reduction %d of %v: %v, want %v", c.r, c.x, got, want)
					return
				}
			}
		})
	}
}
