package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"efcn/internal/kernel"
)

// odd are numbers that need care, and some others.
func odd[T kernel.Float](rng *rand.Rand, n int) []T {
	special := []T{0, T(math.Copysign(0, -1)), T(math.NaN()), T(math.Inf(1)), T(math.Inf(-1)), 1, -1}
	v := random[T](rng, n)
	for i := range v {
		if rng.IntN(3) == 0 {
			v[i] = special[rng.IntN(len(special))]
		}
	}
	return v
}

func testElementwise(t *testing.T, r *rig) {
	elementwiseCases[float32](t, r)
	elementwiseCases[float64](t, r)
}

// elementwiseCases: the same bits as the processor's.
func elementwiseCases[T kernel.Float](t *testing.T, r *rig) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 1, 255, 1000} {
		r.run(t, func(a *arena) {
			x, y, want := odd[T](rng, n), odd[T](rng, n), make([]T, n)
			dx, dy, got := put(a, x), put(a, y), room[T](a, n)
			for _, bounds := range [][2]T{{0, T(math.Inf(1))}, {-0.5, 0.5}, {-1, 0}, {1, -1}} {
				kernel.Clip(want, x, bounds[0], bounds[1])
				a.do(Clip(a.Stream, got, dx, bounds[0], bounds[1]))
				same(t, fmt.Sprintf("clip to %v", bounds), get(a, got), want)
			}
			kernel.Gate(want, x, y)
			a.do(Gate(a.Stream, got, dx, dy))
			same(t, "gate", get(a, got), want)
			kernel.Add(want, x, y)
			a.do(Add(a.Stream, got, dx, dy))
			same(t, "add", get(a, got), want)
			a.do(Scale(a.Stream, got, 3))
			for i := range want {
				want[i] *= 3
			}
			same(t, "scale", get(a, got), want)
			// In place.
			kernel.Gate(want, x, y)
			a.do(Gate(a.Stream, dy, dx, dy))
			same(t, "gate in place", get(a, dy), want)
			rows := room[T](a, 3*n)
			a.do(Spread(a.Stream, 3, dx, rows))
			for i := range 3 {
				same(t, "spread", samples(3, get(a, rows))[i*n:(i+1)*n], x)
			}
		})
	}
}

func testSums(t *testing.T, r *rig) {
	sumCases[float32](t, r)
	sumCases[float64](t, r)
}

func sumCases[T kernel.Float](t *testing.T, r *rig) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, shape := range [][2]int{{3, 1}, {5, 250}, {1, 1000}, {300, 7}, {2, 0}, {0, 3}} {
		rows, n := shape[0], shape[1]
		x := random[T](rng, rows*n)
		want, mass := make([]float64, rows), make([]float64, rows)
		squares, parts := 0.0, [2]float64{}
		bits := make([]uint32, (len(x)+31)/32)
		for i, v := range x {
			want[i/n] += 0.5 * float64(v)
			mass[i/n] += 0.5 * math.Abs(float64(v))
			squares += float64(v) * float64(v)
			bit := rng.IntN(2)
			bits[i/32] |= uint32(bit) << (i % 32)
			parts[bit] += float64(v) * float64(v)
		}
		r.run(t, func(a *arena) {
			dx, sums := put(a, x), room[T](a, rows)
			a.do(SumRows(a.Stream, n, 0.5, dx, sums))
			near(t, fmt.Sprintf("sums of %d rows of %d", rows, n), get(a, sums), want, mass, n+1)

			work, to, mask := room[float64](a, SquaresRoom), put(a, []float64{7}), put(a, bits)
			a.do(SumSquares(a.Stream, dx, Buffer[uint32]{}, Inside, 0, work, to))
			near(t, "squares", get(a, to), []float64{squares}, []float64{squares}, len(x)+1)
			a.do(SumSquares(a.Stream, dx, Buffer[uint32]{}, Inside, 2, work, to))
			near(t, "squares added to others", get(a, to), []float64{3 * squares}, []float64{3 * squares}, 2*len(x)+2)
			if len(x) == 0 {
				return
			}
			for part, want := range parts {
				a.do(SumSquares(a.Stream, dx, mask, Part(part), 0, work, to))
				near(t, fmt.Sprintf("squares of part %d", part), get(a, to), []float64{want}, []float64{want}, len(x)+1)
			}
		})
	}
}

