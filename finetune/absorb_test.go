package finetune

import (
	"math/rand/v2"
	"slices"
	"testing"

	"efcn/onnxio"
)

// paddedSketch has a Pad in front of a convolution and of both poolings.
func paddedSketch() sketch {
	rng := rand.New(rand.NewPCG(21, 1))
	return sketch{
		shape: []int64{2, 5, 6}, size: 3 * 2 * 2,
		inits: []*onnxio.Tensor{
			noise(rng, "k", 3, 2, 3, 3), noise(rng, "kb", 3),
			integers("p1", 0, 0, 1, 2, 0, 0, 1, 0), integers("p2", 0, 0, 1, 0, 0, 0, 0, 1),
			integers("p3", 0, 0, 1, 1, 0, 0, 1, 1),
		},
		nodes: []*onnxio.Node{
			apply("Pad", "x p1", "xp"), apply("Conv", "xp k kb", "c"), apply("Relu", "c", "r"),
			apply("Pad", "r p2", "rp"),
			apply("MaxPool", "rp", "m", onnxio.IntsAttr("kernel_shape", 2, 2), onnxio.IntsAttr("strides", 2, 2)),
			apply("Pad", "m p3", "mp"),
			apply("AveragePool", "mp", "y", onnxio.IntsAttr("kernel_shape", 3, 3), onnxio.IntsAttr("strides", 2, 2)),
		},
	}
}

func countPads(nodes []*onnxio.Node) int {
	n := 0
	for _, node := range nodes {
		if node.OpType == "Pad" {
			n++
		}
	}
	return n
}

// TestAbsorbedPads: what is trained has no Pads, computes what the engine computes
// with them, and has its gradients; what is written has them all.
func TestAbsorbedPads(t *testing.T) {
	m := paddedSketch().model(3)
	tr, n := mustNetwork[float64](t, m, sketchBatch, true)
	if countPads(tr.nodes) != 0 || countPads(m.Graph.Nodes) != 3 {
		t.Fatalf("%d Pads are trained, %d in the model; want 0 and 3", countPads(tr.nodes), countPads(m.Graph.Nodes))
	}
	fill(n, 4)
	agreesWithEngine(t, m, n)
	if checked := checkGradients(t, n); checked != 63 {
		t.Errorf("checked %d derivatives, want 63", checked)
	}

	// Weights that are nodes are written as initializers, beside the Pads all the same.
	w := slices.IndexFunc(m.Graph.Initializers, func(t *onnxio.Tensor) bool { return t.Name == "k" })
	constant := &onnxio.Node{Name: "k", OpType: "Constant", Outputs: []string{"k"}, Attributes: []*onnxio.Attribute{{
		Name: "value", Type: onnxio.AttrTensor, T: m.Graph.Initializers[w],
	}}}
	inNode := m.Clone()
	inNode.Graph.Initializers = slices.Delete(inNode.Graph.Initializers, w, w+1)
	inNode.Graph.Nodes = slices.Insert(inNode.Graph.Nodes, 0, constant)
	for _, m := range []*onnxio.Model{m, inNode} {
		tr, err := newTrainee[float64](m, TrainAll)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tr.network(sketchBatch, false); err != nil {
			t.Fatal(err)
		}
		written, err := tr.export(m)
		if err != nil {
			t.Fatal(err)
		}
		if countPads(written.Graph.Nodes) != 3 {
			t.Errorf("%d Pads are written, want 3", countPads(written.Graph.Nodes))
		}
		if err := written.Check(); err != nil {
			t.Error(err)
		}
	}
}
