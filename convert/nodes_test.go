package convert_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/internal/engine"
	"efcn/onnxio"
)

// TestNodes converts models of single nodes and compares the eFCN with the node
// in the engine, which the ONNX backend tests hold to the operators' pages.
// The eFCN must consist of the operators named: ops.
func TestNodes(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	ints, str, num := onnxio.IntsAttr, onnxio.StringAttr, onnxio.IntAttr
	resize := func(mode, coord, nearest string) []*onnxio.Attribute {
		return []*onnxio.Attribute{str("mode", mode), str("coordinate_transformation_mode", coord), str("nearest_mode", nearest)}
	}
	scales := func(v ...float32) *onnxio.Tensor { return onnxio.NewTensor("scales", []int64{int64(len(v))}, v) }
	tests := []struct {
		name  string
		opset int64
		in    []int64
		inits []*onnxio.Tensor
		node  *onnxio.Node
		ops   string
	}{
		{"transpose", 17, []int64{3, 4, 5}, nil, node("Transpose", "x", "y", ints("perm", 0, 2, 3, 1)), "Flatten Gather Reshape"},
		{"transpose of one channel", 17, []int64{1, 4, 5}, nil, node("Transpose", "x", "y", ints("perm", 0, 2, 3, 1)), "Flatten Reshape"},
		{"transpose that moves the batch", 17, []int64{3, 4}, nil, node("Transpose", "x", "y"), "Transpose"},
		{"slice", 17, []int64{3, 6, 5}, []*onnxio.Tensor{list("s", 1, -1), list("e", 100, 0), list("a", 1, -1), list("st", 1, -2)}, node("Slice", "x s e a st", "y"), "Flatten Gather Reshape"},
		{"slice by attributes", 9, []int64{3, 6, 5}, nil, node("Slice", "x", "y", ints("starts", 0, 2), ints("ends", 2, -1), ints("axes", 1, 2)), "Flatten Gather Reshape"},
		{"slice of the batch", 17, []int64{3}, []*onnxio.Tensor{list("s", 0), list("e", 1), list("a", 0)}, node("Slice", "x s e a", "y"), "Slice"},
		{"split", 13, []int64{7, 2}, []*onnxio.Tensor{list("sizes", 3, 4)}, node("Split", "x sizes", "y z", num("axis", 1)), "Flatten Gather Gather Reshape Reshape"},
		{"split of the last axis by attribute", 11, []int64{2, 6}, nil, node("Split", "x", "y z", num("axis", -1)), "Flatten Gather Gather Reshape Reshape"},
		{"depth to space, DCR", 13, []int64{8, 2, 3}, nil, node("DepthToSpace", "x", "y", num("blocksize", 2)), "Flatten Gather Reshape"},
		{"depth to space, CRD", 13, []int64{12, 2, 3}, nil, node("DepthToSpace", "x", "y", num("blocksize", 2), str("mode", "CRD")), "Flatten Gather Reshape"},
		{"space to depth", 13, []int64{2, 4, 6}, nil, node("SpaceToDepth", "x", "y", num("blocksize", 2)), "Flatten Gather Reshape"},
		{"pad with a constant", 13, []int64{2, 3, 4}, []*onnxio.Tensor{list("p", 0, 1, 0, 2, 0, 0, 1, -1), onnxio.NewTensor("v", nil, []float32{7})}, node("Pad", "x p v", "y"), "Flatten Pad Gather Reshape"},
		{"pad by attributes", 10, []int64{2, 3, 4}, nil, node("Pad", "x", "y", ints("pads", 0, 0, 1, 1, 0, 0, 2, 0), onnxio.FloatAttr("value", -2)), "Flatten Pad Gather Reshape"},
		{"pad by reflection", 13, []int64{2, 4, 4}, []*onnxio.Tensor{list("p", 0, 0, 3, 1, 0, 0, 2, 3)}, node("Pad", "x p", "y", str("mode", "reflect")), "Flatten Gather Reshape"},
		{"pad by the edge", 18, []int64{2, 3, 4}, []*onnxio.Tensor{list("p", 2, 1, 0, 3), list("axes", 2, -1)}, node("Pad", "x p  axes", "y", str("mode", "edge")), "Flatten Gather Reshape"},
		{"pad around", 19, []int64{2, 3, 4}, []*onnxio.Tensor{list("p", 0, 0, 2, 1, 0, 0, 1, 3)}, node("Pad", "x p", "y", str("mode", "wrap")), "Flatten Gather Reshape"},
		{"flatten at another axis", 13, []int64{2, 3}, nil, node("Flatten", "x", "y", num("axis", 2)), "Flatten"},
		{"nearest, twice", 13, []int64{2, 3, 4}, []*onnxio.Tensor{scales(1, 1, 2, 2)}, node("Resize", "x  scales", "y", resize("nearest", "asymmetric", "floor")...), "Flatten Gather Reshape"},
		{"nearest, smaller", 18, []int64{2, 7, 5}, []*onnxio.Tensor{list("sizes", 3, 3)}, node("Resize", "x   sizes", "y", append(resize("nearest", "half_pixel", "round_prefer_ceil"), ints("axes", 2, 3))...), "Flatten Gather Reshape"},
		{"nearest, factor 1.6", 13, []int64{2, 7, 5}, []*onnxio.Tensor{scales(1, 1, 1.6, 0.7)}, node("Resize", "x  scales", "y", resize("nearest", "half_pixel", "round_prefer_floor")...), "Flatten Gather Reshape"},
		{"linear, twice", 13, []int64{2, 3, 4}, []*onnxio.Tensor{scales(1, 1, 2, 2)}, node("Resize", "x  scales", "y", resize("linear", "half_pixel", "floor")...), "Flatten Gemm Reshape"},
		{"linear, aligned corners", 13, []int64{2, 3, 4}, []*onnxio.Tensor{scales(1, 1, 3, 1.5)}, node("Resize", "x  scales", "y", resize("linear", "align_corners", "floor")...), "Flatten Gemm Reshape"},
		{"linear, PyTorch", 13, []int64{2, 5, 4}, []*onnxio.Tensor{scales(1, 1, 0.7, 1.5)}, node("Resize", "x  scales", "y", resize("linear", "pytorch_half_pixel", "floor")...), "Flatten Gemm Reshape"},
		{"linear, PyTorch, to one row", 13, []int64{2, 3, 4}, []*onnxio.Tensor{scales(1, 1, 0.4, 1.5)}, node("Resize", "x  scales", "y", resize("linear", "pytorch_half_pixel", "floor")...), "Resize"},
		{"linear, symmetric, by a factor that float32 rounds", 19, []int64{2, 5, 4}, []*onnxio.Tensor{scales(1, 1, 0.6, 1.5)}, node("Resize", "x  scales", "y", resize("linear", "half_pixel_symmetric", "floor")...), "Flatten Gemm Reshape"},
		{"linear, as TensorFlow once did, one axis untouched", 11, []int64{2, 3, 4}, []*onnxio.Tensor{scales(1, 1, 1, 1.5), onnxio.NewTensor("roi", []int64{0}, []float32{})}, node("Resize", "x roi scales", "y", resize("linear", "tf_half_pixel_for_nn", "floor")...), "Flatten Gemm Reshape"},
		{"nearest, where only rounding moves a coordinate off the middle", 18, []int64{2, 7}, []*onnxio.Tensor{list("sizes", 4)}, node("Resize", "x   sizes", "y", append(resize("nearest", "asymmetric", "round_prefer_ceil"), ints("axes", 2))...), "Resize"},
		{"nearest, where float32 and float64 differ", 18, []int64{2, 7}, []*onnxio.Tensor{list("sizes", 9)}, node("Resize", "x   sizes", "y", append(resize("nearest", "half_pixel", "floor"), ints("axes", 2))...), "Resize"},
		{"nearest, symmetric about a pixel, which ONNX Runtime misses by a rounding", 19, []int64{2, 5}, []*onnxio.Tensor{scales(1, 1, 0.6)}, node("Resize", "x  scales", "y", resize("nearest", "half_pixel_symmetric", "floor")...), "Resize"},
		{"nearest, aligned at corners by a factor that float32 rounds", 19, []int64{2, 5}, []*onnxio.Tensor{scales(1, 1, 0.6)}, node("Resize", "x  scales", "y", resize("nearest", "align_corners", "floor")...), "Resize"},
		{"linear, by a factor that changes no length, where ONNX Runtime copies", 19, []int64{2, 3}, []*onnxio.Tensor{scales(1, 1, 1.3)}, node("Resize", "x  scales", "y", resize("linear", "half_pixel", "floor")...), "Resize"},
		{"nearest, exactly in the middle", 18, []int64{2, 3}, []*onnxio.Tensor{list("sizes", 6)}, node("Resize", "x   sizes", "y", append(resize("nearest", "asymmetric", "round_prefer_ceil"), ints("axes", 2))...), "Flatten Gather Reshape"},
		{"cubic", 13, []int64{2, 3, 4}, []*onnxio.Tensor{scales(1, 1, 2, 2)}, node("Resize", "x  scales", "y", resize("cubic", "half_pixel", "floor")...), "Resize"},
		{"upsample", 9, []int64{2, 3, 4}, []*onnxio.Tensor{scales(1, 1, 3, 2)}, node("Upsample", "x scales", "y", str("mode", "nearest")), "Flatten Gather Reshape"},
		{"nearest before opset 11, one axis smaller", 10, []int64{2, 7, 5}, []*onnxio.Tensor{scales(1, 1, 0.7, 1.5)}, node("Resize", "x scales", "y"), "Flatten Gather Reshape"},
		{"linear before opset 11, smaller", 10, []int64{2, 7, 5}, []*onnxio.Tensor{scales(1, 1, 0.6, 0.7)}, node("Resize", "x scales", "y", str("mode", "linear")), "Flatten Gemm Reshape"},
		{"maximum of a window larger than the image", 13, []int64{2, 2, 2}, nil, node("MaxPool", "x", "y", ints("kernel_shape", 3, 3), ints("strides", 2, 2), num("ceil_mode", 1)), "MaxPool"},
		{"mean of a window larger than the image", 13, []int64{2, 2, 2}, nil, node("AveragePool", "x", "y", ints("kernel_shape", 3, 3), ints("strides", 2, 2), num("ceil_mode", 1)), "Flatten Gemm Reshape"},
		{"upsample, linear", 9, []int64{2, 3, 4}, []*onnxio.Tensor{scales(1, 1, 2, 2)}, node("Upsample", "x scales", "y", str("mode", "linear")), "Flatten Gemm Reshape"},
		{"transposed convolution", 13, []int64{4, 3, 5}, []*onnxio.Tensor{floats("w", rng, 4, 3, 3, 2), floats("b", rng, 6)}, node("ConvTranspose", "x w b", "y", num("group", 2), ints("strides", 2, 3), ints("pads", 1, 0, 0, 1), ints("output_padding", 1, 2), ints("dilations", 2, 1)), "Flatten Gemm Reshape"},
		{"transposed convolution to a shape", 13, []int64{2, 4}, []*onnxio.Tensor{floats("w", rng, 2, 3, 4)}, node("ConvTranspose", "x w", "y", ints("strides", 2), ints("output_shape", 9)), "Flatten Gemm Reshape"},
		{"mean of one axis", 13, []int64{3, 4, 5}, nil, node("ReduceMean", "x", "y", ints("axes", -1), num("keepdims", 0)), "Flatten Gemm Reshape"},
		{"mean of two axes", 18, []int64{3, 4, 5, 2}, []*onnxio.Tensor{list("a", 2, -1)}, node("ReduceMean", "x a", "y"), "Flatten Gemm Reshape"},
		{"mean of channels and columns", 13, []int64{3, 4, 5}, nil, node("ReduceMean", "x", "y", ints("axes", 3, 1)), "Flatten Gemm Reshape"},
		{"mean of all but the batch", 13, []int64{3, 4}, nil, node("ReduceMean", "x", "y", ints("axes", 1, 2), num("keepdims", 0)), "Flatten Gemm Reshape"},
		{"sum of rows", 11, []int64{3, 4, 5}, nil, node("ReduceSum", "x", "y", ints("axes", 2), num("keepdims", 0)), "Flatten Gemm Reshape"},
		{"sum of channels", 13, []int64{3, 4}, []*onnxio.Tensor{list("a", 1)}, node("ReduceSum", "x a", "y"), "Flatten Gemm Reshape"},
		{"sum of a vector", 13, []int64{6}, []*onnxio.Tensor{list("a", 1)}, node("ReduceSum", "x a", "y"), "Gemm"},
		{"sum of nothing", 13, []int64{6}, nil, node("ReduceSum", "x", "y", num("noop_with_empty_axes", 1)), "ReduceSum"},
		{"norm", 13, []int64{3, 4}, nil, node("LpPool", "x", "y", ints("kernel_shape", 2)), "LpPool"},
		{"squeeze-excite", 13, []int64{3, 4, 4}, []*onnxio.Tensor{floats("w", rng, 3, 1, 1)}, node("Mul", "x w", "y"), "Flatten Mul Reshape"},
		{"prelu", 13, []int64{3, 4, 4}, []*onnxio.Tensor{floats("w", rng, 3, 1, 1)}, node("PRelu", "x w", "y"), "Flatten PRelu Reshape"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cnn := small(test.opset, test.in, test.inits, test.node)
			efcn := written(t, cnn, convert.Options{})
			if got := strings.Join(ops(efcn), " "); got != test.ops {
				t.Errorf("operators %s, want %s", got, test.ops)
			}
			x := &engine.Tensor[float64]{Type: onnxio.Float32, Shape: []int{3}}
			size := 3
			for _, d := range test.in {
				x.Shape = append(x.Shape, int(d))
				size *= int(d)
			}
			for range size {
				x.F = append(x.F, float64(float32(rng.NormFloat64())))
			}
			want, got := run(t, cnn, x), run(t, efcn, x)
			for name := range want {
				checkSame(t, got[name], want[name])
			}
		})
	}
}

