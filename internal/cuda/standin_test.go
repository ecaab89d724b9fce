package cuda

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"efcn/internal/kernel"
)

// open makes the device of the stand-in anew.
func (s *standIn) open(t *testing.T) *Device {
	t.Helper()
	library, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := library.Device(t.Context(), DeviceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// program uses everything that allocates: streams, tables, pinned memory, products,
// modules, a graph. Whatever fails, it gives back what it has.
func program(ctx context.Context, library *Library) (err error) {
	d, err := library.Device(ctx, DeviceOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Do(ctx, func(t *Thread) (err error) {
		var free []func() error
		defer func() {
			err = errors.Join(err, t.Stream().Wait())
			for _, f := range free {
				err = errors.Join(err, f())
			}
		}()
		for _, c := range localCases() {
			l, err := NewLocal(t, c.Local, c.n)
			if err != nil {
				return err
			}
			free = append(free, func() error { return l.Free(t) })
		}
		csr, err := NewCSR(t, kernel.CSR{Rows: 2, Cols: 2, Starts: []int{0, 1, 2}, Columns: []int32{1, 0}}, 3)
		if err != nil {
			return err
		}
		free = append(free, func() error { return csr.Free(t) })
		moved, err := NewArrangement(t, 2, []int32{1, 0})
		if err != nil {
			return err
		}
		free = append(free, func() error { return moved.Free(t) })
		x, err := Made(t, random[float32](rand.New(rand.NewPCG(1, 1)), 100))
		if err != nil {
			return err
		}
		free = append(free, func() error { return x.Free(t) })
		y, err := Alloc[float32](t, 100)
		if err != nil {
			return err
		}
		free = append(free, func() error { return y.Free(t) })
		host, err := AllocHost[float32](t, 100)
		if err != nil {
			return err
		}
		free = append(free, func() error { return host.Free(t) })
		product := func() error {
			return Gemm(t.Stream(), Product[float32]{M: 10, N: 10, K: 10, Alpha: 1, A: x, B: x, C: y})
		}
		if err := product(); err != nil {
			return err
		}
		g, err := t.Stream().Capture(product)
		if err != nil {
			return err
		}
		free = append(free, g.Free)
		return errors.Join(t.Stream().Launch(g), Download(t.Stream(), host, y), t.Stream().Wait())
	})
}

// testFull lets each allocation fail in turn: the error says so, nothing is left behind,
// and the next program runs.
func testFull(t *testing.T, s *standIn) {
	library, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for n := 1; ; n++ {
		s.fail(n)
		err := program(t.Context(), library)
		left := s.left()
		s.fail(0)
		if live := s.live(); live != 0 {
			t.Fatalf("allocation %d fails: %d things are left behind", n, live)
		}
		if left > 0 { // there are fewer
			if err != nil {
				t.Errorf("with memory for all: %v", err)
			}
			break
		}
		failed++
		if !errors.Is(err, ErrOutOfMemory) || errors.Is(err, ErrLost) {
			t.Errorf("allocation %d fails: %v", n, err)
		}
	}
	// The tables of layers, two buffers, two pinned ones, the workspace, the handle of cuBLAS
	// and a graph.
	if failed < 45 {
		t.Errorf("%d allocations", failed)
	}
	t.Logf("%d allocations", failed)

	s.capacity(1000)
	defer s.capacity(8 << 30)
	var full *MemoryError
	if err := program(t.Context(), library); !errors.As(err, &full) || full.Memory != 1000 || full.Free > 1000 {
		t.Errorf("in 1000 bytes: %v", err)
	}
}

// testWrongAddresses: what reads or writes where it should not is caught, and loses the
// device.
func testWrongAddresses(t *testing.T, s *standIn) {
	for _, c := range []struct {
		name, want string
		wrong      func(t *Thread, x, y Buffer[float32]) error
	}{
		{"behind the end", "add_float32: element 100 of memory with elements 0 to 100", func(t *Thread, x, y Buffer[float32]) error {
			return launch[float32](t.Stream(), "add", over(101), 101, x, x, y)
		}},
		{"before the beginning", "spread_float32: element -1 of memory", func(t *Thread, x, y Buffer[float32]) error {
			return launch[float32](t.Stream(), "spread", over(100), -10, -10, x, y)
		}},
		{"no memory at all", "scale_float32: a kernel is given 0x1234, which is no device memory", func(t *Thread, _, _ Buffer[float32]) error {
			return launch[float32](t.Stream(), "scale", over(1), 1, float32(1), Buffer[float32]{address: 0x1234, n: 1})
		}},
		{"freed too early", "add_float32: a kernel is given", func(t *Thread, x, y Buffer[float32]) error {
			z, err := Alloc[float32](t, 100)
			return errors.Join(err, Add(t.Stream(), z, x, y), z.Free(t))
		}},
		{"a matrix that is too short", "cublasGemm: a matrix of 10×10", func(t *Thread, x, y Buffer[float32]) error {
			long := Buffer[float32]{address: x.address, n: 1000}
			return Gemm(t.Stream(), Product[float32]{M: 10, N: 10, K: 10, Alpha: 1, A: x, B: long.Part(90, 190), C: y})
		}},
		{"a table that names no entry", "tie_float32: element 2 of memory with elements 0 to 2", func(t *Thread, x, _ Buffer[float32]) error {
			starts, err := Made(t, []int64{0, 9})
			entries, err2 := Made(t, []int64{0, 1})
			err = errors.Join(err, err2, Tie(t.Stream(), Ties{starts, entries}, x), t.Stream().Wait())
			return errors.Join(err, starts.Free(t), entries.Free(t))
		}},
	} {
		d := s.open(t)
		err := d.Do(t.Context(), func(th *Thread) error {
			x, err := Made(th, make([]float32, 100))
			y, err2 := Made(th, make([]float32, 100))
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			wrong := errors.Join(c.wrong(th, x, y), th.Stream().Wait())
			// What comes after fails too; the device is not to be used any more.
			if err := Clear(th.Stream(), x); !errors.Is(err, ErrLost) {
				t.Errorf("%s: then: %v", c.name, err)
			}
			_, _ = x.Free(th), y.Free(th) // of a lost device
			return wrong
		})
		var e *Error
		if !errors.Is(err, ErrLost) || !errors.As(err, &e) || e.Name != "CUDA_ERROR_ILLEGAL_ADDRESS" ||
			!strings.Contains(s.message(), c.want) {
			t.Errorf("%s: %v: %s; want %s", c.name, err, s.message(), c.want)
		}
		if err := d.Close(); !errors.Is(err, ErrLost) {
			t.Errorf("%s: close: %v", c.name, err)
		}
		if live := s.live(); live != 0 {
			t.Fatalf("%s: %d things are left", c.name, live)
		}
	}

	// Nothing is done before somebody waits: what is read before is not there yet.
	d := s.open(t)
	err := d.Do(t.Context(), func(th *Thread) error {
		x, err := Made(th, make([]float32, 100))
		if err != nil {
			return err
		}
		host, err := AllocHost[float32](th, 100)
		if err != nil {
			return err
		}
		if err := Download(th.Stream(), host, x); err != nil {
			return err
		}
		if host.Data()[0] == 0 {
			t.Error("a copy is done at once")
		}
		if err := th.Stream().Wait(); err != nil || host.Data()[0] != 0 {
			t.Errorf("a copy is not done: %v (%v)", host.Data()[0], err)
		}
		return errors.Join(x.Free(th), host.Free(th))
	})
	if err := errors.Join(err, d.Close()); err != nil {
		t.Error(err)
	}
}

// testLost: after the device is lost, every call says so, and it can be closed.
func testLost(t *testing.T, s *standIn) {
	d := s.open(t)
	err := d.Do(t.Context(), func(th *Thread) error {
		x, err := Alloc[float64](th, 10)
		if err != nil {
			return err
		}
		s.lose()
		for name, err := range map[string]error{
			"clear": Clear(th.Stream(), x), "wait": th.Stream().Wait(), "scale": Scale(th.Stream(), x, 2), "free": x.Free(th),
		} {
			var e *Error
			if !errors.Is(err, ErrLost) || !errors.As(err, &e) || e.Name != "CUDA_ERROR_LAUNCH_FAILED" {
				t.Errorf("%s: %v", name, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := d.Close(); !errors.Is(err, ErrLost) {
		t.Errorf("close: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	d = s.open(t)
	cancel()
	if err := d.Do(ctx, func(*Thread) error { t.Error("it runs"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// testUnusable: a driver that does not take the kernels, and one without a GPU, are
// refused before they are used.
func testUnusable(t *testing.T, _ *standIn) {
	t.Setenv("STANDIN_VERSION", "12040")
	var old *VersionError
	if _, err := Open(Options{}); !errors.As(err, &old) || old.Have != 12040 {
		t.Errorf("an old driver: %v", err)
	}
	t.Setenv("STANDIN_NO_DEVICE", "1")
	var missing *NotFoundError
	const want = "CUDA finds no GPU: cuInit: CUDA_ERROR_NO_DEVICE (no CUDA-capable device is detected)"
	if _, err := Open(Options{}); !errors.As(err, &missing) || err.Error() != want {
		t.Errorf("no GPU: %v", err)
	}
}

// testTF32: factors are rounded to 10 bits of mantissa where that is asked for, and only
// for float32.
func testTF32(t *testing.T, _ *standIn) {
	library, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tf32 := range []bool{false, true} {
		d, err := library.Device(t.Context(), DeviceOptions{TF32: tf32})
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{device: d}
		r.run(t, func(a *arena) {
			const v = 1 + 0x1p-11 + 0x1p-20
			single, double := room[float32](a, 1), room[float64](a, 1)
			a.do(Gemm(a.Stream, Product[float32]{M: 1, N: 1, K: 1, Alpha: 1, A: put(a, []float32{v}), B: put(a, []float32{1}), C: single}))
			a.do(Gemm(a.Stream, Product[float64]{M: 1, N: 1, K: 1, Alpha: 1, A: put(a, []float64{v}), B: put(a, []float64{1}), C: double}))
			want := float32(v)
			if tf32 {
				want = 1 + 0x1p-10
			}
			same(t, "float32", get(a, single), []float32{want})
			same(t, "float64", get(a, double), []float64{v})
		})
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
