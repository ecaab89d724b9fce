package convert_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/internal/testnet"
	"efcn/convert/record"
	"efcn/internal/engine"
	"efcn/onnxio"
)

// TestFactoredNodes: a factored layer is its local form, node by node and bit for bit,
// under another name, and U·(V·x) added to it; U is +0 throughout, and V has orthonormal
// rows.
func TestFactoredNodes(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 5))
	for _, inputs := range []string{"x w", "x w b"} {
		inits := []*onnxio.Tensor{floats("w", rng, 4, 2, 3, 3)}
		if inputs == "x w b" {
			inits = append(inits, floats("b", rng, 4))
		}
		cnn := small(17, []int64{2, 6, 5}, inits, node("Conv", inputs, "c", onnxio.IntsAttr("pads", 1, 1, 1, 1)), node("Relu", "c", "y"))
		local := written(t, cnn, convert.Options{Layout: record.Local})
		efcn := written(t, cnn, convert.Options{Layout: record.Factored, Rank: 5})
		own := len(local.Graph.Nodes) - 2 // without Relu and the Reshape of the output
		for i, want := range local.Graph.Nodes[:own] {
			got := *efcn.Graph.Nodes[i]
			if i == own-1 {
				if got.Outputs[0] != "c/local" {
					t.Errorf("the local form computes %q, want c/local", got.Outputs[0])
				}
				continue
			}
			if got.Name != want.Name || got.OpType != want.OpType || !slices.Equal(got.Inputs, want.Inputs) || !slices.Equal(got.Outputs, want.Outputs) {
				t.Errorf("node %d is %+v, want %+v", i, got, *want)
			}
		}
		for i, want := range []struct {
			op      string
			inputs  []string
			outputs []string
		}{
			{"Gemm", []string{efcn.Graph.Nodes[0].Outputs[0], "conv.V"}, []string{"c/v"}},
			{"Gemm", []string{"c/v", "conv.U"}, []string{"c/uv"}},
			{"Add", []string{"c/local", "c/uv"}, []string{"c"}},
		} {
			n := efcn.Graph.Nodes[own+i]
			if n.OpType != want.op || !slices.Equal(n.Inputs, want.inputs) || !slices.Equal(n.Outputs, want.outputs) {
				t.Errorf("%s of %q to %q, want %+v", n.OpType, n.Inputs, n.Outputs, want)
			}
			if trans, err := n.Int("transB", 0); n.OpType == "Gemm" && (trans != 1 || err != nil) {
				t.Errorf("%s: transB %d, %v", n.Name, trans, err)
			}
		}
		for _, c := range local.Graph.Initializers {
			if !slices.Equal(contentOf(t, local, c.Name), contentOf(t, efcn, c.Name)) {
				t.Errorf("%q is not that of the local form", c.Name)
			}
		}
		if u := contentOf(t, efcn, "conv.U"); len(u) != 4*120*5 || slices.ContainsFunc(u, func(b byte) bool { return b != 0 }) {
			t.Errorf("U has %d bytes, or is not +0", len(u))
		}
		checkOrthonormal(t, efcn, "conv.V", 5, 60)
		rec, err := record.Read(efcn)
		if err != nil {
			t.Fatal(err)
		}
		if l := rec.Layers[0]; rec.Version != 5 || l.Layout != record.Factored || l.Rank != 5 || l.Left != "conv.U" || l.Right != "conv.V" || l.Weight != "conv.weight" || l.Index == "" {
			t.Errorf("record version %d, %+v", rec.Version, l)
		}
		again := written(t, cnn, convert.Options{Layout: record.Factored, Rank: 5})
		if !slices.Equal(contentOf(t, efcn, "conv.V"), contentOf(t, again, "conv.V")) {
			t.Error("V is another one the second time")
		}
	}
}

