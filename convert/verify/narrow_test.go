package verify_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"efcn/convert/verify"
	"efcn/internal/engine"
	"efcn/onnxio"
)

// TestNarrowFiles: what ONNX Runtime's converter to float16 and the bfloat16 of ml_dtypes make of two
// networks is equal to them within the rounding of these types; it is not in a wider one.
func TestNarrowFiles(t *testing.T) {
	for _, name := range []string{"lenet-torchscript", "resnet-torchscript"} {
		for kind, as := range map[string]onnxio.DataType{"float16": onnxio.Float16, "float16-inside": onnxio.Float16, "bfloat16": onnxio.BFloat16} {
			t.Run(name+" "+kind, func(t *testing.T) {
				a, b := readTrained(t, name), readNarrow(t, name, kind)
				r, err := verify.Verify(context.Background(), a, b, verify.Options{Samples: 16, As: as})
				if err != nil {
					t.Fatal(err)
				}
				if !r.Equal() || r.JudgedAs != as.String() || !strings.HasPrefix(r.Verdict(), "EQUAL within the rounding of "+as.String()) {
					t.Errorf("%s: %v", r.Verdict(), r.Findings)
				}
				for _, v := range r.Values {
					if v.Float64 == nil || v.Float64.Unbounded > 0 {
						t.Errorf("%s has no bound", v.Name)
					}
				}
				if kind == "bfloat16" { // 8 times as coarse
					_, err := verify.Verify(context.Background(), a, b, verify.Options{Samples: 16, As: onnxio.Float16})
					if e, ok := errors.AsType[*verify.CoarserError](err); !ok || e.Type != as {
						t.Errorf("%v", err)
					}
				}
			})
		}
	}
}

// TestNarrowFaults: a fault beyond the rounding of float16 is found where it is, and one within
// it is not.
func TestNarrowFaults(t *testing.T) {
	const half = onnxio.Float16
	conv2 := func(change func(v []float32)) func(*testing.T, *onnxio.Model) {
		return func(t *testing.T, m *onnxio.Model) { reweigh(t, m, "conv2.weight", change) }
	}
	for _, c := range []struct {
		name string
		edit func(t *testing.T, m *onnxio.Model)
		want string // of the verdict
	}{
		{"nothing", conv2(func([]float32) {}), "EQUAL within the rounding of float16"},
		{"a weight by one unit of float16", conv2(func(v []float32) { v[40] *= 1 + 0x1p-10 }), "EQUAL within the rounding of float16"},
		{"a weight by half", conv2(func(v []float32) { v[40] *= 1.5 }), `NOT EQUAL: they part at node "/conv2/Conv" (Conv)`},
		{"two weights swapped", conv2(func(v []float32) { v[40], v[41] = v[41], v[40] }), `NOT EQUAL: they part at node "/conv2/Conv" (Conv)`},
		{"a weight that is infinite", conv2(func(v []float32) { v[40] = 70000 }), `NOT EQUAL: B overflows float16 at node "/conv2/Conv" (Conv)`},
		{
			"a Relu that is not there", func(t *testing.T, m *onnxio.Model) {
				for _, n := range m.Graph.Nodes {
					if n.OpType == "Relu" {
						n.OpType = "Identity"
						return
					}
				}
			}, "NOT EQUAL: they part at node",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := readNarrow(t, "lenet-torchscript", "float16")
			c.edit(t, m)
			r, err := verify.Verify(context.Background(), readTrained(t, "lenet-torchscript"), m, verify.Options{Samples: 16, As: half})
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Verdict(); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s; want %s; %v", got, c.want, r.Findings)
			}
		})
	}
}

