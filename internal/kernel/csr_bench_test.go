//go:build unix

package kernel

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// scattered is a matrix of as many entries in every row, in columns drawn at
// random: no two rows have the same.
func scattered(rows, cols, entries int) CSR {
	rng := rand.New(rand.NewPCG(1, 2))
	c := CSR{Rows: rows, Cols: cols, Starts: []int{0}}
	for range rows {
		row := map[int32]bool{}
		for len(row) < entries {
			row[int32(rng.IntN(cols))] = true
		}
		c.Columns = append(c.Columns, slices.Sorted(maps.Keys(row))...)
		c.Starts = append(c.Starts, len(c.Columns))
	}
	return c
}

// BenchmarkCSR reports the same figures as BenchmarkGemm.
func BenchmarkCSR(b *testing.B) {
	for _, c := range []struct {
		name string
		c    CSR
	}{
		{"16-32", csrOf(convolutionTable(16, 32, 32))},
		{"64-64", csrOf(halved(64, 64, 16))},
		{"scattered", scattered(8192, 8192, 128)},
	} {
		for _, n := range []int{1, 16, 250} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				for _, name := range slices.Sorted(maps.Keys(csrCodes[float32]())) {
					b.Run(name+"/float32", func(b *testing.B) { benchCSR(b, c.c, n, csrCodes[float32]()[name]) })
					b.Run(name+"/float64", func(b *testing.B) { benchCSR(b, c.c, n, csrCodes[float64]()[name]) })
				}
			})
		}
	}
}

func benchCSR[T Float](b *testing.B, c CSR, n int, code *csrCode[T]) {
	plan, err := NewCSRPlan(c)
	if err != nil {
		b.Fatal(err)
	}
	layer, err := newCSRLayer(plan, n, code)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	x, w, y := random[T](rng, n*c.Cols), random[T](rng, len(c.Columns)), make([]T, n*c.Rows)
	benchParts(b, 2*float64(len(w))*float64(n), []part{
		{"forward", func() { layer.Forward(x, w, nil, y) }},
		{"input", func() { layer.LoadGradient(y); layer.BackwardInput(w, x) }},
		{"weights", func() { layer.BackwardWeights(-1e-9, 1, w) }},
	})
}
