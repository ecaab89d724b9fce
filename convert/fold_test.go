package convert_test

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/internal/engine"
	"efcn/onnxio"
)

// chainOps are the operators that random chains are made of.
var chainOps = []string{
	"Conv", "Conv", "ConvTranspose", "AveragePool", "BatchNormalization", "Mul", "Add", "Sub", "Div", "Neg",
	"Pad", "Slice", "Transpose", "Resize", "Linear", "Relu",
}

// chain is a model that applies operators one after another.
type chain struct {
	rng   *rand.Rand
	dims  []int64 // of the value so far
	nodes []*onnxio.Node
	inits []*onnxio.Tensor
}

func (c *chain) constant(t *onnxio.Tensor) string {
	t.Name = fmt.Sprintf("c%d", len(c.inits))
	c.inits = append(c.inits, t)
	return t.Name
}

func (c *chain) weights(dims ...int64) string { return c.constant(floats("", c.rng, dims...)) }

func (c *chain) node(op string, inputs []string, attrs ...*onnxio.Attribute) {
	x := "x"
	if n := len(c.nodes); n > 0 {
		x = c.nodes[n-1].Outputs[0]
	}
	i := len(c.nodes)
	c.nodes = append(c.nodes, &onnxio.Node{
		Name: fmt.Sprintf("%s%d", strings.ToLower(op), i), OpType: op,
		Inputs: append([]string{x}, inputs...), Outputs: []string{fmt.Sprintf("v%d", i)}, Attributes: attrs,
	})
}

// window returns random attributes of a convolution or pooling that fits.
func (c *chain) window() (kernel, strides, dilations, pads []int64) {
	axes := len(c.dims) - 1
	pads = make([]int64, 2*axes)
	for i, d := range c.dims[1:] {
		k, dil := 1+c.rng.Int64N(3), 1+c.rng.Int64N(2)
		begin, end := c.rng.Int64N(k), c.rng.Int64N(k)
		if (k-1)*dil+1 > d+begin+end {
			k, dil, begin, end = 1, 1, 0, 0
		}
		kernel, strides, dilations = append(kernel, k), append(strides, 1+c.rng.Int64N(2)), append(dilations, dil)
		pads[i], pads[axes+i] = begin, end
	}
	return kernel, strides, dilations, pads
}

