package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// matrix is a plain one in float64.
type matrix struct {
	rows, cols int
	v          []float64
}

func randomMatrix[T kernel.Float](rng *rand.Rand, rows, cols int) matrix {
	m := matrix{rows, cols, make([]float64, rows*cols)}
	for i := range m.v {
		m.v[i] = float64(T(rng.NormFloat64()))
	}
	return m
}

func (m matrix) transposed() matrix {
	t := matrix{m.cols, m.rows, nil}
	for i := range m.v {
		t.v = append(t.v, m.v[i%m.rows*m.cols+i/m.rows])
	}
	return t
}

func elementsOf[T kernel.Float](v []float64) []T {
	e := make([]T, len(v))
	for i := range v {
		e[i] = T(v[i])
	}
	return e
}

// sparseTensor stores what of a matrix is not NaN, by index pairs or linear ones.
func sparseTensor[T kernel.Float](m matrix, pairs bool) *onnxio.SparseTensor {
	var values []T
	var index []int64
	for i, v := range m.v {
		switch {
		case math.IsNaN(v):
			continue
		case pairs:
			index = append(index, int64(i/m.cols), int64(i%m.cols))
		default:
			index = append(index, int64(i))
		}
		values = append(values, T(v))
	}
	dims := []int64{int64(len(values))}
	if pairs {
		dims = append(dims, 2)
	}
	return &onnxio.SparseTensor{
		Dims:   []int64{int64(m.rows), int64(m.cols)},
		Values: onnxio.NewTensor("s", dims[:1], values), Indices: onnxio.NewTensor("", dims, index),
	}
}

// sparseModel multiplies the input x by the sparse constant s.
func sparseModel(s *onnxio.SparseTensor, node *onnxio.Node, initializer bool, rank int,
	inits ...*onnxio.Tensor,
) *onnxio.Model {
	free := slices.Repeat([]int64{-1}, rank)
	x, y := info("x", free...), info("y", free...)
	x.Type.Elem, y.Type.Elem = s.Values.Type, s.Values.Type
	y.Type.HasShape = false
	m := &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, Graph: &onnxio.Graph{
		Inputs: []*onnxio.ValueInfo{x}, Outputs: []*onnxio.ValueInfo{y}, Nodes: []*onnxio.Node{node}, Initializers: inits,
	}}
	if initializer {
		m.Graph.SparseInitializers = []*onnxio.SparseTensor{s}
		return m
	}
	m.Graph.Nodes = append([]*onnxio.Node{{
		Name: "s", OpType: "Constant", Outputs: []string{"s"},
		Attributes: []*onnxio.Attribute{
			{Name: "sparse_value", Type: onnxio.AttrSparseTensor, Sparse: s},
		},
	}}, m.Graph.Nodes...)
	return m
}

