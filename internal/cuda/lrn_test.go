package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"efcn/internal/kernel"
)

func testLRN(t *testing.T, r *rig) {
	for _, l := range []LRN{
		{Lines{2, 7, 5}, 1, 2, 0.3, 0.75, 1.5},
		{Lines{1, 3, 4}, 5, 5, 0.1, 2, 0.5}, // wider than the line
		{Lines{3, 1, 2}, 0, 0, 0.1, -1, 0.5},
	} {
		lrnCase[float32](t, r, l)
		lrnCase[float64](t, r, l)
	}
}

func lrnCase[T kernel.Float](t *testing.T, r *rig, l LRN) {
	t.Helper()
	rng := rand.New(rand.NewPCG(23, 23))
	x, dy := random[T](rng, l.size()), random[T](rng, l.size())
	at := double(x)
	compute := func() []float64 {
		y := make([]float64, len(at))
		for i, v := range at {
			s, c := l.Bias, i/l.Inner%l.Length
			for o := max(0, c-l.Before); o <= min(l.Length-1, c+l.After); o++ {
				u := at[i+(o-c)*l.Inner]
				s += l.Alpha * u * u
			}
			y[i] = v / math.Pow(s, l.Beta)
		}
		return y
	}
	r.run(t, func(a *arena) {
		in, sums, y, dx := put(a, x), room[T](a, len(x)), room[T](a, len(x)), room[T](a, len(x))
		a.do(LocalResponse(a.Stream, l, in, sums, y))
		agrees(t, fmt.Sprintf("%+v", l), get(a, y), compute())
		a.do(LocalResponseBackward(a.Stream, l, in, sums, put(a, dy), dx))
		slopes(t, fmt.Sprintf("%+v: gradient", l), get(a, dx), at, func() float64 { return dot(double(dy), compute()) })
	})
}
