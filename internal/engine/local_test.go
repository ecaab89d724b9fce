package engine_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// localModel is a CNN of three convolutions (padded, strided, in groups, one
// without a bias) in local form.
func localModel(t *testing.T, opset int64) *onnxio.Model {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	numbers := func(name string, dims ...int64) *onnxio.Tensor {
		n, err := onnxio.NumElements(dims)
		if err != nil {
			t.Fatal(err)
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.NormFloat64()) / 4
		}
		return onnxio.NewTensor(name, dims, v)
	}
	cnn := &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: opset}}, Graph: &onnxio.Graph{
		Inputs:  []*onnxio.ValueInfo{engine.Info("x", -1, 4, 7, 6)},
		Outputs: []*onnxio.ValueInfo{engine.Info("z", -1, 6, 2, 1)},
		Initializers: []*onnxio.Tensor{
			numbers("w1", 6, 4, 3, 3), numbers("b1", 6), numbers("w2", 4, 3, 3, 2), numbers("w3", 6, 4, 2,
				2), numbers("b3", 6),
		},
		Nodes: []*onnxio.Node{
			engine.Op("Conv x w1 b1 -> a", onnxio.IntsAttr("pads", 1, 1, 1, 1)),
			engine.Op("Relu a -> b"),
			engine.Op("Conv b w2 -> c", onnxio.IntAttr("group", 2), onnxio.IntsAttr("strides", 2, 2),
				onnxio.IntsAttr("pads", 1, 0, 0, 0)),
			engine.Op("Relu c -> d"),
			engine.Op("Conv d w3 b3 -> z", onnxio.IntsAttr("strides", 1, 2)),
		},
	}}
	for i, n := range cnn.Graph.Nodes {
		n.Name = fmt.Sprint("n", i)
	}
	p, err := convert.NewPlan(cnn, convert.Options{Layout: record.Local})
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// observed runs a model node by node.
func observed[T kernel.Float](e *engine.Engine[T], feeds map[string]*engine.Tensor[T]) (map[string]*engine.Tensor[T],
	error,
) {
	return e.Observe(context.Background(), feeds, func(string, *engine.Tensor[T]) error { return nil })
}

// checkLocalRun compares a run with one node by node, for batches of several
// sizes in turn, and returns how many layers are run as one.
func checkLocalRun[T kernel.Float](t *testing.T, m *onnxio.Model, tolerance float64) int {
	t.Helper()
	e, err := engine.New[T](m)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 16, 3, 33, 3} {
		x := &engine.Tensor[T]{Type: onnxio.Float32, Shape: []int{n, 4, 7, 6}, F: make([]T, n*4*7*6)}
		for i := range x.F {
			x.F[i] = T(rng.NormFloat64())
		}
		feeds := map[string]*engine.Tensor[T]{"x": x}
		got, err := e.Run(context.Background(), feeds)
		if err != nil {
			t.Fatal(err)
		}
		want, err := observed(e, feeds)
		if err != nil {
			t.Fatal(err)
		}
		for name, w := range want {
			if !slices.Equal(got[name].Shape, w.Shape) {
				t.Fatalf("%s has shape %v, node by node %v", name, got[name].Shape, w.Shape)
			}
			for i, v := range w.F {
				if d := math.Abs(float64(got[name].F[i] - v)); !(d <= tolerance) {
					t.Fatalf("batch %d: %s[%d] = %v, node by node %v", n, name, i, got[name].F[i], v)
				}
			}
		}
	}
	return e.LocalLayers()
}

func TestLocalForm(t *testing.T) {
	for _, opset := range []int64{9, 13, 17} {
		m := localModel(t, opset)
		if single, double := checkLocalRun[float32](t, m, 1e-5), checkLocalRun[float64](t, m, 1e-13); single != 3 ||
			double != 3 {
			t.Errorf("opset %d: %d and %d layers run as one, want 3", opset, single, double)
		}
	}
}

