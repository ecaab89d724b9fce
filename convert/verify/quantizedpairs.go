package verify

import (
	"fmt"
	"math"
	"slices"

	"efcn/onnxio"
)

// PairingError reports nodes of the two models that stand in one place and compute different
// things, where the second is judged as int8: something was done to the model before it was
// quantized.
type PairingError struct {
	First, Second string // nodes or values in one place
	Why           string
}

func (e *PairingError) Error() string {
	return fmt.Sprintf("%s of the first model and %s of the second stand in one place%s, so that the second is no "+
		"quantization of the first as it is; compare it with the floating-point model that was quantized, such as "+
		"quant_pre_process of ONNX Runtime leaves it", e.First, e.Second, e.Why)
}

// pairer walks through both models at once, from the outputs back, and pairs what stands in one
// place.
type pairer struct {
	*quantization
	a, b   *net
	inputs map[string]string // of the first model -> of the second
	nodes  map[*onnxio.Node]*onnxio.Node
}

// pair fills in which values, quantizers and constants of the second model are whose of the
// first.
func (q *quantization) pair(a, b *net, f *signature) error {
	q.pairs, q.of = make(map[string]string), make(map[string][]*quantizer)
	p := &pairer{quantization: q, a: a, b: b, inputs: f.inputs, nodes: make(map[*onnxio.Node]*onnxio.Node)}
	for _, out := range a.graph.Outputs {
		if err := p.value(out.Name, f.outputs[out.Name]); err != nil {
			return err
		}
	}
	for _, z := range q.quantizers {
		if err := z.readBy(b); err != nil {
			return err
		}
	}
	return nil
}

// readBy notes what is kept by those who read what a quantizer gives.
func (z *quantizer) readBy(b *net) error {
	z.least, z.most = math.Inf(1), math.Inf(-1)
	readers := b.Readers(z.result())
	for _, node := range readers {
		if !isOp(node, "Relu", "Clip") || node.Input(0) != z.result() {
			readers = nil
			break
		}
		least, most, err := b.limits(node)
		if err != nil {
			return node.Wrap(err)
		}
		z.least, z.most = math.Min(z.least, least), math.Max(z.most, most)
	}
	apart := false // no number is kept by both the range and those who read it
	for k := range z.grid.scale {
		lo, hi := z.grid.ends(k)
		apart = apart || z.least > hi || z.most < lo
	}
	if len(readers) == 0 || b.IsOutput(z.result()) || apart {
		z.least, z.most = math.Inf(-1), math.Inf(1)
	}
	return nil
}

// kept is x where those who read it keep it, else the nearest that they keep.
func (z *quantizer) kept(x float64) float64 { return math.Max(z.least, math.Min(z.most, x)) }

func (p *pairer) differ(a, b, why string) error {
	describe := func(n *net, value string) string {
		if node := n.Producer(value); node != nil {
			return fmt.Sprintf("node %q (%s)", node.Label(), node.QualifiedOp())
		}
		return fmt.Sprintf("value %q", value)
	}
	if why != "" {
		why = " (" + why + ")"
	}
	return &PairingError{describe(p.a, a), describe(p.b, b), why}
}

// value pairs a value of the first model and one of the second.
func (p *pairer) value(a, b string) error {
	if z := p.quantizers[b]; z != nil {
		return p.quantized(a, z)
	}
	constant, stored := p.a.constants[a] != nil, p.constants[b] != nil || p.b.constants[b] != nil
	switch {
	case constant && stored:
		return nil
	case constant || stored:
		return p.differ(a, b, "one of them is constant")
	}
	na, nb := p.a.Producer(a), p.b.Producer(b)
	if isOp(na, "Identity", "Dropout") && !sameOp(na, nb) {
		return p.value(na.Input(0), b)
	}
	if other, ok := p.pairs[b]; ok && other != a {
		return p.differ(a, b, fmt.Sprintf("the second stands for %q, too", other))
	}
	p.pairs[b] = a
	switch {
	case na == nil && nb == nil:
		if p.inputs[a] != b {
			return p.differ(a, b, "they are different inputs")
		}
		return nil
	case isOp(nb, "Identity", "Dropout") && !sameOp(na, nb):
		return p.value(a, nb.Input(0))
	case !sameOp(na, nb), slices.Index(na.Outputs, a) != slices.Index(nb.Outputs, b):
		return p.differ(a, b, "")
	}
	return p.node(na, nb, a, b)
}

func sameOp(a, b *onnxio.Node) bool {
	return a != nil && b != nil && a.QualifiedOp() == b.QualifiedOp()
}

// quantized pairs a value of the first model and what a quantizer gives. What its range may do
// instead of a Relu or Clip, the second model need not have.
func (p *pairer) quantized(a string, z *quantizer) error {
	switch z.value {
	case a:
		return nil
	case "":
	default:
		return p.differ(a, z.result(), fmt.Sprintf("the second stands for %q, too", z.value))
	}
	z.value = a
	p.of[a] = append(p.of[a], z)
	source := z.quantize.Input(0)
	for node := p.a.Producer(a); isOp(node, "Relu", "Clip") && p.quantizers[source] == nil &&
		!sameOp(node, p.b.Producer(source)); node = p.a.Producer(a) {
		z.merged = append(z.merged, node)
		a = node.Input(0)
	}
	return p.value(a, source)
}

// node pairs two nodes of one operator, and what they read.
func (p *pairer) node(na, nb *onnxio.Node, a, b string) error {
	if other := p.nodes[nb]; other != nil {
		if other != na {
			return p.differ(a, b, fmt.Sprintf("the second stands for node %q, too", other.Label()))
		}
		return nil
	}
	p.nodes[nb] = na
	for i, name := range nb.Outputs {
		if name != "" && na.Output(i) != "" {
			p.pairs[name] = na.Output(i)
		}
	}
	for i := range max(len(na.Inputs), len(nb.Inputs)) {
		x, y := na.Input(i), nb.Input(i)
		if x == "" && y == "" {
			continue
		}
		p.reads = append(p.reads, inputPair{na, nb, i, x, y})
		if x == "" || y == "" {
			continue // a bias that one has: see check; an attribute of another version: they are run
		}
		if err := p.value(x, y); err != nil {
			return err
		}
	}
	return nil
}

// limits returns what a Relu or Clip keeps values between.
func (n *net) limits(node *onnxio.Node) (least, most float64, err error) {
	if isOp(node, "Relu") {
		return 0, math.Inf(1), nil
	}
	list := [2]float64{math.Inf(-1), math.Inf(1)}
	for i, name := range []string{"min", "max"} {
		if v, _, ok, err := n.floats(node, i+1); err != nil {
			return 0, 0, err
		} else if ok && len(v) == 1 {
			list[i] = float64(v[0])
		}
		if node.Attr(name) != nil {
			v, err := node.Float(name, 0)
			if err != nil {
				return 0, 0, err
			}
			list[i] = float64(v)
		}
	}
	return list[0], list[1], nil
}
