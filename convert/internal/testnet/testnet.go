package testnet

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"efcn/convert/record"
	"efcn/internal/engine"
	"efcn/onnxio"
)

// RandomInput is a batch of n random tensors.
func RandomInput(rng *rand.Rand, n int, dims []int64) *engine.Tensor[float64] {
	x := &engine.Tensor[float64]{Type: onnxio.Float32, Shape: []int{n}}
	size := n
	for _, d := range dims {
		x.Shape = append(x.Shape, int(d))
		size *= int(d)
	}
	for range size {
		x.F = append(x.F, float64(float32(rng.NormFloat64())))
	}
	return x
}

// Ops lists the operators of a model, in the order of its nodes.
func Ops(m *onnxio.Model) []string {
	var names []string
	for _, n := range m.Graph.Nodes {
		names = append(names, n.OpType)
	}
	return names
}

// Small is a model of nodes between the input x and the output of the last one.
func Small(opset int64, in []int64, inits []*onnxio.Tensor, nodes ...*onnxio.Node) *onnxio.Model {
	shape := onnxio.Shape{onnxio.Symbol("N")}
	for _, d := range in {
		shape = append(shape, onnxio.Fixed(d))
	}
	last := nodes[len(nodes)-1]
	m := &onnxio.Model{
		IRVersion: 8, Opsets: []onnxio.Opset{{Version: opset}},
		Graph: &onnxio.Graph{
			Name: "test", Nodes: nodes, Initializers: inits,
			Inputs: []*onnxio.ValueInfo{{Name: "x", Type: onnxio.TensorType{
				Elem: onnxio.Float32, HasShape: true,
				Shape: shape,
			}}},
		},
	}
	for _, name := range last.Outputs {
		m.Graph.Outputs = append(m.Graph.Outputs, &onnxio.ValueInfo{
			Name: name,
			Type: onnxio.TensorType{Elem: onnxio.Float32},
		})
	}
	return m
}

// Node is a node that is called as its operator; inputs and outputs are separated by spaces.
func Node(op, inputs, outputs string, attrs ...*onnxio.Attribute) *onnxio.Node {
	return &onnxio.Node{
		Name: strings.ToLower(op), OpType: op, Inputs: strings.Split(inputs, " "),
		Outputs: strings.Fields(outputs), Attributes: attrs,
	}
}

// List is a constant list of integers.
func List(name string, v ...int64) *onnxio.Tensor {
	return onnxio.NewTensor(name, []int64{int64(len(v))}, v)
}

// Floats is a constant of random numbers.
func Floats(name string, rng *rand.Rand, dims ...int64) *onnxio.Tensor {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return onnxio.NewTensor(name, dims, v)
}

// Layouts are the forms that a layer can have in an eFCN.
var Layouts = []record.Layout{record.Dense, record.Sparse, record.Local, record.Factored}

// Bits are the bits of the floats of a constant.
func Bits(t *testing.T, m *onnxio.Model, name string) []uint32 {
	t.Helper()
	tensor := m.Graph.Initializer(name)
	if tensor == nil {
		t.Fatalf("no initializer %q", name)
	}
	v, err := onnxio.Floats[float32](tensor)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]uint32, len(v))
	for i := range v {
		b[i] = math.Float32bits(v[i])
	}
	return b
}
