package finetune

import (
	"math"
	"testing"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Where a function has no derivative it is given PyTorch's. The values and slopes are
// those of PyTorch 2.15 in float64.
func TestDerivativesAtKinks(t *testing.T) {
	float := onnxio.FloatAttr
	lo, hi, c := scalarTensor("lo", -1), scalarTensor("hi", 2), scalarTensor("c", 1)
	for _, k := range []struct {
		node           *onnxio.Node
		x, y, slope    float64
		inits          []*onnxio.Tensor
		slopeOfTheLast float64 // the gradient at an initializer that is trained, as much of that at y
	}{
		{node: apply("Relu", "x", "y"), x: 0, slope: 0},
		{node: apply("LeakyRelu", "x", "y", float("alpha", 0.25)), x: 0, slope: 0.25},
		{node: apply("Elu", "x", "y", float("alpha", 1.5)), x: 0, slope: 1.5},
		{node: apply("Selu", "x", "y"), x: 0, slope: 1.7580993408473766},
		{node: apply("Celu", "x", "y", float("alpha", 1.5)), x: 0, slope: 1},
		{node: apply("ThresholdedRelu", "x", "y"), x: 1, slope: 0},
		{node: apply("Abs", "x", "y"), x: 0, slope: 0},
		{node: apply("HardSigmoid", "x", "y", float("alpha", 0.25)), x: -2, slope: 0},
		{node: apply("HardSigmoid", "x", "y", float("alpha", 0.25)), x: 2, y: 1, slope: 0},
		{node: apply("HardSwish", "x", "y"), x: -3, slope: 0},
		{node: apply("HardSwish", "x", "y"), x: 3, y: 3, slope: 1},
		{node: apply("Clip", "x lo hi", "y"), x: -1, y: -1, inits: []*onnxio.Tensor{lo, hi}, slope: 0},
		{node: apply("Clip", "x lo hi", "y"), x: 2, y: 2, inits: []*onnxio.Tensor{lo, hi}, slope: 0},
		{node: apply("Clip", "x hi lo", "y"), x: 0.5, y: -1, inits: []*onnxio.Tensor{lo, hi}, slope: 0},
		{node: apply("Sign", "x", "y"), x: 0, slope: 0},
		{node: apply("Round", "x", "y"), x: 0.5, slope: 0},
		{node: apply("Floor", "x", "y"), x: 1, y: 1, slope: 0},
		{node: apply("Ceil", "x", "y"), x: 1, y: 1, slope: 0},
		{node: apply("Shrink", "x", "y"), x: 0.5, slope: 0},
		{node: apply("Softsign", "x", "y"), x: 0, slope: 1},
		{node: apply("Max", "x c", "y"), x: 1, y: 1, inits: []*onnxio.Tensor{c}, slope: 0.5},
		{node: apply("Min", "x c", "y"), x: 1, y: 1, inits: []*onnxio.Tensor{c}, slope: 0.5},
		{node: apply("Pow", "x c", "y"), x: 0, y: 1, inits: []*onnxio.Tensor{scalarTensor("c", 0)}, slope: 0},
		{node: apply("Pow", "x c", "y"), x: 0, y: 0, inits: []*onnxio.Tensor{c}, slope: 1},
		{node: apply("Pow", "c x", "y"), x: 0, y: 1, inits: []*onnxio.Tensor{scalarTensor("c", 0)}, slope: 0},
		{node: apply("Pow", "x x", "y"), x: 0, y: 1, slope: 0},
		{node: apply("PRelu", "x c", "y"), x: 0, inits: []*onnxio.Tensor{scalarTensor("c", 0.25)}, slope: 0.25},
		{
			node: apply("PRelu", "x c", "y"), x: -2, y: -0.5, inits: []*onnxio.Tensor{scalarTensor("c", 0.25)}, slope: 0.25,
			slopeOfTheLast: -2,
		},
	} {
		t.Run(k.node.OpType, func(t *testing.T) {
			tr, n := mustNetwork[float64](t,
				sketch{shape: []int64{1}, nodes: []*onnxio.Node{k.node}, inits: k.inits, size: 1}.model(3), 1, true)
			clear(n.x)
			n.x[0], n.labels[0] = 1, 2
			tr.byName["w0"].values[0] = k.x
			if err := n.run(); err != nil {
				t.Fatal(err)
			}
			w := tr.byName["w1"].values
			logits, slopes := []float64{k.y * w[0], k.y * w[1], k.y * w[2]}, make([]float64, 3)
			loss, _ := kernel.CrossEntropy(1, 3, logits, n.labels, slopes)
			if math.Abs(n.loss-loss) > 1e-15 {
				t.Errorf("loss %g, with y = %g it is %g", n.loss, k.y, loss)
			}
			dy := slopes[0]*w[0] + slopes[1]*w[1] + slopes[2]*w[2]
			want := map[string]float64{"w0": dy * k.slope, "c": dy * k.slopeOfTheLast}
			for _, r := range n.reads {
				if g, ok := want[r.p.name]; ok && math.Abs(elements[float64](r.node.Value())[0]-g) > 1e-7 {
					t.Errorf("the gradient at %s is %g, PyTorch has %g", r.p.name, elements[float64](r.node.Value())[0], g)
				}
			}
		})
	}
}
