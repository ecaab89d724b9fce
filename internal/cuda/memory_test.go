package cuda

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// testMemory: what is written is read again, in parts and of more bytes than are copied at
// a time.
func testMemory(t *testing.T, r *rig) {
	r.run(t, func(a *arena) {
		values := make([]int32, stagingSize/4+1000)
		for i := range values {
			values[i] = int32(i * 7)
		}
		b := put(a, values)
		if got := get(a, b); !slices.Equal(got, values) {
			t.Error("what was read is not what was written")
		}
		if got := get(a, b.Part(5, 9)); !slices.Equal(got, values[5:9]) {
			t.Errorf("a part: %v", got)
		}
		c := room[int32](a, 10)
		a.do(Clear(a.Stream, c))
		a.do(Copy(a.Stream, c.Part(2, 6), b.Part(100, 104)))
		if got := get(a, c); !slices.Equal(got, []int32{0, 0, 700, 707, 714, 721, 0, 0, 0, 0}) {
			t.Errorf("cleared and copied: %v", got)
		}
		free, total, err := a.thread.Memory()
		a.do(err)
		if free <= 0 || free > total || total > r.device.Memory {
			t.Errorf("%d of %d bytes free, of %d", free, total, r.device.Memory)
		}
		a.do(a.thread.Fits(free / 2))
		var full *MemoryError
		if err := a.thread.Fits(free + 1<<40); !errors.As(err, &full) || !errors.Is(err, ErrOutOfMemory) {
			t.Errorf("a plan of more than there is: %v", err)
		}
	})
}

// testRefusals: what does not fit is an error before anything is computed.
func testRefusals(t *testing.T, r *rig) {
	r.run(t, func(a *arena) {
		x, y := room[float32](a, 10), room[float32](a, 9)
		host, err := AllocHost[float32](a.thread, 9)
		a.do(err)
		a.free = append(a.free, func() error { return host.Free(a.thread) })
		for name, err := range map[string]error{
			"copy: 10 elements for 9":                        Copy(a.Stream, y, x),
			"upload: 9 elements for 10":                      Upload(a.Stream, x, host),
			"download: 10 elements for 9":                    Download(a.Stream, host, x),
			"write: 2 elements for 9":                        Write(a.Stream, y, []float32{1, 2}),
			"read: 10 elements for 2":                        Read(a.Stream, make([]float32, 2), x),
			"clip: dst has 9 elements; want 10":              Clip(a.Stream, y, x, 0, 1),
			"add: b has 9 elements; want 10":                 Add(a.Stream, x, x, y),
			"transpose: src has 9 elements; want 10":         Transpose(a.Stream, 2, 5, y, x),
			"sum_rows: x has 9 elements; want 10":            SumRows(a.Stream, 5, 1, y, x.Part(0, 2)),
			"gemm of 3×3×3: c: want 9 elements":              Gemm(a.Stream, Product[float32]{M: 3, N: 3, K: 3, A: x, B: x, C: y.Part(0, 8)}),
			"gemm of 3×3×-1: ":                               Gemm(a.Stream, Product[float32]{M: 3, N: 3, K: -1, A: x, B: x, C: y}),
			"gemm of 2×2×2: a: rows of 2":                    Gemm(a.Stream, Product[float32]{M: 2, N: 2, K: 2, A: x, LDA: 1, B: x, C: y}),
			"a part of a buffer is not freed":                x.Part(0, 5).Free(a.thread),
			"there is no kernel nothing_float32":             launch[float32](a.Stream, "nothing", blocks{1, 1}),
			"scale_float32: 1 parameters; want 3":            launch[float32](a.Stream, "scale", blocks{1, 1}, 1),
			"scale_float32: parameter 1 has 8 bytes; want 4": launch[float32](a.Stream, "scale", blocks{1, 1}, 1, 1.0, x),
			"scale_float32: 1×70000 blocks":                  launch[float32](a.Stream, "scale", blocks{1, 70000}, 1, float32(1), x),
		} {
			if err == nil || !strings.HasPrefix(err.Error(), name) {
				t.Errorf("want %q, got %v", name, err)
			}
		}
		if _, err := Alloc[float32](a.thread, -1); err == nil {
			t.Error("a negative buffer is allocated")
		}
		var e *Error
		if err := (Buffer[byte]{address: 12345, n: 1}).Free(a.thread); !errors.As(err, &e) || e.Call != "cuMemFree_v2" ||
			e.Name != "CUDA_ERROR_INVALID_VALUE" {
			t.Errorf("memory that is none is freed: %v", err)
		}
	})
	if _, err := r.device.library.Device(t.Context(), DeviceOptions{Index: 1000}); err == nil ||
		!strings.Contains(err.Error(), "cuda:1000: cuDeviceGet: CUDA_ERROR_INVALID_DEVICE") {
		t.Errorf("device 1000: %v", err)
	}
}