// add appends an operator.
func (c *chain) add(op string) {
	ints, num := onnxio.IntsAttr, onnxio.IntAttr
	axes := len(c.dims) - 1
	rank := int64(len(c.dims) + 1)
	group := int64(1)
	if c.rng.IntN(2) == 0 {
		group = c.dims[0]
	}
	switch op {
	case "Conv":
		kernel, strides, dilations, pads := c.window()
		out := group * (1 + c.rng.Int64N(2))
		inputs := []string{c.weights(append([]int64{out, c.dims[0] / group}, kernel...)...)}
		if c.rng.IntN(2) == 0 {
			inputs = append(inputs, c.weights(out))
		}
		c.node(op, inputs, num("group", group), ints("strides", strides...), ints("dilations", dilations...), ints("pads", pads...))
		c.dims[0] = out
		for i := range axes {
			c.dims[i+1] = (c.dims[i+1]+pads[i]+pads[axes+i]-(kernel[i]-1)*dilations[i]-1)/strides[i] + 1
		}
	case "ConvTranspose":
		kernel := make([]int64, axes)
		for i := range kernel {
			kernel[i] = 1 + c.rng.Int64N(2)
			c.dims[i+1] += kernel[i] - 1
		}
		c.node(op, []string{c.weights(append([]int64{c.dims[0], 1}, kernel...)...)}, num("group", group))
		c.dims[0] = group
	case "AveragePool":
		kernel, strides, _, pads := c.window()
		for i := range axes {
			if kernel[i] > c.dims[i+1]+pads[i]+pads[axes+i] {
				kernel[i] = 1
			}
		}
		c.node(op, nil, ints("kernel_shape", kernel...), ints("strides", strides...), ints("pads", pads...), num("count_include_pad", c.rng.Int64N(2)))
		for i := range axes {
			c.dims[i+1] = (c.dims[i+1]+pads[i]+pads[axes+i]-kernel[i])/strides[i] + 1
		}
	case "BatchNormalization":
		variance := floats("", c.rng, c.dims[0])
		v, _ := onnxio.Floats[float32](variance)
		for i := range v {
			v[i] = v[i]*v[i] + 0.1
		}
		c.node(op, []string{c.weights(c.dims[0]), c.weights(c.dims[0]), c.weights(c.dims[0]), c.constant(onnxio.NewTensor("", []int64{c.dims[0]}, v))})
	case "Mul", "Add", "Sub", "Div":
		dims := slices.Repeat([]int64{1}, len(c.dims))
		if axis := c.rng.IntN(len(dims)); true {
			dims[axis] = c.dims[axis]
		}
		c.node(op, []string{c.weights(dims...)})
		if n := c.nodes[len(c.nodes)-1]; op == "Sub" && c.rng.IntN(2) == 0 {
			slices.Reverse(n.Inputs)
		}
	case "Neg", "Relu":
		c.node(op, nil)
	case "Pad":
		pads := make([]int64, 2*rank)
		for i := 2; i < int(rank); i++ {
			pads[i], pads[int(rank)+i] = c.rng.Int64N(2), c.rng.Int64N(2)
		}
		mode := []string{"constant", "edge", "reflect"}[c.rng.IntN(3)]
		for i := 2; i < int(rank); i++ {
			if c.dims[i-1] < 2 {
				mode = "constant"
			}
		}
		c.node(op, []string{c.constant(list("", pads...)), c.constant(onnxio.NewTensor("", nil, []float32{0.25}))}, onnxio.StringAttr("mode", mode))
		for i := 2; i < int(rank); i++ {
			c.dims[i-1] += pads[i] + pads[int(rank)+i]
		}
	case "Slice":
		axis := 1 + c.rng.Int64N(int64(len(c.dims)))
		c.node(op, []string{c.constant(list("", 0)), c.constant(list("", 1<<30)), c.constant(list("", axis)), c.constant(list("", 2))})
		c.dims[axis-1] = (c.dims[axis-1] + 1) / 2
	case "Transpose":
		perm := []int64{0}
		dims := slices.Clone(c.dims)
		for i, p := range c.rng.Perm(len(dims)) {
			perm = append(perm, int64(p+1))
			c.dims[i] = dims[p]
		}
		c.node(op, nil, ints("perm", perm...))
	case "Resize", "Linear":
		scales := []float32{1, 1}
		for i := range axes {
			scales = append(scales, 2)
			c.dims[i+1] *= 2
		}
		mode := "nearest"
		if op == "Linear" {
			mode = "linear"
		}
		c.node("Resize", []string{"", c.constant(onnxio.NewTensor("", []int64{rank}, scales))},
			onnxio.StringAttr("mode", mode), onnxio.StringAttr("coordinate_transformation_mode", "asymmetric"), onnxio.StringAttr("nearest_mode", "floor"))
	}
}

// absolute returns the model whose output on |x| bounds what the terms of m's
// outputs add up to: all constants without their signs.
func absolute(t *testing.T, m *onnxio.Model) *onnxio.Model {
	t.Helper()
	abs := m.Clone()
	negative := make(map[string]bool) // means, which are subtracted
	for i, n := range abs.Graph.Nodes {
		c := *n
		abs.Graph.Nodes[i] = &c
		switch n.OpType {
		case "Sub":
			c.OpType = "Add"
		case "Neg":
			c.OpType = "Identity"
		case "BatchNormalization":
			negative[n.Inputs[3]] = true
		}
	}
	for i, init := range abs.Graph.Initializers {
		if init.Type != onnxio.Float32 {
			continue
		}
		v, err := onnxio.Floats[float32](init)
		if err != nil {
			t.Fatal(err)
		}
		v = slices.Clone(v)
		for j, x := range v {
			if v[j] = float32(math.Abs(float64(x))); negative[init.Name] {
				v[j] = -v[j]
			}
		}
		abs.Graph.Initializers[i] = onnxio.NewTensor(init.Name, init.Dims, v)
	}
	return abs
}

