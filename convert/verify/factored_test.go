package verify_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// factored makes the layers in local form of an eFCN factored, node by node, and returns
// how many: U [out, rank] is zero and V [rank, in] arbitrary.
func factored(t *testing.T, m *onnxio.Model, rank int64) int {
	t.Helper()
	random, layers := rand.New(rand.NewPCG(5, uint64(rank))), 0
	editRecord(t, m, func(r *record.Record) {
		for i := range r.Layers {
			if l := &r.Layers[i]; l.Layout == record.Local {
				factor(t, m, l, rank, random)
				layers++
			}
		}
	})
	return layers
}

// factor makes one layer factored.
func factor(t *testing.T, m *onnxio.Model, l *record.Layer, rank int64, random *rand.Rand) {
	t.Helper()
	g := m.Graph
	var product *onnxio.Node
	for _, n := range g.Nodes {
		if n.OpType == "MatMul" && n.Input(0) == l.Weight {
			product = n
		}
	}
	first := inputNode(t, m, product, 1)
	for first.OpType != "Reshape" {
		first = inputNode(t, m, first, 0)
	}
	end := userOf(t, m, userOf(t, m, product))
	if l.Bias != "" {
		end = userOf(t, m, end)
	}
	w := g.Initializer(l.Weight)
	outputs, inputs := w.Dims[0]*w.Dims[1]*w.Dims[2], int64(1)
	for _, d := range l.InputShape {
		inputs *= d
	}
	v := make([]float32, rank*inputs)
	for i := range v {
		v[i] = float32(random.NormFloat64())
	}
	l.Layout, l.Rank, l.Left, l.Right = record.Factored, rank, l.Node+".U", l.Node+".V"
	g.Initializers = append(g.Initializers,
		onnxio.NewTensor(l.Left, []int64{outputs, rank}, make([]float32, outputs*rank)),
		onnxio.NewTensor(l.Right, []int64{rank, inputs}, v))
	y := end.Output(0)
	end.Name, end.Outputs = y+"/local/"+end.OpType, []string{y + "/local"}
	gemm := func(name, x, w string) *onnxio.Node {
		return &onnxio.Node{
			Name: name + "/Gemm", OpType: "Gemm", Inputs: []string{x, w}, Outputs: []string{name},
			Attributes: []*onnxio.Attribute{onnxio.IntAttr("transB", 1)},
		}
	}
	g.Nodes = slices.Insert(g.Nodes, slices.Index(g.Nodes, end)+1,
		gemm(y+"/v", first.Input(0), l.Right), gemm(y+"/uv", y+"/v", l.Left),
		&onnxio.Node{Name: y + "/Add", OpType: "Add", Inputs: []string{y + "/local", y + "/uv"}, Outputs: []string{y}})
}

const factoredRank = 3

// factoredBase is mutable with its layers factored.
func factoredBase(t *testing.T) *onnxio.Model {
	t.Helper()
	m := converted(t, mutable(), convert.Options{Layout: record.Local})
	if n := factored(t, m, factoredRank); n != 4 {
		t.Fatalf("%d layers are factored, want 4", n)
	}
	return m
}

