package landscape

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/internal/cuda"
	"efcn/internal/engines"
	"efcn/onnxio"
)

const (
	inputs  = 6
	hidden  = 12
	classes = 3
)

// set has classes that are the sign pattern of two inputs: no linear model
// tells them apart.
func set(n int, seed uint64) *data.Set {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := &data.Set{X: make([]float32, n*inputs), Shape: []int{inputs}, Labels: make([]int, n), Classes: classes}
	for i := range n {
		x := s.X[i*inputs : (i+1)*inputs]
		for k := range x {
			x[k] = float32(rng.NormFloat64())
		}
		switch {
		case x[0]*x[1] > 0.2:
			s.Labels[i] = 1
		case x[0]*x[1] < -0.2:
			s.Labels[i] = 2
		}
	}
	return s
}

// model is an untrained net of one hidden layer.
func model(seed uint64) *onnxio.Model {
	rng := rand.New(rand.NewPCG(seed, 2))
	tensor := func(name string, scale float64, dims ...int64) *onnxio.Tensor {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(scale * rng.NormFloat64())
		}
		return onnxio.NewTensor(name, dims, v)
	}
	value := func(name string, width int64) *onnxio.ValueInfo {
		return &onnxio.ValueInfo{
			Name: name,
			Type: onnxio.TensorType{
				Elem: onnxio.Float32, HasShape: true,
				Shape: onnxio.Shape{onnxio.Symbol("N"), onnxio.Fixed(width)},
			},
		}
	}
	return &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, Graph: &onnxio.Graph{
		Name: "net", Inputs: []*onnxio.ValueInfo{value("x", inputs)}, Outputs: []*onnxio.ValueInfo{value("logits", classes)},
		Initializers: []*onnxio.Tensor{
			tensor("w1", 0.5, hidden, inputs), tensor("b1", 0.1, hidden), tensor("w2", 0.5, classes, hidden),
			tensor("b2", 0.1, classes),
		},
		Nodes: []*onnxio.Node{
			{
				Name: "fc1", OpType: "Gemm", Inputs: []string{"x", "w1", "b1"}, Outputs: []string{"h"},
				Attributes: []*onnxio.Attribute{onnxio.IntAttr("transB", 1)},
			},
			{Name: "relu", OpType: "Relu", Inputs: []string{"h"}, Outputs: []string{"r"}},
			{
				Name: "fc2", OpType: "Gemm", Inputs: []string{"r", "w2", "b2"}, Outputs: []string{"logits"},
				Attributes: []*onnxio.Attribute{onnxio.IntAttr("transB", 1)},
			},
		},
	}}
}

