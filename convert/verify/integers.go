package verify

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"efcn/onnxio"
)

// IntegerInputError says that no random numbers can be drawn for an input of
// integers, because nothing in the graph says which it takes. Given inputs and no
// random ones would do.
type IntegerInputError struct {
	Input string
	Type  onnxio.TensorType
	Why   string
}

func (e *IntegerInputError) Error() string {
	return fmt.Sprintf("input %q: %s; random numbers cannot be drawn for it, so samples of it (%s) have to be given",
		e.Input, e.Why, describe([]*onnxio.ValueInfo{{Name: e.Input, Type: e.Type}}))
}

// span is a range of integers, both ends among them. limited says that others
// are refused when the model runs; a range that is not limited is one in which
// something happens, a number that is compared with, say. Without either the range
// is empty.
type span struct {
	lo, hi  int64
	limited bool
	steers  string // the node for which the numbers are a shape, "" for none
}

// none is a range that nothing is known of.
var none = span{lo: 1, hi: 0}

func (r span) empty() bool { return r.lo > r.hi && !r.limited }

// and is what two consumers allow together.
func (r span) and(o span) span {
	switch {
	case o.steers != "":
		return o
	case r.steers != "" || o.empty() || r.limited && !o.limited:
		return r
	case r.empty() || o.limited && !r.limited:
		return o
	case r.limited:
		return span{lo: max(r.lo, o.lo), hi: min(r.hi, o.hi), limited: true}
	default:
		return span{lo: min(r.lo, o.lo), hi: max(r.hi, o.hi)}
	}
}

// drawn says which integers are drawn for an input; integers is false for an
// input of floating-point numbers that is not read as integers.
func (n *net) drawn(in *onnxio.ValueInfo) (r span, integers bool, err error) {
	r = n.taken(in.Name, 0)
	elem := in.Type.Elem
	refuse := func(format string, args ...any) (span, bool, error) {
		return r, true, &IntegerInputError{Input: in.Name, Type: in.Type, Why: fmt.Sprintf(format, args...)}
	}
	least, most := integerRange(elem)
	switch {
	case elem.IsFloat() && !r.limited:
		return r, false, nil
	case r.steers != "":
		return refuse("node %q takes it for a shape", r.steers)
	case elem == onnxio.Bool:
		return span{lo: 0, hi: 1}, true, nil
	case r.empty() && (least == math.MinInt64 || most > math.MaxUint16):
		return refuse("nothing in the graph says which of the numbers of %s it takes", elem)
	case r.empty():
		r = span{lo: least, hi: most}
	}
	if r.lo, r.hi = max(r.lo, least), min(r.hi, most); r.lo > r.hi {
		return refuse("no number is one that all nodes take")
	}
	return r, true, nil
}

// integerRange returns the numbers that a type has, as far as they are int64.
func integerRange(t onnxio.DataType) (lo, hi int64) {
	switch t {
	case onnxio.Int8:
		return math.MinInt8, math.MaxInt8
	case onnxio.Uint8:
		return 0, math.MaxUint8
	case onnxio.Int16:
		return math.MinInt16, math.MaxInt16
	case onnxio.Uint16:
		return 0, math.MaxUint16
	case onnxio.Int32:
		return math.MinInt32, math.MaxInt32
	case onnxio.Uint32:
		return 0, math.MaxUint32
	case onnxio.Uint64:
		return 0, math.MaxInt64
	default:
		return math.MinInt64, math.MaxInt64
	}
}

// takenDepth bounds how many nodes an input is followed through.
const takenDepth = 64

// taken follows a value to the nodes that take it, and returns which integers
// they allow it to be.
func (n *net) taken(name string, depth int) span {
	r := none
	if depth > takenDepth {
		return r
	}
	for _, node := range n.Readers(name) {
		for i, in := range node.Inputs {
			if in == name {
				r = r.and(n.takenBy(node, i, depth))
			}
		}
	}
	return r
}

// takenBy returns which integers a node allows its input i to be.
func (n *net) takenBy(node *onnxio.Node, i, depth int) span {
	if op := operatorOf(node); op.integers != nil {
		return op.integers(n, node, i, depth)
	}
	return none
}

// passedOn: the first input may be what the output may be.
func passedOn(n *net, node *onnxio.Node, i, depth int) span {
	if i > 0 {
		return none
	}
	return anyPassedOn(n, node, i, depth)
}

// anyPassedOn: every input may be what the output may be.
func anyPassedOn(n *net, node *onnxio.Node, _, depth int) span {
	return n.taken(node.Output(0), depth+1)
}