func testTranspose(t *testing.T, r *rig) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, shape := range [][2]int{{1, 1}, {32, 32}, {33, 65}, {250, 7}, {3, 100}, {0, 4}} {
		rows, cols := shape[0], shape[1]
		x := random[float32](rng, rows*cols)
		r.run(t, func(a *arena) {
			got := room[float32](a, rows*cols)
			a.do(Transpose(a.Stream, rows, cols, put(a, x), got))
			same(t, fmt.Sprintf("%d×%d", rows, cols), get(a, got), columns(rows, x))
		})
	}
}

// poolCases are windows with all that a pooling can have.
func poolCases() []kernel.Window {
	w := func(in, k, stride, dilation, begin, end, out []int) kernel.Window {
		return kernel.Window{In: in, Kernel: k, Stride: stride, Dilation: dilation, PadBegin: begin, PadEnd: end, Out: out}
	}
	return []kernel.Window{
		w([]int{6, 6}, []int{2, 2}, []int{2, 2}, []int{1, 1}, []int{0, 0}, []int{0, 0}, []int{3, 3}),
		w([]int{7, 5}, []int{3, 3}, []int{2, 1}, []int{1, 1}, []int{1, 1}, []int{1, 1}, []int{4, 5}),
		w([]int{7, 6}, []int{2, 3}, []int{1, 2}, []int{3, 2}, []int{2, 1}, []int{0, 3}, []int{6, 3}),
		w([]int{5}, []int{2}, []int{2}, []int{1}, []int{3}, []int{3}, []int{5}), // windows in the padding alone
		w([]int{4, 3, 5}, []int{2, 2, 2}, []int{2, 1, 2}, []int{1, 1, 1}, []int{0, 1, 0}, []int{0, 0, 1}, []int{2, 3, 3}),
		w([]int{5, 5}, []int{3, 3}, []int{2, 2}, []int{1, 1}, []int{0, 0}, []int{0, 0}, []int{3, 3}), // ceil_mode
		w([]int{12}, []int{12}, []int{1}, []int{1}, []int{0}, []int{0}, []int{1}),
	}
}

func testPooling(t *testing.T, r *rig) {
	cases := 0
	for _, w := range poolCases() {
		poolCase[float32](t, r, w)
		poolCase[float64](t, r, w)
		cases += 2
	}
	if cases != 14 {
		t.Errorf("%d cases, want 14", cases)
	}
}

