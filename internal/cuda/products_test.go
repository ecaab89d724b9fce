package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"efcn/internal/kernel"
)

// testGemm compares products with sums in float64, in every form.
func testGemm(t *testing.T, r *rig) {
	cases := 0
	for _, transA := range []bool{false, true} {
		for _, transB := range []bool{false, true} {
			for _, beta := range []float64{0, 1, -0.5} {
				for _, count := range []int{0, 1, 3} {
					for _, onDevice := range []bool{false, true} {
						gemmCase[float32](t, r, transA, transB, beta, count, onDevice)
						gemmCase[float64](t, r, transA, transB, beta, count, onDevice)
						cases += 2
					}
				}
			}
		}
	}
	if cases != 144 {
		t.Errorf("%d cases, want 144", cases)
	}
}

func gemmCase[T kernel.Float](t *testing.T, r *rig, transA, transB bool, beta float64, count int, onDevice bool) {
	t.Helper()
	const m, n, k, gap = 5, 7, 4, 3
	rng := rand.New(rand.NewPCG(uint64(count), 5))
	p := Product[T]{TransA: transA, TransB: transB, M: m, N: n, K: k, Alpha: 0.75, Beta: T(beta), Count: count}
	p.LDA, p.LDB, p.LDC = k+gap, n+gap, n+gap
	rowsA, rowsB := m, k
	if transA {
		p.LDA, rowsA = m+gap, k
	}
	if transB {
		p.LDB, rowsB = k+gap, n
	}
	p.StrideA, p.StrideB, p.StrideC = rowsA*p.LDA+1, rowsB*p.LDB+2, m*p.LDC+3
	all := max(1, count)
	a, b, c := random[T](rng, all*p.StrideA), random[T](rng, all*p.StrideB), random[T](rng, all*p.StrideC)
	if beta == 0 {
		for i := range c {
			c[i] = T(math.NaN()) // it is not read
		}
	}
	want, mass := double(c), size(c)
	at := func(v []T, trans bool, ld, i, j int) float64 {
		if trans {
			i, j = j, i
		}
		return float64(v[i*ld+j])
	}
	for q := range all {
		for i := range m {
			for j := range n {
				sum, weight := 0.0, 0.0
				for l := range k {
					v := at(a[q*p.StrideA:], transA, p.LDA, i, l) * at(b[q*p.StrideB:], transB, p.LDB, l, j)
					sum, weight = sum+v, weight+math.Abs(v)
				}
				to := q*p.StrideC + i*p.LDC + j
				old := 0.0
				if beta != 0 {
					old = want[to]
				}
				want[to], mass[to] = 0.75*sum+beta*old, 0.75*weight+math.Abs(beta*old)
			}
		}
	}
	r.run(t, func(arena *arena) {
		p.A, p.B, p.C = put(arena, a), put(arena, b), put(arena, c)
		if onDevice {
			p.Factors = put(arena, []T{p.Alpha, p.Beta})
			p.Alpha, p.Beta = 99, 99
		}
		arena.do(Gemm(arena.Stream, p))
		got := get(arena, p.C)
		for i := range got { // what lies between rows stays, NaN or not
			if got[i] != got[i] && want[i] != want[i] {
				got[i], want[i], mass[i] = 0, 0, 0
			}
		}
		near(t, fmt.Sprintf("transA %v, transB %v, beta %v, count %d", transA, transB, beta, count), got, want, mass, k+1)
	})
}

