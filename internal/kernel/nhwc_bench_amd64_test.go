package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// Layers of ResNet-18 and MobileNetV2 at 224×224. GF/s-best is that of the fastest call.
func BenchmarkPackedConv(b *testing.B) {
	for _, c := range []struct{ groups, in, out, size, kernel, stride int }{
		{1, 3, 64, 224, 7, 2},
		{1, 64, 64, 56, 3, 1},
		{1, 128, 128, 28, 3, 1},
		{1, 256, 256, 14, 3, 1},
		{1, 512, 512, 7, 3, 1},
		{1, 16, 96, 112, 1, 1},
		{1, 144, 24, 56, 1, 1},
		{1, 384, 64, 14, 1, 1},
		{1, 960, 160, 7, 1, 1},
		{1, 320, 1280, 7, 1, 1},
		{32, 32, 32, 112, 3, 1},
		{96, 96, 96, 112, 3, 2},
		{384, 384, 384, 14, 3, 1},
		{960, 960, 960, 7, 3, 1},
	} {
		pad, out := c.kernel/2, (c.size-1)/c.stride+1
		w := window(
			[]int{c.size, c.size}, []int{c.kernel, c.kernel}, []int{c.stride, c.stride}, []int{1, 1},
			[]int{pad, pad}, []int{pad, pad}, []int{out, out},
		)
		rng := rand.New(rand.NewPCG(1, 1))
		x, weights := random[float32](rng, c.in*c.size*c.size), random[float32](rng, c.out*c.in/c.groups*c.kernel*c.kernel)
		y := make([]float32, c.out*out*out)
		layer := fmt.Sprintf("%dto%d/%d/%dx%d", c.in, c.out, c.size, c.kernel, c.kernel)
		for name, code := range nhwcCodes() {
			p := packConv(code, c.groups, c.in, c.out, c.kernel, c.kernel, weights, nil, nil)
			b.Run(layer+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				best := time.Hour
				for b.Loop() {
					start := time.Now()
					if p.Planar(w) {
						p.ForwardPlanes(w, 1, x, y, NoFinish)
					} else {
						p.Forward(w, 1, x, y, NoFinish)
					}
					best = min(best, time.Since(start))
				}
				b.ReportMetric(best.Seconds()*1e3, "ms-best")
				b.ReportMetric(2*float64(len(weights)*out*out)/best.Seconds()/1e9, "GF/s-best")
			})
		}
	}
}
