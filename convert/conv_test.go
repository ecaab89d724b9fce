package convert

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"efcn/onnxio"
)

// geometry is a convolution or pooling as the ONNX operator pages name it.
type geometry struct {
	group, inPerGroup, outPerGroup int
	in, kernel, stride, dilation   []int64
	padBegin, padEnd               []int64
	autoPad                        string
}

// randomGeometry returns a geometry of 1 to 3 spatial axes whose output is not
// empty.
func randomGeometry(rng *rand.Rand) geometry {
	for {
		axes := 1 + rng.IntN(3)
		g := geometry{group: 1 + rng.IntN(3), inPerGroup: 1 + rng.IntN(3), outPerGroup: 1 + rng.IntN(3)}
		ok := true
		for range axes {
			in, k := 1+rng.Int64N(7), 1+rng.Int64N(4)
			s, d := 1+rng.Int64N(3), 1+rng.Int64N(3)
			pb, pe := rng.Int64N(4), rng.Int64N(4)
			ok = ok && in+pb+pe >= (k-1)*d+1
			g.in, g.kernel = append(g.in, in), append(g.kernel, k)
			g.stride, g.dilation = append(g.stride, s), append(g.dilation, d)
			g.padBegin, g.padEnd = append(g.padBegin, pb), append(g.padEnd, pe)
		}
		if ok {
			return g
		}
	}
}

func (g geometry) String() string {
	return fmt.Sprintf("group %d, %d→%d channels a group, in %v, kernel %v, strides %v, dilations %v, pads %v %v, auto_pad %q",
		g.group, g.inPerGroup, g.outPerGroup, g.in, g.kernel, g.stride, g.dilation, g.padBegin, g.padEnd, g.autoPad)
}

// convModel returns a model of one Conv node with that geometry, whose input
// is x and whose output is y.
func convModel(g geometry, weights, bias []float32) *onnxio.Model {
	channels := int64(g.group * g.inPerGroup)
	wDims := append([]int64{int64(g.group * g.outPerGroup), int64(g.inPerGroup)}, g.kernel...)
	n := &onnxio.Node{
		Name: "conv", OpType: "Conv", Inputs: []string{"x", "w"}, Outputs: []string{"y"},
		Attributes: []*onnxio.Attribute{
			onnxio.IntAttr("group", int64(g.group)),
			onnxio.IntsAttr("strides", g.stride...),
			onnxio.IntsAttr("dilations", g.dilation...),
		},
	}
	if g.autoPad != "" {
		n.Attributes = append(n.Attributes, onnxio.StringAttr("auto_pad", g.autoPad))
	} else {
		n.Attributes = append(n.Attributes, onnxio.IntsAttr("pads", append(append([]int64{}, g.padBegin...), g.padEnd...)...))
	}
	inits := []*onnxio.Tensor{onnxio.NewTensor("w", wDims, weights)}
	if bias != nil {
		n.Inputs = append(n.Inputs, "b")
		inits = append(inits, onnxio.NewTensor("b", []int64{int64(len(bias))}, bias))
	}
	return testModel(append([]int64{-1, channels}, g.in...), inits, n)
}

// testModel returns a model with the float32 input x of that shape (-1 for the
// batch) and the float32 output of the last node.
func testModel(in []int64, inits []*onnxio.Tensor, nodes ...*onnxio.Node) *onnxio.Model {
	shape := make(onnxio.Shape, len(in))
	for i, d := range in {
		if shape[i] = onnxio.Fixed(d); d < 0 {
			shape[i] = onnxio.Symbol("batch")
		}
	}
	return &onnxio.Model{
		IRVersion: 8,
		Opsets:    []onnxio.Opset{{Version: 17}},
		Graph: &onnxio.Graph{
			Name: "test", Nodes: nodes, Initializers: inits,
			Inputs:  []*onnxio.ValueInfo{{Name: "x", Type: onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: shape}}},
			Outputs: []*onnxio.ValueInfo{{Name: nodes[len(nodes)-1].Outputs[0], Type: onnxio.TensorType{Elem: onnxio.Float32}}},
		},
	}
}