// TestFoldedChains runs random chains of operators, folded in every way and in
// every layout. Each entry of a matrix is rounded to float32 once, by 2⁻²⁴ of
// itself, for as many layers as there are operators at most.
func TestFoldedChains(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 31))
	folded, alone := 0, 0
	for i := range 40 {
		c := &chain{rng: rng, dims: []int64{1 + rng.Int64N(3)}}
		for range 1 + rng.IntN(3) {
			c.dims = append(c.dims, 3+rng.Int64N(3))
		}
		in := slices.Clone(c.dims)
		for range 2 + rng.IntN(4) {
			op := chainOps[rng.IntN(len(chainOps))]
			if (op == "Resize" || op == "Linear" || op == "ConvTranspose") && elementsOf(c.dims) > 200 {
				op = "Slice"
			}
			c.add(op)
		}
		cnn := small(17, in, c.inits, c.nodes...)
		x := randomInput(rng, 2, in)
		want := run(t, cnn, x)[cnn.Graph.Outputs[0].Name]
		most := &engine.Tensor[float64]{Type: x.Type, Shape: x.Shape}
		for _, v := range x.F {
			most.F = append(most.F, math.Abs(v))
		}
		bound := run(t, absolute(t, cnn), most)[cnn.Graph.Outputs[0].Name]
		for _, fold := range []convert.Fold{convert.FoldAuto, convert.FoldAll} {
			for _, layout := range layouts {
				o := convert.Options{Fold: fold, Layout: layout, NoFoldBN: i%4 == 0}
				plan, err := convert.NewPlan(cnn, o)
				if err != nil {
					t.Fatalf("%v: %v", ops(cnn), err)
				}
				if folded += len(plan.Folded); len(plan.Folded) == 0 {
					alone++
				}
				got := run(t, written(t, cnn, o), x)[cnn.Graph.Outputs[0].Name]
				if !slices.Equal(got.Shape, want.Shape) {
					t.Fatalf("%v, fold %s, %s: shape %v, want %v", ops(cnn), fold, layout, got.Shape, want.Shape)
				}
				for j, v := range want.F {
					if d := math.Abs(got.F[j] - v); !(d <= float64(len(c.nodes))*0x1p-24*1.001*bound.F[j]) {
						t.Fatalf("%v, fold %s, %s: output %d is %v, want %v: off by %g of %g", ops(cnn), fold, layout, j, got.F[j], v, d, bound.F[j])
					}
				}
			}
		}
	}
	if folded < 100 || alone < 30 {
		t.Errorf("%d products, and %d models without one", folded, alone)
	}
}

func elementsOf(dims []int64) int64 {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	return n
}

