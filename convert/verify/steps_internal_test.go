package verify

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// stepCase is a node with steps. Its first input, and others that are named in
// data, are drawn; the rest are constants.
type stepCase struct {
	op     string
	attrs  []*onnxio.Attribute
	shapes [][]int           // of the inputs that are drawn, float32
	types  []onnxio.DataType // of those, default float32
	rest   []*onnxio.Tensor  // inputs after them
	first  bool              // the constants come first
	opset  int64             // default 17
	grid   float64           // what is drawn is near a multiple of this, half of the time
	outs   int               // default 1
	loose  bool              // another shape is another result
}

func stepCases() []stepCase {
	f := func(v ...float32) *onnxio.Tensor { return onnxio.NewTensor("c", []int64{int64(len(v))}, v) }
	scalar := func(v float32) *onnxio.Tensor { return onnxio.NewTensor("c", nil, []float32{v}) }
	whole := func(v ...int64) *onnxio.Tensor { return onnxio.NewTensor("i", []int64{int64(len(v))}, v) }
	axis := func(v int64) *onnxio.Attribute { return onnxio.IntAttr("axis", v) }
	shape := []int{2, 3, 4}
	one, two := [][]int{shape}, [][]int{shape, shape}
	ints := []onnxio.DataType{onnxio.Int64}
	bools := []onnxio.DataType{onnxio.Bool, onnxio.Bool}
	return []stepCase{
		{op: "QuantizeLinear", shapes: one, rest: []*onnxio.Tensor{scalar(0.25), onnxio.NewTensor("z", nil, []uint8{3})}, grid: 0.125},
		{op: "QuantizeLinear", shapes: one, rest: []*onnxio.Tensor{scalar(-0.01), onnxio.NewTensor("z", nil, []int8{-3})}, grid: 0.005},
		{op: "QuantizeLinear", shapes: one, rest: []*onnxio.Tensor{f(0.25, 0.5, 0.125), onnxio.NewTensor("z", []int64{3}, []int8{3, -4, 0})}, grid: 0.125, attrs: []*onnxio.Attribute{axis(-2)}},
		{op: "QuantizeLinear", shapes: [][]int{{4, 3}, {}}, rest: nil, grid: 0.25},
		{op: "QuantizeLinear", shapes: [][]int{{4, 3}, {3}}, rest: []*onnxio.Tensor{onnxio.NewTensor("z", []int64{3}, []uint8{100, 128, 200})}, grid: 0.25},
		{op: "DequantizeLinear", shapes: one, types: []onnxio.DataType{onnxio.Uint8}, rest: []*onnxio.Tensor{f(0.25, 0.5, 0.1), onnxio.NewTensor("z", []int64{3}, []uint8{3, 4, 200})}},
		{op: "DequantizeLinear", shapes: [][]int{shape, {}}, types: []onnxio.DataType{onnxio.Int8, onnxio.Float32}},
		{op: "Floor", shapes: one, grid: 1},
		{op: "Ceil", shapes: one, grid: 1},
		{op: "Round", shapes: one, grid: 0.5},
		{op: "Sign", shapes: one, grid: 1},
		{op: "Cast", shapes: one, grid: 1, attrs: []*onnxio.Attribute{onnxio.IntAttr("to", int64(onnxio.Int32))}},
		{op: "Cast", shapes: one, grid: 1, attrs: []*onnxio.Attribute{onnxio.IntAttr("to", int64(onnxio.Uint8))}}, // wraps below 0
		{op: "Cast", shapes: one, grid: 1, attrs: []*onnxio.Attribute{onnxio.IntAttr("to", int64(onnxio.Bool))}},
		{op: "Cast", shapes: one, grid: 1, attrs: []*onnxio.Attribute{onnxio.IntAttr("to", int64(onnxio.Float16))}},
		{op: "Cast", shapes: one, types: ints, attrs: []*onnxio.Attribute{onnxio.IntAttr("to", int64(onnxio.Float32))}},
		{op: "Cast", shapes: one, types: ints, attrs: []*onnxio.Attribute{onnxio.IntAttr("to", int64(onnxio.Bool))}},
		{op: "ThresholdedRelu", shapes: one, grid: 1, attrs: []*onnxio.Attribute{onnxio.FloatAttr("alpha", 1)}},
		{op: "ThresholdedRelu", shapes: one, grid: 1, attrs: []*onnxio.Attribute{onnxio.FloatAttr("alpha", -1)}},
		{op: "Shrink", shapes: one, grid: 1, attrs: []*onnxio.Attribute{onnxio.FloatAttr("lambd", 1), onnxio.FloatAttr("bias", 0.25)}},
		{op: "Mod", shapes: one, grid: 0.75, rest: []*onnxio.Tensor{f(0.75)}, attrs: []*onnxio.Attribute{onnxio.IntAttr("fmod", 1)}},
		{op: "Mod", shapes: one, types: ints, rest: []*onnxio.Tensor{whole(3)}},
		{op: "Div", shapes: one, types: ints, rest: []*onnxio.Tensor{whole(3)}},
		{op: "Add", shapes: two, types: []onnxio.DataType{onnxio.Int64, onnxio.Int64}},
		{op: "Sub", shapes: two, types: []onnxio.DataType{onnxio.Int64, onnxio.Int64}},
		{op: "Mul", shapes: two, types: []onnxio.DataType{onnxio.Int64, onnxio.Int64}},
		{op: "Abs", shapes: one, types: ints},
		{op: "Relu", shapes: one, types: ints},
		{op: "Max", shapes: two, types: []onnxio.DataType{onnxio.Int64, onnxio.Int64}},
		{op: "Concat", shapes: two, types: []onnxio.DataType{onnxio.Int64, onnxio.Int64}, attrs: []*onnxio.Attribute{axis(1)}},
		{op: "ReduceSum", shapes: one, types: ints, rest: []*onnxio.Tensor{whole(1)}},
		{op: "Greater", shapes: two, grid: 1},
		{op: "Less", shapes: [][]int{shape, {4}}, grid: 1},
		{op: "GreaterOrEqual", shapes: one, grid: 1, rest: []*onnxio.Tensor{f(1)}},
		{op: "LessOrEqual", shapes: two, grid: 1},
		{op: "Equal", shapes: two, grid: 1},
		{op: "Equal", shapes: one, types: ints, rest: []*onnxio.Tensor{whole(1)}},
		{op: "And", shapes: two, types: bools},
		{op: "Or", shapes: two, types: bools},
		{op: "Xor", shapes: two, types: bools},
		{op: "Not", shapes: one, types: bools},
		{op: "Where", shapes: [][]int{{2, 3, 4}, {3, 4}, {2, 3, 1}}, types: []onnxio.DataType{onnxio.Bool, onnxio.Float32, onnxio.Float32}},
		{op: "ArgMax", shapes: one, grid: 1, attrs: []*onnxio.Attribute{axis(1)}},
		{op: "ArgMin", shapes: one, grid: 1, attrs: []*onnxio.Attribute{axis(-1), onnxio.IntAttr("select_last_index", 1)}},
		{op: "TopK", shapes: one, grid: 1, rest: []*onnxio.Tensor{whole(2)}, attrs: []*onnxio.Attribute{axis(1)}, outs: 2},
		{op: "TopK", shapes: one, grid: 1, rest: []*onnxio.Tensor{whole(3)}, attrs: []*onnxio.Attribute{axis(-1), onnxio.IntAttr("largest", 0)}, outs: 2},
		{op: "Hardmax", shapes: one, grid: 1, attrs: []*onnxio.Attribute{axis(1)}},
		{op: "Hardmax", shapes: one, grid: 1, opset: 11, attrs: []*onnxio.Attribute{axis(1)}},
		{op: "NonZero", shapes: one, grid: 1, loose: true},
		{op: "Gather", first: true, shapes: [][]int{{2, 2}}, types: ints, rest: []*onnxio.Tensor{onnxio.NewTensor("c", []int64{2, 8, 2}, countUp(32))}, attrs: []*onnxio.Attribute{axis(1)}},
		{op: "GatherElements", first: true, shapes: [][]int{{2, 3, 2}}, types: ints, rest: []*onnxio.Tensor{onnxio.NewTensor("c", []int64{2, 8, 2}, countUp(32))}, attrs: []*onnxio.Attribute{axis(1)}},
		{op: "OneHot", shapes: [][]int{{2, 3}}, types: ints, rest: []*onnxio.Tensor{whole(8), f(2, 5)}, attrs: []*onnxio.Attribute{axis(1)}},
	}
}

