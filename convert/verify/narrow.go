package verify

import (
	"fmt"
	"math"
	"slices"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// narrow is a floating-point type of 16 bits that the second model stores numbers in:
// parameters, inputs, and the results of nodes. A sum is taken in more than that and rounded
// once, as the embedded engine, ONNX Runtime's CPU and tensor cores do it.
//
// The bounds (see bounder) then allow, besides what they allow for in the arithmetic of the
// check, with u the unit roundoff of the type and t half its least positive number:
//
//   - u|x| + t where the second model is given x: an input, a value that is replaced by the
//     first model's, a constant of an operator that is no sum of products.
//   - u|w| + t of each weight: u(|A||x| + |b|) and t·n·max|x| for a sum of n products.
//   - u|y| + t of each result, unless the node only moves numbers or its result is exact; of a
//     sum with a bias once more, since product and bias may be two nodes.
//   - of a BatchNormalization what its four rounded parameters come to (normStored), and one
//     more result, as it may be Mul and Add.
//
// A result beyond the largest number of the type is no rounding: it is infinite, and differs.
type narrow struct {
	elem onnxio.DataType
	unit float64 // unit roundoff u
	tiny float64 // half the least positive number
	huge float64 // the largest
}

// narrowOf returns what is known of a type that models are judged as; nil of others.
func narrowOf(t onnxio.DataType) *narrow {
	switch t {
	case onnxio.Float16:
		return &narrow{elem: t, unit: 0x1p-11, tiny: 0x1p-25, huge: 65504}
	case onnxio.BFloat16:
		return &narrow{elem: t, unit: 0x1p-8, tiny: 0x1p-134, huge: 0x1.fep127}
	default:
		return nil
	}
}

// NarrowTypeError reports a type that Options.As does not have.
type NarrowTypeError struct{ Type onnxio.DataType }

func (e *NarrowTypeError) Error() string {
	return fmt.Sprintf("no bound is known for models in %s; %s, %s and %s have one", e.Type, onnxio.Float16,
		onnxio.BFloat16, onnxio.Int8)
}

// PrecisionError reports an input or output that one model has in a type of 16 bits, and the other
// in a wider one, where Options.As does not say that they are judged as that.
type PrecisionError struct {
	Value         string // in the first model
	First, Second onnxio.DataType
}

func (e *PrecisionError) Error() string {
	return fmt.Sprintf("%q is %s in the first model and %s in the second, whose numbers are equal up to the rounding "+
		"of %s at best", e.Value, e.First, e.Second, e.Narrow())
}

// Narrow is the type of 16 bits; Undefined if there is none, or the other is no wider one.
func (e *PrecisionError) Narrow() onnxio.DataType {
	for _, t := range [][2]onnxio.DataType{{e.First, e.Second}, {e.Second, e.First}} {
		if narrowOf(t[0]) != nil && (t[1] == onnxio.Float32 || t[1] == onnxio.Float64) {
			return t[0]
		}
	}
	return onnxio.Undefined
}

// CoarserError reports a second model that stores numbers in a coarser type than it is judged as.
type CoarserError struct {
	Value    string // a constant or an input
	Type, As onnxio.DataType
}

func (e *CoarserError) Error() string {
	return fmt.Sprintf("%q is %s, which is coarser than %s", e.Value, e.Type, e.As)
}

// check refuses a model with constants or inputs that are coarser than the type, and one that
// has nothing in it. n is nil where models are not judged as a type.
func (n *narrow) check(m *net) error {
	if n == nil {
		return nil
	}
	check := func(name string, t onnxio.DataType) error {
		if other := narrowOf(t); other != nil && other.unit > n.unit {
			return &CoarserError{name, t, n.elem}
		}
		return nil
	}
	for _, v := range m.graph.FeedInputs() {
		if err := check(v.Name, v.Type.Elem); err != nil {
			return err
		}
	}
	for _, t := range m.graph.Initializers {
		if err := check(t.Name, t.Type); err != nil {
			return err
		}
	}
	if !storedIn(n.elem, m.graph) {
		return &UnusedTypeError{n.elem}
	}
	return nil
}

// UnusedTypeError reports a second model that stores nothing in the type that it is judged as.
type UnusedTypeError struct{ As onnxio.DataType }

func (e *UnusedTypeError) Error() string {
	if e.As == onnxio.Int8 {
		return "there is no DequantizeLinear, so it stores nothing as integers with a scale"
	}
	return fmt.Sprintf("no input, output, constant or Cast is %s, and models in wider types have closer bounds", e.As)
}

// storedIn reports whether a graph has an input, output, constant, Cast or subgraph of the type.
func storedIn(t onnxio.DataType, g *onnxio.Graph) bool {
	is := func(c *onnxio.Tensor) bool { return c.Type == t }
	isValue := func(v *onnxio.ValueInfo) bool { return v.Type.Elem == t }
	isAttribute := func(a *onnxio.Attribute) bool {
		return a.T != nil && is(a.T) || (a.Name == "to" || a.Name == "dtype") && a.I == int64(t) ||
			a.G != nil && storedIn(t, a.G)
	}
	return slices.ContainsFunc(g.Initializers, is) || slices.ContainsFunc(g.Inputs, isValue) ||
		slices.ContainsFunc(g.Outputs, isValue) ||
		slices.ContainsFunc(g.Nodes, func(n *onnxio.Node) bool { return slices.ContainsFunc(n.Attributes, isAttribute) })
}

// one is what rounding x to the type may change.
func (n *narrow) one(x float64) float64 { return n.unit*math.Abs(x) + n.tiny }

// holdsAs reports whether a value of type t may be the other model's of type u.
func (o *Options) holdsAs(t, u onnxio.DataType) bool {
	return t == u || o.As != onnxio.Undefined && t.IsFloat() && u.IsFloat()
}

// standIn returns a value of the first model in the place of the second's v: in its shape
// and type, and rounded to that.
func standIn[T kernel.Float](own, v *engine.Tensor[T]) *engine.Tensor[T] {
	t := &engine.Tensor[T]{Type: v.Type, Shape: v.Shape, F: own.F, I: own.I}
	if narrowOf(v.Type) != nil && own.Type != v.Type {
		t.F = append([]T(nil), own.F...)
		engine.Round(t.Type, t.F)
	}
	return t
}

// given is the bound of a value that both models are given: nil where they see the same bits.
func (b *bounds) given(name string) ([]float64, error) {
	if t := b.apartOf(name); t != nil {
		return t.F, nil
	}
	if b.narrow == nil {
		return nil, nil
	}
	if b.net.constants[name] == nil && b.values.header(name) == nil {
		return nil, nil // not computed
	}
	v, err := b.value(name)
	if err != nil || !v.Type.IsFloat() {
		return nil, err
	}
	d := make([]float64, len(v.F))
	for i, x := range v.F {
		d[i] = own * b.narrow.one(x)
	}
	return d, nil
}

// stored adds to the bound of what a node computes what the second model may lose as it
// stores the result.
func (b *bounds) stored(node *onnxio.Node, name string, d []float64) []float64 {
	op, v := operatorOf(node), b.values.header(name)
	if b.narrow == nil || v == nil || !v.Type.IsFloat() || op.exact || op.reshapes ||
		op.moving(node) != nil && !op.interpolating(node) {
		return d
	}
	y := b.values.value(name)
	if d == nil {
		d = make([]float64, len(y.F))
	}
	for i, x := range y.F {
		d[i] += own * b.narrow.one(math.Abs(x)+d[i])
	}
	return d
}

// weights is what the weights of a linear node add to the bound of element i in the second
// model, where they are rounded to a narrow type: relative, u(m + g), with m and g the magnitude
// and the gain of its sum, and absolute, t(n·most + 2). Of a sum and its bias, which may be two
// nodes, relative is twice that.
func (b *bounds) weights(s *sum, i int) (relative, absolute float64) {
	if b.narrow == nil || !s.weighted {
		return 0, 0
	}
	relative = own * b.narrow.unit * (s.magnitude[i] + s.gainAt(i))
	if s.bias {
		relative *= 2
	}
	most := s.mostOf[i*len(s.mostOf)/len(s.magnitude)]
	return relative, own * b.narrow.tiny * (float64(s.terms)*most + 2)
}

// exceeds reports whether a bound is more than what rounding to the narrow type does to v, or
// than 0 without one.
func (b *bounds) exceeds(d, v []float64) bool {
	for i, e := range d {
		if b.narrow == nil && e > 0 || b.narrow != nil && e > own*b.narrow.one(v[i]) {
			return true
		}
	}
	return false
}

// beyondRounding reports whether one of some values may differ by more than that.
func (b *bounds) beyondRounding(names []string, ds [][]float64) (bool, error) {
	for i, name := range names {
		if ds[i] == nil {
			continue
		}
		v, err := b.value(name)
		if err != nil || b.exceeds(ds[i], numbers(v)) {
			return true, err
		}
	}
	return false, nil
}

// normStored is what the parameters of a BatchNormalization add to the bound of s(z−m) + β, for
// |z| up to size, where the second model has them rounded to a narrow type, or their products,
// or the two results of a Mul and an Add: with s = γ/√(v+ε) off by at most δ,
// δ(|z| + |m|) + (|s|+δ)·e(m) + e(β) + e(s(z−m)).
func (b *bounds) normStored(n *batchNorm, channel int, size float64) float64 {
	if b.narrow == nil {
		return 0
	}
	e := b.narrow.one
	gamma, variance := n.gamma[channel], n.variance[channel]
	least := variance - e(n.variance[channel]-n.epsilon)
	if !(least > 0) {
		return math.Inf(1)
	}
	s, m, beta := math.Abs(n.scale[channel]), math.Abs(n.mean[channel]), math.Abs(n.beta[channel])
	delta := (math.Abs(gamma)+e(gamma))/math.Sqrt(least) - s // the other end is nearer
	delta = math.Max(delta, e(s))
	return own * (delta*(size+m) + (s+delta)*e(m) + e(beta) + e((s+delta)*(size+m)))
}

// constantsApart says how a constant of the second model differs from what the first's is when it
// is rounded; "" if it does not, or one of them cannot be read.
func (n *narrow) constantsApart(t, u *onnxio.Tensor) string {
	x, errX := onnxio.Floats[float64](t)
	y, errY := onnxio.Floats[float64](u)
	if errX != nil || errY != nil || len(x) != len(y) {
		return ""
	}
	first, count := -1, 0
	for i := range x {
		if !(math.Abs(x[i]-y[i]) <= own*n.one(x[i])) {
			if count++; first < 0 {
				first = i
			}
		}
	}
	if count == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d elements differ by more than rounding to %s, the first at %v: %v and %v", count, len(x),
		n.elem, unravel(first, asShape(t.Dims)), x[first], y[first])
}

// overflowKind is the kind of a finding that names where the second model is infinite.
const overflowKind = "overflow"

// overflow says where the second model is infinite, in the narrow type, and the first is not; "" if
// nowhere.
func (c *comparison[T]) overflow() string {
	at, n := c.nonFinite["efcninfinite"], c.bounder.narrow
	if at == nil || n == nil || c.nonFinite["cnninfinite"] != nil {
		return ""
	}
	return fmt.Sprintf("B is infinite from element %v of %s on: %s holds numbers up to %g", at.At,
		placeText(at.Value, at.Node, at.Op), n.elem, n.huge)
}
