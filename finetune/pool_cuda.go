package finetune

import "efcn/internal/cuda"

// deviceNeeds: the kernel is given the output in any case.
func (*maxPool[T]) deviceNeeds() needs { return needs{output: true} }

func (l *maxPool[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	planes := l.planes / m.n
	argmax, err := deviceRoom[int32](m, l.planes*l.window.OutSize())
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			return cuda.MaxPool(s, l.window, planes, m.n, l.rectify, in[0], y, argmax)
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			return cuda.MaxPoolBackward(s, l.window, planes, m.n, l.rectify, p.dout, p.out, argmax, p.din[0])
		},
	}, err
}

func (l *averagePool[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	planes := l.planes / m.n
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			return cuda.AveragePool(s, l.window, l.includePad, planes, m.n, in[0], y)
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			return cuda.AveragePoolBackward(s, l.window, l.includePad, planes, m.n, p.dout, p.din[0])
		},
	}, nil
}

func (l *lpPool[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	planes := l.planes / m.n
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			return cuda.LpPool(s, l.Window, l.p, planes, m.n, in[0], y)
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			return cuda.LpPoolBackward(s, l.Window, l.p, planes, m.n, p.in[0], p.out, p.dout, p.din[0])
		},
	}, nil
}
