package verify

import (
	"math"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// A discontinuous operator has steps: places where its result jumps, however
// little its operand moves. Two computations whose operands differ by rounding may
// land on either side of one, which is no fault of either.
//
// The bound knows where the steps are. Where an operand lies further from every
// step than its own bound, the results are on one plateau and have to be equal;
// where it lies within its bound of one, the bound of the result is the distance to
// the plateaus that can be reached, and what follows is bounded from there. Nothing
// else is allowed for: a scale, a threshold or an axis that is wrong moves
// elements whose operands are nowhere near a step.

// hasSteps says whether a node has steps.
func hasSteps(node *onnxio.Node) bool {
	return plateaus(node) || compares(node) || isOp(node, "Cast", "CastLike", "ThresholdedRelu",
		"Shrink", "Mod", "ArgMax", "ArgMin", "TopK", "Hardmax", "NonZero")
}

// plateaus says whether a node is an elementwise function of its first input that
// never falls where that rises, or never rises (a scale below 0).
func plateaus(node *onnxio.Node) bool {
	return isOp(node, "QuantizeLinear", "Floor", "Ceil", "Round", "Sign")
}

// near notes which elements of a value may be on either side of a step.
func (b *bounds) near(name string, at []int) {
	if len(at) == 0 || name == "" {
		return
	}
	if b.nearSteps == nil {
		b.nearSteps = make(map[string][]int)
	}
	b.nearSteps[name] = at
}

// stepped bounds a node that has steps, of whose inputs some may differ.
func (b *bounds) stepped(node *onnxio.Node, ds [][]float64) ([][]float64, error) {
	if b.pair() {
		ds = b.telling(node, ds)
	}
	var d []float64
	var at []int
	var err error
	switch {
	case isOp(node, "QuantizeLinear") && (ds[1] != nil || len(ds) > 2 && ds[2] != nil):
		d, err = b.quantizedBy(node, ds)
	case plateaus(node):
		d, err = b.plateau(node, ds)
	case compares(node):
		d, err = b.compared(node, ds)
	case isOp(node, "Cast", "CastLike"):
		return b.cast(node, ds)
	case isOp(node, "ThresholdedRelu"):
		d, at, err = b.thresholded(node, ds[0])
	case isOp(node, "Shrink"):
		d, at, err = b.shrunk(node, ds[0])
	case isOp(node, "Mod"):
		d, at, err = b.remainder(node, ds)
	case isOp(node, "Hardmax"):
		d, err = b.hardmax(node, ds[0])
	case isOp(node, "ArgMax", "ArgMin"):
		d, err = b.argument(node, ds[0])
	case isOp(node, "TopK"):
		return b.topK(node, ds)
	case isOp(node, "NonZero"):
		return b.nonZero(node, ds[0])
	default:
		return b.unknown(node), nil
	}
	if err != nil {
		return nil, err
	}
	if at == nil {
		at = positive(d)
	}
	b.near(node.Output(0), at)
	if len(positive(d)) == 0 {
		d = nil // the same plateaus, the same bits
	}
	return [][]float64{d}, nil
}

// telling returns bounds with +Inf for those that say nothing of an operand: that an
// element may be on either side of a step is said only where its own bound is small.
func (b *bounds) telling(node *onnxio.Node, ds [][]float64) [][]float64 {
	out := make([][]float64, len(ds))
	for i, d := range ds {
		out[i] = d
		if v := b.values.value(node.Input(i)); v != nil {
			out[i] = saying(v, d, nil)
		}
	}
	return out
}

// positive lists the elements that are more than 0.
func positive(d []float64) []int {
	var at []int
	for i, v := range d {
		if v > 0 {
			at = append(at, i)
		}
	}
	return at
}

// rangeOf returns the least and greatest number of an integer type, as far as
// int64 holds them; 0 and 1 for bool.
func rangeOf(t onnxio.DataType) (least, greatest float64) {
	if t == onnxio.Bool {
		return 0, 1
	}
	bits := int(8 * t.Size())
	switch t {
	case onnxio.Uint8, onnxio.Uint16, onnxio.Uint32:
		return 0, math.Ldexp(1, bits) - 1
	case onnxio.Uint64:
		return 0, 1<<63 - 1024
	case onnxio.Int64:
		return -1 << 63, 1<<63 - 1024 // the greatest float64 that is an int64
	default:
		return -math.Ldexp(1, bits-1), math.Ldexp(1, bits-1) - 1
	}
}

// plateau bounds a function that only rises, or only falls, by what it is at both
// ends of what its operand may be. It is the model's own node that is run there, so
// the ends are rounded as it rounds.
func (b *bounds) plateau(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	in := make([]*engine.Tensor[float64], len(node.Inputs))
	for i, name := range node.Inputs {
		var err error
		if in[i], err = b.value(name); err != nil {
			return nil, err
		}
	}
	ends, err := b.values.atEnds(node, b.net.opset, in, ds[0])
	if err != nil {
		return nil, err
	}
	y := b.values.value(node.Output(0))
	d := make([]float64, y.Len())
	for _, end := range ends {
		for i := range d {
			d[i] = math.Max(d[i], differ(y, end, i))
		}
	}
	return d, nil
}

// cast bounds a Cast. To a floating-point type as wide as the arithmetic it is
// exact; to a narrower one, and to integers, it has plateaus.
func (b *bounds) cast(node *onnxio.Node, ds [][]float64) ([][]float64, error) {
	x, err := b.value(node.Input(0))
	if err != nil || ds[0] == nil {
		return nil, err
	}
	y := b.values.value(node.Output(0))
	switch {
	case y.Type == onnxio.Float32 || y.Type == onnxio.Float64:
		// Integers beyond the arithmetic's are rounded.
		d := append([]float64(nil), ds[0]...)
		if !x.Type.IsFloat() {
			for i, v := range y.F {
				if d[i] > 0 && math.Abs(v)+d[i] > 1/b.unit {
					d[i] += 4 * b.unit * (math.Abs(v) + d[i])
				}
			}
		}
		return [][]float64{d}, nil
	case y.Type.IsFloat():
		d, err := b.plateau(node, ds)
		return [][]float64{d}, err
	}
	d := make([]float64, y.Len())
	least, greatest := rangeOf(y.Type)
	for i, v := range numbers(x) {
		e := ds[0][i]
		switch {
		case e == 0:
		case math.IsNaN(v) || math.IsInf(e, 1):
			d[i] = greatest - least
		case y.Type == onnxio.Bool:
			if math.Abs(v) <= e {
				d[i] = 1
			}
		default:
			lo, hi := math.Trunc(v-e), math.Trunc(v+e)
			switch {
			case lo == hi:
			case lo < least || hi > greatest: // it wraps
				d[i] = greatest - least
			default:
				d[i] = math.Max(hi-math.Trunc(v), math.Trunc(v)-lo)
			}
		}
	}
	if x.Type.IsFloat() || y.Type == onnxio.Bool {
		b.near(node.Output(0), positive(d))
	}
	if len(positive(d)) == 0 {
		d = nil
	}
	return [][]float64{d}, nil
}

// numbers returns the elements of a value as float64, whatever its type.
func numbers(v *engine.Tensor[float64]) []float64 {
	if v.Type.IsFloat() {
		return v.F
	}
	f := make([]float64, len(v.I))
	for i, x := range v.I {
		f[i] = float64(x)
	}
	return f
}

// thresholded bounds ThresholdedRelu: x where x > alpha, else 0.
func (b *bounds) thresholded(node *onnxio.Node, d []float64) ([]float64, []int, error) {
	alpha, err := node.Float("alpha", 1)
	if err != nil {
		return nil, nil, err
	}
	v, err := b.value(node.Input(0))
	if err != nil {
		return nil, nil, err
	}
	at := []int{}
	out := make([]float64, len(d))
	for i, x := range numbers(v) {
		switch a := float64(alpha); {
		case d[i] == 0:
		case !(math.Abs(x-a) > d[i]):
			at = append(at, i)
			out[i] = own * (math.Abs(x) + d[i])
		case x > a:
			out[i] = d[i]
		}
	}
	return out, at, nil
}

// shrunk bounds Shrink: x + bias below −lambd, x − bias above lambd, else 0.
func (b *bounds) shrunk(node *onnxio.Node, d []float64) ([]float64, []int, error) {
	lambd, err := node.Float("lambd", 0.5)
	if err != nil {
		return nil, nil, err
	}
	bias, err := node.Float("bias", 0)
	if err != nil {
		return nil, nil, err
	}
	v, err := b.value(node.Input(0))
	if err != nil {
		return nil, nil, err
	}
	at := []int{}
	out := make([]float64, len(d))
	for i, x := range numbers(v) {
		if d[i] == 0 {
			continue
		}
		l, jumps := float64(lambd), 0
		for _, step := range []float64{-l, l} {
			if !(math.Abs(x-step) > d[i]) {
				jumps++
			}
		}
		if jumps > 0 {
			at = append(at, i)
		}
		if jumps > 0 || math.Abs(x) > l {
			size := math.Abs(x) + d[i] + math.Abs(float64(bias))
			out[i] = own * (d[i] + float64(jumps)*math.Abs(l-float64(bias)) + 4*b.unit*size)
		}
	}
	return out, at, nil
}

// remainder bounds Mod by a divisor that both computations have: the remainder
// moves with the dividend, and jumps by the divisor where a multiple of it is
// passed.
func (b *bounds) remainder(node *onnxio.Node, ds [][]float64) ([]float64, []int, error) {
	y := b.values.header(node.Output(0))
	if len(ds) < 2 || ds[1] != nil {
		return b.unknown(node)[0], []int{}, nil
	}
	all, err := b.spreadInputs(node, ds, y.Shape)
	if err != nil {
		return nil, nil, err
	}
	at := []int{}
	out := make([]float64, product(y.Shape))
	for i, x := range all[0].x {
		e, m := all[0].at(i), math.Abs(all[1].x[i])
		switch {
		case e == 0:
		case math.Floor((x-e)/m) == math.Floor((x+e)/m):
			out[i] = own*e + 4*b.unit*m
		default:
			at = append(at, i)
			out[i] = own * (2*m + e)
		}
	}
	return out, at, nil
}

// quotient bounds a division of integers, which truncates: by what it is at both
// ends of the dividend, of a divisor that both computations have.
func (b *bounds) quotient(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	y := b.values.header(node.Output(0))
	if ds[1] != nil {
		return b.unknown(node)[0], nil
	}
	all, err := b.spreadInputs(node, ds, y.Shape)
	if err != nil {
		return nil, err
	}
	d := make([]float64, product(y.Shape))
	for i, x := range all[0].x {
		m, e := all[1].x[i], all[0].at(i)
		q := math.Trunc(x / m)
		d[i] = math.Max(math.Abs(math.Trunc((x-e)/m)-q), math.Abs(math.Trunc((x+e)/m)-q))
	}
	b.near(node.Output(0), positive(d))
	return d, nil
}
