package engine

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// plain runs without reuse of memory and without followers: observed runs do.
func plain[T kernel.Float](e *Engine[T], feeds map[string]*Tensor[T]) (map[string]*Tensor[T], error) {
	return e.Observe(context.Background(), feeds, func(string, *Tensor[T]) error { return nil })
}

func sameBits[T kernel.Float](got, want map[string]*Tensor[T]) error {
	for name, w := range want {
		g := got[name]
		if g == nil || !slices.Equal(g.Shape, w.Shape) {
			return fmt.Errorf("%s: %v, want %v", name, g, w.Shape)
		}
		for i, v := range w.F {
			if math.Float64bits(float64(g.F[i])) != math.Float64bits(float64(v)) {
				return fmt.Errorf("%s[%d] = %v, want %v", name, i, g.F[i], v)
			}
		}
	}
	return nil
}

// randomGraph makes a graph of values [N, 8, 9, 9] that meets what reuse of
// memory can get wrong: values that share it, that are used twice, late, or not.
func randomGraph(rng *rand.Rand) *onnxio.Model {
	const channels, size = 8, 9
	numbers := func(name string, dims ...int64) *onnxio.Tensor {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = rng.Float32() - 0.4 // variances get 0.5 more
		}
		return onnxio.NewTensor(name, dims, v)
	}
	variance := make([]float32, channels)
	for i := range variance {
		variance[i] = 0.5 + rng.Float32()
	}
	m := &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, Graph: &onnxio.Graph{
		Inputs: []*onnxio.ValueInfo{info("v0", -1, channels, size, size)},
		Initializers: []*onnxio.Tensor{
			numbers("w", channels, channels, 3, 3), numbers("depthwise", channels, 1, 3, 3), numbers("point",
				channels, channels, 1, 1),
			numbers("scale", channels), numbers("bias", channels), onnxio.NewTensor("variance", []int64{channels},
				variance),
			onnxio.NewTensor("flat", []int64{2}, []int64{0, -1}), onnxio.NewTensor("planes", []int64{4},
				[]int64{0, channels, size, size}),
			numbers("perChannel", channels, 1, 1),
		},
	}}
	g := m.Graph
	values := []string{"v0"}
	add := func(text string, attrs ...*onnxio.Attribute) {
		g.Nodes = append(g.Nodes, op(text, attrs...))
	}
	for k := range 4 + rng.IntN(25) {
		// Mostly the newest value, as in a chain.
		a, b := values[len(values)-1], values[rng.IntN(len(values))]
		if rng.IntN(4) == 0 {
			a = values[rng.IntN(len(values))]
		}
		y := fmt.Sprint("v", k+1)
		pads := onnxio.IntsAttr("pads", 1, 1, 1, 1)
		switch rng.IntN(16) {
		case 0, 1:
			add("Conv "+a+" w bias -> "+y, pads)
		case 2:
			add("Conv "+a+" depthwise -> "+y, pads, onnxio.IntAttr("group", channels))
		case 3:
			add("Conv " + a + " point -> " + y)
		case 4, 5:
			add("BatchNormalization " + a + " scale bias bias variance -> " + y)
		case 6:
			add("Relu " + a + " -> " + y)
		case 7:
			g.Nodes = append(g.Nodes, constantNode("low"+y, onnxio.NewTensor("", nil, []float32{-0.3})))
			add("Clip " + a + " low" + y + " -> " + y)
		case 8, 9:
			add("Add " + a + " " + b + " -> " + y)
		case 10:
			add("Add perChannel " + a + " -> " + y)
		case 11:
			add("Sum " + a + " " + b + " " + a + " -> " + y)
		case 12:
			add("Identity " + a + " -> " + y)
		case 13:
			add("Reshape " + a + " flat -> flat" + y)
			add("Relu flat" + y + " -> rect" + y)
			add("Reshape rect" + y + " planes -> " + y)
		case 14:
			add("Mul " + a + " " + b + " -> " + y)
		case 15:
			add("Split "+a+" -> lo"+y+" hi"+y, onnxio.IntAttr("axis", 1))
			add("Concat hi"+y+" lo"+y+" -> "+y, onnxio.IntAttr("axis", 1))
		}
		values = append(values, y)
	}
	g.Outputs = append(g.Outputs, info(values[len(values)-1]))
	for range rng.IntN(3) {
		name := values[rng.IntN(len(values))]
		if !slices.ContainsFunc(g.Outputs, func(v *onnxio.ValueInfo) bool { return v.Name == name }) {
			g.Outputs = append(g.Outputs, info(name))
		}
	}
	for _, o := range g.Outputs {
		o.Type.HasShape = false
	}
	return m
}