func poolCase[T kernel.Float](t *testing.T, r *rig, w kernel.Window) {
	t.Helper()
	const n, channels = 5, 3
	rng := rand.New(rand.NewPCG(4, 4))
	in, out := channels*w.InSize(), channels*w.OutSize()
	// Few values, so that there are equal ones; and NaN.
	x := make([]T, n*in)
	for i := range x {
		x[i] = T(rng.IntN(5) - 3)
		if rng.IntN(40) == 0 {
			x[i] = T(math.NaN())
		}
	}
	dy := random[T](rng, n*out)
	y, argmax, dx := make([]T, n*out), make([]int32, n*out), make([]T, n*in)
	kernel.MaxPool(w, n*channels, x, y, argmax)
	kernel.MaxPoolBackward(w, n*channels, dy, argmax, dx)
	r.run(t, func(a *arena) {
		xs, dys := put(a, columns(n, x)), put(a, columns(n, dy))
		gotY, gotAt, gotDX := room[T](a, n*out), room[int32](a, n*out), room[T](a, n*in)
		a.do(MaxPool(a.Stream, w, channels, n, false, xs, gotY, gotAt))
		a.do(MaxPoolBackward(a.Stream, w, channels, n, false, dys, gotY, gotAt, gotDX))
		what := fmt.Sprintf("%+v", w)
		same(t, what+": max", get(a, gotY), columns(n, y))
		if got := get(a, gotAt); !slices.Equal(got, columns(n, argmax)) {
			t.Errorf("%s: argmax %v, want %v", what, got, columns(n, argmax))
		}
		mass := make([]T, n*in)
		kernel.MaxPoolBackward(w, n*channels, sizes(dy), argmax, mass)
		near(t, what+": max backward", get(a, gotDX), double(columns(n, dx)), double(columns(n, mass)), w.Taps())

		// With a ReLU: what finetune's maxPool does.
		gated := slices.Clone(dy)
		for i, v := range y {
			if v <= 0 && argmax[i] >= 0 {
				y[i] = 0
			}
			if v <= 0 {
				gated[i] = 0
			}
		}
		kernel.MaxPoolBackward(w, n*channels, gated, argmax, dx)
		a.do(MaxPool(a.Stream, w, channels, n, true, xs, gotY, gotAt))
		a.do(MaxPoolBackward(a.Stream, w, channels, n, true, dys, gotY, gotAt, gotDX))
		same(t, what+": rectified max", get(a, gotY), columns(n, y))
		near(t, what+": rectified max backward", get(a, gotDX), double(columns(n, dx)), double(columns(n, mass)), w.Taps())

		finite := random[T](rng, n*in)
		fs := put(a, columns(n, finite))
		for _, include := range []bool{false, true} {
			wantY, wantDX := make([]float64, n*out), make([]float64, n*in)
			kernel.AveragePool(w, include, n*channels, double(finite), wantY)
			kernel.AveragePoolBackward(w, include, n*channels, double(dy), wantDX)
			massY, massDX := make([]float64, n*out), make([]float64, n*in)
			kernel.AveragePool(w, include, n*channels, size(finite), massY)
			kernel.AveragePoolBackward(w, include, n*channels, size(dy), massDX)
			a.do(AveragePool(a.Stream, w, include, channels, n, fs, gotY))
			a.do(AveragePoolBackward(a.Stream, w, include, channels, n, dys, gotDX))
			near(t, fmt.Sprintf("%s: mean, pads %v", what, include), get(a, gotY), columns(n, wantY), columns(n, massY), w.Taps()+1)
			near(t, fmt.Sprintf("%s: mean backward, pads %v", what, include), get(a, gotDX), columns(n, wantDX),
				columns(n, massDX), w.Taps()+1)
		}
	})
}

func testLpPooling(t *testing.T, r *rig) {
	for _, w := range poolCases() {
		for _, p := range []float64{1, 2, 3} {
			lpPoolCase[float32](t, r, w, p)
			lpPoolCase[float64](t, r, w, p)
		}
	}
	r.run(t, func(a *arena) { // a norm that is 0 by underflow
		w := poolCases()[6]
		x, y, dx := put(a, slices.Repeat([]float64{1e-200}, 12)), room[float64](a, 1), room[float64](a, 12)
		a.do(LpPool(a.Stream, w, 2, 1, 1, x, y))
		a.do(LpPoolBackward(a.Stream, w, 2, 1, 1, x, y, put(a, []float64{1}), dx))
		same(t, "gradient from a norm of 0", get(a, dx), make([]float64, 12))
	})
}

// lpPoolCase compares with the definition: windows of 3 axes or fewer, padding being 0.
func lpPoolCase[T kernel.Float](t *testing.T, r *rig, w kernel.Window, p float64) {
	t.Helper()
	const n, channels = 2, 2
	rng := rand.New(rand.NewPCG(4, 5))
	in, out := w.InSize(), w.OutSize()
	x, dy := random[T](rng, channels*in*n), random[T](rng, channels*out*n)
	clear(x[:min(len(x), 4)]) // 0 has no derivative, and is given none
	for i, v := range x {
		if i >= 4 {
			x[i] += T(math.Copysign(0.01, float64(v)))
		}
	}
	at := double(x)
	compute := func() []float64 {
		y := make([]float64, len(dy))
		for i := range y {
			for tap := range w.Taps() {
				q, inside, o, k := 0, true, i/n%out, tap
				var place []int
				for a := len(w.In) - 1; a >= 0; a-- {
					place = append([]int{o%w.Out[a]*w.Stride[a] + k%w.Kernel[a]*w.Dilation[a] - w.PadBegin[a]}, place...)
					o, k = o/w.Out[a], k/w.Kernel[a]
				}
				for a, c := range place {
					inside = inside && c >= 0 && c < w.In[a]
					q = q*w.In[a] + c
				}
				if inside {
					y[i] += math.Pow(math.Abs(at[(i/n/out*in+q)*n+i%n]), p)
				}
			}
			y[i] = math.Pow(y[i], 1/p)
		}
		return y
	}
	r.run(t, func(a *arena) {
		xs, y, dx := put(a, x), room[T](a, len(dy)), room[T](a, len(x))
		what := fmt.Sprintf("%+v: %v-norm", w, p)
		a.do(LpPool(a.Stream, w, p, channels, n, xs, y))
		agrees(t, what, get(a, y), compute())
		a.do(LpPoolBackward(a.Stream, w, p, channels, n, xs, y, put(a, dy), dx))
		got := get(a, dx)
		same(t, what+": gradient at 0", got[:4], make([]T, 4))
		slopes(t, what+": gradient", got[4:], at[4:], func() float64 { return dot(double(dy), compute()) })
	})
}

