package verify

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"efcn/convert/record"
	"efcn/internal/engine"
	"efcn/onnxio"
)

// products are the nodes of the CNN that the record's products and maxima are
// made of.
type products struct {
	factor map[*onnxio.Node]bool // multiplied with another
	levels map[*onnxio.Node]int  // of a maximum
}

func productsOf(cnn *net, rec *record.Record) products {
	p := products{factor: make(map[*onnxio.Node]bool), levels: make(map[*onnxio.Node]int)}
	if rec == nil {
		return p
	}
	for _, l := range rec.Layers {
		for _, f := range l.Factors {
			node := cnn.Producer(f.Output)
			if node == nil {
				continue
			}
			if f.Levels > 0 {
				p.levels[node] = f.Levels
			}
			if len(l.Factors) > 1 {
				p.factor[node] = true
			}
		}
	}
	return p
}

// node bounds the outputs of one node of the CNN, given the bounds of its
// inputs. known says that one of those is not 0.
//
// Of a product of linear operators, the CNN's side is bounded node by node, as
// without: every node adds the rounding of both sides, though the eFCN has none
// there. At its end the eFCN's side comes on top. Its entries are off by 2⁻²⁴ of
// themselves, rounded once, and its sum of N terms and a bias by γ_{N+2}, each times
// M, the magnitudes |Aₙ|(…(|A₁||x| + |b₁|)…) + |bₙ|.
func (b *bounds) node(node *onnxio.Node, ds [][]float64, known bool) ([][]float64, error) {
	if b.levels[node] > 0 || b.pair() && operatorOf(node).windows != nil {
		d, err := b.maximum(node, ds)
		return [][]float64{d}, err
	}
	out, err := b.single(node, ds, known || b.factor[node])
	if err != nil || !b.factor[node] {
		return out, err
	}
	for k, name := range node.Outputs {
		if name == "" || b.hidden(name) || k >= len(out) {
			continue
		}
		size, err := b.size(name, true)
		if err != nil {
			return nil, err
		}
		terms, err := b.terms(name, true)
		if err != nil {
			return nil, err
		}
		if out[k] == nil {
			out[k] = make([]float64, len(size.F))
		}
		g := b.gamma(terms+2) + 0x1p-24
		for i, m := range size.F {
			out[k][i] += own*g*m + float64(terms)*b.tiny
			if own*(1+g)*m >= b.huge {
				out[k][i] = math.Inf(1)
			}
		}
	}
	return out, nil
}

// maximum bounds a maximum that the eFCN computes with levels of Relu.
//
// With X the largest magnitude in the window, and the values in front of a level
// given by units that add up to them exactly, a level computes
//
//	max(a,b) = relu(a−b) + relu(b) − relu(−b),
//
// a and b sums of three units each (relu is never further off than what it is
// taken of): a−b adds up units of 6X in all, which rounds by at most γ₆·6X, b and
// −b each 3X, γ₃·3X: together less than 12γ₆X. The last map rounds by γ₃·3X. 18γ₆ for
// each of them leaves room for what is of the order of u². Where a layer is
// multiplied into the first level, its sums take the place of single inputs: a−b
// has twice as many terms and magnitudes, b and −b as many, and entries are rounded
// once: 4(γ + 2⁻²⁴)X. What is then multiplied into the last level sees three units of
// up to X, which size and terms allow for. Of a pair of models, either may do so.
func (b *bounds) maximum(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	var out []float64
	if ds[0] != nil {
		moved, err := b.moved(node, ds)
		if err != nil {
			return nil, err
		}
		out = moved[0]
	}
	x, err := b.size(node.Input(0), false)
	if err != nil {
		return nil, err
	}
	window, err := b.over(node, 0, x)
	if err != nil {
		return nil, err
	}
	terms, err := b.terms(node.Input(0), false)
	if err != nil {
		return nil, err
	}
	levels := b.levels[node]
	if levels == 0 { // of a pair: as many as it may take
		cells := product(x.Shape) / max(1, product(window.Shape))
		if operatorOf(node).window != nil {
			if cells, err = kernelSize(node, nil, nil); err != nil {
				return nil, err
			}
		}
		levels = 1 + bits.Len(uint(cells)) + len(x.Shape)
	}
	g := float64(levels) * 18 * b.gamma(6)
	if terms > 1 || b.factor[node] {
		g += 4 * (b.gamma(2*terms+2) + 0x1p-24)
	}
	if out == nil {
		out = make([]float64, len(window.F))
	}
	for i, m := range window.F {
		out[i] += own * g * m
		if 4*own*(1+g)*m >= b.huge {
			out[i] = math.Inf(1)
		}
	}
	return out, nil
}

