package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// naiveBatchNorm is the definition, in float64.
func naiveBatchNorm(n, channels, size int, x, scale, bias []float64, eps float64) (y, mean, variance []float64) {
	y, mean, variance = make([]float64, len(x)), make([]float64, channels), make([]float64, channels)
	channel := func(i int) int { return i / size % channels }
	for i, v := range x {
		mean[channel(i)] += v / float64(n*size)
	}
	for i, v := range x {
		variance[channel(i)] += (v - mean[channel(i)]) * (v - mean[channel(i)]) / float64(n*size)
	}
	for i, v := range x {
		c := channel(i)
		y[i] = scale[c]*(v-mean[c])/math.Sqrt(variance[c]+eps) + bias[c]
	}
	return y, mean, variance
}

func TestBatchNorm(t *testing.T) {
	const eps, step = 1e-3, 1e-6
	checked := 0
	for _, s := range [][3]int{{4, 3, 5}, {2, 1, 1}, {8, 2, 1}, {1, 2, 9}, {3, 4, 900}} {
		n, channels, size := s[0], s[1], s[2]
		rng := rand.New(rand.NewPCG(13, uint64(n)))
		x, dy := random[float64](rng, n*channels*size), random[float64](rng, n*channels*size)
		scale, bias := random[float64](rng, channels), random[float64](rng, channels)
		for i := range x {
			x[i] = 3*x[i] + 10
		}
		y, mean, variance := make([]float64, len(x)), make([]float64, channels), make([]float64, channels)
		BatchNorm(n, channels, size, x, scale, bias, eps, y, mean, variance)
		wantY, wantMean, wantVariance := naiveBatchNorm(n, channels, size, x, scale, bias, eps)
		near(t, "y", y, wantY, 1e-10)
		near(t, "mean", mean, wantMean, 1e-12)
		near(t, "variance", variance, wantVariance, 1e-10)

		dx, dscale, dbias := make([]float64, len(x)), make([]float64, channels), make([]float64, channels)
		BatchNormBackward(n, channels, size, x, dy, scale, mean, variance, eps, dx, dscale, dbias)
		objective := func() (total float64) {
			y, _, _ := naiveBatchNorm(n, channels, size, x, scale, bias, eps)
			for i, v := range y {
				total += v * dy[i]
			}
			return total
		}
		// Central differences; a few dozen places tell as much as all of them.
		slope := func(v []float64, i int) float64 {
			old := v[i]
			v[i] = old + step
			up := objective()
			v[i] = old - step
			down := objective()
			v[i] = old
			checked++
			return (up - down) / (2 * step)
		}
		for i := 0; i < len(x); i += 1 + len(x)/40 {
			near(t, "dx", dx[i:i+1], []float64{slope(x, i)}, 1e-6)
		}
		for c := range channels {
			near(t, "dscale", dscale[c:c+1], []float64{slope(scale, c)}, 1e-6)
			near(t, "dbias", dbias[c:c+1], []float64{slope(bias, c)}, 1e-6)
		}

		// In float32 the same to its precision.
		y32, mean32, variance32 := make([]float32, len(x)), make([]float32, channels), make([]float32, channels)
		dx32, dscale32, dbias32 := make([]float32, len(x)), make([]float32, channels), make([]float32, channels)
		BatchNorm(n, channels, size, narrow(x), narrow(scale), narrow(bias), eps, y32, mean32, variance32)
		BatchNormBackward(
			n, channels, size, narrow(x), narrow(dy), narrow(scale), mean32,
			variance32, eps, dx32, dscale32, dbias32,
		)
		near(t, "float32 y", wide(y32), wantY, 2e-5)
		near(t, "float32 dx", wide(dx32), dx, 1e-4)
		near(t, "float32 dscale", wide(dscale32), dscale, 1e-4)
		near(t, "float32 dbias", wide(dbias32), dbias, 1e-4)
	}
	if checked != 130 {
		t.Errorf("checked %d derivatives, want 130", checked)
	}
}

