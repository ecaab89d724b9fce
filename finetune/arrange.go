package finetune

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Operators that move elements and compute none: every element of a sample of
// the output is an element of a sample of some input, or a constant. Which it is
// does not depend on what the input holds, so it is found by running the node
// on the numbers of the elements in their place.
func init() {
	for _, name := range []string{
		"DepthToSpace", "Expand", "GatherElements", "GatherND", "Pad", "Scatter", "ScatterElements", "ScatterND",
		"Slice", "SpaceToDepth", "Split", "Tile", "Trilu", "Where",
	} {
		register(name, emitArranged[float32], emitArranged[float64])
	}
	register("Gather", emitArranged[float32], emitArranged[float64], orders)
	register("Transpose", emitArranged[float32], emitArranged[float64], orders)
}

// arrangement says where the elements of an output come from.
type arrangement[T kernel.Float] struct {
	shape []int // of a sample of the output
	axis  int   // that of the batch
	size  int   // elements of a sample of the output
	parts []part
	blank []T // the sample with its constants, and 0 for the rest; nil where there are none
}

// part is what an output takes from one input: elements one by one, or runs of
// neighbours.
type part struct {
	input int // of those that are computed
	size  int // elements of a sample of the input
	to    []int32
	from  []int32
	runs  []run
}

// run is the n elements from one place on that go to another.
type run struct{ to, from, n int32 }

// alias reports whether the output is the input, element by element.
func (a *arrangement[T]) alias() bool {
	if len(a.parts) != 1 || a.blank != nil {
		return false
	}
	p := &a.parts[0]
	return a.size == p.size && (a.size == 0 || len(p.runs) == 1 && p.runs[0] == run{0, 0, int32(a.size)})
}

// arranged is the layer of an arrangement, for n samples.
type arranged[T kernel.Float] struct {
	*arrangement[T]
	n int
}

func (l *arranged[T]) needs() needs { return needs{} }

func (l *arranged[T]) forward(in [][]T, out []T) {
	kernel.Parallel(l.n, 1+elementGrain/max(1, l.size), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			y := out[i*l.size : (i+1)*l.size]
			if l.blank != nil {
				copy(y, l.blank)
			}
			for _, p := range l.parts {
				x := in[p.input][i*p.size : (i+1)*p.size]
				for k, to := range p.to {
					y[to] = x[p.from[k]]
				}
				for _, r := range p.runs {
					copy(y[r.to:r.to+r.n], x[r.from:r.from+r.n])
				}
			}
		}
	})
}

func (l *arranged[T]) backward(p pass[T]) {
	for _, part := range l.parts {
		if p.din[part.input] == nil {
			continue
		}
		kernel.Parallel(l.n, 1+elementGrain/max(1, l.size), func(lo, hi int) {
			for i := lo; i < hi; i++ {
				dx, dy := p.din[part.input][i*part.size:(i+1)*part.size], p.dout[i*l.size:(i+1)*l.size]
				clear(dx)
				for k, to := range part.to {
					dx[part.from[k]] += dy[to]
				}
				for _, r := range part.runs {
					src := dy[r.to : r.to+r.n]
					for k, g := range src {
						dx[int(r.from)+k] += g
					}
				}
			}
		})
	}
}

// emitArranged emits a layer for every output of a node that moves elements.
func emitArranged[T kernel.Float](n *node[T]) error {
	var values []value
	for i := range n.Inputs {
		if v, ok := n.b.values[n.Input(i)]; ok {
			values = append(values, v)
		}
	}
	arrangements, err := n.arrangements(values)
	if err != nil {
		return err
	}
	for i, a := range arrangements {
		name := n.Output(i)
		if a == nil {
			continue
		}
		if a.alias() {
			v := values[a.parts[0].input]
			v.shape, v.axis, v.folded = a.shape, a.axis, false
			n.b.values[name] = v
			continue
		}
		if err := n.emitOutput(i, &arranged[T]{a, n.b.a.net.batch}, a.shape, values); err != nil {
			return err
		}
		v := n.b.values[name]
		v.axis = a.axis
		n.b.values[name] = v
	}
	return nil
}