// foldCases are chains and what is to become of them.
var foldCases = []struct {
	name  string
	ops   string // of the CNN, from x
	opts  convert.Options
	want  string // operators of the eFCN
	folds string // what was multiplied together
	err   string
}{
	{name: "not asked", ops: "Pad Conv AveragePool", want: "Flatten Gather Gemm Gemm Reshape"},
	{name: "a pooling makes it smaller", ops: "Pad Conv AveragePool", opts: convert.Options{Fold: convert.FoldAuto}, want: "Flatten Gemm Reshape", folds: "conv1: Pad Conv AveragePool"},
	{name: "where it pays", ops: "Pad Conv Conv", opts: convert.Options{Fold: convert.FoldAuto}, want: "Flatten Gemm Gemm Reshape", folds: "conv1: Pad Conv"},
	{name: "two pieces", ops: "Mul Conv Conv Mul", opts: convert.Options{Fold: convert.FoldAuto}, want: "Flatten Gemm Gemm Reshape", folds: "conv1: Mul Conv, conv2: Conv Mul"},
	{name: "though it does not pay", ops: "Conv Conv", opts: convert.Options{Fold: convert.FoldAll}, want: "Flatten Gemm Reshape", folds: "conv0: Conv Conv"},
	{name: "all", ops: "Pad Conv AveragePool", opts: convert.Options{Fold: convert.FoldAll}, want: "Flatten Gemm Reshape", folds: "conv1: Pad Conv AveragePool"},
	{name: "a normalisation behind is no product", ops: "Conv BatchNormalization", opts: convert.Options{Fold: convert.FoldAll}, want: "Flatten Gemm Reshape"},
	{name: "a normalisation in front", ops: "BatchNormalization Conv", opts: convert.Options{Fold: convert.FoldAuto}, want: "Flatten Gemm Reshape", folds: "conv1: BatchNormalization Conv"},
	{name: "both", ops: "BatchNormalization Conv BatchNormalization", opts: convert.Options{Fold: convert.FoldAll}, want: "Flatten Gemm Reshape", folds: "conv1: BatchNormalization Conv BatchNormalization"},
	{name: "normalisations kept", ops: "Conv BatchNormalization Conv", opts: convert.Options{Fold: convert.FoldAll, NoFoldBN: true}, want: "Flatten Gemm Mul Add Gemm Reshape"},
	{name: "a nonlinearity parts", ops: "Conv Relu AveragePool", opts: convert.Options{Fold: convert.FoldAll}, want: "Flatten Gemm Relu Gemm Reshape"},
	{name: "no matrix in it", ops: "Mul Slice Add", opts: convert.Options{Fold: convert.FoldAll}, want: "Flatten Mul Gather Add Reshape"},
	{name: "a quotient", ops: "Div Conv", opts: convert.Options{Fold: convert.FoldAuto}, want: "Flatten Gemm Reshape", folds: "conv1: Div Conv"},
	{name: "one layer kept", ops: "Conv AveragePool Conv", opts: convert.Options{Fold: convert.FoldAll, Layers: map[string]record.Layout{"conv0": record.Keep}}, want: "Conv Flatten Gemm Reshape", folds: "conv2: AveragePool Conv"},
	{name: "all kept", ops: "Pad Conv", opts: convert.Options{Fold: convert.FoldAll, Layout: record.Keep}, want: "Flatten Gather Reshape Conv"},
	{name: "only one", ops: "Conv AveragePool", opts: convert.Options{Fold: convert.FoldAll, Only: "conv*"}, want: "Flatten Gemm Reshape AveragePool"},
	{name: "a layout of its own", ops: "Pad Conv AveragePool", opts: convert.Options{Fold: convert.FoldAll, Layers: map[string]record.Layout{"averagepool2": record.Sparse}}, want: "Constant Flatten Gemm Reshape", folds: "conv1: Pad Conv AveragePool"},
	{name: "two layouts", ops: "Conv AveragePool", opts: convert.Options{Fold: convert.FoldAll, Layers: map[string]record.Layout{"conv0": record.Sparse, "averagepool1": record.Local}}, err: `layers "conv0" and "averagepool1" are multiplied into one matrix, and cannot be sparse and local`},
	{name: "no layer", ops: "Pad Conv", opts: convert.Options{Fold: convert.FoldAll, Layers: map[string]record.Layout{"pad": record.Local}}, err: `layer "pad": the model has none of that name`},
	{name: "no such fold", ops: "Conv", opts: convert.Options{Fold: "some"}, err: `fold "some": want one of ["off" "auto" "all"]`},
}

