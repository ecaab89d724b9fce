package engine

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// packedGraph grows a random graph of what is done with channels last, and around it what
// is not. All its numbers are small integers and no sum reaches 2²⁴, so float32 is exact in
// whatever order it adds up: a packed run has to give the bits of the nodes one by one.
type packedGraph struct {
	rng    *rand.Rand
	graph  *onnxio.Graph
	values []packedValue
}

// packedValue is a value N×channels×size×size, no element of which is beyond most.
type packedValue struct {
	name           string
	channels, size int
	most           int
}

// integers adds a constant of random integers up to most, and returns its name.
func (g *packedGraph) integers(most int, dims ...int64) string {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(g.rng.IntN(2*most+1) - most)
	}
	name := fmt.Sprint("c", len(g.graph.Initializers))
	g.graph.Initializers = append(g.graph.Initializers, onnxio.NewTensor(name, dims, v))
	if g.rng.IntN(4) == 0 { // what a node gives is not packed
		g.graph.Nodes = append(g.graph.Nodes, op("Identity "+name+" -> "+name+"i"))
		name += "i"
	}
	return name
}

// add adds a node "Op inputs" with one output.
func (g *packedGraph) add(text string, v packedValue, attrs ...*onnxio.Attribute) packedValue {
	v.name = fmt.Sprint("v", len(g.graph.Nodes))
	g.graph.Nodes = append(g.graph.Nodes, op(text+" -> "+v.name, attrs...))
	g.values = append(g.values, v)
	return v
}

// clipped is a value with no element beyond 6.
func (g *packedGraph) clipped(v packedValue) packedValue {
	v.most = 6
	if g.rng.IntN(2) == 0 {
		return g.add(fmt.Sprintf("Clip %s low high", v.name), v)
	}
	high := fmt.Sprint("high", len(g.graph.Nodes))
	g.graph.Nodes = append(g.graph.Nodes, constantNode(high, onnxio.NewTensor("", nil, []float32{6})))
	return g.add(fmt.Sprintf("Clip %s low %s", v.name, high), v)
}

// conv adds a convolution of v.
func (g *packedGraph) conv(v packedValue) packedValue {
	if v.most > 100 {
		v = g.clipped(v)
	}
	groups, kernelSize, stride, outs := 1, 1+2*g.rng.IntN(2), 1+g.rng.IntN(2), 1+g.rng.IntN(40)
	switch g.rng.IntN(4) {
	case 0:
		groups, outs = v.channels, v.channels
	case 1:
		for _, divisor := range []int{2, 3, 5} {
			if v.channels%divisor == 0 {
				groups, outs = divisor, divisor*(1+g.rng.IntN(9))
			}
		}
	case 2:
		outs = v.channels
	}
	dilation := 1 + g.rng.IntN(2)
	pad := int64(kernelSize / 2 * dilation)
	taps := v.channels / groups * kernelSize * kernelSize
	k := int64(kernelSize)
	text := fmt.Sprintf("Conv %s %s", v.name, g.integers(2, int64(outs), int64(v.channels/groups), k, k))
	if g.rng.IntN(2) == 0 {
		text += " " + g.integers(5, int64(outs))
	}
	return g.add(text, packedValue{channels: outs, size: (v.size-1)/stride + 1, most: 2*taps*v.most + 5},
		onnxio.IntsAttr("pads", pad, pad, pad, pad), onnxio.IntsAttr("strides", int64(stride), int64(stride)),
		onnxio.IntsAttr("dilations", int64(dilation), int64(dilation)), onnxio.IntAttr("group", int64(groups)))
}

// normalized multiplies by ±1 and adds.
func (g *packedGraph) normalized(v packedValue) packedValue {
	channels := int64(v.channels)
	variance, scale := make([]float32, channels), make([]float32, channels)
	for i := range variance {
		variance[i], scale[i] = 4, float32(4*g.rng.IntN(2)-2)
	}
	name := fmt.Sprint("n", len(g.graph.Initializers))
	g.graph.Initializers = append(g.graph.Initializers, onnxio.NewTensor(name, []int64{channels}, variance),
		onnxio.NewTensor(name+"s", []int64{channels}, scale))
	v.most += 10
	b, mean := g.integers(5, channels), g.integers(5, channels)
	text := fmt.Sprintf("BatchNormalization %s %ss %s %s %s", v.name, name, b, mean, name)
	return g.add(text, v, onnxio.FloatAttr("epsilon", 0))
}

