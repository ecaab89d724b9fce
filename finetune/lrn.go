package finetune

import (
	"math"

	"efcn/internal/kernel"
)

func init() { register("LRN", emitLRN[float32], emitLRN[float64]) }

// lrn divides by what the channels around have (Krizhevsky, Sutskever and Hinton,
// NeurIPS 2012, §3.3): y = x·s^−beta with s = bias + alpha/size·Σ x² over size
// channels.
type lrn[T kernel.Float] struct {
	lines
	before, after     int // channels on either side
	alpha, beta, bias float64

	s, shares *buffer[T] // of every element: s, and dy·x·s^(−beta−1)
}

func (l *lrn[T]) buffers() (kept, scratch []*buffer[T]) {
	return []*buffer[T]{l.s}, []*buffer[T]{l.shares}
}

// around returns the ends of the channels around element i of a line.
func (l *lrn[T]) around(at, end, i, before, after int) (from, to int) {
	return max(at, i-before*l.inner), min(end, i+(after+1)*l.inner)
}

func (l *lrn[T]) needs() needs { return needs{inputs: true} }

func (l *lrn[T]) forward(in [][]T, out []T) {
	x, sums := in[0], l.s.data
	l.each(func(at, end int) {
		for i := at; i < end; i += l.inner {
			var squares float64
			from, to := l.around(at, end, i, l.before, l.after)
			for j := from; j < to; j += l.inner {
				squares += float64(x[j]) * float64(x[j])
			}
			s := l.bias + l.alpha*squares
			sums[i] = T(s)
			out[i] = T(float64(x[i]) * math.Pow(s, -l.beta))
		}
	})
}

func (l *lrn[T]) backward(p pass[T]) {
	x, dy, dx := p.in[0], p.dout, p.din[0]
	sums, shares := l.s.data, l.shares.data
	l.each(func(at, end int) {
		for i := at; i < end; i += l.inner {
			s := float64(sums[i])
			power := math.Pow(s, -l.beta)
			dx[i] = T(float64(dy[i]) * power)
			shares[i] = T(float64(dy[i]) * float64(x[i]) * power / s)
		}
		for i := at; i < end; i += l.inner {
			var total float64
			// Element i is among those around whatever has it around.
			from, to := l.around(at, end, i, l.after, l.before)
			for j := from; j < to; j += l.inner {
				total += float64(shares[j])
			}
			dx[i] = T(float64(dx[i]) - 2*l.alpha*l.beta*float64(x[i])*total)
		}
	})
}

// https://onnx.ai/onnx/operators/onnx__LRN.html
func emitLRN[T kernel.Float](n *node[T]) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	size, err := n.Int("size", 0)
	if err != nil {
		return n.Wrap(err)
	}
	if size < 1 || size > math.MaxInt32 {
		return n.Errorf("attribute size: want at least 1, got %d", size)
	}
	if len(x.shape) < 1 {
		return n.Errorf("the input has no channel axis")
	}
	l := &lrn[T]{
		lines: linesAlong(toInts(n.withBatch(x)), 1), before: int(size-1) / 2, after: int(size) / 2,
		s: newBuffer[T](n.b.a.net.batch * x.size()), shares: newBuffer[T](n.b.a.net.batch * x.size()),
	}
	for _, a := range []struct {
		to   *float64
		name string
		def  float32
	}{{&l.alpha, "alpha", 1e-4}, {&l.beta, "beta", 0.75}, {&l.bias, "bias", 1}} {
		v, err := n.Float(a.name, a.def)
		if err != nil {
			return n.Wrap(err)
		}
		*a.to = float64(v)
	}
	l.alpha /= float64(size)
	return n.emit(l, x.shape, []value{x})
}
