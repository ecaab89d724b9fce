package convert_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/internal/constants"
	"efcn/internal/engine"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// padCase is a chain of nodes and what of its Pads is absorbed.
type padCase struct {
	name  string
	opset int64
	inits []*onnxio.Tensor
	nodes []*onnxio.Node
	want  string // the attribute pads of the last node
	left  int    // Pads
}

func scalar(name string, v float32) *onnxio.Tensor { return onnxio.NewTensor(name, nil, []float32{v}) }

// padCases are on an input of 4 channels of 6×7.
func padCases() []padCase {
	rng := rand.New(rand.NewPCG(13, 1))
	ints, num, str := onnxio.IntsAttr, onnxio.IntAttr, onnxio.StringAttr
	w := floats("w", rng, 4, 4, 3, 3)
	one := []*onnxio.Tensor{w, list("p", 0, 0, 1, 2, 0, 0, 3, 0), scalar("zero", 0), scalar("two", 2), scalar("low", float32(math.Inf(-1))), scalar("minus", -3)}
	with := func(more ...*onnxio.Tensor) []*onnxio.Tensor { return append(slices.Clone(one), more...) }
	pad := node("Pad", "x p", "v")
	conv := func(attrs ...*onnxio.Attribute) *onnxio.Node { return node("Conv", "v w", "y", attrs...) }
	average := func(attrs ...*onnxio.Attribute) *onnxio.Node {
		return node("AveragePool", "v", "y", append(attrs, ints("kernel_shape", 4, 3))...)
	}
	relu := node("Relu", "x", "r")
	behind := func(inputs string, attrs ...*onnxio.Attribute) *onnxio.Node {
		return node("Pad", inputs, "v", attrs...)
	}
	largest := func(attrs ...*onnxio.Attribute) *onnxio.Node {
		return node("MaxPool", "v", "y", append(attrs, ints("kernel_shape", 4, 3))...)
	}
	all := func(nodes ...*onnxio.Node) []*onnxio.Node { return nodes }
	return []padCase{
		// A Conv.
		{"input pads", 17, one, all(pad, conv()), "1 2 3 0", 0},
		{"a constant of zero", 17, one, all(behind("x p zero"), conv()), "1 2 3 0", 0},
		{"attributes of opset 7", 7, one, all(node("Pad", "x", "v", ints("pads", 0, 0, 1, 2, 0, 0, 3, 0), onnxio.FloatAttr("value", 0)), conv()), "1 2 3 0", 0},
		{"axes", 18, with(list("q", 2, 1, 0, 1), list("axes", -1, 2)), all(behind("x q  axes"), conv()), "1 2 1 0", 0},
		{"with own pads", 17, one, all(pad, conv(ints("pads", 1, 0, 0, 1))), "2 2 3 1", 0},
		{"auto_pad", 17, one, all(pad, conv(str("auto_pad", "SAME_LOWER"), ints("strides", 2, 3))), "2 2 3 0", 0},
		{"auto_pad VALID", 17, one, all(pad, conv(str("auto_pad", "VALID"))), "1 2 3 0", 0},
		{"dilations and strides", 17, one, all(pad, conv(ints("dilations", 2, 3), ints("strides", 3, 2))), "1 2 3 0", 0},
		{"two Pads", 17, one, all(node("Pad", "x p", "u"), behind("u p"), conv()), "2 4 6 0", 0},
		{"a cut of what was padded", 17, with(list("cut", 0, 0, -1, -1, 0, 0, -2, 0)), all(node("Pad", "x p", "u"), behind("u cut"), conv()), "0 1 1 0", 0},
		{"more than the kernel", 17, with(list("wide", 0, 0, 5, 5, 0, 0, 5, 5)), all(behind("x wide"), conv()), "5 5 5 5", 0},
		{"of another constant", 17, one, all(behind("x p two"), conv()), "", 1},
		{"by reflection", 17, one, all(behind("x p", str("mode", "reflect")), conv()), "", 1},
		{"of the channels", 17, with(list("c", 0, 1, 0, 0, 0, 1, 1, 1), floats("w6", rng, 2, 6, 3, 3)), all(behind("x c"), node("Conv", "v w6", "y")), "", 1},
		{"a cut", 17, with(list("cut", 0, 0, -1, 0, 0, 0, 1, 1)), all(behind("x cut"), conv()), "", 1},
		{"a cut, then padding", 17, with(list("cut", 0, 0, -1, 0, 0, 0, 0, 0)), all(node("Pad", "x cut", "u"), behind("u p"), conv()), "1 2 3 0", 1},
		{"behind another padding", 17, one, all(node("Pad", "x p", "u", str("mode", "edge")), behind("u p"), conv()), "1 2 3 0", 1},
		{"with another reader", 17, one, all(pad, node("Relu", "v", "z"), conv()), "", 1},
		{"read by Shape", 17, one, all(pad, node("Shape", "v", "s"), node("Conv", "v w", "t"), node("Reshape", "t t_shape", "y")), "", 0},
		// An AveragePool.
		{"average", 17, one, all(pad, average()), "1 2 3 0", 0},
		{"average that counts its padding", 17, one, all(pad, average(ints("pads", 1, 0, 0, 1), num("count_include_pad", 1))), "2 2 3 1", 0},
		{"average that leaves its padding out", 17, one, all(pad, average(ints("pads", 1, 0, 0, 1))), "", 1},
		{"average, SAME without padding", 17, one, all(pad, node("AveragePool", "v", "y", str("auto_pad", "SAME_UPPER"), ints("kernel_shape", 5, 3), ints("strides", 5, 3))), "1 2 3 0", 0},
		{"average, ceil_mode that comes out even", 17, one, all(pad, average(ints("strides", 3, 3), num("ceil_mode", 1))), "1 2 3 0", 0},
		{"average, ceil_mode", 17, one, all(pad, average(ints("strides", 4, 4), num("ceil_mode", 1))), "", 1},
		{"average of another constant", 17, one, all(behind("x p two"), average()), "", 1},
		{"average, as wide as its kernel", 17, with(list("wide", 0, 0, 0, 0, 0, 0, 0, 3)), all(behind("x wide"), average()), "", 1},
		// A MaxPool.
		{"maximum of what cannot be negative", 17, one, all(relu, behind("r p"), largest()), "1 2 3 0", 0},
		{"maximum above a Clip", 17, one, all(node("Clip", "x zero", "r"), behind("r p"), largest()), "1 2 3 0", 0},
		{"maximum behind an average", 17, one, all(relu, node("AveragePool", "r", "a", ints("kernel_shape", 1, 1)), behind("a p"), largest()), "1 2 3 0", 0},
		{"maximum of what can be negative", 17, one, all(pad, largest()), "", 1},
		{"maximum of what can be negative, by less", 17, one, all(behind("x p minus"), largest()), "", 1},
		{"maximum above what is padded", 17, one, all(relu, behind("r p minus"), largest()), "1 2 3 0", 0},
		{"maximum below what is padded", 17, one, all(relu, behind("r p two"), largest()), "", 1},
		{"maximum, padded by minus infinity", 17, one, all(behind("x p low"), largest(ints("pads", 1, 0, 0, 1))), "2 2 3 1", 0},
		{"maximum, ceil_mode", 17, one, all(relu, behind("r p"), largest(ints("strides", 3, 4), num("ceil_mode", 1))), "1 2 3 0", 0},
		// 6 + 1 + 3 and a stride of 7 end in the padding: without a Pad that window is left out.
		{"maximum, ceil_mode at the end", 17, one, all(relu, behind("r p"), node("MaxPool", "v", "y", ints("kernel_shape", 4, 3), ints("strides", 7, 1), num("ceil_mode", 1))), "", 1},
		{"maximum over nothing but padding", 17, with(list("ends", 0, 0, 1, 0, 0, 0, 1, 0)), all(relu, behind("r ends"), node("MaxPool", "v", "y", ints("kernel_shape", 2, 3), ints("dilations", 7, 1))), "", 1},
		{"maximum, with its indices", 17, one, all(relu, behind("r p"), node("MaxPool", "v", "y places", ints("kernel_shape", 4, 3))), "", 1},
		// Not these.
		{"transposed", 17, one, all(pad, node("ConvTranspose", "v w", "y")), "", 1},
	}
}