// countedThrough returns the node whose input a value is counted by, and which input that
// is: where the eFCN does not have the value, or asked for anyway. nil is none.
func (b *bounds) countedThrough(name string, anyway bool) (node *onnxio.Node, data int) {
	node = b.net.Producer(name)
	if node == nil || !anyway && !b.hidden(name) || b.reset[name] && !anyway {
		return nil, 0
	}
	op := operatorOf(node)
	if !b.factor[node] && b.levels[node] == 0 && !op.reshapes && (op.selection == nil || op.joins) {
		return nil, 0
	}
	if op.twoSided {
		data, _ = b.net.operands(node)
	}
	return node, data
}

// size returns the magnitudes that a value adds up in the eFCN: |x| of one that it
// has, else those of the node's input times the magnitudes of its entries, and of
// its bias. anyway is for a value that it has, as the end of a product.
func (b *bounds) size(name string, anyway bool) (*engine.Tensor[float64], error) {
	node, data := b.countedThrough(name, anyway)
	if node == nil {
		m, err := b.magnitude(name)
		if m == nil || err != nil {
			return m, err
		}
		d, err := b.of(name)
		if d == nil || err != nil {
			return m, err
		}
		wide := like(m, append([]float64(nil), m.F...))
		for i, v := range d {
			wide.F[i] += v
		}
		return wide, nil
	}
	x, err := b.size(node.Input(data), false)
	if err != nil {
		return nil, err
	}
	out, err := b.over(node, slices.Index(node.Outputs, name), x)
	if err != nil || b.levels[node] == 0 {
		return out, err
	}
	units := like(out, append([]float64(nil), out.F...))
	for i := range units.F {
		units.F[i] *= 3
	}
	return units, nil
}

// over runs a node of a product on magnitudes, for its output k.
func (b *bounds) over(node *onnxio.Node, k int, x *engine.Tensor[float64]) (*engine.Tensor[float64], error) {
	op, n := operatorOf(node), *node
	if op.magnitudes != nil {
		return op.magnitudes(b, node, x)
	}
	if b.net.isLinear(node) {
		n = *absolute(node)
	}
	if op.windows != nil {
		n.Outputs = n.Outputs[:1]
	}
	in := make([]*engine.Tensor[float64], len(node.Inputs))
	for i, name := range node.Inputs {
		var err error
		if in[i], err = b.magnitude(name); err != nil {
			return nil, err
		}
		// shapes, scales, bounds: as they are
		if i > 0 && in[i] != nil && !b.net.isLinear(node) && (op.moves == nil || i != op.moves.fill) {
			if in[i], err = b.value(name); err != nil {
				return nil, err
			}
		}
	}
	in[b.net.dataOf(node)] = x
	out, err := b.run(&n, in...)
	if err != nil {
		return nil, fmt.Errorf("on magnitudes: %w", err)
	}
	return out[k], nil
}

// terms returns of how many entries of x a value that size describes is a sum.
func (b *bounds) terms(name string, anyway bool) (int, error) {
	node, data := b.countedThrough(name, anyway)
	if node == nil {
		return 1, nil
	}
	if b.levels[node] > 0 {
		return 3, nil // units of the last level
	}
	n, err := b.terms(node.Input(data), false)
	if operatorOf(node).interpolating(node) { // two neighbours on each axis
		return min(n<<len(b.values.header(node.Output(0)).Shape), 1<<30), err
	}
	if err != nil || !b.net.isLinear(node) {
		return n, err
	}
	in := make([]*engine.Tensor[float64], len(node.Inputs))
	for i, input := range node.Inputs {
		if in[i], err = b.magnitude(input); err != nil {
			return 0, err
		}
	}
	y, err := b.magnitude(node.Output(0))
	if err != nil {
		return 0, err
	}
	row, err := operatorOf(node).terms(node, in, y)
	return min(n*row, 1<<30), err
}
