package cuda

import (
	"math"
	"math/rand/v2"
	"testing"

	"efcn/internal/kernel"
)

func testMix(t *testing.T, r *rig) {
	mixCase[float32](t, r)
	mixCase[float64](t, r)
}

// mixCase: elements that several read, one that none does, and a sum of nothing.
func mixCase[T kernel.Float](t *testing.T, r *rig) {
	t.Helper()
	const outer, inner = 3, 10
	p := kernel.CSR{Rows: 5, Cols: 4, Starts: []int{0, 2, 3, 3, 6, 7}, Columns: []int32{0, 1, 1, 0, 1, 3, 3}}
	rng := rand.New(rand.NewPCG(24, 24))
	v, x, dy := random[T](rng, len(p.Columns)), random[T](rng, outer*p.Cols*inner), random[T](rng, outer*p.Rows*inner)
	y, massY := make([]float64, len(dy)), make([]float64, len(dy))
	dx, massDX := make([]float64, len(x)), make([]float64, len(x))
	for o := range outer {
		for row := range p.Rows {
			for k := p.Starts[row]; k < p.Starts[row+1]; k++ {
				for i := range inner {
					to, from := (o*p.Rows+row)*inner+i, (o*p.Cols+int(p.Columns[k]))*inner+i
					y[to] += float64(v[k]) * float64(x[from])
					massY[to] += math.Abs(float64(v[k]) * float64(x[from]))
					dx[from] += float64(v[k]) * float64(dy[to])
					massDX[from] += math.Abs(float64(v[k]) * float64(dy[to]))
				}
			}
		}
	}
	r.run(t, func(a *arena) {
		c, err := NewCSR(a.thread, p, 1)
		if a.do(err); err != nil {
			return
		}
		a.free = append(a.free, func() error { return c.Free(a.thread) })
		entries, gotY, gotDX := put(a, v), room[T](a, len(y)), room[T](a, len(x))
		a.do(Mix(a.Stream, c, outer, inner, entries, put(a, x), gotY))
		a.do(MixBackward(a.Stream, c, outer, inner, entries, put(a, dy), gotDX))
		near(t, "mixed", get(a, gotY), y, massY, 4)
		near(t, "mixed, backward", get(a, gotDX), dx, massDX, 4)
	})
}
