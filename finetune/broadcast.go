package finetune

import (
	"slices"

	"efcn/internal/cuda"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// layout says how the elements of two operands that are broadcast meet in a
// result. https://onnx.ai/onnx/repo-docs/Broadcasting.html
type layout struct {
	dims []int // axes of the result; neighbours along which each operand moves or stays are one
	// strides of the operands and the result along each axis; 0 where an operand is
	// repeated.
	strides [3][]int
	size    int    // elements of the result
	sizes   [2]int // elements of the operands
	// rows are all axes but the last. stays has those of them along which an operand is
	// repeated, moves the others.
	rows         []int
	moves, stays [2][]int
}

// newLayout lays operands over a result. All three shapes are whole, with the
// batch, and each operand's is broadcastable to out.
func newLayout(out []int, operands [2][]int) layout {
	l := layout{size: product(out), sizes: [2]int{product(operands[0]), product(operands[1])}}
	type pair [2]bool
	var moves []pair
	for i, d := range out {
		if d == 1 {
			continue
		}
		var m pair
		for j, s := range operands {
			at := i - (len(out) - len(s))
			m[j] = at >= 0 && s[at] != 1
		}
		if last := len(l.dims) - 1; last >= 0 && moves[last] == m {
			l.dims[last] *= d
			continue
		}
		l.dims, moves = append(l.dims, d), append(moves, m)
	}
	if len(l.dims) == 0 {
		l.dims, moves = []int{1}, []pair{{}}
	}
	last := len(l.dims) - 1
	for o := range l.strides {
		l.strides[o] = make([]int, len(l.dims))
		step := 1
		for a := last; a >= 0; a-- {
			if o == 2 || moves[a][o] {
				l.strides[o][a] = step
				step *= l.dims[a]
			}
		}
	}
	for a := range last {
		l.rows = append(l.rows, a)
		for j := range 2 {
			if moves[a][j] {
				l.moves[j] = append(l.moves[j], a)
			} else {
				l.stays[j] = append(l.stays[j], a)
			}
		}
	}
	return l
}

// count is how many elements there are along some axes.
func (l *layout) count(axes []int) int {
	n := 1
	for _, a := range axes {
		n *= l.dims[a]
	}
	return n
}

// at returns where element k of a row-major walk along some axes lies in the
// operands and the result.
func (l *layout) at(axes []int, k int) (p [3]int) {
	for i := len(axes) - 1; i >= 0; i-- {
		a := axes[i]
		x := k % l.dims[a]
		k /= l.dims[a]
		for o := range p {
			p[o] += x * l.strides[o][a]
		}
	}
	return p
}

// steps returns the strides along the last axis.
func (l *layout) steps() (s [3]int) {
	for o := range s {
		s[o] = l.strides[o][len(l.dims)-1]
	}
	return s
}

// each calls visit, in parallel, for runs of n elements: where they begin in the
// operands and the result.
func (l *layout) each(visit func(at [3]int, n int)) {
	n, rows := l.dims[len(l.dims)-1], l.count(l.rows)
	if rows == 1 {
		s := l.steps()
		kernel.Parallel(n, elementGrain, func(lo, hi int) {
			visit([3]int{lo * s[0], lo * s[1], lo * s[2]}, hi-lo)
		})
		return
	}
	kernel.Parallel(rows, 1+elementGrain/n, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			visit(l.at(l.rows, r), n)
		}
	})
}

// strand is how many sums go on side by side: a cache line of elements that are
// neighbours, or of parts of one sum.
const strand = 16

// sum puts into dst, for every element of operand j, the sum of term over the
// elements of the result that it meets, in float64. term is given indices into the
// operands and the result.
func sum[T kernel.Float](l *layout, j int, dst []T, term func(at [3]int) float64) {
	n, s := l.dims[len(l.dims)-1], l.steps()
	repeats := l.count(l.stays[j])
	along := s[j] != 0 // neighbours in a row of the result belong to neighbours of the operand
	blocks := 1
	if along {
		blocks = (n + strand - 1) / strand
	}
	kernel.Parallel(l.count(l.moves[j])*blocks, 1+elementGrain*blocks/(n*repeats), func(lo, hi int) {
		for u := lo; u < hi; u++ {
			base, first, width := l.at(l.moves[j], u/blocks), 0, n
			if along {
				first = u % blocks * strand
				width = min(strand, n-first)
			}
			var sums [strand]float64
			for r := range repeats {
				p := l.at(l.stays[j], r)
				for o := range p {
					p[o] += base[o] + first*s[o]
				}
				for i := range width {
					sums[i%strand] += term(p)
					p[0], p[1], p[2] = p[0]+s[0], p[1]+s[1], p[2]+s[2]
				}
			}
			if along {
				for i, v := range sums[:width] {
					dst[base[j]+first+i] = T(v)
				}
				continue
			}
			for i := range strand - 1 {
				sums[i+1] += sums[i]
			}
			dst[base[j]] = T(sums[strand-1])
		}
	})
}

// pairwise is a function of two elements, with its derivative by each.
type pairwise struct {
	value  func(a, b float64) float64
	slopes [2]func(a, b float64) float64
	on     cuda.Pair // the same on a device
}

// zip applies a function to two operands, broadcast. Either may be a constant.
type zip[T kernel.Float] struct {
	layout
	f     pairwise
	input [2]int // of the layer, that is the operand; -1 for a constant
	fixed [2][]T // the constant
	// weight is the operand that is a weight, -1 for none.
	weight int
}

func (z *zip[T]) needs() needs { return needs{inputs: true} }

