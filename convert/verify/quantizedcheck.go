package verify

import (
	"fmt"
	"math"
	"slices"

	"efcn/onnxio"
)

// storedError is the relative error of what a number is divided by its scale and rounded with, in single
// precision: of the quotient, of a scale that is a product, and of both in one more operation.
const storedError = 4 * 0x1p-24

// compare compares what the second model stores with the constants of the first.
func (q *quantization) compare(a, b *net) error {
	q.apart = make(map[string][]float64)
	compared := make(map[*onnxio.Node]bool) // attributes, once a node
	for _, in := range q.reads {
		t, s := a.constants[in.first], q.constants[in.second]
		var err error
		switch {
		case in.first == "" || in.second == "":
			if bias := operatorOf(in.node).bias; bias > 0 && bias == in.input {
				q.find(in, "bias", fmt.Sprintf("input %d: A has %s, B %s", bias, inputText(in.first), inputText(in.second)))
			}
		case t == nil:
		case s != nil:
			if !compared[in.node] {
				compared[in.node] = true
				q.attributes(in)
			}
			err = q.stored(in, t, s)
		case q.computed[in.second] != nil:
			node := q.computed[in.second]
			err = &QuantizedFormError{node.Label(), node.QualifiedOp(), "makes a constant of other constants, which " +
				"are to be folded before a model is quantized"}
		default:
			q.plain(in, t, b.constants[in.second])
		}
		if err != nil {
			return err
		}
		q.scaleOfBias(in, s)
	}
	for _, node := range b.graph.Nodes {
		if z := q.quantizers[node.Output(0)]; z != nil && z.value != "" {
			if err := q.ends(a, z); err != nil {
				return err
			}
		}
	}
	return nil
}

// check puts what compare found into the report.
func (q *quantization) check(r *Report) {
	c := Check{Name: Structure, Status: OK}
	numbers, cutOff, furthest := int64(0), int64(0), 0.0
	for i := range q.rows {
		row := &q.rows[i]
		numbers, cutOff = numbers+row.Elements, cutOff+row.CutOff
		furthest = math.Max(furthest, float64(row.Furthest))
	}
	c.Summary = fmt.Sprintf("%d integers in %d constants, for numbers of A that are at most %.3g steps away; %d are cut "+
		"off; %d quantizers between the same nodes as in A", numbers, len(q.rows), furthest, cutOff, len(q.quantizers))
	if n := len(q.slack) / 2; n > 0 {
		c.Summary += fmt.Sprintf("; %d BatchNormalizations of A are multiplied into what is in front of them", n)
	}
	if len(q.findings) > 0 {
		c.Status = Failed
	}
	r.Findings, r.QuantizedConstants = append(r.Findings, q.findings...), q.rows
	r.Checks = append(r.Checks, c)
}

func (q *quantization) find(in inputPair, kind, text string) {
	q.findings = append(q.findings, Finding{
		Check: Structure, Kind: kind, Node: in.node.Label(), Op: in.node.QualifiedOp(), Value: in.first, Text: text,
	})
}

// kindOf is the kind of a finding about an input.
func (in inputPair) kindOf() string {
	if in.input > 0 && in.input == operatorOf(in.node).bias {
		return "bias"
	}
	return "entry"
}

// steering are attributes of the operators whose constants may be integers, with their defaults; a list
// has the default in every place.
var steering = []struct {
	op, name string
	initial  float32
}{
	{"Gemm", "alpha", 1},
	{"Gemm", "beta", 1},
	{"BatchNormalization", "epsilon", 1e-5},
	{"Conv", "strides", 1},
	{"Conv", "dilations", 1},
	{"Conv", "group", 1},
	{"Conv", "pads", 0},
	{"ConvTranspose", "strides", 1},
	{"ConvTranspose", "dilations", 1},
	{"ConvTranspose", "group", 1},
}

// attributes compares attributes of the node of a constant of integers: the bound of what it computes
// may be large enough to hide another.
func (q *quantization) attributes(in inputPair) {
	for _, s := range steering {
		if !isOp(in.node, s.op) || s.name == "pads" && (in.node.Attr("auto_pad") != nil || in.other.Attr("auto_pad") != nil) {
			continue
		}
		x, y := attributeNumbers(in.node.Attr(s.name)), attributeNumbers(in.other.Attr(s.name))
		for i := range max(len(x), len(y)) {
			a, b := s.initial, s.initial
			if i < len(x) {
				a = x[i]
			}
			if i < len(y) {
				b = y[i]
			}
			if a != b {
				q.find(in, "attribute", fmt.Sprintf("%s: A has %v, B %v", s.name, a, b))
				break
			}
		}
	}
}

// attributeNumbers is what a number or a list of integers holds; nil without an attribute.
func attributeNumbers(a *onnxio.Attribute) []float32 {
	switch {
	case a == nil:
		return nil
	case a.Type == onnxio.AttrFloat:
		return []float32{a.F}
	case a.Type == onnxio.AttrInt:
		return []float32{float32(a.I)}
	}
	list := make([]float32, len(a.Ints))
	for i, v := range a.Ints {
		list[i] = float32(v)
	}
	return list
}