// shaping: all inputs but the first say of what shape something is.
func shaping(_ *net, node *onnxio.Node, i, _ int) span {
	if i == 0 {
		return none
	}
	return span{steers: node.Label()}
}

// passedOnInShape is passedOn of an operator whose other inputs say of what shape it is.
func passedOnInShape(n *net, node *onnxio.Node, i, depth int) span {
	if i == 0 {
		return passedOn(n, node, i, depth)
	}
	return shaping(n, node, i, depth)
}

// besideKnown is what an operator on two inputs allows one to be where the other is known to be
// from least to most, so that its output is one that is allowed.
func besideKnown(allowed func(i int, least, most int64, output span) span) func(*net, *onnxio.Node, int, int) span {
	return func(n *net, node *onnxio.Node, i, depth int) span {
		if len(node.Inputs) != 2 {
			return none
		}
		least, most, ok := n.extent(node.Input(1 - i))
		if !ok {
			return none
		}
		return allowed(i, least, most, n.taken(node.Output(0), depth+1))
	}
}

// indicesAlongAxis: input 1 holds indices of one axis of the first.
func indicesAlongAxis(n *net, node *onnxio.Node, i, _ int) span {
	if i != 1 {
		return none
	}
	axis, err := n.axis(node)
	return n.below(node, err, func(dims []int64) []int64 {
		if at, err := axisOf(axis, len(dims)); err == nil {
			return dims[at : at+1]
		}
		return nil
	})
}

// indexTuples: input 1 holds tuples of indices of the first axes of the first.
func indexTuples(n *net, node *onnxio.Node, i, _ int) span {
	if i != 1 {
		return none
	}
	batch, err := node.Int("batch_dims", 0)
	return n.below(node, err, func(dims []int64) []int64 {
		tuple, ok := n.dimsOf(node.Input(1))
		if !ok || len(tuple) == 0 || batch < 0 || batch+tuple[len(tuple)-1] > int64(len(dims)) {
			return nil
		}
		return dims[batch : batch+tuple[len(tuple)-1]]
	})
}

// below returns the range of indices of some axes of a node's data.
func (n *net) below(node *onnxio.Node, err error, axes func(dims []int64) []int64) span {
	dims, ok := n.dimsOf(node.Input(0))
	if !ok || err != nil {
		return none
	}
	lengths := axes(dims)
	if len(lengths) == 0 {
		return none
	}
	return span{lo: 0, hi: slices.Min(lengths) - 1, limited: true}
}

// dimsOf returns the shape of a value, with the smallest batch.
func (n *net) dimsOf(name string) ([]int64, bool) {
	if t := n.constants[name]; t != nil {
		return t.Dims, true
	}
	if len(n.fromShapes.infos) == 0 {
		return nil, false
	}
	return n.fromShapes.dims(name, 0)
}

// extent returns the least and the greatest integer of a value that is known
// without data.
func (n *net) extent(name string) (lo, hi int64, ok bool) {
	tensors := n.fromShapes.values[name]
	if t := n.constants[name]; t != nil {
		tensors = []*onnxio.Tensor{t}
	}
	lo, hi = math.MaxInt64, math.MinInt64
	for _, t := range tensors {
		list, err := integersOf(t)
		if err != nil || len(list) == 0 {
			return 0, 0, false
		}
		lo, hi = min(lo, slices.Min(list)), max(hi, slices.Max(list))
	}
	return lo, hi, len(tensors) > 0
}

// integersOf returns the elements of a tensor of integers, or of whole numbers of
// a floating type, as a Cast from integers and before it gives.
func integersOf(t *onnxio.Tensor) ([]int64, error) {
	if !t.Type.IsFloat() {
		return onnxio.Ints(t)
	}
	floats, err := onnxio.Floats[float64](t)
	list := make([]int64, len(floats))
	for i, v := range floats {
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return nil, fmt.Errorf("%g is no integer", v)
		}
		list[i] = int64(v)
	}
	return list, err
}

// mapped returns the range of what a function of the numbers came from.
func (r span) mapped(back func(lo, hi int64) (int64, int64)) span {
	if r.empty() || r.steers != "" {
		return r
	}
	r.lo, r.hi = back(r.lo, r.hi)
	return r
}

// randomIntegers fills one sample of an input: all numbers of the range alike, of
// every eight samples one of the least and one of the greatest.
func randomIntegers(r *rand.Rand, sample int, from span, put func(i int, v int64), count int) {
	for i := range count {
		v := from.lo + int64(r.Uint64N(max(uint64(from.hi-from.lo)+1, 1)))
		switch sample % 8 {
		case 6:
			v = from.hi
		case 7:
			v = from.lo
		}
		put(i, v)
	}
}