// arrangements returns where the elements of each output come from, nil for one
// that nobody reads. values are the inputs that are computed. It is the same for
// all batches, and seen on two samples as well as on many, unless the model holds
// for one batch only.
func (n *node[T]) arrangements(values []value) ([]*arrangement[T], error) {
	t := n.b.t
	if found, ok := t.arrangements[n.Node]; ok {
		return found, nil
	}
	batch := 2
	if fixed := t.input.Type.Shape[0]; fixed.Known() {
		batch = n.b.a.net.batch
	}
	found, err := n.arrangementsAt(batch, values)
	if err != nil && batch != n.b.a.net.batch {
		found, err = n.arrangementsAt(n.b.a.net.batch, values)
	}
	if err == nil {
		t.arrangements[n.Node] = found
	}
	return found, err
}

func (n *node[T]) arrangementsAt(batch int, values []value) ([]*arrangement[T], error) {
	known, err := n.b.t.fixedAt(batch)
	if err != nil {
		return nil, n.Wrap(err)
	}
	total := 0
	for _, v := range values {
		total += batch * v.size()
	}
	if total > math.MaxInt32 {
		return nil, n.Errorf("%d elements a sample; training moves up to %d", total/batch, math.MaxInt32/batch)
	}
	var out [2][]*engine.Tensor[float64]
	for sign := range 2 {
		in, err := n.numbered(known, values, batch, sign == 1)
		if err != nil {
			return nil, err
		}
		if out[sign], err = engine.RunNode(n.Node, n.opset, in); err != nil {
			return nil, err
		}
	}
	found := make([]*arrangement[T], len(n.Outputs))
	for i, name := range n.Outputs {
		if n.b.t.links.Uses(name) == 0 {
			continue
		}
		if found[i], err = readArrangement[T](values, batch, out[0][i], out[1][i]); err != nil {
			return nil, n.Errorf("output %d: %w", i, err)
		}
	}
	return found, nil
}

// numbered returns the inputs of a node with its computed values numbered
// through, sample by sample: element e is e or, if opposed, −1 − e.
func (n *node[T]) numbered(known *fixed, values []value, batch int, opposed bool) ([]*engine.Tensor[float64], error) {
	in := make([]*engine.Tensor[float64], len(n.Inputs))
	first, next := 0, 0
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		if !n.isActivation(i) {
			var err error
			if in[i], err = known.value(name); err != nil {
				return nil, n.Errorf("input %d: %w; training needs it fixed", i, err)
			}
			continue
		}
		v := values[next]
		next++
		dims := slices.Insert(slices.Clone(v.shape), v.axis, batch)
		if v.folded {
			dims = []int{batch * v.size()}
		}
		outer, inner := product(v.shape[:v.axis]), product(v.shape[v.axis:])
		t := &engine.Tensor[float64]{Type: n.floatType(i), Shape: dims, F: make([]float64, 0, batch*v.size())}
		for o := range outer {
			for b := range batch {
				for k := range inner {
					e := float64(first + b*v.size() + o*inner + k)
					if opposed {
						e = -1 - e
					}
					t.F = append(t.F, e)
				}
			}
		}
		in[i], first = t, first+batch*v.size()
	}
	return in, nil
}

// floatType returns the element type of a computed input, float32 where it is
// not known.
func (n *node[T]) floatType(i int) onnxio.DataType {
	if t, ok := n.b.info.Type(n.Input(i)); ok && t.Elem == onnxio.Float64 {
		return onnxio.Float64
	}
	return onnxio.Float32
}