func sizes[T kernel.Float](v []T) []T {
	s := make([]T, len(v))
	for i, x := range v {
		s[i] = T(math.Abs(float64(x)))
	}
	return s
}

func testNorm(t *testing.T, r *rig) {
	normCase[float32](t, r, 3, 4, 6)
	normCase[float64](t, r, 3, 4, 6)
	normCase[float32](t, r, 2, 1, 250)
	normCase[float32](t, r, 1, 700, 3)
}

// normCase compares with the definition in float64: each step of the kernel rounds once
// to T, which the bounds count.
func normCase[T kernel.Float](t *testing.T, r *rig, channels, places, n int) {
	t.Helper()
	const epsilon, momentum = 1e-3, 0.75
	rng := rand.New(rand.NewPCG(5, uint64(n)))
	x, dy := random[T](rng, n*channels*places), random[T](rng, n*channels*places)
	for i := range x {
		x[i] = x[i]*2 + 30 // a mean that is large beside the spread
	}
	scale, bias := random[T](rng, channels), random[T](rng, channels)
	oldMean, oldVariance := random[T](rng, channels), sizes(random[T](rng, channels))
	wantY, mean, variance := make([]float64, len(x)), make([]float64, channels), make([]float64, channels)
	kernel.BatchNorm(n, channels, places, double(x), double(scale), double(bias), epsilon, wantY, mean, variance)
	count := places * n
	r.run(t, func(a *arena) {
		m := Norm[T]{
			Epsilon: epsilon, Momentum: momentum, Scale: put(a, scale), Bias: put(a, bias), Mean: room[T](a, channels),
			Variance: room[T](a, channels), RunningMean: put(a, oldMean), RunningVariance: put(a, oldVariance),
		}
		xs, dys, gotY, gotDX := put(a, columns(n, x)), put(a, columns(n, dy)), room[T](a, len(x)), room[T](a, len(x))
		dscale, dbias := room[T](a, channels), room[T](a, channels)
		a.do(BatchNorm(a.Stream, m, count, xs, gotY))
		a.do(BatchNormBackward(a.Stream, m, count, xs, dys, gotDX, dscale, dbias))
		gotMean, gotVariance := get(a, m.Mean), get(a, m.Variance)
		near(t, "mean", gotMean, mean, mean, 1)
		near(t, "variance", gotVariance, variance, variance, 1)
		wantRunning, wantSpread := make([]float64, channels), make([]float64, channels)
		for c := range channels {
			wantRunning[c] = float64(oldMean[c])*momentum + float64(gotMean[c])*(1-momentum)
			wantSpread[c] = float64(oldVariance[c])*momentum + float64(gotVariance[c])*(1-momentum)
		}
		near(t, "running mean", get(a, m.RunningMean), wantRunning, []float64{30, 30, 30}, 1)
		near(t, "running variance", get(a, m.RunningVariance), wantSpread, []float64{10, 10, 10}, 1)

		// The gradients of the statistics that forward returned, which is what is kept.
		wantDX, wantScale, wantBias := make([]float64, len(x)), make([]float64, channels), make([]float64, channels)
		kernel.BatchNormBackward(n, channels, places, double(x), double(dy), double(scale), double(gotMean),
			double(gotVariance), epsilon, wantDX, wantScale, wantBias)
		massY, massDX, masses := make([]float64, len(x)), make([]float64, len(x)), make([]float64, channels)
		for i, v := range x {
			c := i / places % channels
			factor := math.Abs(float64(scale[c])) / math.Sqrt(variance[c]+epsilon)
			massY[i] = factor*(math.Abs(float64(v))+math.Abs(mean[c])) + math.Abs(float64(bias[c]))
			// |mean of dy| ≤ 5 and |x−mean|·slope ≤ 100 for these numbers
			massDX[i] = factor * (math.Abs(float64(dy[i])) + 5 + 100)
			masses[c] += math.Abs(float64(dy[i])) * (1 + math.Abs(float64(v)-mean[c])/math.Sqrt(variance[c]+epsilon))
		}
		near(t, "y", get(a, gotY), columns(n, wantY), columns(n, massY), 3)
		near(t, "dx", get(a, gotDX), columns(n, wantDX), columns(n, massDX), 3)
		near(t, "dscale", get(a, dscale), wantScale, masses, 1)
		near(t, "dbias", get(a, dbias), wantBias, masses, 1)

		// By the running statistics.
		runningMean, runningVariance := get(a, m.RunningMean), get(a, m.RunningVariance)
		a.do(Normalise(a.Stream, m, count, xs, gotY))
		a.do(NormaliseBackward(a.Stream, m, count, dys, gotDX))
		for i, v := range x {
			c := i / places % channels
			factor := float64(scale[c]) / math.Sqrt(float64(runningVariance[c])+epsilon)
			wantY[i] = factor*(float64(v)-float64(runningMean[c])) + float64(bias[c])
			massY[i] = math.Abs(factor)*(math.Abs(float64(v))+math.Abs(float64(runningMean[c]))) + math.Abs(float64(bias[c]))
			wantDX[i] = factor * float64(dy[i])
			massDX[i] = math.Abs(wantDX[i])
		}
		near(t, "y by running statistics", get(a, gotY), columns(n, wantY), columns(n, massY), 3)
		near(t, "dx by running statistics", get(a, gotDX), columns(n, wantDX), columns(n, massDX), 1)
	})
}

