package engine

import (
	"context"
	"errors"
	"strings"
	"testing"

	"efcn/onnxio"
)

// value makes a float32 input.
func value(shape []int, v ...float32) *Tensor[float32] {
	return &Tensor[float32]{Type: onnxio.Float32, Shape: shape, F: v}
}

// ints makes an int64 input.
func ints(shape []int, v ...int64) *Tensor[float32] {
	return &Tensor[float32]{Type: onnxio.Int64, Shape: shape, I: v}
}

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

func feed(v *Tensor[float32]) map[string]*Tensor[float32] {
	return map[string]*Tensor[float32]{"x": v}
}

func TestNewNamesEveryNode(t *testing.T) {
	m := model([]*onnxio.Node{
		op("Frobnicate x -> a"),
		op("Relu a -> b", onnxio.IntAttr("steepness", 2)),
		op("Conv b -> c"),
		op("Relu nowhere -> d"),
		op("Relu d -> d"),
		op("Relu c -> y"),
	})
	_, err := New[float32](m)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`node "a" (Frobnicate): the engine does not have this operator`,
		`node "b" (Relu): attribute steepness is unknown in version 14 of the operator`,
		`node "c" (Conv): 1 inputs; want 2 to 3`,
		`node "d" (Relu): input "nowhere": nothing before this node computes it`,
		`node "d" (Relu): output "d" is already the name of another value`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
	var node *onnxio.NodeError
	if !errors.As(err, &node) {
		t.Errorf("%T holds no NodeError", err)
	}
}

func TestNewRefusesOpsets(t *testing.T) {
	for _, c := range []struct {
		opset int64
		node  *onnxio.Node
		want  string
	}{
		{6, op("Relu x -> y"), "opset 6 is not supported; export the model with opset 7 to 28"},
		{29, op("Relu x -> y"), "opset 29 is not supported; export the model with opset 7 to 28"},
		{17, op("Gelu x -> y"), "the operator came with operator set 20, and the model imports 17"},
		{17, op("Upsample x x -> y"), "the operator is deprecated since operator set 10, and the model imports 17"},
	} {
		m := model([]*onnxio.Node{c.node})
		m.Opsets[0].Version = c.opset
		if _, err := New[float32](m); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("opset %d: got %v, want %q", c.opset, err, c.want)
		}
	}
}

