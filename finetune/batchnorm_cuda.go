package finetune

import (
	"errors"

	"efcn/internal/cuda"
)

// onDevice has no form for statistics of a batch of which groups have shares.
func (b *groupedBatchNorm[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	if !b.frozen {
		return deviceForm[T]{}, errNoForm
	}
	return b.batchNorm.onDevice(m)
}

func (b *batchNorm[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	norm := cuda.Norm[T]{Epsilon: b.epsilon, Momentum: b.momentum}
	var unused [2]cuda.Buffer[T]
	var errs [6]error
	norm.Mean, errs[0] = deviceRoom[T](m, b.channels)
	norm.Variance, errs[1] = deviceRoom[T](m, b.channels)
	norm.RunningMean, errs[2] = m.constant(b.runningMean)
	norm.RunningVariance, errs[3] = m.constant(b.runningVariance)
	unused[0], errs[4] = deviceRoom[T](m, b.channels)
	unused[1], errs[5] = deviceRoom[T](m, b.channels)
	count := b.size * m.n
	of := func(in []cuda.Buffer[T]) cuda.Norm[T] {
		n := norm
		n.Scale, n.Bias = in[1], in[2]
		return n
	}
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			if b.frozen {
				return cuda.Normalise(s, of(in), count, in[0], y)
			}
			return cuda.BatchNorm(s, of(in), count, in[0], y)
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			if b.frozen {
				return cuda.NormaliseBackward(s, of(p.in), count, p.dout, p.din[0])
			}
			gradients := [3]cuda.Buffer[T]{p.dout, unused[0], unused[1]}
			for i, g := range p.din {
				if g.Len() > 0 {
					gradients[i] = g
				}
			}
			return cuda.BatchNormBackward(s, of(p.in), count, p.in[0], p.dout, gradients[0], gradients[1], gradients[2])
		},
	}, errors.Join(errs[:]...)
}