func testLoss(t *testing.T, r *rig) {
	lossCase[float32](t, r)
	lossCase[float64](t, r)
}

func lossCase[T kernel.Float](t *testing.T, r *rig) {
	t.Helper()
	const n, classes = 300, 10
	rng := rand.New(rand.NewPCG(6, 6))
	logits, labels := random[T](rng, n*classes), make([]int32, n)
	asInts := make([]int, n)
	for i := range labels {
		labels[i] = int32(rng.IntN(classes))
		asInts[i] = int(labels[i])
		logits[i*classes+i%classes] *= 100
	}
	// Of equals the first is the greatest: right in sample 0, wrong in sample 1.
	copy(logits, make([]T, 2*classes))
	labels[0], labels[1], asInts[0], asInts[1] = 0, classes-1, 0, classes-1
	grad := make([]T, n*classes)
	loss, hits := kernel.CrossEntropy(n, classes, logits, asInts, grad)
	r.run(t, func(a *arena) {
		xs, gotGrad := put(a, columns(n, logits)), room[T](a, n*classes)
		to := Loss{room[float64](a, n), room[float64](a, n)}
		total, right := put(a, []float64{1}), put(a, []float64{2})
		a.do(CrossEntropy(a.Stream, classes, n, xs, put(a, labels), to, gotGrad))
		a.do(Sum(a.Stream, 1, to.Losses, total))
		a.do(Sum(a.Stream, 0, to.Hits, right))
		near(t, "loss", get(a, total), []float64{loss + 1}, []float64{loss + 1}, n+2*classes)
		same(t, "hits", get(a, right), []float64{float64(hits)})
		same(t, "hits of equals", get(a, to.Hits)[:2], []float64{1, 0})
		// Two roundings to T, and the exponentials of two libraries in float64.
		mass := size(columns(n, grad))
		for i := range mass {
			mass[i] += 1e-8 / float64(n)
		}
		near(t, "gradient", get(a, gotGrad), double(columns(n, grad)), mass, 1)
	})
}