// randoms returns n numbers, none of them zero.
func randoms(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

func elements(dims ...int64) int {
	n := 1
	for _, d := range dims {
		n *= int(d)
	}
	return n
}

// counter goes through all indices of a box in row-major order.
func counter(dims []int64, visit func(at []int64)) {
	at := make([]int64, len(dims))
	for range elements(dims...) {
		visit(at)
		for i := len(at) - 1; i >= 0; i-- {
			if at[i]++; at[i] < dims[i] {
				break
			}
			at[i] = 0
		}
	}
}

func offset(dims, at []int64) int {
	o := 0
	for i, d := range dims {
		o = o*int(d) + int(at[i])
	}
	return o
}

// naiveConv is the matrix of a convolution straight from the definition, as a
// map from (row, column) to the entry: every pair of an output and an input
// position is tried with every tap.
func naiveConv(g geometry, out []int64, weights []float32) map[[2]int]float32 {
	entries := make(map[[2]int]float32)
	inSize, outSize := elements(g.in...), elements(out...)
	for o := range g.group * g.outPerGroup {
		for c := range g.inPerGroup {
			channel := o/g.outPerGroup*g.inPerGroup + c
			counter(out, func(p []int64) {
				counter(g.in, func(q []int64) {
					counter(g.kernel, func(t []int64) {
						for i := range q {
							if p[i]*g.stride[i]-g.padBegin[i]+t[i]*g.dilation[i] != q[i] {
								return
							}
						}
						row, col := o*outSize+offset(out, p), channel*inSize+offset(g.in, q)
						if _, twice := entries[[2]int{row, col}]; twice {
							panic("two taps on one entry")
						}
						entries[[2]int{row, col}] = weights[(o*g.inPerGroup+c)*elements(g.kernel...)+offset(g.kernel, t)]
					})
				})
			})
		}
	}
	return entries
}

// checkMatrix compares all that a layer says of its matrix with the entries.
func checkMatrix(t *testing.T, l *Layer, rows, cols int, want map[[2]int]float32) {
	t.Helper()
	if int(l.Rows) != rows || int(l.Cols) != cols {
		t.Fatalf("matrix is %d×%d, want %d×%d", l.Rows, l.Cols, rows, cols)
	}
	if int(l.NonZeros) != len(want) {
		t.Errorf("%d non-zeros, want %d", l.NonZeros, len(want))
	}
	var buf bytes.Buffer
	if err := l.weights.WriteDense(&buf); err != nil {
		t.Fatal(err)
	}
	if buf.Len() != 4*rows*cols {
		t.Fatalf("dense form has %d bytes, want %d", buf.Len(), 4*rows*cols)
	}
	for r := range rows {
		last := -1
		l.weights.Row(r, func(col int, v float32) {
			if w, ok := want[[2]int{r, col}]; !ok || math.Float32bits(w) != math.Float32bits(v) {
				t.Errorf("entry (%d, %d) is %v in the list of row %d, want %v (in the support: %v)", r, col, v, r, w, ok)
			}
			if col <= last {
				t.Errorf("row %d: column %d follows column %d", r, col, last)
			}
			last = col
		})
		for c := range cols {
			got := binary.LittleEndian.Uint32(buf.Next(4))
			if got != math.Float32bits(want[[2]int{r, c}]) {
				t.Fatalf("entry (%d, %d) of the dense form is %v, want %v", r, c, math.Float32frombits(got), want[[2]int{r, c}])
			}
		}
	}
}

// convOutput is the output size that the ONNX page of Conv gives.
func convOutput(g geometry) []int64 {
	out := make([]int64, len(g.in))
	for i := range out {
		out[i] = (g.in[i]+g.padBegin[i]+g.padEnd[i]-(g.kernel[i]-1)*g.dilation[i]-1)/g.stride[i] + 1
	}
	return out
}

func TestConvMatrix(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		g := randomGeometry(rng)
		weights := randoms(rng, g.group*g.outPerGroup*g.inPerGroup*elements(g.kernel...))
		var bias []float32
		if rng.IntN(2) == 0 {
			bias = randoms(rng, g.group*g.outPerGroup)
		}
		plan, err := NewPlan(convModel(g, weights, bias), Options{})
		if err != nil {
			t.Fatalf("%v: %v", g, err)
		}
		out := convOutput(g)
		rows, cols := g.group*g.outPerGroup*elements(out...), g.group*g.inPerGroup*elements(g.in...)
		checkMatrix(t, plan.Layers[0], rows, cols, naiveConv(g, out, weights))
		for r, b := range plan.Layers[0].weights.BiasVector() {
			if b != bias[r/elements(out...)] {
				t.Errorf("%v: bias of row %d is %v", g, r, b)
			}
		}
		if t.Failed() {
			t.Fatal(g)
		}
	}
}

