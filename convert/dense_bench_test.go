package convert

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"efcn/convert/affine"
)

// BenchmarkWriteDense writes the matrices of layers of the kinds that AlexNet-32
// and the 3-conv net have; the bytes a second are to be compared with copying
// memory.
func BenchmarkWriteDense(b *testing.B) {
	for _, size := range []struct{ in, out, side int }{{3, 64, 32}, {64, 64, 16}, {16, 32, 32}, {64, 192, 8}, {384, 256, 3}} {
		b.Run(fmt.Sprintf("%d-%d-%dx%d", size.in, size.out, size.side, size.side), func(b *testing.B) {
			two := func(v int64) []int64 { return []int64{v, v} }
			g := geometry{group: 1, inPerGroup: size.in, outPerGroup: size.out, in: two(int64(size.side)), kernel: two(3), stride: two(1), dilation: two(1), padBegin: two(1), padEnd: two(1)}
			plan, err := NewPlan(convModel(g, randoms(rand.New(rand.NewPCG(1, 1)), 9*size.in*size.out), nil), Options{})
			if err != nil {
				b.Fatal(err)
			}
			m := plan.Layers[0].weights.(*affine.Map)
			b.SetBytes(m.DenseBytes())
			b.ReportAllocs()
			for b.Loop() {
				if err := m.WriteDense(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