// testStreams: work of one stream begins when that of another is done that it follows.
func testStreams(t *testing.T, r *rig) {
	r.run(t, func(a *arena) {
		other, err := a.thread.NewStream()
		a.do(err)
		first, err := a.thread.NewEvent()
		a.do(err)
		second, err := a.thread.NewEvent()
		a.do(err)
		host, err := AllocHost[float32](a.thread, 1000)
		a.do(err)
		a.free = append(a.free, other.Free, first.Free, second.Free, func() error { return host.Free(a.thread) })
		for i := range host.Data() {
			host.Data()[i] = float32(i)
		}
		x, y := room[float32](a, 1000), room[float32](a, 1000)
		// The samples come on a stream of their own, as those of the next step would.
		a.do(Upload(other, x, host))
		a.do(other.Record(first))
		a.do(a.Follow(first))
		a.do(Add(a.Stream, y, x, x))
		a.do(a.Record(second))
		a.do(first.Wait()) // host is free again
		clear(host.Data())
		a.do(second.Wait())
		if ms, err := second.Since(first); err != nil || ms < 0 {
			t.Errorf("%v ms between events (%v)", ms, err)
		}
		a.do(Download(a.Stream, host, y))
		a.do(a.Wait())
		for i, v := range host.Data() {
			if v != float32(2*i) {
				t.Errorf("element %d is %v", i, v)
				return
			}
		}
	})
}

// testGraph: a step that was captured does what it did, with numbers that have changed in
// memory.
func testGraph(t *testing.T, r *rig) {
	rng := rand.New(rand.NewPCG(1, 2))
	r.run(t, func(a *arena) {
		const n, k = 8, 5
		x, dy, w := random[float32](rng, k*n), random[float32](rng, 3*n), random[float32](rng, 3*k)
		dx, ddy, dw := put(a, x), put(a, dy), put(a, w)
		factors := room[float32](a, 2)
		step := func() error {
			return Gemm(a.Stream, Product[float32]{TransB: true, M: 3, N: k, K: n, Factors: factors, A: ddy, B: dx, C: dw})
		}
		want := double(w)
		apply := func(alpha, beta float32) {
			for i := range 3 {
				for j := range k {
					sum := 0.0
					for l := range n {
						sum += float64(dy[i*n+l]) * float64(x[j*n+l])
					}
					want[i*k+j] = float64(alpha)*sum + float64(beta)*want[i*k+j]
				}
			}
		}
		a.do(Write(a.Stream, factors, []float32{-0.5, 1}))
		a.do(step())
		apply(-0.5, 1)
		g, err := a.Capture(step)
		a.do(err)
		if err != nil {
			return
		}
		a.free = append(a.free, g.Free)
		for _, f := range [][]float32{{-0.5, 1}, {-0.25, 0.75}, {0.125, 1}} {
			a.do(Write(a.Stream, factors, f))
			a.do(a.Launch(g))
			a.do(a.Wait())
			apply(f[0], f[1])
		}
		near(t, "after four steps", get(a, dw), want, slices.Repeat([]float64{20}, len(want)), 4*n)

		// What a graph cannot hold ends the capture, and the stream goes on.
		if _, err := a.Capture(a.Wait); err == nil {
			t.Error("a wait is captured")
		}
		wrong := errors.New("wrong")
		if _, err := a.Capture(func() error { return wrong }); !errors.Is(err, wrong) {
			t.Errorf("got %v", err)
		}
		a.do(a.Wait())
	})
}