func countUp(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i*i) / 8
	}
	return v
}

// TestStepBounds: whatever an operand within its bound is moved to, the result is
// within the bound that was derived; and that is not always more than 0, nor always 0.
func TestStepBounds(t *testing.T) {
	cases := stepCases()
	if len(cases) != 52 {
		t.Errorf("%d cases, there have been 52", len(cases))
	}
	for i, c := range cases {
		t.Run(fmt.Sprint(i, " ", c.op), func(t *testing.T) {
			testStepBounds[float32](t, c)
			testStepBounds[float64](t, c)
		})
	}
}

func testStepBounds[T kernel.Float](t *testing.T, c stepCase) {
	r := rand.New(rand.NewPCG(1, 2))
	node := &onnxio.Node{Name: "n", OpType: c.op, Attributes: c.attrs}
	m := &onnxio.Model{Opsets: []onnxio.Opset{{Version: max(c.opset, 17)}}, Graph: &onnxio.Graph{}}
	if c.opset != 0 {
		m.Opsets[0].Version = c.opset
	}
	var rest, drawn []string
	for i, k := range c.rest {
		k := *k
		k.Name = fmt.Sprint("c", i)
		m.Graph.Initializers = append(m.Graph.Initializers, &k)
		rest = append(rest, k.Name)
	}
	for i := range c.shapes {
		name := fmt.Sprint("x", i)
		drawn = append(drawn, name)
		m.Graph.Nodes = append(m.Graph.Nodes, &onnxio.Node{Name: name, OpType: "Relu", Inputs: []string{name + "_in"}, Outputs: []string{name}})
	}
	if node.Inputs = slices.Concat(drawn, rest); c.first {
		node.Inputs = slices.Concat(rest, drawn)
	}
	for i := range max(1, c.outs) {
		node.Outputs = append(node.Outputs, fmt.Sprint("y", i))
	}
	m.Graph.Nodes = append(m.Graph.Nodes, node)
	n, err := newNet(m)
	if err != nil {
		t.Fatal(err)
	}
	above, zero, moved := 0, 0, 0
	for range 60 {
		values := make(map[string]*engine.Tensor[T])
		bound := make(map[string][]float64)
		for i, shape := range c.shapes {
			typ := onnxio.Float32
			if i < len(c.types) {
				typ = c.types[i]
			}
			values[drawn[i]], bound[drawn[i]] = drawOperand[T](r, typ, shape, c.grid, c.op == "QuantizeLinear" && i == 1)
		}
		b := &bounds{
			bounder: &bounder{arithmetic: arithmeticOf[T](), net: n, hidden: func(string) bool { return false }, replaced: func(string) bool { return false }, abs: map[string]*engine.Tensor[float64]{}},
			values:  activationsOf[T](values), known: bound,
		}
		in := func(name string) *engine.Tensor[T] {
			v, err := b.value(name)
			if err != nil {
				t.Fatal(err)
			}
			return convertTensor[T](v)
		}
		run := func(values map[string]*engine.Tensor[T]) []*engine.Tensor[T] {
			var list []*engine.Tensor[T]
			for _, name := range node.Inputs {
				if v := values[name]; v != nil {
					list = append(list, v)
				} else {
					list = append(list, in(name))
				}
			}
			out, err := engine.RunNode(node, n.opset, list)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		own := run(values)
		for i, name := range node.Outputs {
			values[name] = own[i]
		}
		for trial := range 20 {
			other := make(map[string]*engine.Tensor[T])
			for _, name := range drawn {
				other[name] = moveOperand(r, values[name], bound[name], trial)
			}
			theirs := run(other)
			for i, name := range node.Outputs {
				d, err := b.of(name)
				if err != nil {
					t.Fatal(err)
				}
				if b.loose[name] {
					above++
					continue
				}
				if !slices.Equal(own[i].Shape, theirs[i].Shape) {
					t.Fatalf("shapes %v and %v; data was not said to decide it", own[i].Shape, theirs[i].Shape)
				}
				for k := range own[i].Len() {
					diff, limit := differ(own[i], theirs[i], k), 0.0
					if d != nil {
						limit = d[k]
					}
					if math.IsInf(limit, 1) {
						t.Fatalf("element %d of %s: no bound is known", k, name)
					}
					if diff > limit {
						t.Fatalf("element %d of %s: %v apart, the bound is %v", k, name, diff, limit)
					}
					if limit > 0 {
						above++
					} else {
						zero++
					}
					if diff > 0 {
						moved++
					}
				}
			}
		}
	}
	if above == 0 || zero == 0 && !c.loose || moved == 0 && !c.loose {
		t.Errorf("%d bounds above 0, %d of 0, %d elements that differ; want some of each", above, zero, moved)
	}
}

// drawOperand draws a value with the bounds of its elements, half of which are 0.
func drawOperand[T kernel.Float](r *rand.Rand, typ onnxio.DataType, shape []int, grid float64, positive bool) (*engine.Tensor[T], []float64) {
	v := &engine.Tensor[T]{Type: typ, Shape: shape}
	n := product(shape)
	d := make([]float64, n)
	for i := range n {
		if r.IntN(2) == 0 {
			d[i] = math.Ldexp(r.Float64(), -r.IntN(20))
		}
		if typ.IsFloat() {
			x := r.NormFloat64() * 2
			if r.IntN(2) == 0 && grid > 0 {
				x = grid*float64(r.IntN(7)-3) + d[i]*r.NormFloat64()*float64(r.IntN(2))
			}
			if positive {
				x, d[i] = 0.25+r.Float64(), d[i]/8
			}
			v.F = append(v.F, T(x))
			continue
		}
		d[i] = math.Round(2 * d[i])
		x := 2 + r.Int64N(4)
		if typ == onnxio.Bool {
			x, d[i] = r.Int64N(2), min(1, d[i])
		}
		v.I = append(v.I, x)
	}
	return v, d
}

// moveOperand moves a value within its bounds: to their ends, or in between.
func moveOperand[T kernel.Float](r *rand.Rand, v *engine.Tensor[T], d []float64, trial int) *engine.Tensor[T] {
	w := keep(v)
	for i, e := range d {
		by := e * (2*r.Float64() - 1)
		if trial%2 == 0 {
			by = e * float64(2*r.IntN(2)-1)
		}
		if !v.Type.IsFloat() {
			w.I[i] = v.I[i] + int64(math.Round(by))
			if v.Type == onnxio.Bool {
				w.I[i] = min(1, max(0, w.I[i]))
			}
			continue
		}
		if x := T(float64(v.F[i]) + by); math.Abs(float64(x)-float64(v.F[i])) <= e {
			w.F[i] = x
		}
	}
	return w
}