func (z *zip[T]) operand(in [][]T, j int) []T {
	if z.input[j] < 0 {
		return z.fixed[j]
	}
	return in[z.input[j]]
}

func (z *zip[T]) forward(in [][]T, out []T) {
	a, b, s := z.operand(in, 0), z.operand(in, 1), z.steps()
	z.each(func(p [3]int, n int) {
		for range n {
			out[p[2]] = T(z.f.value(float64(a[p[0]]), float64(b[p[1]])))
			p[0], p[1], p[2] = p[0]+s[0], p[1]+s[1], p[2]+s[2]
		}
	})
}

func (z *zip[T]) backward(p pass[T]) {
	a, b, s := z.operand(p.in, 0), z.operand(p.in, 1), z.steps()
	for j, slope := range z.f.slopes {
		if z.input[j] < 0 || p.din[z.input[j]] == nil {
			continue
		}
		din := p.din[z.input[j]]
		term := func(at [3]int) float64 {
			return float64(p.dout[at[2]]) * slope(float64(a[at[0]]), float64(b[at[1]]))
		}
		if z.sizes[j] != z.size {
			sum(&z.layout, j, din, term)
			continue
		}
		z.each(func(at [3]int, n int) {
			for range n {
				din[at[j]] = T(term(at))
				at[0], at[1], at[2] = at[0]+s[0], at[1]+s[1], at[2]+s[2]
			}
		})
	}
}

// operand is one of the two of a function: a computed value, a parameter or a
// constant.
type operand[T kernel.Float] struct {
	dims  []int // whole, with the batch where it has one
	value *value
	param *parameter[T]
	fixed []T
}

// computed makes an operand of a value.
func (n *node[T]) computed(v value) operand[T] {
	return operand[T]{dims: append([]int{n.b.a.net.batch}, v.shape...), value: &v}
}

// operand returns input i as an operand, a constant one as it is.
func (n *node[T]) operand(i int) (operand[T], error) {
	if n.isActivation(i) {
		v, err := n.activation(i)
		return n.computed(v), err
	}
	t, err := n.constant(i)
	if err != nil {
		return operand[T]{}, err
	}
	if t == nil {
		return operand[T]{}, n.Errorf("input %d is missing", i)
	}
	values, err := onnxio.Floats[T](t)
	if err != nil {
		integers, errInts := onnxio.Ints(t) // the exponent of a Pow
		if errInts != nil {
			return operand[T]{}, n.Wrap(err)
		}
		for _, v := range integers {
			values = append(values, T(v))
		}
	}
	return operand[T]{dims: toInts(t.Dims), fixed: values}, nil
}

// zip lays two operands over each other, of which one at least is computed. It
// returns the layer, its inputs and the shape of a sample of the result. The batch
// has to stay the first axis.
func (n *node[T]) zip(f pairwise, operands [2]operand[T]) (*zip[T], []value, []*parameter[T], []int, error) {
	out, err := n.broadcastShape(operands)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	z := &zip[T]{
		layout: newLayout(out, [2][]int{operands[0].dims, operands[1].dims}), f: f, input: [2]int{-1, -1}, weight: -1,
	}
	var values []value
	var params []*parameter[T]
	for j, a := range operands {
		switch {
		case a.value != nil:
			z.input[j], values = len(values), append(values, *a.value)
		case a.param != nil:
			z.input[j], z.weight, params = 1, j, append(params, a.param) // the other operand is input 0
		default:
			z.fixed[j] = a.fixed
		}
	}
	return z, values, params, out[1:], nil
}

// broadcastShape returns the whole shape that two operands are broadcast to.
func (n *node[T]) broadcastShape(operands [2]operand[T]) ([]int, error) {
	rank := max(len(operands[0].dims), len(operands[1].dims))
	out := slices.Repeat([]int{1}, rank)
	for _, a := range operands {
		if a.value != nil && len(a.dims) != rank {
			return nil, n.Errorf("operands have shapes %v and %v; training needs the batch to stay the first axis, so a "+
				"computed value needs as many axes as the other operand", operands[0].dims, operands[1].dims)
		}
		for i, d := range a.dims {
			o := &out[rank-len(a.dims)+i]
			switch {
			case *o == 1:
				*o = d
			case d != 1 && d != *o:
				return nil, n.Errorf("operands have shapes %v and %v, which are not broadcast to one: each axis has to be of "+
					"one length, or 1", operands[0].dims, operands[1].dims)
			}
		}
	}
	if out[0] != n.b.a.net.batch {
		return nil, n.Errorf("operands have shapes %v and %v in a batch of %d",
			operands[0].dims, operands[1].dims, n.b.a.net.batch)
	}
	return out, nil
}

// emitZip emits f of two operands as output 0.
func (n *node[T]) emitZip(f pairwise, operands [2]operand[T]) error {
	z, values, params, shape, err := n.zip(f, operands)
	if err != nil {
		return err
	}
	return n.emit(z, shape, values, params...)
}

// emitBinary emits f of inputs 0 and 1; none that is constant is trained.
func (n *node[T]) emitBinary(f pairwise) error {
	var operands [2]operand[T]
	var err error
	for i := range operands {
		if operands[i], err = n.operand(i); err != nil {
			return err
		}
	}
	return n.emitZip(f, operands)
}

// between emits f of two operands as a value that has no name in the model.
func (n *node[T]) between(f pairwise, operands [2]operand[T]) (value, error) {
	z, values, _, shape, err := n.zip(f, operands)
	if err != nil {
		return value{}, err
	}
	return n.emitStage("in part", z, shape, values...)
}