// alike returns a value of the shape of v.
func (g *packedGraph) alike(v packedValue) packedValue {
	var list []packedValue
	for _, u := range g.values {
		if u.channels == v.channels && u.size == v.size {
			list = append(list, u)
		}
	}
	return list[g.rng.IntN(len(list))]
}

// grow adds a few nodes.
func (g *packedGraph) grow() {
	v := g.values[len(g.values)-1]
	if g.rng.IntN(3) == 0 {
		v = g.values[g.rng.IntN(len(g.values))]
	}
	if v.most > 1<<18 {
		v = g.clipped(v)
	}
	spatial := onnxio.IntsAttr("axes", 2, 3)
	switch g.rng.IntN(14) {
	case 0, 1, 2, 3, 4:
		v = g.conv(v)
		if g.rng.IntN(2) == 0 {
			v = g.normalized(v)
		}
		if u := g.alike(v); g.rng.IntN(2) == 0 {
			names := []string{v.name, u.name}
			g.rng.Shuffle(2, func(i, j int) { names[i], names[j] = names[j], names[i] })
			v = g.add("Add "+strings.Join(names, " "), packedValue{v.name, v.channels, v.size, v.most + u.most})
		}
		switch g.rng.IntN(3) {
		case 0:
			g.clipped(v)
		case 1:
			g.add("Relu "+v.name, v)
		}
	case 5:
		g.normalized(v)
	case 6:
		g.add(fmt.Sprintf("MaxPool %s", v.name), packedValue{v.name, v.channels, (v.size-1)/2 + 1, v.most},
			onnxio.IntsAttr("kernel_shape", 3, 3), onnxio.IntsAttr("strides", 2, 2), onnxio.IntsAttr("pads", 1, 1, 1, 1))
	case 7:
		u := g.alike(v)
		g.add(fmt.Sprintf("Concat %s %s %s", v.name, u.name, v.name),
			packedValue{v.name, 2*v.channels + u.channels, v.size, max(v.most, u.most)}, onnxio.IntAttr("axis", 1))
	case 8:
		u := g.alike(v)
		g.add(fmt.Sprintf("Concat %s %s", v.name, u.name), v, onnxio.IntAttr("axis", 0))
		g.values = g.values[:len(g.values)-1] // of another batch
		g.graph.Outputs = append(g.graph.Outputs, info(g.graph.Nodes[len(g.graph.Nodes)-1].Outputs[0]))
	case 9: // a number a channel: constant, or computed
		factor := g.integers(1, int64(v.channels), 1, 1)
		if v = g.add(fmt.Sprintf("Mul %s %s", factor, v.name), v); g.rng.IntN(2) == 0 {
			flat := g.add("ReduceMax "+v.name, packedValue{v.name, v.channels, 1, v.most}, spatial)
			flat = g.clipped(flat)
			v.most = 6 * max(v.most, 1)
			g.add(fmt.Sprintf("Mul %s %s", v.name, flat.name), v)
		}
	case 10: // a number a position
		u := g.conv(v)
		if u.size == v.size {
			mask := g.add("ReduceMax "+u.name, packedValue{u.name, 1, u.size, u.most}, onnxio.IntsAttr("axes", 1))
			g.add(fmt.Sprintf("Sub %s %s", mask.name, v.name), packedValue{v.name, v.channels, v.size, v.most + u.most})
		}
	case 11:
		g.add("Identity "+v.name, v)
	case 12: // what channels last does not fit
		if line := g.conv(v); line.size == v.size {
			u := g.add("ReduceMax "+line.name, packedValue{most: line.most}, onnxio.IntsAttr("axes", 2+g.rng.Int64N(2)))
			g.values = g.values[:len(g.values)-1] // of other sizes
			line.most += u.most
			v = g.add(fmt.Sprintf("Add %s %s", line.name, u.name), line)
		}
		v = g.add(fmt.Sprintf("Transpose %s", v.name), v, onnxio.IntsAttr("perm", 0, 1, 3, 2))
		g.add(fmt.Sprintf("Add %s %s", v.name, g.integers(3, int64(v.size))), packedValue{
			v.name, v.channels, v.size,
			v.most + 3,
		})
	case 13: // ends: these are not integers
		ends := []string{"GlobalAveragePool " + v.name, "ReduceMean " + v.name, "Sigmoid " + v.name}
		pool := []*onnxio.Attribute{onnxio.IntsAttr("kernel_shape", 2, 2), onnxio.IntsAttr("pads", 1, 0, 0, 1)}
		switch k := g.rng.IntN(4); k {
		case 1:
			g.add(ends[k], v, spatial, onnxio.IntAttr("keepdims", int64(g.rng.IntN(2))))
		case 3:
			g.add("AveragePool "+v.name, v, pool...)
		default:
			g.add(ends[k], v)
		}
		g.values = g.values[:len(g.values)-1]
		g.graph.Outputs = append(g.graph.Outputs, info(g.graph.Nodes[len(g.graph.Nodes)-1].Outputs[0]))
	}
}

