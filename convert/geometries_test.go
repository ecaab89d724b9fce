package convert_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/internal/engine"
	"efcn/onnxio"
)

// geometriesPerOperator is how many random geometries of every operator and
// layout are converted and compared.
const geometriesPerOperator = 200

// affineCase is a model of a linear operator with one input, x, and what it has to be
// by the operator's page, worked out in loops that share nothing with the program.
type affineCase struct {
	opset int64
	in    []int // shape of x without the batch
	nodes []*onnxio.Node
	inits []*onnxio.Tensor
	outs  []*expected
}

// expected is an output of an affineCase: y = A·x + b on vectors.
type expected struct {
	name string
	dims []int // without the batch
	a    []float64
	b    []float64
}

// newExpected returns y = 0 for an output of that shape.
func (c *affineCase) newExpected(name string, dims []int) *expected {
	e := &expected{name: name, dims: dims, a: make([]float64, size(dims)*size(c.in)), b: make([]float64, size(dims))}
	c.outs = append(c.outs, e)
	return e
}

// add adds the coefficient v of input q to output p, both multi-indices.
func (c *affineCase) add(e *expected, p, q []int, v float64) {
	e.a[place(e.dims, p)*size(c.in)+place(c.in, q)] += v
}

func (c *affineCase) String() string {
	text := fmt.Sprintf("opset %d, x %v", c.opset, c.in)
	for _, n := range c.nodes {
		text += fmt.Sprintf("; %s %v", n.OpType, n.Inputs)
		for _, a := range n.Attributes {
			text += fmt.Sprintf(" %s %d %g %v %q", a.Name, a.I, a.F, a.Ints, a.S)
		}
	}
	for _, t := range c.inits {
		if v, err := onnxio.Ints(t); err == nil {
			text += fmt.Sprintf("; %s = %v", t.Name, v)
		} else if v, err := onnxio.Floats[float32](t); err == nil && len(v) < 12 {
			text += fmt.Sprintf("; %s = %v", t.Name, v)
		} else {
			text += fmt.Sprintf("; %s %v", t.Name, t.Dims)
		}
	}
	return text
}

func size(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// place is the row-major number of a multi-index.
func place(dims, at []int) int {
	n := 0
	for i, d := range dims {
		if at[i] < 0 || at[i] >= d {
			panic(fmt.Sprintf("index %v of %v", at, dims))
		}
		n = n*d + at[i]
	}
	return n
}

// every calls visit with all multi-indices of a shape, which are visit's to keep.
func every(dims []int, visit func(at []int)) {
	for i := range size(dims) {
		at := make([]int, len(dims))
		for k := len(dims) - 1; k >= 0; k-- {
			at[k] = i % dims[k]
			i /= dims[k]
		}
		visit(at)
	}
}

// geometryOperators are the operators that are compared: those that become a
// matrix in every layout, the others once.
var geometryOperators = []struct {
	name   string
	matrix bool
	draw   func(rng *rand.Rand) *affineCase
}{
	{"Conv", true, drawConv},
	{"ConvTranspose", true, drawConvTranspose},
	{"AveragePool", true, drawAveragePool},
	{"GlobalAveragePool", true, drawGlobalAveragePool},
	{"ReduceMean", true, drawReduceMean},
	{"ReduceSum", true, drawReduceSum},
	{"Conv and BatchNormalization", true, drawConvBatchNorm},
	{"BatchNormalization", false, drawBatchNorm},
	{"Pad", false, drawPad},
	{"Resize, nearest", false, drawResizeNearest},
	{"Resize, linear", true, drawResizeLinear},
	{"Upsample, nearest", false, drawUpsampleNearest},
	{"Upsample, linear", true, drawUpsampleLinear},
	{"Transpose", false, drawTranspose},
	{"Slice", false, drawSlice},
	{"Gather", false, drawGather},
	{"Split", false, drawSplit},
	{"Concat", false, drawConcat},
	{"DepthToSpace", false, drawDepthToSpace},
	{"SpaceToDepth", false, drawSpaceToDepth},
	{"Reshape, Flatten, Squeeze, Unsqueeze", false, drawReshape},
	{"Gemm", false, drawGemm},
	{"MatMul of vectors", false, drawMatMul},
	{"MatMul of tensors", true, drawTensorMatMul},
	{"Add, Sub, Mul, Div", false, drawArithmetic},
}

// TestGeometries converts random geometries of every linear operator in every
// layout it can have, takes the matrix of the eFCN column by column by running
// it on unit vectors, and compares it with loops over the formulas of the
// operator's page.
func TestGeometries(t *testing.T) {
	for _, op := range geometryOperators {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			seed := fnv.New64()
			seed.Write([]byte(op.name))
			rng := rand.New(rand.NewPCG(seed.Sum64(), 1))
			forms := []record.Layout{record.Auto}
			if op.matrix {
				forms = layouts
			}
			if op.name == "Upsample, linear" { // of opsets that have no sparse constants
				forms = []record.Layout{record.Dense, record.Local}
			}
			drawn, compared := 0, 0
			for ; drawn < geometriesPerOperator; drawn++ {
				var c *affineCase
				for c == nil || size(c.in) > 150 || slices.ContainsFunc(c.outs, func(e *expected) bool { return size(e.dims) > 300 }) {
					c = op.draw(rng)
				}
				for _, layout := range forms {
					if err := c.compare(layout); err != nil {
						t.Fatalf("geometry %d, %s: %v\n%v", drawn, layout, err, c)
					}
					compared++
				}
			}
			if want := geometriesPerOperator * len(forms); compared != want {
				t.Errorf("%d comparisons, want %d", compared, want)
			}
		})
	}
	if len(geometryOperators) != 25 {
		t.Errorf("%d operators, want 25", len(geometryOperators))
	}
}