// What is unlike what convert writes is run node by node, to the same end.
func TestLocalFormElsewhere(t *testing.T) {
	find := func(m *onnxio.Model, op string) *onnxio.Node {
		return m.Graph.Nodes[slices.IndexFunc(m.Graph.Nodes, func(n *onnxio.Node) bool { return n.OpType == op })]
	}
	cases := 0
	for name, c := range map[string]struct {
		edit func(m *onnxio.Model)
		want int
	}{
		"pad value": {func(m *onnxio.Model) { // recognised, and found to be another when it is run
			pad := find(m, "Pad")
			m.Graph.Initializer(pad.Input(2)).Data = onnxio.NewTensor("", nil, []float32{2}).Data
		}, 3},
		"negative index": {func(m *onnxio.Model) {
			table := m.Graph.Initializer(find(m, "Gather").Input(1))
			v, err := onnxio.Ints(table)
			if err != nil {
				t.Fatal(err)
			}
			v = slices.Clone(v)
			v[0] = -1
			table.Data = onnxio.NewTensor("", table.Dims, v).Data
		}, 3},
		"perm": {func(m *onnxio.Model) {
			last := m.Graph.Nodes[slices.IndexFunc(m.Graph.Nodes,
				func(n *onnxio.Node) bool { return n.OpType == "MatMul" })+1]
			last.Attributes = []*onnxio.Attribute{onnxio.IntsAttr("perm", 3, 0, 1, 2)}
		}, 2},
		"output within": {func(m *onnxio.Model) {
			m.Graph.Outputs = append(m.Graph.Outputs,
				&onnxio.ValueInfo{Name: find(m, "MatMul").Output(0), Type: onnxio.TensorType{Elem: onnxio.Float32}})
		}, 2},
		"read twice": {func(m *onnxio.Model) {
			m.Graph.Nodes = append(m.Graph.Nodes, engine.Op("Neg "+find(m, "Transpose").Output(0)+" -> extra"))
			m.Graph.Outputs = append(m.Graph.Outputs,
				&onnxio.ValueInfo{Name: "extra", Type: onnxio.TensorType{Elem: onnxio.Float32}})
		}, 2},
		"weights fed": {func(m *onnxio.Model) {
			name := find(m, "MatMul").Input(0)
			m.Graph.Nodes = slices.Insert(m.Graph.Nodes, 0, engine.Op("Abs "+name+" -> weights"))
			find(m, "MatMul").Inputs[0] = "weights"
		}, 2},
		"bias of another shape": {func(m *onnxio.Model) {
			bias := m.Graph.Initializer(find(m, "Add").Input(1))
			bias.Dims = []int64{1, bias.Dims[0]}
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			m := localModel(t, 17)
			c.edit(m)
			if got := checkLocalRun[float64](t, m, 1e-13); got != c.want {
				t.Errorf("%d layers are recognised, want %d", got, c.want)
			}
			cases++
		})
	}
	if cases != 7 {
		t.Errorf("%d cases, want 7", cases)
	}
}

// An index beyond the input is the node's error, whoever finds it.
func TestLocalFormRefuses(t *testing.T) {
	m := localModel(t, 17)
	for _, n := range m.Graph.Nodes {
		if n.OpType == "Gather" {
			table := m.Graph.Initializer(n.Input(1))
			v, err := onnxio.Ints(table)
			if err != nil {
				t.Fatal(err)
			}
			v = slices.Clone(v)
			v[0] = 1000
			table.Data = onnxio.NewTensor("", table.Dims, v).Data
			break
		}
	}
	e, err := engine.New[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	x := &engine.Tensor[float32]{Type: onnxio.Float32, Shape: []int{2, 4, 7, 6}, F: make([]float32, 2*4*7*6)}
	_, err = e.Run(context.Background(), map[string]*engine.Tensor[float32]{"x": x})
	_, want := observed(e, map[string]*engine.Tensor[float32]{"x": x})
	if err == nil || want == nil || err.Error() != want.Error() {
		t.Errorf("got %v, node by node %v", err, want)
	}
}
