package convert_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/internal/engine"
	"efcn/onnxio"
)

// wholeInput is a batch of n tensors of small whole numbers, on which the
// differences and sums of a maximum are exact.
func wholeInput(rng *rand.Rand, n int, dims []int64) *engine.Tensor[float64] {
	x := randomInput(rng, n, dims)
	for i := range x.F {
		x.F[i] = float64(rng.IntN(2001) - 1000)
	}
	return x
}

// checkEqual compares two outputs exactly.
func checkEqual(t *testing.T, got, want *engine.Tensor[float64]) {
	t.Helper()
	if !slices.Equal(got.Shape, want.Shape) || !slices.Equal(got.F, want.F) {
		t.Errorf("shape %v, want %v; values equal: %v", got.Shape, want.Shape, slices.Equal(got.F, want.F))
	}
}

// TestMaxPoolRelu writes random poolings with and without a Relu before them as
// matrices and Relu, in every layout, and runs them on whole numbers: exactly the
// maxima have to come out.
func TestMaxPoolRelu(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 41))
	for i := range 120 {
		axes := 1 + rng.IntN(3)
		in := []int64{1 + rng.Int64N(3)}
		attrs := map[string][]int64{"pads": make([]int64, 2*axes)}
		for axis := range axes {
			k, d := 1+rng.Int64N(4), 1+rng.Int64N(2)
			begin, end := rng.Int64N(k), rng.Int64N(k)
			in = append(in, max(1, (k-1)*d+1-begin-end)+rng.Int64N(5))
			attrs["kernel_shape"] = append(attrs["kernel_shape"], k)
			attrs["dilations"] = append(attrs["dilations"], d)
			attrs["strides"] = append(attrs["strides"], 1+rng.Int64N(3))
			attrs["pads"][axis], attrs["pads"][axes+axis] = begin, end
		}
		ceil := rng.Int64N(2)
		pool := node("MaxPool", "a", "y", onnxio.IntAttr("ceil_mode", ceil), onnxio.IntAttr("storage_order", rng.Int64N(2)))
		switch rng.IntN(4) {
		case 0:
			pool.Attributes = append(pool.Attributes[1:], onnxio.StringAttr("auto_pad", []string{"SAME_UPPER", "SAME_LOWER", "VALID"}[rng.IntN(3)]))
			delete(attrs, "pads")
			attrs["dilations"] = slices.Repeat([]int64{1}, axes)
		case 1:
			pool.Outputs = append(pool.Outputs, "indices") // which nothing reads
		}
		for name, v := range attrs {
			pool.Attributes = append(pool.Attributes, onnxio.IntsAttr(name, v...))
		}
		first := node("Identity", "x", "a")
		positive := rng.IntN(2) == 0
		if positive {
			first = node("Relu", "x", "a")
		}
		cnn := small(22, in, nil, first, pool)
		cnn.Graph.Outputs = cnn.Graph.Outputs[:1]
		plan, err := convert.NewPlan(cnn, convert.Options{MaxPool: convert.MaxPoolRelu})
		if err != nil {
			if strings.Contains(err.Error(), "has no cell of the input") || strings.Contains(err.Error(), "larger than the padded input") {
				continue
			}
			t.Fatal(err)
		}
		x := wholeInput(rng, 2, in)
		want := run(t, cnn, x)["y"]
		efcn := written(t, cnn, convert.Options{MaxPool: convert.MaxPoolRelu, Layout: layouts[i%4], Fold: convert.Folds()[i/3%3]})
		name := fmt.Sprintf("%v of %v, %v, positive %v", pool.Attributes, in, layouts[i%4], positive)
		t.Run(name, func(t *testing.T) {
			checkEqual(t, run(t, efcn, x)["y"], want)
		})
		relus := 0
		for _, op := range ops(efcn) {
			if op == "Relu" {
				relus++
			}
			if op == "MaxPool" {
				t.Errorf("%s: it is kept", name)
			}
		}
		if positive {
			relus--
		}
		// As many levels as the windows can be halved, axis by axis.
		levels := 0
		for axis, k := range attrs["kernel_shape"] {
			for n := widest(in[axis+1], want.Shape[axis+2], k, attrs, axis, pool); n > 1; n = (n + 1) / 2 {
				levels++
			}
		}
		if relus != levels || len(plan.Layers) > 0 && len(plan.Layers) != levels+1 {
			t.Errorf("%s: %d Relu and %d layers, want %d levels", name, relus, len(plan.Layers), levels)
		}
	}
}

