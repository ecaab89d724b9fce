package finetune

import (
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"efcn/onnxio"
)

// sketch builds a small model: whatever op is under test sits between two
// weight matrices, so that its gradient shows in the first.
//
//	x [N, 6] -> MatMul w0 -> Reshape to [N, shape...] -> nodes -> Flatten -> MatMul w1 -> logits [N, 3]
type sketch struct {
	shape []int64          // of the value "x", without the batch
	nodes []*onnxio.Node   // from "x" to "y"
	inits []*onnxio.Tensor // of nodes
	size  int64            // elements of "y" a sample
	opset int64            // 0 means 17

	oneBatch bool // constants have an entry for every one of sketchBatch samples
}

const (
	sketchBatch   = 5
	sketchInput   = 6
	sketchClasses = 3
)

func noise(rng *rand.Rand, name string, dims ...int64) *onnxio.Tensor {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = rng.NormFloat64()
	}
	return onnxio.NewTensor(name, dims, v)
}

// sparseNoise is a Constant of a matrix of which about half is stored.
func sparseNoise(rng *rand.Rand, name string, rows, cols int64) *onnxio.Node {
	var index []int64
	for i := range rows * cols {
		if rng.IntN(2) == 0 {
			index = append(index, i)
		}
	}
	n := int64(len(index))
	return &onnxio.Node{Name: name, OpType: "Constant", Outputs: []string{name}, Attributes: []*onnxio.Attribute{{
		Name: "sparse_value", Type: onnxio.AttrSparseTensor, Sparse: &onnxio.SparseTensor{
			Dims: []int64{rows, cols}, Values: noise(rng, "", n), Indices: onnxio.NewTensor("", []int64{n}, index),
		},
	}}}
}

func integers(name string, v ...int64) *onnxio.Tensor {
	return onnxio.NewTensor(name, []int64{int64(len(v))}, v)
}

func scalarTensor(name string, v float64) *onnxio.Tensor {
	return onnxio.NewTensor(name, nil, []float64{v})
}

func apply(opType, inputs, outputs string, attributes ...*onnxio.Attribute) *onnxio.Node {
	return &onnxio.Node{
		Name: opType + "_" + outputs, OpType: opType, Inputs: fields(inputs), Outputs: fields(outputs),
		Attributes: attributes,
	}
}

// fields splits at spaces; "-" stands for an input left out.
func fields(s string) []string {
	names := strings.Fields(s)
	for i, f := range names {
		if f == "-" {
			names[i] = ""
		}
	}
	return names
}

func (s sketch) model(seed uint64) *onnxio.Model {
	rng := rand.New(rand.NewPCG(seed, 1))
	size := int64(1)
	for _, d := range s.shape {
		size *= d
	}
	opset := s.opset
	if opset == 0 {
		opset = 17
	}
	g := &onnxio.Graph{
		Name: "sketch",
		Inputs: []*onnxio.ValueInfo{{
			Name: "input",
			Type: onnxio.TensorType{
				Elem: onnxio.Float64, HasShape: true,
				Shape: onnxio.Shape{onnxio.Symbol("N"), onnxio.Fixed(sketchInput)},
			},
		}},
		Outputs: []*onnxio.ValueInfo{{
			Name: "logits",
			Type: onnxio.TensorType{
				Elem: onnxio.Float64, HasShape: true,
				Shape: onnxio.Shape{onnxio.Symbol("N"), onnxio.Fixed(sketchClasses)},
			},
		}},
		Initializers: append([]*onnxio.Tensor{
			noise(rng, "w0", sketchInput, size), integers("shape", append([]int64{-1}, s.shape...)...),
			noise(rng, "w1", s.size, sketchClasses),
		}, s.inits...),
	}
	g.Nodes = append(g.Nodes, apply("MatMul", "input w0", "x0"), apply("Reshape", "x0 shape", "x"))
	g.Nodes = append(g.Nodes, s.nodes...)
	g.Nodes = append(g.Nodes, apply("Flatten", "y", "flat"), apply("MatMul", "flat w1", "logits"))
	return &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: opset}}, Graph: g}
}