// TestJoins converts graphs in which branches part and meet.
func TestJoins(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 10))
	conv := func(in, out string) *onnxio.Node {
		return node("Conv", in+" w", out, onnxio.IntsAttr("pads", 1, 1, 1, 1))
	}
	weights := []*onnxio.Tensor{floats("w", rng, 3, 3, 3, 3)}
	tests := []struct {
		name  string
		nodes []*onnxio.Node
		ops   string
	}{
		{"residual", []*onnxio.Node{conv("x", "a"), node("Add", "a x", "y")}, "Flatten Gemm Add Reshape"},
		{"concatenated channels", []*onnxio.Node{conv("x", "a"), node("Concat", "a x", "y", onnxio.IntAttr("axis", 1))}, "Flatten Gemm Concat Reshape"},
		{"concatenated rows", []*onnxio.Node{conv("x", "a"), node("Concat", "a x", "y", onnxio.IntAttr("axis", -2))}, "Flatten Gemm Concat Gather Reshape"},
		{"squeeze and excite", []*onnxio.Node{
			node("GlobalAveragePool", "x", "s"), node("Conv", "s v", "e"), node("Sigmoid", "e", "g"), node("Mul", "x g", "m"), conv("m", "y"),
		}, "Flatten Gemm Gemm Sigmoid Reshape Mul Flatten Gemm Reshape"},
		{"shuffle", []*onnxio.Node{
			conv("x", "a"), node("Reshape", "a five", "b"), node("Transpose", "b", "c", onnxio.IntsAttr("perm", 0, 2, 1, 3, 4)), node("Reshape", "c four", "d"), node("Relu", "d", "y"),
		}, "Flatten Gemm Relu Reshape"},
		{"one convolution twice", []*onnxio.Node{conv("x", "a"), node("Relu", "a", "b"), conv("b", "y")}, "Flatten Gemm Relu Gemm Reshape"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inits := append([]*onnxio.Tensor{list("five", 0, 3, 1, 4, 5), list("four", -1, 3, 4, 5), floats("v", rng, 3, 3, 1, 1)}, weights...)
			cnn := small(17, []int64{3, 4, 5}, inits, test.nodes...)
			efcn := written(t, cnn, convert.Options{})
			if got := strings.Join(ops(efcn), " "); got != test.ops {
				t.Errorf("operators %s, want %s", got, test.ops)
			}
			x := &engine.Tensor[float64]{Type: onnxio.Float32, Shape: []int{2, 3, 4, 5}}
			for range 120 {
				x.F = append(x.F, rng.NormFloat64())
			}
			want, got := run(t, cnn, x), run(t, efcn, x)
			for name := range want {
				checkSame(t, got[name], want[name])
			}
		})
	}
}