// localCases are layers: convolutions of an image, groups, padding, more channels than a
// tile has, and tables without any order, in which a position reads an input twice.
func localCases() map[string]struct {
	kernel.Local
	n int
} {
	rng := rand.New(rand.NewPCG(3, 4))
	image := func(channels, side, k, pad, out, groups int) kernel.Local {
		l := kernel.Local{Groups: groups, Block: channels * side * side, Out: out, Slots: channels * k * k}
		for y := range side + 2*pad - k + 1 {
			for x := range side + 2*pad - k + 1 {
				l.Positions++
				for c := range channels {
					for i := range k * k {
						q := int32(l.Block)
						if u, v := y+i/k-pad, x+i%k-pad; u >= 0 && u < side && v >= 0 && v < side {
							q = int32((c*side+u)*side + v)
						}
						l.Table = append(l.Table, q)
					}
				}
			}
		}
		return l
	}
	drawn := kernel.Local{Groups: 2, Block: 11, Positions: 7, Out: 3, Slots: 5}
	for range drawn.Positions * drawn.Slots {
		drawn.Table = append(drawn.Table, int32(rng.IntN(drawn.Block+1)))
	}
	unread := kernel.Local{Groups: 1, Block: 9, Positions: 2, Out: 2, Slots: 2, Table: []int32{1, 1, 9, 3}}
	type at = struct {
		kernel.Local
		n int
	}
	return map[string]at{
		"an image":                 {image(3, 5, 3, 1, 4, 1), 6},
		"groups":                   {image(1, 6, 3, 0, 1, 4), 5},
		"many channels in and out": {image(70, 3, 3, 1, 70, 1), 3},
		"more samples than a tile": {image(2, 3, 2, 0, 20, 1), 300},
		"any table":                {drawn, 7},
		"inputs that nobody reads": {unread, 1},
		"no samples":               {image(1, 3, 2, 0, 2, 1), 0},
	}
}

func testLocal(t *testing.T, r *rig) {
	cases := 0
	for name, c := range localCases() {
		localCase[float32](t, r, name, c.Local, c.n)
		localCase[float64](t, r, name, c.Local, c.n)
		cases += 2
	}
	if cases != 14 {
		t.Errorf("%d cases, want 14", cases)
	}
}

func localCase[T kernel.Float](t *testing.T, r *rig, name string, l kernel.Local, n int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	in, out := l.Groups*l.Block, l.Groups*l.Out*l.Positions
	x, dy, bias := random[T](rng, n*in), random[T](rng, n*out), random[T](rng, out)
	w, dw := random[T](rng, l.Groups*l.Positions*l.Out*l.Slots), random[T](rng, l.Groups*l.Positions*l.Out*l.Slots)
	const alpha, beta = -0.5, 0.75
	reference := func(of func([]T) []float64, alpha, beta float64) (y, dx, gradient []float64) {
		layer, err := kernel.NewLocalLayer[float64](l, n)
		if err != nil {
			t.Fatal(err)
		}
		y, dx, gradient = make([]float64, n*out), make([]float64, n*in), of(dw)
		layer.Forward(of(x), of(w), of(bias), y)
		layer.LoadGradient(of(dy))
		layer.BackwardWeights(alpha, beta, gradient)
		layer.BackwardInput(of(w), dx)
		return columns(n, y), columns(n, dx), gradient
	}
	y, dx, gradient := reference(double[T], alpha, beta)
	yMass, dxMass, gradientMass := reference(size[T], -alpha, beta)
	r.run(t, func(a *arena) {
		layer, err := NewLocal(a.thread, l, n)
		a.do(err)
		if err != nil {
			return
		}
		a.free = append(a.free, func() error { return layer.Free(a.thread) })
		gotY, gotDX, gotDW := room[T](a, n*out), room[T](a, n*in), put(a, dw)
		xs, dys, ws, biases := put(a, columns(n, x)), put(a, columns(n, dy)), put(a, w), put(a, bias)
		a.do(LocalForward(a.Stream, layer, xs, ws, biases, gotY))
		a.do(LocalInput(a.Stream, layer, ws, dys, gotDX))
		a.do(LocalWeights(a.Stream, layer, alpha, beta, Buffer[T]{}, xs, dys, gotDW))
		near(t, name+": y", get(a, gotY), y, yMass, l.Slots+1)
		near(t, name+": dx", get(a, gotDX), dx, dxMass, l.Positions*l.Slots*l.Out)
		near(t, name+": dw", get(a, gotDW), gradient, gradientMass, n+1)
		// Without a bias, and with factors on the device.
		a.do(LocalForward(a.Stream, layer, xs, ws, Buffer[T]{}, gotY))
		a.do(Write(a.Stream, gotDW, dw))
		a.do(LocalWeights(a.Stream, layer, 99, 99, put(a, []T{alpha, beta}), xs, dys, gotDW))
		near(t, name+": dw by factors", get(a, gotDW), gradient, gradientMass, n+1)
		without := slices.Clone(y)
		for i := range without {
			without[i] -= float64(bias[i/max(1, n)])
		}
		near(t, name+": y without bias", get(a, gotY), without, yMass, l.Slots+1)
	})
}