// TestNarrowOverflow: a result that float16 cannot hold is named, though both models have the same
// parameters; in bfloat16, which reaches as far as float32, they are equal.
func TestNarrowOverflow(t *testing.T) {
	m := mutable()
	edit(t, m, "w2", func(v []float32, _ []int64) {
		for i := range v {
			v[i] *= 1 << 15
		}
	})
	for as, want := range map[onnxio.DataType]string{
		onnxio.Float16:  `NOT EQUAL: B overflows float16 at node "conv2" (Conv), as the check "float64" shows`,
		onnxio.BFloat16: "EQUAL within the rounding of bfloat16",
	} {
		r, err := verify.Verify(context.Background(), m, narrowed(t, m, as), verify.Options{Samples: 16, As: as})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Verdict(); !strings.HasPrefix(got, want) {
			t.Errorf("%s; want %s; %v", got, want, r.Findings)
		}
		var text strings.Builder
		if err := r.WriteText(&text); err != nil || as == onnxio.Float16 && !strings.Contains(text.String(), "holds numbers up to 65504") {
			t.Errorf("%v\n%s", err, &text)
		}
	}
}

// TestNarrowRandomNets: no random net in 16 bits is flagged.
func TestNarrowRandomNets(t *testing.T) {
	const nets = 120
	compared, all, worst := 0, 0, make(map[string]float64)
	for seed := range uint64(nets) {
		m, _ := randomNet(seed)
		as := []onnxio.DataType{onnxio.Float16, onnxio.BFloat16}[seed%2]
		r, err := verify.Verify(context.Background(), m, narrowed(t, m, as), verify.Options{Samples: 8, Seed: seed, Batch: 3, As: as})
		if err != nil {
			t.Fatalf("net %d: %v", seed, err)
		}
		if !r.Equal() {
			var text strings.Builder
			_ = r.WriteText(&text)
			t.Errorf("net %d: flagged\n%s", seed, &text)
		}
		all += len(m.Graph.Nodes)
		compared += len(r.Values)
		for _, v := range r.Values {
			worst[v.Op] = max(worst[v.Op], float64(v.Float64.Ratio))
		}
	}
	// A value whose bound says nothing is not matched, nor is what is hidden behind it.
	if compared < all*9/10 {
		t.Errorf("%d of %d values compared", compared, all)
	}
	t.Logf("the largest difference, of its bound: %v", worst)
}

// TestNarrowNotSaid: models of two precisions, and types without a bound, are refused in a line.
func TestNarrowNotSaid(t *testing.T) {
	a, b := mutable(), narrowed(t, mutable(), onnxio.Float16)
	_, err := verify.Verify(context.Background(), a, b, verify.Options{})
	if e, ok := errors.AsType[*verify.PrecisionError](err); !ok || e.Narrow() != onnxio.Float16 {
		t.Errorf("%v", err)
	}
	_, err = verify.Verify(context.Background(), a, b, verify.Options{As: onnxio.Int16})
	if e, ok := errors.AsType[*verify.NarrowTypeError](err); !ok || e.Type != onnxio.Int16 {
		t.Errorf("%v", err)
	}
}

// narrowed returns a model with its constants, inputs and outputs in a type of 16 bits, but the
// scales of a Resize, which are float32 in every model.
func narrowed(t *testing.T, m *onnxio.Model, as onnxio.DataType) *onnxio.Model {
	t.Helper()
	c := m.Clone()
	scales := make(map[string]bool)
	for _, n := range c.Graph.Nodes {
		if n.OpType == "Resize" || n.OpType == "Upsample" {
			for _, name := range n.Inputs[1:] {
				scales[name] = true
			}
		}
	}
	for i, init := range c.Graph.Initializers {
		if init.Type != onnxio.Float32 || scales[init.Name] {
			continue
		}
		v, err := engine.FromONNX[float64](init)
		if err != nil {
			t.Fatal(err)
		}
		v.Type = as
		c.Graph.Initializers[i] = engine.ToONNX(init.Name, v)
	}
	for _, list := range [][]*onnxio.ValueInfo{c.Graph.Inputs, c.Graph.Outputs} {
		for i, v := range list {
			if v.Type.Elem == onnxio.Float32 {
				other := *v
				other.Type.Elem = as
				list[i] = &other
			}
		}
	}
	return c
}

