package finetune

import (
	"math"
	"testing"

	"efcn/onnxio"
)

// Where a reduction has no derivative, and where its formula divides by zero, the
// gradient is PyTorch's (amax, amin, norm, prod, logsumexp of version 2.15 in float64).
func TestReductionsAtKinks(t *testing.T) {
	ran := 0
	for _, c := range []struct {
		op       string
		x, slope [3]float64
		y        float64
	}{
		{"ReduceMax", [3]float64{1, 3, 3}, [3]float64{0, 0.5, 0.5}, 3},
		{"ReduceMin", [3]float64{1, 1, 3}, [3]float64{0.5, 0.5, 0}, 1},
		{"ReduceL2", [3]float64{}, [3]float64{}, 0},
		{"ReduceL1", [3]float64{0, -2, 3}, [3]float64{0, -1, 1}, 5},
		{"ReduceProd", [3]float64{0, 2, 3}, [3]float64{6, 0, 0}, 0},
		{"ReduceProd", [3]float64{0, 0, 3}, [3]float64{}, 0},
		{"ReduceLogSumExp", [3]float64{20, 20, -980}, [3]float64{0.5, 0.5, 0}, 20 + math.Ln2},
	} {
		t.Run(c.op, func(t *testing.T) {
			m := sketch{
				shape: []int64{3}, size: 1, opset: 18, nodes: []*onnxio.Node{apply(c.op, "x a", "y")},
				inits: []*onnxio.Tensor{integers("a", 1)},
			}.model(3)
			tr, n := mustNetwork[float64](t, m, 1, true)
			clear(n.x)
			n.x[0], n.labels[0] = 1, 2
			copy(tr.byName["w0"].values, c.x[:])
			if err := n.run(); err != nil {
				t.Fatal(err)
			}
			w, sum, dy := tr.byName["w1"].values, 0.0, -tr.byName["w1"].values[2]
			for _, v := range w {
				sum += math.Exp((v - w[2]) * c.y)
			}
			for _, v := range w {
				dy += v * math.Exp((v-w[2])*c.y) / sum
			}
			if want := math.Log(sum); !(math.Abs(n.loss-want) <= 1e-12*max(1, want)) {
				t.Errorf("loss %g, with y = %g it is %g", n.loss, c.y, want)
			}
			for _, r := range n.reads {
				if r.p.name != "w0" {
					continue
				}
				for i, want := range c.slope {
					if got := elements[float64](r.node.Value())[i]; !(math.Abs(got-dy*want) <= 1e-12) {
						t.Errorf("the gradient at element %d is %g, PyTorch has %g", i, got, dy*want)
					}
				}
				ran++
			}
		})
	}
	if ran != 7 {
		t.Errorf("ran %d, want 7", ran)
	}
}