// testCSR compares sparse products with the kernels of the processor.
func testCSR(t *testing.T, r *rig) {
	cases := 0
	for _, c := range []struct {
		rows, cols, n int
		density       float64
	}{{7, 9, 5, 0.5}, {40, 30, 70, 0.1}, {5, 4, 3, 0}, {1, 1, 300, 1}, {6, 8, 0, 0.5}} {
		rng := rand.New(rand.NewPCG(7, uint64(c.rows)))
		p := kernel.CSR{Rows: c.rows, Cols: c.cols, Starts: []int{0}}
		for range c.rows {
			for q := range c.cols {
				if rng.Float64() < c.density {
					p.Columns = append(p.Columns, int32(q))
				}
			}
			p.Starts = append(p.Starts, len(p.Columns))
		}
		csrCase[float32](t, r, p, c.n)
		csrCase[float64](t, r, p, c.n)
		cases += 2
	}
	if cases != 10 {
		t.Errorf("%d cases, want 10", cases)
	}
}

func csrCase[T kernel.Float](t *testing.T, r *rig, p kernel.CSR, n int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(8, 9))
	x, dy, bias := random[T](rng, n*p.Cols), random[T](rng, n*p.Rows), random[T](rng, p.Rows)
	v, dv := random[T](rng, len(p.Columns)), random[T](rng, len(p.Columns))
	const alpha, beta = 0.25, -1.5
	reference := func(of func([]T) []float64, alpha, beta float64) (y, dx, gradient []float64) {
		plan, err := kernel.NewCSRPlan(p)
		if err != nil {
			t.Fatal(err)
		}
		layer, err := kernel.NewCSRLayer[float64](plan, n)
		if err != nil {
			t.Fatal(err)
		}
		y, dx, gradient = make([]float64, n*p.Rows), make([]float64, n*p.Cols), of(dv)
		layer.Forward(of(x), of(v), of(bias), y)
		layer.LoadGradient(of(dy))
		layer.BackwardWeights(alpha, beta, gradient)
		layer.BackwardInput(of(v), dx)
		return columns(n, y), columns(n, dx), gradient
	}
	y, dx, gradient := reference(double[T], alpha, beta)
	yMass, dxMass, gradientMass := reference(size[T], alpha, -beta)
	r.run(t, func(a *arena) {
		c, err := NewCSR(a.thread, p, n)
		a.do(err)
		if err != nil {
			return
		}
		a.free = append(a.free, func() error { return c.Free(a.thread) })
		gotY, gotDX, gotDV := room[T](a, n*p.Rows), room[T](a, n*p.Cols), put(a, dv)
		xs, dys, vs := put(a, columns(n, x)), put(a, columns(n, dy)), put(a, v)
		a.do(CSRForward(a.Stream, c, vs, xs, put(a, bias), gotY))
		a.do(CSRInput(a.Stream, c, vs, dys, gotDX))
		a.do(CSRWeights(a.Stream, c, alpha, beta, Buffer[T]{}, xs, dys, gotDV))
		what := fmt.Sprintf("%d×%d with %d entries", p.Rows, p.Cols, len(p.Columns))
		near(t, what+": y", get(a, gotY), y, yMass, p.Cols+1)
		near(t, what+": dx", get(a, gotDX), dx, dxMass, p.Rows)
		near(t, what+": dv", get(a, gotDV), gradient, gradientMass, n+1)
		a.do(Write(a.Stream, gotDV, dv))
		a.do(CSRWeights(a.Stream, c, 99, 99, put(a, []T{alpha, beta}), xs, dys, gotDV))
		near(t, what+": dv by factors", get(a, gotDV), gradient, gradientMass, n+1)
	})
}