// compare converts the case and compares what the eFCN computes.
func (c *affineCase) compare(layout record.Layout) error {
	cnn := &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: c.opset}}, Graph: &onnxio.Graph{
		Name: "test", Nodes: c.nodes, Initializers: c.inits,
	}}
	x := onnxio.Shape{onnxio.Symbol("N")}
	for _, d := range c.in {
		x = append(x, onnxio.Fixed(int64(d)))
	}
	cnn.Graph.Inputs = []*onnxio.ValueInfo{{Name: "x", Type: onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: x}}}
	for _, e := range c.outs {
		cnn.Graph.Outputs = append(cnn.Graph.Outputs, &onnxio.ValueInfo{Name: e.name, Type: onnxio.TensorType{Elem: onnxio.Float32}})
	}
	plan, err := convert.NewPlan(cnn, convert.Options{Layout: layout})
	if err != nil {
		return err
	}
	if len(plan.Kept) > 0 {
		return fmt.Errorf("kept: %+v", plan.Kept)
	}
	efcn, err := plan.Model()
	if err != nil {
		return err
	}
	if err := sizeDiffers(plan, efcn); err != nil {
		return err
	}
	e, err := engine.New[float64](efcn)
	if err != nil {
		return err
	}
	// The zero vector, and the unit vectors.
	cols := size(c.in)
	in := &engine.Tensor[float64]{Type: onnxio.Float32, Shape: append([]int{cols + 1}, c.in...), F: make([]float64, (cols+1)*cols)}
	for j := range cols {
		in.F[(j+1)*cols+j] = 1
	}
	got, err := e.Run(context.Background(), map[string]*engine.Tensor[float64]{"x": in})
	if err != nil {
		return err
	}
	for _, want := range c.outs {
		if err := want.compare(got[want.name], cols); err != nil {
			return fmt.Errorf("output %s: %w", want.name, err)
		}
	}
	return nil
}

// compare compares an output for the zero vector and the unit vectors.
func (e *expected) compare(got *engine.Tensor[float64], cols int) error {
	if !slices.Equal(got.Shape, append([]int{cols + 1}, e.dims...)) {
		return fmt.Errorf("shape %v, want %v for each of %d", got.Shape, e.dims, cols+1)
	}
	rows := size(e.dims)
	for r := range rows {
		b := got.F[r]
		if !rounds(b, e.b[r]) {
			return fmt.Errorf("the bias of output %d is %v, want %v", r, b, e.b[r])
		}
		for j := range cols {
			if v, want := got.F[(j+1)*rows+r]-b, e.a[r*cols+j]; !rounds(v, want) {
				return fmt.Errorf("the coefficient of output %d and input %d is %v, want %v", r, j, v, want)
			}
		}
	}
	return nil
}

// rounds reports whether got is want rounded to float32: want itself where that is
// a float32, as it is for weights that are whole numbers. The last term leaves
// room for want's own roundings in float64, of which none takes more than five.
func rounds(got, want float64) bool {
	if float64(float32(want)) == want {
		return got == want
	}
	return math.Abs(got-want) <= (0x1p-24+0x1p-49)*math.Abs(want)
}