// stored compares the integers of a constant with the first model's numbers: each has to be the one
// that stands for the number nearest to it, or for the end of the range that it lies outside of.
// With a quotient that is rounded, |s(q − z) − clip(w)| ≤ s/2 + storedError·|w|.
func (q *quantization) stored(in inputPair, t *onnxio.Tensor, s *storedNumbers) error {
	if !slices.Equal(t.Dims, s.data.Dims) {
		q.find(in, in.kindOf(), fmt.Sprintf("input %d: A has the shape %v, B %v", in.input, t.Dims, s.data.Dims))
		return nil
	}
	w, err := onnxio.Floats[float64](t)
	if err != nil {
		return in.node.Wrap(err)
	}
	v, scaleOf, err := s.numbers()
	if err != nil {
		return err
	}
	row := QuantizedConstant{
		Name: in.first, Other: s.data.Name, Node: in.node.Label(), Op: in.node.QualifiedOp(), Type: s.grid.elem.String(),
		Elements: int64(len(w)),
	}
	apart := make([]float64, len(w))
	copy(apart, q.apart[in.first])
	first, steps := -1, 0.0 // the first that is wrong
	for i, x := range w {
		k := scaleOf(i)
		lo, hi := s.grid.ends(k)
		size, slack := s.grid.scale[k], storedError*math.Abs(x)
		if merged := q.slack[in.first]; merged != nil {
			slack += merged[i]
		}
		off := math.Abs(v[i] - math.Max(lo, math.Min(hi, x)))
		// What B runs with is rounded to float32 once more, or twice where it is no 24 bits.
		apart[i] = math.Max(apart[i], math.Abs(v[i]-x)+0x1p-23*math.Abs(v[i]))
		if _, beyond := s.grid.loss(k, x); beyond {
			row.CutOff++
		} else {
			row.Furthest = Figure(math.Max(float64(row.Furthest), off/size))
		}
		if !(off <= size/2+slack) {
			if row.Wrong++; first < 0 {
				first, steps = i, off/size
			}
		}
	}
	q.apart[in.first] = apart
	q.rows = append(q.rows, row)
	if first >= 0 {
		k := scaleOf(first)
		q.find(in, in.kindOf(), fmt.Sprintf("element %v of %q: A has %v, B %v in %q, of scale %v and zero point %v, %.3g "+
			"steps from the nearest that it could have; rounding explains 0.5; %d of %d elements are further off",
			unravel(first, asShape(t.Dims)), in.first, w[first], v[first], s.data.Name, s.grid.scale[k], s.grid.zero[k], steps,
			row.Wrong, len(w)))
	}
	return nil
}

// plain compares a constant that the second model has in floating point.
func (q *quantization) plain(in inputPair, t, u *onnxio.Tensor) {
	if u == nil || !t.Type.IsFloat() || !u.Type.IsFloat() {
		return // integers steer: what they do shows when the models run
	}
	if slack := q.slack[in.first]; slack != nil {
		x, errX := onnxio.Floats[float64](t)
		y, errY := onnxio.Floats[float64](u)
		within := errX == nil && errY == nil && slices.Equal(t.Dims, u.Dims)
		apart := make([]float64, len(x))
		for i := 0; within && i < len(x); i++ {
			apart[i] = math.Abs(x[i] - y[i])
			within = apart[i] <= slack[i]
		}
		if within {
			q.apart[in.first] = apart
			return
		}
	}
	if text := constantsApart(t, u, nil); text != "" {
		q.find(in, in.kindOf(), fmt.Sprintf("input %d, constants %q and %q: %s", in.input, in.first, in.second, text))
	}
}

// scaleOfBias compares the scale of a bias of integers with that of the sums that it is added to, the
// product of the scales of the value and of the weights: an engine that adds up integers takes it
// for that.
func (q *quantization) scaleOfBias(in inputPair, bias *storedNumbers) {
	if bias == nil || bias.grid.elem != onnxio.Int32 || in.input != 2 || !isOp(in.other, "Conv", "ConvTranspose", "Gemm") {
		return
	}
	z, w := q.quantizers[in.other.Input(0)], q.constants[in.other.Input(1)]
	alpha, errAlpha := in.other.Float("alpha", 1)
	beta, errBeta := in.other.Float("beta", 1)
	if z == nil || w == nil || errAlpha != nil || errBeta != nil || alpha != beta || len(z.back.scale) != 1 {
		return
	}
	at := func(list []float64, k int) float64 { return list[min(k, len(list)-1)] }
	for k := range max(len(bias.grid.scale), len(w.grid.scale)) {
		scale, zero, want := at(bias.grid.scale, k), at(bias.grid.zero, k), z.back.scale[0]*at(w.grid.scale, k)
		if math.Abs(scale-want) > storedError*want || zero != 0 {
			q.find(in, "bias", fmt.Sprintf("scale %d of the bias %q is %v and its zero point %v; engines that add up integers "+
				"take them for %v, the product of the scales of %q and %q, and 0", k, bias.data.Name, scale, zero, want, z.value,
				w.data.Name))
			return
		}
	}
}

// ends checks the two ends of a quantizer, and that its range keeps what a Relu or Clip of the first
// model keeps, where the second has none.
func (q *quantization) ends(a *net, z *quantizer) error {
	find := func(text string) {
		q.findings = append(q.findings, Finding{
			Check: Structure, Kind: "quantizer", Node: z.quantize.Label(), Op: z.quantize.QualifiedOp(), Value: z.value,
			Text: text,
		})
	}
	if !z.grid.same(z.back) {
		find(fmt.Sprintf("scale %v and zero point %v to %s; the DequantizeLinear %q behind it has %v and %v",
			z.grid.scale, z.grid.zero, z.grid.elem, z.dequantize.Label(), z.back.scale, z.back.zero))
	}
	for _, node := range z.merged {
		least, most, err := a.limits(node)
		if err != nil {
			return node.Wrap(err)
		}
		for k, s := range z.grid.scale {
			lo, hi := z.grid.ends(k)
			if half := s / 2 * own; least-lo > half || hi-most > half {
				find(fmt.Sprintf("A keeps the value from %g to %g with node %q (%s), which B lacks; the integers of B stand for "+
					"numbers from %g to %g, in steps of %g", least, most, node.Label(), node.QualifiedOp(), lo, hi, s))
				break
			}
		}
	}
	return nil
}