// The vector code gives the bits of the definition, at every length.
func TestBatchNormVectors(t *testing.T) { withoutVectors(t, checkBatchNormVectors) }

func checkBatchNormVectors(t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 18))
	same := func(what string, n int, got, want float64) {
		t.Helper()
		if math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("%s of %d elements: %v, want %v", what, n, got, want)
		}
	}
	for n := range 70 {
		x, g := narrow(random[float64](rng, n)), narrow(random[float64](rng, n))
		mean, factor, offset, slope := rng.Float32(), rng.Float32(), rng.Float32(), rng.Float32()
		mu := rng.Float64()
		var sums, squares, totals, alongs [8]float64
		for i, v := range x {
			d := float64(v) - mu
			sums[i%8] += float64(v)
			squares[i%8] += float64(d * d)
			totals[i%8] += float64(g[i])
			alongs[i%8] += float64(float64(g[i]) * d)
		}
		var gotSums, gotSquares, gotTotals, gotAlongs strands
		addValues(&gotSums, x)
		addSquares(&gotSquares, x, mu)
		addProducts(&gotTotals, &gotAlongs, x, g, mu)
		for k := range 8 {
			same("sum", n, gotSums[k], sums[k])
			same("squares", n, gotSquares[k], squares[k])
			same("total", n, gotTotals[k], totals[k])
			same("products", n, gotAlongs[k], alongs[k])
		}
		y, dx := make([]float32, n), make([]float32, n)
		Normalise(y, x, mean, factor, offset)
		unnormalise(dx, x, g, mean, slope, offset, factor)
		for i, v := range x {
			same("normalised", n, float64(y[i]), float64(float32(factor*(v-mean))+offset))
			same("gradient", n, float64(dx[i]), float64(factor*((g[i]-offset)-float32(slope*(v-mean)))))
		}
	}
}

func narrow(v []float64) []float32 {
	w := make([]float32, len(v))
	for i, x := range v {
		w[i] = float32(x)
	}
	return w
}

func wide(v []float32) []float64 {
	w := make([]float64, len(v))
	for i, x := range v {
		w[i] = float64(x)
	}
	return w
}

// near compares to a tolerance relative to the larger of 1 and the value.
func near(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	for i := range want {
		if d := math.Abs(got[i] - want[i]); !(d <= tolerance*max(1, math.Abs(want[i]))) {
			t.Errorf("%s[%d] = %g, want %g", what, i, got[i], want[i])
			return
		}
	}
}

func TestCrossEntropy(t *testing.T) {
	logits := []float64{1, 2, 3, 0, 0, 0, 1000, -1000, 0}
	labels := []int{2, 1, 0}
	// By hand: log(e^-2+e^-1+1), log 3, 0.
	want := math.Log(math.Exp(-2)+math.Exp(-1)+1) + math.Log(3)
	grad := make([]float64, 9)
	loss, hits := CrossEntropy(3, 3, logits, labels, grad)
	near(t, "loss", []float64{loss}, []float64{want}, 1e-14)
	if hits != 2 {
		t.Errorf("hits = %d, want 2: equal logits count as the first", hits)
	}
	e := []float64{math.Exp(-2), math.Exp(-1), 1}
	total := e[0] + e[1] + e[2]
	near(t, "gradient", grad, []float64{
		e[0] / total / 3, e[1] / total / 3, (e[2]/total - 1) / 3,
		1. / 9, -2. / 9, 1. / 9,
		0, 0, 0,
	}, 1e-15)

	loss32, _ := CrossEntropy(3, 3, narrow(logits), labels, nil)
	near(t, "float32 loss", []float64{loss32}, []float64{want}, 1e-7)
	if loss, _ := CrossEntropy(1, 2, []float32{float32(math.NaN()), 1}, []int{0}, nil); !math.IsNaN(loss) {
		t.Errorf("the loss of NaN is %g", loss)
	}
	if loss, hits := CrossEntropy[float32](0, 3, nil, nil, nil); loss != 0 || hits != 0 {
		t.Errorf("no rows: loss %g, %d hits", loss, hits)
	}
}
