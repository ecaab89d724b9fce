package onnxgo_test

import (
	"math"
	"strings"
	"testing"

	"efcn/internal/engine"
	"efcn/internal/onnxgo"
	"efcn/onnxio"
)

// one is a model of one node, whose first input is x, of that shape with the
// batch, and whose others are constants of small integers: in float32 their
// products and sums are exact, in whatever order.
func one(op string, shape []int64, constants [][]int64, attributes ...*onnxio.Attribute) *onnxio.Model {
	n := &onnxio.Node{Name: "node", OpType: op, Inputs: []string{"x"}, Outputs: []string{"y"}, Attributes: attributes}
	g := &onnxio.Graph{Name: "one", Nodes: []*onnxio.Node{n}}
	dims := onnxio.Shape{onnxio.Symbol("N")}
	for _, d := range shape {
		dims = append(dims, onnxio.Fixed(d))
	}
	g.Inputs = []*onnxio.ValueInfo{{
		Name: "x",
		Type: onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: dims},
	}}
	g.Outputs = []*onnxio.ValueInfo{{Name: "y", Type: onnxio.TensorType{Elem: onnxio.Float32}}}
	for i, c := range constants {
		name := string(rune('a' + i))
		t := onnxio.NewTensor(name, []int64{int64(len(c))}, c) // the shape that Reshape is given
		if op != "Reshape" {
			t = onnxio.NewTensor(name, c, integers(c, 3+i))
		}
		g.Initializers = append(g.Initializers, t)
		n.Inputs = append(n.Inputs, name)
	}
	return &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 13}}, Graph: g}
}

// integers fills a shape.
func integers(dims []int64, step int) []float32 {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i*step%7 - 3)
	}
	return v
}

// TestSupported: what Check lets through is computed as the embedded engine
// computes it, to the bit where the numbers allow that.
func TestSupported(t *testing.T) {
	image, vector := []int64{3, 6, 8}, []int64{12}
	ints, number := onnxio.IntsAttr, onnxio.IntAttr
	conv, pool := [][]int64{{4, 3, 3, 3}, {4}}, ints("kernel_shape", 2, 3)
	square := ints("kernel_shape", 3, 3)
	for _, c := range []struct {
		name string
		m    *onnxio.Model
		near bool // a function that rounds
	}{
		{"Conv", one("Conv", image, conv, square), false},
		{"Conv without a bias", one("Conv", image, conv[:1], square), false},
		{
			"Conv, pads and strides", one("Conv", image, conv, square, ints("pads", 1, 1, 1, 1), ints("strides", 2, 1)),
			false,
		},
		{"Conv, dilations", one("Conv", image, conv, square, ints("dilations", 1, 2), number("group", 1)), false},
		{"MaxPool", one("MaxPool", image, nil, pool, ints("strides", 2, 1)), false},
		{
			"MaxPool, pads and what says nothing",
			one("MaxPool", image, nil, square, ints("pads", 1, 1, 1, 1), ints("strides", 2, 2),
				ints("dilations", 1, 1), number("ceil_mode", 0)), false,
		},
		{"GlobalAveragePool", one("GlobalAveragePool", image, nil), true},
		{"BatchNormalization", one("BatchNormalization", image, [][]int64{{3}, {3}, {3}, {3}},
			onnxio.FloatAttr("epsilon", 4)), true},
		{"Gemm", one("Gemm", vector, [][]int64{{5, 12}, {5}}, number("transB", 1)), false},
		{"Gemm, factors", one("Gemm", vector, [][]int64{{12, 5}, {5}}, onnxio.FloatAttr("alpha", 2),
			onnxio.FloatAttr("beta", 0.5)), false},
		{"MatMul", one("MatMul", vector, [][]int64{{12, 5}}), false},
		{"Add", one("Add", vector, [][]int64{{12}}), false},
		{"Mul", one("Mul", image, [][]int64{{3, 1, 1}}), false},
		{"Flatten", one("Flatten", image, nil), false},
		{"Reshape", one("Reshape", image, [][]int64{{0, -1}}), false},
		{"Transpose", one("Transpose", image, nil, ints("perm", 0, 2, 3, 1)), false},
		{"Identity", one("Identity", image, nil), false},
		{"Dropout", one("Dropout", image, nil), false},
		{"Relu", one("Relu", image, nil), false},
		{"LeakyRelu", one("LeakyRelu", image, nil, onnxio.FloatAttr("alpha", 0.25)), false},
		{"Sigmoid", one("Sigmoid", image, nil), true},
		{"Tanh", one("Tanh", image, nil), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := onnxgo.Check(c.m); err != nil {
				t.Fatal(err)
			}
			dims := []int64{3}
			for _, d := range c.m.Graph.Inputs[0].Type.Shape[1:] {
				dims = append(dims, d.Value)
			}
			x := onnxio.NewTensor("x", dims, integers(dims, 5))
			got, err := onnxgo.Run(c.m, []*onnxio.Tensor{x})
			if err != nil {
				t.Fatal(err)
			}
			e, err := engine.New[float32](c.m)
			if err != nil {
				t.Fatal(err)
			}
			feed, err := engine.FromONNX[float32](x)
			if err != nil {
				t.Fatal(err)
			}
			want, err := e.Run(t.Context(), map[string]*engine.Tensor[float32]{"x": feed})
			if err != nil {
				t.Fatal(err)
			}
			values, err := onnxio.Floats[float32](got[0])
			if err != nil || len(values) != want["y"].Len() {
				t.Fatalf("%d elements, want %d; %v", len(values), want["y"].Len(), err)
			}
			for i, v := range values {
				w := want["y"].F[i]
				// A few roundings of numbers of this size, in either engine.
				if limit := 16 * 0x1p-24 * max(1, math.Abs(float64(w))); v != w &&
					!(c.near && math.Abs(float64(v-w)) <= limit) {
					t.Fatalf("element %d is %v, want %v", i, v, w)
				}
			}
		})
	}
}