func testSoftmax(t *testing.T, r *rig) {
	softmaxCase[float32](t, r)
	softmaxCase[float64](t, r)
}

func softmaxCase[T kernel.Float](t *testing.T, r *rig) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 7))
	for _, l := range []Lines{{2, 5, 7}, {1, 10, 300}, {4, 1, 1}, {3, 0, 2}} {
		x, dy := random[T](rng, l.size()), random[T](rng, l.size())
		for _, logarithm := range []bool{false, true} {
			r.run(t, func(a *arena) {
				gotY, gotDX := room[T](a, len(x)), room[T](a, len(x))
				a.do(Softmax(a.Stream, l, logarithm, put(a, x), gotY))
				y := get(a, gotY)
				a.do(SoftmaxBackward(a.Stream, l, logarithm, gotY, put(a, dy), gotDX))
				wantY, wantDX := make([]float64, len(x)), make([]float64, len(x))
				massY, massDX := make([]float64, len(x)), make([]float64, len(x))
				for i := range l.Outer * l.Inner {
					at := func(k int) int { return i/l.Inner*l.Length*l.Inner + k*l.Inner + i%l.Inner }
					total, along, mass := 0.0, 0.0, 0.0
					for k := range l.Length {
						total += math.Exp(float64(x[at(k)]))
						v := float64(dy[at(k)])
						if !logarithm {
							v *= float64(y[at(k)])
						}
						along, mass = along+v, mass+math.Abs(v)
					}
					for k := range l.Length {
						j := at(k)
						p := math.Exp(float64(x[j])) / total
						wantY[j], massY[j] = p, 10*p // differences of up to 10, rounded to T, are exponents
						wantDX[j] = float64(y[j]) * (float64(dy[j]) - along)
						massDX[j] = math.Abs(float64(y[j])) * (math.Abs(float64(dy[j])) + mass)
						if logarithm {
							wantY[j], massY[j] = math.Log(p), 10+math.Abs(math.Log(p))
							wantDX[j] = float64(dy[j]) - math.Exp(float64(y[j]))*along
							massDX[j] = math.Abs(float64(dy[j])) + mass
						}
					}
				}
				near(t, fmt.Sprintf("%v, logarithm %v: y", l, logarithm), y, wantY, massY, 2)
				near(t, fmt.Sprintf("%v, logarithm %v: dx", l, logarithm), get(a, gotDX), wantDX, massDX, 2)
			})
		}
	}
}

func testArrange(t *testing.T, r *rig) {
	arrangeCase[float32](t, r)
	arrangeCase[float64](t, r)
}

// arrangeCase: rows that go nowhere, to one place, and to several; rows from nowhere.
func arrangeCase[T kernel.Float](t *testing.T, r *rig) {
	t.Helper()
	const in, n = 9, 5
	from := []int32{3, -1, 0, 3, 8, -1, 1, 3, 2, 1, 1, 0}
	rng := rand.New(rand.NewPCG(14, 14))
	x, y, dy := random[T](rng, in*n), random[T](rng, len(from)*n), random[T](rng, len(from)*n)
	want, wantDX, massDX := slices.Clone(y), make([]float64, in*n), make([]float64, in*n)
	for row, source := range from {
		for k := range n {
			if source >= 0 {
				want[row*n+k] = x[int(source)*n+k]
				wantDX[int(source)*n+k] += float64(dy[row*n+k])
				massDX[int(source)*n+k] += math.Abs(float64(dy[row*n+k]))
			}
		}
	}
	r.run(t, func(a *arena) {
		m, err := NewArrangement(a.thread, in, from)
		a.do(err)
		if err != nil {
			return
		}
		a.free = append(a.free, func() error { return m.Free(a.thread) })
		to, dx := put(a, y), room[T](a, in*n)
		a.do(Arrange(a.Stream, m, n, put(a, x), to))
		a.do(ArrangeBackward(a.Stream, m, n, put(a, dy), dx))
		same(t, "arranged", get(a, to), want)
		near(t, "arranged, backward", get(a, dx), wantDX, massDX, 3)
		if _, err := NewArrangement(a.thread, in, []int32{9}); err == nil {
			t.Error("a row that is none is taken")
		}
	})
}