func randomPackedGraph(rng *rand.Rand) (m *onnxio.Model, channels, size int) {
	channels, size = 1+rng.IntN(7), []int{1, 4, 8}[rng.IntN(3)]
	g := &packedGraph{rng: rng, graph: &onnxio.Graph{}}
	g.graph.Inputs = []*onnxio.ValueInfo{info("x", -1, int64(channels), int64(size), int64(size))}
	g.values = []packedValue{{"x", channels, size, 3}}
	for _, b := range []struct {
		name  string
		value float32
	}{{"low", -5}, {"high", 6}} {
		g.graph.Initializers = append(g.graph.Initializers, onnxio.NewTensor(b.name, nil, []float32{b.value}))
	}
	for range 3 + rng.IntN(12) {
		g.grow()
	}
	for k := range 1 + rng.IntN(3) {
		v := g.values[max(0, len(g.values)-1-k*rng.IntN(len(g.values)))]
		isV := func(o *onnxio.ValueInfo) bool { return o.Name == v.name }
		if v.name != "x" && !slices.ContainsFunc(g.graph.Outputs, isV) {
			g.graph.Outputs = append(g.graph.Outputs, info(v.name))
		}
	}
	for _, o := range g.graph.Outputs {
		o.Type.HasShape = false
	}
	return &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, Graph: g.graph}, channels, size
}

