package cuda

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"efcn/internal/kernel"
)

// BenchmarkDevice times what takes the time of training, on a GPU: bench/gpu runs it
// beside PyTorch. On the stand-in all is small, and no time means anything.
func BenchmarkDevice(b *testing.B) {
	library := openForTest(b)
	small := newStandIn(b, library) != nil
	for _, tf32 := range []bool{false, true} {
		device, err := library.Device(b.Context(), DeviceOptions{TF32: tf32})
		if err != nil {
			b.Fatal(err)
		}
		r := &rig{device: device}
		name := "float32"
		if tf32 {
			name = "TF32"
		}
		for _, side := range []int{10_000, 31_623, 70_711} { // 10⁸, 10⁹ and 5·10⁹ weights
			if small {
				side /= 1000
			}
			b.Run(fmt.Sprintf("%s/dense/%d", name, side), func(b *testing.B) { benchmarkDense(b, r, side) })
		}
		if !tf32 {
			benchmarkOthers(b, r, small)
		}
		if err := device.Close(); err != nil {
			b.Error(err)
		}
	}
}

const batchSize = 250

// benchmarkDense is a step of SGD of a dense layer without bias: the output, the gradient
// at the input, and the update in place.
func benchmarkDense(b *testing.B, r *rig, side int) {
	if int64(side)*int64(side)*4+2e9 > r.device.Memory && side > 1000 {
		b.Skipf("%v has too little memory", r.device)
	}
	weights := float64(side) * float64(side)
	r.run(b, func(a *arena) {
		w, x, y, factors := room[float32](a, side*side), room[float32](a, side*batchSize), room[float32](a, side*batchSize), put(a, []float32{-1e-6, 1})
		a.do(Clear(a.Stream, w))
		a.do(Write(a.Stream, x, random[float32](rand.New(rand.NewPCG(1, 1)), side*batchSize)))
		step := func() {
			a.do(Gemm(a.Stream, Product[float32]{M: side, N: batchSize, K: side, Alpha: 1, A: w, B: x, C: y}))
			a.do(Gemm(a.Stream, Product[float32]{TransA: true, M: side, N: batchSize, K: side, Alpha: 1, A: w, B: x, C: y}))
			a.do(Gemm(a.Stream, Product[float32]{TransB: true, M: side, N: side, K: batchSize, Factors: factors, A: x, B: x, C: w}))
		}
		timed(b, a, 6*weights*batchSize, 16*weights, step)
	})
}

// timed times f, which adds work to the stream: flops and bytes are those of a run.
func timed(b *testing.B, a *arena, flops, bytes float64, f func()) {
	f() // what is needed is loaded and compiled
	a.do(a.Wait())
	b.ResetTimer()
	for range b.N {
		f()
	}
	a.do(a.Wait())
	b.StopTimer()
	seconds := b.Elapsed().Seconds() / float64(b.N)
	b.ReportMetric(seconds*1e3, "ms")
	b.ReportMetric(flops/seconds/1e12, "TFLOP/s")
	b.ReportMetric(bytes/seconds/1e9, "GB/s")
}

// benchmarkOthers times copies, local layers, pooling and Adam.
func benchmarkOthers(b *testing.B, r *rig, small bool) {
	n, batch := 1<<28, batchSize
	if small {
		n, batch = 1000, 3
	}
	b.Run("copy", func(b *testing.B) {
		r.run(b, func(a *arena) {
			x, y := room[float32](a, n), room[float32](a, n)
			timed(b, a, 0, 8*float64(n), func() { a.do(Copy(a.Stream, y, x)) })
		})
	})
	b.Run("adam", func(b *testing.B) {
		r.run(b, func(a *arena) {
			m := Move[float32]{W: room[float32](a, n), G: room[float32](a, n), Step: put(a, Step[float32]{Rate: 1, Factor: 1, Keep: 1, Size: 1, Root: 1}.Values())}
			first, second := room[float32](a, n), room[float32](a, n)
			timed(b, a, 0, 28*float64(n), func() { a.do(Adam(a.Stream, m, false, first, second)) })
		})
	})
	for _, c := range []struct{ channels, side int }{{64, 32}, {16, 32}, {64, 8}} {
		if small {
			c.channels, c.side = c.channels/8, 4
		}
		benchmarkLocal(b, r, c.channels, c.side, batch)
	}
	b.Run("max pool", func(b *testing.B) {
		w := kernel.Window{In: []int{32, 32}, Kernel: []int{2, 2}, Stride: []int{2, 2}, Dilation: []int{1, 1}, PadBegin: []int{0, 0}, PadEnd: []int{0, 0}, Out: []int{16, 16}}
		r.run(b, func(a *arena) {
			in, out := 64*1024*batch, 64*256*batch
			x, y, argmax := room[float32](a, in), room[float32](a, out), room[int32](a, out)
			timed(b, a, 0, float64(4*in+8*out), func() { a.do(MaxPool(a.Stream, w, 64, batch, true, x, y, argmax)) })
		})
	})
}

// benchmarkLocal is the local form of a 3×3 convolution that keeps channels and size.
func benchmarkLocal(b *testing.B, r *rig, channels, side, batch int) {
	l := kernel.Local{Groups: 1, Block: channels * side * side, Positions: side * side, Out: channels, Slots: channels * 9}
	for p := range l.Positions {
		for s := range l.Slots {
			q := int32(l.Block)
			if u, v := p/side+s%9/3-1, p%side+s%3-1; u >= 0 && u < side && v >= 0 && v < side {
				q = int32((s/9*side+u)*side + v)
			}
			l.Table = append(l.Table, q)
		}
	}
	weights := l.Positions * l.Out * l.Slots
	for _, c := range []struct {
		name  string
		bytes int
		run   func(s *Stream, l *Local, w, x, y Buffer[float32]) error
	}{
		{"forward", 4 * weights, func(s *Stream, l *Local, w, x, y Buffer[float32]) error {
			return LocalForward(s, l, x, w, Buffer[float32]{}, y)
		}},
		{"input", 4 * weights, func(s *Stream, l *Local, w, x, y Buffer[float32]) error { return LocalInput(s, l, w, y, x) }},
		{"weights", 8 * weights, func(s *Stream, l *Local, w, x, y Buffer[float32]) error {
			return LocalWeights(s, l, -1e-6, 1, Buffer[float32]{}, x, y, w)
		}},
	} {
		b.Run(fmt.Sprintf("local/%d channels of %d×%d/%s", channels, side, side, c.name), func(b *testing.B) {
			r.run(b, func(a *arena) {
				layer, err := NewLocal(a.thread, l, batch)
				a.do(err)
				if err != nil {
					return
				}
				a.free = append(a.free, func() error { return layer.Free(a.thread) })
				w, x, y := room[float32](a, weights), room[float32](a, layer.in()), room[float32](a, layer.out())
				timed(b, a, 2*float64(weights)*float64(batch), float64(c.bytes), func() { a.do(c.run(a.Stream, layer, w, x, y)) })
			})
		})
	}
}