// checkSparse runs a product by a sparse factor in one of its forms and compares it
// with loops over A' and B'. Along k, where they meet, nothing of the sparse one is
// stored at bad, and the other one is infinite there, so that the dense product
// would be no number.
func checkSparse[T kernel.Float](t *testing.T, seed uint64, op, detail string, at int, tolerance float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, uint64(at)))
	m, k, n := 1+rng.IntN(20), 2+rng.IntN(20), 1+rng.IntN(20)
	switch {
	case detail == "vector" && at == 0:
		n = 1
	case detail == "vector":
		m = 1
	case detail == "leading axes":
		m *= 6
	}
	factors := [2]matrix{randomMatrix[T](rng, m, k), randomMatrix[T](rng, k, n)}
	bad := rng.IntN(k)
	stored := factors
	for f := range factors {
		stored[f].v = slices.Clone(factors[f].v)
		for i := range factors[f].v {
			meet := i / n
			if f == 0 {
				meet = i % k
			}
			switch {
			case f == at && (meet == bad || rng.IntN(3) > 0):
				stored[f].v[i], factors[f].v[i] = math.NaN(), 0
			case f == at && rng.IntN(8) == 0:
				stored[f].v[i], factors[f].v[i] = 0, 0
			case f != at && meet == bad:
				stored[f].v[i], factors[f].v[i] = math.Inf(1), 0
			}
		}
	}
	node := &onnxio.Node{Name: "p", OpType: op, Inputs: []string{"x", "s"}, Outputs: []string{"y"}}
	if at == 0 {
		slices.Reverse(node.Inputs)
	}
	alpha, beta := 1.0, 1.0
	c := matrix{1, 1, []float64{0}}
	var inits []*onnxio.Tensor
	if op == "Gemm" {
		for i, name := range []string{"transA", "transB"} {
			if rng.IntN(2) == 0 {
				stored[i] = stored[i].transposed()
				node.Attributes = append(node.Attributes, onnxio.IntAttr(name, 1))
			}
		}
		if rng.IntN(3) == 0 {
			alpha, beta = 0.5, -2
			node.Attributes = append(node.Attributes, onnxio.FloatAttr("alpha", 0.5), onnxio.FloatAttr("beta", -2))
		}
		if detail == "C" {
			sizes := [][2]int{{1, n}, {m, n}, {m, 1}, {1, 1}}[rng.IntN(4)]
			c = randomMatrix[T](rng, sizes[0], sizes[1])
			dims := []int64{int64(c.rows), int64(c.cols)}
			if c.rows == 1 && rng.IntN(2) == 0 {
				dims = dims[1:]
			}
			inits = append(inits, onnxio.NewTensor("c", dims, elementsOf[T](c.v)))
			node.Inputs = append(node.Inputs, "c")
		}
	}
	other := stored[1-at]
	shape := []int{other.rows, other.cols}
	switch detail {
	case "vector":
		shape = []int{k}
	case "leading axes":
		shape = []int{2, 3, m / 6, k}
	}
	s := sparseTensor[T](stored[at], seed%2 == 0)
	e, err := New[T](sparseModel(s, node, seed%4 < 2, len(shape), inits...))
	if err != nil {
		t.Fatal(err)
	}
	x := &Tensor[T]{Type: s.Values.Type, Shape: shape, F: elementsOf[T](other.v)}
	for _, see := range []func(string, *Tensor[T]) error{nil, func(string, *Tensor[T]) error { return nil }} {
		out, err := e.Observe(t.Context(), map[string]*Tensor[T]{"x": x}, see)
		if err != nil {
			t.Fatalf("%d: %v", seed, err)
		}
		y := out["y"]
		if len(y.F) != m*n || detail == "vector" && len(y.Shape) != 1 || detail == "leading axes" &&
			!slices.Equal(y.Shape, []int{2, 3, m / 6, n}) {
			t.Fatalf("%d: shape %v of a product of %d×%d and %d×%d", seed, y.Shape, m, k, k, n)
		}
		for i := range m {
			for j := range n {
				want := beta * c.v[i%c.rows*c.cols+j%c.cols]
				for q := range k {
					want += alpha * factors[0].v[i*k+q] * factors[1].v[q*n+j]
				}
				if got := float64(y.F[i*n+j]); !(math.Abs(got-want) <= tolerance) {
					t.Fatalf("%d: %s at %d, attributes %v, C %d×%d: y[%d,%d] = %g, want %g", seed, op, at,
						node.Attributes, c.rows, c.cols, i, j, got, want)
				}
			}
		}
	}
}

func TestSparseFactors(t *testing.T) {
	cases := 0
	for _, c := range []struct {
		op, detail string
		at         int
	}{
		{"Gemm", "", 0},
		{"Gemm", "", 1},
		{"Gemm", "C", 0},
		{"Gemm", "C", 1},
		{"MatMul", "", 0},
		{"MatMul", "", 1},
		{"MatMul", "vector", 0},
		{"MatMul", "vector", 1},
		{"MatMul", "leading axes", 1},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			for seed := range uint64(50) {
				// Sums of at most 23 terms, each below 25: half a unit of the last place of
				// each partial sum.
				checkSparse[float32](t, seed, c.op, c.detail, c.at, 23*23*25*0x1p-24)
				checkSparse[float64](t, seed, c.op, c.detail, c.at, 23*23*25*0x1p-53)
				cases++
			}
		})
	}
	if cases != 450 {
		t.Errorf("%d cases, want 450", cases)
	}
}