// factoredMutations are those of what a factored layer has besides the local form.
var factoredMutations = []mutation{
	{
		name: "one weight of the local part by one ulp",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv1.weight", func(v []float32, _ []int64) { ulp(v, ((1*80+45)*3+2)*conv1Slots+7) })
		},
		structure: "entry conv1", float64: "layer bn1",
		text: "weight of group 1, position [4 5], slot 7, out channel 2, entry of output [5 4 5] and input [2 6 5]",
	},
	{
		name: "an index table entry of the local part",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editInts(t, m, gatherOf(t, m, "conv2").Input(1), func(v, _ []int64) { v[5*conv2Slots+4] = v[5*conv2Slots+3] })
		},
		structure: "index conv2", float64: "layer conv2", float32: "layer conv2",
	},
	{
		name: "the bias of the local part dropped",
		efcn: func(t *testing.T, m *onnxio.Model) {
			n := nodeOf(t, m, "conv2")
			flat := userOf(t, m, userOf(t, m, n))
			sum := userOf(t, m, flat)
			flat.Outputs = slices.Clone(sum.Outputs)
			m.Graph.Nodes = slices.DeleteFunc(m.Graph.Nodes, func(n *onnxio.Node) bool { return n == sum })
		},
		structure: "bias conv2", float64: "layer conv2", float32: "layer conv2", text: "is missing",
	},
	{
		name: "one entry of U",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.U", func(v []float32, _ []int64) { v[17*factoredRank+1] = 1e-3 })
		},
		structure: "entry conv2_out/uv/Gemm", float64: "layer conv2", float32: "layer conv2",
		text: `entry of output [1 1 1] of layer "conv2" and factor 1 (row 17, column 1 of U "conv2.U"): ` +
			`want 0 (0x00000000), got 0.001 (0x3a83126f); 1 of 144 entries are wrong`,
	},
	{
		name: "the least entry of U",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.U", func(v []float32, _ []int64) { v[0] = math.SmallestNonzeroFloat32 })
		},
		structure: "entry conv2_out/uv/Gemm", text: "got 1e-45 (0x00000001)",
	},
	{
		name: "a negative zero in U",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.U", func(v []float32, _ []int64) { v[len(v)-1] = float32(math.Copysign(0, -1)) })
		},
		structure: "entry conv2_out/uv/Gemm", text: "want 0 (0x00000000), got -0 (0x80000000)",
	},
	{
		name: "a NaN in V",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.V", func(v []float32, _ []int64) { v[120+64] = float32(math.NaN()) })
		},
		structure: "entry conv2_out/v/Gemm", float64: "layer conv2", float32: "layer conv2",
		text: `entry of factor 1 and input [3 1 0] of layer "conv2" (row 1, column 64 of V "conv2.V"): want a finite number, got NaN`,
	},
	{
		name: "an infinity in V",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.V", func(v []float32, _ []int64) { v[0], v[7] = float32(math.Inf(1)), float32(math.Inf(-1)) })
		},
		structure: "entry conv2_out/v/Gemm", float64: "layer conv2", float32: "layer conv2",
		text: "got +Inf (0x7f800000); 2 of 360 entries are not finite",
	},
	{
		name: "the operands of the Add swapped",
		efcn: func(t *testing.T, m *onnxio.Model) { slices.Reverse(nodeOf(t, m, "conv2_out/Add").Inputs) },
		// The sum is the same one.
		structure: "node conv2", text: `the eFCN computes it with node "conv2_out/Add" (Add); want Gemm, or Reshape`,
	},
	{
		name: "U and V in each other's place",
		efcn: func(t *testing.T, m *onnxio.Model) {
			u, v := nodeOf(t, m, "conv2_out/uv/Gemm"), nodeOf(t, m, "conv2_out/v/Gemm")
			u.Inputs[1], v.Inputs[1] = v.Inputs[1], u.Inputs[1]
		},
		structure: "node conv2_out/Add", float64: "run conv2_out/v/Gemm", float32: "run conv2_out/v/Gemm",
		text: `its factors are U "conv2.V" [3 120] and V "conv2.U" [48 3]; want [48 r] and [r 120]`,
	},
	{
		name: "U of another rank than V",
		efcn: func(t *testing.T, m *onnxio.Model) {
			replace(t, m, onnxio.NewTensor("conv2.U", []int64{48, 2}, make([]float32, 96)))
		},
		structure: "node conv2_out/Add", float64: "run conv2_out/uv/Gemm", float32: "run conv2_out/uv/Gemm",
		text: `its factors are U "conv2.U" [48 2] and V "conv2.V" [3 120]`,
	},
	{
		name: "V of another rank than U",
		efcn: func(t *testing.T, m *onnxio.Model) {
			replace(t, m, onnxio.NewTensor("conv2.V", []int64{4, 120}, make([]float32, 480)))
		},
		structure: "node conv2_out/Add", float64: "run conv2_out/uv/Gemm", float32: "run conv2_out/uv/Gemm",
		text: `its factors are U "conv2.U" [48 3] and V "conv2.V" [4 120]`,
	},
	{
		name: "a factor that is stored transposed",
		efcn: func(t *testing.T, m *onnxio.Model) {
			replace(t, m, onnxio.NewTensor("conv2.U", []int64{3, 48}, make([]float32, 144)))
			set(nodeOf(t, m, "conv2_out/uv/Gemm"), onnxio.IntAttr("transB", 0))
		},
		structure: "attribute conv2_out/uv/Gemm", text: "attribute transB: want 1, got 0",
	},
	{
		name: "the alpha of a factor",
		efcn: func(t *testing.T, m *onnxio.Model) {
			set(nodeOf(t, m, "conv2_out/v/Gemm"), onnxio.FloatAttr("alpha", 2))
		},
		structure: "attribute conv2_out/v/Gemm", text: "attribute alpha: want 1, got 2",
	},
	{
		name: "a bias in a factor",
		efcn: func(t *testing.T, m *onnxio.Model) {
			n := nodeOf(t, m, "conv2_out/uv/Gemm")
			n.Inputs = append(n.Inputs, "conv2.bias")
		},
		structure: "bias conv2_out/uv/Gemm", float64: "layer conv2", float32: "layer conv2",
		text: `it adds "conv2.bias"; want nothing`,
	},
	{
		name: "a Relu between the factors",
		efcn: func(t *testing.T, m *onnxio.Model) {
			n := nodeOf(t, m, "conv2_out/uv/Gemm")
			relu := &onnxio.Node{Name: "between", OpType: "Relu", Inputs: []string{n.Input(0)}, Outputs: []string{"between"}}
			n.Inputs[0] = "between"
			m.Graph.Nodes = slices.Insert(m.Graph.Nodes, slices.Index(m.Graph.Nodes, n), relu)
		},
		structure: "node conv2_out/uv/Gemm", text: "its input 0 is not what a Gemm makes",
	},
	{
		name: "a Relu behind the factors",
		efcn: func(t *testing.T, m *onnxio.Model) {
			n := nodeOf(t, m, "conv2_out/Add")
			relu := &onnxio.Node{Name: "behind", OpType: "Relu", Inputs: []string{n.Input(1)}, Outputs: []string{"behind"}}
			n.Inputs[1] = "behind"
			m.Graph.Nodes = slices.Insert(m.Graph.Nodes, slices.Index(m.Graph.Nodes, n), relu)
		},
		structure: "node conv2_out/Add", text: "its input 1 is not what a Gemm makes",
	},
	{
		name: "V sees another value than the local part",
		efcn: func(t *testing.T, m *onnxio.Model) {
			// [N, 120] as well.
			nodeOf(t, m, "conv2_out/v/Gemm").Inputs[0] = "trans1_out"
		},
		structure: "node conv2_out/v/Gemm", text: `its input 0 is "trans1_out"; in the CNN it is "bn2_out"`,
	},
	{
		name: "a Sub in place of the Add",
		efcn: func(t *testing.T, m *onnxio.Model) { nodeOf(t, m, "conv2_out/Add").OpType = "Sub" },
		// What it subtracts is zero.
		structure: "node conv2", text: `the eFCN computes it with node "conv2_out/Add" (Sub)`,
	},
	{
		name: "the Add removed",
		efcn: func(t *testing.T, m *onnxio.Model) {
			add := nodeOf(t, m, "conv2_out/Add")
			inputNode(t, m, add, 0).Outputs = add.Outputs
			m.Graph.Nodes = slices.DeleteFunc(m.Graph.Nodes, func(n *onnxio.Node) bool { return n == add })
		},
		// What is left of the factors computes nothing that anything takes.
		structure: "record", text: `of rank 3; it is local with weight "conv2.weight"`,
	},
	{
		name: "the local part removed",
		efcn: func(t *testing.T, m *onnxio.Model) {
			add := nodeOf(t, m, "conv2_out/Add")
			inputNode(t, m, add, 1).Outputs = add.Outputs
			m.Graph.Nodes = slices.DeleteFunc(m.Graph.Nodes, func(n *onnxio.Node) bool { return n == add })
		},
		structure: "node conv2_out/uv/Gemm", float64: "layer conv2", float32: "layer conv2",
		text: `its matrix "conv2.U" is float32 [48 3]; want float32 [48 120]`,
	},
	{
		name: "a record of another rank",
		efcn: func(t *testing.T, m *onnxio.Model) { editRecord(t, m, func(r *record.Record) { r.Layers[1].Rank++ }) },

		structure: "record", text: `U "conv2.U" and V "conv2.V" of rank 4; it is factored with weight "conv2.weight"`,
	},
	{
		name: "a record of the local layout",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editRecord(t, m, func(r *record.Record) {
				l := &r.Layers[1]
				l.Layout, l.Rank, l.Left, l.Right = record.Local, 0, "", ""
			})
		},
		structure: "record", text: `the record says local with weight "conv2.weight"`,
	},
	{
		name: "a record with U and V in each other's place",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editRecord(t, m, func(r *record.Record) {
				l := &r.Layers[1]
				l.Left, l.Right = l.Right, l.Left
			})
		},
		structure: "record", text: `U "conv2.V" and V "conv2.U" of rank 3; it is`,
	},
}