// TestConvAutoPad compares auto_pad with the pads it stands for, as the ONNX
// page of Conv spells them out: the output is the input divided by the stride,
// rounded up, and an odd pad goes to the end (UPPER) or the beginning (LOWER).
func TestConvAutoPad(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, mode := range []string{"SAME_UPPER", "SAME_LOWER", "VALID"} {
		for range 50 {
			g := randomGeometry(rng)
			fits := true
			for i := range g.in {
				g.padBegin[i], g.padEnd[i] = 0, 0
				extent := (g.kernel[i]-1)*g.dilation[i] + 1
				if mode == "VALID" {
					fits = fits && extent <= g.in[i]
					continue
				}
				total := max((int64(math.Ceil(float64(g.in[i])/float64(g.stride[i])))-1)*g.stride[i]+extent-g.in[i], 0)
				g.padBegin[i], g.padEnd[i] = total/2, total-total/2
				if mode == "SAME_LOWER" {
					g.padBegin[i], g.padEnd[i] = g.padEnd[i], g.padBegin[i]
				}
			}
			if !fits {
				continue
			}
			g.autoPad = mode
			weights := randoms(rng, g.group*g.outPerGroup*g.inPerGroup*elements(g.kernel...))
			plan, err := NewPlan(convModel(g, weights, nil), Options{})
			if err != nil {
				t.Fatalf("%v: %v", g, err)
			}
			out := convOutput(g)
			rows, cols := g.group*g.outPerGroup*elements(out...), g.group*g.inPerGroup*elements(g.in...)
			checkMatrix(t, plan.Layers[0], rows, cols, naiveConv(g, out, weights))
			if t.Failed() {
				t.Fatal(g)
			}
		}
	}
}

func TestConvRefuses(t *testing.T) {
	base := func() geometry {
		one := []int64{1, 1}
		return geometry{group: 2, inPerGroup: 1, outPerGroup: 1, in: []int64{5, 5}, kernel: []int64{3, 3}, stride: one, dilation: one, padBegin: one, padEnd: one}
	}
	weights := make([]float32, 2*9)
	tests := []struct {
		name string
		edit func(m *onnxio.Model)
		want string
	}{
		{"group that does not divide", func(m *onnxio.Model) { m.Graph.Nodes[0].Attr("group").I = 3 }, "group 3"},
		{"pads of one axis", func(m *onnxio.Model) { m.Graph.Nodes[0].Attr("pads").Ints = []int64{1, 1} }, "pads: want 4 values, got 2"},
		{"stride zero", func(m *onnxio.Model) { m.Graph.Nodes[0].Attr("strides").Ints = []int64{0, 1} }, "strides"},
		{"string for a list", func(m *onnxio.Model) { *m.Graph.Nodes[0].Attr("dilations") = *onnxio.StringAttr("dilations", "1,1") }, "dilations: want ints, got string"},
		{"pads and auto_pad", func(m *onnxio.Model) {
			m.Graph.Nodes[0].Attributes = append(m.Graph.Nodes[0].Attributes, onnxio.StringAttr("auto_pad", "SAME_UPPER"))
		}, "auto_pad"},
		{"kernel_shape that is not W's", func(m *onnxio.Model) {
			m.Graph.Nodes[0].Attributes = append(m.Graph.Nodes[0].Attributes, onnxio.IntsAttr("kernel_shape", 5, 5))
		}, "kernel_shape"},
		{"height not known", func(m *onnxio.Model) { m.Graph.Inputs[0].Type.Shape[2] = onnxio.Symbol("height") }, `dimension 2 ("height") is not a number`},
		{"kernel larger than the padded input", func(m *onnxio.Model) { m.Graph.Inputs[0].Type.Shape[2] = onnxio.Fixed(0) }, "larger than the padded input"},
		{"opset 6", func(m *onnxio.Model) { m.Opsets[0].Version = 6 }, "opset 6"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := convModel(base(), weights, nil)
			test.edit(m)
			_, err := NewPlan(m, Options{})
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line with %q", err, test.want)
			}
		})
	}
}
