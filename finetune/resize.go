package finetune

import (
	"slices"

	"efcn/internal/engine"
	"efcn/internal/kernel"
)

func init() {
	register("Resize", emitResize[float32], emitResize[float64])
	register("Upsample", emitResize[float32], emitResize[float64])
}

// mixing computes weighted sums along one axis of n·outer arrays of d×inner
// elements: result i of an axis of size is Σ weights[k] · element from[k], k from
// starts[i] to starts[i+1].
type mixing[T kernel.Float] struct {
	outer, d, size, inner int
	starts, from          []int32
	weights               []T
}

func (*mixing[T]) needs() needs { return needs{} }

func (m *mixing[T]) forward(in [][]T, out []T) {
	kernel.Parallel(m.outer*m.size, 1+elementGrain/max(1, 2*m.inner), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			o, i := r/m.size, r%m.size
			y := out[r*m.inner : (r+1)*m.inner]
			clear(y)
			for k := m.starts[i]; k < m.starts[i+1]; k++ {
				w := m.weights[k]
				x := in[0][(o*m.d+int(m.from[k]))*m.inner:][:m.inner]
				for j, v := range x {
					y[j] += w * v
				}
			}
		}
	})
}

// backward is the transposed map.
func (m *mixing[T]) backward(p pass[T]) {
	kernel.Parallel(m.outer, 1+elementGrain/max(1, 2*m.size*m.inner), func(lo, hi int) {
		for o := lo; o < hi; o++ {
			dx := p.din[0][o*m.d*m.inner : (o+1)*m.d*m.inner]
			clear(dx)
			for i := range m.size {
				dy := p.dout[(o*m.size+i)*m.inner:][:m.inner]
				for k := m.starts[i]; k < m.starts[i+1]; k++ {
					w := m.weights[k]
					to := dx[int(m.from[k])*m.inner:][:m.inner]
					for j, g := range dy {
						to[j] += w * g
					}
				}
			}
		}
	})
}

// emitResize emits a selection for mode nearest. The other modes interpolate along
// one axis after another.
// https://onnx.ai/onnx/operators/onnx__Resize.html
func emitResize[T kernel.Float](n *node[T]) error {
	mode, err := n.String("mode", "nearest")
	if err != nil {
		return n.Wrap(err)
	}
	if mode == "nearest" {
		return emitArranged(n)
	}
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	in := make([]*engine.Tensor[float64], len(n.Inputs))
	for i := 1; i < len(in); i++ {
		if in[i], err = n.fixed(i); err != nil {
			return err
		}
	}
	axes, fill, err := engine.ResampledAxes(n.Node, n.opset, toInts(n.withBatch(x)), in)
	if err != nil {
		return err
	}
	for a, d := range n.withBatch(x) {
		if stays(axes[a], int(d)) {
			axes[a] = engine.Resampled{}
		}
	}
	if axes[0].From != nil {
		return n.Errorf("it interpolates between the samples of the batch; training needs each for itself")
	}
	axes = axes[1:]
	shape := slices.Clone(x.shape)
	for a, axis := range axes {
		if axis.From == nil {
			continue
		}
		m := &mixing[T]{
			outer: n.b.a.net.batch * product(shape[:a]), d: shape[a], size: len(axis.From),
			inner: product(shape[a+1:]), starts: []int32{0},
		}
		for i, from := range axis.From {
			for k, f := range from {
				m.from, m.weights = append(m.from, int32(f)), append(m.weights, T(axis.Weights[i][k]))
			}
			m.starts = append(m.starts, int32(len(m.from)))
		}
		shape = slices.Clone(shape)
		shape[a] = m.size
		if x, err = n.emitStage("axis", m, shape, x); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(axes, func(a engine.Resampled) bool { return a.Outside != nil }) {
		if x, err = n.emitStage("outside", extrapolated(axes, shape, n.b.a.net.batch, T(fill)), shape, x); err != nil {
			return err
		}
	}
	n.b.values[n.Output(0)] = x
	return nil
}

// stays reports whether every element of an axis of d is what it was.
func stays(a engine.Resampled, d int) bool {
	for i, from := range a.From {
		if len(from) != 1 || from[0] != i || a.Weights[i][0] != 1 {
			return false
		}
	}
	return len(a.From) == d && a.Outside == nil
}

// extrapolated puts fill wherever some axis is outside.
func extrapolated[T kernel.Float](axes []engine.Resampled, shape []int, batch int, fill T) layer[T] {
	size := product(shape)
	p := part{size: size}
	blank := make([]T, size)
	for e := range size {
		outside, rest := false, e
		for a, d := range slices.Backward(shape) {
			outside = outside || axes[a].Outside != nil && axes[a].Outside[rest%d]
			rest /= d
		}
		if outside {
			blank[e] = fill
			continue
		}
		p.to, p.from = append(p.to, int32(e)), append(p.from, int32(e))
	}
	p.join()
	return &arranged[T]{&arrangement[T]{shape: shape, size: size, parts: []part{p}, blank: blank}, batch}
}