// TestDroppedWindow converts poolings with ceil_mode whose last window starts
// in the padding: declared as exporters do, with that window.
func TestDroppedWindow(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 13))
	for _, op := range []string{"MaxPool", "AveragePool"} {
		pool := node(op, "x", "p", onnxio.IntsAttr("kernel_shape", 2, 2), onnxio.IntsAttr("strides", 2, 2),
			onnxio.IntsAttr("pads", 1, 1, 1, 1), onnxio.IntAttr("ceil_mode", 1))
		cnn := small(17, []int64{4, 3, 5}, nil, pool, node("Relu", "p", "y"))
		cnn.Graph.Outputs[0].Type = onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{
			onnxio.Symbol("N"), onnxio.Fixed(4), onnxio.Fixed(3), onnxio.Fixed(4),
		}}
		efcn := written(t, cnn, convert.Options{Layout: record.Keep})
		x := randomInput(rng, 2, []int64{4, 3, 5})
		want, got := run(t, cnn, x)["y"], run(t, efcn, x)["y"]
		checkSame(t, got, want)
		for _, n := range efcn.Graph.Nodes {
			if n.OpType != op {
				continue
			}
			pads, _ := n.Ints("pads")
			if n.Attr("ceil_mode") != nil || !slices.Equal(pads, []int64{1, 1, 0, 0}) {
				t.Errorf("%s has pads %v and ceil_mode %v, want [1 1 0 0] and none", op, pads, n.Attr("ceil_mode"))
			}
		}
		if shape := efcn.Graph.Outputs[0].Type.Shape; shape[2].Value != int64(want.Shape[2]) || shape[3].Value != int64(want.Shape[3]) {
			t.Errorf("%s: the output is declared %v, and has shape %v", op, shape, want.Shape)
		}
	}
}