// TestFold checks what is multiplied together.
func TestFold(t *testing.T) {
	for _, test := range foldCases {
		t.Run(test.name, func(t *testing.T) {
			c := &chain{rng: rand.New(rand.NewPCG(4, 4)), dims: []int64{2, 12, 12}}
			for _, op := range strings.Fields(test.ops) {
				c.plain(op)
			}
			cnn := small(17, []int64{2, 12, 12}, c.inits, c.nodes...)
			plan, err := convert.NewPlan(cnn, test.opts)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "\n") {
					t.Fatalf("error %v, want one line with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			efcn := written(t, cnn, test.opts)
			if got := strings.Join(ops(efcn), " "); got != test.want {
				t.Errorf("operators %s, want %s", got, test.want)
			}
			var folds []string
			for _, f := range plan.Folded {
				folds = append(folds, f.Layer+": "+strings.Join(f.Ops, " "))
			}
			if got := strings.Join(folds, ", "); got != test.folds {
				t.Errorf("products %q, want %q", got, test.folds)
			}
			rec, err := record.Read(efcn)
			if err != nil || (rec.Version == 2) != (test.folds != "") {
				t.Errorf("record %+v, error %v", rec, err)
			}
		})
	}
}

// plain appends an operator with fixed attributes.
func (c *chain) plain(op string) {
	ints := onnxio.IntsAttr
	switch op {
	case "Conv":
		c.node(op, []string{c.weights(2, 2, 3, 3)}, ints("pads", 1, 1, 1, 1))
	case "AveragePool":
		c.node(op, nil, ints("kernel_shape", 2, 2), ints("strides", 2, 2))
	case "Pad":
		c.node(op, []string{c.constant(list("", 0, 0, 1, 1, 0, 0, 1, 1))}, onnxio.StringAttr("mode", "reflect"))
	default:
		c.add(op)
	}
}

// TestFoldLeavesAlone gives graphs in which the value between two linear
// operators is needed by something else.
func TestFoldLeavesAlone(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	conv := func(in, out string) *onnxio.Node {
		n := node("Conv", in+" w", out, onnxio.IntsAttr("pads", 1, 1))
		n.Name = in + out
		return n
	}
	shape := func(in, out string) *onnxio.Node { return node("Shape", in, out) }
	tests := []struct {
		name  string
		nodes []*onnxio.Node
		extra string // another output
		ops   string
	}{
		{"an output of the graph", []*onnxio.Node{conv("x", "a"), conv("a", "y")}, "a", "Flatten Gemm Gemm Reshape Reshape"},
		{"two readers", []*onnxio.Node{conv("x", "a"), node("Relu", "a", "b"), conv("a", "c"), node("Add", "b c", "y")}, "", "Flatten Gemm Relu Gemm Add Reshape"},
		{"read twice by one", []*onnxio.Node{conv("x", "a"), node("Add", "a a", "b"), conv("b", "y")}, "", "Flatten Gemm Add Gemm Reshape"},
		{"two parts of a split", []*onnxio.Node{conv("x", "a"), node("Split", "a", "b c", onnxio.IntAttr("axis", 2)), node("Add", "b c", "y")}, "", "Flatten Gemm Gather Gather Add Reshape"},
		{"its shape is asked for", []*onnxio.Node{conv("x", "a"), shape("a", "s"), node("Reshape", "a s", "b"), conv("b", "y")}, "", "Flatten Gemm Reshape"},
		{"its shape is an output", []*onnxio.Node{conv("x", "a"), shape("a", "s"), conv("a", "y")}, "s", "Flatten Gemm Reshape Shape Gemm Reshape"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cnn := small(13, []int64{3, 6}, []*onnxio.Tensor{floats("w", rng, 3, 3, 3)}, test.nodes...)
			if test.extra != "" {
				elem := onnxio.Float32
				if test.extra == "s" {
					elem = onnxio.Int64
				}
				cnn.Graph.Outputs = append(cnn.Graph.Outputs, &onnxio.ValueInfo{Name: test.extra, Type: onnxio.TensorType{Elem: elem}})
			}
			efcn := written(t, cnn, convert.Options{Fold: convert.FoldAll})
			if got := strings.Join(ops(efcn), " "); got != test.ops {
				t.Errorf("operators %s, want %s", got, test.ops)
			}
			x := randomInput(rng, 2, []int64{3, 6})
			want, got := run(t, cnn, x), run(t, efcn, x)
			for name := range want {
				checkSame(t, got[name], want[name])
			}
		})
	}
}