func TestRunRefusesFeeds(t *testing.T) {
	e, err := New[float32](model([]*onnxio.Node{op("Relu x -> y")}))
	if err != nil {
		t.Fatal(err)
	}
	good := value([]int{1, 3}, 1, 2, 3)
	for _, c := range []struct {
		feeds map[string]*Tensor[float32]
		want  string
	}{
		{nil, `input "x" is missing`},
		{map[string]*Tensor[float32]{"x": good, "z": good}, `the model has no input "z"`},
		{feed(value([]int{3}, 1, 2, 3)), `input "x": want shape [N 3], got [3]`},
		{feed(value([]int{1, 4}, 1, 2, 3, 4)), `input "x": want shape [N 3], got [1 4]`},
		{feed(value([]int{2, 3}, 1)), `shape [2 3] needs 6 elements, got 1`},
		{feed(value([]int{-1, 3})), `dimension -1 is negative`},
		{feed(value([]int{1 << 40, 3})), errTooMany.Error()},
		{feed(ints([]int{1, 3}, 1, 2, 3)), `want float32, got int64`},
		{feed(&Tensor[float32]{Type: onnxio.String, Shape: []int{1, 3}}), `string tensors are not supported`},
		{
			feed(&Tensor[float32]{Type: onnxio.Float32, Shape: []int{0, 3}, I: []int64{}}),
			`elements are in the wrong field`,
		},
	} {
		if _, err := e.Run(context.Background(), c.feeds); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	for _, batch := range []int{0, 1, 5} {
		out, err := e.Run(context.Background(), feed(value([]int{batch, 3}, make([]float32, 3*batch)...)))
		if err != nil || out["y"].Shape[0] != batch {
			t.Errorf("batch %d: %v, %v", batch, out, err)
		}
	}
}

func TestUnreadInputMayBeLeftOut(t *testing.T) {
	m := model([]*onnxio.Node{op("Neg x -> y")})
	m.Graph.Inputs = append(m.Graph.Inputs, info("z", 1, 3))
	e, err := New[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Run(context.Background(), feed(value([]int{1, 3}, 1, 2, 3)))
	if err != nil {
		t.Fatal(err)
	}
	if err := compare(out["y"], value([]int{1, 3}, -1, -2, -3), 0, 0); err != nil {
		t.Error(err)
	}
}

func TestObserve(t *testing.T) {
	e, err := New[float32](model([]*onnxio.Node{
		op("Neg x -> a"), op("Split a -> b c", onnxio.IntAttr("axis", 0)),
		op("Add b c -> y"),
	}))
	if err != nil {
		t.Fatal(err)
	}
	x := value([]int{2, 3}, 1, 2, 3, 4, 5, 6)
	var seen []string
	out, err := e.Observe(context.Background(), feed(x), func(name string, v *Tensor[float32]) error {
		seen = append(seen, name)
		return v.Validate()
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(seen, " "); got != "a b c y" {
		t.Errorf("saw %q", got)
	}
	if y := out["y"].F; y[0] != -5 || y[2] != -9 {
		t.Errorf("y is %v", y)
	}
	stop := errors.New("stop")
	if _, err := e.Observe(context.Background(), feed(x),
		func(string, *Tensor[float32]) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the observer's error", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.Run(ctx, feed(x)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a cancelled run", err)
	}
}

func TestValuesAreReleased(t *testing.T) {
	e, err := New[float32](model([]*onnxio.Node{
		op("Neg x -> a"), op("Neg a -> b"), op("Add a b -> c"),
		op("Neg c -> y"), op("Neg c -> dead"),
	}))
	if err != nil {
		t.Fatal(err)
	}
	var freed []string
	for _, s := range e.graph.steps {
		names := []string{}
		for _, i := range s.free {
			names = append(names, e.graph.names[i])
		}
		freed = append(freed, strings.Join(names, "+"))
	}
	if got := strings.Join(freed, " "); got != "x  a+b  c+dead" {
		t.Errorf("values are freed after each step as %q", got)
	}
}

func TestInitializerIsDefaultOfInput(t *testing.T) {
	m := model([]*onnxio.Node{op("Add x d -> y")}, onnxio.NewTensor("d", []int64{1}, []float32{10}))
	m.Graph.Inputs = append(m.Graph.Inputs, info("d", 1))
	e, err := New[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	feeds := feed(value([]int{1, 3}, 1, 2, 3))
	for _, want := range []float32{11, 101} {
		out, err := e.Run(context.Background(), feeds)
		if err != nil {
			t.Fatal(err)
		}
		if out["y"].F[0] != want {
			t.Errorf("got %v, want %v", out["y"].F[0], want)
		}
		feeds["d"] = value([]int{1}, 100)
	}
}

func TestSparseInitializer(t *testing.T) {
	for name, s := range map[string]*onnxio.SparseTensor{
		"linear": {
			Dims: []int64{2, 3}, Values: onnxio.NewTensor("d", []int64{2}, []float32{5, 7}),
			Indices: onnxio.NewTensor("", []int64{2}, []int64{1, 5}),
		},
		"coordinates": {
			Dims: []int64{2, 3}, Values: onnxio.NewTensor("d", []int64{2}, []float32{5, 7}),
			Indices: onnxio.NewTensor("", []int64{2, 2}, []int64{0, 1, 1, 2}),
		},
	} {
		m := model([]*onnxio.Node{op("Add x d -> y")})
		m.Graph.SparseInitializers = []*onnxio.SparseTensor{s}
		e, err := New[float32](m)
		if err != nil {
			t.Fatal(err)
		}
		out, err := e.Run(context.Background(), feed(value([]int{1, 3}, 1, 2, 3)))
		if err != nil {
			t.Fatal(err)
		}
		if err := compare(out["y"], value([]int{2, 3}, 1, 7, 3, 1, 2, 10), 0, 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, s := range map[string]*onnxio.SparseTensor{
		"outside": {
			Dims: []int64{2}, Values: onnxio.NewTensor("d", []int64{1}, []float32{5}),
			Indices: onnxio.NewTensor("", []int64{1}, []int64{2}),
		},
		"negative": {
			Dims: []int64{2}, Values: onnxio.NewTensor("d", []int64{1}, []float32{5}),
			Indices: onnxio.NewTensor("", []int64{1}, []int64{-1}),
		},
		"too few": {
			Dims: []int64{2}, Values: onnxio.NewTensor("d", []int64{1}, []float32{5}),
			Indices: onnxio.NewTensor("", []int64{0}, []int64{}),
		},
	} {
		if v, err := fromSparse[float32](s); err == nil {
			t.Errorf("%s: got %v, want an error", name, v)
		}
	}
}

func TestIfCapturesOuterValues(t *testing.T) {
	branch := func(node *onnxio.Node) *onnxio.Graph {
		return &onnxio.Graph{Nodes: []*onnxio.Node{node}, Outputs: []*onnxio.ValueInfo{info("r")}}
	}
	choose := op("If c -> y")
	choose.Attributes = []*onnxio.Attribute{
		{Name: "then_branch", Type: onnxio.AttrGraph, G: branch(op("Add x x -> r"))},
		{Name: "else_branch", Type: onnxio.AttrGraph, G: branch(op("Neg a -> r"))},
	}
	m := model([]*onnxio.Node{
		op("Abs x -> a"), op("ReduceSum x -> s", onnxio.IntAttr("keepdims", 0)),
		op("Greater s zero -> c"), choose,
	},
		onnxio.NewTensor("zero", nil, []float32{0}))
	e, err := New[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ x, want []float32 }{
		{[]float32{1, 2, 3}, []float32{2, 4, 6}},
		{[]float32{1, -2, -3}, []float32{-1, -2, -3}},
	} {
		out, err := e.Run(context.Background(), feed(value([]int{1, 3}, c.x...)))
		if err != nil {
			t.Fatal(err)
		}
		if err := compare(out["y"], value([]int{1, 3}, c.want...), 0, 0); err != nil {
			t.Error(err)
		}
	}
}

func TestRunNode(t *testing.T) {
	n := op("Clip x _ hi -> y")
	got, err := RunNode(n, 13, []*Tensor[float32]{value([]int{2}, -5, 5), nil, value([]int{}, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := compare(got[0], value([]int{2}, -5, 1), 0, 0); err != nil {
		t.Error(err)
	}
	if _, err := RunNode(n, 13, []*Tensor[float32]{nil}); err == nil {
		t.Error("a missing input is no error")
	}
	if _, err := RunNode(n, 13, []*Tensor[float32]{value([]int{3}, 1)}); err == nil {
		t.Error("a tensor that contradicts itself is no error")
	}
}

func TestConstantsPastTheBudgetAreReadAgain(t *testing.T) {
	for keep, want := range map[bool]int{true: 1, false: 3} {
		reads := 0
		c := &constant[float32]{name: "w", keep: keep, load: func() (*Tensor[float32], error) {
			reads++
			return value([]int{1}, 5), nil
		}}
		for range 3 {
			if v, err := c.get(); err != nil || v.F[0] != 5 {
				t.Fatal(v, err)
			}
		}
		if reads != want {
			t.Errorf("keep %t: read %d times, want %d", keep, reads, want)
		}
	}
	failing := &constant[float32]{
		name: "w",
		load: func() (*Tensor[float32], error) { return nil, errors.New("disk on fire") },
	}
	if _, err := failing.get(); err == nil || err.Error() != `initializer "w": disk on fire` {
		t.Errorf("got %v", err)
	}
}