// TestAbsorbPads compares each case with what the engine makes of it with its Pads,
// as one operator and converted; what is not absorbed stays.
func TestAbsorbPads(t *testing.T) {
	cases := padCases()
	if len(cases) != 40 {
		t.Errorf("%d cases, want 40", len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := small(c.opset, []int64{4, 6, 7}, c.inits, c.nodes...)
			last := c.nodes[len(c.nodes)-1]
			if last.OpType == "Reshape" { // what a node computes of the shape is not looked at
				m.Graph.Initializers = append(m.Graph.Initializers, list("t_shape", 0, -1))
				last = c.nodes[len(c.nodes)-2]
				c.want = "1 2 3 0"
			}
			if c.name == "with another reader" {
				m.Graph.Outputs = append(m.Graph.Outputs, &onnxio.ValueInfo{Name: "z", Type: onnxio.TensorType{Elem: onnxio.Float32}})
			}
			if len(m.Graph.Outputs) == 2 && last.OpType == "MaxPool" {
				m.Graph.Outputs[1].Type.Elem = onnxio.Int64
			}
			before := fmt.Sprint(*last)
			info, err := shape.Infer(m, shape.Options{Evaluate: constants.Evaluate})
			if err != nil {
				t.Fatal(err)
			}
			out, absorbed := convert.AbsorbPads(m, info)
			if fmt.Sprint(*last) != before {
				t.Error("the model was modified")
			}
			if (out == m) != (len(absorbed) == 0) {
				t.Errorf("%d absorbed; the same model: %t", len(absorbed), out == m)
			}
			checkPads(t, out, last, &c)
			rng := rand.New(rand.NewPCG(5, 5))
			for range 3 {
				x := &engine.Tensor[float64]{Type: onnxio.Float32, Shape: []int{2, 4, 6, 7}, F: make([]float64, 2*4*6*7)}
				for i := range x.F {
					x.F[i] = rng.NormFloat64() - 1
				}
				want, got := run(t, m, x), run(t, out, x)
				for name := range want {
					exactly(t, name, got[name], want[name])
				}
				efcn := written(t, m, convert.Options{Layout: record.Local})
				for name, v := range run(t, efcn, x) {
					checkSame(t, v, want[name])
				}
			}
		})
	}
}