// convCases are convolutions over one to three axes.
func convCases() []kernel.Conv[float64] {
	w := func(in, k, stride, dilation, begin, end, out []int) kernel.Window {
		return kernel.Window{In: in, Kernel: k, Stride: stride, Dilation: dilation, PadBegin: begin, PadEnd: end, Out: out}
	}
	return []kernel.Conv[float64]{
		{Groups: 1, InChannels: 3, OutChannels: 4, Window: w([]int{6, 5}, []int{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}, []int{1, 1}, []int{6, 5})},
		{Groups: 2, InChannels: 4, OutChannels: 6, Window: w([]int{7, 6}, []int{3, 2}, []int{2, 3}, []int{2, 1}, []int{0, 1}, []int{1, 0}, []int{2, 2})},
		{Groups: 5, InChannels: 5, OutChannels: 5, Window: w([]int{9}, []int{4}, []int{1}, []int{2}, []int{3}, []int{2}, []int{8})},
		{Groups: 1, InChannels: 2, OutChannels: 3, Window: w([]int{3, 4, 3}, []int{2, 2, 2}, []int{1, 2, 1}, []int{1, 1, 2}, []int{0, 1, 1}, []int{0, 1, 0}, []int{2, 3, 2})},
		{Groups: 1, InChannels: 6, OutChannels: 2, Window: w([]int{4, 4}, []int{1, 1}, []int{1, 1}, []int{1, 1}, []int{0, 0}, []int{0, 0}, []int{4, 4})},
	}
}

func testConv(t *testing.T, r *rig) {
	cases := 0
	for _, c := range convCases() {
		for _, share := range []int{1, 2, 1000} { // of the columns that there is room for at a time
			convCase[float32](t, r, kernel.Conv[float32](c), c, 4, share)
			convCase[float64](t, r, c, c, 4, share)
			cases += 2
		}
	}
	if cases != 30 {
		t.Errorf("%d cases, want 30", cases)
	}
}

func convCase[T kernel.Float](t *testing.T, r *rig, c kernel.Conv[T], reference kernel.Conv[float64], n, share int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(10, 11))
	in, out, weights := c.InChannels*c.InSize(), c.OutChannels*c.OutSize(), c.OutChannels*c.InChannels/c.Groups*c.Taps()
	x, dy, bias := random[T](rng, n*in), random[T](rng, n*out), random[T](rng, c.OutChannels)
	w, dw := random[T](rng, weights), random[T](rng, weights)
	const alpha, beta = -0.5, 0.75
	compute := func(of func([]T) []float64, alpha, beta float64) (y, dx, gradient []float64) {
		y, dx, gradient = make([]float64, n*out), make([]float64, n*in), make([]float64, weights)
		reference.Forward(n, of(x), of(w), of(bias), y)
		reference.BackwardInput(n, of(dy), of(w), dx)
		reference.BackwardWeights(n, of(x), of(dy), gradient, nil)
		for i, old := range of(dw) {
			gradient[i] = alpha*gradient[i] + beta*old
		}
		return columns(n, y), columns(n, dx), gradient
	}
	y, dx, gradient := compute(double[T], alpha, beta)
	yMass, dxMass, gradientMass := compute(size[T], -alpha, beta)
	most, least := ConvRoom(c, n)
	r.run(t, func(a *arena) {
		layer := Conv[T]{Conv: c, N: n, Room: room[T](a, max(least, most/share))}
		gotY, gotDX, gotDW := room[T](a, n*out), room[T](a, n*in), put(a, dw)
		xs, dys, ws := put(a, columns(n, x)), put(a, columns(n, dy)), put(a, w)
		a.do(layer.Forward(a.Stream, xs, ws, put(a, bias), gotY))
		a.do(layer.BackwardInput(a.Stream, dys, ws, gotDX))
		a.do(layer.BackwardWeights(a.Stream, alpha, beta, xs, dys, gotDW))
		what := fmt.Sprintf("%+v, 1/%d of the columns", c, share)
		near(t, what+": y", get(a, gotY), y, yMass, c.InChannels/c.Groups*c.Taps()+1)
		near(t, what+": dx", get(a, gotDX), dx, dxMass, c.OutChannels*c.Taps())
		near(t, what+": dw", get(a, gotDW), gradient, gradientMass, n*c.OutSize()+1)
		// Transposed: what is dx there, and a bias.
		shift := random[T](rng, c.InChannels)
		shifted, shiftedMass := make([]float64, n*in), make([]float64, n*in)
		for i := range shifted {
			b := float64(shift[i/(c.InSize()*n)])
			shifted[i], shiftedMass[i] = dx[i]+b, dxMass[i]+math.Abs(b)
		}
		a.do(layer.Transposed(a.Stream, dys, ws, put(a, shift), gotDX))
		near(t, what+": transposed", get(a, gotDX), shifted, shiftedMass, c.OutChannels*c.Taps()+1)
		a.do(layer.Transposed(a.Stream, dys, ws, Buffer[T]{}, gotDX))
		near(t, what+": transposed without bias", get(a, gotDX), dx, dxMass, c.OutChannels*c.Taps())
		layer.Room = layer.Room.Part(0, least-1)
		if err := layer.Forward(a.Stream, xs, ws, Buffer[T]{}, gotY); err == nil {
			t.Error("too little room is taken")
		}
	})
}

