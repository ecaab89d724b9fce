package verify

import (
	"fmt"
	"math"
	"slices"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// arithmetic is the floating-point arithmetic that a bound is about.
type arithmetic struct {
	name string
	unit float64 // unit roundoff u: |fl(a∘b) − a∘b| ≤ u·|a∘b|
	tiny float64 // what a product that underflows may lose
	huge float64 // largest finite number
	// parameters is the relative error that every parameter of a linear operator
	// may have in either model besides: 0, or the unit roundoff of float32 where
	// nothing says how the second model was made.
	parameters float64
	// narrow is the type that the second model stores numbers in; nil for that of the first.
	narrow *narrow
}

func arithmeticOf[T kernel.Float]() arithmetic {
	if _, single := any(T(0)).(float32); single {
		return arithmetic{name: Float32, unit: 0x1p-24, tiny: 0x1p-150, huge: math.MaxFloat32}
	}
	return arithmetic{name: Float64, unit: 0x1p-53, tiny: 0x1p-1074, huge: math.MaxFloat64}
}

// gamma is γ_n = n·u/(1−n·u) (Higham, Accuracy and Stability of Numerical
// Algorithms, §3.1), which bounds the relative error of n operations in a row.
func (a arithmetic) gamma(n int) float64 {
	nu := float64(n) * a.unit
	if nu >= 1 {
		return math.Inf(1)
	}
	return nu / (1 - nu)
}

// own covers the rounding of the bounds themselves, which are computed in
// float64 with sums of at most 2³² terms.
const own = 1 + 0x1p-20

// A bounder bounds how far rounding can bring two computations of the CNN apart
// that are the same in exact arithmetic: the CNN's own nodes, and those of the
// eFCN that stand for them. It goes through the CNN's nodes, so it believes
// nothing that the eFCN says.
//
// Every operator takes elementwise bounds d on how far its inputs are apart and
// returns that of its outputs. nil is 0: both computations see the same bits.
//
//   - Linear, y = Ax + b with rows of at most n entries that are not zero: each
//     of the two sums is within γ_{n+2}(|A||x| + |b|) of the exact one in whatever
//     order it is taken and with or without fused operations (n products, n+1
//     sums; one more for the entries 1/n of averages, which are rounded). Entries
//     that are zero add nothing and cost no rounding. So
//     d_y = (1+γ)·|A|d_x + 2γ_{n+2}(|A||x| + |b|). What a factored layer adds, U·V·x with
//     U = 0, is exactly zero and costs none either; a trained U is no rounding.
//   - Linear with a BatchNormalization multiplied in: see folded.
//   - What only moves or selects elements: d moves with them. Maxima: the
//     largest d among the candidates.
//   - Elementwise functions: both models call the same code, so equal inputs give
//     equal bits and d_y = 0 from d_x = 0. Otherwise d_y = L·d_x plus the
//     rounding of both results, L a Lipschitz constant.
//   - An operator with steps: see steps.go.
//   - An operator of which no bound is known gives +Inf from d_x ≠ 0, and 0 from 0.
type bounder struct {
	arithmetic
	products
	net *net
	// hidden says of a value of the CNN that the second model does not have it.
	hidden func(name string) bool
	// replaced says of a value of the CNN that a Gemm computes it in the second.
	replaced func(name string) bool
	abs      map[string]*engine.Tensor[float64] // |constant| by name
	quant    *quantization                      // nil where the second model is not judged as int8
}

// bounds are those of one batch.
type bounds struct {
	*bounder
	values activations // of the CNN
	// reset holds the values that both models are given the CNN's bits of. With a
	// nil map nothing is reset, and bounds add up from the inputs on.
	reset map[string]bool
	known map[string][]float64
	// nearSteps holds, by value, the elements that may be on either side of a step;
	// loose the values whose shape data decides, which may differ. See steps.go.
	nearSteps map[string][]int
	loose     map[string]bool
}

// of returns the bound of a value of the CNN; nil is 0.
func (b *bounds) of(name string) ([]float64, error) {
	node := b.net.Producer(name)
	if node == nil || b.reset[name] {
		d, err := b.given(name)
		if err != nil {
			return nil, err
		}
		return b.quantized(name, d)
	}
	if d, ok := b.known[name]; ok {
		return d, nil
	}
	ds, any, err := b.inputs(node)
	if err != nil {
		return nil, err
	}
	var out [][]float64
	if b.isLoose(node) {
		b.loosen(node)
		out = b.unknown(node)
	} else if out, err = b.node(node, ds, any); err != nil {
		return nil, node.Wrap(fmt.Errorf("bounding its rounding error: %w", err))
	}
	for i, name := range node.Outputs {
		if name == "" {
			continue
		}
		var d []float64
		if i < len(out) {
			d = out[i]
		}
		for k, v := range d {
			if math.IsNaN(v) { // Inf·0 and Inf−Inf
				d[k] = math.Inf(1)
			}
		}
		if b.known[name], err = b.quantized(name, b.whole(name, b.stored(node, name, d))); err != nil {
			return nil, err
		}
	}
	return b.known[name], nil
}

// whole returns the bound of a value: integers are a whole number apart, and more
// than their type holds may wrap. All 0 is nil.
func (b *bounds) whole(name string, d []float64) []float64 {
	v := b.values.header(name)
	if v == nil || v.Type.IsFloat() || d == nil {
		return d
	}
	least, greatest := rangeOf(v.Type)
	any := false
	for k, e := range d {
		if d[k] = math.Floor(e); d[k] > 0 {
			any = true
			if x := float64(v.I[k]); x-d[k] < least || x+d[k] > greatest {
				d[k] = greatest - least
			}
		}
	}
	if !any {
		return nil
	}
	return d
}

// anyBound reports whether a bound is not 0 everywhere.
func anyBound(ds [][]float64) bool {
	return slices.ContainsFunc(ds, func(d []float64) bool { return d != nil })
}

// inputs returns the bounds of a node's inputs, and whether any is not nil.
func (b *bounds) inputs(node *onnxio.Node) (ds [][]float64, any bool, err error) {
	ds = make([][]float64, len(node.Inputs))
	for i, in := range node.Inputs {
		if in == "" || b.net.constants[in] != nil && b.net.isLinear(node) { // weights: see sum
			continue
		}
		if ds[i], err = b.of(in); err != nil {
			return nil, false, err
		}
		any = any || ds[i] != nil
		if b.net.foreign[in] { // no bound has a place, but it may differ
			_, differs, err := b.inputs(b.net.Producer(in))
			if err != nil {
				return nil, false, err
			}
			any = any || differs
		}
	}
	return ds, any, nil
}

// value returns a value or constant of the CNN in float64.
func (b *bounds) value(name string) (*engine.Tensor[float64], error) {
	if name == "" {
		return nil, nil
	}
	if t := b.net.constants[name]; t != nil {
		return engine.FromONNX[float64](t)
	}
	v := b.values.value(name)
	if v == nil {
		return nil, fmt.Errorf("value %q was not computed", name)
	}
	return v, nil
}

// magnitude returns the absolute values of a value or constant.
func (b *bounds) magnitude(name string) (*engine.Tensor[float64], error) {
	if m := b.abs[name]; m != nil {
		return m, nil
	}
	v, err := b.value(name)
	if v == nil || err != nil {
		return nil, err
	}
	m := &engine.Tensor[float64]{Type: v.Type, Shape: v.Shape, I: v.I}
	if v.Type.IsFloat() {
		m.F = make([]float64, len(v.F))
		for i, x := range v.F {
			m.F[i] = math.Abs(x)
		}
	}
	if b.net.constants[name] != nil {
		b.abs[name] = m
	}
	return m, nil
}

// like returns the elements d in the shape of a value; nil becomes zeros.
func like(v *engine.Tensor[float64], d []float64) *engine.Tensor[float64] {
	if d == nil {
		d = make([]float64, product(v.Shape))
	}
	t := v.Type
	if !t.IsFloat() {
		t = onnxio.Float64 // a bound on integers is a number
	}
	return &engine.Tensor[float64]{Type: t, Shape: v.Shape, F: d}
}

// run computes a node in float64.
func (b *bounds) run(node *onnxio.Node, in ...*engine.Tensor[float64]) ([]*engine.Tensor[float64], error) {
	for len(in) > 0 && in[len(in)-1] == nil {
		in = in[:len(in)-1]
	}
	return engine.RunNode(node, b.net.opset, in)
}

// apply computes a fresh node of an operator of the default domain.
func (b *bounds) apply(op string, in ...*engine.Tensor[float64]) (*engine.Tensor[float64], error) {
	node := &onnxio.Node{Name: "bound", OpType: op, Outputs: []string{"d"}}
	for i := range in {
		node.Inputs = append(node.Inputs, fmt.Sprint("x", i))
	}
	out, err := b.run(node, in...)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// pair reports whether nothing is known of how the second model was made. Equal
// inputs then do not give equal bits: what is one node in one model may be
// several in the other, with constants that were rounded once.
func (b *bounder) pair() bool { return b.parameters != 0 }

// unknown is +Inf for every element of every output.
func (b *bounds) unknown(node *onnxio.Node) [][]float64 {
	out := make([][]float64, len(node.Outputs))
	for i, name := range node.Outputs {
		if v := b.values.header(name); v != nil {
			out[i] = make([]float64, product(v.Shape))
			for k := range out[i] {
				out[i][k] = math.Inf(1)
			}
		}
	}
	return out
}

// integers reports whether a node computes integers, which are not rounded.
func (b *bounds) integers(node *onnxio.Node) bool {
	v := b.values.header(node.Output(0))
	return v != nil && !v.Type.IsFloat()
}

// loosen notes that the shapes of a node's outputs may differ between the models,
// as data decides them.
func (b *bounds) loosen(node *onnxio.Node) {
	if b.loose == nil {
		b.loose = make(map[string]bool)
	}
	for _, name := range node.Outputs {
		b.loose[name] = true
	}
}

// isLoose reports whether data decides the shape of an input of a node.
func (b *bounds) isLoose(node *onnxio.Node) bool {
	return slices.ContainsFunc(node.Inputs, func(name string) bool { return b.loose[name] })
}

// single bounds the outputs of one node of the CNN, by itself, given the bounds of
// its inputs. differs says that one of those is not 0.
func (b *bounds) single(node *onnxio.Node, ds [][]float64, differs bool) ([][]float64, error) {
	op := operatorOf(node)
	switch {
	case b.net.lacks[node]:
		if !differs && !b.pair() {
			return nil, nil
		}
		return b.lacking(node, ds)
	case b.net.isLinear(node):
		s, err := b.linear(node, ds)
		if err != nil {
			return nil, err
		}
		return [][]float64{b.linearBound(s)}, nil
	case op.rounds != nil:
		if out, done, err := op.rounds(b, node, ds, differs); done || err != nil {
			return out, err
		}
	}
	moves := op.moving(node)
	switch {
	case !differs && (!b.pair() || moves != nil || op.steps != nil), op.ofShape:
		return nil, nil
	case op.steps != nil:
		if b.pair() {
			ds = b.conclusive(node, ds)
		}
		return op.steps(b, node, ds)
	case op.bound != nil:
		return op.bound(b, node, ds)
	case moves != nil:
		return b.moved(node, ds)
	}
	if op.lipschitz != nil {
		if l, ok := op.lipschitz(b.net, node); ok && (differs || !op.exact) {
			return b.function(node, ds, l)
		}
	}
	if !differs {
		return nil, nil
	}
	return b.unknown(node), nil
}