func contentOf(t *testing.T, m *onnxio.Model, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	if c := m.Graph.Initializer(name); c == nil {
		t.Errorf("no initializer %q", name)
	} else if _, err := c.Data.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// checkOrthonormal checks that the rows of a matrix are, to the rounding of float32.
func checkOrthonormal(t *testing.T, m *onnxio.Model, name string, rows, cols int) {
	t.Helper()
	v, err := onnxio.Floats[float64](m.Graph.Initializer(name))
	if err != nil || len(v) != rows*cols {
		t.Fatalf("%q has %d values, want %d×%d: %v", name, len(v), rows, cols, err)
	}
	for i := range rows {
		for j := range i + 1 {
			sum := 0.0
			for c := range cols {
				sum += v[i*cols+c] * v[j*cols+c]
			}
			if i == j {
				sum--
			}
			if math.Abs(sum) > 0x1p-22 {
				t.Errorf("%q: rows %d and %d: %g off", name, i, j, sum)
			}
		}
	}
}

// TestFactoredFunction: what a factored eFCN computes just after conversion is what the
// local one does, in float32 too; a zero may have another sign.
func TestFactoredFunction(t *testing.T) {
	compared := 0
	for _, name := range []string{"plain-torchscript", "lenet-torchscript", "keras-tf2onnx"} {
		for _, o := range []convert.Options{{}, {Fold: convert.FoldAll, MaxPool: convert.MaxPoolRelu}} {
			cnn := readFolded(t, name)
			var out [][]float32
			for _, o.Layout = range []record.Layout{record.Local, record.Factored} {
				efcn := written(t, cnn, o)
				e, err := engine.New[float32](efcn)
				if err != nil {
					t.Fatal(err)
				}
				in := efcn.Graph.FeedInputs()[0]
				x := &engine.Tensor[float32]{Type: onnxio.Float32, Shape: []int{3}}
				for _, d := range in.Type.Shape[1:] {
					x.Shape = append(x.Shape, int(d.Value))
				}
				rng := rand.New(rand.NewPCG(15, 6))
				for range size(x.Shape) {
					x.F = append(x.F, float32(rng.NormFloat64()))
				}
				y, err := e.Run(t.Context(), map[string]*engine.Tensor[float32]{in.Name: x})
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, y[efcn.Graph.Outputs[0].Name].F)
			}
			if len(out[0]) == 0 || !slices.Equal(out[0], out[1]) {
				t.Errorf("%s, %+v: %v, want %v", name, o, out[1], out[0])
			}
			compared++
		}
	}
	if compared != 6 {
		t.Errorf("%d models compared, want 6", compared)
	}
}

// TestRanks: which rank a layer gets, and what is refused.
func TestRanks(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 7))
	inits := []*onnxio.Tensor{floats("w", rng, 2, 1, 3, 3), floats("m", rng, 60, 7)}
	nodes := []*onnxio.Node{node("Conv", "x w", "c"), node("AveragePool", "c", "a", onnxio.IntsAttr("kernel_shape", 2, 2)), node("Flatten", "a", "f"), node("MatMul", "f m", "y")}
	type layouts = map[string]record.Layout
	type ranks = map[string]int
	for _, test := range []struct {
		opset int64
		o     convert.Options
		want  []int64 // of conv, averagepool, matmul; or of the product
		err   string
	}{
		{17, convert.Options{Layout: record.Factored}, []int64{32, 32, 0}, ""},
		{17, convert.Options{Layout: record.Factored, Rank: 1000}, []int64{72, 60, 0}, ""},
		{17, convert.Options{Layout: record.Factored, Rank: 4, Layers: layouts{"conv": record.Local}}, []int64{0, 4, 0}, ""},
		{17, convert.Options{Rank: 4, Layers: layouts{"conv": record.Factored, "averagepool": record.Factored}, Ranks: ranks{"conv": 9}}, []int64{9, 4, 0}, ""},
		{17, convert.Options{Fold: convert.FoldAll, Layout: record.Factored}, []int64{7}, ""},
		{17, convert.Options{Fold: convert.FoldAll, Layers: layouts{"conv": record.Factored, "matmul": record.Factored}, Ranks: ranks{"conv": 3, "matmul": 3}}, []int64{3}, ""},
		{17, convert.Options{Fold: convert.FoldAll, Layers: layouts{"conv": record.Factored, "matmul": record.Factored}, Ranks: ranks{"conv": 3, "matmul": 4}}, nil, `cannot have ranks 3 and 4`},
		{17, convert.Options{Rank: 4}, nil, "rank 4: no layer's layout is factored"},
		{17, convert.Options{Rank: -1, Layout: record.Factored}, nil, "rank: -1 is negative"},
		{17, convert.Options{Layers: layouts{"conv": record.Factored}, Ranks: ranks{"conv": 0}}, nil, `rank of layer "conv": 0; want at least 1`},
		{17, convert.Options{Layout: record.Factored, Ranks: ranks{"conv": 2}}, nil, `rank of layer "conv": want the layout factored for it too`},
		{17, convert.Options{Layers: layouts{"con": record.Factored}, Ranks: ranks{"con": 2}}, nil, `layer "con": the model has none of that name`},
		{17, convert.Options{Layers: layouts{"matmul": record.Factored}}, nil, "layout factored: its matrix is the CNN's own and stays dense"},
		{10, convert.Options{Layout: record.Factored}, nil, "opset 10: layout factored needs a Gemm of two inputs"},
	} {
		plan, err := convert.NewPlan(small(test.opset, []int64{1, 9, 8}, inits, nodes...), test.o)
		switch {
		case test.err == "" && err != nil, test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%+v: %v, want %q", test.o, err, test.err)
			continue
		case err != nil:
			continue
		}
		var got []int64
		for _, l := range plan.Layers {
			got = append(got, l.Rank)
			if want := l.LocalBytes() + 4*l.Rank*(l.Rows+l.Cols); l.Layout == record.Factored && l.FactoredBytes() != want {
				t.Errorf("%q takes %d bytes, want %d", l.Node, l.FactoredBytes(), want)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v: ranks %v, want %v", test.o, got, test.want)
		}
		efcn, err := plan.Model()
		if err != nil {
			t.Fatal(err)
		}
		if err := testnet.SizeDiffers(plan, efcn); err != nil {
			t.Error(err)
		}
	}
}
