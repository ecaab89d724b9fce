package constants

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// info declares a float32 value; -1 is a symbolic dimension.
func info(name string, dims ...int64) *onnxio.ValueInfo {
	v := &onnxio.ValueInfo{Name: name, Type: onnxio.TensorType{Elem: onnxio.Float32, HasShape: true}}
	for _, d := range dims {
		if d < 0 {
			v.Type.Shape = append(v.Type.Shape, onnxio.Symbol("N"))
		} else {
			v.Type.Shape = append(v.Type.Shape, onnxio.Fixed(d))
		}
	}
	return v
}

// op makes a node from "Op in1 in2 -> out1 out2"; "_" is a value left out.
func op(text string, attrs ...*onnxio.Attribute) *onnxio.Node {
	left, right, _ := strings.Cut(text, "->")
	names := func(list []string) []string {
		for i, s := range list {
			if s == "_" {
				list[i] = ""
			}
		}
		return list
	}
	in := strings.Fields(left)
	return &onnxio.Node{OpType: in[0], Inputs: names(in[1:]), Outputs: names(strings.Fields(right)), Attributes: attrs}
}

// model makes a model of opset 17 with one input x and one output y.
func model(nodes []*onnxio.Node, initializers ...*onnxio.Tensor) *onnxio.Model {
	return &onnxio.Model{
		IRVersion: 8,
		Opsets:    []onnxio.Opset{{Version: 17}},
		Graph: &onnxio.Graph{
			Nodes: nodes, Initializers: initializers,
			Inputs: []*onnxio.ValueInfo{info("x", -1, 3)}, Outputs: []*onnxio.ValueInfo{info("y")},
		},
	}
}

// summary lists the nodes that are left, and the initializers with their types.
func summary(m *onnxio.Model) string {
	var parts []string
	for _, n := range m.Graph.Nodes {
		parts = append(parts, n.OpType+" "+strings.Join(n.Inputs, ",")+"->"+strings.Join(n.Outputs, ","))
	}
	for _, t := range m.Graph.Initializers {
		parts = append(parts, fmt.Sprintf("%s:%s%v", t.Name, t.Type, t.Dims))
	}
	return strings.Join(parts, "; ")
}

func constantNode(name string, t *onnxio.Tensor) *onnxio.Node {
	return op("Constant -> "+name, &onnxio.Attribute{Name: "value", Type: onnxio.AttrTensor, T: t})
}

