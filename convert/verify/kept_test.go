package verify_test

import (
	"context"
	"os"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// TestReduceMax: a maximum over axes that an input names, as opset 18 has it, of
// values that differ by rounding, with its levels recorded and without.
func TestReduceMax(t *testing.T) {
	b := newNetBuilder(5)
	b.m.Opsets[0].Version = 19
	b.shape = []int64{2, 5, 6}
	b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
	b.at = "x"
	b.node("Conv", []string{"x", b.random("w", 3, 2, 3, 3), b.random("bias", 3)})
	b.node("ReduceMax", []string{b.at, b.list("axes", 3, 2)}, onnxio.IntAttr("keepdims", 0))
	b.node("Gemm", []string{b.at, b.random("fc", 3, 5)})
	b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: b.at, Type: b.typeOf([]int64{5})}}
	for _, maximum := range convert.MaxPools() {
		efcn := converted(t, b.m, convert.Options{MaxPool: maximum})
		r, err := verify.Verify(context.Background(), b.m, efcn, verify.Options{Samples: 8})
		if err != nil {
			t.Fatalf("%v: %v", maximum, err)
		}
		if !r.Equal() || !r.Recorded {
			t.Errorf("%v: not equal", maximum)
			_ = r.WriteText(os.Stdout)
		}
		unrecorded(t, b.m, efcn, 5)
	}
}

// TestJoinedConstant: a Concat with a constant, such as the class token of a vision
// transformer, is kept, and what it joins is compared.
func TestJoinedConstant(t *testing.T) {
	build := func() *onnxio.Model {
		b := newNetBuilder(6)
		b.shape = []int64{2, 3, 4}
		typeOf := func(dims ...int64) onnxio.TensorType {
			v := b.typeOf(dims)
			v.Shape[0] = onnxio.Fixed(1)
			return v
		}
		b.m.Graph.Inputs[0].Type = typeOf(2, 3, 4)
		conv := b.node("Conv", []string{"x", b.random("w", 3, 2, 1, 1)})
		joined := b.node("Concat", []string{conv, b.random("token", 1, 3, 1, 4)}, onnxio.IntAttr("axis", 2))
		b.node("Conv", []string{joined, b.random("w2", 2, 3, 2, 2)})
		b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: b.at, Type: typeOf(2, 3, 3)}}
		return b.m
	}
	for _, o := range []convert.Options{{}, {Layout: record.Local, Fold: convert.FoldAll}} {
		efcn := converted(t, build(), o)
		for _, changed := range []bool{false, true} {
			if changed {
				edit(t, efcn, "token", func(v []float32, _ []int64) { ulp(v, 5) })
			}
			r, err := verify.Verify(context.Background(), build(), efcn, verify.Options{Samples: 4})
			if err != nil {
				t.Fatal(err)
			}
			if r.Equal() == changed {
				t.Errorf("%v, the constant changed %t:", o.Fold, changed)
				_ = r.WriteText(os.Stdout)
			}
		}
	}
}

// TestComputedStatistics: a BatchNormalization whose parameters are repeated by the
// batch, as PyTorch's dynamo exporter writes an InstanceNormalization with running
// statistics, is bounded with their values; a changed one is found.
func TestComputedStatistics(t *testing.T) {
	build := func() *onnxio.Model {
		b := newNetBuilder(7)
		b.shape = []int64{2, 4, 5}
		b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
		conv := b.node("Conv", []string{"x", b.random("w", 3, 2, 1, 1), b.random("bias", 3)})
		batch := b.node("Shape", []string{conv}, onnxio.IntAttr("start", 0), onnxio.IntAttr("end", 1))
		inputs := []string{b.node("Reshape", []string{conv, b.list("merged", 1, -1, 4, 5)})}
		for _, name := range []string{b.positive("scale", 3), b.random("shift", 3), b.random("mean", 3), b.positive("variance", 3)} {
			inputs = append(inputs, b.node("Tile", []string{name, batch}))
		}
		norm := b.node("BatchNormalization", inputs)
		back := b.node("Reshape", []string{norm, b.list("apart", -1, 3, 4, 5)})
		b.node("Conv", []string{back, b.random("w2", 2, 3, 2, 2)})
		b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: b.at, Type: b.typeOf([]int64{2, 3, 4})}}
		return b.m
	}
	efcn := converted(t, build(), convert.Options{})
	for _, changed := range []string{"", "scale", "variance"} {
		o := verify.Options{Samples: 4}
		if changed != "" {
			edit(t, efcn, changed, func(v []float32, _ []int64) { v[1] *= 1.001 })
			o.Skip = []string{"structure"} // the bounds have to see it by themselves
		}
		r, err := verify.Verify(context.Background(), build(), efcn, o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Equal() != (changed == "") {
			t.Errorf("changed %q:", changed)
			_ = r.WriteText(os.Stdout)
		}
	}
}

// TestStatisticsOfData: of a BatchNormalization whose scale is computed from data no
// bound is known end to end; layer by layer it is equal.
func TestStatisticsOfData(t *testing.T) {
	b := newNetBuilder(8)
	b.shape = []int64{2, 4, 5}
	b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
	conv := b.node("Conv", []string{"x", b.random("w", 3, 2, 3, 3)})
	scale := b.node("ReduceMean", []string{conv}, onnxio.IntsAttr("axes", 0, 2, 3), onnxio.IntAttr("keepdims", 0))
	b.node("BatchNormalization", []string{conv, scale, b.random("shift", 3), b.random("mean", 3), b.positive("variance", 3)})
	b.node("Relu", []string{b.at})
	b.m.Opsets[0].Version = 17
	b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: b.at, Type: onnxio.TensorType{Elem: onnxio.Float32}}}
	r, err := verify.Verify(context.Background(), b.m, converted(t, b.m, convert.Options{}), verify.Options{Samples: 4})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Layers) != 1 || r.Layers[0].Structure != verify.OK {
		t.Errorf("layers %+v", r.Layers)
	}
}