// TestFoldGemm multiplies a fully-connected layer's own matrix, with its factors
// and however it is stored.
func TestFoldGemm(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	num := onnxio.FloatAttr
	tests := []struct {
		name  string
		nodes []*onnxio.Node
		opts  convert.Options
		ops   string
		err   string
	}{
		{"plain", []*onnxio.Node{node("AveragePool", "x", "a", onnxio.IntsAttr("kernel_shape", 2)), node("Flatten", "a", "b"), node("Gemm", "b w c", "y")}, convert.Options{Fold: convert.FoldAll}, "Flatten Gemm", ""},
		{"scaled", []*onnxio.Node{node("Slice", "x start end axis", "a"), node("Flatten", "a", "b"), node("Gemm", "b w c", "y", num("alpha", 0.5), num("beta", -3))}, convert.Options{Fold: convert.FoldAuto}, "Flatten Gemm", ""},
		{"transposed", []*onnxio.Node{node("AveragePool", "x", "a", onnxio.IntsAttr("kernel_shape", 2)), node("Flatten", "a", "b"), node("Gemm", "b v one", "y", onnxio.IntAttr("transB", 1))}, convert.Options{Fold: convert.FoldAll}, "Flatten Gemm", ""},
		{"MatMul and Add", []*onnxio.Node{node("Flatten", "x", "a"), node("MatMul", "a m", "b"), node("Add", "b c", "y")}, convert.Options{Fold: convert.FoldAuto}, "Flatten Gemm", ""},
		{"local", []*onnxio.Node{node("Flatten", "x", "a"), node("MatMul", "a m", "b"), node("Add", "b c", "y")}, convert.Options{Fold: convert.FoldAuto, Layers: map[string]record.Layout{"matmul": record.Local}}, "Flatten Reshape Transpose Gather MatMul Transpose Flatten Add", ""},
		{"local on its own", []*onnxio.Node{node("Flatten", "x", "a"), node("Relu", "a", "r"), node("MatMul", "r m", "y")}, convert.Options{Fold: convert.FoldAuto, Layers: map[string]record.Layout{"matmul": record.Local}}, "", `node "matmul" (MatMul): layout local: its matrix is the CNN's own and stays dense`},
		{"kept", []*onnxio.Node{node("Flatten", "x", "a"), node("MatMul", "a m", "b"), node("Add", "b c", "y")}, convert.Options{Fold: convert.FoldAuto, Layers: map[string]record.Layout{"matmul": record.Keep}}, "Flatten MatMul Add", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inits := []*onnxio.Tensor{
				floats("w", rng, 8, 5), floats("v", rng, 5, 8), floats("m", rng, 10, 5), floats("c", rng, 5), floats("one", rng, 1),
				list("start", 0), list("end", 4), list("axis", 2),
			}
			cnn := small(17, []int64{2, 5}, inits, test.nodes...)
			if test.err != "" {
				if _, err := convert.NewPlan(cnn, test.opts); err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want %q", err, test.err)
				}
				return
			}
			efcn := written(t, cnn, test.opts)
			if got := strings.Join(ops(efcn), " "); got != test.ops {
				t.Errorf("operators %s, want %s", got, test.ops)
			}
			x := randomInput(rng, 3, []int64{2, 5})
			checkSame(t, run(t, efcn, x)["y"], run(t, cnn, x)["y"])
		})
	}
}

// TestFoldBudget checks that a product is counted, becomes local where the budget
// asks for it, and is refused beyond.
func TestFoldBudget(t *testing.T) {
	c := &chain{rng: rand.New(rand.NewPCG(7, 7)), dims: []int64{2, 6, 6}}
	for _, op := range []string{"Pad", "Conv", "AveragePool"} {
		c.plain(op)
	}
	cnn := small(17, []int64{2, 6, 6}, c.inits, c.nodes...)
	plan := func(budget int64) *convert.Plan {
		p, err := convert.NewPlan(cnn, convert.Options{Fold: convert.FoldAll, MaxBytes: budget})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	dense := plan(0)
	l := dense.Layers[0]
	if len(dense.Layers) != 1 || l.Layout != record.Dense || l.Rows != 32 || l.Cols != 72 || l.CNNParameters != 36 {
		t.Fatalf("layers %+v", l)
	}
	f := dense.Folded[0]
	if f.Bytes != 4*32*72 || f.BytesApart != 8*2*64+4*(128*128+32*128) || f.Operations != l.NonZeros || f.OperationsApart != 128+2*2*22*22+128 {
		t.Errorf("folding %+v", f)
	}
	local := plan(dense.WeightBytes - 1)
	if local.Layers[0].Layout != record.Local || local.CheckBudget() != nil || local.Folded[0].Bytes != local.Layers[0].LocalBytes() {
		t.Errorf("layers %+v, %v", local.Layers[0], local.CheckBudget())
	}
	if err := plan(100).CheckBudget(); err == nil || !strings.Contains(err.Error(), `node "conv1"`) {
		t.Errorf("error %v", err)
	}
}

// TestFoldLocal checks what the local form of a product takes: the non-zeros, and
// one table for all channels and groups.
func TestFoldLocal(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 1))
	pool := node("AveragePool", "a", "y", onnxio.IntsAttr("kernel_shape", 2, 2))
	tests := []struct {
		name  string
		nodes []*onnxio.Node
		w     []int64
		slots int64
		want  []int64 // dimensions of the weights
	}{
		{"full", []*onnxio.Node{node("Conv", "x w", "a"), pool}, []int64{4, 4, 3, 3}, 4 * 16, []int64{1, 25, 4, 64}},
		{"depthwise", []*onnxio.Node{node("Conv", "x w", "a", onnxio.IntAttr("group", 4)), pool}, []int64{4, 1, 3, 3}, 16, []int64{4, 25, 1, 16}},
		{"two groups, then four", []*onnxio.Node{node("Conv", "x w", "a", onnxio.IntAttr("group", 2)), pool}, []int64{4, 2, 3, 3}, 32, []int64{2, 25, 2, 32}},
		{"depthwise, one channel four times", []*onnxio.Node{node("Conv", "x w", "a", onnxio.IntAttr("group", 4)), node("Gather", "a four", "y", onnxio.IntAttr("axis", 1))}, []int64{4, 1, 3, 3}, 9, []int64{1, 36, 4, 9}},
		{"rows that see different inputs", []*onnxio.Node{node("Conv", "x w", "a"), node("Transpose", "a", "y", onnxio.IntsAttr("perm", 0, 2, 3, 1))}, []int64{4, 4, 3, 3}, 36, []int64{1, 144, 1, 36}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			four := onnxio.NewTensor("four", []int64{4}, []int64{0, 0, 0, 0})
			cnn := small(17, []int64{4, 8, 8}, []*onnxio.Tensor{floats("w", rng, test.w...), four}, test.nodes...)
			o := convert.Options{Fold: convert.FoldAll, Layout: record.Local}
			plan, err := convert.NewPlan(cnn, o)
			if err != nil {
				t.Fatal(err)
			}
			l := plan.Layers[0]
			if want := 4*l.NonZeros + 8*test.want[1]*test.slots; l.LocalBytes() != want {
				t.Errorf("%d bytes, want %d", l.LocalBytes(), want)
			}
			efcn := written(t, cnn, o)
			if w := efcn.Graph.Initializer("conv.weight"); !slices.Equal(w.Dims, test.want) {
				t.Errorf("weights of shape %v, want %v", w.Dims, test.want)
			}
			x := randomInput(rng, 2, []int64{4, 8, 8})
			checkSame(t, run(t, efcn, x)["y"], run(t, cnn, x)["y"])
		})
	}
}