func TestFold(t *testing.T) {
	shape := onnxio.NewTensor("", []int64{1}, []int64{-1})
	w := onnxio.NewTensor("w", []int64{3}, []float32{1, 2, 3})
	half := onnxio.NewTensor("h", []int64{2}, []uint16{0x3c00, 0x4000}) // 1, 2
	half.Type = onnxio.Float16
	for _, c := range []struct {
		name  string
		model *onnxio.Model
		want  string
	}{
		{
			"a chain of constants",
			model([]*onnxio.Node{
				constantNode("one", onnxio.NewTensor("", []int64{1}, []int64{3})),
				op("Shape w -> s"), op("Concat one s -> both",
					onnxio.IntAttr("axis", 0)), op("Expand x both -> y"),
			}, w),
			"Expand x,both->y; both:int64[2]",
		},
		{
			"what depends on an input stays",
			model([]*onnxio.Node{op("Shape x -> s"), op("Neg w -> v"), op("Add x v -> y")}, w),
			"Add x,v->y; v:float32[3]",
		},
		{
			"a constant graph output keeps its name",
			model([]*onnxio.Node{op("Neg w -> y")}, w),
			"y:float32[3]",
		},
		{
			"a shared constant is kept for the other reader",
			model([]*onnxio.Node{op("Neg w -> v"), op("Add v w -> u"), op("Add x u -> a"), op("Add a w -> y")}, w),
			"Add x,u->a; Add a,w->y; w:float32[3]; u:float32[3]",
		},
		{
			"float16 stays float16",
			model([]*onnxio.Node{
				op("Add h h -> g"), op("Cast g -> f", onnxio.IntAttr("to", 1)), op("Add x f -> a"),
				op("CastLike a g -> y"),
			}, half),
			"Add x,f->a; CastLike a,g->y; g:float16[2]; f:float32[2]",
		},
		{
			"double stays double",
			model([]*onnxio.Node{op("Neg d -> e"), op("CastLike x e -> y")},
				onnxio.NewTensor("d", []int64{1}, []float64{1e-300})),
			"CastLike x,e->y; e:float64[1]",
		},
		{
			"a bomb stays",
			model([]*onnxio.Node{
				constantNode("dims", onnxio.NewTensor("", []int64{2}, []int64{1 << 14, 1 << 14})),
				op("ConstantOfShape dims -> big"), op("ReduceSum big -> r",
					onnxio.IntAttr("keepdims", 0)), op("Add x r -> y"),
			}),
			"ConstantOfShape dims->big; ReduceSum big->r; Add x,r->y; dims:int64[2]",
		},
		{
			"a large weight in a Constant is no bomb",
			model([]*onnxio.Node{constantNode("w",
				onnxio.NewTensor("", []int64{1, foldedBytes/4 + 1},
					make([]float32, foldedBytes/4+1))), op("Gather x w -> y")}),
			"Gather x,w->y; w:float32[1 16777217]",
		},
		{
			"an operator that the engine does not have stays",
			model([]*onnxio.Node{op("Frobnicate w -> f"), op("Add x f -> y")}, w),
			"Frobnicate w->f; Add x,f->y; w:float32[3]",
		},
		{
			"a reshape by a computed shape",
			model([]*onnxio.Node{
				constantNode("minus", shape), op("Shape w -> s"),
				op("Concat minus s -> to", onnxio.IntAttr("axis", 0)), op("Reshape x to -> y"),
			}, w),
			"Reshape x,to->y; to:int64[2]",
		},
	} {
		before := summary(c.model)
		got, err := Fold(c.model, Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if s := summary(got); s != c.want {
			t.Errorf("%s: got  %s\nwant %s", c.name, s, c.want)
		}
		if after := summary(c.model); after != before {
			t.Errorf("%s: the model itself became %s", c.name, after)
		}
	}
}

// A sparse initializer becomes a dense one, unless that is too large.
func TestFoldSparseInitializers(t *testing.T) {
	indices := onnxio.NewTensor("", []int64{2}, []int64{1, 5})
	small := &onnxio.SparseTensor{
		Dims: []int64{2, 3}, Values: onnxio.NewTensor("s", []int64{2}, []float32{5, 7}),
		Indices: indices,
	}
	large := &onnxio.SparseTensor{
		Dims:   []int64{foldedBytes, 3},
		Values: onnxio.NewTensor("l", []int64{2}, []float32{5, 7}), Indices: indices,
	}
	m := model([]*onnxio.Node{op("Add x s -> a"), op("Add a l -> y")})
	m.Graph.SparseInitializers = []*onnxio.SparseTensor{small, large}
	got, err := Fold(m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	dense := got.Graph.Initializer("s")
	if dense == nil || !slices.Equal(dense.Dims, small.Dims) {
		t.Fatalf("dense: %+v", dense)
	}
	if v, err := onnxio.Floats[float32](dense); err != nil || !slices.Equal(v, []float32{0, 5, 0, 0, 0, 7}) {
		t.Errorf("%v, %v", v, err)
	}
	if rest := got.Graph.SparseInitializers; len(rest) != 1 || rest[0] != large || len(got.Graph.Nodes) != 2 {
		t.Errorf("%d sparse initializers and %d nodes are left", len(rest), len(got.Graph.Nodes))
	}
	if len(m.Graph.SparseInitializers) != 2 {
		t.Error("the model that was given has changed")
	}
}

func TestFoldKeepsDefaultsOfInputs(t *testing.T) {
	m := model([]*onnxio.Node{op("Neg w -> v"), op("Add x v -> y")},
		onnxio.NewTensor("w", []int64{3}, []float32{1, 2, 3}))
	m.Graph.Inputs = append(m.Graph.Inputs, info("w", 3))
	got, err := Fold(m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s := summary(got); s != "Neg w->v; Add x,v->y; w:float32[3]" {
		t.Errorf("got %s", s)
	}
}

func TestFoldReportsWhatCannotRun(t *testing.T) {
	m := model([]*onnxio.Node{op("Reshape w to -> v"), op("Add x v -> y")},
		onnxio.NewTensor("w", []int64{3}, []float32{1, 2, 3}), onnxio.NewTensor("to", []int64{1}, []int64{4}))
	_, err := Fold(m, Options{})
	const want = `folding constants: node "v" (Reshape): shape [4] does not have the 3 elements of [3]`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestFoldTakesConstantBranch(t *testing.T) {
	for cond, want := range map[bool]string{
		true:  "Add x,y/k->y/r; Identity y/r->y; y/k:float32[1]",
		false: "Neg x->y/r; Identity y/r->y",
	} {
		choose := op("If c -> y")
		choose.Attributes = []*onnxio.Attribute{
			{Name: "then_branch", Type: onnxio.AttrGraph, G: &onnxio.Graph{
				Nodes: []*onnxio.Node{op("Add x k -> r")}, Outputs: []*onnxio.ValueInfo{info("r")},
				Initializers: []*onnxio.Tensor{onnxio.NewTensor("k", []int64{1}, []float32{1})},
			}},
			{
				Name: "else_branch", Type: onnxio.AttrGraph,
				G: &onnxio.Graph{Nodes: []*onnxio.Node{op("Neg x -> r")}, Outputs: []*onnxio.ValueInfo{info("r")}},
			},
		}
		got, err := Fold(model([]*onnxio.Node{choose}, onnxio.NewTensor("c", nil, []bool{cond})), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if s := summary(got); s != want {
			t.Errorf("%t: got %s, want %s", cond, s, want)
		}
	}
}

// TestFoldSettlesBranches: an If becomes its branch where the condition follows from
// shapes, at any depth; the branches' names may be those of outer values.
func TestFoldSettlesBranches(t *testing.T) {
	graph := func(out string, nodes ...*onnxio.Node) *onnxio.Graph {
		return &onnxio.Graph{Nodes: nodes, Outputs: []*onnxio.ValueInfo{info(out)}}
	}
	branch := func(n *onnxio.Node, then, other *onnxio.Graph) *onnxio.Node {
		n.Attributes = []*onnxio.Attribute{
			{Name: "then_branch", Type: onnxio.AttrGraph, G: then}, {
				Name: "else_branch", Type: onnxio.AttrGraph,
				G: other,
			},
		}
		return n
	}
	build := func() *onnxio.Model {
		// if h == 1 { y = squeeze(relu(x)) } else { if w > h { y = neg(x) } else { y = abs(x) } }
		inner := branch(op("If wide -> r"), graph("s", op("Neg c -> s")), graph("s", op("Abs c -> s")))
		m := model([]*onnxio.Node{
			op("Relu x -> r"), op("Identity x -> c"), op("Shape x -> shape"),
			op("Gather shape two -> h", onnxio.IntAttr("axis", 0)), op("Gather shape three -> w",
				onnxio.IntAttr("axis", 0)),
			op("Equal h one -> flat"), op("Equal w two -> wide"),
			branch(op("If flat -> y"), graph("q", op("Squeeze r axis -> q")), graph("r", inner)),
		}, onnxio.NewTensor("one", []int64{}, []int64{1}), onnxio.NewTensor("two", []int64{}, []int64{2}), onnxio.NewTensor("three", []int64{}, []int64{3}), onnxio.NewTensor("axis", []int64{1}, []int64{2}))
		m.Graph.Inputs = []*onnxio.ValueInfo{info("x", -1, 2, -1, -1)}
		for axis, name := range map[int]string{2: "H", 3: "W"} {
			m.Graph.Inputs[0].Type.Shape[axis] = onnxio.Symbol(name)
		}
		return m
	}
	for want, dims := range map[string][]int64{
		"Relu Squeeze Identity":          {-1, 2, 1, 5},
		"Identity Neg Identity Identity": {-1, 2, 4, 2},
		"Identity Abs Identity Identity": {-1, 2, 4, 3},
	} {
		folded, err := Fold(build(), Options{Inputs: map[string][]int64{"x": dims}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range folded.Graph.Nodes {
			got = append(got, n.OpType)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v: %v, want %s", dims, got, want)
		}
		shape := []int{3, 2, int(dims[2]), int(dims[3])}
		x := &engine.Tensor[float32]{Type: onnxio.Float32, Shape: shape, F: make([]float32, 6*shape[2]*shape[3])}
		for i := range x.F {
			x.F[i] = float32(i%5) - 2
		}
		if a, b := results(t, build(), x), results(t, folded, x); !slices.Equal(a["y"].F, b["y"].F) ||
			!slices.Equal(a["y"].Shape, b["y"].Shape) {
			t.Errorf("%v: another result: %v and %v", dims, a["y"], b["y"])
		}
	}
	// Without shapes the Ifs stay.
	folded, err := Fold(build(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if last := folded.Graph.Nodes[len(folded.Graph.Nodes)-1]; last.OpType != "If" {
		t.Errorf("ends with %s", last.OpType)
	}
}

func results(t *testing.T, m *onnxio.Model, x *engine.Tensor[float32]) map[string]*engine.Tensor[float32] {
	t.Helper()
	e, err := engine.New[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Run(t.Context(), map[string]*engine.Tensor[float32]{"x": x})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A sparse constant that products alone read stays if it is asked for, and else
// becomes dense, in its own precision.
func TestFoldSparse(t *testing.T) {
	const fine = 1 + 1e-12 // which no float32 is
	s := &onnxio.SparseTensor{
		Dims:   []int64{2, 3},
		Values: onnxio.NewTensor("s", []int64{3}, []float64{fine, 2, 3}), Indices: onnxio.NewTensor("", []int64{3, 2},
			[]int64{0, 0, 0, 2, 1, 1}),
	}
	for _, initializer := range []bool{false, true} {
		m := model([]*onnxio.Node{op("MatMul x s -> y")})
		if initializer {
			m.Graph.SparseInitializers = []*onnxio.SparseTensor{s}
		} else {
			m.Graph.Nodes = append([]*onnxio.Node{onnxio.SparseConstant("s", "s", s)}, m.Graph.Nodes...)
		}
		kept, err := Fold(m, Options{KeepSparse: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := engine.SparseFactors(kept.Graph)["s"]; got == nil || got.SparseTensor != s {
			t.Errorf("the sparse factor is %v", got)
		}
		folded, err := Fold(m, Options{})
		if err != nil {
			t.Fatal(err)
		}
		w := folded.Graph.Initializer("s")
		if w == nil || len(folded.Graph.Nodes) != 1 {
			t.Fatal("the sparse constant is not folded")
		}
		v, err := onnxio.Floats[float64](w)
		if err != nil || !slices.Equal(v, []float64{fine, 0, 2, 0, 3, 0}) {
			t.Errorf("folded to %v (%v)", v, err)
		}
	}
}

// A constant that a node hands on in a narrower type stays as it is for the others.
func TestFoldRoundsACopy(t *testing.T) {
	const fine = 1 + 1e-12
	d := onnxio.NewTensor("d", []int64{1}, []float64{fine})
	m := model([]*onnxio.Node{
		op("Cast d -> f", onnxio.IntAttr("to", int64(onnxio.Float32))), op("Neg d -> e"),
		op("Concat f f -> g", onnxio.IntAttr("axis", 0)),
	}, d)
	m.Graph.Outputs = []*onnxio.ValueInfo{info("g"), info("e")}
	folded, err := Fold(m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"g": 1, "e": -fine} {
		if v, err := onnxio.Floats[float64](folded.Graph.Initializer(name)); err != nil || v[0] != want {
			t.Errorf("%s is %v (%v), want %v", name, v, err, want)
		}
	}
}

// FuzzFold folds whatever parses as a model.
func FuzzFold(f *testing.F) {
	for _, name := range []string{"plain-torchscript", "lenet-dynamo", "keras-tf2onnx-shape"} {
		content, err := os.ReadFile(filepath.Join("../../testdata/models", name, "model.onnx"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		m, err := onnxio.ReadFrom(bytes.NewReader(content))
		if err != nil || m.Graph == nil {
			return
		}
		folded, err := Fold(m, Options{})
		if err != nil {
			return
		}
		for _, c := range folded.Graph.Initializers {
			if c.Type.IsFloat() {
				if _, err := onnxio.Floats[float64](c); err != nil && m.Graph.Initializer(c.Name) != c {
					t.Errorf("initializer %s: %v", c.Name, err)
				}
			}
		}
	})
}
