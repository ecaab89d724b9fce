package finetune

import (
	"errors"
	"slices"

	"efcn/internal/cuda"
)

// groupForm is a normalisation of groups on a device: row r of a sample is in group of(r).
// scale and bias are inputs of the layer, 0 where there are none.
func groupForm[T float32 | float64](
	m *formMaker[T], g *cuda.GroupNorm[T], groups int, from []int32, scale, bias int,
) (deviceForm[T], error) {
	var errs [2]error
	g.N = m.n
	if g.Groups, errs[0] = m.arrangement(groups, from); errs[0] != nil {
		return deviceForm[T]{}, errs[0]
	}
	g.Stats, errs[1] = deviceRoom[float64](m, g.StatsSize())
	with := func(in []cuda.Buffer[T]) *cuda.GroupNorm[T] {
		if scale > 0 {
			g.Scale = in[scale]
		}
		if bias > 0 {
			g.Bias = in[bias]
		}
		return g
	}
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			return with(in).Forward(s, in[0], y)
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			g, x := with(p.in), p.in[0]
			var errs []error
			if scale > 0 && p.din[scale].Len() > 0 {
				errs = append(errs, g.BackwardScale(s, x, p.dout, p.din[scale]))
			}
			if bias > 0 && p.din[bias].Len() > 0 {
				errs = append(errs, g.BackwardBias(s, p.dout, p.din[bias]))
			}
			if p.din[0].Len() > 0 {
				errs = append(errs, g.BackwardInput(s, x, p.dout, p.din[0]))
			}
			return errors.Join(errs...)
		},
	}, errs[1]
}

// onDevice has no form where the batch is normalised as one and each sample has a scale or
// bias of its own, which would lie the other way round there.
func (l *normalization[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	g := &cuda.GroupNorm[T]{Target: cuda.UnitSquare, Epsilon: l.epsilon, Whole: l.rows%m.n != 0}
	if l.centred {
		g.Target = cuda.UnitVariance
	}
	from := make([]int32, l.rows*l.size/m.n)
	for r := range from {
		from[r] = int32(r / l.size)
	}
	for k, at := range []**cuda.Arrangement{&g.ScaleAt, &g.BiasAt} {
		a, width := &l.affine[k], l.period*l.size
		if a.input == 0 {
			continue
		}
		met, elements := make([]int32, len(from)), width
		for r := range met {
			met[r] = int32(r % width)
		}
		if a.index != nil {
			elements = len(a.folded)
			for r := range met {
				met[r] = a.index[r%width]
			}
		}
		if g.Whole && !slices.Equal(a.index, slices.Repeat(met, m.n)) {
			return deviceForm[T]{}, errNoForm
		}
		var err error
		if *at, err = m.arrangement(elements, met); err != nil {
			return deviceForm[T]{}, err
		}
	}
	return groupForm(m, g, max(1, l.rows/m.n), from, l.affine[0].input, l.affine[1].input)
}

func (l *meanVariance[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	g := &cuda.GroupNorm[T]{Target: cuda.UnitDeviation, Epsilon: meanVarianceEpsilon}
	// Those of sample 0 are the first, be the batch among the axes or not.
	size, starts, offsets := len(l.starts)*len(l.offsets)/m.n, l.starts, l.offsets
	if g.Whole = m.n > 1 && int(starts[len(starts)-1]) < size; g.Whole {
		offsets = offsets[:len(offsets)/m.n]
	} else {
		starts = starts[:len(starts)/m.n]
	}
	from := make([]int32, size)
	for k, start := range starts {
		for _, o := range offsets {
			from[start+o] = int32(k)
		}
	}
	return groupForm(m, g, len(starts), from, 0, 0)
}

func (l *lpNorm[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	g := &cuda.GroupNorm[T]{Target: cuda.UnitL2}
	if l.p == 1 {
		g.Target = cuda.UnitL1
	}
	of := l.onDeviceLines(m.n)
	g.Whole = of.Inner%m.n != 0 // lines along the batch: each row is one
	from := make([]int32, l.outer*l.count*l.inner/m.n)
	groups := len(from)
	if !g.Whole {
		inner := of.Inner / m.n
		groups = of.Outer * inner
		for r := range from {
			from[r] = int32(r/(of.Length*inner)*inner + r%inner)
		}
	} else {
		for r := range from {
			from[r] = int32(r)
		}
	}
	return groupForm(m, g, groups, from, 0, 0)
}