// TestQuantized converts a convolution behind operators that only carry its
// weights and inputs as integers.
func TestQuantized(t *testing.T) {
	rng := rand.New(rand.NewPCG(14, 14))
	inits := []*onnxio.Tensor{
		onnxio.NewTensor("scale", nil, []float32{0.1}), onnxio.NewTensor("zero", nil, []uint8{128}), floats("w", rng, 2, 3, 3, 3),
	}
	cnn := small(17, []int64{3, 5, 5}, inits, node("QuantizeLinear", "x scale zero", "q"), node("DequantizeLinear", "q scale zero", "d"), node("Conv", "d w", "y"))
	efcn := written(t, cnn, convert.Options{})
	if got := strings.Join(ops(efcn), " "); got != "QuantizeLinear DequantizeLinear Flatten Gemm Reshape" {
		t.Errorf("operators %s", got)
	}
	x := randomInput(rng, 2, []int64{3, 5, 5})
	checkSame(t, run(t, efcn, x)["y"], run(t, cnn, x)["y"])
}

// TestPadAroundCut: what a runtime wraps around to where the other side is cut off
// is not said, so the node stays what it is.
func TestPadAroundCut(t *testing.T) {
	for _, pads := range [][]int64{{0, 0, 2, 0, 0, -1}, {0, -1, 0, 0, 1, 2}} {
		cnn := small(19, []int64{4, 5}, []*onnxio.Tensor{list("p", pads...)}, node("Pad", "x p", "y", onnxio.StringAttr("mode", "wrap")))
		plan, err := convert.NewPlan(cnn, convert.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Kept) != 1 || !strings.Contains(plan.Kept[0].Why, "different things to different runtimes") {
			t.Errorf("pads %v: kept %+v", pads, plan.Kept)
		}
	}
}

