package verify

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"efcn/onnxio"
)

// TestDrawn: the range that integers are drawn from is what the nodes that take
// them allow.
func TestDrawn(t *testing.T) {
	i64, f32, boolean, u8 := onnxio.Int64, onnxio.Float32, onnxio.Bool, onnxio.Uint8
	table := onnxio.NewTensor("table", []int64{10, 4}, make([]float32, 40))
	list := func(name string, v ...int64) *onnxio.Tensor {
		return onnxio.NewTensor(name, []int64{int64(len(v))}, v)
	}
	op := func(opType string, in []string, out string, attrs ...*onnxio.Attribute) *onnxio.Node {
		return &onnxio.Node{OpType: opType, Inputs: in, Outputs: []string{out}, Attributes: attrs}
	}
	cast := func(in, out string, to onnxio.DataType) *onnxio.Node {
		return op("Cast", []string{in}, out, onnxio.IntAttr("to", int64(to)))
	}
	tests := []struct {
		name     string
		elem     onnxio.DataType
		nodes    []*onnxio.Node
		lo, hi   int64
		integers bool
		refused  string // words of the error
	}{
		{"rows of a table", i64, []*onnxio.Node{op("Gather", []string{"table", "x"}, "y")}, 0, 9, true, ""},
		{"columns of a table", i64, []*onnxio.Node{op("Gather", []string{"table", "x"}, "y", onnxio.IntAttr("axis", -1))}, 0, 3, true, ""},
		{"two tables", i64, []*onnxio.Node{op("Gather", []string{"table", "x"}, "y"), op("Gather", []string{"three", "x"}, "z")}, 0, 2, true, ""},
		{"behind a Cast and an Unsqueeze", onnxio.Int32, []*onnxio.Node{cast("x", "c", i64), op("Unsqueeze", []string{"c", "one"}, "u"), op("Gather", []string{"table", "u"}, "y")}, 0, 9, true, ""},
		{"an embedding of floats", f32, []*onnxio.Node{cast("x", "c", i64), op("Gather", []string{"table", "c"}, "y")}, 0, 9, true, ""},
		{"behind an offset", i64, []*onnxio.Node{op("Add", []string{"x", "two"}, "a"), op("Gather", []string{"table", "a"}, "y")}, -2, 7, true, ""},
		{"subtracted from", i64, []*onnxio.Node{op("Sub", []string{"two", "x"}, "a"), op("Gather", []string{"table", "a"}, "y")}, -7, 2, true, ""},
		{"behind a factor", i64, []*onnxio.Node{op("Mul", []string{"x", "two"}, "a"), op("Gather", []string{"table", "a"}, "y")}, 0, 4, true, ""},
		{"a quotient", i64, []*onnxio.Node{op("Div", []string{"x", "two"}, "a"), op("Gather", []string{"table", "a"}, "y")}, 0, 19, true, ""},
		{"tuples", i64, []*onnxio.Node{op("GatherND", []string{"table", "x"}, "y")}, 0, 3, true, ""},
		{"classes", i64, []*onnxio.Node{op("OneHot", []string{"x", "six", "ends"}, "y")}, 0, 5, true, ""},
		{"elements of an axis", i64, []*onnxio.Node{op("GatherElements", []string{"table", "x"}, "y")}, 0, 9, true, ""},
		{"a flag", boolean, []*onnxio.Node{op("Not", []string{"x"}, "y")}, 0, 1, true, ""},
		{"bytes of an image", u8, []*onnxio.Node{cast("x", "y", f32)}, 0, 255, true, ""},
		{"a mask by its padding", i64, []*onnxio.Node{op("Equal", []string{"x", "two"}, "y")}, 1, 3, true, ""},
		{"a mask", i64, []*onnxio.Node{cast("x", "y", boolean)}, 0, 1, true, ""},
		{"both mask and index", i64, []*onnxio.Node{cast("x", "y", boolean), op("Gather", []string{"table", "x"}, "z")}, 0, 9, true, ""},
		{"floating-point numbers", f32, []*onnxio.Node{op("Relu", []string{"x"}, "y")}, 0, 0, false, ""},
		{"any integer", i64, []*onnxio.Node{cast("x", "y", f32)}, 0, 0, true, "nothing in the graph says which of the numbers of int64 it takes"},
		{"a shape", i64, []*onnxio.Node{op("Expand", []string{"table", "x"}, "y")}, 0, 0, true, "takes it for a shape"},
	}
	for _, c := range tests {
		in := &onnxio.ValueInfo{Name: "x", Type: onnxio.TensorType{Elem: c.elem, HasShape: true, Shape: onnxio.Shape{onnxio.Fixed(3), onnxio.Fixed(2)}}}
		m := &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, Graph: &onnxio.Graph{
			Inputs: []*onnxio.ValueInfo{in}, Nodes: c.nodes,
			Initializers: []*onnxio.Tensor{table, list("three", 1, 2, 3), list("one", 1), list("two", 2), list("six", 6), list("ends", 0, 1)},
		}}
		n, err := newNet(m)
		if err != nil {
			t.Fatal(err)
		}
		if n, err = n.settled(nil); err != nil {
			t.Fatal(err)
		}
		r, integers, err := n.drawn(in)
		if refused := (*IntegerInputError)(nil); c.refused != "" {
			if !errors.As(err, &refused) || refused.Input != "x" || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: %v, want %q", c.name, err, c.refused)
			}
			continue
		}
		if err != nil || integers != c.integers || integers && (r.lo != c.lo || r.hi != c.hi) {
			t.Errorf("%s: %d to %d, integers %t (%v); want %d to %d, %t", c.name, r.lo, r.hi, integers, err, c.lo, c.hi, c.integers)
		}
		if !integers {
			continue
		}
		o := &Options{Samples: 33}
		feeds, err := o.feeds(n)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
		for _, f := range feeds {
			a := f.arrays["x"]
			values := slices.Clone(a.I)
			for _, v := range a.F {
				values = append(values, int64(v))
			}
			lo, hi = min(lo, slices.Min(values)), max(hi, slices.Max(values))
		}
		if lo != c.lo || hi != c.hi {
			t.Errorf("%s: %d to %d are drawn, want %d to %d", c.name, lo, hi, c.lo, c.hi)
		}
	}
}