// checkPads checks the attributes of the operator and counts the Pads.
func checkPads(t *testing.T, m *onnxio.Model, operator *onnxio.Node, c *padCase) {
	t.Helper()
	left := 0
	for _, n := range m.Graph.Nodes {
		if n.OpType == "Pad" {
			left++
		}
		if n.Output(0) != operator.Output(0) || c.want == "" {
			continue
		}
		pads, err := n.Ints("pads")
		if text := strings.Trim(fmt.Sprint(pads), "[]"); err != nil || text != c.want {
			t.Errorf("pads %s (%v), want %s", text, err, c.want)
		}
		if n.Attr("auto_pad") != nil {
			t.Error("auto_pad is left")
		}
	}
	if want := c.left + strings.Count(c.name, "read by Shape"); left != want {
		t.Errorf("%d Pads are left, want %d", left, want)
	}
}

// exactly compares values of two models that add up the same terms.
func exactly(t *testing.T, name string, got, want *engine.Tensor[float64]) {
	t.Helper()
	if got == nil || !slices.Equal(got.Shape, want.Shape) {
		t.Fatalf("%s: got %v, want shape %v", name, got, want.Shape)
	}
	for i, v := range want.F {
		if d := math.Abs(got.F[i] - v); !(d <= 1e-12*(1+math.Abs(v))) {
			t.Fatalf("%s: element %d is %v, want %v", name, i, got.F[i], v)
		}
	}
}