func testProducts(t *testing.T, r *rig) {
	for _, c := range []struct {
		m, n, k       int
		aAt, bAt, cAt []int32
	}{
		{5, 6, 3, []int32{0}, []int32{0}, []int32{0}},
		{4, 1, 9, []int32{0, 36, 0}, []int32{9, 0, 0}, []int32{4, 8, 0}}, // factors in common
		{1, 8, 1, []int32{2, 0, 1}, []int32{0, 8, 8}, []int32{0, 8, 16}},
	} {
		productsCase[float32](t, r, c.m, c.n, c.k, c.aAt, c.bAt, c.cAt)
		productsCase[float64](t, r, c.m, c.n, c.k, c.aAt, c.bAt, c.cAt)
	}
}

// productsCase compares products of every sample with sums in float64.
func productsCase[T kernel.Float](t *testing.T, r *rig, m, n, k int, aAt, bAt, cAt []int32) {
	t.Helper()
	const batch = 7
	rng := rand.New(rand.NewPCG(25, uint64(m)))
	sizeA, sizeB, sizeC := int(slices.Max(aAt))+m*k, int(slices.Max(bAt))+k*n, int(slices.Max(cAt))+m*n
	x, y, dz := random[T](rng, sizeA*batch), random[T](rng, sizeB*batch), random[T](rng, sizeC*batch)
	compute := func(of func([]T) []float64) (z, dx, dy []float64) {
		x, y, dz := of(x), of(y), of(dz)
		z, dx, dy = make([]float64, len(dz)), make([]float64, len(x)), make([]float64, len(y))
		for p := range aAt {
			for i := range m * n * k * batch {
				j, row, column, l := i%batch, i/batch%m, i/batch/m%n, i/batch/m/n
				a := (int(aAt[p])+row*k+l)*batch + j
				b := (int(bAt[p])+l*n+column)*batch + j
				c := (int(cAt[p])+row*n+column)*batch + j
				z[c] += x[a] * y[b]
				dx[a] += dz[c] * y[b]
				dy[b] += dz[c] * x[a]
			}
		}
		return z, dx, dy
	}
	z, dx, dy := compute(double[T])
	massZ, massDX, massDY := compute(size[T])
	r.run(t, func(a *arena) {
		p, err := NewProducts(a.thread, m, n, k, batch, aAt, bAt, cAt)
		if a.do(err); err != nil {
			return
		}
		a.free = append(a.free, func() error { return p.Free(a.thread) })
		xs, ys, dzs := put(a, x), put(a, y), put(a, dz)
		gotZ, gotDX, gotDY := room[T](a, len(z)), room[T](a, len(x)), room[T](a, len(y))
		a.do(MultiplyValues(a.Stream, p, xs, ys, gotZ))
		a.do(MultiplyValuesA(a.Stream, p, dzs, ys, gotDX))
		a.do(MultiplyValuesB(a.Stream, p, xs, dzs, gotDY))
		near(t, "products", get(a, gotZ), z, massZ, k)
		near(t, "products: da", get(a, gotDX), dx, massDX, n*len(aAt))
		near(t, "products: db", get(a, gotDY), dy, massDY, m*len(aAt))
		if MultiplyValues(a.Stream, p, xs, ys.Part(0, len(y)-1), gotZ) == nil {
			t.Error("a factor that is too short is taken")
		}
	})
}
