package verify

import (
	"fmt"
	"slices"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// operator is the row of one ONNX operator: all that the checks know of it by its name.
// Whatever asks which operator a node is asks the row. What a row leaves out is not so:
// an operator without one is compared attribute by attribute, as it is written, and no
// bound on its rounding is known.
//
// Nothing in a row is shared with the converter, the engine or shape inference, which
// know the same operators: each reads the operators' pages for itself, so that a fault
// of one of them shows here.
type operator struct {
	name string // as the operator's page has it; of another domain with that in front

	// reshapes claims that it hands on the elements of its first input in their order: all
	// that it does is name another shape. Asked wherever values are followed through the
	// graph.
	reshapes bool
	// elementwise claims that it does the same to every element, so that on a vector it does
	// what it does on the tensor. Asked for the shapes of a kept node's inputs.
	elementwise bool
	// ofShape claims that its value follows from the shape of its input alone. Asked where
	// what follows from shapes is worked out (fromshapes.go), and for bounds.
	ofShape bool
	// random claims that it gives other numbers every time, so that no two models can be
	// compared that have it.
	random bool
	// shapedByData claims that the values it takes may decide how many it gives. Asked of a
	// node that the embedded engine lacks.
	shapedByData bool

	// defaults returns what the attributes that have a default are without being written
	// out, as attributeText writes them. Asked where the attributes of a kept node are
	// compared (attributes.go).
	defaults func(opset int64) map[string]string
	// axis returns the default of its attribute axis; nil if it has none.
	axis func(opset int64) int64
	// axisOfOutput claims that its axis counts those of the output, not of the first input.
	axisOfOutput bool
	// lists are its lists that are attributes before some opset and inputs since, with the
	// number of the input.
	lists map[string]int
	// anyOrder claims that the order in those lists says nothing.
	anyOrder bool
	// bias is the input that a fault of a kept node calls its bias; 0 for none.
	bias int

	// matrix works out the matrix of a linear operator without its batch axis, given the shapes
	// of its data and its output with theirs. Asked for the entries of a layer that stands for
	// it; errNoMatrix where there is none.
	matrix func(n *net, node *onnxio.Node, in, out []int) (*matrix, error)
	// scaled multiplies into that what is left to the node's attributes where the node is kept.
	// Asked where it is a factor of a product.
	scaled func(m *matrix, node *onnxio.Node) (*matrix, error)
	// onVectors reports whether a node multiplies vectors, of that shape with the batch axis, with
	// a matrix, so that an eFCN has it as it is.
	onVectors func(n *net, node *onnxio.Node, in []int) bool
	// diagonal works out what it does to each element of input data, of that shape, where all
	// its other inputs are constant. Asked for products, and for the sums in a report.
	diagonal func(n *net, node *onnxio.Node, data int, shape []int) (*diagonal, error)
	// normalization reads what it does to each channel. Asked of what may have been multiplied
	// into the operator before it, or have become a Mul and an Add.
	normalization func(n *net, node *onnxio.Node, channels int) (*batchNorm, error)
	// channelOf returns how many output channels there are for weights of that shape, and which
	// of them each weight is of. Asked where a normalization is multiplied in.
	channelOf func(node *onnxio.Node, dims []int64) (channels int, of func(i int) int, err error)
	// averaged returns how many inputs each output is the mean of, in a shape that broadcasts to
	// the output's. Asked where the reciprocals are rounded.
	averaged func(n *net, node *onnxio.Node, in, out []int) (counts []int, dims []int64, err error)
	// window reads where the windows of a convolution or pooling lie, on spatial axes of those
	// lengths.
	window func(n *net, node *onnxio.Node, spatial []int) (*window, error)
	// absorbs reports whether a Pad before it may be its own padding, and completes own, the
	// node that has it.
	absorbs func(s *structure, own *onnxio.Node, p *absorption) bool

	// selection works out where output k has its elements from: their places in the vector of
	// the data, of that shape, or outside. Asked for a Gather of the eFCN, and for products.
	selection selectionFunc
	// joins claims that its data are all its inputs, one behind the other.
	joins bool
	// onVector reports whether held, a node of the eFCN of the same operator, works on the vector
	// of what node works on.
	onVector func(s *structure, node, held *onnxio.Node) bool
	// fill reads what it puts in where the selection is outside.
	fill func(n *net, node *onnxio.Node) (float32, error)
	// windows lists what it takes the maxima over: for every axis but the batch, by output
	// index, the input indices. Asked where it became levels of Relu (maximum.go).
	windows func(n *net, node *onnxio.Node, in []int) ([][][]int, error)
	// notNegative reports whether no element of its output is negative; nil: it may be, unless
	// it reshapes or selects what is not.
	notNegative func(s *structure, node *onnxio.Node) bool

	// integers returns which integers it allows its input i to be. Asked where random numbers
	// are drawn (integers.go).
	integers func(n *net, node *onnxio.Node, i, depth int) span
	// resultType is the element type of what it computes, where its attributes or a constant
	// say so.
	resultType func(n *net, node *onnxio.Node) onnxio.DataType

	// terms returns how many products an output of a linear operator adds up at most, its bias
	// apart, given its inputs and its output; nil of an operator that is no such sum. Asked
	// for the bound on its rounding (sums.go).
	terms func(node *onnxio.Node, in []*engine.Tensor[float64], out *engine.Tensor[float64]) (int, error)
	// weighted claims that it is linear only where one of its two factors is a constant.
	weighted bool
	// twoSided claims that either of its first two inputs may be the data, and the other the
	// constant.
	twoSided bool
	// factors are the attributes that its sums are multiplied by.
	factors []string
	// magnitudes returns the magnitudes that an output adds up, given those of its data; nil:
	// the node itself, run on magnitudes, says so. Asked for products (productbound.go).
	magnitudes func(b *bounds, node *onnxio.Node, x *engine.Tensor[float64]) (*engine.Tensor[float64], error)

	// rounds bounds its outputs whether or not its inputs are the same bits in both models;
	// done is false where that is the business of what follows below.
	rounds func(b *bounds, node *onnxio.Node, ds [][]float64, differs bool) (out [][]float64, done bool, err error)
	// steps bounds the outputs of an operator whose result jumps (steps.go).
	steps boundFunc
	// bound bounds its outputs where those of its inputs may differ.
	bound boundFunc
	// moves claims that it only moves, repeats or selects elements, by indices that do not
	// depend on them, or takes their maxima (moved.go).
	moves *movement
	// lipschitz returns a Lipschitz constant of a function of the first input, element by
	// element; ok is false where none is known.
	lipschitz func(n *net, node *onnxio.Node) (l float64, ok bool)
	// limits claims that its other inputs are limits of the result.
	limits bool
	// exact claims that this function is computed without rounding.
	exact bool
	// lacking bounds its outputs where the embedded engine does not have it; nil: no bound is
	// known then.
	lacking boundFunc
	// anyEngine claims that the bound holds whatever engine computes it in float32, as it does
	// of linear operators and of what moves elements. Asked with Options.Engines.
	anyEngine bool
	// interpolates reports whether a node of an operator that selects elements makes numbers
	// between them instead; nil: none does.
	interpolates func(node *onnxio.Node) bool

	// tie is what rounding decides in it. Asked where samples are moved there (ties.go).
	tie tie
}

// selectionFunc returns, for every element of output k of a node, where it is from in data of shape
// in, both without the batch axis.
type selectionFunc func(s *structure, node *onnxio.Node, k int, in []int) ([]int, error)

// boundFunc bounds how far apart the outputs of a node are in the two models, given the
// bounds ds of its inputs, of which nil is 0.
type boundFunc func(b *bounds, node *onnxio.Node, ds [][]float64) ([][]float64, error)

// oneOutput is the bound of an operator with one output.
func oneOutput(bound func(b *bounds, node *onnxio.Node, ds [][]float64) ([]float64, error)) boundFunc {
	return func(b *bounds, node *onnxio.Node, ds [][]float64) ([][]float64, error) {
		d, err := bound(b, node, ds)
		return [][]float64{d}, err
	}
}

// operators is the table, by name. It is filled by the init functions beside the
// operators and not changed afterwards.
var operators = make(map[string]*operator)

func register(rows ...operator) {
	for _, op := range rows {
		if operators[op.name] != nil {
			panic(fmt.Sprintf("verify: operator %s has two rows", op.name))
		}
		operators[op.name] = &op
	}
}

// other is the row of an operator that has none.
var other operator

// operatorOf returns the row of a node's operator; one that claims nothing if it has none,
// or if there is no node.
func operatorOf(node *onnxio.Node) *operator {
	if node == nil {
		return &other
	}
	if op := operators[node.QualifiedOp()]; op != nil {
		return op
	}
	return &other
}

// isOp reports whether node is one of those operators of the default domain. It is for the
// nodes that the layers of an eFCN are made of; what is to be known of an operator is in
// its row.
func isOp(node *onnxio.Node, names ...string) bool {
	return node != nil && slices.Contains(names, node.QualifiedOp())
}

// always is a default that no opset changes.
func always[T any](v T) func(opset int64) T { return func(int64) T { return v } }

// spelling is attributes by name, as attributeText writes them.
type spelling = map[string]string
