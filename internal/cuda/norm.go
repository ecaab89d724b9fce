package cuda

import "efcn/internal/kernel"

// Norm is the statistics of a batch normalisation, an element for each channel.
type Norm[T kernel.Float] struct {
	Epsilon, Momentum            float64
	Scale, Bias                  Buffer[T]
	Mean, Variance               Buffer[T] // of the batch
	RunningMean, RunningVariance Buffer[T]
}

// needs is what channels of count elements (size·n) need.
func (m *Norm[T]) needs(buffers map[string]Buffer[T], count int) []need {
	c := m.Scale.n
	all := []need{
		{"bias", m.Bias.n, c},
		{"mean", m.Mean.n, c},
		{"variance", m.Variance.n, c},
		{"running mean", m.RunningMean.n, c},
		{"running variance", m.RunningVariance.n, c},
	}
	for name, b := range buffers {
		all = append(all, need{name, b.n, c * count})
	}
	return all
}

// BatchNorm normalises each channel of x, channels×count with count = size·n, by its mean
// and variance in this batch, as [kernel.BatchNorm] does, and moves the running ones:
// running·momentum + batch·(1−momentum). y may be x.
func BatchNorm[T kernel.Float](s *Stream, m Norm[T], count int, x, y Buffer[T]) error {
	if err := check("batch_norm", m.needs(map[string]Buffer[T]{"x": x, "y": y}, count)...); err != nil {
		return err
	}
	return launch[T](s, "batch_norm", blocks{m.Scale.n, 1}, count, m.Epsilon, m.Momentum, x, m.Scale, m.Bias, y, m.Mean,
		m.Variance, m.RunningMean, m.RunningVariance)
}

// BatchNormBackward computes the gradients at x, scale and bias from dy; dx may be dy.
func BatchNormBackward[T kernel.Float](s *Stream, m Norm[T], count int, x, dy, dx, dscale, dbias Buffer[T]) error {
	needs := m.needs(map[string]Buffer[T]{"x": x, "dy": dy, "dx": dx}, count)
	needs = append(needs, need{"dscale", dscale.n, m.Scale.n}, need{"dbias", dbias.n, m.Scale.n})
	if err := check("batch_norm_backward", needs...); err != nil {
		return err
	}
	return launch[T](s, "batch_norm_backward", blocks{m.Scale.n, 1}, count, m.Epsilon, x, dy, m.Scale, m.Mean, m.Variance,
		dx, dscale, dbias)
}

// Normalise normalises x by the running statistics, which stay as they are; y may be x.
func Normalise[T kernel.Float](s *Stream, m Norm[T], count int, x, y Buffer[T]) error {
	if err := check("normalise", m.needs(map[string]Buffer[T]{"x": x, "y": y}, count)...); err != nil {
		return err
	}
	return launch[T](s, "normalise", over(m.Scale.n*count), m.Scale.n, count, m.Epsilon, x, m.RunningMean,
		m.RunningVariance, m.Scale, m.Bias, y)
}

// NormaliseBackward computes dx from dy; dx may be dy.
func NormaliseBackward[T kernel.Float](s *Stream, m Norm[T], count int, dy, dx Buffer[T]) error {
	if err := check("normalise_backward", m.needs(map[string]Buffer[T]{"dy": dy, "dx": dx}, count)...); err != nil {
		return err
	}
	return launch[T](s, "normalise_backward", over(m.Scale.n*count), m.Scale.n, count, m.Epsilon, dy, m.RunningVariance,
		m.Scale, dx)
}
