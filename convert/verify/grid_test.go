package verify

import (
	"math"
	"math/rand/v2"
	"testing"

	"efcn/onnxio"
)

// TestGridLoss: the number of a grid that is nearest to x, found by trying all, is as close as loss has it
// and no closer than that somewhere; nearest is it; and lossOf bounds what becomes of an x that is
// off.
func TestGridLoss(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	tight, inside, beyond := 0.0, 0, 0
	for range 3000 {
		elem, least := onnxio.Uint8, 0.0
		if random.IntN(2) == 0 {
			elem, least = onnxio.Int8, -128.0
		}
		g := &grid{elem: elem, scale: []float64{math.Exp(random.NormFloat64())}, zero: []float64{least + float64(random.IntN(256))}}
		s := g.scale[0]
		find := func(x float64) float64 {
			best := math.Inf(1)
			for q := least; q < least+256; q++ {
				if v := s * (q - g.zero[0]); math.Abs(v-x) < math.Abs(best-x) {
					best = v
				}
			}
			return best
		}
		x, d := 300*s*random.NormFloat64(), s*random.ExpFloat64()
		loss, out := g.loss(0, x)
		off := math.Abs(find(x) - x)
		if off > loss*(1+1e-12) || math.Abs(math.Abs(g.nearest(0, x)-x)-off) > 1e-9*(s+math.Abs(x)) || out && off < loss*(1-1e-12) {
			t.Fatalf("%v: %g is off by %g, not %g; %g", g, x, off, loss, g.nearest(0, x))
		}
		if out {
			beyond++
		} else {
			inside++
			tight = math.Max(tight, off/loss)
		}
		bound := g.lossOf(0, x, d)
		for _, moved := range []float64{x - d, x + d, x + d*(2*random.Float64()-1)} {
			if got := math.Abs(find(moved) - x); got > bound*(1+1e-12) {
				t.Fatalf("%v: %g, moved to %g, is off by %g, not %g", g, x, moved, got, bound)
			}
		}
	}
	if tight < 0.99 || inside < 500 || beyond < 500 {
		t.Errorf("%d inside, %d beyond, %.3g of the bound", inside, beyond, tight)
	}
}