// A sparse constant that is no factor, or not only that, is dense as before, and
// so is one that is not as ONNX has it.
func TestSparseElsewhere(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	cases := 0
	for name, c := range map[string]struct {
		edit func(g *onnxio.Graph, s *onnxio.SparseTensor)
		want int
	}{
		"as it is": {func(*onnxio.Graph, *onnxio.SparseTensor) {}, 1},
		"two products": {func(g *onnxio.Graph, _ *onnxio.SparseTensor) {
			g.Nodes = append(g.Nodes, op("Relu y -> r"), op("MatMul s r -> z"))
			g.Outputs = []*onnxio.ValueInfo{info("z", -1, -1)}
		}, 1},
		"a sum": {func(g *onnxio.Graph, _ *onnxio.SparseTensor) {
			g.Nodes = append(g.Nodes, op("Add s y -> z"))
			g.Outputs = []*onnxio.ValueInfo{info("z", -1, -1)}
		}, 0},
		"C of a Gemm": {func(g *onnxio.Graph, _ *onnxio.SparseTensor) {
			g.Nodes = append(g.Nodes, op("Gemm y x s -> z"))
			g.Outputs = []*onnxio.ValueInfo{info("z", -1, -1)}
		}, 0},
		"its square": {func(g *onnxio.Graph, _ *onnxio.SparseTensor) {
			g.Nodes = append(g.Nodes, op("MatMul s s -> q"), op("MatMul y q -> z"))
			g.Outputs = []*onnxio.ValueInfo{info("z", -1, -1)}
		}, 0},
		"an output": {func(g *onnxio.Graph, _ *onnxio.SparseTensor) {
			g.Outputs = append(g.Outputs, info("s", -1, -1))
		}, 0},
		"a branch": {func(g *onnxio.Graph, _ *onnxio.SparseTensor) {
			branch := func() *onnxio.Graph {
				return &onnxio.Graph{
					Nodes:   []*onnxio.Node{op("MatMul y s -> b")},
					Outputs: []*onnxio.ValueInfo{info("b", -1, -1)},
				}
			}
			g.Initializers = append(g.Initializers,
				&onnxio.Tensor{Name: "yes", Type: onnxio.Bool, Data: onnxio.NewTensor("", []int64{1}, []uint8{1}).Data})
			g.Nodes = append(g.Nodes, op("If yes -> z",
				&onnxio.Attribute{
					Name: "then_branch", Type: onnxio.AttrGraph,
					G: branch(),
				}, &onnxio.Attribute{Name: "else_branch", Type: onnxio.AttrGraph, G: branch()}))
			g.Outputs = []*onnxio.ValueInfo{info("z", -1, -1)}
		}, 0},
		"out of order": {func(_ *onnxio.Graph, s *onnxio.SparseTensor) {
			s.Indices = onnxio.NewTensor("", []int64{3}, []int64{4, 1, 8})
		}, 0},
		"out of order in a row": {func(_ *onnxio.Graph, s *onnxio.SparseTensor) {
			s.Indices = onnxio.NewTensor("", []int64{3}, []int64{1, 0, 8})
		}, 0},
	} {
		s := &onnxio.SparseTensor{
			Dims: []int64{3, 3}, Values: onnxio.NewTensor("s", []int64{3},
				[]float32{1, 2, 3}), Indices: onnxio.NewTensor("", []int64{3}, []int64{1, 3, 8}),
		}
		m := sparseModel(s, op("MatMul x s -> y"), cases%2 == 0, 2)
		c.edit(m.Graph, s)
		if got := len(SparseFactors(m.Graph)); got != c.want {
			t.Errorf("%s: %d sparse factors, want %d", name, got, c.want)
		}
		dense := m.Clone()
		full, err := fromSparse[float32](s)
		if err != nil {
			t.Fatal(err)
		}
		dense.Graph.SparseInitializers = nil
		dense.Graph.Nodes = slices.DeleteFunc(dense.Graph.Nodes,
			func(n *onnxio.Node) bool { return n.OpType == "Constant" })
		dense.Graph.Initializers = append(dense.Graph.Initializers, ToONNX("s", full))
		x := &Tensor[float32]{Type: onnxio.Float32, Shape: []int{3, 3}, F: make([]float32, 9)}
		for i := range x.F {
			x.F[i] = float32(rng.IntN(7)) // sums that are exact
		}
		var results [2]map[string]*Tensor[float32]
		for i, m := range []*onnxio.Model{m, dense} {
			e, err := New[float32](m)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if results[i], err = e.Run(t.Context(), map[string]*Tensor[float32]{"x": x}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for out, want := range results[1] {
			if got := results[0][out]; !slices.Equal(got.F, want.F) || !slices.Equal(got.Shape, want.Shape) {
				t.Errorf("%s: %s is %v, dense %v", name, out, got, want)
			}
		}
		cases++
	}
	if cases != 9 {
		t.Errorf("%d cases", cases)
	}
}

// What the dense product refuses, the sparse one refuses with the same words.
func TestSparseRefuses(t *testing.T) {
	s := &onnxio.SparseTensor{
		Dims: []int64{2, 3}, Values: onnxio.NewTensor("s", []int64{1}, []float32{1}), Indices: onnxio.NewTensor("",
			[]int64{1}, []int64{1}),
	}
	for want, c := range map[string]struct {
		node *onnxio.Node
		x    []int
	}{
		"shapes [2 3] and [2 3] do not multiply":              {op("MatMul x s -> y"), []int{2, 3}},
		"shapes [2 3] and [2 3] (transA false, transB false)": {op("Gemm x s -> y"), []int{2, 3}},
		"operands of shape [2] and [2 3]; want matrices":      {op("Gemm x s -> y"), []int{2}},
		"operands of shape [] and [2 3]; a scalar does not":   {op("MatMul x s -> y"), []int{}},
		"C of shape [5] does not broadcast to [4 3]":          {op("Gemm x s c -> y"), []int{4, 2}},
		"attribute transC is unknown in version 13": {
			op("Gemm x s -> y", onnxio.IntAttr("transC", 1)),
			[]int{4, 2},
		},
		`input "nowhere": nothing before this node computes it`: {op("Gemm nowhere s -> y"), []int{4, 2}},
	} {
		m := sparseModel(s, c.node, true, len(c.x), onnxio.NewTensor("c", []int64{5}, make([]float32, 5)))
		e, err := New[float32](m)
		if err == nil {
			_, err = e.Run(t.Context(), map[string]*Tensor[float32]{"x": {
				Type: onnxio.Float32, Shape: c.x,
				F: make([]float32, product(c.x)),
			}})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A large matrix takes the memory of its entries: as a dense one it would be
// refused.
func TestSparseLarge(t *testing.T) {
	const size = 1 << 17 // 2³⁴ elements
	index, values := make([]int64, size), make([]float32, size)
	for i := range index {
		index[i], values[i] = int64(i)*size+int64(size-1-i), float32(i%100)
	}
	s := &onnxio.SparseTensor{
		Dims: []int64{size, size}, Values: onnxio.NewTensor("s", []int64{size}, values),
		Indices: onnxio.NewTensor("", []int64{size}, index),
	}
	e, err := New[float32](sparseModel(s, op("Gemm x s -> y", onnxio.IntAttr("transB", 1)), false, 2))
	if err != nil {
		t.Fatal(err)
	}
	x := &Tensor[float32]{Type: onnxio.Float32, Shape: []int{1, size}, F: make([]float32, size)}
	for i := range x.F {
		x.F[i] = float32(i % 7)
	}
	y, err := e.Run(t.Context(), map[string]*Tensor[float32]{"x": x})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range y["y"].F {
		if want := values[i] * x.F[size-1-i]; v != want {
			t.Fatalf("y[%d] = %g, want %g", i, v, want)
		}
	}
}

// Weights that the model holds as a slice may change between runs.
func TestSparseLive(t *testing.T) {
	values := []float32{2}
	s := &onnxio.SparseTensor{
		Dims: []int64{1, 1}, Values: onnxio.NewTensor("s", []int64{1}, values),
		Indices: onnxio.NewTensor("", []int64{1}, []int64{0}),
	}
	e, err := New[float32](sparseModel(s, op("MatMul x s -> y"), true, 2))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []float32{2, 5} {
		values[0] = w
		y, err := e.Run(t.Context(), map[string]*Tensor[float32]{"x": {
			Type: onnxio.Float32, Shape: []int{1, 1},
			F: []float32{3},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if got := y["y"].F[0]; got != 3*w {
			t.Errorf("%g, want %g", got, 3*w)
		}
	}
}

// Rows and columns without entries take memory too, and are refused where they are
// far more than the entries.
func TestSparseAbsurd(t *testing.T) {
	s := &onnxio.SparseTensor{
		Dims: []int64{1 << 31, 1 << 30}, Values: onnxio.NewTensor("s", []int64{1},
			[]float32{1}), Indices: onnxio.NewTensor("", []int64{1}, []int64{1}),
	}
	if _, err := csrOf(s); err == nil || !strings.Contains(err.Error(), "too many rows or columns for so few") {
		t.Error(err)
	}
	for _, initializer := range []bool{false, true} {
		e, err := New[float32](sparseModel(s, op("Gemm x s -> y"), initializer, 2))
		if err == nil {
			_, err = e.Run(t.Context(), map[string]*Tensor[float32]{"x": {
				Type: onnxio.Float32, Shape: []int{1, 1},
				F: []float32{1},
			}})
		}
		if err == nil || !strings.Contains(err.Error(), "too many elements") {
			t.Error(err)
		}
	}
}

// A matrix without any entry is one of zeros.
func TestSparseEmpty(t *testing.T) {
	s := &onnxio.SparseTensor{
		Dims: []int64{2, 3}, Values: onnxio.NewTensor("s", []int64{0}, []float32{}),
		Indices: onnxio.NewTensor("", []int64{0}, []int64{}),
	}
	for _, node := range []*onnxio.Node{op("Gemm x s c -> y"), op("MatMul x s -> y")} {
		e, err := New[float32](sparseModel(s, node, true, 2, onnxio.NewTensor("c", []int64{3}, []float32{1, 2, 3})))
		if err != nil {
			t.Fatal(err)
		}
		y, err := e.Run(t.Context(), map[string]*Tensor[float32]{"x": {
			Type: onnxio.Float32, Shape: []int{1, 2},
			F: []float32{1, 1},
		}})
		if err != nil {
			t.Fatal(err)
		}
		want := []float32{0, 0, 0}
		if node.OpType == "Gemm" {
			want = []float32{1, 2, 3}
		}
		if !slices.Equal(y["y"].F, want) {
			t.Errorf("%s: %v", node.OpType, y["y"].F)
		}
	}
}

// A product of the sparse matrix with several matrices is left to the dense one.
func TestSparseBatched(t *testing.T) {
	s := &onnxio.SparseTensor{
		Dims: []int64{1, 2}, Values: onnxio.NewTensor("s", []int64{1}, []float32{3}),
		Indices: onnxio.NewTensor("", []int64{1}, []int64{1}),
	}
	e, err := New[float32](sparseModel(s, op("MatMul s x -> y"), true, 3))
	if err != nil {
		t.Fatal(err)
	}
	y, err := e.Run(t.Context(), map[string]*Tensor[float32]{"x": {
		Type: onnxio.Float32, Shape: []int{2, 2, 1},
		F: []float32{1, 2, 3, 4},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if v := y["y"]; !slices.Equal(v.Shape, []int{2, 1, 1}) || !slices.Equal(v.F, []float32{6, 12}) {
		t.Errorf("got %v", v)
	}
}