// reweigh changes a constant of 16 bits.
func reweigh(t *testing.T, m *onnxio.Model, name string, change func(v []float32)) {
	t.Helper()
	for i, init := range m.Graph.Initializers {
		if init.Name == name {
			v, err := engine.FromONNX[float32](init)
			if err != nil {
				t.Fatal(err)
			}
			change(v.F)
			m.Graph.Initializers[i] = engine.ToONNX(name, v)
			return
		}
	}
	t.Fatalf("no constant %q", name)
}

func readNarrow(t *testing.T, name, kind string) *onnxio.Model {
	t.Helper()
	m, err := onnxio.Read(filepath.Join("..", "..", "testdata", "narrow", name+"-"+kind+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestNarrowOperands: constants that are no weights are rounded too: limits of a Clip, slopes of a
// PRelu, what a Pad fills in; and so are weights too small for full precision.
func TestNarrowOperands(t *testing.T) {
	const size = 4
	pads := []int64{0, 0, 1, 0, 0, 1}
	for _, c := range []struct {
		name  string
		nodes []*onnxio.Node
	}{
		{"Clip", []*onnxio.Node{{OpType: "Clip", Inputs: []string{"x", "least", "most"}}}},
		{"PRelu", []*onnxio.Node{{OpType: "PRelu", Inputs: []string{"x", "slopes"}}}},
		{"Pad", []*onnxio.Node{{OpType: "Pad", Inputs: []string{"x", "pads", "most"}}}},
		{"Div", []*onnxio.Node{{OpType: "Div", Inputs: []string{"x", "slopes"}}}},
		{"Max", []*onnxio.Node{{OpType: "Max", Inputs: []string{"x", "most"}}}},
		{"Conv", []*onnxio.Node{{OpType: "Conv", Inputs: []string{"x", "small"}}}},
		{"Conv and BatchNormalization", []*onnxio.Node{
			{OpType: "Conv", Inputs: []string{"x", "small"}},
			{OpType: "BatchNormalization", Inputs: []string{"y0", "slope", "slope", "slope", "slope"}},
		}},
	} {
		g := &onnxio.Graph{
			Name: "net",
			Inputs: []*onnxio.ValueInfo{{Name: "x", Type: onnxio.TensorType{
				Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Symbol("N"), onnxio.Fixed(1), onnxio.Fixed(size)},
			}}},
			Initializers: []*onnxio.Tensor{
				onnxio.NewTensor("least", []int64{}, []float32{0.30007}), onnxio.NewTensor("most", []int64{}, []float32{1.20005}),
				onnxio.NewTensor("slopes", []int64{size}, []float32{0.20003, 0.4001, 0.70007, 0.9001}),
				onnxio.NewTensor("slope", []int64{1}, []float32{0.20003}),
				onnxio.NewTensor("small", []int64{1, 1, 2}, []float32{166.49 * 0x1p-24, -253.49 * 0x1p-24}), onnxio.NewTensor("pads", []int64{6}, pads),
			},
		}
		for i, n := range c.nodes {
			n.Name, n.Outputs = n.OpType, []string{[]string{"y0", "y1"}[i]}
			g.Nodes = append(g.Nodes, n)
		}
		last := c.nodes[len(c.nodes)-1]
		g.Outputs = []*onnxio.ValueInfo{{Name: last.Outputs[0], Type: onnxio.TensorType{Elem: onnxio.Float32}}}
		m := &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, Graph: g}
		r, err := verify.Verify(context.Background(), m, narrowed(t, m, onnxio.Float16), verify.Options{Samples: 32, As: onnxio.Float16})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if !r.Equal() || len(r.Values) == 0 || r.Values[0].Float64.Ratio < 0.3 {
			t.Errorf("%s: %s %v; %+v", c.name, r.Verdict(), r.Findings, r.Values)
		}
	}
}
