package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"efcn/onnxio"
)

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

func TestFoldConstants(t *testing.T) {
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
			model([]*onnxio.Node{constantNode("one", onnxio.NewTensor("", []int64{1}, []int64{3})), op("Shape w -> s"), op("Concat one s -> both", onnxio.IntAttr("axis", 0)), op("Expand x both -> y")}, w),
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
			model([]*onnxio.Node{op("Add h h -> g"), op("Cast g -> f", onnxio.IntAttr("to", 1)), op("Add x f -> a"), op("CastLike a g -> y")}, half),
			"Add x,f->a; CastLike a,g->y; g:float16[2]; f:float32[2]",
		},
		{
			"double stays double",
			model([]*onnxio.Node{op("Neg d -> e"), op("CastLike x e -> y")}, onnxio.NewTensor("d", []int64{1}, []float64{1e-300})),
			"CastLike x,e->y; e:float64[1]",
		},
		{
			"a bomb stays",
			model([]*onnxio.Node{
				constantNode("dims", onnxio.NewTensor("", []int64{2}, []int64{1 << 14, 1 << 14})),
				op("ConstantOfShape dims -> big"), op("ReduceSum big -> r", onnxio.IntAttr("keepdims", 0)), op("Add x r -> y"),
			}),
			"ConstantOfShape dims->big; ReduceSum big->r; Add x,r->y; dims:int64[2]",
		},
		{
			"an operator that the engine does not have stays",
			model([]*onnxio.Node{op("Frobnicate w -> f"), op("Add x f -> y")}, w),
			"Frobnicate w->f; Add x,f->y; w:float32[3]",
		},
		{
			"a reshape by a computed shape",
			model([]*onnxio.Node{constantNode("minus", shape), op("Shape w -> s"), op("Concat minus s -> to", onnxio.IntAttr("axis", 0)), op("Reshape x to -> y")}, w),
			"Reshape x,to->y; to:int64[2]",
		},
	} {
		before := summary(c.model)
		got, err := FoldConstants(c.model)
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
	small := &onnxio.SparseTensor{Dims: []int64{2, 3}, Values: onnxio.NewTensor("s", []int64{2}, []float32{5, 7}), Indices: indices}
	large := &onnxio.SparseTensor{Dims: []int64{foldedBytes, 3}, Values: onnxio.NewTensor("l", []int64{2}, []float32{5, 7}), Indices: indices}
	m := model([]*onnxio.Node{op("Add x s -> a"), op("Add a l -> y")})
	m.Graph.SparseInitializers = []*onnxio.SparseTensor{small, large}
	got, err := FoldConstants(m)
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
	m := model([]*onnxio.Node{op("Neg w -> v"), op("Add x v -> y")}, onnxio.NewTensor("w", []int64{3}, []float32{1, 2, 3}))
	m.Graph.Inputs = append(m.Graph.Inputs, info("w", 3))
	got, err := FoldConstants(m)
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
	_, err := FoldConstants(m)
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
			{Name: "else_branch", Type: onnxio.AttrGraph, G: &onnxio.Graph{Nodes: []*onnxio.Node{op("Neg x -> r")}, Outputs: []*onnxio.ValueInfo{info("r")}}},
		}
		got, err := FoldConstants(model([]*onnxio.Node{choose}, onnxio.NewTensor("c", nil, []bool{cond})))
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
			{Name: "then_branch", Type: onnxio.AttrGraph, G: then}, {Name: "else_branch", Type: onnxio.AttrGraph, G: other},
		}
		return n
	}
	build := func() *onnxio.Model {
		// if h == 1 { y = squeeze(relu(x)) } else { if w > h { y = neg(x) } else { y = abs(x) } }
		inner := branch(op("If wide -> r"), graph("s", op("Neg c -> s")), graph("s", op("Abs c -> s")))
		m := model([]*onnxio.Node{
			op("Relu x -> r"), op("Identity x -> c"), op("Shape x -> shape"),
			op("Gather shape two -> h", onnxio.IntAttr("axis", 0)), op("Gather shape three -> w", onnxio.IntAttr("axis", 0)),
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
		folded, err := FoldConstantsAt(build(), map[string][]int64{"x": dims})
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
		x := value(shape, make([]float32, 6*shape[2]*shape[3])...)
		for i := range x.F {
			x.F[i] = float32(i%5) - 2
		}
		if a, b := results(t, build(), x), results(t, folded, x); !slices.Equal(a["y"].F, b["y"].F) || !slices.Equal(a["y"].Shape, b["y"].Shape) {
			t.Errorf("%v: another result: %v and %v", dims, a["y"], b["y"])
		}
	}
	// Without shapes the Ifs stay.
	folded, err := FoldConstants(build())
	if err != nil {
		t.Fatal(err)
	}
	if last := folded.Graph.Nodes[len(folded.Graph.Nodes)-1]; last.OpType != "If" {
		t.Errorf("ends with %s", last.OpType)
	}
}

func results(t *testing.T, m *onnxio.Model, x *Tensor[float32]) map[string]*Tensor[float32] {
	t.Helper()
	e, err := New[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Run(t.Context(), feed(x))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRefusedBranch: what is wrong inside a branch is said, and nothing of the
// attributes that were not read for it.
func TestRefusedBranch(t *testing.T) {
	n := op("If c -> y")
	bad := op("Relu x -> r")
	bad.OpType = "Scan"
	n.Attributes = []*onnxio.Attribute{
		{Name: "then_branch", Type: onnxio.AttrGraph, G: &onnxio.Graph{Nodes: []*onnxio.Node{op("Relu x -> r")}, Outputs: []*onnxio.ValueInfo{info("r")}}},
		{Name: "else_branch", Type: onnxio.AttrGraph, G: &onnxio.Graph{Nodes: []*onnxio.Node{bad}, Outputs: []*onnxio.ValueInfo{info("r")}}},
	}
	c := info("c")
	c.Type.Elem = onnxio.Bool
	m := model([]*onnxio.Node{n})
	m.Graph.Inputs = append(m.Graph.Inputs, c)
	_, err := New[float32](m)
	if err == nil || !strings.Contains(err.Error(), "the engine does not have this operator") || strings.Contains(err.Error(), "then_branch") {
		t.Errorf("%v", err)
	}
}

func TestRunFunctions(t *testing.T) {
	scaled := &onnxio.Function{
		Name: "Scaled", Domain: "local", Inputs: []string{"v", "bias"}, Outputs: []string{"out"},
		Attributes: []string{"slope"},
		Nodes: []*onnxio.Node{
			op("LeakyRelu v -> t", &onnxio.Attribute{Name: "alpha", RefName: "slope", Type: onnxio.AttrFloat}),
			op("Add t bias -> out"),
		},
		Opsets: []onnxio.Opset{{Version: 17}},
	}
	twice := &onnxio.Function{
		Name: "Twice", Domain: "local", Inputs: []string{"v", "b"}, Outputs: []string{"w"},
		Nodes: []*onnxio.Node{
			{OpType: "Scaled", Domain: "local", Name: "first", Inputs: []string{"v", "b"}, Outputs: []string{"t"}, Attributes: []*onnxio.Attribute{onnxio.FloatAttr("slope", 0.5)}},
			{OpType: "Scaled", Domain: "local", Inputs: []string{"t", "b"}, Outputs: []string{"w"}},
		},
		Opsets: []onnxio.Opset{{Version: 17}, {Domain: "local", Version: 1}},
	}
	call := &onnxio.Node{OpType: "Twice", Domain: "local", Name: "call", Inputs: []string{"x", "b"}, Outputs: []string{"y"}}
	m := model([]*onnxio.Node{call}, onnxio.NewTensor("b", []int64{1}, []float32{1}))
	m.Opsets = append(m.Opsets, onnxio.Opset{Domain: "local", Version: 1})
	m.Functions = []*onnxio.Function{scaled, twice}

	e, err := New[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Run(t.Context(), feed(value([]int{1, 3}, -4, 0, 4)))
	if err != nil {
		t.Fatal(err)
	}
	if err := compare(out["y"], value([]int{1, 3}, 0.99, 2, 6), 1e-6, 0); err != nil {
		t.Error(err)
	}
}
