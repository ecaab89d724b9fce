package cut_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert/cut"
	"efcn/convert/internal/testnet"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// edge is a model and what becomes of it over some ranks.
type edge struct {
	name   string
	opset  int64 // 0 is 17
	in     []int64
	inits  []*onnxio.Tensor
	nodes  []*onnxio.Node
	ranks  int    // 0 is 2
	want   string // the operators of a part, in order
	whole  string // part of the reason why a layer is whole
	change func(m *onnxio.Model)
}

func edges() []edge {
	rng := rand.New(rand.NewPCG(9, 9))
	f := func(name string, dims ...int64) *onnxio.Tensor { return testnet.Floats(name, rng, dims...) }
	transB := onnxio.IntAttr("transB", 1)
	gemm := testnet.Node("Gemm", "x w", "h", transB)
	list := func(t ...*onnxio.Tensor) []*onnxio.Tensor { return t }
	nodes := func(n ...*onnxio.Node) []*onnxio.Node { return n }
	n := testnet.Node
	w, w2 := f("w", 24, 6), f("w2", 12, 24)
	axes := func(v ...int64) *onnxio.Attribute { return onnxio.IntsAttr("axes", v...) }
	return []edge{
		{name: "one layer", in: []int64{6}, inits: list(w, f("b", 24)), nodes: nodes(n("Gemm", "x w b", "y", transB)), want: "Gemm AllGather"},
		{name: "a bias of two axes", in: []int64{6}, inits: list(w, f("b", 1, 24)), nodes: nodes(n("Gemm", "x w b", "y", transB)), want: "Gemm AllGather"},
		{name: "weights by columns", in: []int64{6}, inits: list(f("w", 6, 24), f("b", 24)), nodes: nodes(n("Gemm", "x w b", "y")), want: "Gemm AllGather"},
		{name: "alpha and beta", in: []int64{6}, inits: list(w, f("b", 24)), nodes: nodes(n("Gemm", "x w b", "y", transB, onnxio.FloatAttr("alpha", 2), onnxio.FloatAttr("beta", 0.5))), want: "Gemm AllGather"},
		{name: "MatMul", in: []int64{6}, inits: list(f("w", 6, 24), f("b", 24)), nodes: nodes(n("MatMul", "x w", "h"), n("Add", "h b", "y")), want: "MatMul Add AllGather"},
		{name: "the constant first", in: []int64{6}, inits: list(w, f("b", 24)), nodes: nodes(gemm, n("Sub", "b h", "y")), want: "Gemm Sub AllGather"},
		{name: "an old operator set", opset: 7, in: []int64{6}, inits: list(w, f("b", 24)), nodes: nodes(n("Gemm", "x w b", "y", transB)), want: "Gemm AllGather"},
		{name: "two layers", in: []int64{6}, inits: list(w, w2), nodes: nodes(gemm, n("Relu", "h", "r"), n("Gemm", "r w2", "y", transB)), want: "Gemm Relu AllGather Gemm AllGather"},
		{name: "Softmax behind", in: []int64{6}, inits: list(w), nodes: nodes(gemm, n("Softmax", "h", "y")), want: "Gemm AllGather Softmax"},
		{name: "three ranks", in: []int64{6}, inits: list(w), nodes: nodes(n("Gemm", "x w", "y", transB)), ranks: 3, want: "Gemm AllGather"},
		{name: "a channel each", in: []int64{6}, inits: list(f("w", 3, 6)), nodes: nodes(n("Gemm", "x w", "y", transB)), ranks: 3, want: "Gemm AllGather"},
		{name: "fewer rows than ranks", in: []int64{6}, inits: list(f("w", 3, 6)), nodes: nodes(n("Gemm", "x w", "y", transB)), ranks: 4, want: "Gemm", whole: "it has 3 channels"},
		{name: "a constant for each sample", in: []int64{6}, inits: list(w, f("b", 2, 24)), nodes: nodes(n("Gemm", "x w b", "y", transB)), want: "Gemm", whole: "what it adds", change: func(m *onnxio.Model) { m.Graph.Inputs[0].Type.Shape[0] = onnxio.Fixed(2) }},
		{name: "a bias of one value", in: []int64{6}, inits: list(w, f("b", 1)), nodes: nodes(n("Gemm", "x w b", "y", transB)), want: "Gemm", whole: "what it adds"},
		{name: "a bias that is computed", in: []int64{24}, inits: list(f("w", 24, 24)), nodes: nodes(n("Gemm", "x w x", "y", transB)), want: "Gemm", whole: "what it adds"},
		{name: "rows of samples", in: []int64{5, 6}, inits: list(f("w", 6, 24)), nodes: nodes(n("MatMul", "x w", "y")), want: "MatMul", whole: "no vectors"},
		{name: "transA", in: []int64{6}, inits: list(f("w", 24, 3)), nodes: nodes(n("Gemm", "x w", "y", onnxio.IntAttr("transA", 1), transB)), want: "Gemm", whole: "transA", change: func(m *onnxio.Model) { m.Graph.Inputs[0].Type.Shape[0] = onnxio.Fixed(3) }},
		{name: "weights that are fed", in: []int64{6}, inits: list(w), nodes: nodes(n("Gemm", "x w", "y", transB)), want: "Gemm", whole: "may be fed", change: func(m *onnxio.Model) {
			m.Graph.Inputs = append(m.Graph.Inputs, &onnxio.ValueInfo{Name: "w", Type: onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Fixed(24), onnxio.Fixed(6)}}})
		}},
		{name: "weights of two layers", in: []int64{24}, inits: list(f("w", 24, 24)), nodes: nodes(n("Gemm", "x w", "h", transB), n("Relu", "h", "r"), n("Gemm", "r w", "y", transB)), want: "Gemm Relu AllGather Gemm AllGather"},
		{name: "tied weights", in: []int64{6}, inits: list(w), nodes: nodes(gemm, n("Relu", "h", "r"), n("Gemm", "r w", "y")), want: "Gemm Relu Gemm", whole: "transposed"},
		{name: "weights that something else reads", in: []int64{6}, inits: list(w), nodes: nodes(gemm, n("Mul", "x w", "m"), n("ReduceSum", "m", "s", onnxio.IntAttr("keepdims", 0)), n("Add", "h s", "y")), want: "Gemm Mul ReduceSum Add", whole: "another node reads", change: func(m *onnxio.Model) { m.Graph.Inputs[0].Type.Shape[0] = onnxio.Fixed(24) }},
		{name: "a bias that something else reads", in: []int64{6}, inits: list(w, w2, f("b", 24)), nodes: nodes(n("Gemm", "x w b", "h", transB), n("Add", "h b", "s"), n("Softmax", "s", "p"), n("Mul", "p b", "y")), want: "Gemm Add Softmax Mul", whole: `"b": another node reads all of it`},
		{name: "two readers of one bias", in: []int64{6}, inits: list(w, f("v", 24, 6), f("b", 24)), nodes: nodes(n("Gemm", "x w b", "h", transB), n("Gemm", "x v b", "g", transB), n("Add", "h g", "y")), want: "Gemm Gemm Add AllGather"},
		{name: "weights that are an output", in: []int64{6}, inits: list(w), nodes: nodes(n("Gemm", "x w", "y", transB)), want: "Gemm", whole: "another node", change: func(m *onnxio.Model) {
			m.Graph.Outputs = append(m.Graph.Outputs, &onnxio.ValueInfo{Name: "w"})
		}},
		{name: "two outputs", in: []int64{6}, inits: list(w, w2), nodes: nodes(gemm, n("Relu", "h", "r"), n("Gemm", "r w2", "y", transB)), want: "Gemm Relu AllGather Spread Gemm AllGather AllGather", change: func(m *onnxio.Model) {
			m.Graph.Outputs = append(m.Graph.Outputs, &onnxio.ValueInfo{Name: "h"}, &onnxio.ValueInfo{Name: "r"})
		}},
		{name: "residual", in: []int64{24}, inits: list(f("w", 24, 24), f("v", 24, 24)), nodes: nodes(n("Gemm", "x w", "h", transB), n("Relu", "h", "r"), n("Gemm", "r v", "g", transB), n("Add", "g r", "s"), n("Relu", "s", "y")), want: "Gemm Relu AllGather Gemm Add Relu AllGather"},
		{name: "residual from what is whole", in: []int64{24}, inits: list(f("w", 24, 24)), nodes: nodes(n("Softmax", "x", "p"), n("Gemm", "p w", "h", transB), n("Add", "h p", "y")), want: "Softmax Gemm AllGather Add"},
		{name: "what is whole and depends on weights", in: []int64{6}, inits: list(w, f("v", 6)), nodes: nodes(n("Mul", "x v", "m"), n("Gemm", "m w", "y", transB)), want: "Mul Spread Gemm AllGather"},
		{name: "whole and partial readers", in: []int64{6}, inits: list(w, f("w2", 24, 24)), nodes: nodes(gemm, n("Gemm", "h w2", "g", transB), n("Softmax", "h", "p"), n("Add", "g p", "y")), want: "Gemm AllGather Spread Gemm Softmax AllGather Add"},
		{name: "the same twice", in: []int64{6}, inits: list(w), nodes: nodes(gemm, n("Mul", "h h", "y")), want: "Gemm Mul AllGather"},
		{name: "bounds, a number and a slope", in: []int64{6}, inits: list(w, f("lo"), f("hi"), f("s", 24)), nodes: nodes(gemm, n("Clip", "h lo hi", "c"), n("Mul", "c lo", "m"), n("PRelu", "m s", "y")), want: "Gemm Clip Mul PRelu AllGather"},
		{name: "one slope for all", in: []int64{6}, inits: list(w, f("s", 1)), nodes: nodes(gemm, n("PRelu", "h s", "y")), want: "Gemm AllGather PRelu"},
		{name: "a vector that a rank has one value of", in: []int64{6}, inits: list(f("w", 3, 6), f("s", 3)), nodes: nodes(n("Gemm", "x w", "h", transB), n("Mul", "h s", "y")), want: "Gemm AllGather Mul"},
		{name: "a vector for each sample", in: []int64{6}, inits: list(w, f("s", 2, 24)), nodes: nodes(gemm, n("Mul", "h s", "y")), want: "Gemm Mul AllGather", change: func(m *onnxio.Model) { m.Graph.Inputs[0].Type.Shape[0] = onnxio.Fixed(2) }},
		{name: "channels", in: []int64{6}, inits: list(w, testnet.List("s", 0, 4, 2, 3), f("v", 4, 1, 1), f("u", 3)), nodes: nodes(gemm, n("Reshape", "h s", "t"), n("Mul", "t v", "m"), n("GlobalMaxPool", "m", "p"), n("Flatten", "p", "y")), want: "Gemm Reshape Mul GlobalMaxPool Flatten AllGather"},
		{name: "a vector along the last axis", in: []int64{6}, inits: list(w, testnet.List("s", 0, 4, 2, 3), f("u", 3)), nodes: nodes(gemm, n("Reshape", "h s", "t"), n("Mul", "t u", "y")), want: "Gemm Reshape AllGather Mul"},
		{name: "a shape with -1", in: []int64{6}, inits: list(w, testnet.List("s", 0, 4, -1, 3), testnet.List("s2", 0, -1)), nodes: nodes(gemm, n("Reshape", "h s", "t"), n("Reshape", "t s2", "y")), want: "Gemm Reshape Reshape AllGather"},
		{name: "the batch as -1", in: []int64{6}, inits: list(w, testnet.List("s", -1, 4, 2, 3)), nodes: nodes(gemm, n("Reshape", "h s", "y")), want: "Gemm Reshape AllGather"},
		{name: "one shape of two Reshapes", in: []int64{6}, inits: list(w, testnet.List("s", 0, 4, 6)), nodes: nodes(gemm, n("Reshape", "h s", "t"), n("Softmax", "h", "p"), n("Reshape", "p s", "q"), n("Add", "t q", "y")), want: "Gemm Reshape AllGather Softmax Reshape AllGather Add"},
		{name: "channels that are cut apart", in: []int64{6}, inits: list(w, testnet.List("s", 0, 3, 8)), nodes: nodes(gemm, n("Reshape", "h s", "y")), want: "Gemm AllGather Reshape"},
		{name: "the batch in one axis with others", in: []int64{6}, inits: list(w, testnet.List("s", -1, 6)), nodes: nodes(gemm, n("Reshape", "h s", "y")), want: "Gemm AllGather Reshape"},
		{name: "axes of one", in: []int64{6}, inits: list(w, testnet.List("a", 2, 3)), nodes: nodes(gemm, n("Unsqueeze", "h a", "u"), n("Relu", "u", "r"), n("Squeeze", "r a", "y")), want: "Gemm Unsqueeze Relu Squeeze AllGather"},
		{name: "an axis in front", in: []int64{6}, inits: list(w, testnet.List("a", 1)), nodes: nodes(gemm, n("Unsqueeze", "h a", "y")), want: "Gemm AllGather Unsqueeze"},
		{name: "axes as attributes", opset: 11, in: []int64{6}, inits: list(w), nodes: nodes(gemm, n("Unsqueeze", "h", "u", axes(2)), n("Squeeze", "u", "y", axes(2))), want: "Gemm Unsqueeze Squeeze AllGather"},
		{name: "Flatten at the front", in: []int64{6}, inits: list(w), nodes: nodes(gemm, n("Flatten", "h", "y", onnxio.IntAttr("axis", 0))), want: "Gemm AllGather Flatten"},
		{name: "Transpose of positions", in: []int64{6}, inits: list(w, testnet.List("s", 0, 4, 2, 3)), nodes: nodes(gemm, n("Reshape", "h s", "t"), n("Transpose", "t", "y", onnxio.IntsAttr("perm", 0, 1, 3, 2))), want: "Gemm Reshape Transpose AllGather"},
		{name: "Transpose of channels", in: []int64{6}, inits: list(w, testnet.List("s", 0, 4, 2, 3)), nodes: nodes(gemm, n("Reshape", "h s", "t"), n("Transpose", "t", "y", onnxio.IntsAttr("perm", 0, 2, 1, 3))), want: "Gemm Reshape AllGather Transpose"},
		{name: "BatchNormalization", in: []int64{6}, inits: list(w, f("g", 24), f("b", 24), f("m", 24), positive("v", 24)), nodes: nodes(gemm, n("BatchNormalization", "h g b m v", "y")), want: "Gemm BatchNormalization AllGather"},
		{name: "InstanceNormalization", in: []int64{6}, inits: list(w, testnet.List("s", 0, 4, 6), f("g", 4), f("b", 4)), nodes: nodes(gemm, n("Reshape", "h s", "t"), n("InstanceNormalization", "t g b", "y")), want: "Gemm Reshape AllGather InstanceNormalization"},
		{name: "a Conv", in: []int64{4, 5, 5}, inits: list(f("w", 8, 4, 3, 3)), nodes: nodes(n("Conv", "x w", "y")), want: "Conv", whole: `"w" is read by a Conv`},
		{name: "one value for one row", in: []int64{24}, inits: list(f("w", 1, 24), f("b")), nodes: nodes(n("Gemm", "x w b", "y", transB)), want: "Gemm", whole: "what it adds"},
		{name: "LRN", in: []int64{6}, inits: list(w, testnet.List("s", 0, 4, 2, 3)), nodes: nodes(gemm, n("Reshape", "h s", "t"), n("LRN", "t", "y", onnxio.IntAttr("size", 3))), want: "Gemm Reshape AllGather LRN"},
		{name: "indices of a MaxPool", in: []int64{6}, inits: list(w, testnet.List("s", 0, 4, 2, 3)), nodes: nodes(gemm, n("Reshape", "h s", "t"), n("MaxPool", "t", "y i", onnxio.IntsAttr("kernel_shape", 1, 2))), want: "Gemm Reshape AllGather MaxPool"},
		{name: "Cast and Identity", in: []int64{6}, inits: list(w), nodes: nodes(gemm, n("Cast", "h", "c", onnxio.IntAttr("to", int64(onnxio.Float64))), n("Identity", "c", "y")), want: "Gemm Cast Identity AllGather"},
		{name: "Cast to integers", in: []int64{6}, inits: list(w), nodes: nodes(gemm, n("Cast", "h", "c", onnxio.IntAttr("to", int64(onnxio.Int64))), n("Cast", "c", "y", onnxio.IntAttr("to", int64(onnxio.Float32)))), want: "Gemm AllGather Cast Cast"},
		{name: "integers", in: []int64{6}, inits: list(onnxio.NewTensor("w", []int64{6, 24}, make([]int32, 144))), nodes: nodes(n("Cast", "x", "c", onnxio.IntAttr("to", int64(onnxio.Int32))), n("MatMul", "c w", "h"), n("Cast", "h", "y", onnxio.IntAttr("to", int64(onnxio.Float32)))), want: "Cast MatMul Cast", whole: "floating type"},
		{name: "an operator that is not known here", in: []int64{6}, inits: list(w), nodes: nodes(gemm, n("CumSum", "h a", "y")), want: "Gemm AllGather CumSum", change: func(m *onnxio.Model) {
			m.Graph.Initializers = append(m.Graph.Initializers, onnxio.NewTensor("a", nil, []int64{1}))
		}},
		{name: "a sparse matrix", in: []int64{6}, nodes: nodes(gemm, n("Relu", "h", "y")), want: "Gemm Relu AllGather", change: sparseRows(0, 24)},
		{name: "a sparse matrix of which a rank has nothing", in: []int64{6}, nodes: nodes(gemm, n("Relu", "h", "y")), want: "Gemm Relu", whole: "rows 12 to 23, those of rank 1, have no entries", change: sparseRows(0, 12)},
		{name: "float64", in: []int64{6}, inits: list(onnxio.NewTensor("w", []int64{24, 6}, doubles(24*6))), nodes: nodes(n("Gemm", "x w", "y", transB)), want: "Gemm AllGather", change: func(m *onnxio.Model) { m.Graph.Inputs[0].Type.Elem = onnxio.Float64 }},
	}
}