// TestFactoredMutations: as TestMutations, of factored layers.
func TestFactoredMutations(t *testing.T) {
	if len(factoredMutations) != 24 {
		t.Errorf("%d mutations, the table has had 24", len(factoredMutations))
	}
	base := factoredBase(t)
	r, err := verify.Verify(context.Background(), mutable(), base, verify.Options{})
	if err != nil || !r.Equal() {
		t.Fatal("the eFCN is not equal before it is changed", err, r.Findings)
	}
	n := 0
	for _, l := range r.Layers {
		if l.Layout == record.Factored && l.Structure == verify.OK && l.NonZeros > 0 {
			n++
		}
	}
	if n != 4 {
		t.Errorf("%d layers are reported as factored, want 4", n)
	}
	for _, c := range factoredMutations {
		t.Run(c.name, func(t *testing.T) { c.test(t, mutable(), base.Clone()) })
	}
}

// TestFactoredNets: no factored eFCN of a random net is flagged, whatever V is, whether
// layers are products or levels of maxima, with their biases and without.
func TestFactoredNets(t *testing.T) {
	const nets = 60
	layers, products, levels, unbiased := 0, 0, 0, 0
	for seed := range uint64(nets) {
		m, _ := randomNet(seed)
		efcn := converted(t, m, convert.Options{
			NoFoldBN: seed%3 == 0, Layout: record.Local,
			Fold: convert.Folds()[seed/4%3], MaxPool: convert.MaxPools()[seed/12%2],
		})
		made := factored(t, efcn, 1+int64(seed%4))
		r, err := verify.Verify(context.Background(), m, efcn, verify.Options{Samples: 8, Seed: seed, Batch: 3})
		if err != nil {
			t.Fatalf("net %d: %v", seed, err)
		}
		if !r.Equal() {
			t.Errorf("net %d: flagged\n%s", seed, text(t, r))
		}
		found := 0
		for _, l := range r.Layers {
			if l.Layout != record.Factored {
				continue
			}
			found++
			if len(l.Factors) > 1 {
				products++
			}
			if slices.ContainsFunc(l.Factors, func(f string) bool { return strings.Contains(f, "/") }) {
				levels++
			}
		}
		if found != made {
			t.Errorf("net %d: %d of %d layers are found to be factored", seed, found, made)
		}
		layers += found
		rec, err := record.Read(efcn)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range rec.Layers {
			if l.Layout == record.Factored && l.Bias == "" {
				unbiased++
			}
		}
	}
	if got := [4]int{layers, products, levels, unbiased}; got != factoredNets {
		t.Errorf("factored layers, products, levels of maxima and layers without bias: %v, have had %v", got, factoredNets)
	}
}

