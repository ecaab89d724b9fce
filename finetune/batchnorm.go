package finetune

import (
	"math"

	"efcn/internal/kernel"
)

func init() {
	moves := func(o *operator) { o.statistics = []int{3, 4} }
	register("BatchNormalization", emitBatchNorm[float32], emitBatchNorm[float64], resets(1, 0, 0, 1), moves)
}

// batchNorm normalises by the statistics of the batch and moves the running
// ones towards them, as BatchNormalization in training mode does: running =
// running·momentum + batch·(1 − momentum), with the biased variance. Its inputs
// are x, scale and bias.
type batchNorm[T kernel.Float] struct {
	n, channels, size int
	epsilon, momentum float64

	mean, variance               []T // of the batch
	runningMean, runningVariance []T

	// frozen normalises by the running statistics and leaves them as they are.
	frozen bool
	unused []T // takes the gradient at a frozen scale or bias
}

func (b *batchNorm[T]) forward(in [][]T, y []T) {
	if b.frozen {
		b.each(in[1], func(c int, factor T, lo, hi int) {
			kernel.Normalise(y[lo:hi], in[0][lo:hi], b.runningMean[c], factor, in[2][c])
		})
		return
	}
	kernel.BatchNorm(b.n, b.channels, b.size, in[0], in[1], in[2], b.epsilon, y, b.mean, b.variance)
	b.moveStatistics()
}

// moveStatistics moves the running statistics towards those of the batch.
func (b *batchNorm[T]) moveStatistics() {
	for c := range b.channels {
		b.runningMean[c] = T(float64(b.runningMean[c])*b.momentum + float64(b.mean[c])*(1-b.momentum))
		b.runningVariance[c] = T(float64(b.runningVariance[c])*b.momentum + float64(b.variance[c])*(1-b.momentum))
	}
}

// each calls body for the planes of channels with what a channel is multiplied
// by when running statistics normalise it.
func (b *batchNorm[T]) each(scale []T, body func(c int, factor T, lo, hi int)) {
	kernel.Parallel(b.n*b.channels, 1+elementGrain/max(1, b.size), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			c := i % b.channels
			body(c, T(float64(scale[c])/math.Sqrt(float64(b.runningVariance[c])+b.epsilon)), i*b.size, (i+1)*b.size)
		}
	})
}

func (b *batchNorm[T]) needs() needs { return needs{inputs: true} }

func (b *batchNorm[T]) backward(p pass[T]) {
	dx := p.din[0]
	if b.frozen {
		b.each(p.in[1], func(_ int, factor T, lo, hi int) { kernel.ScaleShift(dx[lo:hi], p.dout[lo:hi], factor, 0) })
		return
	}
	if dx == nil {
		dx = p.dout // neither is read after this
	}
	kernel.BatchNormBackward(b.n, b.channels, b.size, p.in[0], p.dout, p.in[1], b.mean, b.variance, b.epsilon, dx,
		b.or(p.din[1]), b.or(p.din[2]))
}

// or returns a gradient's buffer, or scratch for a gradient that is not wanted.
func (b *batchNorm[T]) or(din []T) []T {
	if din == nil {
		return b.unused
	}
	return din
}

func emitBatchNorm[T kernel.Float](n *node[T]) error {
	for i, name := range n.Outputs[1:] {
		if name != "" {
			return n.Errorf("output %d (%q) of training mode is in use; only the first can be trained through", i+1, name)
		}
	}
	epsilon, err := n.Float("epsilon", 1e-5)
	if err != nil {
		return n.Wrap(err)
	}
	momentum, err := n.Float("momentum", 0.9)
	if err != nil {
		return n.Wrap(err)
	}
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	if len(x.shape) == 0 {
		return n.Errorf("the input has no channel axis")
	}
	l := batchNorm[T]{
		n: n.b.a.net.batch, channels: x.shape[0], size: product(x.shape[1:]),
		epsilon: float64(epsilon), momentum: float64(momentum),
	}
	l.mean, l.variance = make([]T, l.channels), make([]T, l.channels)
	for i, running := range []*[]T{&l.runningMean, &l.runningVariance} {
		t, err := n.constant(3 + i)
		if err != nil {
			return err
		}
		if t == nil || len(t.Dims) != 1 || int(t.Dims[0]) != l.channels {
			return n.Errorf("input %d: want a statistic for each of %d channels", 3+i, l.channels)
		}
		s, err := n.b.t.statistic(t)
		if err != nil {
			return n.Wrap(err)
		}
		*running = s.values
	}
	scale, err := n.parameter(1, l.channels)
	if err != nil {
		return err
	}
	bias, err := n.parameter(2, l.channels)
	if err != nil {
		return err
	}
	if scale == nil || bias == nil {
		return n.Errorf("scale and bias: want initializers")
	}
	l.frozen, l.unused = n.b.a.form.evaluates || scale.frozen && bias.frozen, make([]T, l.channels)
	if t := n.b.t.team; t.isGrouped() {
		return n.emit(newGroupedBatchNorm(l, t, n.b.a.net.share), x.shape, []value{x}, scale, bias)
	}
	return n.emit(&l, x.shape, []value{x}, scale, bias)
}