// TestWrongDeclaration: a shape that the model declares wrongly is left out with a
// warning, and the inferred one written; Strict refuses it.
func TestWrongDeclaration(t *testing.T) {
	build := func() *onnxio.Model {
		m := small(17, []int64{2, 4, 4}, []*onnxio.Tensor{floats("w", rand.New(rand.NewPCG(1, 2)), 3, 2, 3, 3)}, node("Conv", "x w", "y"))
		m.Graph.Outputs[0].Type = onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Symbol("N"), onnxio.Fixed(3), onnxio.Fixed(7), onnxio.Fixed(7)}}
		return m
	}
	const want = `output "y" has shape [N,3,2,2], but the model declares [N,3,7,7]`
	plan, err := convert.NewPlan(build(), convert.Options{})
	if err != nil || len(plan.Warnings) != 1 || !strings.Contains(plan.Warnings[0], want) || len(plan.Layers) != 1 {
		t.Fatalf("%v, %+v", err, plan)
	}
	if got := written(t, build(), convert.Options{}).Graph.Outputs[0].Type.Shape; got[2] != onnxio.Fixed(2) || got[3] != onnxio.Fixed(2) {
		t.Errorf("the eFCN declares %v", got)
	}
	if _, err := convert.NewPlan(build(), convert.Options{Strict: true}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("strict: %v", err)
	}
}