// widest returns the most cells of the input that a window along an axis has.
func widest(in int64, out int, k int64, attrs map[string][]int64, axis int, pool *onnxio.Node) int64 {
	begin := int64(0)
	if pads := attrs["pads"]; pads != nil {
		begin = pads[axis]
	} else if mode, _ := pool.String("auto_pad", ""); mode != "VALID" {
		total := max(0, (int64(out)-1)*attrs["strides"][axis]+k-in)
		if begin = total / 2; mode == "SAME_LOWER" {
			begin = total - total/2
		}
	}
	most := int64(0)
	for p := range int64(out) {
		n := int64(0)
		for tap := range k {
			if q := p*attrs["strides"][axis] + tap*attrs["dilations"][axis] - begin; q >= 0 && q < in {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// TestMaxima writes the other operators that take maxima, and graphs around them.
func TestMaxima(t *testing.T) {
	rng := rand.New(rand.NewPCG(42, 42))
	ints, num := onnxio.IntsAttr, onnxio.IntAttr
	pool := func(in, out string, k int64) *onnxio.Node {
		n := node("MaxPool", in, out, ints("kernel_shape", k, k), ints("strides", 2, 2))
		n.Name = "pool_" + out
		return n
	}
	conv := node("Conv", "x w", "c", ints("pads", 1, 1, 1, 1))
	tests := []struct {
		name  string
		nodes []*onnxio.Node
		fold  convert.Fold
		ops   string
		units string // of each level
	}{
		{"global", []*onnxio.Node{node("GlobalMaxPool", "x", "y")}, "", "Flatten Gemm Relu Gemm Relu Gemm Relu Gemm Relu Gemm Relu Gemm Reshape", ""},
		{"over the last axis", []*onnxio.Node{node("ReduceMax", "x axes", "y", num("keepdims", 0))}, "", "Flatten Gemm Relu Gemm Relu Gemm Relu Gemm Reshape", "96 60 36 12"},
		{"over channels", []*onnxio.Node{node("Relu", "x", "r"), node("ReduceMax", "r channels", "y")}, "", "Flatten Relu Gemm Relu Gemm Reshape", "48 24"},
		{"after a Relu", []*onnxio.Node{node("Relu", "x", "r"), pool("r", "y", 2)}, "", "Flatten Relu Gemm Relu Gemm Relu Gemm Reshape", "48 24 12"},
		{"without one", []*onnxio.Node{pool("x", "y", 2)}, "", "Flatten Gemm Relu Gemm Relu Gemm Reshape", "72 36 12"},
		{"after a Clip and a selection", []*onnxio.Node{node("Clip", "x zero", "a"), node("Transpose", "a", "r", ints("perm", 0, 1, 3, 2)), pool("r", "y", 2)}, "", "Flatten Clip Gather Gemm Relu Gemm Relu Gemm Reshape", "48 24 12"},
		{"after a Clip whose max is less than its min", []*onnxio.Node{node("Clip", "x zero minus", "r"), pool("r", "y", 2)}, "", "Flatten Clip Gemm Relu Gemm Relu Gemm Reshape", "72 36 12"},
		{"after a Clip that may be negative", []*onnxio.Node{node("Clip", "x", "r"), pool("r", "y", 2)}, "", "Flatten Clip Gemm Relu Gemm Relu Gemm Reshape", "72 36 12"},
		{"two, the first of positives", []*onnxio.Node{node("Relu", "x", "r"), pool("r", "a", 2), node("MaxPool", "a", "y", ints("kernel_shape", 2, 1))}, "", "Flatten Relu Gemm Relu Gemm Relu Gemm Gemm Relu Gemm Reshape", "48 24 12 12 6"},
		{"two, folded", []*onnxio.Node{node("Relu", "x", "r"), pool("r", "a", 2), node("MaxPool", "a", "y", ints("kernel_shape", 2, 1))}, convert.FoldAll, "Flatten Relu Gemm Relu Gemm Relu Gemm Relu Gemm Reshape", ""},
		{"strides only", []*onnxio.Node{pool("x", "y", 1)}, "", "Flatten Gather Reshape", ""},
		{"nothing at all", []*onnxio.Node{node("MaxPool", "x", "a", ints("kernel_shape", 1, 1)), node("Relu", "a", "y")}, "", "Flatten Relu Reshape", ""},
		{"between layers", []*onnxio.Node{conv, node("Relu", "c", "r"), pool("r", "a", 2), node("Conv", "a w", "y", ints("pads", 1, 1, 1, 1))}, convert.FoldAll, "Flatten Gemm Relu Gemm Relu Gemm Relu Gemm Reshape", ""},
		{"right behind a layer", []*onnxio.Node{conv, pool("c", "y", 2)}, convert.FoldAll, "Flatten Gemm Relu Gemm Relu Gemm Reshape", ""},
		{"of overlapping windows", []*onnxio.Node{node("Relu", "x", "r"), node("MaxPool", "r", "y", ints("kernel_shape", 1, 3), ints("strides", 1, 2))}, "", "Flatten Relu Gemm Relu Gemm Relu Gemm Reshape", "72 48 24"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := []int64{2, 4, 6}
			if test.units == "96 60 36 12" || strings.HasPrefix(test.name, "of over") {
				in = []int64{3, 4, 5}
			}
			w := floats("w", rng, in[0], in[0], 3, 3)
			for i, v := 0, mustFloats(t, w); i < len(v); i++ {
				v[i] = float32(rng.IntN(9) - 4)
				w = onnxio.NewTensor("w", w.Dims, v)
			}
			inits := []*onnxio.Tensor{w, list("axes", -1), list("channels", 1), onnxio.NewTensor("zero", nil, []float32{0}), onnxio.NewTensor("minus", nil, []float32{-1})}
			cnn := small(22, in, inits, test.nodes...)
			o := convert.Options{MaxPool: convert.MaxPoolRelu, Fold: test.fold}
			plan, err := convert.NewPlan(cnn, o)
			if err != nil {
				t.Fatal(err)
			}
			efcn := written(t, cnn, o)
			if got := strings.Join(ops(efcn), " "); got != test.ops {
				t.Errorf("operators %s, want %s", got, test.ops)
			}
			var units []string
			for _, l := range plan.Layers {
				units = append(units, fmt.Sprint(l.Rows))
			}
			if got := strings.Join(units, " "); test.units != "" && got != test.units {
				t.Errorf("levels of %s units, want %s", got, test.units)
			}
			x := wholeInput(rng, 2, in)
			checkEqual(t, run(t, efcn, x)["y"], run(t, cnn, x)["y"])
		})
	}
}

func mustFloats(t *testing.T, tensor *onnxio.Tensor) []float32 {
	t.Helper()
	v, err := onnxio.Floats[float32](tensor)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(v)
}

// TestMaxPoolRefuses gives nodes that cannot be written so.
func TestMaxPoolRefuses(t *testing.T) {
	ints := onnxio.IntsAttr
	tests := []struct {
		name string
		in   []int64
		node *onnxio.Node
		edit func(m *onnxio.Model)
		want string
	}{
		{"indices", []int64{1, 4, 4}, node("MaxPool", "x", "y i", ints("kernel_shape", 2, 2)), nil, `its output of indices, "i", is used`},
		{"a window in the padding", []int64{1, 2}, node("MaxPool", "x", "y", ints("kernel_shape", 1), ints("pads", 1, 1)), nil, "window 0 along axis 2 has no cell of the input"},
		{"the batch", []int64{3}, node("ReduceMax", "x", "y", ints("axes", 0)), nil, `"y" has no batch axis in front`},
		{"a batch of one", []int64{3}, node("ReduceMax", "x", "y", ints("axes", 0)), func(m *onnxio.Model) { m.Graph.Inputs[0].Type.Shape[0] = onnxio.Fixed(1) }, "it works along the batch axis"},
		{"all axes", []int64{3}, node("ReduceMax", "x", "y"), func(m *onnxio.Model) { m.Graph.Inputs[0].Type.Shape[0] = onnxio.Fixed(1) }, "without axes it works along the batch axis"},
		{"half precision", []int64{1, 4}, node("MaxPool", "x", "y", ints("kernel_shape", 2)), func(m *onnxio.Model) {
			m.Graph.Inputs[0].Type.Elem, m.Graph.Outputs[0].Type.Elem = onnxio.Float16, onnxio.Float16
		}, "float16 data"},
		{"open shape", []int64{1, 4}, node("MaxPool", "x", "y", ints("kernel_shape", 2)), func(m *onnxio.Model) {
			m.Graph.Inputs[0].Type.Shape = nil
			m.Graph.Inputs[0].Type.HasShape = false
		}, `input "x": its shape is not known`},
		{"no kernel", []int64{1, 4}, node("MaxPool", "x", "y"), nil, "kernel_shape"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cnn := small(13, test.in, nil, test.node)
			if len(test.node.Outputs) > 1 {
				cnn.Graph.Outputs[1].Type.Elem = onnxio.Int64
			}
			if test.edit != nil {
				test.edit(cnn)
			}
			_, err := convert.NewPlan(cnn, convert.Options{MaxPool: convert.MaxPoolRelu})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, test.want)
			}
		})
	}
	if _, err := convert.NewPlan(small(13, []int64{1}, nil, node("Relu", "x", "y")), convert.Options{MaxPool: "tree"}); err == nil || !strings.Contains(err.Error(), `maxpool "tree"`) {
		t.Errorf("error %v", err)
	}
}

// TestMaxPoolLayouts gives a maximum, or one level of it, a layout.
func TestMaxPoolLayouts(t *testing.T) {
	pool := node("MaxPool", "x", "y", onnxio.IntsAttr("kernel_shape", 2, 2))
	cnn := small(13, []int64{2, 3, 3}, nil, pool, node("Relu", "y", "z"))
	tests := []struct {
		opts convert.Options
		want string
	}{
		{convert.Options{}, "dense dense dense"},
		{convert.Options{Layers: map[string]record.Layout{"maxpool": record.Local}}, "local local local"},
		{convert.Options{Layers: map[string]record.Layout{"maxpool": record.Local, "maxpool/level2": record.Sparse}}, "local sparse local"},
		{convert.Options{Layers: map[string]record.Layout{"maxpool": record.Keep}}, ""},
		{convert.Options{Layout: record.Keep}, ""},
		{convert.Options{Only: "max*"}, "dense dense dense"},
	}
	for _, test := range tests {
		test.opts.MaxPool = convert.MaxPoolRelu
		plan, err := convert.NewPlan(cnn, test.opts)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range plan.Layers {
			got = append(got, string(l.Layout))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%v: layouts %v, want %s", test.opts, got, test.want)
		}
	}
}