// sparseRows adds a sparse matrix "w" of 24 rows and 6 columns; entries are in these rows.
func sparseRows(from, until int64) func(m *onnxio.Model) {
	return func(m *onnxio.Model) {
		var index []int64
		for i := 6 * from; i < 6*until; i += 2 {
			index = append(index, i)
		}
		entries := int64(len(index))
		m.Graph.SparseInitializers = append(m.Graph.SparseInitializers, &onnxio.SparseTensor{
			Dims: []int64{24, 6}, Values: onnxio.NewTensor("w", []int64{entries}, make([]float32, entries)),
			Indices: onnxio.NewTensor("", []int64{entries}, index),
		})
	}
}

// declareOutputs gives the outputs of a model their types.
func declareOutputs(t *testing.T, m *onnxio.Model) {
	t.Helper()
	for _, o := range m.Graph.Outputs {
		o.Type = onnxio.TensorType{}
	}
	info, err := shape.Infer(m, shape.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range m.Graph.Outputs {
		o.Type, _ = info.Type(o.Name)
	}
}

func doubles(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(i%7) - 3
	}
	return v
}

func positive(name string, n int64) *onnxio.Tensor {
	v := make([]float32, n)
	for i := range v {
		v[i] = 1 + float32(i%3)
	}
	return onnxio.NewTensor(name, []int64{n}, v)
}