// TestFoldStreams writes products of hundreds of megabytes in every layout, and
// watches the heap.
func TestFoldStreams(t *testing.T) {
	c := &chain{rng: rand.New(rand.NewPCG(8, 8)), dims: []int64{8, 40, 40}}
	c.node("Pad", []string{c.constant(list("", 0, 0, 1, 1, 0, 0, 1, 1))}, onnxio.StringAttr("mode", "edge"))
	c.node("Conv", []string{c.weights(8, 8, 3, 3)})
	c.node("AveragePool", nil, onnxio.IntsAttr("kernel_shape", 2, 2), onnxio.IntsAttr("strides", 2, 2))
	cnn := small(17, []int64{8, 40, 40}, c.inits, c.nodes...)
	for layout, least := range map[record.Layout]int64{record.Dense: 156 << 20, record.Sparse: 4 << 20, record.Local: 1 << 20} {
		plan, err := convert.NewPlan(cnn, convert.Options{Fold: convert.FoldAll, Layout: layout})
		if err != nil {
			t.Fatal(err)
		}
		efcn, err := plan.Model()
		if err != nil {
			t.Fatal(err)
		}
		checkSize(t, plan, efcn)
		runtime.GC()
		w := &heapWatcher{}
		w.start = w.heap()
		data := []onnxio.Data{}
		for _, init := range efcn.Graph.Initializers {
			data = append(data, init.Data)
		}
		for _, n := range efcn.Graph.Nodes {
			if v := n.Attr("sparse_value"); v != nil {
				data = append(data, v.Sparse.Values.Data, v.Sparse.Indices.Data)
			}
		}
		for _, d := range data {
			if _, err := d.WriteTo(w); err != nil {
				t.Fatal(err)
			}
		}
		if w.written < least {
			t.Errorf("%s: %d bytes written, want %d and more", layout, w.written, least)
		}
		// A chunk in each of two buffers for every worker, and the rows in the making.
		if limit := int64(2*runtime.GOMAXPROCS(0)+1) * (6 << 20); w.most-w.start > limit {
			t.Errorf("%s: the heap grew by %d bytes, more than %d", layout, w.most-w.start, limit)
		}
	}
}

// heapWatcher notes how large the heap gets while it is written to.
type heapWatcher struct {
	start, most, written, next int64
}

func (w *heapWatcher) heap() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

func (w *heapWatcher) Write(p []byte) (int, error) {
	if w.written += int64(len(p)); w.written >= w.next {
		w.most, w.next = max(w.most, w.heap()), w.written+1<<22
	}
	return io.Discard.Write(p)
}
