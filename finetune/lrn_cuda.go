package finetune

import "efcn/internal/cuda"

func (l *lrn[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	of := cuda.LRN{
		Lines: l.onDeviceLines(m.n), Before: l.before, After: l.after, Alpha: l.alpha, Beta: l.beta, Bias: l.bias,
	}
	sums := m.buffer(l.s)
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			return cuda.LocalResponse(s, of, in[0], sums, y)
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			return cuda.LocalResponseBackward(s, of, p.in[0], sums, p.dout, p.din[0])
		},
	}, nil
}
