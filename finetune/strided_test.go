package finetune

import (
	"math/rand/v2"
	"testing"

	"efcn/onnxio"
)

// PyTorch's dynamo exporter writes as_strided, which pooling over whole planes comes
// to, as a Gather from batch and sample in one axis, by indices computed from the
// batch. It trains as the values that it takes, in their order.
func TestStridedTrains(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 1))
	w := noise(rng, "w", 2, 2, 1, 1)
	strided := through(17, 2, []*onnxio.Node{
		apply("Conv", "x w", "c"), apply("GlobalAveragePool", "c", "m"), apply("Reshape", "m all", "f"),
		apply("Shape", "x", "s"), apply("Gather", "s zero", "n"), apply("Range", "zero n one", "r"),
		apply("Mul", "r two", "b"),
		apply("Unsqueeze", "b axes", "u"), apply("Add", "u channels", "i"), apply("Gather", "f i", "g"),
		apply("Tanh", "g", "y"),
	}, w, integers("all", -1), onnxio.NewTensor("zero", nil, []int64{0}), onnxio.NewTensor("one", nil, []int64{1}),
		onnxio.NewTensor("two", nil, []int64{2}),
		integers("axes", 1, 2, 3), onnxio.NewTensor("channels", []int64{1, 2, 1, 1}, []int64{0, 1}))
	plain := through(17, 2, []*onnxio.Node{
		apply("Conv", "x w", "c"), apply("GlobalAveragePool", "c", "m"),
		apply("Tanh", "m", "y"),
	}, w)
	_, a := mustNetwork[float64](t, strided.model(3), sketchBatch, true)
	_, b := mustNetwork[float64](t, plain.model(3), sketchBatch, true)
	fill(a, 4)
	fill(b, 4)
	if checked := checkGradients(t, a); checked != 34 {
		t.Errorf("checked %d derivatives", checked)
	}
	for _, n := range []*network[float64]{a, b} {
		if err := n.run(); err != nil {
			t.Fatal(err)
		}
	}
	if a.loss != b.loss {
		t.Errorf("loss %g, as it stands %g", a.loss, b.loss)
	}
}
