package cut_test

import (
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"efcn/convert/cut"
	"efcn/convert/internal/testnet"
	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// parts cuts a model for every rank.
func parts(t *testing.T, m *onnxio.Model, ranks int, o cut.Options) []*cut.Part {
	t.Helper()
	all := make([]*cut.Part, ranks)
	for r := range all {
		o.Rank, o.Ranks = r, ranks
		var err error
		if all[r], err = cut.Model(m, o); err != nil {
			t.Fatal(err)
		}
		if err := all[r].Model.Check(); err != nil {
			t.Fatalf("rank %d of %d: %v", r, ranks, err)
		}
	}
	return all
}

type tensor[T kernel.Float] = engine.Tensor[T]

// runParts computes the outputs of the parts of a model: what lies between two exchanges
// by the engine, rank by rank, and the exchanges by themselves. All ranks have to make
// the same ones.
func runParts[T kernel.Float](t *testing.T, all []*cut.Part, x *tensor[T]) []map[string]*tensor[T] {
	t.Helper()
	values := make([]map[string]*tensor[T], len(all))
	rest := make([][]*onnxio.Node, len(all))
	for r, p := range all {
		values[r] = map[string]*tensor[T]{p.Model.Graph.FeedInputs()[0].Name: x}
		rest[r] = p.Model.Graph.Nodes
	}
	for {
		exchanges := make([]*onnxio.Node, len(all))
		for r, p := range all {
			at := slices.IndexFunc(rest[r], func(n *onnxio.Node) bool { return n.Domain == onnxio.RanksDomain })
			if at < 0 {
				at = len(rest[r])
			} else {
				exchanges[r] = rest[r][at]
			}
			maps.Copy(values[r], runNodes(t, p.Model, rest[r][:at], values[r]))
			rest[r] = rest[r][min(at+1, len(rest[r])):]
		}
		if exchanges[0] == nil {
			break
		}
		exchange(t, exchanges, values)
	}
	out := make([]map[string]*tensor[T], len(all))
	for r, p := range all {
		out[r] = map[string]*tensor[T]{}
		for _, o := range p.Model.Graph.Outputs {
			if out[r][o.Name] = values[r][o.Name]; out[r][o.Name] == nil {
				w, err := engine.FromONNX[T](p.Model.Graph.Initializer(o.Name))
				if err != nil {
					t.Fatal(err)
				}
				out[r][o.Name] = w
			}
		}
	}
	return out
}

// runNodes runs a stretch of the nodes of a part by themselves.
func runNodes[T kernel.Float](t *testing.T, m *onnxio.Model, nodes []*onnxio.Node, values map[string]*tensor[T],
) map[string]*tensor[T] {
	t.Helper()
	if len(nodes) == 0 {
		return nil
	}
	g := &onnxio.Graph{Name: "stretch", Nodes: nodes}
	made, read := map[string]bool{}, map[string]bool{}
	feeds := map[string]*tensor[T]{}
	for _, n := range nodes {
		for name := range n.Reads() {
			if v := values[name]; v != nil && feeds[name] == nil {
				feeds[name] = v
				g.Inputs = append(g.Inputs, &onnxio.ValueInfo{Name: name, Type: onnxio.TensorType{Elem: v.Type}})
			}
			read[name] = true
		}
		for _, name := range n.Outputs {
			made[name] = name != "" && n.OpType != "Constant"
		}
	}
	// Only what others read, so that the nodes of a layer in local form run as one.
	links := m.Graph.Links()
	inside := onnxio.NewLinks(nodes)
	for _, name := range slices.Sorted(maps.Keys(made)) {
		if made[name] && links.Uses(name) > inside.Uses(name) {
			g.Outputs = append(g.Outputs, &onnxio.ValueInfo{Name: name})
		}
	}
	for _, t := range m.Graph.Initializers {
		if read[t.Name] {
			g.Initializers = append(g.Initializers, t)
		}
	}
	for _, n := range m.Graph.Nodes {
		if n.OpType == "Constant" && !made[n.Output(0)] && read[n.Output(0)] && !slices.Contains(nodes, n) {
			g.Nodes = append([]*onnxio.Node{n}, g.Nodes...)
		}
	}
	e, err := engine.New[T](&onnxio.Model{IRVersion: 8, Opsets: m.Opsets, Graph: g})
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Run(context.Background(), feeds)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// exchange computes what an operator over all ranks does, forward.
func exchange[T kernel.Float](t *testing.T, nodes []*onnxio.Node, values []map[string]*tensor[T]) {
	t.Helper()
	first := nodes[0]
	sizes, err := first.Ints("sizes")
	if err != nil {
		t.Fatal(err)
	}
	var in []*tensor[T]
	for r, n := range nodes {
		own, err := n.Ints("sizes")
		if n.OpType != first.OpType || n.Output(0) != first.Output(0) || err != nil || !slices.Equal(own, sizes) {
			t.Fatalf("rank %d comes to %s of %v, rank 0 to %s of %v", r, n.OpType, n.Outputs, first.OpType, first.Outputs)
		}
		x := values[r][n.Input(0)]
		if n.OpType == onnxio.AllGather && int64(x.Shape[1]) != sizes[r] {
			t.Fatalf("rank %d has %v of %v", r, x.Shape, sizes)
		}
		in = append(in, x)
	}
	for r, n := range nodes {
		y := in[r]
		if n.OpType == onnxio.AllGather {
			y = joined(in)
		}
		values[r][n.Output(0)] = y
	}
}

// joined is the tensors along axis 1.
func joined[T kernel.Float](in []*tensor[T]) *tensor[T] {
	y := &tensor[T]{Type: in[0].Type, Shape: slices.Clone(in[0].Shape)}
	y.Shape[1] = 0
	for _, x := range in {
		y.Shape[1] += x.Shape[1]
	}
	for s := range y.Shape[0] {
		for _, x := range in {
			n := len(x.F) / x.Shape[0]
			y.F = append(y.F, x.F[s*n:(s+1)*n]...)
		}
	}
	return y
}

// checkOutputs compares the outputs of the parts with those of the model, bit for bit.
func checkOutputs[T kernel.Float](t *testing.T, m *onnxio.Model, x *tensor[float64], all []*cut.Part) {
	t.Helper()
	narrow := &tensor[T]{Type: x.Type, Shape: x.Shape}
	for _, v := range x.F {
		narrow.F = append(narrow.F, T(v))
	}
	e, err := engine.New[T](m)
	if err != nil {
		t.Fatal(err)
	}
	input := m.Graph.FeedInputs()[0].Name
	want, err := e.Run(context.Background(), map[string]*tensor[T]{input: narrow})
	if err != nil {
		t.Fatal(err)
	}
	for r, got := range runParts(t, all, narrow) {
		for name, w := range want {
			if g := got[name]; g == nil || !slices.Equal(g.Shape, w.Shape) || !slices.Equal(g.F, w.F) {
				t.Errorf("rank %d of %d: output %q differs by %g", r, len(all), name, distance(g, w))
			}
		}
	}
}

// integral rounds the weights of a model, or makes those that would be 0 numbers from -2
// to 2, so that sums in float64 are exact in any order.
func integral(t *testing.T, m *onnxio.Model) *onnxio.Model {
	t.Helper()
	m = m.Clone()
	rng := rand.New(rand.NewPCG(3, 4))
	whole := func(of *onnxio.Tensor) *onnxio.Tensor {
		v, err := onnxio.Floats[float32](of)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(v, func(x float32) bool { return x < 1 || x != float32(math.Trunc(float64(x))) }) {
			return of // variances
		}
		for i := range v {
			v[i] = float32(rng.IntN(5) - 2)
		}
		return onnxio.NewTensor(of.Name, of.Dims, v)
	}
	for i, of := range m.Graph.Initializers {
		if of.Type == onnxio.Float32 && len(of.Dims) > 0 {
			m.Graph.Initializers[i] = whole(of)
		}
	}
	for name, s := range m.Graph.SparseConstants() {
		m.Graph.SetSparseValues(name, whole(s.Values).Data)
	}
	return m
}

// integers is a batch of n samples of small whole numbers.
func integers(n int, sample []int64) *tensor[float64] {
	x := testnet.RandomInput(rand.New(rand.NewPCG(1, 2)), n, sample)
	for i, v := range x.F {
		x.F[i] = math.Round(v)
	}
	return x
}

// checkSlices compares each initializer with that of the whole model.
func checkSlices(t *testing.T, all []*cut.Part) {
	t.Helper()
	for r, p := range all {
		for _, part := range p.Model.Graph.Initializers {
			whole := p.Whole.Graph.Initializer(part.Name)
			if whole == nil || !part.Type.IsFloat() {
				continue
			}
			w, err := onnxio.Floats[float64](whole)
			if err != nil {
				t.Fatal(err)
			}
			got, err := onnxio.Floats[float64](part)
			if err != nil {
				t.Fatal(err)
			}
			want := w
			if s, ok := p.Slices[part.Name]; ok {
				want = nil
				for o := range s.Outer {
					want = append(want, w[(o*s.Axis+s.Lo)*s.Inner:(o*s.Axis+s.Hi)*s.Inner]...)
				}
				if s.Len() != len(want) || s.Of(r).Lo != s.Lo || s.Bounds[len(all)] != s.Axis {
					t.Errorf("rank %d: %q: %+v", r, part.Name, s)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("rank %d: initializer %q is another slice", r, part.Name)
			}
		}
	}
}

// distance is the largest difference of two tensors' elements.
func distance[T kernel.Float](a, b *tensor[T]) float64 {
	if a == nil || !slices.Equal(a.Shape, b.Shape) {
		return math.Inf(1)
	}
	most := 0.0
	for i := range a.F {
		most = max(most, math.Abs(float64(a.F[i]-b.F[i])))
	}
	return most
}