// factoredNets counts what TestFactoredNets checks.
var factoredNets = [4]int{94, 38, 6, 53}

// TestTrainedFactors: where U is not zero, the report names the layer and the terms of
// L + U·V that the CNN has not; the same matrix in dense form is equal to it.
func TestTrainedFactors(t *testing.T) {
	trained, dense := factoredBase(t), converted(t, mutable(), convert.Options{})
	random := rand.New(rand.NewPCG(9, 9))
	edit(t, trained, "conv2.U", func(u []float32, _ []int64) {
		for i := range u {
			u[i] = float32(random.NormFloat64()) / 8
		}
	})
	r, err := verify.Verify(context.Background(), mutable(), trained, verify.Options{Samples: 16})
	if err != nil {
		t.Fatal(err)
	}
	if r.Equal() || r.Parting == nil || r.Parting.Row == nil {
		t.Fatalf("equal %t, parting %+v", r.Equal(), r.Parting)
	}
	sumsUp(t, r.Parting)
	if p := r.Parting; p.Value != "conv2_out" || p.Row.Input != "bn2_out" || p.Row.Of != 120 || p.Row.Differ != 120 {
		t.Errorf("they part at %q, a sum over %q of %d terms, of which %d differ", p.Value, p.Row.Input, p.Row.Of, p.Row.Differ)
	}
	for _, l := range r.Layers {
		if want := l.Node == "conv2"; (l.Structure == verify.Failed) != want || (l.Wrong == 48*factoredRank) != want {
			t.Errorf("layer %q: structure %s, %d entries are wrong", l.Node, l.Structure, l.Wrong)
		}
	}
	if got := text(t, r); !strings.Contains(got, `144 of 144 entries are wrong`) {
		t.Errorf("it does not say how many entries of U are wrong:\n%s", got)
	}

	u, v := floatsOf(t, trained, "conv2.U"), floatsOf(t, trained, "conv2.V")
	edit(t, dense, "conv2.weight", func(w []float32, _ []int64) {
		for i := range w {
			sum := float64(w[i])
			for k := range factoredRank {
				sum += float64(u[i/120*factoredRank+k]) * float64(v[k*120+i%120])
			}
			w[i] = float32(sum)
		}
	})
	for i, want := range []bool{true, false} {
		r, err := verify.Verify(context.Background(), trained, dense, verify.Options{Samples: 16})
		if err != nil {
			t.Fatal(err)
		}
		if r.Equal() != want || r.Recorded {
			t.Errorf("pair %d: equal %t, with a record %t:\n%s", i, r.Equal(), r.Recorded, text(t, r))
		}
		edit(t, trained, "conv2.U", func(u []float32, _ []int64) { u[100] *= 1.01 })
	}
}