func trained(t *testing.T, seed uint64, train *data.Set) *onnxio.Model {
	t.Helper()
	m, err := finetune.Train(context.Background(), model(seed), train, nil,
		finetune.Options{Epochs: 60, Batch: 20, Rate: 0.1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func floats(t *testing.T, m *onnxio.Model, name string) []float32 {
	t.Helper()
	v, err := onnxio.Floats[float32](m.Graph.Initializer(name))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// sparse returns a model with w1 as a sparse constant of all its entries.
func sparse(t *testing.T, m *onnxio.Model) *onnxio.Model {
	t.Helper()
	c := m.Clone()
	w := c.Graph.Initializers[0]
	index := make([]int64, hidden*inputs)
	for i := range index {
		index[i] = int64(i)
	}
	n := []int64{hidden * inputs}
	c.Graph.Initializers = c.Graph.Initializers[1:]
	c.Graph.Nodes = append([]*onnxio.Node{{
		Name: "w1", OpType: "Constant", Outputs: []string{"w1"},
		Attributes: []*onnxio.Attribute{{
			Name: "sparse_value", Type: onnxio.AttrSparseTensor, Sparse: &onnxio.SparseTensor{
				Dims: w.Dims, Values: onnxio.NewTensor("", n, floats(t, m, "w1")), Indices: onnxio.NewTensor("", n, index),
			},
		}},
	}}, c.Graph.Nodes...)
	return c
}

func interpolate(t *testing.T, a, b *onnxio.Model, train, test *data.Set, o Options) *Path {
	t.Helper()
	p, err := Interpolate(context.Background(), a, b, train, test, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func evaluate(t *testing.T, m *onnxio.Model, set *data.Set) finetune.Metrics {
	t.Helper()
	metrics, err := finetune.Evaluate(context.Background(), m, set, 0)
	if err != nil {
		t.Fatal(err)
	}
	return metrics
}

// On every path the ends are the models themselves.
func TestEndsAreTheModels(t *testing.T) {
	train, test := set(200, 1), set(100, 2)
	a, b := trained(t, 1, train), trained(t, 2, train)
	for _, mode := range Modes() {
		o := Options{Mode: mode, Points: 5}
		if mode == String {
			o.String = StringOptions{Images: 4, Stiffness: 1, Epochs: 2, Batch: 50, Rate: 0.05}
		}
		p := interpolate(t, a, b, train, test, o)
		if len(p.Points) != 5 || p.Points[2].T != 0.5 {
			t.Fatalf("%s: points %+v", mode, p.Points)
		}
		for i, m := range map[int]*onnxio.Model{0: a, 4: b} {
			if q := p.Points[i]; q.Train != evaluate(t, m, train) || *q.Test != evaluate(t, m, test) {
				t.Errorf("%s: at t = %g: %+v, the model itself %+v", mode, q.T, q.Train, evaluate(t, m, train))
			}
		}
	}
}

// Sparse constants are interpolated as what they store.
func TestSparsePaths(t *testing.T) {
	train := set(200, 1)
	a, b := trained(t, 1, train), trained(t, 2, train)
	for _, mode := range Modes() {
		o := Options{Mode: mode, Points: 5}
		if mode == String {
			o.String = StringOptions{Images: 4, Stiffness: 1, Epochs: 1, Batch: 50, Rate: 0.05}
		}
		want, got := interpolate(t, a, b, train, nil, o), interpolate(t, sparse(t, a), sparse(t, b), train, nil, o)
		for i, p := range got.Points {
			// The sums of an output are in another order, which a string has gone through
			// several times.
			if q := want.Points[i]; math.Abs(p.Train.Loss-q.Train.Loss) > 1e-4*q.Train.Loss {
				t.Errorf("%s: at t = %g: %+v, dense %+v", mode, p.T, p.Train, q.Train)
			}
		}
		if math.Abs(got.Length-want.Length) > 1e-4*want.Length ||
			math.Abs(got.Distance-want.Distance) > 1e-4*want.Distance || (want.Distance == 0) != (mode == Average) {
			t.Errorf("%s: length %g, dense %g", mode, got.Length, want.Length)
		}
	}
	other := sparse(t, b)
	s := other.Graph.SparseConstants()["w1"]
	n := []int64{hidden*inputs - 1}
	index := make([]int64, n[0])
	for i := range index {
		index[i] = int64(i)
	}
	s.Values, s.Indices = onnxio.NewTensor("", n, make([]float32, n[0])), onnxio.NewTensor("", n, index)
	if _, err := Interpolate(t.Context(), sparse(t, a), other, train, nil, Options{}); err == nil ||
		!strings.Contains(err.Error(), `sparse constant "w1": the two models store other entries of it`) {
		t.Errorf("other entries: %v", err)
	}
}

// The middle of each path, against what its definition says, written out.
func TestMiddleOfThePath(t *testing.T) {
	train := set(200, 1)
	a, b := trained(t, 1, train), trained(t, 2, train)
	middle := func(curved bool) *onnxio.Model {
		m := a.Clone()
		for i, init := range m.Graph.Initializers {
			x, y := floats(t, a, init.Name), floats(t, b, init.Name)
			w := make([]float32, len(x))
			var nx, ny, nw float64
			for k := range w {
				v := (float64(x[k]) + float64(y[k])) / 2
				nx, ny, nw = nx+float64(x[k])*float64(x[k]), ny+float64(y[k])*float64(y[k]), nw+v*v
				w[k] = float32(v)
			}
			if curved {
				for k := range w {
					w[k] = float32(float64(w[k]) * (math.Sqrt(nx) + math.Sqrt(ny)) / 2 / math.Sqrt(nw))
				}
			}
			m.Graph.Initializers[i] = onnxio.NewTensor(init.Name, init.Dims, w)
		}
		return m
	}
	for mode, want := range map[Mode]finetune.Metrics{
		Linear:      evaluate(t, middle(false), train),
		Curvilinear: evaluate(t, middle(true), train),
	} {
		got := interpolate(t, a, b, train, nil, Options{Mode: mode, Points: 3}).Points[1]
		if math.Abs(got.Train.Loss-want.Loss) > 1e-6*want.Loss || got.Train.Top1 != want.Top1 || got.Test != nil {
			t.Errorf("%s: %+v, want %+v", mode, got.Train, want)
		}
	}

	// The average of outputs is a net of both hidden layers side by side.
	both := model(1)
	join := func(name string, v ...[]float32) {
		for i, init := range both.Graph.Initializers {
			if init.Name == name {
				dims := map[string][]int64{
					"w1": {2 * hidden, inputs}, "b1": {2 * hidden}, "w2": {classes, 2 * hidden},
					"b2": {classes},
				}[name]
				both.Graph.Initializers[i] = onnxio.NewTensor(name, dims, slices.Concat(v...))
			}
		}
	}
	half := func(v []float32) []float32 {
		h := make([]float32, len(v))
		for i := range v {
			h[i] = v[i] / 2
		}
		return h
	}
	join("w1", floats(t, a, "w1"), floats(t, b, "w1"))
	join("b1", floats(t, a, "b1"), floats(t, b, "b1"))
	var rows [][]float32
	for c := range classes {
		rows = append(rows, half(floats(t, a, "w2")[c*hidden:(c+1)*hidden]), half(floats(t, b, "w2")[c*hidden:(c+1)*hidden]))
	}
	join("w2", rows...)
	bias := half(floats(t, a, "b2"))
	for i, v := range half(floats(t, b, "b2")) {
		bias[i] += v
	}
	join("b2", bias)
	want := evaluate(t, both, train)
	got := interpolate(t, a, b, train, nil, Options{Mode: Average, Points: 3}).Points[1].Train
	if math.Abs(got.Loss-want.Loss) > 1e-5*want.Loss || got.Top1 != want.Top1 {
		t.Errorf("average: %+v, want %+v", got, want)
	}
}

// Two copies of one net with its hidden units in another order compute the same
// function, and the line between them crosses a barrier. The string goes round.
func TestStringLowersTheBarrier(t *testing.T) {
	train := set(400, 1)
	a := trained(t, 1, train)
	b := a.Clone()
	order := rand.New(rand.NewPCG(3, 3)).Perm(hidden)
	w1, b1, w2 := floats(t, a, "w1"), floats(t, a, "b1"), floats(t, a, "w2")
	v1, c1, v2 := slices.Clone(w1), slices.Clone(b1), slices.Clone(w2)
	for to, from := range order {
		copy(v1[to*inputs:(to+1)*inputs], w1[from*inputs:(from+1)*inputs])
		c1[to] = b1[from]
		for c := range classes {
			v2[c*hidden+to] = w2[c*hidden+from]
		}
	}
	b.Graph.Initializers[0] = onnxio.NewTensor("w1", []int64{hidden, inputs}, v1)
	b.Graph.Initializers[1] = onnxio.NewTensor("b1", []int64{hidden}, c1)
	b.Graph.Initializers[2] = onnxio.NewTensor("w2", []int64{classes, hidden}, v2)

	line := interpolate(t, a, b, train, nil, Options{Points: 9})
	s := StringOptions{Images: 9, Stiffness: 1, Epochs: 40, Batch: 50, Rate: 0.1}
	found := interpolate(t, a, b, train, nil, Options{Mode: String, Points: 9, String: s})
	if line.TrainBarrier < 0.1 {
		t.Fatalf("the line has a barrier of %g: nothing to go round", line.TrainBarrier)
	}
	if found.TrainBarrier > line.TrainBarrier/3 {
		t.Errorf("barrier %g, that of the line %g", found.TrainBarrier, line.TrainBarrier)
	}
	if math.Abs(line.Length-line.Distance) > 1e-12 || found.Distance != line.Distance || found.Length <= line.Length {
		t.Errorf("lengths %g and %g of a distance of %g", line.Length, found.Length, found.Distance)
	}
	again := interpolate(t, a, b, train, nil, Options{Mode: String, Points: 9, String: s})
	if !slices.EqualFunc(found.Points, again.Points, func(p, q Point) bool { return p.Train == q.Train }) {
		t.Error("a second run gives another string")
	}
}

// spread puts the images at equal distances, on the chain that they were on.
// TestOpens: every place is measured where Options.Open says.
func TestOpens(t *testing.T) {
	all := set(20, 1)
	refused := errors.New("refused")
	for _, mode := range Modes() {
		for failing := 1; ; failing++ {
			opened := 0
			open := func(ctx context.Context, m *onnxio.Model) (finetune.Session, error) {
				if opened++; opened == failing {
					return nil, refused
				}
				return engines.Options{}.Open(ctx, engines.Embedded, m)
			}
			_, err := Interpolate(t.Context(), model(1), model(2), all, all, Options{Mode: mode, Points: 2, Open: open})
			if opened < failing {
				if err != nil || opened != 4 {
					t.Errorf("%s: opened %d times, want 4; %v", mode, opened, err)
				}
				break
			}
			if !errors.Is(err, refused) {
				t.Errorf("%s, session %d: %v", mode, failing, err)
			}
		}
	}
}

// TestStringOnDevice: a string waits for its device, and this one does nothing.
func TestStringOnDevice(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	o := Options{Mode: String, Device: &cuda.Device{}}
	o.Progress = func(what string, _, _ int) { t.Errorf("%s without the device", what) }
	if _, err := Interpolate(ctx, model(1), model(2), set(20, 1), nil, o); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestSpread(t *testing.T) {
	c := &chain{images: []image{{{0, 0}}, {{3, 0}}, {{3, 1}}, {{3, 5}}}}
	c.spread()
	want := []image{{{0, 0}}, {{8. / 3, 0}}, {{3, 7. / 3}}, {{3, 5}}}
	for i, m := range c.images {
		if d := math.Sqrt(m.squared(want[i])); d > 1e-6 {
			t.Errorf("image %d: %v, want %v", i, m, want[i])
		}
	}
}

func TestCurvilinearKeepsTheNorm(t *testing.T) {
	e := tensorPair{a: []float32{3, 0}, b: []float32{0, 5}}
	for i := range 11 {
		s := float64(i) / 10
		if got, want := norm(e.at(s, true)), 3+2*s; math.Abs(got-want) > 1e-6*want {
			t.Errorf("t = %g: norm %g, want %g", s, got, want)
		}
	}
	e.statistic = true
	if got := e.at(0.5, true); got[0] != 1.5 || got[1] != 2.5 {
		t.Errorf("a running statistic goes to %v", got)
	}
}

func TestBarrier(t *testing.T) {
	for _, c := range []struct {
		losses []float64
		want   float64
	}{
		{[]float64{1, 3, 2}, 1},
		{[]float64{1, 0.5, 2}, 0},
		{[]float64{2, 2, 2}, 0},
		{[]float64{1, math.NaN(), 2}, math.Inf(1)},
		{[]float64{math.NaN(), 1, 2}, 0},
	} {
		var points []Point
		for _, l := range c.losses {
			points = append(points, Point{Train: finetune.Metrics{Loss: l}})
		}
		if got := barrier(points, func(p Point) float64 { return p.Train.Loss }); got != c.want {
			t.Errorf("%v: %g, want %g", c.losses, got, c.want)
		}
	}
}

func TestRefuses(t *testing.T) {
	train := set(50, 1)
	edit := func(change func(m *onnxio.Model)) *onnxio.Model {
		m := model(2)
		change(m)
		return m
	}
	for _, c := range []struct {
		name string
		b    *onnxio.Model
		o    Options
		want string
	}{
		{
			"operator", edit(func(m *onnxio.Model) { m.Graph.Nodes[1].OpType = "Tanh" }),
			Options{},
			`"relu" (Relu) is "relu" (Tanh)`,
		},
		{"wiring", edit(func(m *onnxio.Model) { m.Graph.Nodes[2].Inputs = []string{"r", "b2", "w2"} }), Options{}, `"w2"`},
		{"attribute", edit(func(m *onnxio.Model) {
			m.Graph.Nodes[0].Attributes = []*onnxio.Attribute{onnxio.IntAttr("transB", 0)}
		}), Options{}, "attribute transB"},
		{"shape", edit(func(m *onnxio.Model) {
			m.Graph.Initializers[0] = onnxio.NewTensor("w1", []int64{2}, []float32{1, 2})
		}), Options{}, `"w1"`},
		{"name", edit(func(m *onnxio.Model) {
			m.Graph.Initializers[3].Name, m.Graph.Nodes[2].Inputs[2] = "c2", "c2"
		}), Options{}, `"b2"`},
		{"nodes", edit(func(m *onnxio.Model) {
			m.Graph.Nodes = m.Graph.Nodes[:2]
			m.Graph.Nodes[1].Outputs = []string{"logits"}
		}), Options{}, "3 nodes, the second 2"},
		{"mode", model(2), Options{Mode: "straight"}, "straight"},
		{"points", model(2), Options{Points: 1}, "2 at least"},
		{"string options", model(2), Options{String: DefaultString()}, "not for a path of mode linear"},
		{"images", model(2), Options{Mode: String, String: StringOptions{Images: 2, Epochs: 1, Batch: 1}}, "images: 2"},
		{
			"rate", model(2),
			Options{Mode: String, String: StringOptions{Images: 3, Epochs: 3, Batch: 50, Rate: 1e30}},
			"smaller rate",
		},
	} {
		if _, err := Interpolate(context.Background(), model(1), c.b, train, nil, c.o); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q in it", c.name, err, c.want)
		}
	}
}
