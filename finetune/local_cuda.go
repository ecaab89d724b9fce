package finetune

import "efcn/internal/cuda"

// deviceNeeds: nothing of a pass is kept in an order of its own.
func (*local[T]) deviceNeeds() needs { return needs{inputs: true} }

func (l *local[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	d, err := cuda.NewLocal(m.thread, l.geometry, m.n)
	if err != nil {
		return deviceForm[T]{}, err
	}
	m.keep(d.Free)
	whole := m.scratch(l.Groups * l.Positions * l.Out * l.Slots)
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			var bias cuda.Buffer[T]
			if len(in) > 2 {
				bias = in[2]
			}
			return cuda.LocalForward(s, d, in[0], in[1], bias, y)
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			if p.din[0].Len() > 0 {
				if err := cuda.LocalInput(s, d, p.in[1], p.dout, p.din[0]); err != nil {
					return err
				}
			}
			if p.din[1].Len() > 0 {
				if err := cuda.LocalWeights(s, d, 1, 0, cuda.Buffer[T]{}, p.in[0], p.dout, p.din[1]); err != nil {
					return err
				}
			}
			if len(p.din) > 2 && p.din[2].Len() > 0 {
				return cuda.SumRows(s, m.n, 1, p.dout, p.din[2])
			}
			return nil
		},
		update: func(s *cuda.Stream, p devicePass[T], _ int, factors cuda.Buffer[T]) error {
			return cuda.LocalWeights(s, d, 0, 0, factors, p.in[0], p.dout, p.in[1])
		},
		parts: func(s *cuda.Stream, p devicePass[T], _ int, visit func(at int, part cuda.Buffer[T]) error) error {
			if err := cuda.LocalWeights(s, d, 1, 0, cuda.Buffer[T]{}, p.in[0], p.dout, whole); err != nil {
				return err
			}
			return visit(0, whole)
		},
	}, nil
}