// floatsOf returns the elements of a float32 initializer.
func floatsOf(t *testing.T, m *onnxio.Model, name string) []float32 {
	t.Helper()
	var all []float32
	edit(t, m, name, func(v []float32, _ []int64) { all = slices.Clone(v) })
	return all
}

// TestFactoredWithoutMatrix: the factors are checked also where no matrix is known, here
// of a CNN whose interpolation is cubic and an eFCN made when it was linear.
func TestFactoredWithoutMatrix(t *testing.T) {
	b := newNetBuilder(1)
	b.m.Opsets[0].Version = 19
	b.shape = []int64{2, 4, 5}
	b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
	b.m.Graph.Initializers = []*onnxio.Tensor{onnxio.NewTensor("scales", []int64{4}, []float32{1, 1, 2, 2})}
	b.node("Resize", []string{"x", "", "scales"}, onnxio.StringAttr("mode", "linear"))
	b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: b.at, Type: onnxio.TensorType{Elem: onnxio.Float32}}}
	base := converted(t, b.m, convert.Options{Layout: record.Local})
	if n := factored(t, base, 2); n != 1 {
		t.Fatalf("%d layers are factored, want 1", n)
	}
	set(b.m.Graph.Nodes[0], onnxio.StringAttr("mode", "cubic"))
	for _, c := range []struct {
		name, says string
		change     func(m *onnxio.Model)
	}{
		{"as it is", "", func(*onnxio.Model) {}},
		{"U", "entry of output 79 of layer", func(m *onnxio.Model) {
			edit(t, m, "resize0.U", func(u []float32, _ []int64) { u[2*79] = 1 })
		}},
		{"V", "entry of factor 1 and input 3 of layer", func(m *onnxio.Model) {
			edit(t, m, "resize0.V", func(v []float32, _ []int64) { v[40+3] = float32(math.NaN()) })
		}},
		{"the shape of U", "want [160 r] and [r 40]", func(m *onnxio.Model) {
			replace(t, m, onnxio.NewTensor("resize0.U", []int64{1, 2}, make([]float32, 2)))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := base.Clone()
			c.change(m)
			r, err := verify.Verify(context.Background(), b.m, m, verify.Options{Samples: 4})
			if err != nil {
				t.Fatal(err)
			}
			found := slices.ContainsFunc(r.Findings, func(f verify.Finding) bool {
				return f.Check == verify.Structure && strings.Contains(f.Text, c.says)
			})
			want := verify.Failed
			if c.says == "" {
				want = verify.Skipped
			}
			if l := r.Layers[0]; l.Layout != record.Factored || l.Structure != want || found != (c.says != "") {
				t.Errorf("%s, structure %s:\n%s", l.Layout, l.Structure, text(t, r))
			}
		})
	}
}
