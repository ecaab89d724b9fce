//go:build unix

package kernel

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// halved is the layer of a 3×3 convolution of stride 2: every second position of
// every second line.
func halved(in, out, size int) Local {
	l := convolutionTable(in, out, size)
	var table []int32
	for p := range l.Positions {
		if p/size%2 == 0 && p%size%2 == 0 {
			table = append(table, l.Table[p*l.Slots:(p+1)*l.Slots]...)
		}
	}
	l.Positions, l.Table = len(table)/l.Slots, table
	return l
}

// BenchmarkLocal reports the same figures as BenchmarkGemm.
func BenchmarkLocal(b *testing.B) {
	for _, c := range []struct {
		name string
		l    Local
	}{
		{"16-32", convolutionTable(16, 32, 32)},
		{"3-64", halved(3, 64, 32)},
		{"64-64", halved(64, 64, 16)},
	} {
		for _, n := range []int{16, 250} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				for _, name := range slices.Sorted(maps.Keys(localCodes[float32]())) {
					b.Run(name+"/float32", func(b *testing.B) { benchLocal(b, c.l, n, localCodes[float32]()[name]) })
					b.Run(name+"/float64", func(b *testing.B) { benchLocal(b, c.l, n, localCodes[float64]()[name]) })
				}
			})
		}
	}
}

func benchLocal[T Float](b *testing.B, l Local, n int, code *localCode[T]) {
	layer, err := newLocalLayer(l, n, code)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	x, w := random[T](rng, n*l.Block), random[T](rng, l.Positions*l.Out*l.Slots)
	y := make([]T, n*l.Positions*l.Out)
	benchParts(b, 2*float64(len(w))*float64(n), []part{
		{"forward", func() { layer.Forward(x, w, nil, y) }},
		{"input", func() { layer.LoadGradient(y); layer.BackwardInput(w, x) }},
		{"weights", func() { layer.BackwardWeights(-1e-9, 1, w) }},
	})
}

// part is one of the products of a layer.
type part struct {
	name string
	run  func()
}

// benchParts measures the products of a layer, which all take as many operations.
func benchParts(b *testing.B, flop float64, parts []part) {
	for _, p := range parts {
		b.Run(p.name, func(b *testing.B) {
			for _, before := range parts {
				before.run()
			}
			b.ReportAllocs()
			before := processorTime(b)
			fastest := time.Hour
			for b.Loop() {
				start := time.Now()
				p.run()
				fastest = min(fastest, time.Since(start))
			}
			spent := processorTime(b) - before
			b.ReportMetric(float64(fastest)/1e6, "ms-best")
			b.ReportMetric(flop/fastest.Seconds()/1e9, "GF/s-best")
			b.ReportMetric(flop*float64(b.N)/spent.Seconds()/1e9, "GF/cpu-s")
			b.ReportMetric(0, "ns/op")
		})
	}
}