func checkRuns[T kernel.Float](t *testing.T, m *onnxio.Model, rng *rand.Rand) {
	t.Helper()
	e, err := New[T](m)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for n := 2; n >= 1; n-- {
		x := &Tensor[T]{Type: onnxio.Float32, Shape: []int{n, 8, 9, 9}, F: make([]T, n*8*81)}
		for i := range x.F {
			x.F[i] = T(rng.Float32() - 0.5)
		}
		feeds := map[string]*Tensor[T]{"v0": x}
		before := slices.Clone(x.F)
		want, err := plain(e, feeds)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			wait.Go(func() {
				first, err := e.Run(context.Background(), feeds)
				if err != nil {
					t.Error(err)
					return
				}
				second, err := e.Run(context.Background(), feeds)
				if err != nil {
					t.Error(err)
					return
				}
				// The second run must not have touched the first one's results.
				for _, got := range []map[string]*Tensor[T]{first, second} {
					if err := sameBits(got, want); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wait.Wait()
		if !slices.Equal(x.F, before) {
			t.Error("a run modified its input")
		}
	}
	if t.Failed() {
		for _, n := range m.Graph.Nodes {
			t.Log(n.OpType, n.Inputs, n.Outputs)
		}
		t.FailNow()
	}
}

// TestRunsBitByBit holds runs that reuse memory and fuse followers to runs that
// do neither.
func TestRunsBitByBit(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	for range 60 {
		m := randomGraph(rng)
		checkRuns[float32](t, m, rng)
		checkRuns[float64](t, m, rng)
	}
}

// TestFollowers pins what is done along with a convolution.
func TestFollowers(t *testing.T) {
	low := constantNode("l", onnxio.NewTensor("", nil, []float32{-1}))
	cases := []struct {
		name  string
		nodes []*onnxio.Node
		want  int
	}{
		{"a block", []*onnxio.Node{
			op("Conv x w -> a"), op("BatchNormalization a s s s s -> b"), op("Add x b -> c"),
			op("Relu c -> y"),
		}, 3},
		{"a constant between", []*onnxio.Node{op("Conv x w -> a"), low, op("Clip a l -> y")}, 1},
		{"used twice", []*onnxio.Node{op("Conv x w -> a"), op("Relu a -> b"), op("Add a b -> y")}, 0},
		{"added to itself", []*onnxio.Node{op("Conv x w -> a"), op("Add a a -> y")}, 0},
		{"not element by element", []*onnxio.Node{op("Conv x w -> a"), op("GlobalAveragePool a -> y")}, 0},
		{"another branch between", []*onnxio.Node{op("Conv x w -> a"), op("Relu x -> b"), op("Add a b -> y")}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := model(c.nodes, onnxio.NewTensor("w", []int64{2, 2, 1, 1}, []float32{1, 2, 3, 4}),
				onnxio.NewTensor("s", []int64{2}, []float32{1, 2}))
			m.Graph.Inputs = []*onnxio.ValueInfo{info("x", 1, 2, 3, 3)}
			e, err := New[float32](m)
			if err != nil {
				t.Fatal(err)
			}
			for _, turn := range e.graph.turns {
				if e.graph.steps[turn.step].leads && len(turn.followers) != c.want {
					t.Errorf("%d followers, want %d", len(turn.followers), c.want)
				}
			}
		})
	}
}

// A follower that cannot take part, for its shape or because it is wrong, is done
// as a node of its own.
func TestFollowersThatCannot(t *testing.T) {
	m := model([]*onnxio.Node{op("Conv x w -> a"), op("Add a wide -> b"), op("BatchNormalization b s s s s -> y")},
		onnxio.NewTensor("w", []int64{2, 2, 1, 1}, []float32{1, 2, 3, 4}), onnxio.NewTensor("s", []int64{2},
			[]float32{1, 2}),
		onnxio.NewTensor("wide", []int64{3, 1, 1, 1}, []float32{1, 2, 3}))
	m.Graph.Inputs = []*onnxio.ValueInfo{info("x", 1, 2, 3, 3)}
	e, err := New[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	feeds := map[string]*Tensor[float32]{"x": value([]int{1, 2, 3, 3}, make([]float32, 18)...)}
	want, err := plain(e, feeds)
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Run(context.Background(), feeds)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameBits(got, want); err != nil {
		t.Error(err)
	}

	m.Graph.Initializers[1] = onnxio.NewTensor("s", []int64{3}, []float32{1, 2, 3})
	if e, err = New[float32](m); err != nil {
		t.Fatal(err)
	}
	_, plainErr := plain(e, feeds)
	_, err = e.Run(context.Background(), feeds)
	if err == nil || plainErr == nil || err.Error() != plainErr.Error() {
		t.Errorf("the error is %v, want %v", err, plainErr)
	}
}

// Runs after the first allocate a fraction of what they compute, 21 values: little
// of it without the race detector, under which a sync.Pool forgets at random.
func TestMemoryIsReused(t *testing.T) {
	nodes := []*onnxio.Node{op("Relu x -> a")}
	for i := range 20 {
		nodes = append(nodes, op(fmt.Sprintf("Sigmoid %c -> %c", 'a'+i, 'b'+i)))
	}
	nodes = append(nodes, op("ReduceMean u -> y"))
	m := model(nodes)
	m.Graph.Inputs = []*onnxio.ValueInfo{info("x", 1<<16)}
	e, err := New[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	feeds := map[string]*Tensor[float32]{"x": value([]int{1 << 16}, make([]float32, 1<<16)...)}
	run := func() {
		if _, err := e.Run(context.Background(), feeds); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if bytes := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			run()
		}
	}).AllocedBytesPerOp(); bytes > 4<<18 {
		t.Errorf("a run allocates %d bytes, its values have %d", bytes, 21*4<<16)
	}
}
