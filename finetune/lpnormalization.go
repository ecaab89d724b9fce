package finetune

import (
	"math"

	"efcn/internal/kernel"
)

func init() {
	register("LpNormalization", emitLpNorm[float32], emitLpNorm[float64])
}

// lpNorm divides lines by their 1- or 2-norm: of outer×count×inner elements those
// along the axis in the middle. A line of zeros stays, and the gradient at it is 0.
type lpNorm[T kernel.Float] struct {
	lines
	p int64
}

func (l *lpNorm[T]) norm(x []T, at, end int) float64 {
	total := 0.0
	for i := at; i < end; i += l.inner {
		if v := float64(x[i]); l.p == 1 {
			total += math.Abs(v)
		} else {
			total += v * v
		}
	}
	if l.p == 2 {
		total = math.Sqrt(total)
	}
	return total
}

func (l *lpNorm[T]) needs() needs { return needs{inputs: true} }

func (l *lpNorm[T]) forward(in [][]T, out []T) {
	x := in[0]
	l.each(func(at, end int) {
		norm := l.norm(x, at, end)
		for i := at; i < end; i += l.inner {
			out[i] = 0
			if norm != 0 {
				out[i] = T(float64(x[i]) / norm)
			}
		}
	})
}

func (l *lpNorm[T]) backward(p pass[T]) {
	x, dy, dx := p.in[0], p.dout, p.din[0]
	l.each(func(at, end int) {
		norm, along := l.norm(x, at, end), 0.0 // along: Σ dy·y
		for i := at; i < end && norm != 0; i += l.inner {
			along += float64(dy[i]) * float64(x[i]) / norm
		}
		for i := at; i < end; i += l.inner {
			v := float64(x[i])
			switch {
			case norm == 0:
				dx[i] = 0
			case l.p == 1:
				dx[i] = T((float64(dy[i]) - along*signOf(v)) / norm)
			default:
				dx[i] = T((float64(dy[i]) - along*v/norm) / norm)
			}
		}
	})
}

// https://onnx.ai/onnx/operators/onnx__LpNormalization.html
func emitLpNorm[T kernel.Float](n *node[T]) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	p, err := n.Int("p", 2)
	if err != nil {
		return n.Wrap(err)
	}
	if p != 1 && p != 2 {
		return n.Errorf("attribute p: want 1 or 2, got %d", p)
	}
	axis, err := n.axis(x, -1)
	if err == nil && axis == 0 {
		err = n.acrossSamples()
	}
	if err != nil {
		return err
	}
	return n.emit(&lpNorm[T]{linesAlong(toInts(n.withBatch(x)), axis), p}, x.shape, []value{x})
}