// checkPacked compares packed runs with the nodes one by one, and returns how many
// convolutions were packed.
func checkPacked(t *testing.T, rng *rand.Rand) int {
	t.Helper()
	m, channels, size := randomPackedGraph(rng)
	if len(m.Graph.Outputs) == 0 {
		return 0
	}
	e, err := New[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	e.Pack()
	var wait sync.WaitGroup
	for n := 2; n >= 1; n-- {
		x := &Tensor[float32]{Type: onnxio.Float32, Shape: []int{n, channels, size, size}}
		x.F = make([]float32, product(x.Shape))
		for i := range x.F {
			x.F[i] = float32(rng.IntN(7) - 3)
		}
		before, feeds := slices.Clone(x.F), map[string]*Tensor[float32]{"x": x}
		want, err := plain(e, feeds)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			wait.Go(func() {
				for range 2 { // the second computes in the memory of the first
					got, err := e.Run(context.Background(), feeds)
					if err != nil {
						t.Error(err)
						return
					}
					if err := within4Ulp(got, want); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wait.Wait()
		if !slices.Equal(x.F, before) {
			t.Error("the input was modified")
		}
	}
	return e.PackedConvs()
}

// within4Ulp is sameBits but for 4 units in the last place, which for integers below 2²¹ is
// equality: means are divided in float32 or in float64, and Sigmoid has vector code.
func within4Ulp(got, want map[string]*Tensor[float32]) error {
	for name, w := range want {
		g := got[name]
		if g == nil || !slices.Equal(g.Shape, w.Shape) || len(g.F) != len(w.F) {
			return fmt.Errorf("%s: %v, want %v", name, g, w.Shape)
		}
		for i, v := range w.F {
			if d := math.Abs(float64(g.F[i] - v)); !(d <= math.Abs(float64(v))*0x1p-21+1e-38) {
				return fmt.Errorf("%s[%d] = %v, want %v", name, i, g.F[i], v)
			}
		}
	}
	return nil
}

// TestPack: packed runs of random graphs give what the nodes do one by one.
func TestPack(t *testing.T) {
	if !kernel.CanPackConv() {
		t.Skip("no code for this processor")
	}
	packed := 0
	for seed := range uint64(150) {
		packed += checkPacked(t, rand.New(rand.NewPCG(seed, 5)))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if packed < 300 {
		t.Errorf("%d convolutions were packed, want 300", packed)
	}
}

// TestPackedOperandOfAdd: an Add behind a convolution that is not packed, of what a packed one
// gives with the channels last, adds what belongs together.
func TestPackedOperandOfAdd(t *testing.T) {
	if !kernel.CanPackConv() {
		t.Skip("no code for this processor")
	}
	rng := rand.New(rand.NewPCG(3, 77))
	integers := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.IntN(5) - 2)
		}
		return v
	}
	for _, nodes := range [][]*onnxio.Node{
		{op("Conv x w1 -> a"), op("Identity b0 -> b1"), op("Conv x w2 b1 -> b"), op("Add b a -> y")},
		{op("Conv x w1 -> a"), op("Identity w2 -> w3"), op("Conv x w3 -> b"), op("Add a b -> y")},
	} {
		m := &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, Graph: &onnxio.Graph{
			Inputs: []*onnxio.ValueInfo{info("x", -1, 3, 4, 4)}, Outputs: []*onnxio.ValueInfo{info("y", -1, 5, 4, 4)},
			Initializers: []*onnxio.Tensor{
				onnxio.NewTensor("w1", []int64{5, 3, 1, 1}, integers(15)), onnxio.NewTensor("w2", []int64{5, 3, 1, 1}, integers(15)),
				onnxio.NewTensor("b0", []int64{5}, integers(5)),
			},
			Nodes: nodes,
		}}
		e, err := New[float32](m)
		if err != nil {
			t.Fatal(err)
		}
		e.Pack()
		feeds := map[string]*Tensor[float32]{"x": {Type: onnxio.Float32, Shape: []int{1, 3, 4, 4}, F: integers(48)}}
		want, err := plain(e, feeds)
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Run(context.Background(), feeds)
		if err != nil {
			t.Fatal(err)
		}
		if err := within4Ulp(got, want); err != nil || e.PackedConvs() != 1 {
			t.Errorf("%v; %d convolutions are packed, want 1", err, e.PackedConvs())
		}
	}
}

func FuzzPack(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		if kernel.CanPackConv() {
			checkPacked(t, rand.New(rand.NewPCG(seed, 6)))
		}
	})
}

// TestPackIsAsked: without Pack, with float64 and where weights are an input, nodes are
// computed one by one.
func TestPackIsAsked(t *testing.T) {
	m := func() *onnxio.Model {
		w := onnxio.NewTensor("w", []int64{4, 3, 1, 1}, make([]float32, 12))
		return &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, Graph: &onnxio.Graph{
			Inputs: []*onnxio.ValueInfo{info("x", -1, 3, 5, 5)}, Outputs: []*onnxio.ValueInfo{info("y", -1, 4, 5, 5)},
			Initializers: []*onnxio.Tensor{w}, Nodes: []*onnxio.Node{op("Conv x w -> y")},
		}}
	}
	count := func(m *onnxio.Model, pack bool) int {
		e, err := New[float32](m)
		if err != nil {
			t.Fatal(err)
		}
		if pack {
			e.Pack()
		}
		return e.PackedConvs()
	}
	here := 0
	if kernel.CanPackConv() {
		here = 1
	}
	if got := count(m(), true); got != here {
		t.Errorf("%d convolutions are packed, want %d", got, here)
	}
	if got := count(m(), false); got != 0 {
		t.Errorf("%d convolutions are packed without Pack", got)
	}
	fed := m()
	fed.Graph.Inputs = append(fed.Graph.Inputs, info("w", 4, 3, 1, 1))
	if got := count(fed, true); got != 0 {
		t.Errorf("%d convolutions by weights that are an input are packed", got)
	}
	double, err := New[float64](m())
	if err != nil {
		t.Fatal(err)
	}
	double.Pack()
	if got := double.PackedConvs(); got != 0 {
		t.Errorf("%d convolutions in float64 are packed", got)
	}
}