// What is computed in parts is what the table says, and computes what the model does.
// Sums of products are exact; functions that are not take the same numbers.
func TestEdges(t *testing.T) {
	cases := edges()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.opset == 0 {
				c.opset = 17
			}
			m := testnet.Small(c.opset, c.in, c.inits, c.nodes...)
			if c.change != nil {
				c.change(m)
			}
			m = integral(t, m)
			declareOutputs(t, m)
			if c.ranks == 0 {
				c.ranks = 2
			}
			all := parts(t, m, c.ranks, cut.Options{Least: 65})
			for r, p := range all {
				if got := strings.Join(testnet.Ops(p.Model), " "); got != c.want {
					t.Errorf("rank %d: %s, want %s", r, got, c.want)
				}
			}
			reason := slices.ContainsFunc(all[0].Layers, func(l cut.Layer) bool {
				return l.Whole != "" && strings.Contains(l.Whole, c.whole)
			})
			if reason != (c.whole != "") {
				t.Errorf("layers %+v, want one that is whole: %q", all[0].Layers, c.whole)
			}
			n := 12
			if d := m.Graph.Inputs[0].Type.Shape[0]; d.Known() {
				n = int(d.Value)
			}
			x := integers(n, c.in)
			x.Type = m.Graph.Inputs[0].Type.Elem
			checkOutputs[float64](t, m, x, all)
			checkSlices(t, all)
		})
	}
	if len(cases) != 60 {
		t.Errorf("%d cases, want 60", len(cases))
	}
}