// sketches lists every operator that can be trained, in the forms it has.
func sketches() map[string]sketch {
	rng := rand.New(rand.NewPCG(17, 18))
	one := func(n *onnxio.Node, shape []int64, size int64, inits ...*onnxio.Tensor) sketch {
		return sketch{shape: shape, nodes: []*onnxio.Node{n}, inits: inits, size: size}
	}
	ints := onnxio.IntsAttr
	image := []int64{2, 4, 5}
	cases := map[string]sketch{
		"Gemm": one(apply("Gemm", "x w b", "y"), []int64{4}, 7, noise(rng, "w", 4, 7), noise(rng, "b", 7)),
		"Gemm transB": one(apply("Gemm", "x w b", "y", onnxio.IntAttr("transB", 1)), []int64{4}, 7,
			noise(rng, "w", 7, 4), noise(rng, "b", 1, 7)),
		"Gemm alpha beta": one(apply("Gemm", "x w b", "y", onnxio.FloatAttr("alpha", 0.5),
			onnxio.FloatAttr("beta", -2)), []int64{4}, 7, noise(rng, "w", 4, 7), noise(rng, "b", 7)),
		"Gemm no bias":           one(apply("Gemm", "x w", "y"), []int64{4}, 7, noise(rng, "w", 4, 7)),
		"MatMul of several rows": one(apply("MatMul", "x w", "y"), []int64{3, 4}, 15, noise(rng, "w", 4, 5)),
		"Conv": one(apply("Conv", "x w b", "y", ints("pads", 1, 0, 2, 1), ints("strides", 2, 1)), image,
			54, noise(rng, "w", 3, 2, 2, 1), noise(rng, "b", 3)),
		"Conv SAME": one(apply("Conv", "x w", "y", onnxio.StringAttr("auto_pad", "SAME_UPPER")), image, 60,
			noise(rng, "w", 3, 2, 2, 2)),
		"Conv depthwise, dilated": one(apply("Conv", "x w b", "y", onnxio.IntAttr("group", 2), ints("dilations", 2, 1),
			ints("pads", 1, 1, 1, 1)), image, 20, noise(rng, "w", 2, 1, 3, 3), noise(rng, "b", 2)),
		"Conv groups": one(apply("Conv", "x w", "y", onnxio.IntAttr("group", 2)), []int64{4, 3, 3}, 24,
			noise(rng, "w", 6, 2, 2, 2)),
		"Conv 1-D": one(apply("Conv", "x w", "y"), []int64{2, 6}, 12, noise(rng, "w", 3, 2, 3)),
		"Conv 3-D": one(apply("Conv", "x w", "y"), []int64{1, 3, 3, 2}, 8, noise(rng, "w", 2, 1, 2, 2, 2)),
		"BatchNormalization": one(apply("BatchNormalization", "x s b m v", "y"), image, 40, noise(rng, "s", 2),
			noise(rng, "b", 2), noise(rng, "m", 2), onnxio.NewTensor("v", []int64{2}, []float64{1, 2})),
		"BatchNormalization of vectors": one(apply("BatchNormalization", "x s b m v", "y"), []int64{3}, 3,
			noise(rng, "s", 3), noise(rng, "b", 3), noise(rng, "m", 3), onnxio.NewTensor("v", []int64{3}, []float64{1, 2, 3})),
		"MaxPool": one(apply("MaxPool", "x", "y", ints("kernel_shape", 2, 3), ints("strides", 1, 2),
			ints("pads", 1, 1, 0, 1)), image, 24),
		"MaxPool of a ReLU": {
			shape: image, size: 24,
			nodes: []*onnxio.Node{
				apply("Relu", "x", "a"),
				apply("MaxPool", "a", "y", ints("kernel_shape", 2, 3), ints("strides", 1, 2), ints("pads", 1, 1, 0, 1)),
			},
		},
		"MaxPool of the ReLU of a convolution": {
			shape: image, size: 12, inits: []*onnxio.Tensor{noise(rng, "w", 3, 2, 2, 2), noise(rng, "b", 3)},
			nodes: []*onnxio.Node{
				apply("Conv", "x w b", "a"), apply("Relu", "a", "r"), apply("Identity", "r", "i"),
				apply("MaxPool", "i", "y", ints("kernel_shape", 2, 2), ints("strides", 1, 2)),
			},
		},
		"a ReLU that is pooled and read": {
			shape: image, size: 48, inits: []*onnxio.Tensor{noise(rng, "w", 3, 2, 2, 2)},
			nodes: []*onnxio.Node{
				apply("Conv", "x w", "a"), apply("Relu", "a", "r"),
				apply("MaxPool", "r", "p", ints("kernel_shape", 2, 2), ints("strides", 1, 2)),
				apply("Flatten", "r", "f"), apply("Flatten", "p", "g"), apply("Concat", "f g", "y", onnxio.IntAttr("axis", 1)),
			},
		},
		"what lies in the memory of pooled values": {
			shape: image, size: 4, inits: []*onnxio.Tensor{noise(rng, "w", 8, 2, 2, 2), noise(rng, "v", 4, 8, 1, 1)},
			nodes: []*onnxio.Node{
				apply("Conv", "x w", "a"), apply("MaxPool", "a", "p", ints("kernel_shape", 2, 2), ints("strides", 2, 2)),
				apply("Relu", "p", "r"),
				apply("Conv", "r v", "b"), apply("MaxPool", "b", "q", ints("kernel_shape", 1, 2)), apply("Tanh", "q", "t"),
				apply("Add", "q t", "y"),
			},
		},
		"a branch beside a pooling": {
			shape: image, size: 54, inits: []*onnxio.Tensor{noise(rng, "w", 3, 2, 2, 2), noise(rng, "v", 3, 2, 3, 3)},
			nodes: []*onnxio.Node{
				apply("Conv", "x w", "a"), apply("MaxPool", "a", "p", ints("kernel_shape", 2, 2)), apply("Conv", "x v", "b"),
				apply("Tanh", "b", "t"),
				apply("Tanh", "p", "u"), apply("Flatten", "u", "f"), apply("Flatten", "t", "g"),
				apply("Concat", "f g", "h", onnxio.IntAttr("axis", 1)),
				apply("Sigmoid", "h", "s"), apply("Mul", "h s", "m"), apply("Concat", "m f", "y", onnxio.IntAttr("axis", 1)),
			},
		},
		"MaxPool of a ReLU with a window in the padding": {
			shape: []int64{2, 4, 5}, size: 2, opset: 17,
			nodes: []*onnxio.Node{
				apply("Relu", "x", "a"), apply("MaxPool", "a", "p", ints("kernel_shape", 1, 5), ints("pads", 1, 0, 0, 0)),
				apply("Clip", "p lo", "c"), apply("GlobalAveragePool", "c", "y"),
			},
			inits: []*onnxio.Tensor{scalarTensor("lo", -3)},
		},
		"ReLU of a convolution": {
			shape: image, size: 36, inits: []*onnxio.Tensor{noise(rng, "w", 3, 2, 2, 2)},
			nodes: []*onnxio.Node{apply("Conv", "x w", "a"), apply("Relu", "a", "y")},
		},
		"AveragePool": one(apply("AveragePool", "x", "y", ints("kernel_shape", 2, 3),
			ints("pads", 1, 1, 0, 1)), image, 40),
		"AveragePool with padding": one(apply("AveragePool", "x", "y", ints("kernel_shape", 2, 3),
			ints("pads", 1, 1, 0, 1), onnxio.IntAttr("count_include_pad", 1)), image, 40),
		"AveragePool ceil": one(apply("AveragePool", "x", "y", ints("kernel_shape", 2, 2), ints("strides", 2, 2),
			onnxio.IntAttr("ceil_mode", 1)), image, 12),
		"GlobalAveragePool": one(apply("GlobalAveragePool", "x", "y"), image, 2),
		"GlobalMaxPool":     one(apply("GlobalMaxPool", "x", "y"), image, 2),
		"LeakyRelu":         one(apply("LeakyRelu", "x", "y", onnxio.FloatAttr("alpha", 0.2)), image, 40),
		"Elu":               one(apply("Elu", "x", "y", onnxio.FloatAttr("alpha", 1.5)), image, 40),
		"Clip": one(apply("Clip", "x lo hi", "y"), image, 40, scalarTensor("lo", -0.5),
			scalarTensor("hi", 1)),
		"Clip without an upper": one(apply("Clip", "x lo", "y"), image, 40, scalarTensor("lo", -0.5)),
		"Gelu":                  {shape: image, nodes: []*onnxio.Node{apply("Gelu", "x", "y")}, size: 40, opset: 20},
		"Erf":                   one(apply("Erf", "x", "y"), image, 40),
		"Gelu tanh": {
			shape: image,
			nodes: []*onnxio.Node{apply("Gelu", "x", "y", onnxio.StringAttr("approximate", "tanh"))}, size: 40, opset: 20,
		},
		"Clip attributes": {
			shape: image,
			nodes: []*onnxio.Node{apply("Clip", "x", "y", onnxio.FloatAttr("min", -0.5),
				onnxio.FloatAttr("max", 1))}, size: 40, opset: 10,
		},
		"Add channel vector": one(apply("Add", "x c", "y"), image, 40, noise(rng, "c", 2, 1, 1)),
		"Add vector":         one(apply("Add", "c x", "y"), []int64{7}, 7, noise(rng, "c", 7)),
		"Add whole sample":   one(apply("Add", "x c", "y"), image, 40, noise(rng, "c", 1, 2, 4, 5)),
		"Add scalar":         one(apply("Add", "x c", "y"), image, 40, scalarTensor("c", 2)),
		"Sub constant":       one(apply("Sub", "x c", "y"), image, 40, noise(rng, "c", 5)),
		"Sub from constant":  one(apply("Sub", "c x", "y"), image, 40, noise(rng, "c", 4, 1)),
		"Mul channel vector": one(apply("Mul", "x c", "y"), image, 40, noise(rng, "c", 1, 2, 1, 1)),
		"Mul vector":         one(apply("Mul", "x c", "y"), []int64{7}, 7, noise(rng, "c", 7)),
		"Mul scalar":         one(apply("Mul", "c x", "y"), image, 40, scalarTensor("c", 2)),
		"Div":                one(apply("Div", "x c", "y"), image, 40, noise(rng, "c", 4, 5)),
		"Neg":                one(apply("Neg", "x", "y"), image, 40),
		"Squeeze":            one(apply("Squeeze", "x a", "y"), []int64{1, 7}, 7, integers("a", 1)),
		"Unsqueeze":          one(apply("Unsqueeze", "x a", "y"), []int64{7}, 7, integers("a", 1)),
		"Dropout":            one(apply("Dropout", "x", "y"), image, 40),
		"Identity":           one(apply("Identity", "x", "y"), image, 40),
		"Reshape by a computed size": {
			shape: image,
			nodes: []*onnxio.Node{
				apply("Shape", "x", "s"), apply("Gather", "s zero", "n"),
				apply("Concat", "n rest", "t", onnxio.IntAttr("axis", 0)), apply("Reshape", "x t", "y"),
			},
			inits: []*onnxio.Tensor{integers("zero", 0), integers("rest", 5, 8)}, size: 40,
		},
		"residual": {
			shape: image,
			nodes: []*onnxio.Node{apply("Tanh", "x", "a"), apply("Add", "x a", "y")}, size: 40,
		},
		"difference": {
			shape: image,
			nodes: []*onnxio.Node{apply("Tanh", "x", "a"), apply("Sub", "a x", "y")}, size: 40,
		},
		"gate": {
			shape: image,
			nodes: []*onnxio.Node{apply("Sigmoid", "x", "a"), apply("Mul", "x a", "y")}, size: 40,
		},
		"gate of a channel": {
			shape: image,
			nodes: []*onnxio.Node{
				apply("GlobalAveragePool", "x", "m"), apply("Sigmoid", "m", "a"),
				apply("Mul", "x a", "y"),
			}, size: 40,
		},
		"broadcast both ways": {shape: image, nodes: []*onnxio.Node{
			apply("GlobalAveragePool", "x", "m"),
			apply("Gather", "x i", "r", onnxio.IntAttr("axis", 1)), apply("Tanh", "r", "t"), apply("Sub", "m t", "d"),
			apply("Add", "d x", "y"),
		}, inits: []*onnxio.Tensor{integers("i", 1)}, size: 40},
		"a value twice": {
			shape: image,
			nodes: []*onnxio.Node{apply("Add", "x x", "a"), apply("Mul", "a a", "y")}, size: 40,
		},
		"four readers": {
			shape: image, size: 160,
			nodes: []*onnxio.Node{
				apply("Tanh", "x", "a"), apply("Sigmoid", "x", "b"), apply("Elu", "x", "c"),
				apply("Concat", "a x b c", "y", onnxio.IntAttr("axis", 2)),
			},
		},
		"a weight used twice": {
			shape: []int64{4}, size: 4, inits: []*onnxio.Tensor{noise(rng, "w", 4, 4), noise(rng, "b", 4)},
			nodes: []*onnxio.Node{
				apply("Gemm", "x w b", "a"), apply("Tanh", "a", "t"),
				apply("Gemm", "t w b", "y", onnxio.IntAttr("transB", 1)),
			},
		},
		"Concat": {
			shape: image, size: 84, inits: []*onnxio.Tensor{noise(rng, "w", 3, 2, 2, 2)},
			nodes: []*onnxio.Node{
				apply("Conv", "x w", "a"), apply("MaxPool", "x", "b", ints("kernel_shape", 2, 2)),
				apply("Concat", "a b b", "y", onnxio.IntAttr("axis", 1)),
			},
		},
	}
	sparse := func(form string, inits ...*onnxio.Tensor) sketch {
		g := one(apply("Gemm", "x s b", "y"), []int64{9}, 7, inits...)
		switch form {
		case "transB":
			g.nodes[0].Attributes = []*onnxio.Attribute{onnxio.IntAttr("transB", 1)}
			g.nodes = append([]*onnxio.Node{sparseNoise(rng, "s", 7, 9)}, g.nodes...)
			return g
		case "alpha beta":
			g.nodes[0].Attributes = []*onnxio.Attribute{onnxio.FloatAttr("alpha", 0.5), onnxio.FloatAttr("beta", -2)}
		}
		g.nodes = append([]*onnxio.Node{sparseNoise(rng, "s", 9, 7)}, g.nodes...)
		return g
	}
	cases["sparse Gemm"] = sparse("", noise(rng, "b", 7))
	cases["sparse Gemm transB"] = sparse("transB", noise(rng, "b", 7))
	cases["sparse Gemm alpha beta"] = sparse("alpha beta", noise(rng, "b", 1, 7))
	cases["sparse Gemm transB alpha beta"] = sparse("transB", noise(rng, "b", 7))
	scaled := cases["sparse Gemm transB alpha beta"].nodes[1]
	scaled.Attributes = append(scaled.Attributes, onnxio.FloatAttr("alpha", 0.5), onnxio.FloatAttr("beta", -2))
	cases["sparse MatMul of several rows"] = sketch{
		shape: []int64{3, 9}, size: 15, nodes: []*onnxio.Node{sparseNoise(rng, "s", 9, 5), apply("MatMul", "x s", "y")},
	}
	cases["a sparse weight used twice"] = sketch{
		shape: []int64{6}, size: 6, inits: []*onnxio.Tensor{noise(rng, "b", 6)},
		nodes: []*onnxio.Node{
			sparseNoise(rng, "s", 6, 6), apply("Gemm", "x s b", "a"), apply("Tanh", "a", "t"),
			apply("Gemm", "t s b", "y", onnxio.IntAttr("transB", 1)),
		},
	}
	for _, name := range []string{"Relu", "Selu", "Sigmoid", "Tanh", "Softplus", "HardSigmoid", "HardSwish"} {
		cases[name] = one(apply(name, "x", "y"), image, 40)
	}
	maps.Copy(cases, elementwiseSketches())
	maps.Copy(cases, normalizationSketches())
	maps.Copy(cases, arrangedSketches())
	maps.Copy(cases, mappedSketches())
	return cases
}

// Every operator of the registry is in a sketch.
func TestSketchesCoverTheRegistry(t *testing.T) {
	covered := map[string]bool{}
	for _, s := range sketches() {
		for _, n := range s.model(1).Graph.Nodes {
			covered[n.OpType] = true
		}
	}
	for _, c := range handCuts() {
		for _, n := range c.parts {
			covered["efcn.ranks."+n.OpType] = true
		}
	}
	for name, o := range operators {
		if !covered[name] && o.single != nil {
			t.Errorf("no sketch has the operator %s", name)
		}
	}
}

func fill[T float32 | float64](n *network[T], seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	for i := range n.x {
		n.x[i] = T(rng.NormFloat64())
	}
	for i := range n.labels {
		n.labels[i] = rng.IntN(n.classes)
	}
}

func mustNetwork[T float32 | float64](t *testing.T, m *onnxio.Model, batch int, keep bool) (*trainee[T], *network[T]) {
	t.Helper()
	tr, err := newTrainee[T](m, TrainAll)
	if err != nil {
		t.Fatal(err)
	}
	n, err := tr.network(batch, keep)
	if err != nil {
		t.Fatal(err)
	}
	return tr, n
}