// TestOneBatch: inputs whose batches have a name each, as tf2onnx writes them, have
// one batch, and keep their names.
func TestOneBatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	m := small(17, []int64{2, 4, 4}, []*onnxio.Tensor{floats("w", rng, 3, 2, 3, 3), floats("v", rng, 3, 2, 3, 3)},
		node("Conv", "x w", "a"), node("Conv", "z v", "b"), node("Add", "a b", "y"))
	second := *m.Graph.Inputs[0]
	second.Name, second.Type.Shape = "z", slices.Clone(second.Type.Shape)
	second.Type.Shape[0] = onnxio.Symbol("unk__2")
	m.Graph.Inputs = append(m.Graph.Inputs, &second)
	efcn := written(t, m, convert.Options{})
	if got := strings.Join(ops(efcn), " "); got != "Flatten Gemm Flatten Gemm Add Reshape" {
		t.Errorf("operators %s", got)
	}
	for i, v := range m.Graph.Inputs {
		if got := efcn.Graph.Inputs[i]; got.Name != v.Name || got.Type.Shape[0] != v.Type.Shape[0] {
			t.Errorf("input %d is %q %v", i, got.Name, got.Type.Shape)
		}
	}
	report, err := verify.Verify(t.Context(), m, efcn, verify.Options{Samples: 4})
	if err != nil || !report.Equal() {
		t.Errorf("%v, %+v", err, report)
	}
}

// TestRefuses gives models that are not to be converted.
func TestRefuses(t *testing.T) {
	conv := func() *onnxio.Model {
		return small(17, []int64{1, 4, 4}, []*onnxio.Tensor{floats("w", rand.New(rand.NewPCG(1, 1)), 1, 1, 3, 3)}, node("Conv", "x w", "y"))
	}
	tests := []struct {
		name string
		edit func(m *onnxio.Model)
		want string
	}{
		{"an eFCN", func(m *onnxio.Model) { m.SetMeta(record.Key, `{"version":1,"layers":[]}`) }, "it is an eFCN already"},
		{"a record of a later version", func(m *onnxio.Model) { m.SetMeta(record.Key, `{"version":99}`) }, "version 99"},
		{"no outputs", func(m *onnxio.Model) { m.Graph.Outputs = nil }, "the graph has no outputs"},
		{"a scalar input", func(m *onnxio.Model) {
			m.Graph.Inputs = []*onnxio.ValueInfo{{Name: "x", Type: onnxio.TensorType{Elem: onnxio.Float32, HasShape: true}}}
			m.Graph.Nodes = []*onnxio.Node{node("Relu", "x", "y")}
			m.Graph.Outputs[0].Type = onnxio.TensorType{Elem: onnxio.Float32}
		}, `input "x": it is a scalar`},
		{"one fault of a folded normalisation, said once", func(m *onnxio.Model) {
			bn := node("BatchNormalization", "y a a a a", "z", onnxio.IntAttr("training_mode", 1))
			m.Graph.Nodes = append(m.Graph.Nodes, bn)
			m.Graph.Initializers = append(m.Graph.Initializers, onnxio.NewTensor("a", []int64{1}, []float32{1}))
			m.Graph.Outputs[0].Name = "z"
		}, `node "batchnormalization" (BatchNormalization): training_mode 1: statistics of the batch are not linear; export the model in evaluation mode`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := conv()
			test.edit(m)
			_, err := convert.NewPlan(m, convert.Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, test.want)
			}
			if err != nil && strings.Count(err.Error(), "training_mode") > 1 {
				t.Errorf("error %v says it twice", err)
			}
		})
	}
}
