package finetune

import (
	"math"
	"slices"

	"efcn/internal/kernel"
)

func init() {
	register("MeanVarianceNormalization", emitMeanVariance[float32], emitMeanVariance[float64])
}

// meanVariance brings groups of elements to mean 0 and deviation 1: (x − mean) /
// (deviation + 1e-9), as the function that defines the operator. A group has the
// elements at offsets from where it starts.
type meanVariance[T kernel.Float] struct {
	starts, offsets []int32
	mean, deviation []float64 // of each group
}

const meanVarianceEpsilon = 1e-9

func (l *meanVariance[T]) each(body func(group, start int)) {
	kernel.Parallel(len(l.starts), 1+elementGrain/max(1, len(l.offsets)), func(lo, hi int) {
		for k := lo; k < hi; k++ {
			body(k, int(l.starts[k]))
		}
	})
}

func (l *meanVariance[T]) needs() needs { return needs{inputs: true} }

func (l *meanVariance[T]) forward(in [][]T, out []T) {
	x, count := in[0], float64(len(l.offsets))
	l.each(func(k, start int) {
		var total, squares float64
		for _, o := range l.offsets {
			total += float64(x[start+int(o)])
		}
		mean := total / count
		for _, o := range l.offsets {
			d := float64(x[start+int(o)]) - mean
			squares += d * d
		}
		deviation := math.Sqrt(squares / count)
		l.mean[k], l.deviation[k] = mean, deviation
		for _, o := range l.offsets {
			out[start+int(o)] = T((float64(x[start+int(o)]) - mean) / (deviation + meanVarianceEpsilon))
		}
	})
}

// With d = x − mean, σ the deviation and s = σ + epsilon, the gradient is (g −
// mean(g))/s − d·mean(g·d)/(s²·σ); where all x are equal, and so d is 0, without
// the second term.
func (l *meanVariance[T]) backward(p pass[T]) {
	x, dy, dx, count := p.in[0], p.dout, p.din[0], float64(len(l.offsets))
	l.each(func(k, start int) {
		mean, s := l.mean[k], l.deviation[k]+meanVarianceEpsilon
		var total, along float64
		for _, o := range l.offsets {
			g := float64(dy[start+int(o)])
			total += g
			along += g * (float64(x[start+int(o)]) - mean)
		}
		total /= count
		if l.deviation[k] > 0 {
			along /= count * s * s * l.deviation[k]
		} else {
			along = 0
		}
		for _, o := range l.offsets {
			i := start + int(o)
			dx[i] = T((float64(dy[i])-total)/s - (float64(x[i])-mean)*along)
		}
	})
}

// emitMeanVariance normalises over the given axes, by default the batch and the two
// of an image. https://onnx.ai/onnx/operators/onnx__MeanVarianceNormalization.html
func emitMeanVariance[T kernel.Float](n *node[T]) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	axes, err := n.Ints("axes")
	if err != nil {
		return n.Wrap(err)
	}
	if axes == nil {
		axes = []int64{0, 2, 3}
	}
	shape := toInts(n.withBatch(x))
	rank := int64(len(shape))
	var dims, strides [2][]int // of the axes that are kept, and of those
	axes = slices.Clone(axes)
	for i, a := range axes {
		if a < -rank || a >= rank {
			return n.Errorf("axes %v of a value of %d axes", axes, rank)
		}
		if axes[i] = (a + rank) % rank; axes[i] == 0 {
			if err := n.acrossSamples(); err != nil {
				return err
			}
		}
	}
	for a, d := range shape {
		k := 0
		if slices.Contains(axes, int64(a)) {
			k = 1
		}
		dims[k], strides[k] = append(dims[k], d), append(strides[k], product(shape[a+1:]))
	}
	l := &meanVariance[T]{starts: walk(dims[0], strides[0]), offsets: walk(dims[1], strides[1])}
	l.mean, l.deviation = make([]float64, len(l.starts)), make([]float64, len(l.starts))
	return n.emit(l, x.shape, []value{x})
}