// TestCheckRefuses: what onnx-go computes wrongly, or not at all, is named.
func TestCheckRefuses(t *testing.T) {
	image, vector := []int64{3, 6, 8}, []int64{12}
	ints, number := onnxio.IntsAttr, onnxio.IntAttr
	weights, square := [][]int64{{4, 3, 3, 3}}, ints("kernel_shape", 3, 3)
	doubled := one("Add", vector, nil)
	doubled.Graph.Nodes[0].Inputs = []string{"x", "x"}
	masked := one("MaxPool", image, nil, square)
	masked.Graph.Nodes[0].Outputs = []string{"y", "indices"}
	training := one("Dropout", image, [][]int64{{1}})
	foreign := one("Relu", image, nil)
	foreign.Graph.Nodes[0].Domain = "com.example"
	for _, c := range []struct {
		m    *onnxio.Model
		want string
	}{
		{one("Conv", image, weights, square, number("group", 3)), "(Conv): onnx-go does not support group 3; want 1"},
		{one("Conv", image, weights, square, ints("pads", 0, 0, 1, 1)), "pads [0 0 1 1]; want the same on all sides"},
		{one("Conv", image, weights, square, ints("pads", 1, 0, 1, 0)), "pads [1 0 1 0]"},
		{
			one("Conv", image, weights, square, onnxio.StringAttr("auto_pad", "SAME_UPPER")),
			"auto_pad SAME_UPPER; want pads",
		},
		{one("Conv", image, weights), "a window other than of two dimensions"},
		{one("MaxPool", image, nil, square, number("ceil_mode", 1)), "ceil_mode 1; want 0"},
		{one("MaxPool", image, nil, square, ints("dilations", 2, 2)), "dilations [2 2]; want 1"},
		{masked, "a second output"},
		{one("Gemm", vector, [][]int64{{12, 5}}), "a product without a bias"},
		{one("Gemm", vector, [][]int64{{12, 5}, {5}}, number("transA", 1)), "transA 1; want 0"},
		{one("Flatten", image, nil, number("axis", 2)), "axis 2; want 1"},
		{one("Reshape", image, [][]int64{{0, -1}}, number("allowzero", 1)), "allowzero 1; want 0"},
		{one("Softmax", vector, nil), "(Softmax): onnx-go does not support the operator"},
		{one("Relu", image, nil, number("new", 1)), "attribute new"},
		{doubled, "an input that is there twice"},
		{training, "2 inputs; want one"},
		{foreign, "(com.example.Relu): onnx-go does not support the operator"},
	} {
		if err := onnxgo.Check(c.m); err == nil || !strings.Contains(err.Error(), `node "node"`) ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}
