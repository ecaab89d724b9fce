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
	return fmt.Sprintf("input %q: %s; random numbers cannot be drawn for it, so samples of it (%s) have to be given", e.Input, e.Why, describe([]*onnxio.ValueInfo{{Name: e.Input, Type: e.Type}}))
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
	for _, node := range n.consumers[name] {
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
	output := func() span { return n.taken(node.Output(0), depth+1) }
	switch {
	case isOp(node, "Gather", "GatherElements", "ScatterElements", "Scatter") && i == 1:
		axis, err := node.Int("axis", 0)
		return n.below(node, err, func(dims []int64) []int64 {
			if at, err := axisOf(axis, len(dims)); err == nil {
				return dims[at : at+1]
			}
			return nil
		})
	case isOp(node, "GatherND", "ScatterND") && i == 1:
		batch, err := node.Int("batch_dims", 0)
		return n.below(node, err, func(dims []int64) []int64 {
			tuple, ok := n.dimsOf(node.Input(1))
			if !ok || len(tuple) == 0 || batch < 0 || batch+tuple[len(tuple)-1] > int64(len(dims)) {
				return nil
			}
			return dims[batch : batch+tuple[len(tuple)-1]]
		})
	case isOp(node, "OneHot") && i == 0:
		if _, hi, ok := n.extent(node.Input(1)); ok {
			return span{lo: 0, hi: hi - 1, limited: true}
		}
		return none
	case i > 0 && isOp(node, "Reshape", "Expand", "Tile", "Slice", "Pad", "Resize", "Upsample", "Squeeze", "Unsqueeze", "Split", "TopK"),
		isOp(node, "ConstantOfShape", "Range"):
		return span{steers: node.Label()}
	case isOp(node, "Cast"):
		to, err := node.Int("to", 0)
		if r := output(); err == nil && onnxio.DataType(to) == onnxio.Bool && r.empty() {
			return span{lo: 0, hi: 1}
		} else {
			return r
		}
	case isOp(node, "Add", "Sub", "Mul", "Div", "Mod", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual") && len(node.Inputs) == 2:
		return n.arithmetic(node, i, output)
	case isOp(node, "Neg"):
		return output().mapped(func(lo, hi int64) (int64, int64) { return -hi, -lo })
	case operatorOf(node).reshapes && i == 0, i == 0 && isOp(node, "Transpose", "Slice", "Expand", "Tile", "Pad", "Gather", "GatherElements", "GatherND", "Clip", "ReduceMax", "ReduceMin", "DepthToSpace", "SpaceToDepth"),
		isOp(node, "Concat", "Max", "Min"), isOp(node, "Where") && i > 0:
		return output()
	case isOp(node, "Split") && i == 0:
		r := none
		for _, name := range node.Outputs {
			r = r.and(n.taken(name, depth+1))
		}
		return r
	default:
		return none
	}
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

// arithmetic returns which integers may be input i of a node whose other input is
// known, so that its output is one that is allowed.
func (n *net) arithmetic(node *onnxio.Node, i int, output func() span) span {
	least, most, ok := n.extent(node.Input(1 - i))
	if !ok {
		return none
	}
	switch node.OpType {
	case "Add":
		return output().mapped(func(lo, hi int64) (int64, int64) { return lo - least, hi - most })
	case "Sub":
		if i == 0 {
			return output().mapped(func(lo, hi int64) (int64, int64) { return lo + most, hi + least })
		}
		return output().mapped(func(lo, hi int64) (int64, int64) { return most - hi, least - lo })
	case "Mul":
		if least < 1 {
			return none
		}
		return output().mapped(func(lo, hi int64) (int64, int64) { return -floorDiv(-lo, most), floorDiv(hi, most) })
	case "Div":
		if i != 0 || least < 1 {
			return none
		}
		return output().mapped(func(lo, hi int64) (int64, int64) { return lo * most, hi*least + least - 1 })
	case "Mod":
		if r := output(); i != 0 || least < 1 || !r.limited {
			return none
		}
		return span{lo: 0, hi: 2*most - 1, limited: true}
	default: // a comparison: what is about as large
		return span{lo: least - 1, hi: most + 1}
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && a < 0 {
		q--
	}
	return q
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
