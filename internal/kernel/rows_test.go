package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	for _, s := range [][3]int{{0, 3, 2}, {1, 1, 1}, {5, 7, 3}, {40, 900, 1}, {3, 2, 20000}, {2, 40000, 1}} {
		n, channels, size := s[0], s[1], s[2]
		x := random[float32](rng, n*channels*size)
		v := random[float32](rng, channels*size)

		filled := nans[float32](len(x))
		FillRows(n, v, filled)
		for i, got := range filled {
			if want := v[i%len(v)]; got != want {
				t.Fatalf("%v: filled[%d] = %g, want %g", s, i, got, want)
			}
		}

		wantRows, wantPlanes := newSums(len(v)), newSums(channels)
		for i, u := range x {
			wantRows.add(i%len(v), float64(u))
			wantPlanes.add(i/size%channels, float64(u))
		}
		rows, planes := nans[float32](len(v)), nans[float32](channels)
		SumRows(n, x, rows)
		SumPlanes(n, size, x, planes)
		if i := worst(wantRows, rows); i >= 0 {
			t.Errorf("%v: rows[%d] = %g, want %g", s, i, rows[i], wantRows.value[i])
		}
		if i := worst(wantPlanes, planes); i >= 0 {
			t.Errorf("%v: planes[%d] = %g, want %g", s, i, planes[i], wantPlanes.value[i])
		}
	}
}

func TestSumSquares(t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 18))
	for _, n := range []int{0, 1, 100, 1 << 14, 1<<14 + 1, 100000} {
		x := random[float32](rng, n)
		var want float64
		for _, v := range x {
			want += float64(v) * float64(v)
		}
		if got := SumSquares(x); math.Abs(got-want) > 1e-12*want {
			t.Errorf("%d elements: %g, want %g", n, got, want)
		}
	}
}