// readArrangement makes sense of what a node does with numbered inputs, and with
// opposed ones.
func readArrangement[T kernel.Float](
	values []value, batch int, plain, opposed *engine.Tensor[float64],
) (*arrangement[T], error) {
	if !plain.Type.IsFloat() {
		return nil, fmt.Errorf("it is %s, which has no gradient", plain.Type)
	}
	axis, err := batchAxis(values, batch, plain, opposed)
	if err != nil {
		return nil, err
	}
	a := &arrangement[T]{axis: axis, shape: slices.Delete(slices.Clone(plain.Shape), axis, axis+1)}
	a.size = product(a.shape)
	parts := make([]part, len(values))
	starts := make([]int, len(values)+1)
	for i, v := range values {
		parts[i] = part{input: i, size: v.size()}
		starts[i+1] = starts[i] + batch*v.size()
	}
	inner := product(a.shape[axis:])
	for e := range a.size {
		source := -1
		for b := range batch {
			at := (e/inner*batch+b)*inner + e%inner
			s, moved := sourceOf(plain.F[at], opposed.F[at], starts[len(values)])
			switch {
			case !moved && b == 0:
				if a.blank == nil {
					a.blank = make([]T, a.size)
				}
				a.blank[e] = T(plain.F[at])
			case !moved && source < 0 && T(plain.F[at]) == a.blank[e]:
			case moved && b == 0:
				source = s
			default:
				i, first := owner(starts, source)
				if !moved || source < 0 || s != source+b*parts[i].size || s >= starts[i+1] || source >= first+parts[i].size {
					return nil, errMixed
				}
			}
		}
		if source >= 0 {
			i, first := owner(starts, source)
			parts[i].to = append(parts[i].to, int32(e))
			parts[i].from = append(parts[i].from, int32(source-first))
		}
	}
	for _, p := range parts {
		if len(p.to) > 0 {
			p.join()
		}
		a.parts = append(a.parts, p)
	}
	return a, nil
}

var errMixed = errors.New("it mixes the samples of the batch, or treats them differently; " +
	"training needs each for itself")

// sourceOf returns the number of the element that an output element is, and
// whether it is one; otherwise it is a constant.
func sourceOf(plain, opposed float64, total int) (int, bool) {
	if plain == -1-opposed && plain >= 0 && plain < float64(total) {
		return int(plain), true
	}
	return -1, false
}

// owner returns the input that an element belongs to, and that one's first.
func owner(starts []int, element int) (input, first int) {
	i := 0
	for i+2 < len(starts) && element >= starts[i+1] {
		i++
	}
	return i, starts[i]
}

// batchAxis finds the axis of an output on which sample b has what comes from
// sample b of the inputs.
func batchAxis(values []value, batch int, plain, opposed *engine.Tensor[float64]) (int, error) {
	sizes, starts := make([]int, len(values)), make([]int, len(values)+1)
	for i, v := range values {
		sizes[i] = v.size()
		starts[i+1] = starts[i] + batch*v.size()
	}
	for at, v := range plain.F {
		if _, moved := sourceOf(v, opposed.F[at], starts[len(values)]); !moved && v != opposed.F[at] &&
			!(math.IsNaN(v) && math.IsNaN(opposed.F[at])) {
			return 0, fmt.Errorf("it computes new values, which cannot be trained here")
		}
	}
	for axis, d := range plain.Shape {
		if d != batch {
			continue
		}
		fits, inner := true, product(plain.Shape[axis+1:])
		for at := 0; fits && at < len(plain.F); at++ {
			if s, moved := sourceOf(plain.F[at], opposed.F[at], starts[len(values)]); moved {
				i, first := owner(starts, s)
				fits = (s-first)/sizes[i] == at/inner%batch
			}
		}
		if fits {
			return axis, nil
		}
	}
	return 0, errMixed
}

// join makes runs of what lies side by side here and there, where they are long
// enough to be worth it.
func (p *part) join() {
	var runs []run
	for k, to := range p.to {
		if last := len(runs) - 1; last >= 0 && runs[last].to+runs[last].n == to && runs[last].from+runs[last].n == p.from[k] {
			runs[last].n++
			continue
		}
		runs = append(runs, run{to, p.from[k], 1})
	}
	const worth = 6 // elements: a copy costs about as much as that many moved one by one
	if len(runs) == 1 || len(p.to) >= worth*len(runs) {
		p.runs, p.to, p.from = runs, nil, nil
	}
}
