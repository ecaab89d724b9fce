package verify

import (
	"fmt"
	"slices"
	"strings"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// quantization is what is known of a second model that stores its numbers as integers and
// quantizes its activations, where it is judged as int8: a DequantizeLinear behind a
// QuantizeLinear stands for the value in front of them, one behind a constant for a constant of
// the first model.
//
// A second model is a quantization of the first if
//
//   - both have the same nodes on the same values (quantizedpairs.go),
//   - each stored integer stands for the number that is nearest to the first model's
//     (quantizedcheck.go), and each quantizer has the same scale and zero point at both ends,
//   - each node, on what the first model's is given, computes what that does, up to the rounding of
//     the check and the known difference of its constants, and each quantizer the nearest number
//     that it has (quantizedbounds.go).
type quantization struct {
	quantizers map[string]*quantizer     // by what they give, in the second model
	constants  map[string]*storedNumbers // by the name that the second model reads them under
	// computed are the nodes of the second model as it was read that compute values from
	// quantized numbers, by value.
	computed map[string]*onnxio.Node

	pairs map[string]string       // value of the second model -> the first's, without what quantizers give
	of    map[string][]*quantizer // by value of the first model
	reads []inputPair
	// apart is how far a constant of the second model is from the first's, by its name there.
	apart map[string][]float64
	// slack is how far constants of the first model may be off that BatchNormalizations were multiplied
	// into; nil where none were.
	slack    map[string][]float64
	rows     []QuantizedConstant
	findings []Finding
}

// quantizer is a QuantizeLinear and the DequantizeLinear behind it.
type quantizer struct {
	quantize, dequantize *onnxio.Node
	grid, back           *grid // of either
	value                string
	merged               []*onnxio.Node // of the first model: what the range of the integers does instead
	// Whoever reads it, a Relu or Clip of both models, keeps no more than these numbers; all without one.
	least, most float64
}

func (z *quantizer) result() string { return z.dequantize.Output(0) }

// storedNumbers is a constant and the DequantizeLinear behind it.
type storedNumbers struct {
	node *onnxio.Node
	data *onnxio.Tensor // integers, or the numbers that a QuantizeLinear makes them of
	grid *grid
}

// inputPair is an input of two nodes that are paired.
type inputPair struct {
	node, other   *onnxio.Node
	input         int
	first, second string // names, "" where there is none
}

// QuantizedFormError reports a second model that is not in the form in which quantized models are
// judged: QuantizeLinear and DequantizeLinear around the operators of the first.
type QuantizedFormError struct{ Node, Op, Why string }

func (e *QuantizedFormError) Error() string {
	return fmt.Sprintf("node %q (%s) %s; a model in QDQ format can be judged, in which QuantizeLinear and "+
		"DequantizeLinear with constant scales stand around the operators "+
		"(quantize_static of ONNX Runtime writes it with QuantFormat.QDQ)", e.Node, e.Op, e.Why)
}

// quantizationOf reads what the second model quantizes, and compares it with the first. raw is the second
// as it was read; slack see quantization.
func quantizationOf(a, b *net, raw *onnxio.Model, f *signature, slack map[string][]float64) (*quantization, error) {
	q, err := readQuantization(raw, b)
	if err != nil {
		return nil, err
	}
	q.slack = slack
	if err := q.pair(a, b, f); err != nil {
		return nil, err
	}
	return q, q.compare(a, b)
}

// readQuantization finds what a model quantizes. raw is the model as it was read, n what is left of it
// when constants are folded.
func readQuantization(raw *onnxio.Model, n *net) (*quantization, error) {
	q := &quantization{quantizers: make(map[string]*quantizer), constants: make(map[string]*storedNumbers)}
	for _, t := range []onnxio.DataType{onnxio.Float16, onnxio.BFloat16} {
		if storedIn(t, n.graph) {
			return nil, fmt.Errorf("it has numbers in %s; a model of integers is judged that is float32 besides", t)
		}
	}
	for _, node := range n.graph.Nodes {
		if computesIntegers(node) {
			return nil, &QuantizedFormError{node.Label(), node.QualifiedOp(), "computes with integers"}
		}
		from := n.Producer(node.Input(0))
		if !isOp(node, "DequantizeLinear") || from == nil || n.constants[from.Input(0)] != nil {
			continue
		}
		if !isOp(from, "QuantizeLinear") {
			return nil, &QuantizedFormError{from.Label(), from.QualifiedOp(), "gives integers to a DequantizeLinear"}
		}
		z := &quantizer{quantize: from, dequantize: node}
		to, err := from.Int("output_dtype", int64(onnxio.Uint8))
		if err != nil {
			return nil, err
		}
		if z.grid, err = gridOf(from, n.constants, onnxio.DataType(to)); err != nil {
			return nil, err
		}
		if z.back, err = gridOf(node, n.constants, z.grid.elem); err != nil {
			return nil, err
		}
		if err := notCoarser(node.Input(0), z.grid.elem); err != nil {
			return nil, err
		}
		q.quantizers[z.result()] = z
	}
	if err := q.readConstants(raw); err != nil {
		return nil, err
	}
	if len(q.quantizers) == 0 && len(q.constants) == 0 {
		return nil, &UnusedTypeError{onnxio.Int8}
	}
	return q, nil
}

// computesIntegers reports whether a node is one of those that compute with quantized numbers by
// themselves, or that quantize by what they are given.
func computesIntegers(node *onnxio.Node) bool {
	switch node.QualifiedOp() {
	case "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear":
		return true
	}
	return onnxio.CanonicalDomain(node.Domain) == "com.microsoft" &&
		(strings.HasPrefix(node.OpType, "Q") || strings.Contains(node.OpType, "Quantize") ||
			strings.Contains(node.OpType, "Integer"))
}

// notCoarser refuses integers of fewer than 8 bits.
func notCoarser(name string, t onnxio.DataType) error {
	if t == onnxio.Int4 || t == onnxio.Uint4 {
		return &CoarserError{name, t, onnxio.Int8}
	}
	return nil
}

// readConstants finds the constants of integers, and those that are quantized on the way.
func (q *quantization) readConstants(m *onnxio.Model) error {
	constants := make(map[string]*onnxio.Tensor)
	for _, t := range m.Graph.Initializers {
		constants[t.Name] = t
	}
	for _, node := range m.Graph.Nodes {
		if a := node.Attr("value"); isOp(node, "Constant") && a != nil && a.T != nil {
			constants[node.Output(0)] = a.T
		}
	}
	quantized := make(map[string]*onnxio.Node)
	q.computed = make(map[string]*onnxio.Node)
	for _, node := range m.Graph.Nodes {
		switch {
		case isOp(node, "QuantizeLinear") && constants[node.Input(0)] != nil:
			quantized[node.Output(0)] = node
		case isOp(node, "DequantizeLinear"):
			s, err := storedBy(node, quantized[node.Input(0)], constants)
			if err != nil {
				return err
			}
			if s != nil {
				q.constants[node.Output(0)] = s
			} else {
				q.computed[node.Output(0)] = node
			}
		case slices.ContainsFunc(node.Inputs, q.storesOrComputes):
			for _, out := range node.Outputs {
				q.computed[out] = node
			}
		}
	}
	return nil
}

// storesOrComputes reports whether the second model has a value from quantized constants.
func (q *quantization) storesOrComputes(name string) bool {
	return q.constants[name] != nil || q.computed[name] != nil
}

// storedBy reads what a DequantizeLinear makes of a constant, which the node from may quantize
// first; nil if it reads none.
func storedBy(node, from *onnxio.Node, constants map[string]*onnxio.Tensor) (*storedNumbers, error) {
	name := node.Input(0)
	if from != nil {
		name = from.Input(0)
	}
	t := constants[name]
	if t == nil {
		return nil, nil
	}
	if err := notCoarser(name, t.Type); err != nil {
		return nil, err
	}
	g, err := gridOf(node, constants, t.Type)
	if err != nil {
		return nil, err
	}
	if from != nil {
		to, err := gridOf(from, constants, g.elem)
		if err != nil {
			return nil, err
		}
		if !to.same(g) {
			return nil, node.Errorf("its scale and zero point are not those of %q, which quantizes", from.Label())
		}
	}
	return &storedNumbers{node, t, g}, nil
}

// numbers returns what the integers of a constant stand for, and which scale each has.
func (s *storedNumbers) numbers() (v []float64, scaleOf func(i int) int, err error) {
	if scaleOf, err = s.grid.scaleOf(asShape(s.data.Dims)); err != nil {
		return nil, nil, s.node.Wrap(err)
	}
	if s.data.Type.IsFloat() { // quantized when the model runs
		if v, err = onnxio.Floats[float64](s.data); err != nil {
			return nil, nil, s.node.Wrap(err)
		}
		for i, x := range v {
			v[i] = s.grid.nearest(scaleOf(i), x)
		}
		return v, scaleOf, nil
	}
	codes, err := onnxio.Ints(s.data)
	if err != nil {
		return nil, nil, s.node.Wrap(err)
	}
	v = make([]float64, len(codes))
	for i, c := range codes {
		k := scaleOf(i)
		v[i] = s.grid.scale[k] * (float64(c) - s.grid.zero[k])
	}
	return v, scaleOf, nil
}

// inputRanges returns what the quantizers of the first model's inputs cover, over all scales, of
// those that are quantized.
func (q *quantization) inputRanges(n *net) map[string][2]float64 {
	ranges := make(map[string][2]float64)
	for _, in := range n.graph.FeedInputs() {
		for _, z := range q.of[in.Name] {
			row := newQuantizedValue(z)
			ranges[in.Name] = [2]float64{float64(row.Least), float64(row.Greatest)}
		}
	}
	return ranges
}

// given returns the quantizer that gives a value of the second model; nil if none does, or models
// are not judged as int8.
func (q *quantization) given(name string) *quantizer {
	if q == nil {
		return nil
	}
	return q.quantizers[name]
}

// apartOf is how far a constant of the second model is from the first's of that name; nil if
// it is not.
func (b *bounds) apartOf(name string) *engine.Tensor[float64] {
	if b.quant == nil || b.quant.apart[name] == nil {
		return nil
	}
	t := b.net.constants[name]
	return &engine.Tensor[float64]{Type: t.Type, Shape: asShape(t.Dims), F: b.quant.apart[name]}
}
