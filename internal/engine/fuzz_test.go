package engine

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"efcn/onnxio"
)

// FuzzNode runs single nodes whose operator, attributes, shapes and elements come
// from a generator seeded by the input. Whatever they are, the engine must answer
// with values that fit their shapes or with an error, and not ask for memory that
// the limit forbids.
func FuzzNode(f *testing.F) {
	for seed := range uint64(64) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { runRandomNode(t, seed) })
}

// TestRandomNodes is a fixed share of FuzzNode for every test run. It asserts that
// a good part of the nodes gets past the refusals.
func TestRandomNodes(t *testing.T) {
	ran := 0
	for seed := range uint64(40_000) {
		if runRandomNode(t, seed) {
			ran++
		}
	}
	if ran < 4_000 {
		t.Errorf("%d of 40,000 random nodes ran, want a tenth", ran)
	}
}

func runRandomNode(t *testing.T, seed uint64) bool {
	g := generator{rand.New(rand.NewPCG(seed, 77))}
	names := make([]string, 0, len(registry))
	for name := range registry {
		names = append(names, name)
	}
	sort.Strings(names)
	name := names[g.IntN(len(names))]
	o := registry[name]
	opset := onnxio.OldestOpset + g.Int64N(onnxio.NewestOpset-onnxio.OldestOpset+1)
	n := &onnxio.Node{OpType: name, Name: "n", Outputs: []string{"y", "z"}[:1+g.IntN(2)]}
	schema, err := onnxio.SupportedOp(n, opset)
	if err != nil {
		return false
	}
	slots := schema.MaxInputs
	if o.variadic() {
		slots = o.slots() + g.IntN(2)
	}
	var in []*Tensor[float32]
	shape := g.shape()
	for i := range slots {
		if i >= schema.MinInputs && g.IntN(2) == 0 {
			n.Inputs, in = append(n.Inputs, ""), append(in, nil)
			continue
		}
		n.Inputs = append(n.Inputs, "x")
		in = append(in, g.value(o.kind(i), shape))
	}
	for _, a := range schema.Attributes {
		if g.IntN(2) == 0 {
			n.Attributes = append(n.Attributes, g.attribute(a.Name, a.Type))
		}
	}
	for len(in) < o.slots() {
		in = append(in, nil)
	}
	step, err := prepare[float32](n, map[string]int64{"": opset})
	if err != nil {
		return false
	}
	out, err := step.run(&exec[float32]{ctx: context.Background(), elements: 1 << 16}, in)
	if err != nil {
		return false
	}
	for i, v := range out {
		if v == nil {
			continue
		}
		if err := v.Validate(); err != nil {
			t.Errorf("seed %d, %s, opset %d: output %d: %v", seed, name, opset, i, err)
		}
	}
	return true
}

// generator makes values that are mostly small and plausible, sometimes absurd.
type generator struct{ *rand.Rand }

func (g generator) integer() int64 {
	switch g.IntN(20) {
	case 0:
		return []int64{
			math.MaxInt64, math.MinInt64, math.MaxInt32, math.MinInt32, 1 << 31, 1 << 40,
			-1 << 40,
		}[g.IntN(7)]
	case 1, 2:
		return -1 - g.Int64N(4)
	default:
		return g.Int64N(5)
	}
}

func (g generator) float() float32 {
	switch g.IntN(12) {
	case 0:
		return []float32{
			float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32,
			math.SmallestNonzeroFloat32, float32(math.Copysign(0, -1)),
		}[g.IntN(6)]
	default:
		return float32(g.IntN(17)-8) / 2
	}
}

func (g generator) shape() []int {
	shape := make([]int, g.IntN(5))
	for i := range shape {
		shape[i] = g.IntN(4)
		if shape[i] == 0 && g.IntN(3) > 0 {
			shape[i] = 2
		}
	}
	return shape
}

// value makes an input of a kind; often of the shape of the others, else of its
// own or a vector, as axes and shapes are.
func (g generator) value(kind byte, shape []int) *Tensor[float32] {
	switch g.IntN(4) {
	case 0:
		shape = g.shape()
	case 1:
		shape = []int{g.IntN(5)}
	}
	v := &Tensor[float32]{Shape: slices.Clone(shape)}
	integers := []onnxio.DataType{
		onnxio.Int64, onnxio.Int64, onnxio.Int64, onnxio.Int8, onnxio.Uint8, onnxio.Int32,
		onnxio.Uint64,
	}
	switch {
	case kind == 'f' || kind != 'i' && kind != 'b' && g.IntN(2) == 0:
		v.Type = []onnxio.DataType{
			onnxio.Float32, onnxio.Float32, onnxio.Float32, onnxio.Float64,
			onnxio.Float16,
		}[g.IntN(5)]
	case kind == 'b' || kind == 'v' && g.IntN(3) == 0:
		v.Type = onnxio.Bool
	default:
		v.Type = integers[g.IntN(len(integers))]
	}
	for range product(shape) {
		switch {
		case v.Type.IsFloat():
			v.F = append(v.F, g.float())
		case v.Type == onnxio.Bool:
			v.I = append(v.I, g.Int64N(2))
		default:
			v.I = append(v.I, g.integer())
		}
	}
	return v
}

func (g generator) attribute(name string, t onnxio.AttributeType) *onnxio.Attribute {
	a := &onnxio.Attribute{Name: name, Type: t}
	switch t {
	case onnxio.AttrInt:
		a.I = g.integer()
	case onnxio.AttrFloat:
		a.F = g.float()
	case onnxio.AttrInts:
		for range g.IntN(5) {
			a.Ints = append(a.Ints, g.integer())
		}
	case onnxio.AttrFloats:
		for range g.IntN(5) {
			a.Floats = append(a.Floats, g.float())
		}
	case onnxio.AttrString:
		words := []string{
			"SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "linear", "cubic", "nearest",
			"align_corners", "tf_crop_and_resize", "asymmetric", "reflect", "edge", "wrap", "add", "mul", "max", "CRD", "tanh", "not_larger", "floor",
		}
		a.S = []byte(words[g.IntN(len(words))])
	case onnxio.AttrTensor:
		a.T = onnxio.NewTensor("", []int64{1}, []float32{g.float()})
	}
	return a
}
